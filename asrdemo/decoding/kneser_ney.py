"""Interpolated modified Kneser-Ney smoothing, estimated as KenLM's lmplz does it, in numpy.

An n-gram is a row in the table of its order. Its key is (row of its prefix in the table below) * V + (last word),
so keys of any order fit 64 bits, `np.unique` counts them, and no table of strings is needed before writing.

Conventions shared with lmplz (Heafield et al. 2013, and its source): counts of all orders but the highest are
adjusted to the number of different words seen to the left, except for n-grams that begin with <s>; discounts
D1, D2, D3+ come in closed form from the adjusted counts (Chen and Goodman 1998, equation 26), and fall back to
0.5, 1, 1.5 where a text is too small for that (`--discount_fallback`); unigrams are interpolated with the uniform
distribution over the vocabulary, with <unk> and without <s>; <unk> gets that share alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asrdemo.types import Progress

UNK, BOS, EOS = 0, 1, 2  # word numbers; real words follow in order of first appearance, as in lmplz
SPECIAL = ("<unk>", "<s>", "</s>")
FALLBACK = (0.0, 0.5, 1.0, 1.5)  # discounts for adjusted counts 0, 1, 2 and 3+
FLOOR = 1e-10  # a backoff of exactly zero has no logarithm

Discount = tuple[float, float, float, float]


@dataclass(frozen=True)
class Table:
    """All n-grams of one order. Arrays of shape (n_grams,).

    prefix: row of the n-gram without its last word, in the table one order below (unigrams: 0).
    last: number of the last word. log10_prob: as in ARPA. log10_backoff: 0 where nothing was seen to follow.
    """

    prefix: np.ndarray
    last: np.ndarray
    log10_prob: np.ndarray
    log10_backoff: np.ndarray


@dataclass(frozen=True)
class NgramModel:
    """words: by number. tables: order 1 first. discounts: as used, by order. fallback: orders that fell back."""

    words: tuple[str, ...]
    tables: tuple[Table, ...]
    discounts: tuple[Discount, ...]
    fallback: tuple[int, ...]

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.tables)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many n-grams of each order."""
        return tuple(len(t.last) for t in self.tables)


@dataclass(frozen=True)
class Text:
    """Sentences as word numbers. tokens: int64, <s> w ... w </s> <s> ..., shape = (n_words + 2 n_sentences,)."""

    tokens: np.ndarray
    words: tuple[str, ...]
    sentences: int

    @property
    def n_words(self) -> int:
        """Running words, without <s> and </s>."""
        return len(self.tokens) - 2 * self.sentences


@dataclass(frozen=True)
class _Counts:
    """Rows of one order before smoothing. suffix: row without the first word, one order below."""

    prefix: np.ndarray
    last: np.ndarray
    suffix: np.ndarray
    raw: np.ndarray
    from_bos: np.ndarray
    last_row: int  # row of the last n-gram in lmplz's sorting, or -1


def number(sentences: Iterable[str]) -> Text:
    """Words of each sentence, split at spaces, as numbers. Sentences without words are left out."""
    numbers = {word: i for i, word in enumerate(SPECIAL)}
    tokens: list[int] = []
    n_sentences = 0
    for sentence in sentences:
        words = [w for w in sentence.split() if w not in SPECIAL]
        if words:
            tokens.append(BOS)
            tokens += [numbers.setdefault(w, len(numbers)) for w in words]
            tokens.append(EOS)
            n_sentences += 1
    return Text(np.asarray(tokens, dtype=np.int64), tuple(numbers), n_sentences)


def estimate(text: Text, order: int, progress: Progress | None = None) -> NgramModel:
    """The model of a text with at least one sentence.

    order: at least 1; where no sentence is long enough for it, the longest order that has n-grams is used instead.
    """
    counts = _count(text, order, progress)
    adjusted = _adjust(counts)
    discounts, fallback = [], []
    for k, (c, a) in enumerate(zip(counts, adjusted, strict=True), start=1):
        statistics = a if k == len(counts) else _as_lmplz_tallies(c, a)
        discount = _discount(statistics)
        if discount is None:
            fallback.append(k)
        discounts.append(discount or FALLBACK)
    tables = _smooth(counts, adjusted, discounts, len(text.words))
    return NgramModel(text.words, tables, tuple(discounts), tuple(fallback))


def _count(text: Text, order: int, progress: Progress | None) -> list[_Counts]:
    tokens, size = text.tokens, len(text.words)
    raw = np.bincount(tokens, minlength=size)
    raw[BOS] = 0  # <s> is given, never predicted
    everything = np.arange(size)
    end = _last_in_suffix_order(tokens, order)
    none = np.zeros(size, dtype=np.int64)
    tables = [_Counts(none, everything, none, raw, np.zeros(size, dtype=bool), int(tokens[end]))]
    rows, starts = tokens, np.arange(len(tokens))
    for k in range(2, order + 1):
        if progress:
            progress(k, order, f"counting {k}-grams")
        starts = starts[tokens[starts + k - 2] != EOS]  # no n-gram reaches past the end of its sentence
        if not len(starts):
            break
        keys = rows[starts] * size + tokens[starts + k - 1]
        unique, first, inverse, raw = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        first = starts[first]
        longer = np.full(len(tokens), -1, dtype=np.int64)
        longer[starts] = inverse
        from_bos = tokens[first] == BOS
        last_row = int(longer[end - k + 1]) if end - k + 1 >= 0 and tokens[end] != BOS else -1
        tables.append(_Counts(unique // size, unique % size, rows[first + 1], raw, from_bos, last_row))
        rows = longer
    return tables


def _last_in_suffix_order(tokens: np.ndarray, order: int) -> int:
    """Where the n-gram ends that sorts last when n-grams are compared from their last word backwards."""
    ends = np.flatnonzero(tokens == tokens.max())
    for back in range(1, order):
        if len(ends) == 1:
            break
        before = np.maximum(ends - back, 0)  # what precedes <s> is another sentence, but then the rest is equal
        words = tokens[before]
        ends = ends[words == words.max()]
        if words.max() == BOS:
            break
    return int(ends[0])


def _adjust(counts: list[_Counts]) -> list[np.ndarray]:
    adjusted = []
    for lower, higher in zip(counts, counts[1:], strict=False):
        left = np.bincount(higher.suffix, minlength=len(lower.last))
        adjusted.append(np.where(lower.from_bos, lower.raw, left))
    return [*adjusted, counts[-1].raw]


def _as_lmplz_tallies(counts: _Counts, adjusted: np.ndarray) -> np.ndarray:
    """Adjusted counts as lmplz tallies them for the discounts: its last n-gram of each order goes in unadjusted.

    Of no weight in a real text, but it moves the discounts of a tiny one.
    """
    tallied = adjusted.copy()
    if counts.last_row >= 0:
        tallied[counts.last_row] = counts.raw[counts.last_row]
    return tallied


def _discount(adjusted: np.ndarray) -> Discount | None:
    """D1, D2, D3+ behind a 0, or None where the closed form does not hold (too few singletons and the like)."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(float)
    if not n[1:4].all():
        return None
    y = n[1] / (n[1] + 2 * n[2])
    amounts = [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
    if any(not 0 <= d <= j for j, d in enumerate(amounts, start=1)):
        return None
    return 0.0, amounts[0], amounts[1], amounts[2]


def _smooth(
    counts: list[_Counts], adjusted: list[np.ndarray], discounts: list[Discount], size: int
) -> tuple[Table, ...]:
    takes = np.asarray(discounts[0])[np.minimum(adjusted[0], 3)]
    total = adjusted[0].sum()
    prob = (adjusted[0] - takes + takes.sum() / (size - 1)) / total
    prob[BOS] = 1.0
    probs, backoffs = [prob], []
    for c, a, discount in zip(counts[1:], adjusted[1:], discounts[1:], strict=True):
        contexts = len(probs[-1])
        takes = np.asarray(discount)[np.minimum(a, 3)]
        total = np.bincount(c.prefix, weights=a, minlength=contexts)
        seen = total > 0
        total[~seen] = 1.0
        gamma = np.bincount(c.prefix, weights=takes, minlength=contexts) / total
        backoffs.append(np.where(seen, np.maximum(gamma, FLOOR), 1.0))
        probs.append((a - takes) / total[c.prefix] + gamma[c.prefix] * probs[-1][c.suffix])
    backoffs.append(np.ones_like(probs[-1]))
    return tuple(
        Table(c.prefix, c.last, np.minimum(np.log10(p), 0.0), np.log10(b))
        for c, p, b in zip(counts, probs, backoffs, strict=True)
    )
