"""How much speech is enough? The same recipe with 10 minutes, an hour, ten hours ... of its training clips.

Each amount is a run of its own in the queue; less speech of one seed is always a part of more (see select.py), so the
curve differs by the amount alone. Which sweep a run belongs to stands in its run.json under `sweep`; names of runs say
nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo import process
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.finetune import contents, runs
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.recipe import Publish, Recipe, TrainCorpus
from asrdemo.finetune.runs import Run

if TYPE_CHECKING:
    from asrdemo.finetune.card_scores import Line

KEY = "sweep"  # in run.json
MEASURES = ("WER", "WER with the language model")
"""What a point tells, of the measures of card_scores."""
_MOST_NAME = 44  # characters; a run's has 64 with its amount


@dataclass(frozen=True)
class Part:
    """What run.json says. name: of the sweep; hours: asked for; corpus: id of the training corpus they are of, "" for
    all of them together."""

    name: str
    hours: float
    corpus: str = ""


@dataclass(frozen=True)
class Point:
    """A run of a sweep. hours, clips: of the varied speech as there were, 0 until the run has prepared them. rates: of
    each dev and test set in MEASURES, base and best weights; empty until it is over."""

    run: Run
    part: Part
    hours: float
    clips: int
    rates: tuple[Line, ...]


def start(
    home: Path,
    recipe: Mapping[str, Any],
    hours: Sequence[float],
    name: str = "",
    corpus: str = "",
    *,
    processes: int = 1,
    environment: Mapping[str, str] | None = None,
    _trainer: str = runs.TRAINER,
) -> list[Run]:
    """Put a run for each amount into the queue, the smallest first.

    hours: of speech, of the training corpus with the id `corpus`; of all together if left out, shared out as the hours
    that the recipe gives them. name: of the sweep, the recipe's if left out; one that is there gets more amounts, if
    its recipe is the same. Raises ConfigError, TrainingError.
    """
    parsed = recipes.from_dict({key: recipe[key] for key in recipe if key != "smoke"})
    _check(parsed, hours, corpus)
    amounts = sorted(set(hours))
    known = _members(runs.runs(home))
    if name in known:
        _check_same(name, known[name], parsed, amounts, corpus)
    name = name or _free(home, parsed.name, amounts, known)
    todo = [(Part(name, amount, corpus), _with(recipe, amount, corpus, name)) for amount in amounts]
    begun = []
    for part, data in todo:
        run = runs.start(home, data, data["name"], processes=processes, environment=environment, _trainer=_trainer)
        record = process.read_json(run.folder / runs.RECORD)
        process.write_json(run.folder / runs.RECORD, {**record, KEY: dataclasses.asdict(part)})
        begun.append(run)
    return begun


def part_of(run: Run) -> Part | None:
    """The sweep that a run belongs to."""
    said = process.read_json(run.folder / runs.RECORD).get(KEY)
    if not isinstance(said, dict):
        return None
    part = Part(**process.pick(said, {"name": "", "hours": 0.0, "corpus": ""}))
    return part if part.name and part.hours > 0 else None


def names(found: Sequence[Run]) -> list[str]:
    """The sweeps of these runs, in the order of the runs."""
    return list(_members(found))


def points(found: Sequence[Run], name: str) -> list[Point]:
    """What the runs of a sweep have reached so far, the smallest amount first.

    found: all runs. Raises NotFoundError with the sweeps there are, TrainingError for damaged scores.
    """
    known = _members(found)
    if name not in known:
        there = ", ".join(known) or "none"
        raise NotFoundError(f"There is no sweep {name[:100]!r}; there are: {there}. `finetune sweep` starts one.")
    return sorted((_point(run, part) for run, part in known[name]), key=lambda point: point.part.hours)


def said(hours: float) -> str:
    """An amount of speech in words: `12 min`, `1.5 h`."""
    return f"{60 * hours:.3g} min" if hours < 0.995 else f"{hours:.3g} h" if hours < 1000 else f"{hours:,.0f} h"


def about(hours: float) -> str:
    """An amount as it was measured, in words: whole minutes from ten on."""
    return f"{60 * hours:.2g} min" if hours < 0.995 else said(hours)


def _members(found: Sequence[Run]) -> dict[str, list[tuple[Run, Part]]]:
    known: dict[str, list[tuple[Run, Part]]] = {}
    for run in found:
        if part := part_of(run):
            known.setdefault(part.name, []).append((run, part))
    return known


def _point(run: Run, part: Part) -> Point:
    train = contents.read(run.folder).get("train")
    sets = [s for id, s in train.items() if part.corpus in ("", id)] if isinstance(train, dict) else []
    sizes = [process.pick(each, {"hours": 0.0, "clips": 0}) for each in sets if isinstance(each, dict)]
    hours, clips = sum(s["hours"] for s in sizes), sum(s["clips"] for s in sizes)
    files = [run.folder / file for file in ("after.json", "after.parquet", "before.parquet")]
    over = not run.active and files[0].is_file()
    stamps = tuple(path.stat().st_mtime_ns for path in files if path.is_file())
    return Point(run, part, hours, clips, _rates(run.folder, stamps) if over else ())


@functools.lru_cache(maxsize=256)
def _rates(folder: Path, stamps: tuple[int, ...]) -> tuple[Line, ...]:
    """Rates of whole sets; kept, since a page asks every two seconds. stamps: times of the files they are from."""
    from asrdemo.finetune import card_scores

    return tuple(line for line in card_scores.lines(folder) if line.measure in MEASURES)


def _check(recipe: Recipe, hours: Sequence[float], corpus: str) -> None:
    """Raises ConfigError for amounts or a corpus that are no good."""
    if not hours or not all(0 < amount < math.inf for amount in hours):
        shown = " ".join(f"{amount:g}" for amount in hours) or "none"
        raise ConfigError(f"The amounts of speech are {shown}; expected one or more, in hours, each above 0.")
    if len({said(amount) for amount in hours}) < len(set(hours)):
        raise ConfigError("Two amounts of speech are all but the same; expected amounts that differ by 1 % or more.")
    if recipe.mode == "pretrain":
        raise ConfigError("A sweep compares word error rates, and pre-training has none. Sweep over a fine-tuning.")
    ids = [source.id for source in recipe.train]
    if corpus and corpus not in ids:
        raise ConfigError(f"The recipe trains on no corpus {corpus!r}; its training corpora are: {', '.join(ids)}.")
    if not corpus and len(ids) > 1 and not all(source.hours for source in recipe.train):
        raise ConfigError(
            f"The recipe {recipe.name!r} trains on {len(ids)} corpora ({', '.join(ids)}). Say which of them there is "
            "to be more and less of, or give each its hours in the recipe, to share an amount out over all."
        )


def _check_same(
    name: str, there: Sequence[tuple[Run, Part]], recipe: Recipe, amounts: Sequence[float], corpus: str
) -> None:
    """Raises ConfigError unless these amounts belong on the curve that is there."""
    run, part = there[0]
    if part.corpus != corpus or _constant(recipes.load(run.folder / runs.RECIPE), corpus) != _constant(recipe, corpus):
        raise ConfigError(
            f"There is a sweep {name!r} of another recipe, or over another corpus: its curve would mean nothing. "
            "Choose another name."
        )
    taken = [said(p.hours) for _, p in there if said(p.hours) in {said(amount) for amount in amounts}]
    if taken:
        raise ConfigError(f"The sweep {name!r} has {', '.join(taken)} already; ask for other amounts.")


def _constant(recipe: Recipe, corpus: str) -> Recipe:
    """What is the same in all runs of a sweep: without names, and with shares in the place of varied hours."""
    whole = sum(source.hours for source in recipe.train)

    def share(source: TrainCorpus) -> float:
        if corpus:
            return 0.0 if source.id == corpus else source.hours
        return round(source.hours / whole, 6) if whole else 1.0

    train = tuple(dataclasses.replace(source, hours=share(source)) for source in recipe.train)
    return dataclasses.replace(recipe, name="", train=train, publish=Publish())


def _with(recipe: Mapping[str, Any], amount: float, corpus: str, sweep: str) -> dict[str, Any]:
    """The recipe with so much speech, and names that say so."""
    data = copy.deepcopy({key: recipe[key] for key in recipe if key != "smoke"})
    whole = sum(float(source.get("hours", 0.0)) for source in data["train"])
    for source in data["train"]:
        if corpus in ("", source["id"]):
            share = float(source.get("hours", 0.0)) / whole if whole and not corpus else 1.0
            source["hours"] = amount * share
    data["name"] = _run_name(sweep, amount)
    if title := (data.get("publish") or {}).get("title"):
        data["publish"]["title"] = f"{title}, {said(amount)}"
    return data


def _run_name(sweep: str, amount: float) -> str:
    return f"{sweep}-{said(amount).replace(' ', '').replace(',', '')}"


def _free(home: Path, wanted: str, amounts: Sequence[float], known: Mapping[str, Any]) -> str:
    """A name for the sweep, numbered where it, or the name of one of its runs, is taken."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:_MOST_NAME] or "sweep"

    def taken(name: str) -> bool:
        return name in known or any((home / "runs" / _run_name(name, amount)).exists() for amount in amounts)

    return next(name for n in range(1, 10_000) if not taken(name := f"{slug}-{n}" if n > 1 else slug))
