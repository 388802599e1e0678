"""asrdemo.sound: measures of recordings, checked where the true value is known."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from asrdemo import audio
from asrdemo.sound import SNR_RANGE, measure
from asrdemo.types import SAMPLE_RATE, Clip


def clip(samples: np.ndarray) -> Clip:
    return Clip(np.asarray(samples, np.float32))


def tone(amplitude: float, seconds: float = 2.0, hertz: float = 440.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def white(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE))


def pink(seconds: float, seed: int = 0) -> np.ndarray:
    spectrum = np.fft.rfft(white(seconds, seed))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    samples = np.fft.irfft(spectrum, int(seconds * SAMPLE_RATE))
    return samples / samples.std()


def words(seconds: float = 6.0, seed: int = 0) -> np.ndarray:
    """Bursts of noise a third of the time, as a band of speech is empty more often than not; no background at all."""
    shape = (np.sin(2 * np.pi * 1.1 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE) > 0.5).astype(float)
    return 0.1 * white(seconds, seed) * np.convolve(shape, np.hanning(400) / 200, mode="same")


@pytest.mark.parametrize(("amplitude", "expected"), [(1.0, -3.01), (0.1, -23.01), (0.001, -63.01)])
def test_loudness_of_a_sine_is_known(amplitude, expected):
    found = measure(clip(tone(amplitude)))
    assert found.loudness == pytest.approx(expected, abs=0.01) and found.peak == pytest.approx(amplitude, rel=1e-3)
    assert found.seconds == 2.0 and found.silence == (1.0 if amplitude < 0.0014 else 0.0)


def test_a_constant_offset_is_no_loudness():
    assert measure(clip(tone(0.1) + 0.5)).loudness == pytest.approx(-23.01, abs=0.01)


@pytest.mark.parametrize("noise", [white, pink])
@pytest.mark.parametrize("true", [0, 5, 10, 15, 20, 30])
def test_snr_of_words_in_known_noise(true, noise):
    speech = words()
    added = noise(6.0, seed=1)
    mixed = speech + added * speech.std() / added.std() * 10 ** (-true / 20)
    assert measure(clip(mixed)).snr == pytest.approx(true, abs=2.0 if noise is white else 3.0)


def test_snr_of_real_speech_in_known_noise(real_clips):
    errors = []
    for i, path in enumerate(real_clips[::2]):
        speech = audio.read_clip(path).samples
        if measure(clip(speech)).snr < 28:  # its own noise would count too
            continue
        for true in (0, 10, 20):
            added = white(len(speech) / SAMPLE_RATE, seed=i)[: len(speech)]
            errors.append(measure(clip(speech + added * speech.std() * 10 ** (-true / 20))).snr - true)
    assert len(errors) >= 6 and abs(np.mean(errors)) < 1.5 and np.max(np.abs(errors)) < 4


def test_snr_at_the_ends_of_its_range():
    assert measure(clip(words())).snr > 50
    assert SNR_RANGE[0] <= measure(clip(0.1 * white(3))).snr < -5
    assert np.isnan(measure(clip(np.zeros(8000))).snr)


@pytest.mark.parametrize("cutoff", [1000, 2000, 3400, 4000, 6000])
def test_bandwidth_of_low_passed_noise(cutoff):
    spectrum = np.fft.rfft(white(3))
    spectrum[np.fft.rfftfreq(3 * SAMPLE_RATE, 1 / SAMPLE_RATE) > cutoff] = 0
    assert measure(clip(0.1 * np.fft.irfft(spectrum))).bandwidth == pytest.approx(cutoff, abs=200)


def test_bandwidth_of_a_telephone_and_of_none(real_clips):
    assert measure(clip(0.1 * white(2))).bandwidth == 8000
    assert np.isnan(measure(clip(np.zeros(8000))).bandwidth)
    speech = audio.read_clip(real_clips[0]).samples
    narrow = soxr.resample(soxr.resample(speech, SAMPLE_RATE, 8000), 8000, SAMPLE_RATE)
    assert measure(clip(speech)).bandwidth > 7000 and 3700 < measure(clip(narrow)).bandwidth < 4000


def test_clipping_is_the_share_of_samples_at_full_scale():
    loud = 0.3 * white(4)
    assert measure(clip(loud / np.abs(loud).max())).clipped < 1e-4  # one sample at the top is no clipping
    cut = np.clip(3 * loud, -1, 1)
    assert measure(clip(cut)).clipped == pytest.approx(np.mean(np.abs(cut) >= 1), rel=0.05)
    sine = np.clip(tone(3.0), -1, 1)
    soft = soxr.resample(soxr.resample(sine, SAMPLE_RATE, 48000), 48000, SAMPLE_RATE)  # rings at the edges, as mp3 does
    assert measure(clip(soft)).clipped == pytest.approx(np.mean(np.abs(sine) >= 1), rel=0.2)


def test_silence_is_the_share_of_quiet_frames():
    half = np.concatenate([tone(0.1, 3.0), np.zeros(3 * SAMPLE_RATE)])
    assert measure(clip(half)).silence == pytest.approx(0.5, abs=0.02)


def test_the_shortest_recording_is_measured():
    found = measure(clip(tone(0.1, 0.01)))
    assert np.isfinite([found.loudness, found.snr, found.bandwidth, found.silence]).all()
