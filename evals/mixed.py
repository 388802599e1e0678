"""Poisson regression of error counts with a random effect of the speaker, and errors robust to what it leaves out.

errors ~ Poisson(words * exp(x b) * g), one g a speaker, gamma-distributed around 1 with variance `spread` (Hausman,
Hall & Griliches 1984, "Econometric models for count data with an application to the patents-R&D relationship"; for
ASR Liu, Veliche & Peng 2021, arXiv 2109.09061, who take g as log-normal). With the gamma law the speaker's effect
integrates to a closed form, so a fit takes a few Newton steps over the clips. The estimate of b only needs the mean to
be right; standard errors are of the sandwich kind, by speaker, and so allow for clips that vary more than Poisson's law
says and for effects that are not gamma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from asrdemo.errors import ResultError

_CHUNK = 100_000  # clips at a time, so that memory stays flat
_STEPS = 60
_LOG_SHAPE = (-3.0, 12.0)  # of the gamma law: a variance of 20 to nearly none


@dataclass(frozen=True, eq=False)
class Fit:
    """coefficients: (p,). covariance: (p, p), sandwich. spread: variance of the speakers' factors.

    dispersion: how much more clips vary around their speaker's mean than Poisson's law says; 1 is as much.
    information: what each speaker says of a mean, (speakers,): few words say little, and many little more.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    spread: float
    dispersion: float
    information: np.ndarray


@dataclass(frozen=True, eq=False)
class Counts:
    """errors, words (above 0): (clips,). starts: first clip of each speaker, ascending. level: of each speaker, 0 to
    levels - 1, where few speakers may share a coefficient. design: (low, high) -> float64 (high - low, p)."""

    errors: np.ndarray
    words: np.ndarray
    starts: np.ndarray
    level: np.ndarray
    design: Callable[[int, int], np.ndarray]


def fit(clips: Counts) -> Fit:
    """The model's estimates. Raises ResultError where they cannot be found: columns that say the same, no errors."""
    size = clips.design(0, 1).shape[1]
    beta, shape = np.zeros(size), 3.0
    beta[0] = np.log(clips.errors.sum() / clips.words.sum()) if clips.errors.any() else np.nan
    for _ in range(_STEPS):
        score, hessian, means = _pass(clips, beta, shape)
        try:
            step = np.linalg.solve(hessian, score)
        except np.linalg.LinAlgError as error:
            raise ResultError("The columns of the regression say the same of these clips; leave one out.") from error
        beta = beta + step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        last, shape = shape, _shape(means, _totals(clips))
        if np.abs(step).max() < 1e-7 and abs(np.log(shape / last)) < 1e-5:
            return _finished(clips, beta, shape)
    raise ResultError(
        "The regression found no estimate on these clips. Choose fewer covariates, or a column whose values have more "
        "errors each."
    )


def _totals(clips: Counts) -> np.ndarray:
    return np.add.reduceat(clips.errors, clips.starts).astype(np.float64)


def _chunks(clips: Counts) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first clip, last clip + 1, speakers) of whole speakers, about _CHUNK clips each."""
    ends = np.append(clips.starts[1:], len(clips.errors))
    first = 0
    while first < len(ends):
        last = max(int(np.searchsorted(ends, clips.starts[first] + _CHUNK, side="right")), first + 1)
        yield int(clips.starts[first]), int(ends[last - 1]), np.arange(first, last)
        first = last


def _means(clips: Counts, beta: np.ndarray, low: int, high: int, who: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of a chunk: design, expected errors of each clip at the mean speaker, and each clip's speaker, from 0."""
    x = clips.design(low, high)
    mean = clips.words[low:high] * np.exp(np.clip(x @ beta, -30, 30))
    sizes = np.diff(np.append(clips.starts[who] - low, high - low))
    return x, mean, np.repeat(np.arange(len(who)), sizes)


def _pass(clips: Counts, beta: np.ndarray, shape: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score and minus Hessian of the marginal likelihood, and each speaker's expected errors."""
    score, hessian = np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
    totals, expected = _totals(clips), np.empty(len(clips.starts))
    for low, high, who in _chunks(clips):
        x, mean, owner = _means(clips, beta, low, high, who)
        sums = np.add.reduceat(mean, clips.starts[who] - low)
        own = (shape + totals[who]) / (shape + sums)  # posterior mean of the speaker's factor
        weighted = x * mean[:, None]
        by_speaker = np.add.reduceat(weighted, clips.starts[who] - low, axis=0)
        score += x.T @ clips.errors[low:high] - own @ by_speaker
        hessian += (weighted * own[owner, None]).T @ x
        hessian -= (by_speaker * (own / (shape + sums))[:, None]).T @ by_speaker
        expected[who] = sums
    return score, hessian, expected


def _shape(expected: np.ndarray, totals: np.ndarray) -> float:
    """The gamma law's shape that fits the speakers' totals best, given what was expected of them."""
    from scipy import optimize, special

    def cost(log_shape: float) -> float:
        k = np.exp(log_shape)
        each = special.gammaln(k + totals) - special.gammaln(k) + k * log_shape - (k + totals) * np.log(k + expected)
        return -float(each.sum())

    return float(np.exp(optimize.minimize_scalar(cost, bounds=_LOG_SHAPE, method="bounded").x))


def _finished(clips: Counts, beta: np.ndarray, shape: float) -> Fit:
    """Sandwich covariance and diagnosis.

    A speaker's score is widened by 1 / sqrt(1 - h), h being its share of the information of its level, as in the CR2
    estimator (Bell & McCaffrey 2002): a level of ten speakers would else look a tenth less variable than it is.
    """
    _, hessian, expected = _pass(clips, beta, shape)
    totals = _totals(clips)
    information = expected / (1 + expected / shape)
    share = information / np.bincount(clips.level, information)[clips.level]
    widening = 1 / np.sqrt(np.maximum(1 - share, 0.05))
    meat, pearson, freedom = np.zeros_like(hessian), 0.0, 0
    for low, high, who in _chunks(clips):
        x, mean, owner = _means(clips, beta, low, high, who)
        errors = clips.errors[low:high]
        own = (shape + totals[who]) / (shape + expected[who])
        rest = errors - own[owner] * mean
        scores = np.add.reduceat(x * rest[:, None], clips.starts[who] - low, axis=0) * widening[who, None]
        meat += scores.T @ scores
        # a speaker's errors, given their sum, fall to his clips as in a multinomial draw, if they are Poisson's
        shared = (totals[who] / expected[who])[owner] * mean
        some = shared > 0
        pearson += float(((errors - shared)[some] ** 2 / shared[some]).sum())
        freedom += int(some.sum()) - int((totals[who] > 0).sum())
    bread = np.linalg.inv(hessian)
    return Fit(beta, bread @ meat @ bread, 1 / shape, pearson / max(freedom, 1), information)
