"""A checkpoint that hears levels instead of speech: exact, instant, and it counts how often it is run.

Each token sounds as a constant level for a few frames, so audio can be written from text and text read from audio;
what it hears in a frame does not depend on the frames around it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrdemo.acoustic.level import Level
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.types import BLANK, SAMPLE_RATE, SPACE, Clip, Emissions, Vocabulary

FRAME = SAMPLE_RATE // 50
VOCABULARY = Vocabulary((BLANK, SPACE, *"abcdefghijklmnopqrstuvwxyz"), 0)
STEP = 0.02  # between the levels of two neighbouring tokens
BASE = 0.2  # level of the first token after the blank


def say(text: str, frames: int = 3) -> np.ndarray:
    """Samples the fake hears as this text: every letter some frames long, a short blank between letters."""
    levels = []
    for letter in text:
        levels += [BASE + STEP * VOCABULARY.tokens.index(letter)] * frames + [0.0]
    return np.repeat(np.array(levels, np.float32), FRAME)


def pause(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def spec(id: str = "fake", **changes: object) -> CheckpointSpec:
    made = CheckpointSpec(id=id, title="Fake", language="en", profile="en", path=Path())
    return replace(made, **changes)  # type: ignore[arg-type]


class Geometry(NamedTuple):
    stride: int
    receptive: int


class FakeModel:
    """Stands in for AcousticModel."""

    def __init__(self, of: CheckpointSpec) -> None:
        self.spec, self.vocabulary, self.seconds_per_frame = of, VOCABULARY, 0.02
        self.device, self.precision, self.load_seconds, self.fingerprint = "cpu", "fp32", 0.0, f"print-of-{of.id}"
        self.geometry = Geometry(FRAME, FRAME)
        self.calls: list[list[float]] = []  # seconds of each clip of each call

    def emissions(self, clips: Sequence[Clip], progress=None) -> list[Emissions]:
        self.calls.append([clip.duration for clip in clips])
        if progress:
            progress(len(clips), len(clips), "hearing")
        return [self._hear(clip.samples) for clip in clips]

    def hear(self, samples: np.ndarray, level: Level) -> np.ndarray:
        self.calls.append([len(samples) / SAMPLE_RATE])
        return self._hear(samples).log_probs

    def _hear(self, samples: np.ndarray) -> Emissions:
        count = max(0, (len(samples) - self.geometry.receptive) // FRAME + 1)
        levels = np.median(np.abs(samples[: count * FRAME].reshape(count, FRAME)), axis=1)
        tokens = (
            np.where(levels < BASE / 2, 0, np.rint((levels - BASE) / STEP)).astype(int).clip(0, len(VOCABULARY) - 1)
        )
        probabilities = np.full((count, len(VOCABULARY)), 0.01 / (len(VOCABULARY) - 1), np.float32)
        probabilities[np.arange(count), tokens] = 0.99
        return Emissions(np.log(probabilities), VOCABULARY, 0.02, len(samples) / SAMPLE_RATE)


class FakeCache:
    """Stands in for ModelCache; keeps every model."""

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.lock = threading.Lock()

    def get(self, of: CheckpointSpec, progress=None) -> FakeModel:
        with self.lock:
            return self.models.setdefault(of.id, FakeModel(of))

    @property
    def calls(self) -> list[list[float]]:
        return [call for model in self.models.values() for call in model.calls]


def registry(*ids: str) -> Registry:
    return Registry({id: spec(id) for id in ids or ("fake",)})
