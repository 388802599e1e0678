"""The metrics of a run as its page needs them: read as they come, thinned where there are many."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asrdemo.finetune import runs
from asrdemo.finetune.runs import Run

MOST_KEPT = 4096  # points of the training loss
_RATE = re.compile(r"eval_(?P<set>.+?)_(?P<what>lm_wer|wer|loss)")
Point = tuple[float, float]
"""(step, value)"""


@dataclass
class History:
    """loss: of training, (step, nats a label). wer, dev_loss: of each dev set, (step, value), rates as fractions; with
    a language model as "<set> with LM". last: the newest value of every metric."""

    loss: list[Point] = field(default_factory=list)
    wer: dict[str, list[Point]] = field(default_factory=dict)
    dev_loss: dict[str, list[Point]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    offset: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, run: Run) -> History:
        """Take in what is new; several viewers share one history."""
        with self.lock:
            while True:
                new = runs.metrics(run, self.offset)
                if new.fresh:
                    self.loss, self.wer, self.dev_loss, self.last = [], {}, {}, {}
                for row in new.rows:
                    self._add(row)
                if new.offset == self.offset:
                    return self
                self.offset = new.offset

    def _add(self, row: dict[str, Any]) -> None:
        step = row.get("step")
        if not isinstance(step, int | float):
            return
        self.last |= row
        for name, value in row.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                continue
            if name == "loss":
                self.loss.append((step, value))
            elif found := _RATE.fullmatch(name):
                lm = " with LM" if found["what"] == "lm_wer" else ""
                curves = self.dev_loss if found["what"] == "loss" else self.wer
                curves.setdefault(found["set"] + lm, []).append((step, value))
        if len(self.loss) > MOST_KEPT:
            self.loss = thinned(self.loss, MOST_KEPT // 2)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """So many points at most: neighbours become their mean, the last one stays as it is."""
    if len(points) <= most:
        return list(points)
    size = math.ceil((len(points) - 1) / (most - 1))
    groups = [points[at : min(at + size, len(points) - 1)] for at in range(0, len(points) - 1, size)]
    means = [(sum(p[0] for p in g) / len(g), sum(p[1] for p in g) / len(g)) for g in groups]
    return [*means, points[-1]]
