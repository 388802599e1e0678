"""The command line: what the pages do, without a browser. `python -m asrdemo --help` lists the commands.

Exit codes: 0 done; 1 something failed, the message is on stderr; 2 the command line itself is wrong; 130 stopped
by Ctrl-C; 141 the reader of our output went away.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from asrdemo.cli import finetune, lists, transcribe
from asrdemo.errors import AsrDemoError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Our own errors become one line on stderr, never a traceback."""
    try:
        args = parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return 141
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


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
