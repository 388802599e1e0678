"""Which words, characters or phonemes are taken for which: tables from alignments, quick at 100,000 clips.

The alignments are those that were counted (column `ops`), laid end to end once (`Steps`); each table is a few array
operations on them, so that a filter (`Steps.where`) costs milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np

from evals.align import align_characters
from evals.score import Rows, texts

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 5
_HIT, _SUBSTITUTION, _DELETION, _INSERTION = np.frombuffer(b"=SDI", np.uint8)
_ERRORS = {"reference": _DELETION, "hypothesis": _INSERTION}


@dataclass(frozen=True)
class Steps:
    """Every step of many alignments, one after another.

    vocabulary: the distinct items (words, characters, phonemes). For each step: clip, int32, the row it is from; op,
    uint8, one of `=SDI`; reference and hypothesis, int32, the item on that side (index into vocabulary), -1 for none.
    """

    vocabulary: np.ndarray
    clip: np.ndarray
    op: np.ndarray
    reference: np.ndarray
    hypothesis: np.ndarray

    def where(self, keep: np.ndarray) -> Steps:
        """Only the steps of some clips. keep: a boolean for each row; the numbers of the rows stay as they are."""
        chosen = keep[self.clip]
        parts = {name: getattr(self, name)[chosen] for name in ("clip", "op", "reference", "hypothesis")}
        return replace(self, **parts)


def read_words(rows: Rows) -> Steps:
    """The word alignments of scored rows (columns reference, hypothesis, ops; single spaces between words).

    Raises ValueError, naming the row, where `ops` does not walk both texts.
    """
    sides: dict[str, tuple[Iterable[str], np.ndarray]] = {}
    for name in ("reference", "hypothesis"):
        lines = texts(rows, name)
        lengths = np.fromiter((t.count(" ") + 1 if t else 0 for t in lines), np.int64, len(lines))
        sides[name] = (chain.from_iterable(map(str.split, lines)), lengths)
    return _lay_out(sides, texts(rows, "ops"))


def read_characters(rows: Rows, by_character: bool = False) -> Steps:
    """Character alignments of scored rows, made here; they add up to the `char_*` columns.

    by_character: the profile parts characters by spaces (`Profile.by_character`), which are no characters of the text.
    """
    refs, hyps = texts(rows, "reference"), texts(rows, "hypothesis")
    if by_character:
        refs, hyps = [r.replace(" ", "") for r in refs], [h.replace(" ", "") for h in hyps]
    return read(refs, hyps, align_characters(refs, hyps).ops)


def read(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]], ops: Sequence[str]) -> Steps:
    """The alignments of any sequences, `ops` as evals.align writes it. Raises ValueError as `read_words` does."""
    sides: dict[str, tuple[Iterable[str], np.ndarray]] = {}
    for name, side in (("reference", references), ("hypothesis", hypotheses)):
        sides[name] = (chain.from_iterable(side), np.fromiter(map(len, side), np.int64, len(side)))
    return _lay_out(sides, ops)


def _lay_out(sides: dict[str, tuple[Iterable[str], np.ndarray]], ops: Sequence[str]) -> Steps:
    """sides: by name, the items of all rows one after another, and how many each row has."""
    steps = np.frombuffer("".join(ops).encode("ascii"), np.uint8)
    clip = np.repeat(np.arange(len(ops), dtype=np.int32), [len(o) for o in ops])
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    laid = {}
    for name, (items, lengths) in sides.items():
        present = steps != _absent_from(name)
        _check(name, lengths, np.bincount(clip[present], minlength=len(ops)))
        laid[name] = np.full(len(steps), -1, np.int32)
        laid[name][present] = np.fromiter(map(numbers.__getitem__, items), np.int32, int(lengths.sum()))
    vocabulary = np.empty(len(numbers), object)
    vocabulary[:] = list(numbers)
    return Steps(vocabulary, clip, steps, laid["reference"], laid["hypothesis"])


def _check(name: str, lengths: np.ndarray, walked: np.ndarray) -> None:
    """Whether `ops` takes as many items as there are."""
    if len(lengths) != len(walked):
        raise ValueError(f"Got {len(walked)} rows of ops and {len(lengths)} of {name}; expected as many.")
    if (walked != lengths).any():
        row = int((walked != lengths).argmax())
        raise ValueError(
            f"The ops of row {row} walk {walked[row]} items of its {name}, which has {lengths[row]}; score it again."
        )


def _absent_from(side: str) -> np.uint8:
    """The op that takes nothing from this side."""
    return _INSERTION if side == "reference" else _DELETION


def substitutions(steps: Steps, top: int | None = None, examples: int = EXAMPLES) -> pd.DataFrame:
    """Pairs by how often `hypothesis` was heard for `reference`, most frequent first.

    Columns: reference, hypothesis, count, clips (distinct), examples (up to that many rows; `find` tells where in
    them; no column where none are asked for). top: only so many pairs.
    """
    wrong = np.flatnonzero(steps.op == _SUBSTITUTION)
    pair = steps.reference[wrong].astype(np.int64) * len(steps.vocabulary) + steps.hypothesis[wrong]
    key, table = _tally(pair, steps.clip[wrong], top, examples)
    reference, hypothesis = np.divmod(key, max(len(steps.vocabulary), 1))
    table.insert(0, "reference", steps.vocabulary[reference])
    table.insert(1, "hypothesis", steps.vocabulary[hypothesis])
    return _ranked(table, top)


def deletions(steps: Steps, top: int | None = None, examples: int = EXAMPLES) -> pd.DataFrame:
    """Items of the references that were left out. Columns: reference, count, clips, examples, as `substitutions`."""
    return _one_sided(steps, "reference", top, examples)


def insertions(steps: Steps, top: int | None = None, examples: int = EXAMPLES) -> pd.DataFrame:
    """Items that were heard where none was. Columns: hypothesis, count, clips, examples, as `substitutions`."""
    return _one_sided(steps, "hypothesis", top, examples)


def accuracy(steps: Steps, least: int = 1) -> pd.DataFrame:
    """How often each item of the references was heard, most frequent first.

    Columns: item, count (in the references), hits, substitutions, deletions, accuracy (hits / count), heard (times in
    the hypotheses), precision (hits / heard, NaN where never heard). least: items with a smaller count are left out.
    """
    import pandas as pd

    size = len(steps.vocabulary)

    def tally(side: np.ndarray, *ops: np.uint8) -> np.ndarray:
        wanted = np.zeros(256, bool)  # looked up by op: several times as quick as np.isin
        wanted[list(ops)] = True
        return np.bincount(side[wanted[steps.op]], minlength=size)

    hits = tally(steps.reference, _HIT)
    substituted, deleted = tally(steps.reference, _SUBSTITUTION), tally(steps.reference, _DELETION)
    said = hits + substituted + deleted
    heard = tally(steps.hypothesis, _HIT, _SUBSTITUTION, _INSERTION)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "item": steps.vocabulary,
            "count": said,
            "hits": hits,
            "substitutions": substituted,
            "deletions": deleted,
            "accuracy": hits / said,
            "heard": heard,
            "precision": hits / heard,
        }
    table = pd.DataFrame(columns)
    return _ranked(table[table["count"] >= max(least, 1)], None)


def find(
    steps: Steps, reference: str | None = None, hypothesis: str | None = None, limit: int | None = None
) -> pd.DataFrame:
    """Where a pair occurs: an error, or hits where both are the same. None stands for nothing on that side.

    Columns: clip (row), reference_at, hypothesis_at: how many items of that side come before. So hypothesis_at is the
    index of the word heard (into word_starts and so on); for a deletion, of the word before which one is missing,
    which may be one past the last.
    """
    import pandas as pd

    index = {item: i for i, item in enumerate(steps.vocabulary.tolist())} | {None: -1}
    wanted = [index.get(item, -2) for item in (reference, hypothesis)]
    found = np.flatnonzero((steps.reference == wanted[0]) & (steps.hypothesis == wanted[1]))[:limit]
    begins = np.searchsorted(steps.clip, steps.clip[found])
    columns = {"clip": steps.clip[found]}
    for name in _ERRORS:
        before = np.concatenate([[0], np.cumsum(steps.op != _absent_from(name))])
        columns[f"{name}_at"] = (before[found] - before[begins]).astype(np.int32)
    return pd.DataFrame(columns)


def _one_sided(steps: Steps, side: str, top: int | None, examples: int) -> pd.DataFrame:
    wrong = np.flatnonzero(steps.op == _ERRORS[side])
    key, table = _tally(getattr(steps, side)[wrong].astype(np.int64), steps.clip[wrong], top, examples)
    table.insert(0, side, steps.vocabulary[key])
    return _ranked(table, top)


def _tally(key: np.ndarray, clip: np.ndarray, top: int | None, examples: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Distinct keys and, for each, count, clips and examples; with `top`, those that are in it. `clip` ascends."""
    import pandas as pd

    order = np.argsort(key, kind="stable")
    key, clip = key[order], clip[order]
    first = np.ones(len(key), bool)  # of its key
    first[1:] = key[1:] != key[:-1]
    fresh = first.copy()  # first of its key and clip
    fresh[1:] |= clip[1:] != clip[:-1]
    starts = np.flatnonzero(first)
    seen = np.cumsum(fresh) - fresh  # distinct (key, clip) before
    counts = np.diff(np.append(starts, len(key)))
    clips = np.diff(np.append(seen[starts], fresh.sum()))
    kept = np.arange(len(starts))
    if top and top < len(starts):
        kept = np.flatnonzero(counts >= np.partition(counts, -top)[-top])
    distinct, begins = clip[fresh], seen[starts[kept]].tolist()
    table = pd.DataFrame({"count": counts[kept], "clips": clips[kept]})
    if examples:
        shown = [distinct[a : a + min(n, examples)].tolist() for a, n in zip(begins, clips[kept].tolist(), strict=True)]
        table["examples"] = pd.Series(shown, dtype=object)
    return key[starts[kept]], table


def _ranked(table: pd.DataFrame, top: int | None) -> pd.DataFrame:
    """Most frequent first; equal counts by their texts, so that the order is always the same."""
    named = [c for c in ("item", "reference", "hypothesis") if c in table]
    ordered = table.sort_values(["count", *named], ascending=[False] + [True] * len(named), kind="stable")
    return ordered.head(len(table) if top is None else top).reset_index(drop=True)
