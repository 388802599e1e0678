"""Clips of a filter as a table that is sorted and read page by page: at a million clips, only what is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from evals.results import SCHEMA
from evals.scored import Scored

if TYPE_CHECKING:
    import pandas as pd

ORDERS = {
    "worst": "most errors first",
    "rate": "highest error rate first",
    "sure": "confident but wrong first",
    "unsure": "least confident first",
    "votes": "most voted down first",
    "longest": "longest first",
    "shortest": "shortest first",
    "fastest": "fastest speech first",
    "noisiest": "noisiest first",
}
"""Ways to sort, and what they are called."""

_NUMBERS = {"votes": ("down_votes", -1), "longest": ("seconds", -1), "shortest": ("seconds", 1),
            "fastest": ("speaking_rate", -1), "noisiest": ("snr", 1), "unsure": ("confidence", 1)}  # fmt: skip
SHOWN = (
    *("clip", "reference", "hypothesis", "ops", "reference_raw", "client_id", "accents", "gender", "age", "seconds"),
    *("speaking_rate", "snr", "up_votes", "down_votes", "sentence_id", "sentence_domain", "confidence"),
    *("word_starts", "word_ends", "word_confidences"),
)


def ordered(scored: Scored, mask: np.ndarray, sort: str = "worst", run: int = 0, most: int | None = None) -> np.ndarray:
    """Positions of the clips of a mask, the first `most` in an order; equals as they lie. Unknown numbers come last.

    sort: one of ORDERS. The last ones are found without sorting all.
    """
    key = _key(scored, sort, run)
    inside = np.flatnonzero(mask)
    keys = key[inside]
    if most is not None and most < len(inside):
        last = np.partition(keys, most - 1)[most - 1]
        best = np.flatnonzero(keys <= last)
        inside, keys = inside[best], keys[best]
    return inside[np.argsort(keys, kind="stable")][:most]


def page(scored: Scored, positions: np.ndarray, columns: Sequence[str] = SHOWN, run: int = 0) -> pd.DataFrame:
    """Some clips as rows: position, the columns, errors, words and wer (nan without words in the reference)."""
    import pandas as pd

    rows = pd.DataFrame({name: taken(scored, name, positions, run).to_pylist() for name in columns})
    errors, words = scored.errors[run][positions], scored.words[positions]
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(words > 0, errors / words, np.nan)
    return rows.assign(position=positions, errors=errors, words=words, wer=rates)


def taken(scored: Scored, name: str, positions: np.ndarray, run: int = 0) -> pa.ChunkedArray:
    """A column at some positions; the column is read once, in the order of the file."""
    whole = scored.once(("raw", name, run), lambda: scored.results[run].read([name])[name])
    return whole.take(pa.array(scored.orders[run][positions]))


def find(scored: Scored, clip: str) -> int | None:
    """The position of a clip by its name, None where no clip has it."""
    import pyarrow.compute as pc

    whole = scored.once(("raw", "clip", 0), lambda: scored.results[0].read(["clip"])["clip"])
    row = pc.index(whole, clip).as_py()
    if row < 0:
        return None
    at = scored.once(("places", 0), lambda: _inverse(scored.orders[0], len(whole)))[row]
    return int(at) if at >= 0 else None


def rows(scored: Scored, mask: np.ndarray, run: int = 0) -> pa.Table:
    """All columns of the clips of a mask, in the order of the file: what is saved."""
    table = scored.results[run].read(SCHEMA.names)
    return table.take(pa.array(np.sort(scored.orders[run][np.flatnonzero(mask)])))


def _inverse(order: np.ndarray, size: int) -> np.ndarray:
    places = np.full(size, -1, np.int64)
    places[order] = np.arange(len(order))
    return places


def _key(scored: Scored, sort: str, run: int) -> np.ndarray:
    """Ascending: what comes first is smallest."""

    def make() -> np.ndarray:
        errors, words = scored.errors[run].astype(np.float32), np.maximum(scored.words, 1).astype(np.float32)
        if sort in ("worst", "rate"):
            rate = errors / words
            return -(errors + rate / 1024 if sort == "worst" else rate + errors / 2**16)
        if sort == "sure":
            return np.where(errors > 0, -_filled(scored, "confidence", run), np.inf).astype(np.float32)
        column, sign = _NUMBERS[sort]
        return sign * _filled(scored, column, run, sign * np.inf)

    key: np.ndarray = scored.once(("order", sort, run), make)
    return key


def _filled(scored: Scored, column: str, run: int, unknown: Any = 0.0) -> np.ndarray:
    values = scored.column(column, run).to_numpy().astype(np.float32)
    return np.where(np.isnan(values), np.float32(unknown), values)
