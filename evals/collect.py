"""Heard clips -> decoding processes -> parts of the result, with a bound on what is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from asrdemo.types import Emissions, Progress, Vocabulary
from evals import emissions_store, parts, worker
from evals.results import SCHEMA

TASK_CLIPS = 8  # decoded as one task: enough to be worth sending, few enough to share out evenly
UNDER_WAY = 32 * 2**20  # bytes of emissions that wait for their decoding; beyond, the model waits


@dataclass(frozen=True)
class Batch:
    """Clips of a window that were heard together, and those that could not be.

    at: their places in the window; heard, known (columns of the row, acoustic_s at least): one each.
    problems: reasons, by place.
    """

    window: int
    at: list[int] = field(default_factory=list)
    heard: list[Emissions] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


class Tally:
    """Clips done, of how many, for whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, clips: int) -> None:
        """So many more are done."""
        self._done += clips
        if self._progress:
            self._progress(self._done, self._total, "clips")


class _Task(NamedTuple):
    window: int
    at: list[int]
    size: int


@dataclass
class _Window:
    """What is known of a window's clips so far, by their place."""

    clips: list[dict[str, Any]]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    known: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return len(self.rows) + len(self.problems) == len(self.clips)


class Collector:
    """Takes batches in any order of windows; writes a window's part as soon as all of its clips are known.

    clips: the table of a window, of evals.results.CLIP_COLUMNS at least. note: goes into each part, see evals.parts.
    told: counts the clips of each part that has been written. load: seconds that loading the checkpoint took.
    """

    def __init__(
        self,
        folder: Path,
        job: worker.Job,
        pool: ProcessPoolExecutor,
        clips: Callable[[int], pa.Table],
        machine: dict[str, Any],
        told: Tally,
        load: float = 0.0,
    ) -> None:
        self._folder, self._job, self._pool, self._clips, self._told = folder, job, pool, clips, told
        self._machine, self._load = machine, load
        self._windows: dict[int, _Window] = {}
        self._running: dict[Future[worker.Decoded], _Task] = {}
        self._began = time.perf_counter()
        self._form: tuple[Vocabulary, float] | None = None

    def add(self, batch: Batch) -> None:
        """Have a batch decoded; waits while too much is under way. Raises LanguageModelError."""
        if batch.window not in self._windows:
            self._windows[batch.window] = _Window(self._clips(batch.window).to_pylist())
        window = self._windows[batch.window]
        window.problems |= batch.problems
        window.known |= dict(zip(batch.at, batch.known, strict=True))
        for i in range(0, len(batch.at), TASK_CLIPS):
            at, heard = batch.at[i : i + TASK_CLIPS], batch.heard[i : i + TASK_CLIPS]
            self._form = heard[0].vocabulary, heard[0].seconds_per_frame
            size = sum(e.log_probs.nbytes for e in heard)
            self._settle(max(0, UNDER_WAY - size))
            references = [window.clips[place]["reference_raw"] for place in at]
            task = self._pool.submit(worker.decode_clips, self._job, references, heard)
            self._running[task] = _Task(batch.window, at, size)
        self._settle(UNDER_WAY)
        self._write_if_whole(batch.window)

    def finish(self) -> None:
        """Wait for all that is under way. Raises as `add` does."""
        self._settle(-1)

    def _settle(self, room: int) -> None:
        """Take in what is done, and wait until at most `room` bytes are under way."""
        while self._running:
            full = sum(task.size for task in self._running.values()) > room
            done, _ = wait(self._running, timeout=None if full else 0, return_when=FIRST_COMPLETED)
            if not done:
                return
            for future in done:
                self._take(self._running.pop(future), future)

    def _take(self, task: _Task, future: Future[worker.Decoded]) -> None:
        decoded = future.result()
        window = self._windows[task.window]
        window.rows |= {task.at[i]: row for i, row in decoded.rows.items()}
        window.problems |= {task.at[i]: reason for i, reason in decoded.problems.items()}
        window.entries |= {task.at[i]: entry for i, entry in decoded.entries.items()}
        self._write_if_whole(task.window)

    def _write_if_whole(self, number: int) -> None:
        window = self._windows.get(number)
        if window is None or not window.whole:
            return
        order = sorted(window.rows)
        if self._job.keep:
            entries = [{"clip": window.clips[i]["clip"], **window.entries[i]} for i in order]
            form = self._form or (Vocabulary((), 0), 0.0)
            emissions_store.write(emissions_store.path_of(self._folder, number), entries, *form)
        rows = [window.clips[i] | window.rows[i] | window.known[i] for i in order]
        now = time.perf_counter()
        note = {
            "wall": now - self._began,
            "load": self._load,
            "machine": self._machine,
            "quarantined": [{"clip": window.clips[i]["clip"], "reason": r} for i, r in sorted(window.problems.items())],
        }
        self._began, self._load = now, 0.0
        parts.write_table(parts.path_of(self._folder, number), pa.Table.from_pylist(rows, SCHEMA), note)
        del self._windows[number]
        self._told.add(len(window.clips))
