"""Columns -> slices: values, bins of numbers, and crossings of two or three columns.

A grouping is written as text, so that a command line and a URL can name it:

    accents                       each value, of many the 300 with the most clips; a clip with several accents is in
                                  the slice of each
    seconds                       bins at the edges below, or quarters where a column has none
    seconds:2,4,6                 under 2, 2 to 4, 4 to 6, 6 or more; a bin includes its lower edge
    snr:q5                        five bins with about as many clips each
    accents*gender*seconds:3      crossed

clip_length, length and rate stand for seconds, seconds and speaking_rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from asrdemo.errors import ConfigError
from evals.filters import Condition
from evals.scored import Scored, is_text, parts
from evals.wording import plain

USUAL = ("accents", "gender", "age", "seconds", "speaking_rate", "snr")
ALIASES = {"clip_length": "seconds", "length": "seconds", "rate": "speaking_rate"}
EDGES = {
    "seconds": (2.0, 4.0, 6.0, 8.0),
    "speaking_rate": (8.0, 11.0, 14.0, 17.0),
    "snr": (10.0, 20.0, 30.0, 40.0),
    "loudness": (-40.0, -30.0, -20.0),
    "bandwidth": (4000.0, 8000.0),
    "words": (4.0, 8.0, 12.0),
    "up_votes": (3.0, 4.0),
    "down_votes": (1.0, 2.0),
}
UNITS = {"seconds": "s", "speaking_rate": "characters/s", "snr": "dB", "loudness": "dBFS", "bandwidth": "Hz",
         "words": "words"}  # fmt: skip
ORDER = {
    "age": ("teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies", "eighties", "nineties")
}
"""Values that have an order of their own, as Common Voice spells them; others are sorted, and come before these."""
UNKNOWN = {"accents": "accent not stated", "gender": "gender not stated", "age": "age not stated"}
OTHERS = "others"
MOST_COLUMNS = 3
MOST_VALUES = 300  # of a column of texts: those with the most clips; the others become one slice
MOST_SLICES = 5000
_MOST_CROSSED = 500_000  # combinations, with clips or without
_MOST_READ = 20_000  # different texts looked at for values
_QUARTERS = 4


@dataclass(frozen=True, eq=False)
class Grouping:
    """Slices of all clips. by: as asked. columns: of the rows. labels: for each slice, a text for each column.

    conditions: for each slice, the filter that picks its clips, () for what no filter says. known: (slices,), whether
    all of its columns say something. code: int32 (clips,), the slice of each clip; extra_clip, extra_code: the further
    slices of clips that are in more than one.
    """

    by: str
    columns: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    conditions: tuple[tuple[Condition, ...], ...]
    known: np.ndarray
    code: np.ndarray
    extra_clip: np.ndarray
    extra_code: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def clips(self) -> np.ndarray:
        """How many clips each slice has, (slices,)."""
        return np.bincount(self.code, minlength=len(self)) + np.bincount(self.extra_code, minlength=len(self))

    def members(self, slice_: int) -> np.ndarray:
        """Which clips are in a slice: bool (clips,)."""
        inside = self.code == slice_
        inside[self.extra_clip[self.extra_code == slice_]] = True
        return inside


def grouping(scored: Scored, by: str) -> Grouping:
    """The slices of a grouping, made once and kept. Only those that have a clip.

    Raises ConfigError for a text that is no grouping or gives more than MOST_SLICES slices, NotFoundError for a
    column that is not there.
    """
    return scored.once(("grouping", by), lambda: _made(scored, by))


def everything(scored: Scored) -> Grouping:
    """One slice with all clips."""
    none = np.zeros(0, np.int32)
    return Grouping("", (), (("all clips",),), ((),), np.ones(1, bool), np.zeros(len(scored), np.int32), none, none)


def _made(scored: Scored, by: str) -> Grouping:
    columns = [each.strip() for each in by.split("*")]
    if not 1 <= len(columns) <= MOST_COLUMNS or len(set(columns)) < len(columns):
        raise ConfigError(f"Grouping {by!r} has {len(columns)} columns; expected 1 to {MOST_COLUMNS}, each once.")
    whole, *others = (_column(scored, column) for column in columns)
    for other in others:
        if len(whole) * len(other) > _MOST_CROSSED:
            raise ConfigError(f"Grouping {by!r} crosses {len(whole):,} by {len(other):,} values; that is too many.")
        whole = crossed(whole, other)
    counts = whole.clips()
    if (present := int((counts > 0).sum())) > MOST_SLICES:
        raise ConfigError(f"Grouping {by!r} gives {present:,} slices, more than {MOST_SLICES:,}. Cross fewer columns.")
    return replace(picked(whole, np.flatnonzero(counts)), by=by)


def crossed(a: Grouping, b: Grouping) -> Grouping:
    """All pairs of their slices."""
    k = len(b)
    first, second = _pairs(a.extra_clip, b.extra_clip)
    codes = [
        a.extra_code * k + b.code[a.extra_clip],
        a.code[b.extra_clip] * k + b.extra_code,
        a.extra_code[first] * k + b.extra_code[second],
    ]
    return Grouping(
        f"{a.by}*{b.by}",
        a.columns + b.columns,
        tuple(x + y for x in a.labels for y in b.labels),
        tuple(x + y if x and y else () for x in a.conditions for y in b.conditions),
        np.logical_and.outer(a.known, b.known).ravel(),
        a.code * np.int32(k) + b.code,
        np.concatenate([a.extra_clip, b.extra_clip, a.extra_clip[first]]),
        np.concatenate(codes).astype(np.int32),
    )


def picked(whole: Grouping, slices: np.ndarray) -> Grouping:
    """Some slices, in that order; if others have clips, these are put into one more slice, the last, not `known`."""
    new = np.full(len(whole), len(slices), np.int32)
    new[slices] = np.arange(len(slices), dtype=np.int32)
    code, extra_code = new[whole.code], new[whole.extra_code]
    others = int((code == len(slices)).any() or (extra_code == len(slices)).any())
    return Grouping(
        whole.by,
        whole.columns,
        (*(whole.labels[i] for i in slices), *[(OTHERS,) * len(whole.columns)] * others),
        (*(whole.conditions[i] for i in slices), *[()] * others),
        np.append(whole.known[slices], [False] * others).astype(bool),
        code,
        whole.extra_clip,
        extra_code,
    )


def _column(scored: Scored, text: str) -> Grouping:
    name, _, bins = text.partition(":")
    name = ALIASES.get(name, name)
    if not is_text(name):
        return _bins(scored, name, bins, text)
    if bins:
        raise ConfigError(f"Grouping {text!r}: {name} holds texts, which have no bins; write {name!r}.")
    return _values(scored, name)


def _values(scored: Scored, name: str) -> Grouping:
    category = scored.category(name)
    counts = np.bincount(category.codes, minlength=len(category.values))
    usual = np.sort(np.argsort(-counts, kind="stable")[:_MOST_READ])
    listed = [parts(name, category.values[i]) for i in usual]
    values = sorted({part for each in listed for part in each})
    values.sort(key=lambda value: ORDER[name].index(value) if value in ORDER.get(name, ()) else -1)
    at = {value: i for i, value in enumerate(values)}
    first = np.full(len(counts), len(values), dtype=np.int32)  # the one after the last: texts not looked at
    first[usual] = [at[each[0]] for each in listed]
    clips, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for text, each in zip(usual, listed, strict=True):
        for part in each[1:]:
            clips.append(np.flatnonzero(category.codes == text))
            codes.append(np.full(len(clips[-1]), at[part], np.int32))
    whole = Grouping(
        name,
        (name,),
        (*((plain(value) or UNKNOWN.get(name, f"{name} not stated"),) for value in values), (OTHERS,)),
        (*((Condition(name, "is", value),) for value in values), ()),
        np.array([bool(value) for value in values] + [False]),
        first[category.codes],
        np.concatenate(clips),
        np.concatenate(codes),
    )
    return picked(whole, np.sort(np.argsort(-whole.clips()[:-1], kind="stable")[:MOST_VALUES]))


def _bins(scored: Scored, name: str, bins: str, text: str) -> Grouping:
    numbers = scored.number(name)
    edges = _edges(numbers, name, bins, text)
    code = np.searchsorted(np.array(edges, np.float32), numbers, side="right").astype(np.int32)
    code[np.isnan(numbers)] = len(edges) + 1
    ends = list(pairwise([None, *edges, None]))
    labels = (*((bin_label(name, *each),) for each in ends), (f"{name} not measured",))
    conditions = (*(bin_conditions(name, *each) for each in ends), (Condition(name, "unknown", ""),))
    none = np.zeros(0, np.int32)
    return Grouping(text, (name,), labels, conditions, np.arange(len(labels)) < len(ends), code, none, none)


def bin_label(name: str, low: float | None, high: float | None) -> str:
    """Such as "under 2 s", "2 to 4 s" and "4 s or more"; None is no end."""
    unit = f" {UNITS[name]}" if name in UNITS else ""
    if low is None:
        return f"under {high:g}{unit}"
    return f"{low:g}{unit} or more" if high is None else f"{low:g} to {high:g}{unit}"


def bin_conditions(name: str, low: float | None, high: float | None) -> tuple[Condition, ...]:
    """The filter for the same."""
    at_least = () if low is None else (Condition(name, "min", low),)
    return at_least if high is None else (*at_least, Condition(name, "below", high))


def _edges(numbers: np.ndarray, name: str, bins: str, text: str) -> tuple[float, ...]:
    """Ascending. Quantiles are of all clips, whatever the filter, so that a slice stays the same; three digits."""
    if not bins and name in EDGES:
        return EDGES[name]
    quantiles = bins.removeprefix("q") if bins else str(_QUARTERS)
    if bins.startswith("q") and not (quantiles.isdecimal() and 2 <= int(quantiles) <= 100):
        raise ConfigError(
            f"Grouping {text!r}: expected q2 to q100 for that many bins of equal size, such as {name}:q4."
        )
    if not bins or bins.startswith("q"):
        here = numbers[np.isfinite(numbers)]
        if not len(here):
            return (0.0,)
        shares = np.quantile(here, np.arange(1, int(quantiles)) / int(quantiles))
        return tuple(sorted({float(f"{edge:.3g}") for edge in shares}))
    try:
        edges = tuple(float(edge) for edge in bins.split(","))
    except ValueError:
        edges = ()
    if not edges or not all(np.isfinite(edges)) or list(edges) != sorted(set(edges)):
        raise ConfigError(f"Grouping {text!r}: expected ascending numbers, such as {name}:2,4,6, or {name}:q4.")
    return edges


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (i, j) of all pairs with a[i] == b[j]."""
    order = np.argsort(b, kind="stable")
    low, high = (np.searchsorted(b[order], a, side=side) for side in ("left", "right"))
    times = high - low
    first = np.repeat(np.arange(len(a)), times)
    within = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
    return first, order[np.repeat(low, times) + within]
