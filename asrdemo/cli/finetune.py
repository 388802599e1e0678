"""`finetune`: look a recipe over, prepare its audio, and start, watch, stop and go on with runs.

A run outlives the terminal: `start` only watches its process, and Ctrl-C asks it to save a checkpoint and end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrdemo import settings
from asrdemo.cli import common
from asrdemo.cli.common import command
from asrdemo.errors import NotFoundError, TrainingError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs, schema


def run_precheck(args: argparse.Namespace) -> int:
    """`precheck`: what is known to go wrong, before anything trains; 1 where it must not start like this."""
    from asrdemo.finetune import precheck

    limits, known = common.start()
    recipe = recipes.from_dict(_recipe(args), args.recipe.name)
    report = precheck.precheck(recipe, limits.home, known, common.progress())
    if args.json:
        _print_json(report.as_dict())
    else:
        for row in report.rows:
            print(f"{row.state:<6} {row.check}: {row.sentence}")
            if row.fix:
                print(f"       {row.fix}")
    return 1 if report.blocks else 0


def run_prepare(args: argparse.Namespace) -> int:
    """`prepare`: decode what a recipe trains and is scored on, once for all runs."""
    from asrdemo.finetune.prepare import prepare

    home, recipe = settings.read().home, recipes.from_dict(_recipe(args), args.recipe.name)
    rows = []
    for kind in ("train", "dev", "test"):
        for source in getattr(recipe, kind):
            shard = prepare(source, recipe, home / "shards", common.progress())
            left_out = sum(map(len, shard.dropped.values()))
            rows.append(
                {"for": kind, "corpus": source.id, "clips": len(shard), "hours": round(shard.hours, 3),
                 "left out": left_out}
            )  # fmt: skip
    _show(rows, args.json)
    return 0


def run_start(args: argparse.Namespace) -> int:
    """`start`: a new run, watched unless --detach."""
    home = settings.read().home
    environment = {"CORPUS_ROOT": str(args.corpus_root.resolve())} if args.corpus_root else {}
    changed = args.smoke or args.minutes
    run = runs.start(
        home, _recipe(args) if changed else args.recipe, args.name, resume=args.resume, processes=args.processes,
        environment=environment, _trainer=args.trainer,
    )  # fmt: skip
    return _begun(home, run, args)


def run_resume(args: argparse.Namespace) -> int:
    """`resume`: go on with a run that stopped, failed or was killed."""
    home = settings.read().home
    return _begun(home, runs.resume(home, args.run_name), args)


def run_status(args: argparse.Namespace) -> int:
    """`status`: how far a run is."""
    run = _found(settings.read().home, args.run_name)
    told = _told(run)
    if args.json:
        _print_json(told | {"latest": runs.latest(run), "alerts": runs.alerts(run)})
        return 0
    latest = runs.latest(run)
    wer = {k.removeprefix("eval_").removesuffix("_wer"): v for k, v in latest.items() if k.endswith("_wer")}
    lines = {
        "run": run.name,
        "state": run.state + (", stopping" if run.stopping else "") + (f", {run.note}" if run.note else ""),
        "step": f"{run.step} of {run.steps}" if run.steps else str(run.step),
        "loss": f"{loss:.4f}" if isinstance(loss := latest.get("loss"), float) else loss,
        "wer": ", ".join(f"{name} {100 * rate:.2f} %" for name, rate in wer.items() if isinstance(rate, (int, float))),
        "time": _minutes(run.seconds) + (f", {_minutes(told['eta'])} left" if told["eta"] is not None else ""),
        "error": run.error,
        "started": _clock(run.started) + (f" by {run.who}" if run.who else ""),
        "command": run.command,
    }
    for name, value in lines.items():
        if value not in (None, ""):
            print(f"{name:<8} {value}")
    for alert in runs.alerts(run):
        print(f"{'alert':<8} step {alert.get('step', '?')}: {alert.get('sentence', '')}")
    return 0


def run_logs(args: argparse.Namespace) -> int:
    """`logs`: the end of what a run printed; with --follow, on until it is over."""
    home = settings.read().home
    run = _found(home, args.run_name)
    at = runs.log_size(run)
    print(runs.log(run, args.lines, at))
    for line in runs.follow(home, run.name, at) if args.follow else ():
        print(line, flush=True)
    return 0


def run_stop(args: argparse.Namespace) -> int:
    """`stop`: ask a run to save and end, or take it out of the queue; --now: do not wait for it."""
    home = settings.read().home
    run = runs.kill(home, args.run_name) if args.now else runs.stop(home, args.run_name)
    print(f"{run.name}: {'stops after its next step' if run.stopping else run.state}")
    return 0


def run_register(args: argparse.Namespace) -> int:
    """`register`: offer the best weights of a run in every list of checkpoints."""
    from asrdemo.finetune import register

    print(register.register(settings.read().home, args.run_name))
    return 0


def run_list(args: argparse.Namespace) -> int:
    """`list`: all runs, newest first."""
    found = runs.runs(settings.read().home)
    if args.json:
        _print_json([_told(run) for run in found])
        return 0
    rows = [
        {
            "run": run.name,
            "state": f"{run.state} {run.place}" if run.place else run.state,
            "step": f"{run.step}/{run.steps}" if run.steps else str(run.step),
            "started": _clock(run.started),
            "note": (run.error or run.note)[:60],
        }
        for run in found
    ]
    print(common.table(rows) if rows else "no runs yet")
    return 0


def _begun(home: Path, run: runs.Run, args: argparse.Namespace) -> int:
    """Say that it goes on by itself, or watch it to its end."""
    if args.detach:
        if args.json:
            _print_json(_told(run))
        else:
            print(f"{run.name}: started. `python -m asrdemo finetune status {run.name}` says how far it is.")
        return 0
    others = [other.name for other in runs.queue(home) if other.name != run.name]
    if others:
        print(f"{run.name} waits for {others[0]}; Ctrl-C takes it back.", file=sys.stderr)
    with _asked_by_ctrl_c(home, run.name):
        for line in runs.follow(home, run.name, run.log_from):
            print(line, flush=True, file=sys.stderr if args.json else sys.stdout)
    run = runs.read(home, run.name)
    if args.json:
        _print_json(_told(run))
    if run.state in ("failed", "interrupted", "damaged"):
        raise TrainingError(f"The run {run.name!r} is {run.state}: {run.error}")
    print(f"{run.name}: {run.state} at step {run.step} in {run.folder}", file=sys.stderr)
    return 130 if run.state == "stopped" else 0


@contextmanager
def _asked_by_ctrl_c(home: Path, name: str) -> Iterator[None]:
    """The first Ctrl-C stops the run as `stop` does, the second at once."""

    def asked(*_: object) -> None:
        if runs.read(home, name).stopping:
            runs.kill(home, name)
        else:
            runs.stop(home, name)
            print("saving a checkpoint; Ctrl-C again ends it at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _recipe(args: argparse.Namespace) -> dict[str, Any]:
    """The recipe's keys with the options of the command line on top. Raises ConfigError."""
    if args.corpus_root:
        os.environ["CORPUS_ROOT"] = str(args.corpus_root.resolve())
    data = schema.read_yaml(args.recipe)
    small = data.pop("smoke", None) or {}
    data = schema.merged(data, small if args.smoke else {})
    return schema.merged(data, {"batches": {"max_minutes": args.minutes}} if args.minutes else {})


def _found(home: Path, name: str) -> runs.Run:
    """The run of that name, or the newest where none was named."""
    if name:
        return runs.read(home, name)
    found = runs.runs(home)
    if not found:
        raise NotFoundError("There are no runs yet; `finetune start RECIPE` begins one.")
    return next((run for run in found if run.state == "running"), found[0])


def _told(run: runs.Run) -> dict[str, Any]:
    """A run as plain values."""
    more = {"folder": str(run.folder), "eta": runs.eta(run), "command": run.command, "trainer": run.trainer_command}
    return dataclasses.asdict(run) | more


def _print_json(data: Any) -> None:
    """JSON that every reader takes: what is not a number becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(plain(data), ensure_ascii=False, indent=1))


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
    elif rows:
        print(common.table(rows))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else "?"


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    finetune = commands.add_parser("finetune", help="training", description="Train or fine-tune a checkpoint.")
    inner = finetune.add_subparsers(required=True, metavar="COMMAND")
    for name, run, what in (
        ("precheck", run_precheck, "what would go wrong with a recipe?"),
        ("prepare", run_prepare, "decode what a recipe trains on, once for all runs"),
        ("start", run_start, "train from a recipe; Ctrl-C saves and ends, closing the terminal does not"),
    ):
        _add_recipe(command(inner, name, run, what, f"python -m asrdemo finetune {name} recipes/demo-en.yaml --smoke"))
    _add_start(inner.choices["start"])
    for name, run, what, more in (
        ("resume", run_resume, "go on with a run from its last checkpoint", "my-run --detach"),
        ("status", run_status, "how far is a run?", "my-run --json"),
        ("logs", run_logs, "what a run printed", "my-run --follow"),
        ("stop", run_stop, "have a run save a checkpoint and end, or take it out of the queue", "my-run"),
        ("register", run_register, "offer a run's best weights in every list of checkpoints", "my-run"),
    ):
        made = command(inner, name, run, what, f"python -m asrdemo finetune {name} {more}")
        optional: dict[str, Any] = {"nargs": "?", "default": ""} if name in ("status", "logs") else {}
        left_out = "; the one that trains, or the newest, if left out" if optional else ""
        made.add_argument("run_name", metavar="RUN", help=f"name of a run{left_out}", **optional)
    _add_watching(inner.choices["resume"])
    inner.choices["logs"].add_argument("--lines", type=int, default=40, metavar="N", help="so many (40)")
    inner.choices["logs"].add_argument("--follow", action="store_true", help="go on until the run is over")
    inner.choices["stop"].add_argument("--now", action="store_true", help="at once, without a checkpoint")
    listed = command(inner, "list", run_list, "all runs, newest first", "python -m asrdemo finetune list --json")
    for made in (inner.choices["precheck"], inner.choices["prepare"], inner.choices["status"], listed):
        made.add_argument("--json", action="store_true", help="as JSON")


def _add_recipe(made: argparse.ArgumentParser) -> None:
    made.add_argument("recipe", type=Path, metavar="RECIPE", help="YAML file, see recipes/")
    made.add_argument("--corpus-root", type=Path, metavar="DIR", help="what $CORPUS_ROOT stands for in the recipe")
    made.add_argument("--minutes", type=float, metavar="N", help="wall-clock budget instead of the recipe's")
    made.add_argument("--smoke", action="store_true", help="apply the recipe's smoke section: tiny and quick")


def _add_start(made: argparse.ArgumentParser) -> None:
    made.add_argument("--name", default="", metavar="RUN", help="name of the run; the recipe's if left out")
    made.add_argument("--resume", action="store_true", help="go on with the run of that name where there is one")
    made.add_argument("--processes", type=int, default=1, metavar="N", help="data parallel: one a GPU, or on CPU cores")
    made.add_argument("--trainer", default=runs.TRAINER, help=argparse.SUPPRESS)
    _add_watching(made)


def _add_watching(made: argparse.ArgumentParser) -> None:
    made.add_argument("--detach", action="store_true", help="leave it running and come back")
    made.add_argument("--json", action="store_true", help="print the run as JSON, at the end or with --detach at once")
