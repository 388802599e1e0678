"""A clip as wav bytes, and as the outline of its waveform."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from asrdemo.types import SAMPLE_RATE, Clip


def encode_wav(clip: Clip) -> bytes:
    """The clip as a 16-bit mono wav file at 16 kHz. Overshoot beyond [-1, 1] is clipped."""
    out = io.BytesIO()
    soundfile.write(out, np.clip(clip.samples, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()


def peaks(clip: Clip, buckets: int) -> np.ndarray:
    """Lowest and highest sample of each of `buckets` equal stretches of time, for drawing.

    Float32, shape = (buckets, 2), or (n_samples, 2) if there are fewer samples than buckets. buckets: at least 1.
    """
    count = min(max(1, buckets), len(clip.samples))
    if count == 0:
        return np.empty((0, 2), np.float32)
    starts = np.arange(count) * len(clip.samples) // count
    low, high = np.minimum.reduceat(clip.samples, starts), np.maximum.reduceat(clip.samples, starts)
    return np.stack([low, high], axis=1).astype(np.float32)
