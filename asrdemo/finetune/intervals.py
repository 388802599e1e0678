"""95 % intervals of error rates whose clips come from few speakers, for model cards.

Clips of one speaker err alike, so speakers are what varies. A rate is a ratio of two sums over speakers; its standard
error is that of the linearised ratio (Cochran 1977, "Sampling Techniques", ch. 6.3 and 9A.2; Binder 1983): from
e_s - r n_s, with e_s edits and n_s words of speaker s. The interval is rate x exp(+- t se / rate), since rates are
skewed, and Student's t has the effective number of speakers less one, (sum n)^2 / sum n^2, as degrees of freedom. The
Error analysis page resamples speakers instead (asrdemo does not import evals from here); tests hold the two close.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
LEAST_SPEAKERS = 3.0  # effective number below which no interval is told: t of one or two degrees says anything


@dataclass(frozen=True)
class Estimate:
    """A rate or a difference of rates, as fractions. low, high: None where there are too few speakers, or no errors."""

    value: float
    low: float | None
    high: float | None
    clips: int
    speakers: int


def rate(edits: np.ndarray, words: np.ndarray, speakers: np.ndarray) -> Estimate:
    """Edits over words of a set of clips; arrays of shape (clips,). A clip without a speaker ("") is one by itself."""
    e, n, count = _sums(speakers, edits, words)
    value = float(e.sum() / max(1, n.sum()))
    reach = _reach(e - value * n, n)
    if reach is None or value == 0:
        return Estimate(value, None, None, len(edits), count)
    factor = math.exp(reach / value)
    return Estimate(value, value / factor, value * factor, len(edits), count)


def difference(before: np.ndarray, after: np.ndarray, words: np.ndarray, speakers: np.ndarray) -> Estimate:
    """Rate after less rate before, of the same clips in the same order; arrays of shape (clips,)."""
    change, n, count = _sums(speakers, after - before, words)
    value = float(change.sum() / max(1, n.sum()))
    reach = _reach(change - value * n, n)
    if reach is None:
        return Estimate(value, None, None, len(words), count)
    return Estimate(value, value - reach, value + reach, len(words), count)


def _sums(speakers: np.ndarray, edits: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(edits, words, number) of the speakers, float64."""
    known = np.asarray(speakers, dtype=object).astype(str)
    own = np.where(known == "", np.char.add("\0", np.arange(len(known)).astype(str)), known)
    _, at = np.unique(own, return_inverse=True)
    count = int(at.max(initial=-1)) + 1
    return np.bincount(at, edits, count), np.bincount(at, words, count), count


def _reach(residuals: np.ndarray, words: np.ndarray) -> float | None:
    """Half the width of the interval; None where it cannot be told."""
    from scipy import special

    total, count = float(words.sum()), len(words)
    effective = total**2 / float((words**2).sum()) if total else 0.0
    if effective < LEAST_SPEAKERS:
        return None
    error = math.sqrt(count / (count - 1) * float((residuals**2).sum())) / total
    return float(special.stdtrit(effective - 1, (1 + LEVEL) / 2)) * error
