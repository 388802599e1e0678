"""What changed from one run to another, clip by clip and word by word: fixed, broken, and what stayed wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.alignments import Aligned, of_run, same_words
from evals.groups import USUAL, Grouping
from evals.scored import Scored
from evals.slices import groupings

if TYPE_CHECKING:
    import pandas as pd


def churn_table(
    scored: Scored,
    by: Sequence[str] = USUAL,
    mask: np.ndarray | None = None,
    *,
    base: str | int = 0,
    runs: Sequence[str | int] | None = None,
) -> pd.DataFrame:
    """A row for each slice that has a clip, and each run but `base`; first those for all clips, with by "".

    Columns: by, slice, base, run; clips, words: in the slice; clips_fixed, clips_broken: with errors in the base and
    none in the run, and the other way round; clips_better, clips_worse: fewer and more errors, those included;
    words_fixed, words_broken: reference words wrong in the base and right in the run, and the other way round;
    words_wrong: wrong in both; insertions: in the run less those in the base.
    """
    import pandas as pd

    first = scored.run(base)
    others = [scored.run(r) for r in runs] if runs is not None else [r for r in range(len(scored.runs)) if r != first]
    tables = []
    for group in groupings(scored, by):
        shown = np.flatnonzero(_summed(group, np.ones(len(scored)), mask))
        for run in others:
            each = scored.once(("churn", first, run), partial(_each_clip, scored, first, run))
            counts = {name: _summed(group, values, mask)[shown] for name, values in each.items()}
            size = len(shown)
            tables.append(
                {
                    "by": [group.by] * size,
                    "slice": [", ".join(group.labels[i]) for i in shown],
                    "base": [scored.runs[first]] * size,
                    "run": [scored.runs[run]] * size,
                    "clips": _summed(group, np.ones(len(scored)), mask)[shown],
                    "words": _summed(group, scored.words, mask)[shown],
                    **counts,
                }
            )
    columns: dict[str, Any] = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return pd.DataFrame(columns)


def changed(scored: Scored, base: str | int, run: str | int) -> dict[str, np.ndarray]:
    """bool (clips,) each: fixed, broken, better, worse, to be used as masks."""
    before, after = scored.errors[scored.run(base)], scored.errors[scored.run(run)]
    return {
        "fixed": (before > 0) & (after == 0),
        "broken": (before == 0) & (after > 0),
        "better": after < before,
        "worse": after > before,
    }


def words_changed(base: Aligned, run: Aligned) -> dict[str, np.ndarray]:
    """(clips,) each: reference words fixed, broken, and wrong in both. Raises ResultError for other references."""
    same_words(base, run)
    clip = np.repeat(np.arange(len(base.words)), base.words)
    kinds = {
        "words_fixed": ~base.right & run.right,
        "words_broken": base.right & ~run.right,
        "words_wrong": ~base.right & ~run.right,
    }
    return {name: np.bincount(clip, kind, len(base.words)).astype(np.int64) for name, kind in kinds.items()}


def _each_clip(scored: Scored, base: int, run: int) -> dict[str, np.ndarray]:
    counts = {f"clips_{name}": flags for name, flags in changed(scored, base, run).items()}
    counts |= words_changed(of_run(scored, base), of_run(scored, run))
    return counts | {"insertions": scored.insertions[run].astype(np.int32) - scored.insertions[base]}


def _summed(group: Grouping, values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Whole numbers of clips -> int64 (slices,)."""
    inside = values if mask is None else values * mask
    main = np.bincount(group.code, inside, len(group))
    return (main + np.bincount(group.extra_code, inside[group.extra_clip], len(group))).astype(np.int64)
