"""`python -m benchmarks [NAME...]`: see benchmarks/__init__.py."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
from dataclasses import fields
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

from asrdemo.errors import AsrDemoError
from benchmarks.common import Options, write_section


def names() -> list[str]:
    """Modules of this package with a function `report`; read, not imported, for some bring torch in."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "report" for node in tree.body):
            found.append(path.stem)
    return found


def main() -> int:
    """Run the named benchmarks, or all of them. A failing one does not keep the others from running."""
    known, defaults = names(), Options()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, print, and write benchmarks/RESULTS.md.",
        epilog="Example: python -m benchmarks throughput --clips 48 --runs 5",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; default: all")
    for field in fields(Options):
        default = getattr(defaults, field.name)
        if isinstance(default, bool):
            parser.add_argument(f"--{field.name}", action="store_true", help="also what takes long")
            continue
        parser.add_argument(f"--{field.name}", type=type(default), default=default, help=f"default {default}")
    parser.add_argument("--dry", action="store_true", help="print only, leave RESULTS.md as it is")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; available: {', '.join(known)}")
    options = Options(**{field.name: getattr(args, field.name) for field in fields(Options)})
    values = {f.name: getattr(options, f.name) for f in fields(Options)}
    changed = [f"--{k}" if v is True else f"--{k} {v}" for k, v in values.items() if v is not False]
    failed = False
    for name in args.names or known:
        try:
            body = importlib.import_module(f"benchmarks.{name}").report(options)
        except AsrDemoError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"## {name}\n\n{body}\n", flush=True)
        if not args.dry:
            write_section(name, " ".join(["python -m benchmarks", name, *changed]), body)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
