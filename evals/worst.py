"""Where is a run worst? A search over all one-, two- and three-way slices that does not fool itself.

Half of the speakers, drawn at random from pairs of like accent, gender and age, serve to find slices whose pooled WER
is above that of the other clips; the other half, unseen by the search, to confirm them. What is said of a slice is what
these speakers show, so it is free of the search's luck, and Benjamini & Hochberg's rule over the slices brought to this
half keeps the share of false answers at `fdr`. Between the two, answers that are the same clips in other words are put
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from evals import bootstrap
from evals.filters import query
from evals.gaps import Gaps, gaps, member_sums
from evals.groups import USUAL
from evals.multiplicity import benjamini_hochberg
from evals.scored import Scored
from evals.search import Candidate, Search
from evals.sums import Support
from evals.wording import count, percent, points

if TYPE_CHECKING:
    import pandas as pd

MOST = 10
FDR = 0.05
ALIKE = ("accents", "gender", "age")  # what the two halves of the speakers have in like numbers
SUPPORT = Support(speakers=5)
"""Of a slice, and of the clips outside it, in either half of the speakers: so 10 speakers in all. On made-up corpora of
80 speakers with 4 clips each, 2 to 4 % of the answers were false, 5 being what is said (benchmarks/coverage.py)."""


@dataclass(frozen=True, eq=False)
class Worst:
    """table: a row for each slice brought to the held-out speakers, confirmed ones first, then by p.

    Columns: slice, by, where (filter, see evals.filters); wer, rest, difference, low, high, p (one-sided), p_bh, clips,
    speakers, words: of the held-out speakers, difference to all their other clips; confirmed: p_bh at most the rate;
    all_wer, all_rest, all_clips, all_speakers: of all speakers, by half of whom the search has chosen it; excess: word
    errors of all speakers beyond what the rest's WER would give; sentence.
    searched: slices that had support; note: how it was done, or why there is nothing, in one sentence.
    """

    table: pd.DataFrame
    searched: int
    note: str

    @property
    def answers(self) -> pd.DataFrame:
        """The confirmed ones."""
        return self.table[self.table["confirmed"]]


def worst(
    scored: Scored,
    run: str | int = 0,
    mask: np.ndarray | None = None,
    *,
    columns: Sequence[str] = USUAL,
    depth: int = 3,
    support: Support = SUPPORT,
    most: int = MOST,
    fdr: float = FDR,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
) -> Worst:
    """Slices in which the run errs more than elsewhere. columns: groupings of one column, see evals.groups.

    depth: how many columns may be crossed. A slice and the rest need the support in either half. Values that are not
    stated, and numbers that were not measured, make no slices. most: answers at most.
    """
    inside = np.ones(len(scored), bool) if mask is None else mask
    second = _held_out(scored, inside, seed)
    errors = scored.errors[scored.run(run)]
    search = Search(scored, errors, inside & ~second, support)
    chosen = search.distinct(search.candidates(columns, depth), most)
    table = _table(scored, errors, chosen, inside, second, support, replicates, seed)
    table["confirmed"] = table["p_bh"] <= fdr
    table = table.sort_values(["confirmed", "p"], ascending=[False, True], kind="stable", ignore_index=True)
    note = (
        f"{count(search.searched, 'slice')} of up to {depth} columns were searched on half of the speakers and "
        f"{len(chosen)} of them tested on the other half, where {int(table['confirmed'].sum())} held; of such answers "
        f"at most {percent(fdr)} are false on average."
    )
    if not search.searched:
        needs = f"{count(support.speakers, 'speaker')} and {count(support.words, 'word')}"
        note = f"No slice has {needs} in either half of the speakers: there is too little to search."
    return Worst(table, search.searched, note)


def _held_out(scored: Scored, inside: np.ndarray, seed: int) -> np.ndarray:
    """Clips of the half of the speakers that the search does not see, bool (clips,).

    Speakers are put in order of ALIKE (of their first clip), at random where they agree, and one of each two neighbours
    is held out: a rare accent is then not left to one half by chance.
    """
    here, first = np.unique(scored.speaker[inside], return_index=True)
    at = np.flatnonzero(inside)[first]
    raw = np.random.PCG64([seed, 2]).random_raw(2 * len(here)).reshape(2, len(here))
    order = np.lexsort([raw[0], *(scored.category(name).codes[at] for name in reversed(ALIKE))])
    place = np.arange(len(here))
    coin = (raw[1] >> np.uint64(63)).astype(np.int64)[place // 2]
    second = np.zeros(scored.speakers, bool)
    second[here[order]] = place % 2 == coin
    return second[scored.speaker]


def _table(
    scored: Scored,
    errors: np.ndarray,
    chosen: Sequence[Candidate],
    inside: np.ndarray,
    second: np.ndarray,
    support: Support,
    replicates: int,
    seed: int,
) -> pd.DataFrame:
    """The columns of Worst.table but `confirmed`."""
    import pandas as pd

    confirming = inside & second
    everywhere = [candidate.members() & inside for candidate in chosen]
    held = [members & second for members in everywhere]
    found = _tested(scored, errors, held, confirming, replicates, seed)
    speakers = [len(np.unique(scored.speaker[each])) for each in held]
    lacking = [_lacks(scored, each, support) or _lacks(scored, confirming & ~each, support) for each in held]
    found["p"] = np.where(np.array(lacking, bool), 1.0, found["p"])
    words, wrong = member_sums(scored.block, scored.blocks, scored.words, errors, [*everywhere, inside])
    every = gaps(words[:, :-1], wrong[:, :-1], words[:, -1], wrong[:, -1])
    table = pd.DataFrame(
        {
            "slice": [c.name for c in chosen],
            "by": [c.by for c in chosen],
            "where": [query(c.conditions) for c in chosen],
            **found,
            "p_bh": benjamini_hochberg(found["p"]),
            "clips": [int(each.sum()) for each in held],
            "speakers": speakers,
            "all_wer": every.wer,
            "all_rest": every.rest,
            "all_clips": [int(each.sum()) for each in everywhere],
            "all_speakers": [len(np.unique(scored.speaker[each])) for each in everywhere],
            "excess": every.errors - every.rest * every.words,
        }
    )
    table["sentence"] = [_sentence(row) for row in table.to_dict("records")]
    return table


def _lacks(scored: Scored, members: np.ndarray, support: Support) -> bool:
    return bool(support.lacking(len(np.unique(scored.speaker[members])), int(scored.words[members].sum())))


def _tested(
    scored: Scored, errors: np.ndarray, members: Sequence[np.ndarray], inside: np.ndarray, replicates: int, seed: int
) -> dict[str, np.ndarray]:
    """Each slice against the other clips `inside`, by speaker-block bootstrap.

    p is the larger of two: that of the slice as it is, and that of what is left of it without the slices before.
    """
    left, fresh, rests = inside, [], []
    for each in members:
        fresh.append(each & left)
        rests.append(left)
        left = left & ~each
    found, *drawn = _resampled(scored, errors, members, [inside] * len(members), replicates, seed)
    alone, *drawn_alone = _resampled(scored, errors, fresh, rests, replicates, seed)
    low, high = bootstrap.percentile_interval(drawn[0] - drawn[1], found.effective)
    return {
        "wer": found.wer,
        "rest": found.rest,
        "difference": found.difference,
        "low": low,
        "high": high,
        "p": np.maximum(_one_sided(found, *drawn), _one_sided(alone, *drawn_alone)),
        "words": found.words.astype(np.int64),
    }


def _resampled(
    scored: Scored,
    errors: np.ndarray,
    members: Sequence[np.ndarray],
    wholes: Sequence[np.ndarray],
    replicates: int,
    seed: int,
) -> tuple[Gaps, np.ndarray, np.ndarray]:
    """Gap of each slice to the other clips of its whole, and replicates of both WERs, (slices, replicates) each."""
    k, clips = len(members), [*members, *wholes]
    words, wrong = member_sums(scored.block, scored.blocks, scored.words, errors, clips)
    n, e = (bootstrap.replicate(sums, replicates, seed) for sums in (words, wrong))
    drawn, rest = bootstrap.ratio(e[:k], n[:k]), bootstrap.ratio(e[k:] - e[:k], n[k:] - n[:k])
    found = [gaps(words[:, [i]], wrong[:, [i]], words[:, k + i], wrong[:, k + i]) for i in range(k)]
    whole = Gaps(*(np.array([getattr(f, x.name)[0] for f in found], dtype=float) for x in fields(Gaps)))
    return whole, drawn, rest


def _one_sided(found: Gaps, drawn: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """p of "not above the rest"; 1 where it cannot be told.

    The larger of two: of the difference, and of the ratio's logarithm. A rate that few errors give is low by chance
    together with its standard error, so the difference alone would find too much where the rest is small.
    """
    differences = found.difference, drawn - rest
    ratios = _logarithms(found.wer) - _logarithms(found.rest), _logarithms(drawn) - _logarithms(rest)
    both = []
    for estimates, values in (differences, ratios):
        p = bootstrap.p_values(estimates, values, found.effective)
        both.append(np.nan_to_num(np.where(estimates > 0, p / 2, 1 - p / 2), nan=1.0))
    return np.maximum(*both)


def _logarithms(rates: np.ndarray) -> np.ndarray:
    """nan where there was no error."""
    return np.log(rates, where=rates > 0, out=np.full(rates.shape, np.nan))


def _sentence(row: dict) -> str:
    """Such as "Scottish English, clips of 6 s or more: WER 63 % against 48 % elsewhere (+15 points, 8 to 22; ...)"."""
    support = f"{count(row['clips'], 'clip')}, {count(row['speakers'], 'speaker')}"
    return (
        f"{row['slice']}: WER {percent(row['wer'])} against {percent(row['rest'])} elsewhere "
        f"({points(row['low'], row['high'], row['difference'])}; {support})"
    )
