"""The command line of the evaluation engine. `python -m evals --help` lists the commands.

A command is a function of its arguments that returns the exit code, and a function that adds it to the parser; a new
module of commands is named in MODULES. Exit codes as in asrdemo.cli.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from asrdemo.cli.common import run
from evals.cli import details, reports, runs, sweeps

MODULES = (runs, sweeps, reports, details)
_RANGE = re.compile(r"-[\d.]+[:,][-\d.:,]+")  # `-2:2:1`, which argparse takes for an option


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run(parser(), _joined(sys.argv[1:] if argv is None else argv), "stopped; the same command goes on")


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
