"""How loud a recording has been so far: what brings its samples to zero mean and unit variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PIECE = 2**20  # samples at a time: an hour as float64 would be half a gigabyte


@dataclass(frozen=True)
class Level:
    """Sums over the samples heard so far. A live recording and its file have the same sums at the same place."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """0 for nothing."""
        return self.total / max(1, self.count)

    @property
    def scale(self) -> float:
        """1 / standard deviation, as transformers' feature extractor computes it."""
        variance = max(0.0, self.squares / max(1, self.count) - self.mean**2)
        return 1 / float(np.sqrt(variance + 1e-7))

    def after(self, samples: np.ndarray) -> Level:
        """The level once these have been heard too. samples: shape = (n,), float."""
        total, squares = self.total, self.squares
        for at in range(0, len(samples), _PIECE):
            piece = samples[at : at + _PIECE].astype(np.float64)
            total += float(piece.sum())
            squares += float(piece @ piece)
        return Level(self.count + len(samples), total, squares)
