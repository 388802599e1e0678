"""A slice's pooled WER less that of the other clips, with a standard error by linearisation: no resampling, so quick
enough for the thousands of slices of a search.

The error is that of a difference of two ratios over independent blocks of speakers (Taylor linearisation; Wolter 2007,
"Introduction to Variance Estimation", ch. 6), which is what the speaker-block bootstrap tends to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.bootstrap import ratio


@dataclass(frozen=True, eq=False)
class Gaps:
    """(slices,) each. words, errors, blocks: of the slice, blocks with words; rest_words, rest_blocks: of the others;
    wer, rest: rates of it and of the others.

    difference: wer - rest; se: its standard error; effective: effective number of blocks of the slice or of the others,
    whichever is less.
    """

    words: np.ndarray
    errors: np.ndarray
    blocks: np.ndarray
    rest_words: np.ndarray
    rest_blocks: np.ndarray
    wer: np.ndarray
    rest: np.ndarray
    se: np.ndarray
    effective: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """wer - rest."""
        return self.wer - self.rest

    def lower(self, level: float) -> np.ndarray:
        """Lower end of a one-sided interval of the difference; -inf where there is none."""
        from scipy import special

        freedom = np.where(self.effective > 1, self.effective - 1, np.nan)
        return np.nan_to_num(self.difference - special.stdtrit(freedom, level) * self.se, nan=-np.inf)


def gaps(words: np.ndarray, errors: np.ndarray, all_words: np.ndarray, all_errors: np.ndarray) -> Gaps:
    """From sums by block: words, errors (blocks, slices) of the slices, all_words, all_errors (blocks,) of all."""
    n, e = words.sum(axis=0), errors.sum(axis=0)
    rest_n, rest_e = all_words.sum() - n, all_errors.sum() - e
    wer, rest = ratio(e, n), ratio(rest_e, rest_n)
    one = np.ones_like(wer)
    # What block b adds: (e_b - wer n_b) / n - ((E_b - e_b) - rest (N_b - n_b)) / rest_n, gathered by e_b, n_b, E_b, N_b
    terms = np.stack([ratio(one, n) + ratio(one, rest_n), -(ratio(wer, n) + ratio(rest, rest_n)),
                      -ratio(one, rest_n), ratio(rest, rest_n)])  # fmt: skip
    whole = np.stack([all_errors, all_words])
    products = np.empty((4, 4, len(n)))  # sums over blocks of the products of these four
    products[0, 0], products[1, 1] = np.einsum("bs,bs->s", errors, errors), np.einsum("bs,bs->s", words, words)
    products[0, 1] = products[1, 0] = np.einsum("bs,bs->s", errors, words)
    products[2:, 0], products[2:, 1] = whole @ errors, whole @ words
    products[:2, 2:] = products[2:, :2].swapaxes(0, 1)
    products[2:, 2:] = (whole @ whole.T)[:, :, None]
    squares = np.maximum(np.einsum("is,ijs,js->s", terms, products, terms), 0)
    present = int((all_words > 0).sum())
    se = np.sqrt(squares * present / max(present - 1, 1))
    rest_squares = products[3, 3] - 2 * products[3, 1] + products[1, 1]
    effective = np.minimum(ratio(n**2, products[1, 1]), ratio(rest_n**2, rest_squares))
    blocks, rest_blocks = (words > 0).sum(axis=0), (words < all_words[:, None]).sum(axis=0)
    return Gaps(n, e, blocks, rest_n, rest_blocks, wer, rest, se, np.nan_to_num(effective))


def member_sums(
    block: np.ndarray, blocks: int, words: np.ndarray, errors: np.ndarray, members: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Words and errors by block, float64 (blocks, slices), of slices given as bool (clips,)."""
    sums = np.zeros((2, blocks, len(members)))
    for i, inside in enumerate(members):
        at = np.flatnonzero(inside)
        for j, values in enumerate((words, errors)):
            sums[j, :, i] = np.bincount(block[at], values[at], blocks)
    return sums[0], sums[1]
