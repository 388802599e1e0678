"""Cheap changes to a training clip: speed, gain, room, band limits, noise, a telephone; a few milliseconds a clip."""

from __future__ import annotations

import numpy as np
import soxr

from asrdemo.finetune.recipe import Augment
from asrdemo.types import SAMPLE_RATE


def augment(samples: np.ndarray, a: Augment, rng: np.random.Generator, max_speed: float = np.inf) -> np.ndarray:
    """A changed copy of a clip: float32, shape = (samples,) -> (samples / speed,).

    max_speed keeps enough frames for the clip's labels.
    """
    samples = change_speed(samples, min(rng.uniform(*a.speed), max_speed))
    reverberate = rng.random() < a.reverb_prob
    band_limit = rng.random() < a.filter_prob
    if reverberate or band_limit:
        response = room_response(rng.uniform(*a.reverb_seconds), rng) if reverberate else np.ones(1, dtype=np.float32)
        samples = filtered(samples, response, band_edges(rng) if band_limit else None)
    if rng.random() < a.noise_prob:
        samples = add_noise(samples, rng.uniform(*a.noise_snr_db), rng)
    if rng.random() < a.codec_prob:
        samples = telephone(samples)
    return samples * np.float32(10 ** (rng.uniform(*a.gain_db) / 20))


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Play `speed` times as fast, pitch included (Ko et al. 2015), by linear interpolation."""
    count = max(1, int(len(samples) / speed))
    return np.interp(np.arange(count) * speed, np.arange(len(samples)), samples).astype(np.float32)


def room_response(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A synthetic room: a direct pulse, then noise that falls by 60 dB in `seconds` (Moorer 1979)."""
    count = max(2, int(seconds * SAMPLE_RATE))
    tail = rng.standard_normal(count, dtype=np.float32) * 10 ** (-3 * np.arange(count, dtype=np.float32) / count)
    tail *= np.float32(rng.uniform(0.2, 0.8)) / np.linalg.norm(tail)
    tail[0] = 1.0
    return tail


def band_edges(rng: np.random.Generator) -> tuple[float, float]:
    """Pass band in Hz: a telephone's, or a random one."""
    if rng.random() < 0.3:
        return 300.0, 3400.0
    return float(rng.uniform(20, 300)), float(rng.uniform(2800, 8000))


def filtered(samples: np.ndarray, response: np.ndarray, band: tuple[float, float] | None) -> np.ndarray:
    """Convolve with a room response and keep a band, in one FFT; shape and loudness stay."""
    size = 1 << int(np.ceil(np.log2(len(samples) + len(response))))
    spectrum = np.fft.rfft(samples, size)
    if len(response) > 1:
        spectrum *= np.fft.rfft(response, size)
    if band:
        hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
        spectrum /= np.sqrt((1 + (band[0] / np.maximum(hertz, 1.0)) ** 8) * (1 + (hertz / band[1]) ** 12))
    out = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    return out * (np.sqrt(np.mean(samples**2)) / (np.sqrt(np.mean(out**2)) + 1e-8)).astype(np.float32)


def add_noise(samples: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add white to brown noise at a signal-to-noise ratio over the whole clip."""
    noise = rng.standard_normal(len(samples), dtype=np.float32)
    colour = rng.uniform(0, 1)
    if colour > 0.4:  # a running sum over a short window tilts the spectrum downwards
        width = int(2 + colour * 30)
        total = np.cumsum(noise, dtype=np.float64)
        noise[width:] = total[width:] - total[:-width]
    power = np.mean(samples**2) / 10 ** (snr_db / 10)
    return samples + noise * np.float32(np.sqrt(power / (np.mean(noise**2) + 1e-12)))


def telephone(samples: np.ndarray) -> np.ndarray:
    """As an 8 kHz line with 8-bit mu-law (ITU-T G.711) passes it on; shape and loudest sample stay."""
    peak = np.float32(max(np.abs(samples).max(initial=0.0), 1e-8))
    low = soxr.resample(samples / peak, SAMPLE_RATE, SAMPLE_RATE // 2)
    coded = np.round(np.sign(low) * np.log1p(255 * np.minimum(np.abs(low), 1)) / np.log(256) * 127)
    decoded = np.sign(coded) * np.expm1(np.abs(coded) / 127 * np.log(256)) / 255
    whole = soxr.resample(decoded.astype(np.float32), SAMPLE_RATE // 2, SAMPLE_RATE)[: len(samples)]
    return np.pad(whole, (0, len(samples) - len(whole))) * peak
