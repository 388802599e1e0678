"""Counts by slice and speaker block, and their resampling: what tables of slices and comparisons rest on.

All counts of a clip are packed side by side into a few float64, as wide as the largest sum of a block needs, so that
one pass over the clips adds up several of them, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from evals import bootstrap
from evals.groups import Grouping, everything
from evals.scored import Scored

MIN_SPEAKERS, MIN_WORDS = 10, 100
_BITS = 53  # whole numbers that a float64 holds exactly
_CELLS = 2**22  # slices times blocks at a time: 32 MiB each pack
_FLAGS = 2**26  # speakers times slices up to which a table of flags is quicker than sorting
_KINDS = ("substitutions", "deletions", "insertions")

Counts = dict[tuple[str, int], np.ndarray]
"""(name, run) -> counts; run is 0 for what all runs share."""

Places = dict[tuple[str, int], tuple[int, int, int]]
"""(name, run) -> in which pack, from which bit, how many bits."""


@dataclass(frozen=True)
class Support:
    """What a slice needs before a number is shown.

    speakers: intervals of 95 % held the truth in 94 to 95 % of made-up corpora with 20 speakers or more, in 92 to 95 %
    with 10, in 90 to 93 % with 5 (benchmarks/coverage.py). words: with 100, a WER of 10 % rests on ten errors.
    """

    speakers: int = MIN_SPEAKERS
    words: int = MIN_WORDS

    def lacking(self, speakers: int, words: int) -> str:
        """Why a slice is insufficient, "" if it is not."""
        lacks = []
        if speakers < self.speakers:
            lacks.append(f"{speakers} of the {self.speakers} speakers needed")
        if words < self.words:
            lacks.append(f"{words} of the {self.words} words needed")
        return ", ".join(lacks)


@dataclass(frozen=True, eq=False)
class Resampled:
    """Slices of a grouping among the clips of a mask.

    clips, speakers, words, seconds: (slices,). lacking: for each slice why it is insufficient, "" if it is not.
    enough: the k slices that are not; of these alone: reference, characters: words and characters of the reference,
    (k,); substitutions, deletions, insertions, char_errors: (runs, k); effective: effective number of speaker blocks,
    (k,); rest_effective, rest_blocks: the same and the number of blocks, of the other clips of the mask, (k,);
    drawn_words: (k, replicates); drawn_errors: word errors, (runs, k, replicates).
    """

    clips: np.ndarray
    speakers: np.ndarray
    words: np.ndarray
    seconds: np.ndarray
    lacking: np.ndarray
    enough: np.ndarray
    reference: np.ndarray
    characters: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    char_errors: np.ndarray
    effective: np.ndarray
    rest_effective: np.ndarray
    rest_blocks: np.ndarray
    drawn_words: np.ndarray
    drawn_errors: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Word errors, (runs, k)."""
        return self.substitutions + self.deletions + self.insertions


class Sums:
    """The clips of a mask, ready to be summed. mask: bool (clips,), all by default."""

    def __init__(
        self, scored: Scored, mask: np.ndarray | None = None, replicates: int = bootstrap.REPLICATES, seed: int = 0
    ) -> None:
        self.scored, self.replicates, self.seed = scored, replicates, seed
        packs, self._places = scored.once(("packed",), lambda: _packed(scored))
        inside = np.ones(len(scored)) if mask is None else mask.astype(np.float64)
        clips = [inside, *(packs if mask is None else [pack * inside for pack in packs])]
        self._values = {False: clips, True: [np.add.reduceat(values, scored.starts) for values in clips]}
        whole = everything(scored)
        self._words = self._by_block(whole, range(1))["words", 0]

    def everything(self) -> Resampled:
        """All clips of the mask as one slice, whatever its support."""
        return self.slices(everything(self.scored), Support(0, 0))

    def slices(self, grouping: Grouping, support: Support) -> Resampled:
        """Support of each slice of a grouping, and counts and replicates of those that have enough."""
        most = max(1, _CELLS // self.scored.blocks)
        cuts = [*range(0, len(grouping), most), len(grouping)]
        speakers = self.speakers(grouping)
        found = [self._chunk(grouping, range(a, b), speakers[a:b], support) for a, b in pairwise(cuts)]
        return found[0] if len(found) == 1 else _joined(found)

    def speakers(self, grouping: Grouping) -> np.ndarray:
        """Speakers in each slice, int64 (slices,)."""
        placed = self._placed(grouping)
        inside = self._values[placed.stretches][0]
        if len(placed.extra):
            inside = np.concatenate([inside, inside[placed.extra]])
        here = np.bincount(placed.pair, inside, len(placed.pair_slice)) > 0
        return np.bincount(placed.pair_slice[here], minlength=len(grouping))

    def _placed(self, grouping: Grouping) -> Placed:
        return self.scored.once(("placed", grouping.by), lambda: placed(self.scored, grouping))

    def _chunk(self, grouping: Grouping, chosen: range, speakers: np.ndarray, support: Support) -> Resampled:
        counts = self._by_block(grouping, chosen)
        clips, words, milliseconds = (counts[name, 0].sum(axis=0) for name in ("clips", "words", "milliseconds"))
        lacking = np.array(
            [support.lacking(int(s), int(w)) for s, w in zip(speakers, words, strict=True)], dtype=object
        )
        enough = np.flatnonzero([not each for each in lacking])
        runs, k = len(self.scored.runs), len(enough)
        reference = counts["words", 0][:, enough]
        rest = self._words - reference
        errors = [sum(counts[kind, run][:, enough] for kind in _KINDS) for run in range(runs)]
        drawn = bootstrap.replicate(np.concatenate([reference, *errors], axis=1), self.replicates, self.seed)
        drawn = drawn.reshape(runs + 1, k, self.replicates)
        totals = {
            name: np.stack([counts[name, run].sum(axis=0)[enough] for run in range(runs)])
            for name in (*_KINDS, "char_errors")
        }
        return Resampled(
            clips=clips,
            speakers=speakers,
            words=words,
            seconds=milliseconds / 1000,
            lacking=lacking,
            enough=enough + chosen.start,
            reference=words[enough],
            characters=counts["characters", 0].sum(axis=0)[enough],
            effective=bootstrap.effective_blocks(reference),
            rest_effective=bootstrap.effective_blocks(rest),
            rest_blocks=(rest > 0).sum(axis=0),
            drawn_words=drawn[0],
            drawn_errors=drawn[1:],
            **totals,
        )

    def _by_block(self, grouping: Grouping, chosen: range) -> Counts:
        """Counts of neighbouring slices, int64 (blocks, slices) each."""
        where, blocks, width = self._placed(grouping), self.scored.blocks, len(chosen)
        whole = width == len(grouping)
        cells, extra = where.cells if whole else (_cells(b, c, chosen, blocks) for b, c in where.blocks_and_codes())
        counts: Counts = {}
        for number, pack in enumerate(self._values[where.stretches][1:]):
            summed = np.bincount(cells, pack, blocks * width + 1)
            np.add.at(summed, extra, pack[where.extra])
            table = summed[:-1].astype(np.int64).reshape(blocks, width)
            for name, (there, shift, bits) in self._places.items():
                if there == number:
                    counts[name] = table >> shift & (1 << bits) - 1
        return counts


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a grouping's clips go. stretches: whether all below is of stretches of clips (Scored.starts), not of clips.

    block, code: of each; extra, extra_code: those that are in further slices, and in which. cells: of all slices, see
    `_cells`. pair: a number for speaker and slice of each, then of each extra; pair_slice: the slice of each pair.
    """

    stretches: bool
    block: np.ndarray
    code: np.ndarray
    extra: np.ndarray
    extra_code: np.ndarray
    cells: tuple[np.ndarray, np.ndarray]
    pair: np.ndarray
    pair_slice: np.ndarray

    def blocks_and_codes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each, and of each extra."""
        yield self.block, self.code
        yield self.block[self.extra], self.extra_code


def placed(scored: Scored, grouping: Grouping) -> Placed:
    """Stretches where the slices are the same for all clips of each, as with accents: there are far fewer of them."""
    starts, size = scored.starts, len(grouping)
    stretch = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(scored))))
    stretches = bool((grouping.code == grouping.code[starts][stretch]).all())
    block, speaker, code = scored.block, scored.speaker, grouping.code
    extra, extra_code = grouping.extra_clip, grouping.extra_code
    if stretches:
        first, once = np.unique(stretch[extra] * size + extra_code, return_counts=True)
        stretches = bool((once == np.bincount(stretch, minlength=len(starts))[first // size]).all())
    if stretches:
        block, speaker, code = block[starts], speaker[starts], code[starts]
        extra, extra_code = first // size, first % size
    cells = tuple(_cells(b, c, range(size), scored.blocks) for b, c in ((block, code), (block[extra], extra_code)))
    pair, pair_slice = _pairs(np.append(speaker, speaker[extra]), np.append(code, extra_code), scored.speakers, size)
    return Placed(stretches, block, code, extra, extra_code, (cells[0], cells[1]), pair, pair_slice)


def _cells(block: np.ndarray, code: np.ndarray, chosen: range, blocks: int) -> np.ndarray:
    """Cell of a block and one of the chosen slices, counted block by block; all other slices have the one after."""
    inside = (code >= chosen.start) & (code < chosen.stop)
    return np.where(inside, block.astype(np.int64) * len(chosen) + (code - chosen.start), blocks * len(chosen))


def _pairs(speaker: np.ndarray, code: np.ndarray, speakers: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A number for each pair of speaker and slice, and the slice of each."""
    pairs = speaker.astype(np.int64) * size + code
    if speakers * size > _FLAGS:
        present, pair = np.unique(pairs, return_inverse=True)
        return pair, present % size
    flags = np.zeros(speakers * size, dtype=bool)
    flags[pairs] = True
    return (np.cumsum(flags, dtype=np.int64) - 1)[pairs], np.flatnonzero(flags) % size


def _packed(scored: Scored) -> tuple[list[np.ndarray], Places]:
    """All counts in few float64 (clips,), and where they are."""
    seconds = scored.number("seconds")
    columns: Counts = {
        ("clips", 0): np.ones(len(scored), np.int16),
        ("words", 0): scored.words,
        ("characters", 0): scored.characters,
        ("milliseconds", 0): np.round(1000 * np.where(np.isnan(seconds), 0, seconds)).astype(np.int64),
    }
    for kind in (*_KINDS, "char_errors"):
        columns |= {(kind, run): values for run, values in enumerate(getattr(scored, kind))}
    places: Places = {}
    packs: list[np.ndarray] = []
    used: list[int] = []
    for name, values in columns.items():
        bits = max(1, int(np.bincount(scored.block, values).max()).bit_length())
        where = next((i for i, taken in enumerate(used) if taken + bits <= _BITS), len(used))
        if where == len(used):
            packs.append(np.zeros(len(scored)))
            used.append(0)
        packs[where] += values * 2.0 ** used[where]
        places[name] = where, used[where], bits
        used[where] += bits
    return packs, places


def _joined(found: list[Resampled]) -> Resampled:
    """Slices of several chunks, one after the other."""
    columns = {}
    for each in fields(Resampled):
        values = [getattr(f, each.name) for f in found]
        axis = 1 if each.name in (*_KINDS, "char_errors", "drawn_errors") else 0
        columns[each.name] = np.concatenate(values, axis=axis)
    return Resampled(**columns)
