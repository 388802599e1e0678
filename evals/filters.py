"""Which clips: a small description that fits into a URL, and the mask it gives.

    accents=Scottish+English&accents=Irish+English     one of these values ("" is: not stated)
    gender.not=male_masculine                          none of these values
    seconds.min=2&seconds.below=6                      2 to 6; `max` includes its end, `below` does not
    down_votes.min=1                                   votes, and any other column of numbers; `words`: of the reference
    snr.unknown=                                       there is no number
    accents=A&accents.also=B                           of the clips with A, those with B as well (a clip may have both)
    reference.has=hello                                text contains, in any case of letters
    wrong=demo-en&correct=demo-tuned                   clips with and without word errors in a run

Different keys must all hold; of the same key with `is` or `not`, the values are listed. `hypothesis@RUN.has` looks at
the hypotheses of one run; without @RUN the first result is meant. What is looked for in normalised texts may be written
in any way that the result's normaliser makes the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pyarrow.compute as pc

from asrdemo import text
from asrdemo.errors import ConfigError, ResultError
from evals.scored import Scored, is_text, parts
from evals.wording import plain

_SUFFIXES = ("not", "also", "min", "max", "below", "unknown", "has")
_RANGES = ("min", "max", "below")
_OUTCOMES = ("correct", "wrong")
_NORMALISED = ("reference", "hypothesis")
MOST = 200  # conditions of a filter
_MOST_SAID = 10  # of them, in a message


@dataclass(frozen=True)
class Condition:
    """column: of the rows, `hypothesis@RUN`, or "" for an outcome.

    op: is, not, also, min, max, below, unknown, has, correct, wrong. value: text, number, name of a run, "" for
    unknown.
    """

    column: str
    op: str
    value: str | float

    def __str__(self) -> str:
        words = {"is": "is", "not": "is not", "also": "is also", "min": "at least", "max": "at most", "below": "below",
                 "has": "contains"}  # fmt: skip
        if self.op in _OUTCOMES:
            return f"{self.op} in {self.value}"
        if self.op == "unknown":
            return f"{self.column} unknown"
        return f"{self.column} {words[self.op]} {self.said}"

    @property
    def said(self) -> str:
        """The value for people."""
        return f"{self.value:g}" if isinstance(self.value, float) else plain(self.value) or "not stated"


def parse(query: str) -> tuple[Condition, ...]:
    """The text of a URL's query -> conditions. Raises ConfigError for a number that is none, and for more than MOST."""
    found = []
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(pairs) > MOST:
        raise ConfigError(f"The filter has {len(pairs):,} conditions; at most {MOST} can hold at once.")
    for key, value in pairs:
        column, dot, op = key.rpartition(".")
        if key in _OUTCOMES:
            found.append(Condition("", key, value))
        elif not dot or op not in _SUFFIXES:
            found.append(Condition(key, "is", value))
        else:
            found.append(Condition(column, op, _number(key, value) if op in _RANGES else value))
    return tuple(found)


def query(conditions: Iterable[Condition]) -> str:
    """Conditions -> text for a URL; `parse` gives them back."""
    pairs = []
    for each in conditions:
        key = each.op if each.op in _OUTCOMES else each.column + ("" if each.op == "is" else f".{each.op}")
        pairs.append((key, repr(each.value) if isinstance(each.value, float) else each.value))
    return urlencode(pairs)


def describe(conditions: Iterable[Condition]) -> str:
    """In words, such as "accents is Scottish English or Irish English, seconds at least 2"; "all clips" for none."""
    parts: list[str] = []
    last: Condition | None = None
    for each in conditions:
        if last is not None and each.op == "is" == last.op and each.column == last.column:
            parts[-1] += f" or {each.said}"
        else:
            parts.append(str(each))
        last = each
    return ", ".join(parts) or "all clips"


def chosen(scored: Scored, conditions: Sequence[Condition]) -> np.ndarray | None:
    """The mask of a filter as pages, reports and commands use it: None, for a whole corpus, without any condition.

    Raises ResultError where no clip is left, and what `mask` raises.
    """
    if not conditions:
        return None
    kept = mask(scored, conditions)
    if not kept.any():
        raise ResultError(f"No clip fits this filter: {describe(conditions[:_MOST_SAID])}. Take a part of it away.")
    return kept


def mask(scored: Scored, conditions: Iterable[Condition]) -> np.ndarray:
    """Which clips fulfil all conditions: bool (clips,).

    A clip without a number is in no range. Raises NotFoundError for a column or run that is not there, ResultError for
    a range of texts, values of numbers, or a part of what is no text.
    """
    kept = np.ones(len(scored), dtype=bool)
    listed: dict[tuple[str, str], list[str]] = {}
    for each in conditions:
        if each.op in ("is", "not"):
            listed.setdefault((each.column, each.op), []).append(str(each.value))
        elif each.op in _OUTCOMES:
            kept &= (scored.errors[scored.run(str(each.value))] == 0) == (each.op == "correct")
        elif each.op == "also":
            kept &= _among(scored, each.column, [str(each.value)])
        elif each.op == "has":
            kept &= _containing(scored, each.column, str(each.value))
        elif each.op == "unknown":
            kept &= np.isnan(scored.number(each.column))
        else:
            kept &= _within(scored.number(each.column), each.op, float(each.value))
    for (column, op), values in listed.items():
        kept &= _among(scored, column, values) == (op == "is")
    return kept


def _containing(scored: Scored, column: str, part: str) -> np.ndarray:
    """Clips whose text has this part, as it is or as the result's normaliser writes it."""
    name, _, run = column.partition("@")
    if not is_text(name):
        raise ResultError(f"Column {name!r} holds numbers, not texts; give a range.")
    at = scored.run(run) if run else 0
    texts = scored.column(name, at)
    wanted = {part}
    profile = scored.results[at].info["pins"]["normaliser"].get("profile")
    if name in _NORMALISED and profile in text.PROFILES:
        wanted |= {text.normalise(part, profile)} - {""}
    found = [pc.fill_null(pc.match_substring(texts, each, ignore_case=True), False).to_numpy() for each in wanted]
    return np.any(found, axis=0)


def _number(key: str, given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ConfigError(f"{key} is {given!r}; expected a number.")
    return number


def _within(values: np.ndarray, op: str, bound: float) -> np.ndarray:
    if op == "min":
        return values >= bound
    return values <= bound if op == "max" else values < bound


def _among(scored: Scored, column: str, wanted: list[str]) -> np.ndarray:
    """Clips with one of the values; where a column holds several, one of them is enough."""
    category = scored.category(column)
    hits = np.array([not set(parts(column, value)).isdisjoint(wanted) for value in category.values], dtype=bool)
    return hits[category.codes]
