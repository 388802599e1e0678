"""The best token of each frame, repeats and blanks dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asrdemo.decoding.columns import PIECE, Columns
from asrdemo.types import SPACE


@dataclass(frozen=True)
class Runs:
    """Frames with the same best label, blanks left out. Arrays of shape (n_runs,).

    label: column. start, end: frames, end exclusive. log_prob: of the label in its best frame of the run.
    total: log-probability of the whole path, blanks included.
    """

    label: np.ndarray
    start: np.ndarray
    end: np.ndarray
    log_prob: np.ndarray
    total: float


@dataclass(frozen=True)
class Piece:
    """A word before it has a confidence. start, end: frames, end exclusive. log_probs: of its labels, in order."""

    text: str
    start: int
    end: int
    log_probs: tuple[float, ...]


def runs(log_probs: np.ndarray, blank: int) -> Runs:
    """The greedy path. log_probs: shape = (frames, labels), frames >= 1."""
    best = log_probs.argmax(axis=1)
    values = log_probs[np.arange(len(best)), best]
    starts = np.flatnonzero(np.r_[True, best[1:] != best[:-1]])
    ends = np.r_[starts[1:], len(best)]
    peaks = np.maximum.reduceat(values, starts)
    heard = best[starts] != blank
    total = float(values.sum(dtype=np.float64))
    return Runs(best[starts][heard], starts[heard], ends[heard], peaks[heard], total)


def words(path: Runs, columns: Columns) -> list[Piece]:
    """The words of a greedy path: what stands between spaces, or from one PIECE to the next."""
    found: list[Piece] = []
    text, first, last = "", 0, 0
    log_probs: list[float] = []
    steps = zip(path.label.tolist(), path.start.tolist(), path.end.tolist(), path.log_prob.tolist(), strict=True)
    for label, start, end, log_prob in steps:
        token = columns.labels[label]
        begins = columns.pieces and token.startswith(PIECE)
        if (begins or token == SPACE) and text:
            found.append(Piece(text, first, last, tuple(log_probs)))
            text, log_probs = "", []
        token = token.strip(PIECE) if columns.pieces else token
        if token and token != SPACE:
            first = first if text else start
            text, last = text + token, end
            log_probs.append(log_prob)
    if text:
        found.append(Piece(text, first, last, tuple(log_probs)))
    return found
