"""Which results belong together, and how the errors of two of them fall on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.results import Result
from evals.scored import Scored, unlike

MOST_ERRORS = 12  # of a clip, in a grid; clips with more share the last line


def families(results: Sequence[Result]) -> list[list[Result]]:
    """Results that can be compared (see evals.scored.unlike), together; order is kept."""
    found: list[list[Result]] = []
    for result in results:
        family = next((f for f in found if not unlike((f[0], result))), None)
        if family is None:
            found.append([result])
        else:
            family.append(result)
    return found


@dataclass(frozen=True, eq=False)
class ErrorGrid:
    """Clips by their word errors in two runs. clips: (most + 1, most + 1), base by run; the last line is `most` or
    more. better, worse, same: clips with fewer, more and as many errors in the run."""

    clips: np.ndarray
    better: int
    worse: int
    same: int


def error_grid(
    scored: Scored, base: str | int, run: str | int, mask: np.ndarray | None = None, most: int = MOST_ERRORS
) -> ErrorGrid:
    """How many clips have how many errors in both. Its size does not grow with the clips."""
    before, after = scored.errors[scored.run(base)], scored.errors[scored.run(run)]
    cell = np.minimum(before, most).astype(np.int64) * (most + 1) + np.minimum(after, most)
    if mask is not None:
        before, after, cell = before[mask], after[mask], cell[mask]
    better, worse = int((after < before).sum()), int((after > before).sum())
    counts = np.bincount(cell, minlength=(most + 1) ** 2).reshape(most + 1, most + 1)
    return ErrorGrid(counts, better, worse, len(cell) - better - worse)


def in_cell(
    scored: Scored, base: str | int, run: str | int, cell: tuple[int, int], mask: np.ndarray | None = None,
    most: int = MOST_ERRORS,
) -> np.ndarray:  # fmt: skip
    """Positions of the clips of one cell of the grid, the longest references first."""
    inside = np.ones(len(scored), bool) if mask is None else mask.copy()
    for which, count in zip((base, run), cell, strict=True):
        errors = scored.errors[scored.run(which)]
        inside &= errors >= most if count >= most else errors == count
    found = np.flatnonzero(inside)
    return found[np.argsort(-scored.words[found].astype(np.int64), kind="stable")]


def most_changed(
    scored: Scored, base: str | int, run: str | int, mask: np.ndarray | None = None, most: int = 1000
) -> np.ndarray:
    """Positions of the clips whose errors changed most, either way; at most so many, those that changed only."""
    change = np.abs(scored.errors[scored.run(run)].astype(np.int64) - scored.errors[scored.run(base)])
    if mask is not None:
        change = np.where(mask, change, 0)
    found = np.flatnonzero(change)
    return found[np.argsort(-change[found], kind="stable")][:most]
