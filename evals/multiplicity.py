"""Corrections for many tests at once. nan stands for a test that was not made, and stays nan."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p by Holm's step-down rule (1979): rejecting those up to alpha keeps the family-wise rate at alpha."""
    return _adjusted(p, lambda ranked: np.maximum.accumulate(ranked * np.arange(len(ranked), 0, -1)))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p by Benjamini & Hochberg (1995): rejecting those up to q keeps the false discovery rate at q."""

    def step_up(ranked: np.ndarray) -> np.ndarray:
        scaled = ranked * (len(ranked) / np.arange(1, len(ranked) + 1))
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _adjusted(p, step_up)


def _adjusted(p: np.ndarray, rule: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """rule: ascending p -> adjusted p, in the same order."""
    p = np.asarray(p, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    ranked = made[np.argsort(p[made], kind="stable")]
    out[ranked] = np.minimum(rule(p[ranked]), 1.0)
    return out
