"""The command line of the evaluation engine. `python -m evals --help` lists the commands.

A command is a function of its arguments that returns the exit code, and a function that adds it to the parser; a new
module of commands is named in MODULES. Exit codes as in asrdemo.cli.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from asrdemo.errors import AsrDemoError
from evals.cli import details, reports, runs, sweeps

MODULES = (runs, sweeps, reports, details)
_RANGE = re.compile(r"-[\d.]+[:,][-\d.:,]+")  # `-2:2:1`, which argparse takes for an option


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Our own errors become one line on stderr, never a traceback."""
    try:
        args = parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return 141
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees it."""
    top = argparse.ArgumentParser(
        prog="python -m evals",
        description="Measure speech recognition checkpoints.",
        epilog="Each command has its own --help with an example.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in MODULES:
        module.add(commands)
    return top


def _joined(argv: Sequence[str]) -> list[str]:
    """`--beta -2:2:1` as `--beta=-2:2:1`."""
    joined: list[str] = []
    for word in argv:
        if _RANGE.fullmatch(word) and joined and joined[-1].startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined
