"""How a trainer tells its run directory how far it is, and hears that it is to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from asrdemo import process


class Live(process.Status):
    """For the trainer: says how far it is, and notices that it is to stop.

        with Live(folder) as live:
            ...
            live.progress(step, steps, "training")
            if live.stop_asked: save a checkpoint and leave the block

    SIGTERM and SIGINT set `stop_asked`, a second one kills. Only process 0 of a distributed run writes and holds the
    lock; in the others the signals alone work, and the stop must be agreed on among them as every decision is.
    The run ends as `stopped` if it was told so by `stop_asked`, `complete` if not, `failed` after an error.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._first = os.environ.get("RANK", "0") == "0"
        self._pid, self._began, self._before = os.getpid(), time.monotonic(), 0.0
        self._paces: dict[str, tuple[float, int]] = {}  # of each note: when it first came, and at which step
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Live:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        if self._first:
            super().__enter__()
            self._before = process.pick(self._told, {"seconds": 0.0})["seconds"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._first:
            self._told |= {"seconds": self._seconds(), "left": -1.0}
            super().__exit__(kind, error, trace)

    def progress(self, step: int, steps: int = 0, note: str = "training", left: float | None = None) -> None:
        """After a step: so many are done, of so many in all (0: the clock ends it). left: seconds to go, from the pace
        of this sitting if not given. Cheap: written down twice a second, or where the note changes."""
        now = time.monotonic()
        since, first = self._paces.setdefault(note, (now, step))
        if left is None:
            left = (steps - step) * (now - since) / (step - first) if steps and step > first else -1.0
        if self._first:
            self.tell(note, step=step, steps=steps, note=note, left=left, seconds=self._seconds())

    def report(self, done: int, total: int, note: str) -> None:
        """A `Progress` for what comes before and between steps, such as preparing audio."""
        if self._first:
            told = f"{note}: {done} of {total}" if total else note
            self.tell(note, note=told, left=-1.0, seconds=self._seconds())

    def _seconds(self) -> float:
        """At work, earlier sittings included."""
        return round(self._before + time.monotonic() - self._began, 3)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopping or os.getpid() != self._pid:  # asked again, or a forked worker that is told to end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._stopping = True
