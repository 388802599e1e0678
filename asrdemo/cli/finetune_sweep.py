"""`finetune sweep` and `curve`: the same recipe with more and more speech, and what that brings."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from asrdemo import settings
from asrdemo.cli import common, finetune_runs
from asrdemo.cli.common import command
from asrdemo.cli.finetune_common import add_json, add_recipe, environment_of, print_json, recipe_of, told
from asrdemo.errors import NotFoundError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs, sweep

if TYPE_CHECKING:
    from asrdemo.finetune.card_scores import Line
    from asrdemo.finetune.intervals import Estimate

_NAMES = dict(zip(sweep.MEASURES, ("wer", "lm_wer"), strict=True))
_SHORT = dict(zip(sweep.MEASURES, ("WER", "with LM"), strict=True))


def run_sweep(args: argparse.Namespace) -> int:
    """`sweep`: a run for each amount of speech, watched one after another unless --detach."""
    home = settings.read().home
    data = recipe_of(args)
    begun = sweep.start(
        home, data, args.hours, args.name, args.corpus, processes=args.processes, environment=environment_of(args),
        _trainer=args.trainer,
    )  # fmt: skip
    part = sweep.part_of(begun[0])
    name = part.name if part else begun[0].name
    each = recipes.from_dict(data).batches.max_minutes
    most = f", {each:g} minutes each at most" if each else ""
    how = f"`python -m asrdemo finetune curve {name}` shows how far they are."
    said = f"{name}: {len(begun)} run{'s' * (len(begun) > 1)}, one after another{most}. {how}"
    if args.detach:
        print_json([told(run) for run in begun]) if args.json else print(said)
        return 0
    print(said, file=sys.stderr)
    over = finetune_runs.watched(home, begun, quiet=args.json)
    _print(sweep.points(runs.runs(home), name), args.json)
    return finetune_runs.ended(over)


def run_curve(args: argparse.Namespace) -> int:
    """`curve`: what the runs of a sweep have reached."""
    found = runs.runs(settings.read().home)
    name = args.sweep_name or next(iter(sweep.names(found)), "")
    if not name:
        raise NotFoundError("There is no sweep yet; `finetune sweep RECIPE --hours 0.2 1 10` starts one.")
    _print(sweep.points(found, name), args.json)
    return 0


def _print(points: list[sweep.Point], as_json: bool) -> None:
    if as_json:
        print_json([as_dict(point) for point in points])
    else:
        told_of = {line.measure for point in points for line in point.rates}
        shown = {measure: short for measure, short in _SHORT.items() if measure in told_of or measure == "WER"}
        print(common.table([row for point in points for row in _rows(point, shown)]))


def as_dict(point: sweep.Point) -> dict[str, Any]:
    """A point as plain values. sets: id -> clips, speakers, and `before` and `after` of each measure, which hold a rate
    and its 95 % interval, as fractions; null where that was not measured."""
    sets: dict[str, dict[str, Any]] = {}
    for line in point.rates:
        made = sets.setdefault(line.set, {"clips": line.clips, "speakers": line.speakers})
        made[_NAMES[line.measure]] = {"before": _estimate(line.before), "after": _estimate(line.after)}
    return {
        "sweep": point.part.name,
        "run": point.run.name,
        "state": point.run.state,
        "corpus": point.part.corpus,
        "hours_asked": point.part.hours,
        "hours": point.hours or None,
        "clips": point.clips or None,
        "sets": sets,
    }


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else {"rate": found.value, "low": found.low, "high": found.high}


def _rows(point: sweep.Point, measures: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each set of clips, or one that says how far the run is. measures: those to tell, and their short
    names."""
    head = {
        "asked": sweep.said(point.part.hours),
        "there were": f"{sweep.about(point.hours)}, {point.clips:,} clips" if point.hours else "–",
        "run": point.run.name,
        "state": f"{point.run.state} {point.run.place}" if point.run.place else point.run.state,
    }
    sets = {line.set: line.clips for line in point.rates} or {"–": 0}
    by = {(line.set, line.measure): line for line in point.rates}
    return [
        head
        | {"scored on": name, "clips scored": f"{clips:,}" if clips else "–"}
        | {
            f"{short} {when} %": _percent(by.get((name, measure)), when)
            for measure, short in measures.items()
            for when in ("before", "after")
        }
        for name, clips in sets.items()
    ]


def _percent(line: Line | None, when: str) -> str:
    """`12.3 (10.1–14.9)`."""
    if line is None:
        return "–"
    from asrdemo.finetune import card_scores

    return card_scores.percent(line.before if when == "before" else line.after).replace(" %", "")


def add(inner: Any) -> None:
    """Add these commands to the parser of `finetune`."""
    what = "how much speech is enough? A run for each amount, one after another"
    example = "python -m asrdemo finetune sweep recipes/demo-en-tuned.yaml --corpus scottish --hours 0.05 0.1 0.4"
    made = command(inner, "sweep", run_sweep, what, example)
    add_recipe(made)
    made.add_argument(
        "--hours", type=float, nargs="+", required=True, metavar="N", help="amounts of speech to train on"
    )
    made.add_argument("--corpus", default="", metavar="ID", help="vary this training corpus, and leave the others")
    made.add_argument("--name", default="", metavar="SWEEP", help="the recipe's if left out; one that is there grows")
    finetune_runs.add_processes(made)
    finetune_runs.add_watching(made)
    what = "what the runs of a sweep have reached: word error rates by amount of speech"
    made = command(inner, "curve", run_curve, what, "python -m asrdemo finetune curve demo-en-tuned")
    made.add_argument("sweep_name", nargs="?", default="", metavar="SWEEP", help="the newest if left out")
    add_json(made)
