"""Word alignments of many clips as flat arrays, so that they can be counted without a loop over clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from asrdemo.errors import ResultError
from evals.scored import Scored


@dataclass(frozen=True, eq=False)
class Aligned:
    """words: reference words of each clip, (clips,). right: which reference words were recognised, (sum of words,).

    inserted: hypothesis words in each gap, unsigned, (sum of words + clips,): a clip of n words has n + 1 gaps, before
    each word and at the end.
    """

    words: np.ndarray
    right: np.ndarray
    inserted: np.ndarray


def aligned(ops: pa.ChunkedArray | pa.Array | list[str]) -> Aligned:
    """Column `ops` of rows (`=` hit, S, D, I) -> flat arrays."""
    column = pa.array(ops) if isinstance(ops, list) else ops
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(column, pa.ChunkedArray):  # more text than one array holds
        column = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks])
    column = column.cast(pa.large_string())
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    letters = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    clip = np.repeat(np.arange(len(column)), np.diff(offsets))
    is_word = letters != ord("I")
    words = np.bincount(clip[is_word], minlength=len(column))
    before = np.cumsum(is_word) - is_word  # reference words before each step, over all clips
    inserted = np.bincount((before + clip)[~is_word], minlength=int(is_word.sum()) + len(column))
    inserted = inserted.astype(np.min_scalar_type(int(inserted.max(initial=0))))
    return Aligned(words, letters[is_word] == ord("="), inserted)


def of_run(scored: Scored, run: int) -> Aligned:
    """Alignments of a run, clips as in `scored`; read once."""
    found: Aligned = scored.once(("aligned", run), lambda: aligned(scored.column("ops", run)))
    return found


def same_words(a: Aligned, b: Aligned) -> None:
    """Raises ResultError unless both align the same references."""
    if len(a.words) != len(b.words):
        raise ResultError(f"Got alignments of {len(a.words):,} and of {len(b.words):,} clips; expected the same clips.")
    if unlike := int((a.words != b.words).sum()):
        raise ResultError(f"The alignments of {unlike:,} clips have other references in one run than in the other.")
