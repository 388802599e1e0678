"""Pairwise choices -> strengths: the model of Bradley & Terry (1952) with ties as Davidson (1970) has them.

With strengths s and a tendency t to call a tie, the chances that i wins, j wins, and nobody does are as

    exp(s_i) : exp(s_j) : exp(t + (s_i + s_j) / 2)

Davidson's is log-linear, so the likelihood has one maximum, which a few Newton steps find for all replicates of a
bootstrap at once.

What is reported is the share that one wins of a game against each of the others, ties counting half: with two
contenders the share that was counted.

A little is assumed beforehand: of every two who met, half a win each and a quarter of a tie, spread so thinly that all
of them together count as one vote and a quarter for each contender but one. Ten of ten votes then show as 94 %, 75 of
100 as 75 %. Intervals are those of a Bayesian bootstrap (Rubin 1981): each block of votes and each assumed vote gets a
random weight. Unlike resampling, that gives an interval to twelve votes that are all alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REPLICATES = 500
PRIOR = 4.0  # standard deviation of a normal prior on each s and t, for what the votes leave open
_ASSUMED = np.array([0.5, 0.5, 0.25])  # wins, losses, ties
_STEPS = 40
_CLOSE = 1e-6
_CELLS = 2**22  # weights drawn at a time: 32 MiB
_LOCAL = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 1]])  # what each outcome takes of (s_i, s_j, t)


@dataclass(frozen=True, eq=False)
class Strengths:
    """share: won of a game against each of the others, on average, ties half; low, high: its 95 % interval;
    log_strength: s. (contenders,) each. ties: share of ties between two of equal strength."""

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
    """Strengths of `count` contenders, two or more, each of whom met another, and their intervals.

    pairs: (votes, 2), indices of the contenders; outcome: (votes,), 0 the first won, 1 the second, 2 a tie; block:
    (votes,), 0 to blocks - 1: votes that are alike, such as those of one person.
    """
    met, place = _met(pairs, outcome)
    assumed = _ASSUMED * (count - 1) / len(met)
    counts = np.bincount(place, minlength=3 * len(met)).reshape(len(met), 3)
    fitted = _fit(met, (counts + assumed)[None], count, np.zeros((1, count + 1)))
    rng = np.random.default_rng(seed)
    drawn = _drawn(place, block, 3 * len(met), replicates, rng).reshape(replicates, len(met), 3)
    drawn += (
        rng.gamma(np.broadcast_to(assumed, drawn.shape)) * len(place) / (int(block.max()) + 1)
    )  # as large as others
    again = _fit(met, drawn, count, np.repeat(fitted, replicates, axis=0))
    low, high = np.quantile(_share(again), [0.025, 0.975], axis=0)
    return Strengths(_share(fitted)[0], low, high, fitted[0, :-1], float(1 / (1 + 2 * np.exp(-fitted[0, -1]))))


def _met(pairs: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Who met whom, (meetings, 2) with the smaller index first; and of each vote 3 * meeting + its outcome."""
    turned = pairs[:, 0] > pairs[:, 1]
    ordered = np.where(turned[:, None], pairs[:, ::-1], pairs)
    met, which = np.unique(ordered, axis=0, return_inverse=True)
    return met, 3 * which.ravel() + np.where(turned & (outcome < 2), 1 - outcome, outcome)


def _drawn(
    place: np.ndarray, block: np.ndarray, size: int, replicates: int, rng: np.random.Generator
) -> np.ndarray:  # fmt: skip
    """Votes by place, each block weighted at random: (replicates, size)."""
    from scipy.sparse import csr_matrix

    blocks = int(block.max()) + 1
    counts = csr_matrix((np.ones(len(place)), (place, block)), shape=(size, blocks))
    step = max(1, _CELLS // blocks)
    parts = [min(step, replicates - at) for at in range(0, replicates, step)]
    return np.concatenate([(counts @ rng.standard_exponential((part, blocks)).T).T for part in parts])


def _fit(met: np.ndarray, counts: np.ndarray, count: int, at: np.ndarray) -> np.ndarray:
    """(s, t) of the highest posterior density: (replicates, count + 1), from counts (replicates, meetings, 3) and
    where to begin.

    Of each meeting only its own s_i, s_j and t matter: slopes and curves are made of those three and then added up.
    """
    from scipy.sparse import csr_matrix

    size = count + 1
    own = np.column_stack([met, np.full(len(met), count)])
    both = own[:, :, None] * size + own[:, None, :]
    slopes, curves = (
        csr_matrix((np.ones(to.size), (to.ravel(), np.arange(to.size))), shape=(rows, to.size))
        for to, rows in ((own, size), (both, size**2))
    )
    played = counts.sum(axis=2)[..., None]
    for _ in range(_STEPS):
        scores = at[:, own] @ _LOCAL.T
        chance = np.exp(scores - scores.max(axis=2, keepdims=True))
        chance /= chance.sum(axis=2, keepdims=True)
        mean = chance @ _LOCAL
        spread = (
            np.einsum("rmk,ka,kb->rmab", chance, _LOCAL, _LOCAL, optimize=True) - mean[..., None] * mean[:, :, None]
        )
        slope = (slopes @ ((counts - played * chance) @ _LOCAL).reshape(len(at), -1).T).T - at / PRIOR**2
        curve = (curves @ (played[..., None] * spread).reshape(len(at), -1).T).T.reshape(-1, size, size)
        step = _solved(curve + np.eye(size) / PRIOR**2, slope)
        largest = np.abs(step).max(axis=1, keepdims=True)
        at = at + step / np.maximum(1.0, largest)  # never more than 1 at a time, so that far starts do not overshoot
        if largest.max() < _CLOSE:
            break
    return at


def _solved(curve: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Gauss & Jordan for all replicates at once: for hundreds of small systems far quicker than LAPACK one by one. The
    curves are positive definite, so that no pivot is sought."""
    both = np.concatenate([curve, slope[..., None]], axis=2)
    for row in range(curve.shape[1]):
        own = both[:, row] / both[:, row, row, None]
        both -= both[:, :, row, None] * own[:, None]
        both[:, row] = own
    return both[:, :, -1]


def _share(fitted: np.ndarray) -> np.ndarray:
    """Won of a game against each of the others, on average, ties half: (replicates, contenders)."""
    s, t = fitted[:, :-1], fitted[:, -1, None, None]
    apart = s[:, :, None] - s[:, None, :]
    win = 1 / (1 + np.exp(-apart) + np.exp(t - apart / 2))
    won = win + win * np.exp(t - apart / 2) / 2
    return np.asarray((won.sum(axis=2) - 0.5) / (s.shape[1] - 1))  # against oneself it is one half
