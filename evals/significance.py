"""Is one run better than another, clips paired: speaker-block bootstrap and MAPSSWE, for all clips and every slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from evals import bootstrap
from evals.alignments import Aligned, aligned, same_words
from evals.groups import USUAL, Grouping
from evals.multiplicity import benjamini_hochberg, holm
from evals.scored import Scored
from evals.slices import USUAL_SUPPORT, WHOLE, frame, groupings, interval, p_values, spread, support_columns
from evals.sums import Resampled, Sums, Support

if TYPE_CHECKING:
    import pandas as pd


def comparison_table(
    scored: Scored,
    by: Sequence[str] = USUAL,
    mask: np.ndarray | None = None,
    *,
    base: str | int = 0,
    support: Support = USUAL_SUPPORT,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
    matched_pairs: bool = True,
) -> pd.DataFrame:
    """A row for each slice and each run but `base`; first those for all clips, with by "".

    Columns: by, slice, clips, speakers, words, hours, status, reason as in evals.slices.slice_table; base, run;
    base_wer, wer: fractions; difference: wer - base_wer, below 0 where the run is better; low, high: its interval, from
    the same draws of speakers for both runs; better: share of the draws in which the run has fewer errors (Bisani &
    Ney 2004); p: of no difference; p_holm, p_bh: corrected over all slices, and those of all clips among themselves,
    for what is true of all clips does not depend on how they are sliced. Unless matched_pairs is false: segments,
    mapsswe_z (below 0 where the run is better), mapsswe_p, mapsswe_holm, mapsswe_bh, see `mapsswe`: it takes segments
    as independent, which clips of one speaker are not, so it is the more easily convinced of the two.
    """
    first = scored.run(base)
    others = [run for run in range(len(scored.runs)) if run != first]
    sums = Sums(scored, mask, replicates, seed)
    pairs = {run: segments_of(scored, first, run, mask) for run in others} if matched_pairs else {}
    tables = []
    for group in groupings(scored, by):
        found = sums.slices(group, support if group.by or mask is not None else WHOLE)
        tables += [_rows(scored, group, found, first, run, pairs.get(run)) for run in others]
    return _joined(tables)


def pairs_table(
    scored: Scored,
    mask: np.ndarray | None = None,
    *,
    base: str | int = 0,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """A row for every two runs, on all clips of the mask: which of several is best, said without choosing one first.

    Columns as `comparison_table` has them without matched pairs, corrected over these rows. base: stands as the base in
    all its rows.
    """
    first = scored.run(base)
    order = [first, *(run for run in range(len(scored.runs)) if run != first)]
    [group] = groupings(scored, ())
    found = Sums(scored, mask, replicates, seed).slices(group, WHOLE if mask is None else USUAL_SUPPORT)
    return _joined([_rows(scored, group, found, one, other, None) for one, other in combinations(order, 2)])


def _joined(tables: list[dict[str, np.ndarray]]) -> pd.DataFrame:
    """One table, with corrected p."""
    columns: dict[str, Any] = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    whole = columns["by"] == ""
    for p, name in (("p", "p"), ("mapsswe_p", "mapsswe")):
        if p in columns:
            columns[f"{name}_holm"] = _apart(holm, columns[p], whole)
            columns[f"{name}_bh"] = _apart(benjamini_hochberg, columns[p], whole)
    return frame(columns)


def _apart(rule: Callable[[np.ndarray], np.ndarray], p: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """p corrected within two families; nan is left out of each."""
    return np.where(whole, rule(np.where(whole, p, np.nan)), rule(np.where(whole, np.nan, p)))


@dataclass(frozen=True)
class MatchedPairs:
    """mean: of the errors of the first system less those of the second, a segment; sd: of the same, with n - 1.

    z = mean / (sd / sqrt(segments)), 0 where sd is 0; p: two-sided, by the normal law.
    """

    segments: int
    mean: float
    sd: float
    z: float
    p: float


def mapsswe(first: Sequence[str], second: Sequence[str]) -> MatchedPairs:
    """Matched-pairs sentence-segment word error test of two systems on the same references.

    first, second: alignment of each clip, as in column `ops`. Segments are bounded by the ends of the clip or by at
    least two words in a row that both systems got right; those without an error count for nothing (Gillick & Cox 1989,
    "Some statistical issues in the comparison of speech recognition algorithms"; two words, and all else, as in NIST's
    sc_stats 1.3). Raises ResultError where the alignments have other references.
    """
    a, b = aligned(list(first)), aligned(list(second))
    found = segments(a, b)
    sums = _moments(found.difference, np.zeros(len(found.difference), np.intp), 1)
    (n,), (mean,), (sd,), (z,), (p,) = _matched(*sums)
    return MatchedPairs(int(n), float(mean), float(sd), float(z), float(p))


@dataclass(frozen=True, eq=False)
class Segments:
    """clip: in which each segment lies; difference: errors of the first system less those of the second."""

    clip: np.ndarray
    difference: np.ndarray


def segments(a: Aligned, b: Aligned) -> Segments:
    """The segments of `mapsswe`, those with an error."""
    same_words(a, b)
    clip_of_word = np.repeat(np.arange(len(a.words)), a.words)
    gap_before = np.arange(len(a.right)) + clip_of_word
    good = a.right & b.right
    quiet = (a.inserted[gap_before] == 0) & (b.inserted[gap_before] == 0)
    ends = np.zeros(len(good), dtype=np.int64)  # words at which a segment has ended: the second good one in a row
    ends[1:] = good[1:] & good[:-1] & quiet[1:] & (clip_of_word[1:] == clip_of_word[:-1])
    word = np.cumsum(ends) + clip_of_word  # a number that grows with every segment and every clip
    last = np.cumsum(a.words) - 1
    ended = np.concatenate([[0], np.cumsum(ends)])[last + 1]
    gap = np.empty(len(a.inserted), dtype=np.int64)
    gap[gap_before] = word
    gap[np.cumsum(a.words + 1) - 1] = ended + np.arange(len(a.words))
    size = int(gap[-1]) + 1 if len(gap) else 0

    def errors(system: Aligned) -> np.ndarray:
        return np.bincount(word, ~system.right, size) + np.bincount(gap, system.inserted, size)

    first, second = errors(a), errors(b)
    clip = np.zeros(size, dtype=np.int64)
    clip[gap] = np.repeat(np.arange(len(a.words)), a.words + 1)
    wrong = (first > 0) | (second > 0)
    return Segments(clip[wrong], (first - second)[wrong])


def segments_of(scored: Scored, base: int, run: int, mask: np.ndarray | None = None) -> Segments:
    """Segments of a run (first system) and the base (second), clips as in `scored`, those in the mask."""
    found: Segments = scored.once(
        ("segments", base, run),
        lambda: segments(aligned(scored.column("ops", run)), aligned(scored.column("ops", base))),
    )
    if mask is None:
        return found
    inside = mask[found.clip]
    return Segments(found.clip[inside], found.difference[inside])


def _rows(
    scored: Scored, group: Grouping, found: Resampled, base: int, run: int, pairs: Segments | None
) -> dict[str, np.ndarray]:
    """Columns of the table for one grouping and one run."""
    columns = support_columns(group, found)
    size = len(columns["slice"])
    columns["base"] = np.array([scored.runs[base]] * size, dtype=object)
    columns["run"] = np.array([scored.runs[run]] * size, dtype=object)
    wer = bootstrap.ratio(found.errors, found.reference)
    drawn = bootstrap.ratio(found.drawn_errors[[run]] - found.drawn_errors[[base]], found.drawn_words)
    difference = wer[[run]] - wer[[base]]
    low, high = interval(drawn, found.effective)
    valid = ~np.isnan(drawn)
    values = {
        "base_wer": wer[base],
        "wer": wer[run],
        "difference": difference[0],
        "low": low[0],
        "high": high[0],
        "better": bootstrap.ratio(((drawn < 0) & valid).sum(axis=2), valid.sum(axis=2))[0],
        "p": p_values(difference, drawn, found.effective)[0],
    }
    if pairs is not None:
        n, _, _, z, p = _matched(*_by_slice(pairs, group))
        values |= {"segments": n[found.enough], "mapsswe_z": z[found.enough], "mapsswe_p": p[found.enough]}
    return columns | {name: spread(value, found) for name, value in values.items()}


def _by_slice(pairs: Segments, group: Grouping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    code, difference = group.code[pairs.clip], pairs.difference
    if len(group.extra_clip):
        order = np.argsort(pairs.clip, kind="stable")  # segments clip by clip; those of the further slices once more
        low, high = (np.searchsorted(pairs.clip[order], group.extra_clip, side=side) for side in ("left", "right"))
        times = high - low
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        again = order[np.repeat(low, times) + within]
        code = np.concatenate([code, np.repeat(group.extra_code, times)])
        difference = np.concatenate([difference, difference[again]])
    return _moments(difference, code, len(group))


def _moments(difference: np.ndarray, code: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, sum and sum of squares of the differences of each slice."""
    return (
        np.bincount(code, minlength=size),
        np.bincount(code, difference, size),
        np.bincount(code, difference**2, size),
    )


def _matched(n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, ...]:
    """n, mean, sd, z, p; where all differences are alike z is 0 and p 1, as in sc_stats."""
    from scipy import special

    mean = np.nan_to_num(bootstrap.ratio(total, n))
    sd = np.sqrt(np.nan_to_num(bootstrap.ratio(np.maximum(squares - total * mean, 0), n - 1)))
    z = np.nan_to_num(bootstrap.ratio(mean * np.sqrt(n), sd))
    return n, mean, sd, z, 2 * special.ndtr(-np.abs(z))
