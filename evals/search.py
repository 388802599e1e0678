"""The search behind evals.worst: slices with a pooled WER above that of the other clips, and which of them are one.

A column of numbers has its bins as slices, and the unions of neighbouring bins from either end, so that "6 s or more"
is found as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np

from evals import bootstrap
from evals.filters import Condition
from evals.gaps import Gaps, gaps, member_sums
from evals.groups import Grouping, bin_conditions, bin_label, crossed, grouping, picked
from evals.scored import Scored, is_text
from evals.sums import Support
from evals.wording import phrase

_BLOCKS = 512  # more would cost time and hardly change the order of the candidates
_CANDIDATES = 300  # looked at for overlaps, best first
_CHANCE = 0.95  # one-sided levels: to be above the rest,
_CAUTION = 0.999  # and to come first, or for a condition to be worth its words, of which many are tried
_ALIKE = 0.5  # share of common clips (Jaccard) from which two answers are one


@dataclass(frozen=True, eq=False)
class Factor:
    """What the search may say of one column: sets of slices of a grouping. unions: bool (slices, sets)."""

    grouping: Grouping
    unions: np.ndarray
    labels: tuple[str, ...]
    conditions: tuple[tuple[Condition, ...], ...]

    @property
    def column(self) -> str:
        """Its name in the rows."""
        return self.grouping.columns[0]

    def members(self, which: int) -> np.ndarray:
        """Clips of a set, bool (clips,)."""
        return reduce(np.logical_or, (self.grouping.members(int(i)) for i in np.flatnonzero(self.unions[:, which])))

    def only(self, which: np.ndarray) -> Factor:
        """Some of the sets."""
        labels, conditions = tuple(self.labels[i] for i in which), tuple(self.conditions[i] for i in which)
        return Factor(self.grouping, self.unions[:, which], labels, conditions)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A crossing of sets, one of each of some columns.

    rank: whether its gap is surely above zero, for a search of thousands, and the least that it may then well be. In a
    small corpus hardly any is; those are ranked by the least it may be for a single slice, or the order would be that
    of their sizes.
    """

    parts: tuple[tuple[Factor, int], ...]
    rank: tuple[bool, float]

    def members(self) -> np.ndarray:
        """Its clips, bool (clips,)."""
        return reduce(np.logical_and, (factor.members(i) for factor, i in self.parts))

    def wider(self) -> Iterator[Candidate]:
        """Without one of the columns; then with a larger set of one column, the largest first."""
        for i in range(len(self.parts) if len(self.parts) > 1 else 0):
            yield Candidate(self.parts[:i] + self.parts[i + 1 :], self.rank)
        for i, (factor, which) in enumerate(self.parts):
            inside = factor.unions[:, which]
            larger = np.flatnonzero(
                (factor.unions >= inside[:, None]).all(axis=0) & (np.arange(len(factor.labels)) != which)
            )
            for other in larger[np.argsort(-factor.unions[:, larger].sum(axis=0), kind="stable")]:
                yield Candidate((*self.parts[:i], (factor, int(other)), *self.parts[i + 1 :]), self.rank)

    @property
    def name(self) -> str:
        """In plain words."""
        return phrase([factor.column for factor, _ in self.parts], [factor.labels[i] for factor, i in self.parts])

    @property
    def by(self) -> str:
        """As a grouping is written."""
        return "*".join(factor.grouping.by for factor, _ in self.parts)

    @property
    def conditions(self) -> list[Condition]:
        """The filter that picks its clips."""
        return [condition for factor, i in self.parts for condition in factor.conditions[i]]


class Search:
    """The clips that serve to find slices. searched: slices with support so far."""

    def __init__(self, scored: Scored, errors: np.ndarray, finding: np.ndarray, support: Support) -> None:
        self.scored, self.finding, self.support, self.searched = scored, finding, support, 0
        speakers, of_clip = np.unique(scored.speaker[finding], return_inverse=True)
        block_of = bootstrap.speaker_blocks(len(speakers), _BLOCKS).astype(np.int64)
        self._blocks = int(block_of.max(initial=0)) + 1
        self._block = np.zeros(len(scored), np.int64)
        self._block[finding] = block_of[of_clip]
        self._words, self._errors = scored.words, errors
        self._weights = [(values * finding).astype(np.float64) for values in (scored.words, errors)]
        self._stands: dict[tuple[str, ...], np.ndarray] = {}  # of each crossing searched: which are above the rest
        self._whole = [np.bincount(self._block, values, self._blocks) for values in self._weights]

    def candidates(self, columns: Sequence[str], depth: int) -> list[Candidate]:
        """Slices whose WER is above the others' at the level of 95 %; first those that are surely furthest above."""
        factors = [each for each in map(self._factor, columns) if each.labels]
        found: list[Candidate] = []
        for size in range(1, min(depth, len(factors)) + 1):
            for chosen in combinations(factors, size):
                if len({factor.column for factor in chosen}) < size:
                    continue  # two sets of bins of one column
                found += self._above(chosen)
                found = sorted(found, key=lambda c: c.rank, reverse=True)[:_CANDIDATES]
        return found

    def distinct(self, found: Sequence[Candidate], most: int) -> list[Candidate]:
        """The first `most` in their plainest form, neither the same as one before nor explained by those before.

        Same: half of the clips of the two together are in both. Explained: without the clips of those before, it has
        no support, or is no longer above what is left.
        """
        kept: list[Candidate] = []
        taken: list[np.ndarray] = []
        left = self.finding
        for candidate in found:
            if len(kept) == most:
                break
            if _alike(candidate.members() & self.finding, taken):
                continue
            candidate = self._plainest(candidate)
            members = candidate.members() & self.finding
            if _alike(members, taken) or (taken and not self._left_above(members & left, left)):
                continue
            kept.append(candidate)
            taken.append(members)
            left = left & ~members
        return kept

    def _factor(self, column: str) -> Factor:
        """The sets of a column that have support; values without it are put together, out of the search's way."""
        whole = grouping(self.scored, column)
        if is_text(whole.columns[0]):
            enough = self._supported(self._gaps([_values(whole)]))
            factor = _values(picked(whole, np.flatnonzero(whole.known)[enough]))
        else:
            factor = _bins(whole)
        return factor.only(np.flatnonzero(self._supported(self._gaps([factor]))))

    def _above(self, chosen: Sequence[Factor]) -> list[Candidate]:
        found = self._gaps(chosen)
        enough = self._supported(found)
        self.searched += int(enough.sum())
        shape = [len(factor.labels) for factor in chosen]
        lower, sure = found.lower(_CHANCE), found.lower(_CAUTION)
        stands = enough & (lower > 0)
        self._stands[tuple(factor.grouping.by for factor in chosen)] = stands.reshape(shape)
        above = np.flatnonzero(stands)
        sets = np.unravel_index(above, shape)
        ranks = [(True, float(sure[i])) if sure[i] > 0 else (False, float(lower[i])) for i in above]
        return [
            Candidate(tuple(zip(chosen, (int(i) for i in at), strict=True)), rank)
            for rank, *at in zip(ranks, *sets, strict=True)
        ]

    def _gaps(self, chosen: Sequence[Factor]) -> Gaps:
        """All crossings of the factors' sets, the last factor's running fastest, each against the other clips."""
        whole = reduce(crossed, [factor.grouping for factor in chosen])
        shape = [len(factor.grouping) for factor in chosen]
        cells = self._block * len(whole) + whole.code
        extra = self._block[whole.extra_clip] * len(whole) + whole.extra_code
        sums = []
        for values in self._weights:
            summed = np.bincount(cells, values, self._blocks * len(whole))
            np.add.at(summed, extra, values[whole.extra_clip])
            summed = summed.reshape(self._blocks, *shape)
            for factor in chosen:  # the first axis goes, the factor's sets come last
                summed = np.tensordot(summed, factor.unions.astype(np.float64), axes=([1], [0]))
            sums.append(summed.reshape(self._blocks, -1))
        return gaps(*sums, *self._whole)

    def _supported(self, found: Gaps) -> np.ndarray:
        """Both the slice and the others; a block with words stands for at least one speaker."""
        speakers = np.minimum(found.blocks, found.rest_blocks)
        return (speakers >= self.support.speakers) & (np.minimum(found.words, found.rest_words) >= self.support.words)

    def _against(self, members: np.ndarray, whole: np.ndarray) -> Gaps:
        """Some of the clips against the others of `whole`."""
        words, errors = member_sums(self._block, self._blocks, self._words, self._errors, [members, whole])
        return gaps(words[:, :1], errors[:, :1], words[:, 1], errors[:, 1])

    def _left_above(self, members: np.ndarray, left: np.ndarray) -> bool:
        """Whether the clips left of a slice have support and are above the others that are left."""
        found = self._against(members, left)
        return bool(self._supported(found)[0] and found.lower(_CHANCE)[0] > 0)

    def _matters(self, members: np.ndarray, more: np.ndarray) -> bool:
        """Whether what a condition leaves out has support, and is clearly better."""
        left_out = self._supported(self._against(more & ~members, more))[0]
        return bool(left_out and self._against(members, more).lower(_CAUTION)[0] > 0)

    def _plainest(self, candidate: Candidate) -> Candidate:
        """Without the conditions that do not matter."""
        for wider in candidate.wider():
            stands = self._stands[tuple(factor.grouping.by for factor, _ in wider.parts)]
            if stands[tuple(i for _, i in wider.parts)]:
                members, more = candidate.members() & self.finding, wider.members() & self.finding
                if not self._matters(members, more):
                    return self._plainest(wider)
        return candidate


def _alike(members: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    return any((members & other).sum() >= _ALIKE * (members | other).sum() for other in others)


def _values(whole: Grouping) -> Factor:
    """Each known slice by itself."""
    known = np.flatnonzero(whole.known)
    labels = tuple(whole.labels[i][0] for i in known)
    return Factor(whole, np.eye(len(whole), dtype=bool)[:, known], labels, tuple(whole.conditions[i] for i in known))


def _bins(whole: Grouping) -> Factor:
    """Each bin, and its unions with all bins below and with all above."""
    name, known = whole.columns[0], np.flatnonzero(whole.known)
    ends = []
    for i in known:
        end = {condition.op: float(condition.value) for condition in whole.conditions[i]}
        ends.append((end.get("min"), end.get("below")))
    last = len(known) - 1
    ranges = [(i, i) for i in range(last + 1)]
    ranges += [(0, i) for i in range(1, last)] + [(i, last) for i in range(1, last)]
    unions = np.zeros((len(whole), len(ranges)), dtype=bool)
    for which, (low, high) in enumerate(ranges):
        unions[known[low : high + 1], which] = True
    labels = tuple(bin_label(name, ends[low][0], ends[high][1]) for low, high in ranges)
    return Factor(
        whole, unions, labels, tuple(bin_conditions(name, ends[low][0], ends[high][1]) for low, high in ranges)
    )
