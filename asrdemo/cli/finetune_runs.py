"""`finetune start, resume, status, logs, stop, list`: runs on this machine, and on Hugging Face Jobs.

A run outlives the terminal: `start` only watches its process, and Ctrl-C asks it to save a checkpoint and end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrdemo import settings
from asrdemo.cli import common, finetune_jobs
from asrdemo.cli.common import command
from asrdemo.cli.finetune_common import (
    add_json,
    add_recipe,
    add_run,
    clock,
    environment_of,
    found,
    minutes,
    print_json,
    recipe_of,
    told,
)
from asrdemo.errors import TrainingError
from asrdemo.finetune import runs

_BROKEN = ("failed", "interrupted", "damaged")


def run_start(args: argparse.Namespace) -> int:
    """`start`: a new run, watched unless --detach; on Hugging Face Jobs only once its price is confirmed."""
    finetune_jobs.check(args)
    home = settings.read().home
    recipe = recipe_of(args) if args.smoke or args.minutes is not None else args.recipe
    if args.on == finetune_jobs.JOBS:
        run = finetune_jobs.submit(home, recipe, args)
        return 1 if run is None else _begun(home, run, args)
    run = runs.start(
        home, recipe, args.name, resume=args.resume, processes=args.processes, environment=environment_of(args),
        anyway=args.anyway, _trainer=args.trainer,
    )  # fmt: skip
    return _begun(home, run, args)


def run_resume(args: argparse.Namespace) -> int:
    """`resume`: go on with a run that stopped, failed or was killed."""
    home = settings.read().home
    return _begun(home, runs.resume(home, args.run_name, anyway=args.anyway), args)


def run_status(args: argparse.Namespace) -> int:
    """`status`: how far a run is."""
    run = found(settings.read().home, args.run_name)
    known = told(run)
    if args.json:
        print_json(known | {"latest": runs.latest(run), "alerts": runs.alerts(run)})
        return 0
    latest = runs.latest(run)
    wer = {k.removeprefix("eval_").removesuffix("_wer"): v for k, v in latest.items() if k.endswith("_wer")}
    lines = {
        "run": run.name,
        "state": run.state + (", stopping" if run.stopping else "") + (f", {run.note}" if run.note else ""),
        "step": f"{run.step} of {run.steps}" if run.steps else str(run.step),
        "loss": f"{loss:.4f}" if isinstance(loss := latest.get("loss"), float) else loss,
        "wer": ", ".join(f"{name} {100 * rate:.2f} %" for name, rate in wer.items() if isinstance(rate, (int, float))),
        "time": minutes(run.seconds) + (f", {minutes(known['eta'])} left" if known["eta"] is not None else ""),
        "error": run.error,
        "started": clock(run.started) + (f" by {run.who}" if run.who else ""),
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
    run = found(home, args.run_name)
    at = runs.log_size(run)
    print(runs.log(run, args.lines, at))
    for line in runs.follow(home, run.name, at) if args.follow else ():
        print(line, flush=True)
    return 0


def run_stop(args: argparse.Namespace) -> int:
    """`stop`: ask a run to save and end, or take it out of the queue; --now: do not wait for it."""
    home = settings.read().home
    before = runs.read(home, args.run_name)
    run = runs.kill(home, args.run_name) if args.now else runs.stop(home, args.run_name)
    job = finetune_jobs.stopped(home, before, args.now)
    now = run.state if not run.stopping else "taken back" if before.state == "queued" else "stops after its next step"
    print(f"{run.name}: {now}{job and f'; {job}'}")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """`list`: all runs, newest first."""
    there = runs.runs(settings.read().home)
    if args.json:
        print_json([told(run) for run in there])
        return 0
    rows = [
        {
            "run": run.name,
            "state": f"{run.state} {run.place}" if run.place else run.state,
            "step": f"{run.step}/{run.steps}" if run.steps else str(run.step),
            "started": clock(run.started),
            "note": (run.error or run.note)[:60],
        }
        for run in there
    ]
    print(common.table(rows) if rows else "no runs yet")
    return 0


def watched(home: Path, begun: Sequence[runs.Run], quiet: bool) -> list[runs.Run]:
    """Print what these runs print, one after another, to the end of the last; how they ended. quiet: on stderr."""
    with _asked_by_ctrl_c(home, [run.name for run in begun]):
        for run in begun:
            if len(begun) > 1:
                print(f"== {run.name}", file=sys.stderr)
            for line in runs.follow(home, run.name, run.log_from):
                print(line, flush=True, file=sys.stderr if quiet else sys.stdout)
    return [runs.read(home, run.name) for run in begun]


def ended(over: Sequence[runs.Run]) -> int:
    """Say how runs ended; the exit code. Raises TrainingError where one broke."""
    for run in over:
        if run.state not in _BROKEN:
            print(f"{run.name}: {run.state} at step {run.step} in {run.folder}", file=sys.stderr)
    broken = [f"The run {run.name!r} is {run.state}: {run.error}" for run in over if run.state in _BROKEN]
    if broken:
        raise TrainingError(" ".join(broken))
    return 130 if any(run.state == "stopped" for run in over) else 0


def _begun(home: Path, run: runs.Run, args: argparse.Namespace) -> int:
    """Say that it goes on by itself, or watch it to its end."""
    if args.detach:
        if args.json:
            print_json(told(run))
        else:
            print(f"{run.name}: started. `python -m asrdemo finetune status {run.name}` says how far it is.")
        return 0
    others = [other.name for other in runs.queue(home) if other.name != run.name]
    if others and run.backend == "local":
        print(f"{run.name} waits for {others[0]}; Ctrl-C takes it back.", file=sys.stderr)
    over = watched(home, [run], args.json)
    if args.json:
        print_json(told(over[0]))
    return ended(over)


@contextmanager
def _asked_by_ctrl_c(home: Path, names: Sequence[str]) -> Iterator[None]:
    """The first Ctrl-C stops the runs as `stop` does, the second at once; the last of the queue goes first, so that
    none begins in between."""

    def asked(*_: object) -> None:
        active = [run for name in reversed(names) if (run := runs.read(home, name)).active]
        again = any(run.stopping for run in active)
        for run in active:
            (runs.kill if again else runs.stop)(home, run.name)
        if active and not again:
            print("saving a checkpoint; Ctrl-C again ends it at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def add(inner: Any) -> None:
    """Add these commands to the parser of `finetune`."""
    what = "train from a recipe; Ctrl-C saves and ends, closing the terminal does not"
    _add_start(
        command(inner, "start", run_start, what, "python -m asrdemo finetune start recipes/demo-en.yaml --smoke")
    )
    for name, run, what, more in (
        ("resume", run_resume, "go on with a run from its last checkpoint", "my-run --detach"),
        ("status", run_status, "how far is a run?", "my-run --json"),
        ("logs", run_logs, "what a run printed", "my-run --follow"),
        ("stop", run_stop, "have a run save a checkpoint and end, or take it out of the queue", "my-run"),
    ):
        made = command(inner, name, run, what, f"python -m asrdemo finetune {name} {more}")
        add_run(made, optional=name in ("status", "logs"))
    add_watching(inner.choices["resume"])
    add_anyway(inner.choices["resume"])
    inner.choices["logs"].add_argument("--lines", type=int, default=40, metavar="N", help="so many (40)")
    inner.choices["logs"].add_argument("--follow", action="store_true", help="go on until the run is over")
    now = "at once, without a checkpoint; a job on Hugging Face is cancelled, whether it is still watched here or not"
    inner.choices["stop"].add_argument("--now", action="store_true", help=now)
    listed = command(inner, "list", run_list, "all runs, newest first", "python -m asrdemo finetune list --json")
    for made in (inner.choices["status"], listed):
        add_json(made)


def _add_start(made: argparse.ArgumentParser) -> None:
    add_recipe(made)
    made.add_argument("--name", default="", metavar="RUN", help="name of the run; the recipe's if left out")
    made.add_argument("--resume", action="store_true", help="go on with the run of that name where there is one")
    add_anyway(made)
    add_processes(made)
    add_watching(made)
    finetune_jobs.add_options(made)


def add_processes(made: argparse.ArgumentParser) -> None:
    """The options that say how a run trains."""
    made.add_argument("--processes", type=int, default=1, metavar="N", help="data parallel: one a GPU, or on CPU cores")
    made.add_argument("--trainer", default=runs.TRAINER, help=argparse.SUPPRESS)


def add_anyway(made: argparse.ArgumentParser) -> None:
    """The option that overrules the look-over."""
    made.add_argument("--anyway", action="store_true", help="train even where the look-over before it forbids to")


def add_watching(made: argparse.ArgumentParser) -> None:
    """The options of a command that watches what it starts."""
    made.add_argument("--detach", action="store_true", help="leave it running and come back")
    made.add_argument("--json", action="store_true", help="print the run as JSON, at the end or with --detach at once")
