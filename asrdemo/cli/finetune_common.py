"""What the commands of `finetune` share: the recipe's options, and how runs are told."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from asrdemo.cli import common
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.finetune import runs, schema


def add_recipe(made: argparse.ArgumentParser) -> None:
    """The argument RECIPE and what may be changed about it."""
    made.add_argument("recipe", type=Path, metavar="RECIPE", help="YAML file, see recipes/")
    made.add_argument("--corpus-root", type=Path, metavar="DIR", help="what $CORPUS_ROOT stands for in the recipe")
    made.add_argument("--minutes", type=float, metavar="N", help="wall-clock budget instead of the recipe's; 0: none")
    made.add_argument("--smoke", action="store_true", help="apply the recipe's smoke section: tiny and quick")


def recipe_of(args: argparse.Namespace) -> dict[str, Any]:
    """The recipe's keys with the options of the command line on top. Raises ConfigError."""
    if args.corpus_root:
        os.environ["CORPUS_ROOT"] = str(args.corpus_root.resolve())
    data = schema.read_yaml(args.recipe)
    small = data.pop("smoke", None) or {}
    data = schema.merged(data, small if args.smoke else {})
    if args.minutes is None:
        return data
    if not (math.isfinite(args.minutes) and args.minutes >= 0):
        raise ConfigError(f"--minutes is {args.minutes:g}; expected 0 for no limit, or more.")
    return schema.merged(data, {"batches": {"max_minutes": args.minutes}})


def environment_of(args: argparse.Namespace) -> dict[str, str]:
    """What a run of this recipe needs beside this process's own."""
    return {"CORPUS_ROOT": str(args.corpus_root.resolve())} if args.corpus_root else {}


def add_run(made: argparse.ArgumentParser, optional: bool = False) -> None:
    """The argument RUN."""
    left_out = "; the one that trains, or the newest, if left out" if optional else ""
    more: dict[str, Any] = {"nargs": "?", "default": ""} if optional else {}
    made.add_argument("run_name", metavar="RUN", help=f"name of a run{left_out}", **more)


def add_json(made: argparse.ArgumentParser) -> None:
    """The option --json."""
    made.add_argument("--json", action="store_true", help="as JSON")


def found(home: Path, name: str) -> runs.Run:
    """The run of that name, or where none was named, the one that trains or the newest. Raises NotFoundError."""
    if name:
        return runs.read(home, name)
    there = runs.runs(home)
    if not there:
        raise NotFoundError("There are no runs yet; `finetune start RECIPE` begins one.")
    return next((run for run in there if run.state == "running"), there[0])


def told(run: runs.Run) -> dict[str, Any]:
    """A run as plain values."""
    more = {"folder": str(run.folder), "eta": runs.eta(run), "command": run.command, "trainer": run.trainer_command}
    return dataclasses.asdict(run) | more


def print_json(data: Any) -> None:
    """JSON that every reader takes: what is not a number becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(plain(data), ensure_ascii=False, indent=1))


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows as JSON or as a table."""
    if as_json:
        print_json(rows)
    elif rows:
        print(common.table(rows))


def minutes(seconds: float) -> str:
    """Such as `12.5 min` and `2.0 h`."""
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(moment: float) -> str:
    """A UNIX time as a date and time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else "?"
