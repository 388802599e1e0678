"""Error rates of a run, before and after, as the tables of its model card; see asrdemo.finetune.intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.finetune import intervals, scores
from asrdemo.finetune.intervals import Estimate
from asrdemo.finetune.scores import LEAST_CLIPS
from asrdemo.process import read_json

MEASURES = {
    "WER": ("edits", "words", "wer"),
    "CER": ("letters", "characters", "cer"),
    "WER with the language model": ("lm_edits", "words", "lm_wer"),
    "CER with the language model": ("lm_letters", "characters", "lm_cer"),
}
"""Columns of errors and of their reference, key in before.json and after.json."""
GREEDY, SEARCHED = "WER", "WER with the language model"
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~$#])")
_LINK = re.compile(r"(?i)(https?|ftp)(?=://)|www(?=\.)")


@dataclass(frozen=True)
class Line:
    """A rate of some clips before and after training, and its change; None where that was not measured."""

    set: str
    column: str
    value: str
    measure: str
    before: Estimate | None
    after: Estimate | None
    change: Estimate | None

    @property
    def clips(self) -> int:
        """How many the rates are of."""
        return (self.after or self.before or Estimate(0, None, None, 0, 0)).clips

    @property
    def speakers(self) -> int:
        """Of the clips; 0 where that is not known."""
        return (self.after or self.before or Estimate(0, None, None, 0, 0)).speakers


def lines(folder: Path, columns: Sequence[str] = ()) -> list[Line]:
    """Whole sets in all measures, then GREEDY and SEARCHED of the values of `columns` with clips enough.

    Without before.parquet and after.parquet, what before.json and after.json say, which have no intervals. Raises
    TrainingError for a damaged table.
    """
    before, after = scores.read(folder / scores.BEFORE), scores.read(folder / scores.AFTER)
    either = before if after is None else after
    if either is None:
        return _from_json(read_json(folder / "before.json"), read_json(folder / "after.json"), columns)
    found = []
    for name in pc.unique(either.column("set")).to_pylist():
        one, other = _of(before, "set", [name]), _of(after, "set", [name])
        found += [line for measure in MEASURES if (line := _line(name, "", "", measure, one, other)) is not None]
        for column in columns:
            found += _slices(name, column, one, other)
    return found


def _slices(name: str, column: str, before: pa.Table | None, after: pa.Table | None) -> Iterator[Line]:
    table = before if after is None else after
    values = pc.unique(table.column(column)).to_pylist() if table is not None else []
    for value, holding in scores.members(values).items():
        old, new = _of(before, column, holding), _of(after, column, holding)
        for measure in (GREEDY, SEARCHED):
            line = _line(name, column, value, measure, old, new)
            if line is not None and line.clips >= LEAST_CLIPS:
                yield line


def _line(
    name: str, column: str, value: str, measure: str, before: pa.Table | None, after: pa.Table | None
) -> Line | None:
    """None where there is nothing to tell."""
    old, new = _counts(before, measure), _counts(after, measure)
    if old is None and new is None:
        return None
    change = None
    if before is not None and after is not None and old and new and before["clip"].equals(after["clip"]):
        change = intervals.difference(old[0], new[0], new[1], new[2])
    rates = [intervals.rate(*counts) if counts else None for counts in (old, new)]
    return Line(name, column, value, measure, rates[0], rates[1], change)


def _counts(table: pa.Table | None, measure: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(errors, reference, speakers) of the clips, shape (clips,) each; None where the measure was not taken."""
    errors, reference, _ = MEASURES[measure]
    if table is None or not len(table) or table.column(errors).null_count:
        return None
    return tuple(table.column(c).to_numpy() for c in (errors, reference, "speaker"))  # type: ignore[return-value]


def _of(table: pa.Table | None, column: str, values: list[str]) -> pa.Table | None:
    """The rows in whose column one of these stands."""
    return None if table is None else table.filter(pc.is_in(table.column(column), value_set=pa.array(values)))


def _from_json(before: Mapping[str, Any], after: Mapping[str, Any], columns: Sequence[str]) -> list[Line]:
    def estimate(said: Any, key: str) -> Estimate | None:
        rate = said.get(key) if isinstance(said, dict) else None
        return Estimate(float(rate), None, None, int(said.get("clips", 0)), 0) if rate is not None else None

    def line(set_: str, column: str, value: str, measure: str, key: str, one: Any, other: Any) -> Line:
        old, new = estimate(one, key), estimate(other, key)
        change = Estimate(new.value - old.value, None, None, new.clips, 0) if old and new else None
        return Line(set_, column, value, measure, old, new, change)

    def part(said: Any, column: str) -> dict[str, dict[str, Any]]:
        return {v: {"clips": c, "wer": r} for v, (c, r) in (said or {}).get("slices", {}).get(column, {}).items()}

    found = []
    for name in [*after, *(n for n in before if n not in after)]:
        one, other = before.get(name), after.get(name)
        found += [line(name, "", "", measure, key, one, other) for measure, (*_, key) in MEASURES.items()]
        for column in columns:
            old, new = part(one, column), part(other, column)
            found += [line(name, column, v, "WER", "wer", old.get(v), new.get(v)) for v in new or old]
    return [line for line in found if line.before or line.after]


def percent(estimate: Estimate | None) -> str:
    """`12.3 % (10.1–14.9)`."""
    if estimate is None:
        return "–"
    low, high = estimate.low, estimate.high
    span = "" if low is None or high is None else f" ({100 * low:.1f}–{100 * high:.1f})"
    return f"{100 * estimate.value:.1f} %{span}"


def points(estimate: Estimate | None) -> str:
    """`−2.1 (−3.0 to −1.2)`, in points of a percentage."""
    if estimate is None:
        return "–"
    low, high = estimate.low, estimate.high
    span = "" if low is None or high is None else f" ({_signed(low)} to {_signed(high)})"
    return f"{_signed(estimate.value)}{span}"


def _signed(share: float) -> str:
    shown = round(100 * share, 1)
    return f"{shown:+.1f}".replace("-", "−") if shown else "0.0"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; the cells are text, and nothing in them is markup. Numbers go to the right."""
    right = [bool(rows) and all(re.match(r"[\d−+–]", str(row[i])) for row in rows) for i in range(len(head))]
    marks = ["---:" if number else "---" for number in right]
    return "\n".join(
        "| " + " | ".join(md(str(cell)) for cell in row) + " |" if row is not marks else "|" + "|".join(marks) + "|"
        for row in (head, marks, *rows)
    )


def md(text: str) -> str:
    """A text as Markdown that shows just this, on one line: no emphasis, no link, no HTML."""
    line = _MARKUP.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))
    return _LINK.sub(lambda found: found[0][:-1] + f"&#{ord(found[0][-1])};", line)
