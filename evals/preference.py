"""Pairwise choices -> strengths: the model of Bradley & Terry (1952) with ties as Davidson (1970) has them.

With strengths s and a tendency t to call a tie, the chances that i wins, j wins, and nobody does are as

    exp(s_i) : exp(s_j) : exp(t + (s_i + s_j) / 2)

Davidson's is log-linear, so the likelihood has one maximum, which a few Newton steps find for all replicates of a
bootstrap at once. A weak pull towards 0 (a normal prior of standard deviation PRIOR on each s and t) keeps one who
never lost from being infinitely strong; with a dozen votes it hardly shows.

What is reported is the share of an opponent of average strength that one wins, ties counting half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REPLICATES = 1000
PRIOR = 2.0
_STEPS = 30
_CLOSE = 1e-8


@dataclass(frozen=True, eq=False)
class Strengths:
    """share: won against an average opponent, ties half; low, high: its 95 % interval, nan where nothing could be
    resampled; log_strength: s. (contenders,) each. ties: share of ties between two of equal strength."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log_strength: np.ndarray
    ties: float

    def ordered(self, order: np.ndarray) -> Strengths:
        """The same in another order."""
        return Strengths(self.share[order], self.low[order], self.high[order], self.log_strength[order], self.ties)


def strengths(
    pairs: np.ndarray,
    outcome: np.ndarray,
    count: int,
    block: np.ndarray,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Strengths:
    """Strengths of `count` contenders and their bootstrap intervals (percentiles).

    pairs: (votes, 2), indices of the contenders; outcome: (votes,), 0 the first won, 1 the second, 2 a tie; block:
    (votes,), 0 to blocks - 1: votes that are drawn together.
    """
    met, counts = _met(pairs, outcome, block)
    fitted = _fit(met, counts.sum(axis=0)[None], count)[0]
    share = _share(fitted[None])[0]
    nan = np.full(count, np.nan)
    ties = float(1 / (1 + 2 * np.exp(-fitted[-1])))
    if len(counts) < 2:
        return Strengths(share, nan, nan, fitted[:-1], ties)
    rng = np.random.default_rng(seed)
    kinds, alike = np.unique(counts.reshape(len(counts), -1), axis=0, return_counts=True)  # few, however many blocks
    drawn = rng.multinomial(len(counts), alike / len(counts), size=replicates)
    resampled = (drawn @ kinds).reshape(replicates, *counts.shape[1:])
    shares = _share(_fit(met, resampled, count))
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return Strengths(share, low, high, fitted[:-1], ties)


def _met(pairs: np.ndarray, outcome: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Who met whom, (meetings, 2) with the smaller index first; and how often each outcome, (blocks, meetings, 3)."""
    turned = pairs[:, 0] > pairs[:, 1]
    ordered = np.where(turned[:, None], pairs[:, ::-1], pairs)
    result = np.where(turned & (outcome < 2), 1 - outcome, outcome)
    met, which = np.unique(ordered, axis=0, return_inverse=True)
    counts = np.zeros((int(block.max()) + 1, len(met), 3))
    np.add.at(counts, (block, which.ravel(), result), 1)
    return met, counts


def _fit(met: np.ndarray, counts: np.ndarray, count: int) -> np.ndarray:
    """(s, t) of the highest posterior density: (replicates, count + 1) from counts (replicates, meetings, 3)."""
    design = np.zeros((len(met), 3, count + 1))
    rows = np.arange(len(met))
    for side in (0, 1):
        design[rows, side, met[:, side]] = 1.0
        design[rows, 2, met[:, side]] = 0.5
    design[:, 2, -1] = 1.0
    at = np.zeros((len(counts), count + 1))
    played = counts.sum(axis=2)
    identity = np.eye(count + 1) / PRIOR**2
    for _ in range(_STEPS):
        scores = np.einsum("mkp,rp->rmk", design, at)
        chance = np.exp(scores - scores.max(axis=2, keepdims=True))
        chance /= chance.sum(axis=2, keepdims=True)
        slope = np.einsum("rmk,mkp->rp", counts - played[..., None] * chance, design) - at / PRIOR**2
        mean = np.einsum("rmk,mkp->rmp", chance, design)
        weighted = played[..., None] * chance
        curve = np.einsum("rmk,mkp,mkq->rpq", weighted, design, design, optimize=True)
        curve -= np.einsum("rm,rmp,rmq->rpq", played, mean, mean, optimize=True)
        step = np.linalg.solve(curve + identity, slope[..., None])[..., 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        at += step / np.maximum(1.0, largest)  # never more than 1 at a time, so that far starts do not overshoot
        if largest.max() < _CLOSE:
            break
    return at


def _share(fitted: np.ndarray) -> np.ndarray:
    """Won against an opponent of mean strength, ties half: (replicates, contenders) from (s, t) of each replicate."""
    s = fitted[:, :-1] - fitted[:, :-1].mean(axis=1, keepdims=True)
    win, tie = np.exp(s), np.exp(fitted[:, -1:] + s / 2)
    return np.asarray((win + tie / 2) / (win + tie + 1))
