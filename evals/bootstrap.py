"""Speaker-block bootstrap of pooled rates.

Clips of one speaker err alike, so speakers are resampled, not clips: a replicate draws blocks of speakers with
replacement, each with all of its clips, and its rate is the sum of the drawn edits over the sum of the drawn words
(Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"; blocks as in
Liu & Peng 2019, arXiv 1912.09508). The same draws serve every slice, every run and every difference between them.

Three things are chosen for the small slices that matter most, all measured in benchmarks/coverage.py:

- n - 1 of n blocks are drawn (McCarthy & Snowden 1985; Rao, Wu & Yue 1992). Drawing n gives a variance that is
  (n - 1) / n of the right one: nothing for a thousand speakers, a tenth for ten.
- A rate's interval is rate x exp(+- t s / rate), s the standard deviation of the replicates: normal on the logarithm,
  since rates of few speakers are skewed and percentiles then miss the truth above them; t is Student's, see below.
- The percentiles of differences are those that Student's t cuts off instead of the normal law (Hesterberg 2015, "What
  teachers should know about the bootstrap", expanded percentiles).

The degrees of freedom of t are the effective number of blocks less one, (sum n)^2 / sum n^2 over their words: a slice
with one speaker who says most of the words knows little.

The draws are counts and the sums are whole numbers, so the matrix products are exact in any order: a seed gives the
same bits on every machine and with any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

REPLICATES = 1000
LEVEL = 0.95
MOST_BLOCKS = 4096
LEAST_EFFECTIVE = 3.0  # of fewer blocks no interval of a rate is told: t of one or two degrees says anything
_KEPT_BLOCKS = 8192  # up to so many blocks the draws are kept: 32 MiB for 1,000 replicates
_CHUNK = 50  # replicates at a time otherwise
_EXACT = 2.0**24  # float32 holds all whole numbers up to here


def speaker_blocks(speakers: int, most: int | None = MOST_BLOCKS, seed: int = 0) -> np.ndarray:
    """The block of each speaker: int32 (speakers,), 0 to min(speakers, most) - 1.

    A block is one speaker where they fit. More are dealt at random into `most` groups of equal size, which are then
    independent and alike (the method of random groups; Wolter 2007, "Introduction to Variance Estimation", ch. 2):
    the variance keeps most - 1 degrees of freedom, far more than 1,000 replicates can tell apart, and slices with few
    speakers have hardly two in one group. most=None always gives one block a speaker.
    """
    if most is None or speakers <= most:
        return np.arange(speakers, dtype=np.int32)
    keys = np.random.PCG64(seed).random_raw(speakers)  # raw: the stream stays the same from numpy to numpy
    blocks = np.empty(speakers, dtype=np.int32)
    blocks[np.argsort(keys, kind="stable")] = np.arange(speakers) % most
    return blocks


def _drawn(stream: np.random.PCG64, blocks: int, replicates: int) -> np.ndarray:
    """The next replicates of a stream: how often each block is drawn, float32 (replicates, blocks)."""
    draws = max(blocks - 1, 1)
    counts = np.empty((replicates, blocks), dtype=np.float32)
    for row in counts:
        halves = stream.random_raw((draws + 1) // 2).view(np.uint32)[:draws]
        picks = halves.astype(np.uint64) * np.uint64(blocks) >> np.uint64(32)  # uniform over the blocks
        row[:] = np.bincount(picks.view(np.int64), minlength=blocks)
    return counts


@lru_cache(maxsize=4)
def _kept(blocks: int, replicates: int, seed: int) -> np.ndarray:
    counts = _drawn(np.random.PCG64([seed, 1]), blocks, replicates)
    counts.setflags(write=False)
    return counts


def replicate(sums: np.ndarray, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """Resampled totals: float64 (columns, replicates) from sums (blocks, columns) of whole numbers, 0 or more.

    Calls with the same blocks and seed share the draws, so totals of one replicate can be divided and subtracted.
    Exact as long as totals stay below 2 ** 53.
    """
    blocks = len(sums)
    few = blocks <= _KEPT_BLOCKS
    if few and sums.sum(axis=0).max(initial=0) < _EXACT / 2:
        quick = _kept(blocks, replicates, seed) @ sums.astype(np.float32)
        if quick.max(initial=0) < _EXACT:  # so no partial sum was rounded
            return quick.T.astype(np.float64, order="C")
    sums = np.asarray(sums, dtype=np.float64)
    stream, out = np.random.PCG64([seed, 1]), np.empty((sums.shape[1], replicates))
    for start in range(0, replicates, _CHUNK):
        end = min(start + _CHUNK, replicates)
        drawn = _kept(blocks, replicates, seed)[start:end] if few else _drawn(stream, blocks, end - start)
        out[:, start:end] = (drawn.astype(np.float64) @ sums).T
    return out


def ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Element by element, nan where the denominator is 0 (a replicate that drew nobody of the slice)."""
    out = np.full(np.broadcast_shapes(np.shape(numerators), np.shape(denominators)), np.nan)
    return np.divide(numerators, denominators, out=out, where=np.asarray(denominators) > 0)


def effective_blocks(words: np.ndarray) -> np.ndarray:
    """(sum n)^2 / sum n^2 over the blocks: (columns,) from words (blocks, columns). 0 where there are no words."""
    return np.nan_to_num(ratio(words.sum(axis=0) ** 2, np.einsum("bc,bc->c", words, words)))


def percentile_interval(
    values: np.ndarray, effective: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of each row's interval, (columns,) each, from replicates (columns, replicates).

    effective: (columns,), see `effective_blocks`. nan replicates are left out; a row without any, or with an
    effective number of blocks of 1 or less, has nan ends.
    """
    from scipy import special

    ordered = np.sort(values, axis=1)  # nan goes last
    known = values.shape[1] - np.isnan(ordered).sum(axis=1)
    freedom = np.where(effective > 1, effective - 1, np.nan)
    tail = special.ndtr(special.stdtrit(freedom, (1 - level) / 2))
    usable = (known > 0) & np.isfinite(tail)
    rows, ends = np.arange(len(values)), []
    for share in (tail, 1 - tail):
        at = np.where(usable, share, 0.0) * np.maximum(known - 1, 0)
        below = np.floor(at).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        end = ordered[rows, below] + (at - below) * (ordered[rows, above] - ordered[rows, below])
        ends.append(np.where(usable, end, np.nan))
    return ends[0], ends[1]


def rate_ends(
    rates: np.ndarray, drawn: np.ndarray, effective: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the intervals of rates (...), from their replicates (..., replicates).

    effective: (...) or what broadcasts to it. Both ends are 0 where the rate is; nan where the rate is nan or the
    effective number of blocks is below LEAST_EFFECTIVE.
    """
    from scipy import special

    mean = ratio(np.nansum(drawn, axis=-1), (~np.isnan(drawn)).sum(axis=-1))
    squares = np.nansum((drawn - mean[..., None]) ** 2, axis=-1)
    error = np.sqrt(ratio(squares, (~np.isnan(drawn)).sum(axis=-1) - 1))
    freedom = np.where(effective >= LEAST_EFFECTIVE, effective - 1, np.nan)
    t = -special.stdtrit(freedom, (1 - level) / 2)
    apart = np.where((rates == 0) & np.isfinite(t), 0.0, t * ratio(error, rates))
    return rates * np.exp(-apart), rates * np.exp(apart)


def p_values(estimates: np.ndarray, values: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Two-sided p of "no difference", (columns,): estimate over standard deviation of the replicates, by Student's t.

    Not the share of replicates beyond zero: that cannot fall below 2 / replicates, and a correction for 100 slices
    needs 0.0005. Where no replicate differs from the others nothing can be told: p is 1. nan estimates give nan.
    """
    from scipy import special

    mean = ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))
    squares = np.nansum((values - mean[:, None]) ** 2, axis=1)
    error = np.sqrt(ratio(squares, (~np.isnan(values)).sum(axis=1) - 1))
    freedom = np.where(effective > 1, effective - 1, np.nan)
    t = ratio(np.abs(estimates), error)
    p = 2 * special.stdtr(freedom, -t)
    return np.where(np.isnan(estimates), np.nan, np.where(np.isnan(p), 1.0, p))


@dataclass(frozen=True)
class Interval:
    """A pooled rate (a fraction), the ends of its interval, and the effective number of speaker blocks behind it."""

    rate: float
    low: float
    high: float
    effective: float


def rate_interval(
    errors: np.ndarray,
    words: np.ndarray,
    speakers: np.ndarray,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    most_blocks: int | None = MOST_BLOCKS,
    seed: int = 0,
) -> Interval:
    """Pooled rate of clips and its interval. errors, words: whole numbers a clip; speakers: 0 to S - 1 a clip.

    For tables of many slices use evals.slices, which sums all of them at once.
    """
    block = speaker_blocks(int(speakers.max(initial=0)) + 1, most_blocks, seed)[speakers]
    sums = np.stack([np.bincount(block, errors), np.bincount(block, words)], axis=1)
    drawn_errors, drawn_words = replicate(sums, replicates, seed)
    effective = effective_blocks(sums[:, 1:])
    total = sums.sum(axis=0)
    rate = ratio(total[:1], total[1:])
    low, high = rate_ends(rate, ratio(drawn_errors, drawn_words)[None], effective, level)
    return Interval(float(rate[0]), float(low[0]), float(high[0]), float(effective[0]))
