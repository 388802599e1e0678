"""Beam search over one span of frames, with the frames that cannot matter left out.

Where a frame has one candidate only (every other label is below `token_prune`) and the frame before had the same
one, the search does nothing but add that label's log-probability to every beam: all beams already end in it, so
none is extended or merged, and a constant changes neither the order of beams nor which are pruned. Such frames,
mostly blanks, are taken out before the search; their log-probabilities are added to the scores and the frame
numbers mapped back after it. Texts, N-best order and word frames stay what they were.
"""

from __future__ import annotations

import numpy as np

from asrdemo.decoding.columns import Columns
from asrdemo.decoding.engines import Beam, search
from asrdemo.decoding.language_model import LanguageModel
from asrdemo.types import DecoderOptions


def decode_span(
    engine: str,
    x: np.ndarray,
    log_probs: np.ndarray,
    columns: Columns,
    options: DecoderOptions,
    lm: LanguageModel | None,
    hotwords: tuple[str, ...],
) -> list[Beam]:
    """Different readings of a span, best first, at most n_best.

    x: scores, log_probs: the same normalised; both of shape (frames, labels), frames >= 1.
    """
    repeats, lost = idle_frames(log_probs, options.token_prune)
    kept = np.flatnonzero(~repeats)
    beams = search(engine, x[kept], columns, options, lm, hotwords)
    after = np.r_[kept[1:], len(x)]  # a label that is heard goes on through the frames taken out behind it
    unique: dict[str, Beam] = {}
    for text, frames, acoustic, extra in beams:
        if len(unique) == options.n_best:
            break
        # A word ends with the last frame of its last label; blanks behind it were never part of the run.
        placed = [(int(kept[start]), int(after[end - 1])) for start, end in frames]
        unique.setdefault(text, Beam(text, placed, acoustic + lost, extra))
    return list(unique.values()) or [Beam("", [], float(log_probs.max(axis=1).sum()), 0.0)]


def idle_frames(log_probs: np.ndarray, token_prune: float) -> tuple[np.ndarray, float]:
    """Frames that may be left out, shape = (frames,) of bool, and the sum of their log-probabilities."""
    best = log_probs.argmax(axis=1)
    single = (log_probs >= token_prune).sum(axis=1) <= 1  # the best label is a candidate even below the limit
    repeats = np.zeros(len(best), dtype=bool)
    repeats[1:] = single[1:] & single[:-1] & (best[1:] == best[:-1])
    return repeats, float(log_probs[repeats, best[repeats]].sum(dtype=np.float64))
