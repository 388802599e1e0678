"""Loaded checkpoints, at most so many of them; the one not used for longest leaves."""

from __future__ import annotations

import gc
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from asrdemo.registry import CheckpointSpec
from asrdemo.types import Progress

if TYPE_CHECKING:
    from asrdemo.acoustic.model import AcousticModel


class ModelCache:
    """Thread-safe. A checkpoint that several ask for at once is loaded once; different ones load side by side.

    capacity: checkpoints kept, at least 1. One still in use elsewhere is freed when its last user lets go of it.
    """

    def __init__(self, capacity: int = 2, device: str = "auto", precision: str = "auto") -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; expected at least 1")
        self.capacity, self.device, self.precision = capacity, device, precision
        self._models: OrderedDict[CheckpointSpec, AcousticModel] = OrderedDict()
        self._loading: dict[CheckpointSpec, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, spec: CheckpointSpec, progress: Progress | None = None) -> AcousticModel:
        """The checkpoint, loaded if need be. Raises what `load` raises; a failed load is tried again next time."""
        with self._lock:
            loading = self._loading.setdefault(spec, threading.Lock())
        with loading:
            model = self._find(spec)
            if model is None:
                self._make_room()
                from asrdemo.acoustic.loading import load

                model = load(spec, self.device, self.precision, progress)
                with self._lock:
                    self._models[spec] = model
                self._make_room(0)
        return model

    def loaded(self) -> list[str]:
        """Ids in memory, the least recently used first."""
        with self._lock:
            return [spec.id for spec in self._models]

    def _find(self, spec: CheckpointSpec) -> AcousticModel | None:
        with self._lock:
            if spec in self._models:
                self._models.move_to_end(spec)
            return self._models.get(spec)

    def _make_room(self, coming: int = 1) -> None:
        """Let the least recently used go, before another is loaded: two large ones may not fit side by side."""
        with self._lock:
            gone = [self._models.popitem(last=False) for _ in range(len(self._models) + coming - self.capacity)]
        if gone:
            gone.clear()
            gc.collect()
            torch = sys.modules.get("torch")
            if torch is not None and torch.cuda.is_available():
                torch.cuda.empty_cache()
