"""What the commands share: start-up, tables, progress, and how a command is added to the parser."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrdemo import registry, settings
from asrdemo.errors import AsrDemoError, NotFoundError
from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
from asrdemo.settings import Settings
from asrdemo.types import Progress


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None, stopped: str) -> int:
    """Run one command; returns the exit code. Our own errors become one line on stderr, never a traceback.

    stopped: what to say after Ctrl-C.
    """
    try:
        args = parser.parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return 141
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def start() -> tuple[Settings, Registry]:
    """Settings from the environment, and models.yaml."""
    limits = settings.read()
    return limits, registry.read(limits.registry)


def with_checkpoint(known: Registry, name: str) -> Registry:
    """The registry, with `name` as one more id where it is a checkpoint folder on this machine.

    A folder's language is not known; its text is normalised by the profile `default`. Raises NotFoundError for what
    looks like a path and leads nowhere; ids have no slash.
    """
    folder = Path(name)
    if name not in known.checkpoints and len(folder.parts) > 1 and not folder.is_dir():
        raise NotFoundError(f"There is no checkpoint folder {name!r}.")
    if name in known.checkpoints or not (folder / "config.json").is_file():
        return known
    spec = CheckpointSpec(name, folder.resolve().name, "", "default", path=folder.resolve())
    return replace(known, checkpoints={**known.checkpoints, name: spec})


def with_language_model(known: Registry, name: str) -> Registry:
    """The registry, with `name` as one more id where it is a KenLM file on this machine (its word list beside it)."""
    file = Path(name)
    if name in known.language_models or not file.is_file():
        return known
    words = file.with_name(file.name.removesuffix(".gz").rpartition(".")[0] + ".unigrams.txt")
    spec = LanguageModelSpec(
        name, file.name, "", path=file.resolve(), unigrams=words.resolve() if words.is_file() else None
    )
    return known.with_language_model(spec)


def table(rows: list[dict[str, Any]]) -> str:
    """Columns padded to their widest cell; numbers to the right, rates in percent."""
    header = [f"{name} %" if name in ("wer", "cer") else name for name in rows[0]]
    cells = [[f"{100 * v:.2f}" if n in ("wer", "cer") else str(v) for n, v in row.items()] for row in rows]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    numeric = [isinstance(v, (int, float)) for v in rows[0].values()]
    lines = [
        "  ".join(
            c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [header, *cells]
    ]
    return "\n".join(lines)


def progress() -> Progress | None:
    """A one-line progress report on stderr, or None where nobody watches."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int, note: str) -> None:
        sys.stderr.write(f"\r\x1b[K{note} {done}/{total}" if done < total else "\r\x1b[K")
        sys.stderr.flush()

    return show


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, example: str
) -> argparse.ArgumentParser:
    """A command with its help, an example, and the function that runs it and returns the exit code."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ("" if what.endswith("?") else "."),
        epilog=f"Example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    return made
