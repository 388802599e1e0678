"""A clip to hear and to see: its audio for the browser, its waveform and its spectrogram. Pure functions."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrdemo.types import SAMPLE_RATE, Clip

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".flac": "audio/flac",
         ".m4a": "audio/mp4", ".webm": "audio/webm"}  # fmt: skip
MOST_BYTES = 500_000  # of a file that is sent as it is; an answer stays below 1 MB
MOST_SECONDS = 15.0  # of one that is not: this much of it, as wav
_BUCKETS = 500
_WINDOW, _HOP, _TOP_HZ, _ROWS, _COLUMNS = 512, 160, 8000, 96, 640
_FLOOR_DB = 70.0
_COLOURS = np.array(  # cividis at even steps: one order of brightness for every kind of colour vision
    [[0, 32, 77], [39, 66, 109], [87, 93, 109], [124, 123, 120], [166, 157, 117], [211, 193, 100], [255, 234, 70]]
)


@dataclass(frozen=True)
class Sound:
    """uri: for an audio element. seconds: its length. cut: whether only the beginning is sent."""

    uri: str
    seconds: float
    cut: bool
    waveform: str
    spectrogram: str


def sound(file: Path, clip: Clip) -> Sound:
    """What the page needs of a clip; of a long one the beginning."""
    kind = TYPES.get(file.suffix.lower())
    as_it_is = kind and file.stat().st_size <= MOST_BYTES
    cut = not as_it_is and clip.duration > MOST_SECONDS
    if cut:
        clip = replace(clip, samples=clip.samples[: int(MOST_SECONDS * SAMPLE_RATE)])
    if kind and as_it_is:
        uri = _uri(kind, file.read_bytes())
    else:
        from asrdemo.audio import encode_wav

        uri = _uri("audio/wav", encode_wav(clip))
    return Sound(uri, clip.duration, cut, waveform(clip), _uri("image/png", spectrogram(clip.samples)))


def waveform(clip: Clip) -> str:
    """An SVG path within 0 to 1000 by -1 to 1."""
    from asrdemo.audio import peaks

    ends = peaks(clip, _BUCKETS)
    loudest = max(float(np.abs(ends).max(initial=0.0)), 1e-4)
    x = np.linspace(0, 1000, len(ends))
    upper = " ".join(f"{a:.0f} {-b / loudest:.2f}" for a, b in zip(x, ends[:, 1], strict=True))
    lower = " ".join(f"{a:.0f} {-b / loudest:.2f}" for a, b in zip(x[::-1], ends[::-1, 0], strict=True))
    return f"M{upper} L{lower}Z" if len(ends) else ""


def spectrogram(samples: np.ndarray) -> bytes:
    """A PNG, time from left to right, 0 to 8 kHz from the bottom; the loudest 70 dB."""
    from PIL import Image

    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    starts = np.arange(0, max(len(samples), 1), max(_HOP, len(samples) // _COLUMNS))
    frames = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-9)
    bins = int(_TOP_HZ / (SAMPLE_RATE / 2) * (_WINDOW // 2))
    level = np.clip((power[:, :bins] - power.max()) / _FLOOR_DB + 1, 0, 1)
    rows = level.reshape(len(level), _ROWS, -1) if bins % _ROWS == 0 else _pooled(level)
    picture = rows.max(axis=2).T[::-1]
    at = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(picture, at, _COLOURS[:, c]) for c in range(3)], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(colours).save(out, "PNG", optimize=True)
    return out.getvalue()


def _pooled(level: np.ndarray) -> np.ndarray:
    """Rows of the picture from bins that do not divide evenly: the nearest ones."""
    take = np.linspace(0, level.shape[1] - 1, _ROWS * 2).round().astype(int)
    return level[:, take].reshape(len(level), _ROWS, 2)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def spans(starts: Sequence[float], ends: Sequence[float], seconds: float) -> list[tuple[float, float]]:
    """Left edge and width of each word in percent of the clip."""
    whole = max(seconds, 1e-6)
    return [
        (100 * min(a, whole) / whole, 100 * max(min(b, whole) - min(a, whole), 0) / whole)
        for a, b in zip(starts, ends, strict=True)
    ]
