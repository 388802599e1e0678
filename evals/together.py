"""Which results can be compared, and how the errors of two of them fall on the same clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.results import Result
from evals.scored import Scored

MOST_ERRORS = 12  # of a clip, in a grid; clips with more share the last line


def families(results: Sequence[Result]) -> list[list[Result]]:
    """Results that heard the same clips and were scored by the same normaliser, together; order is kept.

    The first look only: evals.scored.load compares the references as well.
    """
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(_kind(result), []).append(result)
    return list(found.values())


def unlike(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """What keeps results from being compared: a name, and what each result has there. Empty where nothing does."""
    rows = []
    for name, part, key in (
        ("corpus", "corpus", "name"),
        ("split", "corpus", "split"),
        ("clips of the corpus", "corpus", "fingerprint"),
        ("language rules of the normaliser", "normaliser", "profile"),
        ("version of the normaliser", "normaliser", "version"),
        ("settings of the normaliser", "normaliser", "fingerprint"),
        ("Unicode tables", "normaliser", "unicode"),
    ):
        values = [str(result.info["pins"][part].get(key, "")) for result in results]
        if len(set(values)) > 1:
            rows.append((name, values))
    only_names = {"corpus", "split"}  # what the clips are called here does not count while they are the same
    return [] if {name for name, _ in rows} <= only_names else rows


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


def _kind(result: Result) -> str:
    pins = result.info["pins"]
    return json.dumps([pins["corpus"]["fingerprint"], pins["normaliser"]], sort_keys=True)
