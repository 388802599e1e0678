"""Bounded, expiring storage for what the visitors of one process leave behind."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Values by key, the least recently used out first. Thread-safe.

    limit: the total `size` of what is kept at most; the newest value stays even if it alone exceeds it.
    seconds: values not asked for during this time leave at the next `put`. size: how much one value counts.
    on_drop: called with key and value after a value left (not when it was replaced), outside the lock.
    """

    def __init__(
        self,
        limit: float,
        seconds: float = float("inf"),
        size: Callable[[T], float] = lambda _: 1,
        on_drop: Callable[[str, T], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._seconds, self._size, self._on_drop, self._clock = limit, seconds, size, on_drop, clock
        self._kept: OrderedDict[str, tuple[T, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        """The value under this key, or None when it never was there or has left."""
        with self._lock:
            if key not in self._kept or self._clock() - self._kept[key][1] > self._seconds:
                return None
            value = self._kept.pop(key)[0]
            self._kept[key] = value, self._clock()
            return value

    def put(self, key: str, value: T) -> None:
        """Keep a value, and let go of expired ones and of the least recently used beyond the limit."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = value, self._clock()
            dropped = self._expired()
            total = sum(self._size(kept) for kept, _ in self._kept.values())
            while total > self._limit and len(self._kept) > 1:
                oldest, (old, _) = self._kept.popitem(last=False)
                dropped.append((oldest, old))
                total -= self._size(old)
        self._tell(dropped)

    def offer(self, key: str, value: T) -> bool:
        """Keep a value if there is room without dropping one that has not expired; whether there was."""
        with self._lock:
            dropped = self._expired()
            total = sum(self._size(kept) for kept, _ in self._kept.values())
            fits = total + self._size(value) <= self._limit
            if fits:
                self._kept[key] = value, self._clock()
        self._tell(dropped)
        return fits

    def pop(self, key: str) -> T | None:
        """Take a value away; `on_drop` is not called. None when it is not there."""
        with self._lock:
            kept = self._kept.pop(key, None)
            return kept[0] if kept else None

    def __len__(self) -> int:
        """How many values have not expired; the expired ones leave."""
        with self._lock:
            dropped = self._expired()
            count = len(self._kept)
        self._tell(dropped)
        return count

    def _expired(self) -> list[tuple[str, T]]:
        old = [key for key, (_, used) in self._kept.items() if self._clock() - used > self._seconds]
        return [(key, self._kept.pop(key)[0]) for key in old]

    def _tell(self, dropped: list[tuple[str, T]]) -> None:
        if self._on_drop:
            for key, value in dropped:
                self._on_drop(key, value)
