"""Where passes of the model run: a large model on all cores at once, a small one on a core of its own.

The matrix products of a small model are too short to share: its threads would wait for each other at the end of each
one, and for long where another program holds a core. So a small model computes each window with a single thread and
several windows side by side. A recording alone runs in the same way as among others, and live as from a file: rounding
depends on how many threads share a product.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import nn

SMALL = 30_000_000  # parameters; wav2vec2-base has 95 million

Given = TypeVar("Given")
Made = TypeVar("Made")


class Here:
    """Runs passes one after the other in the calling thread, each with all of torch's threads."""

    def map(self, work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """The results, in the order of the items."""
        return map(work, items)


class Lanes:
    """Runs passes side by side, each with one thread; at most `count` at a time, whoever asks. Thread-safe."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "lane", self._start)
        self._started = threading.Barrier(count)
        list(self._pool.map(lambda _: None, range(count)))
        torch.set_num_threads(count)  # a lane's setting is also what threads begin with that torch has not seen yet

    def _start(self) -> None:
        torch.get_num_threads()  # now, because the first call in a thread undoes what was set before it
        torch.set_num_threads(1)
        self._started.wait()

    def map(self, work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """The results, in the order of the items; what has not begun when the iterator is closed never runs."""
        return self._pool.map(work, items)


@cache
def _lanes(count: int) -> Lanes:
    return Lanes(count)


def lanes_for(model: nn.Module, device: torch.device) -> Here | Lanes:
    """The way to run this model's passes on this device."""
    small = sum(p.numel() for p in model.parameters()) < SMALL
    return _lanes(torch.get_num_threads()) if small and device.type == "cpu" else Here()
