"""Blocks of samples, any rate and channels -> one mono float32 signal at 16 kHz, checked on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from asrdemo.errors import AudioError
from asrdemo.types import SAMPLE_RATE

MIN_RATE, MAX_RATE = 1_000, 384_000  # Hz
MAX_CHANNELS = 64
SILENCE = 1e-4  # peak of full scale (-80 dB, three steps of 16 bits): below this there is nothing to hear
LOUDEST = 2.0  # peaks up to here are mp3-like overshoot; above, the samples are in other units and are scaled
_CANCELLED = 1e-4  # power of the mix over that of the loudest channel (-40 dB): the channels cancel each other
_GROW_SECONDS = 60


@dataclass(frozen=True)
class Signal:
    """What was collected. seconds: length of the input by its own rate; swing: highest minus lowest sample;
    loudest_channel: set if the channels cancel each other when mixed, so that one of them should be taken."""

    samples: np.ndarray
    seconds: float
    swing: float
    loudest_channel: int | None


def as_float32(array: np.ndarray) -> np.ndarray:
    """Integer or float samples of any width as float32, full scale at 1. Shape is kept.

    Unsigned integers are centred. 64-bit integers come from lists, not from sound cards: they are taken for the
    narrowest of 16, 32 and 64 bits that holds them. Raises AudioError for types that are not numbers.
    """
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    if kind not in "iu":
        raise AudioError(f"Samples of type {array.dtype} are not sound; expected integers or floats.")
    if bits == 64:
        high = int(np.abs(array.astype(np.float64)).max(initial=0))
        bits = 16 if high <= 1 << 15 else 32 if high <= 1 << 31 else 64
        kind = "i"
    full = 2.0 ** (bits - 1)
    if bits <= 16:
        samples = array.astype(np.float32)
        return (samples - np.float32(full if kind == "u" else 0)) * np.float32(1 / full)
    return ((array.astype(np.float64) - (full if kind == "u" else 0)) / full).astype(np.float32)


def check_format(rate: float, channels: int, name: str) -> None:
    """Raises AudioError for a sampling rate or channel count that no recording has."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name} says it was sampled at {rate:,} Hz; expected {MIN_RATE:,} to {MAX_RATE:,} Hz.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} says it has {channels} channels; expected 1 to {MAX_CHANNELS}.")


def check_length(seconds: float, limit: float, name: str) -> None:
    """Raises AudioError for a recording beyond the limit, both in seconds."""
    if seconds > limit:
        raise AudioError(
            f"{name} is {_clock(seconds)} long or more; at most {_clock(limit)} is accepted here. Cut it into parts."
        )


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} minutes" if seconds < 7200 else f"{seconds / 3600:,.1f} hours"


class Collector:
    """Takes blocks, keeps the result and little else. channel: take this one instead of the mean of all.

    rate must have passed check_format. name and limit (seconds) are for the errors.
    """

    def __init__(self, rate: int, channels: int, name: str, limit: float, channel: int | None = None) -> None:
        self._rate, self._name, self._limit, self._channel = rate, name, limit, channel
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self._kept = np.empty(0, np.float32)
        self._filled = 0
        self._frames = 0
        self._low, self._high = np.inf, -np.inf
        self._power = np.zeros(channels)
        self._mixed_power = 0.0

    @property
    def seconds(self) -> float:
        """Length of what came in so far."""
        return self._frames / self._rate

    def add(self, block: np.ndarray) -> None:
        """One block, float32, shape = (frames, channels). Raises AudioError for NaN, infinity and excess length."""
        if not len(block):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            if block.shape[1] == 1:
                mono = block[:, 0]
            else:
                mono = block[:, self._channel] if self._channel is not None else block.mean(axis=1)
                self._power += np.einsum("ij,ij->j", block, block, dtype=np.float64)
                self._mixed_power += float(np.einsum("i,i->", mono, mono, dtype=np.float64))
        self._check_finite(mono)
        self._low, self._high = min(self._low, float(mono.min())), max(self._high, float(mono.max()))
        self._frames += len(block)
        check_length(self.seconds, self._limit, self._name)
        mono = np.ascontiguousarray(mono, dtype=np.float32)
        self._keep(mono if self._rate == SAMPLE_RATE else self._resampler.resample_chunk(mono))

    def finish(self) -> Signal:
        """What came in, resampled. Raises AudioError if it cannot be held in float32."""
        if self._rate != SAMPLE_RATE and self._frames:
            self._keep(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
        self._kept.resize(self._filled, refcheck=False)
        peak = float(max(self._kept.max(), -self._kept.min())) if self._filled else 0.0
        if not np.isfinite(peak):
            raise AudioError(f"{self._name} has samples of absurd size; export it as 16-bit wav or flac.")
        if peak > LOUDEST:
            self._kept /= np.float32(peak)
        loudest = int(self._power.argmax())
        cancelled = self._channel is None and self._mixed_power < _CANCELLED * self._power[loudest]
        swing = self._high - self._low if self._frames else 0.0
        return Signal(self._kept, self.seconds, swing, loudest if cancelled else None)

    def _check_finite(self, mono: np.ndarray) -> None:
        finite = np.isfinite(mono)
        if not finite.all():
            at = (self._frames + int(finite.argmin())) / self._rate
            raise AudioError(
                f"{self._name} has samples that are not numbers (NaN or infinite), the first at {at:.2f} s. "
                "Export it again, as 16-bit wav or flac."
            )

    def _keep(self, samples: np.ndarray) -> None:
        end = self._filled + len(samples)
        if end > len(self._kept):  # in place (mremap for large blocks): a list of parts would double at the end
            self._kept.resize(max(end, len(self._kept) + _GROW_SECONDS * SAMPLE_RATE), refcheck=False)
        self._kept[self._filled : end] = samples
        self._filled = end
