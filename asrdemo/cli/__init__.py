"""The command line: what the pages do, without a browser. `python -m asrdemo --help` lists the commands.

Exit codes: 0 done; 1 something failed, the message is on stderr; 2 the command line itself is wrong; 130 stopped
by Ctrl-C; 141 the reader of our output went away.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from asrdemo.cli import finetune, lists, transcribe
from asrdemo.cli.common import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run(parser(), argv, "stopped")


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees it."""
    top = argparse.ArgumentParser(
        prog="python -m asrdemo",
        description="Hear CTC speech recognition checkpoints without a browser.",
        epilog="The web app is `python app.py`. Each command has its own --help with an example.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    transcribe.add(commands)
    lists.add(commands)
    finetune.add(commands)
    return top
