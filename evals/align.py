"""Many pairs of sequences -> one alignment each, by one dynamic programme that runs over thousands of pairs at once.

Which alignment. First the fewest edits, so that a WER is the least there is and equals jiwer's. Among those the most
hits, which settles all four counts (jiwer takes any, so only the sum of its S, D and I is comparable). Among those the
one sclite would write: walking back from the end, a hit or a substitution where one is on a best path, then an
insertion, then a deletion.

Where sclite can differ. It minimises 4 S + 3 (D + I). With n words in the reference, m in the hypothesis and H hits,
edits are n - H + I and sclite's cost is a constant + 2 I - 4 H: of two alignments with equally many edits it, too,
prefers more hits. But a hit more at the price of two more insertions (and two more deletions) costs it nothing, and two
hits more at the price of three are a gain: then it may report more errors than the fewest. Such pairs share few words
and lie apart in length or order; on the hypotheses of a usable recogniser they are rare. `costs="sclite"` runs the same
programme with sclite's costs and gives its alignment step by step, so that each difference can be shown to be this one.

Empty sequences: an empty reference makes all of the hypothesis insertions, an empty hypothesis makes all of the
reference deletions, and two empty sequences have an alignment of no steps.

>>> align_words(["the cat sat", "", "a"], ["the bat", "uh", "a"]).ops
['=DS', 'I', '=']
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Literal

import numpy as np

Costs = Literal["edits", "sclite"]
LETTERS = "=SID"  # a step of an alignment; the index is its code below
_HIT, _SUBSTITUTION, _INSERTION, _DELETION, _END = range(5)  # `_pointers` relies on these values
_PRINTED = np.frombuffer((LETTERS + " ").encode(), np.uint8)
_BLOCK = 4096  # pairs that are numbered together
_MARK = "\0"  # no white space, and not to be met in a text
_WIDTH = 32_768  # elements of one vector of the programme: few enough for the processor's cache
_TABLE = 2**26  # bytes of back-pointers of pairs aligned together
_LARGEST = 2**30  # bytes of back-pointers of one pair


@dataclass(frozen=True)
class Alignments:
    """One alignment a pair, in the order of the pairs.

    ops: a letter a step, `=` hit, `S`, `D`, `I`; walks both sequences from their start. The counts: int32,
    shape = (pairs,); hits + substitutions + deletions is the length of the reference.
    """

    ops: list[str]
    hits: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Substitutions, deletions and insertions of each pair, int32."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference(self) -> np.ndarray:
        """Length of each reference, int32."""
        return self.hits + self.substitutions + self.deletions


def align_words(references: Sequence[str], hypotheses: Sequence[str], costs: Costs = "edits") -> Alignments:
    """Align texts word by word. Words are what white space separates (str.split); nothing is normalised.

    costs: see the module. Raises ValueError as `align` does.
    """
    return _aligned(references, hypotheses, costs, _number_words, lambda text: len(text.split()))


def align_characters(references: Sequence[str], hypotheses: Sequence[str], costs: Costs = "edits") -> Alignments:
    """Align texts character (code point) by character, spaces included. Raises ValueError as `align` does."""
    return _aligned(references, hypotheses, costs, _number)


def align(
    references: Sequence[Sequence[Hashable]], hypotheses: Sequence[Sequence[Hashable]], costs: Costs = "edits"
) -> Alignments:
    """Align sequences of anything that can be compared by hash: words, characters, phonemes.

    costs: see the module. Takes time and, for the pairs in hand, memory of one byte for each of 2 n m cells. Raises
    ValueError when the two lists differ in length, or when one pair alone would need more than 1 GiB.
    """
    return _aligned(references, hypotheses, costs, _number)


@dataclass(frozen=True)
class _Side:
    """One side of some pairs: items as numbers in one array, and where each sequence begins and how long it is."""

    items: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def padded(self, chosen: np.ndarray) -> np.ndarray:
        """The chosen sequences as columns, shape = (longest, chosen); what lies beyond an end has no meaning."""
        rows = np.arange(int(self.lengths[chosen].max(initial=0)))[:, None]
        at = np.minimum(self.starts[chosen] + rows, max(len(self.items) - 1, 0))
        return self.items[at] if len(self.items) else np.zeros(at.shape, np.int32)


def _number(references: Sequence[Sequence[Hashable]], hypotheses: Sequence[Sequence[Hashable]]) -> tuple[_Side, _Side]:
    """Both sides with equal items as equal numbers."""
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    both = [*references, *hypotheses]
    lengths = np.fromiter(map(len, both), np.int64, len(both))
    flat = map(numbers.__getitem__, chain.from_iterable(both))
    return _sides(np.fromiter(flat, np.int32, int(lengths.sum())), np.cumsum(lengths) - lengths, lengths)


def _number_words(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[_Side, _Side]:
    """`_number` of the words of texts. Most of the time of an alignment goes here, so all are split in one call."""
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    words = f" {_MARK} ".join([*references, *hypotheses, ""]).split()
    items = np.fromiter(map(numbers.__getitem__, words), np.int32, len(words))
    ends = np.flatnonzero(items == numbers[_MARK])
    if len(ends) != 2 * len(references):  # the mark is someone's word
        return _number([r.split() for r in references], [h.split() for h in hypotheses])
    starts = np.concatenate([[0], ends[:-1] + 1])
    return _sides(items, starts, ends - starts)


def _sides(items: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[_Side, _Side]:
    half = len(lengths) // 2
    return _Side(items, starts[:half], lengths[:half]), _Side(items, starts[half:], lengths[half:])


def _aligned(
    references: Sequence[Any],
    hypotheses: Sequence[Any],
    costs: Costs,
    number: Callable[[Any, Any], tuple[_Side, _Side]],
    length: Callable[[Any], int] = len,
) -> Alignments:
    if len(references) != len(hypotheses):
        raise ValueError(
            f"Got {len(references)} references and {len(hypotheses)} hypotheses; each reference needs one hypothesis."
        )
    same = [r == h for r, h in zip(references, hypotheses, strict=True)]
    ops = ["=" * length(r) if equal else "" for r, equal in zip(references, same, strict=True)]
    counts = np.zeros((4, len(references)), np.int32)
    counts[_HIT] = np.fromiter(map(len, ops), np.int32, len(ops))
    apart = [i for i, equal in enumerate(same) if not equal]
    for start in range(0, len(apart), _BLOCK):
        part = apart[start : start + _BLOCK]
        sides = number([references[i] for i in part], [hypotheses[i] for i in part])
        found, counts[:, part] = _align_block(*sides, costs)
        for i, steps in zip(part, found, strict=True):
            ops[i] = steps
    hits, substitutions, insertions, deletions = counts
    return Alignments(ops, hits, substitutions, deletions, insertions)


def _align_block(refs: _Side, hyps: _Side, costs: Costs) -> tuple[list[str], np.ndarray]:
    """Ops of some pairs, and their counts by code, int32, shape = (4, pairs)."""
    ops = [""] * len(refs.lengths)
    counts = np.zeros((4, len(ops)), np.int32)
    order = np.lexsort((hyps.lengths, refs.lengths))
    start = 0
    while start < len(order):
        size = _group_size(refs.lengths[order[start:]], hyps.lengths[order[start:]])
        chosen = order[start : start + size]
        start += size
        path = _best_paths(refs, hyps, chosen, costs)
        for code in range(4):
            counts[code, chosen] = np.count_nonzero(path == code, axis=0)
        steps = len(path)
        printed = _PRINTED[path.T].tobytes().decode("ascii")
        for i, pair in enumerate(chosen.tolist()):
            ops[pair] = printed[i * steps : (i + 1) * steps].lstrip()
    return ops, counts


def _group_size(n: np.ndarray, m: np.ndarray) -> int:
    """How many of the next pairs (sorted by length of the reference) to align together."""
    size = len(n)
    while True:
        rows, columns = int(n[:size].max()), int(m[:size].max())
        fits = min(_WIDTH // (min(rows, columns) + 1), _TABLE // ((rows + columns + 1) * (rows + 1)))
        if size <= max(fits, 1):
            break
        size = max(fits, size // 2, 1)
    if (rows + columns + 1) * (rows + 1) > _LARGEST:
        raise ValueError(
            f"A pair of {rows} and {columns} items is too long to align: expected at most {_LARGEST >> 20} MiB of "
            "back-pointers; score the recording in parts."
        )
    return size


def _best_paths(refs: _Side, hyps: _Side, chosen: np.ndarray, costs: Costs) -> np.ndarray:
    """Codes of the steps, uint8, shape = (most steps, pairs); each path ends at the last row, `_END` fills its top."""
    a, b = refs.padded(chosen), hyps.padded(chosen)
    n, m = refs.lengths[chosen], hyps.lengths[chosen]
    pointers = _pointers(a, b, costs)
    rows, pairs = len(a) + 1, len(chosen)
    # One number is a cell of one pair: ((i + j) * rows + i) * pairs + pair. A step moves it by what its code says.
    at = ((n + m) * rows + n) * pairs + np.arange(pairs)
    back = np.array([2 * rows + 1, 2 * rows + 1, rows, rows + 1, 0]) * pairs
    path = np.full((int((n + m).max(initial=0)), pairs), _END, np.uint8)
    flat = pointers.reshape(-1)
    for step in path[::-1]:
        flat.take(at, out=step)
        if step.min() == _END:
            break
        at -= back.take(step)
    return path


def _pointers(a: np.ndarray, b: np.ndarray, costs: Costs) -> np.ndarray:
    """The last step of the best path to each cell (i, j), for every pair: uint8, shape = (i + j, i, pair).

    a, b: padded items, shape = (n, pairs) and (m, pairs). Cells of equal i + j do not depend on each other, so the
    programme goes from one such diagonal to the next. A cell depends on the items before it only: padding harms none.
    """
    n, m, pairs = len(a), len(b), a.shape[1]
    gap = 3 if costs == "sclite" else min(n, m) + 1
    substitution = gap + 1  # with a gap dearer than all substitutions together: edits first, then few substitutions
    kind = np.dtype(np.int16 if (n + m) * substitution < 2**15 else np.int32)
    pointers = np.empty((n + m + 1, n + 1, pairs), np.uint8)
    pointers[0, 0] = _END
    older, old, new = np.zeros((3, n + 1, pairs), kind)  # costs of three diagonals, by i
    reversed_b = b[::-1]
    for d in range(1, n + m + 1):
        first, end = max(1, d - m), min(n, d - 1) + 1
        if first < end:
            differ = a[first - 1 : end - 1] != reversed_b[m - d + first : m - d + end]
            across = older[first - 1 : end - 1] + differ * kind.type(substitution)
            delete, insert = old[first - 1 : end - 1], old[first:end]
            beside = np.minimum(delete, insert) + kind.type(gap)
            gapped = across > beside
            # without a branch, as numpy is slow at those: the low bit says which of the two, the next that it is a gap
            low = differ ^ (((delete < insert) ^ differ) & gapped)
            np.add(low.view(np.uint8), gapped.view(np.uint8) * np.uint8(_INSERTION), out=pointers[d, first:end])
            np.minimum(across, beside, out=new[first:end])
        if d <= m:
            new[0], pointers[d, 0] = d * gap, _INSERTION
        if d <= n:
            new[d], pointers[d, d] = d * gap, _DELETION
        older, old, new = old, new, older
    return pointers
