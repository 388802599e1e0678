"""`finetune start --on jobs`, `fetch` and `flavours`: runs on Hugging Face Jobs. Nothing starts there before its price
is confirmed as an argument, so no script rents a machine by accident."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrdemo import process, settings
from asrdemo.cli import common
from asrdemo.cli.common import command
from asrdemo.cli.finetune_common import add_json, add_run, print_json
from asrdemo.errors import ConfigError, TrainingError
from asrdemo.finetune import flavours, runs, schema
from asrdemo.finetune import recipe as recipes

JOBS = "jobs"
_ONLY_THERE = {"flavour": "", "job_minutes": 0.0, "confirm": None, "corpora": "", "namespace": ""}
_ONLY_HERE = {"processes": 1, "resume": False, "corpus_root": None, "anyway": False}
_LOST = ("interrupted", "failed")  # states of a run whose job may still be at work


def check(args: argparse.Namespace) -> None:
    """Raises ConfigError for options of `start` that mean nothing where the run is to be."""
    there = args.on == JOBS
    idle = [n for n, left_out in (_ONLY_HERE if there else _ONLY_THERE).items() if getattr(args, n) != left_out]
    if idle:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        why = "a job takes a machine of its own; --corpora mounts speech there" if there else "add --on jobs"
        raise ConfigError(f"{options} means nothing {'with' if there else 'without'} --on jobs: {why}.")
    if there and not args.flavour:
        raise ConfigError("Say which machine to rent with --flavour; `finetune flavours` lists them with their prices.")


def submit(home: Path, recipe: Path | Mapping[str, Any], args: argparse.Namespace) -> runs.Run | None:
    """Start the recipe as a job where --confirm agrees to its price; else say what it would cost, and None.

    Raises ConfigError, TrainingError.
    """
    from asrdemo.finetune import backends

    if args.confirm is None:
        _tell_price(recipe, args)
        return None
    return backends.submit(
        home, recipe, args.name, flavour=args.flavour, confirm=args.confirm, minutes=args.job_minutes,
        corpora=args.corpora, namespace=args.namespace,
    )  # fmt: skip


def _tell_price(recipe: Path | Mapping[str, Any], args: argparse.Namespace) -> None:
    from asrdemo.finetune import backends

    data = dict(recipe) if isinstance(recipe, Mapping) else schema.read_yaml(recipe)
    data.pop("smoke", None)
    minutes = backends.timeout_of(recipes.from_dict(data, args.recipe.name), args.job_minutes)
    dollars = backends.cost(args.flavour, minutes)
    if args.json:
        print_json({"flavour": args.flavour, "minutes": minutes, "dollars": dollars, "started": False})
        return
    print(
        f"Nothing was started. {minutes:g} minutes on {args.flavour} cost ${dollars:.2f} at most, by the price list of "
        f"{flavours.PRICES_READ}; a job that ends earlier costs less. To start it, add: --confirm {dollars:.2f}"
    )


def stopped(home: Path, before: runs.Run, now: bool) -> str:
    """What `stop` means for the job of a run, "" for a run without one. Where nobody watches it from here any more,
    `now` cancels it; runs.kill has done so where somebody did. Raises TrainingError."""
    if before.backend != JOBS:
        return ""
    if before.active:
        return "its job is cancelled" if now else ""
    if before.state not in _LOST or _over(before):
        return ""
    if not now:
        return "nobody watches its job, which may go on and cost: stop it with --now, or resume the run"
    from asrdemo.finetune import backends

    backends.cancel(home, before.name)
    return "its job is cancelled"


def _over(run: runs.Run) -> bool:
    """Whether the job was known to have ended."""
    from asrdemo.finetune import jobs_watch

    return process.read_json(run.folder / jobs_watch.JOB).get("stage") in jobs_watch.OVER


def run_fetch(args: argparse.Namespace) -> int:
    """`fetch`: bring what a job has pushed so far."""
    from asrdemo.finetune import backends

    home = settings.read().home
    run = runs.read(home, args.run_name)
    if run.backend != JOBS:
        raise TrainingError(f"The run {run.name!r} is on this machine; only runs on Hugging Face Jobs are fetched.")
    stage = backends.fetch(home, run.name)
    print(f"{run.name}: the job is {stage}; what it has pushed so far is in {run.folder}")
    return 0


def run_flavours(args: argparse.Namespace) -> int:
    """`flavours`: the machines of Hugging Face Jobs, and dollars an hour."""
    there = flavours.FLAVOURS.items()
    if args.json:
        print_json([{"flavour": name, **each._asdict()} for name, each in there])
        return 0
    rows = [
        {"flavour": name, "GPUs": each.gpus, "memory, GB": each.memory_gb, "dollars an hour": f"{each.dollars:.2f}"}
        for name, each in there
    ]
    print(common.table(rows))
    print(f"Memory: of each GPU, or of a machine without one. Prices as read on {flavours.PRICES_READ}.")
    return 0


def add(inner: Any) -> None:
    """Add these commands to the parser of `finetune`."""
    start = "python -m asrdemo finetune"
    what = "bring what a run on Hugging Face Jobs has pushed so far"
    add_run(command(inner, "fetch", run_fetch, what, f"{start} fetch my-run"))
    what = "machines of Hugging Face Jobs, their memory and price"
    add_json(command(inner, "flavours", run_flavours, what, f"{start} flavours"))


def add_options(made: argparse.ArgumentParser) -> None:
    """The options of `start` that rent a machine."""
    group = made.add_argument_group(
        "on Hugging Face Jobs", "Without --confirm, only the price is told: start RECIPE --on jobs --flavour l4x1"
    )
    group.add_argument("--on", choices=("local", JOBS), default="local", help="where to train (local)")
    group.add_argument("--flavour", default="", metavar="F", help="the machine, one of `finetune flavours`")
    what = "when the job is ended; the recipe's minutes and half an hour if left out"
    group.add_argument("--job-minutes", type=float, default=0.0, metavar="N", help=what)
    group.add_argument("--confirm", type=float, metavar="DOLLARS", help="start it: it may cost so much")
    what = "mounted for $CORPUS_ROOT: hf://buckets/OWNER/NAME or hf://datasets/OWNER/NAME"
    group.add_argument("--corpora", default="", metavar="ADDRESS", help=what)
    group.add_argument("--namespace", default="", metavar="NS", help="who pays, if not the token's owner")
