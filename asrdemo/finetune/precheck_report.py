"""What a precheck says: rows of one sentence each, and the numbers behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from asrdemo.errors import AsrDemoError

State = Literal["ok", "warn", "block"]
MOST_NAMES = 1000  # clips a row lists


@dataclass(frozen=True)
class Row:
    """One thing that was looked at. sentence: what was found, with its numbers; fix: what to do about it ("" for
    nothing). names: the clips or other things it is about, at most MOST_NAMES. change: the fix as keys of the recipe,
    for recipe.load(overrides=...); {} where it is no matter of the recipe."""

    check: str
    state: State
    sentence: str
    fix: str = ""
    names: tuple[str, ...] = ()
    change: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """A character of the training texts that the vocabulary lacks. example: a clip that has it."""

    character: str
    count: int
    clips: int
    example: str


@dataclass(frozen=True)
class Histogram:
    """Lengths of the training clips. edges: seconds, one more than counts; hours: audio in each bin."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    hours: tuple[float, ...]


@dataclass(frozen=True)
class Offer:
    """A flavour of Hugging Face Jobs for this run. memory_gb: of one GPU, of the machine where there is none. fits:
    None where memory was not measured. dollars: at most, until the job is ended; None where only steps limit it."""

    flavour: str
    gpus: int
    memory_gb: int
    dollars_an_hour: float
    fits: bool | None
    dollars: float | None


@dataclass(frozen=True)
class Estimates:
    """What a run takes; None where the longest batch was not run.

    step_seconds: of a usual step; longest_seconds: of the longest batch. busy: other programs kept the machine at work
    while that was measured. memory_gib: most of the process that trains (on a GPU: of the GPU); available_gib: what
    there is. micro_seconds: audio at once that it was measured with (0: a whole batch). steps: in the budget; passes:
    over the data in so many; pass_hours: wall clock for one; minutes: of the run, all scoring included. padding: share
    of a batch that is padding. disk_gib: of the run directory.
    """

    device: str
    precision: str
    steps_a_pass: int
    clips_a_batch: float
    padding: float
    disk_gib: float
    busy: bool = False
    step_seconds: float | None = None
    longest_seconds: float | None = None
    memory_gib: float | None = None
    available_gib: float | None = None
    micro_seconds: float | None = None
    steps: int | None = None
    passes: float | None = None
    pass_hours: float | None = None
    minutes: float | None = None
    jobs: tuple[Offer, ...] = ()


@dataclass(frozen=True)
class Report:
    """Rows in the order of the checks, the numbers of the run, and what the training clips are like."""

    rows: tuple[Row, ...]
    estimates: Estimates | None = None
    histogram: Histogram | None = None
    unknown: tuple[Unknown, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether the run should not start like this."""
        return any(row.state == "block" for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for precheck.json."""
        return {"blocks": self.blocks, **dataclasses.asdict(self)}


def number(count: int, what: str) -> str:
    """`1 clip`, `1,200 clips`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def are(count: int) -> str:
    """The verb that goes with a number."""
    return "is" if count == 1 else "are"


def sentence_case(text: str) -> str:
    """The first letter as a capital."""
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A share with as many digits as it needs: `12 %`, `0.4 %`, `under 0.1 %`."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 and share else f"{100 * share:.0f} %"


def length(seconds: float) -> str:
    """`12 s`, `34 minutes`, `5.2 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first names in words: `a, b, c and 4 more`."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def from_error(check: str, error: AsrDemoError, fix: str = "") -> Row:
    """An error as a row that blocks: our messages end with what to do."""
    said, _, does = str(error).rpartition(". ")
    return Row(check, "block", f"{said}." if said else str(error), does if said else fix)
