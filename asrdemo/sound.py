"""What the samples of a recording say about it: loudness, noise, bandwidth, clipping, silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asrdemo.types import SAMPLE_RATE, Clip

FULL_SCALE = 0.99  # a sample this large or larger counts as clipped
SILENCE_DB = -60.0  # a frame below this level (dBFS) counts as silent
SNR_RANGE = (-20.0, 80.0)  # dB; beyond, the estimate says no more than that
BAND_DROP = 60.0  # dB below the strongest frequency: where a recording's bandwidth ends

_WINDOW, _HOP = 512, 256  # samples: 32 ms, half overlapping
_BAND = 8  # spectral bins a noise band has: 250 Hz
_QUANTILE = 0.1  # of a band's frames, the quietest are taken for noise
_QUANTILE_OF_MEAN = 0.47  # what that quantile is of the mean for steady noise in such a band (Hann window), by trial
_BLOCK = 4096  # frames transformed at a time
_TINY = 1e-20


@dataclass(frozen=True)
class Sound:
    """Measures of one recording.

    seconds: its length. loudness: dBFS, root mean square of all samples without their mean (a full-scale sine: -3.0).
    snr: dB, see `_snr`; bandwidth: Hz, see `_bandwidth`; both nan for digital silence.
    peak: largest magnitude, 1 is full scale. clipped: share of samples at full scale, 0 to 1.
    silence: share of 32 ms frames below SILENCE_DB, 0 to 1.
    """

    seconds: float
    loudness: float
    snr: float
    bandwidth: float
    peak: float
    clipped: float
    silence: float


def measure(clip: Clip) -> Sound:
    """All measures of a clip, which must not be empty, in a fraction of the time it takes to decode it."""
    magnitude = np.abs(clip.samples)
    samples = clip.samples - clip.samples.mean(dtype=np.float64).astype(np.float32)
    frames = _frames(samples)
    bands, spectrum = _spectra(frames)
    return Sound(
        seconds=clip.duration,
        loudness=float(_db(np.einsum("i,i->", samples, samples, dtype=np.float64) / len(samples))),
        snr=_snr(bands),
        bandwidth=_bandwidth(spectrum),
        peak=float(magnitude.max()),
        clipped=float((magnitude >= FULL_SCALE).mean()),
        silence=float((_db(np.einsum("ij,ij->i", frames, frames) / _WINDOW) < SILENCE_DB).mean()),
    )


def _snr(bands: np.ndarray) -> float:
    """Signal-to-noise ratio in dB, estimated without a clean reference; nan for digital silence.

    Quantile-based noise estimation (Stahl, Fischer and Bippus, ICASSP 2000): in every band of 250 Hz, speech pauses
    often enough that the quietest tenth of the frames is noise; as a quantile lies below the mean, it is corrected by
    what it is for steady noise (as in Martin, minimum statistics, 2001). Signal is what the whole recording has above
    that. On 58 real clips with white or pink noise added at 0 to 25 dB it errs by 1.4 dB in the mean and 4 at most.
    Noise that comes and goes, other voices above all, counts as signal, and speech without a pause as noise.
    (WADA-SNR, Kim and Stern 2008, was tried on the same clips: it presumes a distribution of amplitudes that clips
    with pauses do not have, and is 25 dB off at 30.)

    bands: power, shape = (frames, 32).
    """
    total = bands.mean(axis=0).sum()
    if total <= _TINY:
        return float("nan")
    noise = min(np.quantile(bands, _QUANTILE, axis=0).sum() / _QUANTILE_OF_MEAN, total)
    ratio = 10 * np.log10(max(total - noise, _TINY) / max(noise, _TINY))
    return float(np.clip(ratio, *SNR_RANGE))


def _bandwidth(spectrum: np.ndarray) -> float:
    """Highest frequency in Hz, up to 8,000, at which the mean spectrum is within BAND_DROP of its strongest; nan for
    digital silence. What was recorded over a telephone and resampled shows about 3,900, or the telephone's filter.

    spectrum: mean power, shape = (257,). Neighbouring bins (31 Hz) are averaged: a cliff is found within 200 Hz.
    """
    mean = np.convolve(spectrum, np.ones(3) / 3, mode="same")
    if mean.max() <= _TINY:
        return float("nan")
    last = int(np.flatnonzero(_db(mean) >= _db(mean.max()) - BAND_DROP)[-1])
    return last * SAMPLE_RATE / _WINDOW


def _frames(samples: np.ndarray) -> np.ndarray:
    """Overlapping frames, shape = (frames, _WINDOW); a short recording is filled up with zeros."""
    if len(samples) < _WINDOW:
        samples = np.pad(samples, (0, _WINDOW - len(samples)))
    return np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]


def _spectra(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(power of each frame in bands of 250 Hz, shape = (frames, 32); mean power of each frequency, shape = (257,))."""
    window = np.hanning(_WINDOW)
    bands = np.empty((len(frames), _WINDOW // 2 // _BAND))
    mean = np.zeros(_WINDOW // 2 + 1)
    for at in range(0, len(frames), _BLOCK):
        power = np.abs(np.fft.rfft(frames[at : at + _BLOCK] * window, axis=1)) ** 2
        bands[at : at + _BLOCK] = power[:, 1:].reshape(len(power), -1, _BAND).mean(axis=2)
        mean += power.sum(axis=0)
    return bands, mean / len(frames)


def _db(power: np.ndarray | float) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, _TINY))
