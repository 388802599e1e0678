"""How much speech is enough? The same recipe with 10 minutes, an hour, ten hours ... of its training clips.

Each amount is a run of its own in the queue; less speech of one seed is always a part of more (see select.py), so the
curve differs by the amount alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrdemo.errors import ConfigError
from asrdemo.finetune import journal, runs
from asrdemo.finetune import recipe as recipes

_NAME = re.compile(r"(.+)-(\d+)min")


@dataclass(frozen=True)
class Point:
    """A run of a sweep. hours: asked for. train_hours: of the clips that there were. before, after: error rates by set
    of clips, as the run wrote them; empty until it is over."""

    run: runs.Run
    hours: float
    train_hours: float
    before: dict[str, Any]
    after: dict[str, Any]


def start(home: Path, recipe: recipes.Recipe, hours: Sequence[float], processes: int = 1) -> list[runs.Run]:
    """Put a run for each amount into the queue, the smallest first. Raises ConfigError, TrainingError as runs.start.

    hours: of speech in all, shared out over the recipe's training corpora as they share the hours or clips they name;
    with one corpus, of that corpus.
    """
    if not hours or min(hours) <= 0:
        raise ConfigError(f"The amounts of speech are {list(hours)} hours; expected one or more above 0.")
    if len(recipe.train) > 1 and not all(c.hours for c in recipe.train):
        raise ConfigError(
            f"The recipe {recipe.name!r} trains on {len(recipe.train)} corpora: give each its hours, so that an amount "
            "can be shared out over them, or sweep over one corpus."
        )
    whole = sum(c.hours for c in recipe.train)
    found = []
    for amount in sorted(hours):
        data = recipes.as_dict(recipe)
        for corpus in data["train"]:
            corpus["hours"] = amount * (corpus["hours"] / whole if whole else 1.0)
        data["name"] = f"{recipe.name}-{round(amount * 60)}min"
        found.append(runs.start(home, data, data["name"], processes=processes))
    return found


def curve(home: Path, name: str) -> list[Point]:
    """What the runs of a sweep have reached so far, the smallest amount first; empty where there is no such sweep."""
    points = []
    for run in runs.runs(home):
        found = _NAME.fullmatch(run.name)
        if found and found[1] == name:
            data, before, after = (_json(run.folder / f"{part}.json") for part in ("data", "before", "after"))
            train = sum(c["hours"] for c in data.get("train", {}).values())
            points.append(Point(run, int(found[2]) / 60, train, before, after))
    return sorted(points, key=lambda point: point.hours)


def _json(path: Path) -> dict[str, Any]:
    return journal.read_json(path) if path.is_file() else {}
