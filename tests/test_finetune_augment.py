"""Changes to the audio, and the front end that starts as a filter bank."""

import numpy as np
import torch

from asrdemo.finetune import augment, labels
from asrdemo.finetune import model as models
from asrdemo.finetune import recipe as recipes

SHAPE = recipes.Shape(hidden_size=16, heads=2, layers=1, feed_forward=16, position_groups=4)


def tone(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(16000 * seconds)) / 16000).astype(np.float32)


def peak_hertz(samples):
    return np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples)


def test_speed_changes_length_and_pitch():
    fast = augment.change_speed(tone(1000), 1.25)
    assert len(fast) == 12800 and abs(peak_hertz(fast) - 1250) < 5


def test_noise_has_the_asked_ratio():
    rng, clean = np.random.default_rng(0), tone(500)
    for _ in range(5):
        noise = augment.add_noise(clean, 10.0, rng) - clean
        assert abs(10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) - 10) < 0.1


def test_band_limit_removes_what_is_outside():
    both = tone(1000) + tone(6000)
    spectrum = np.abs(np.fft.rfft(augment.filtered(both, np.ones(1, np.float32), (300.0, 3400.0))))
    assert spectrum[6000] < 0.05 * spectrum[1000]


def test_room_keeps_length_and_loudness():
    rng = np.random.default_rng(0)
    out = augment.filtered(tone(700), augment.room_response(0.3, rng), None)
    assert out.shape == (16000,) and abs(np.std(out) - np.std(tone(700))) < 1e-3


def test_augment_is_finite_and_keeps_enough_frames():
    rng = np.random.default_rng(0)
    strong = recipes.Augment(speed=(1.2, 1.3), noise_prob=1.0, filter_prob=1.0, reverb_prob=1.0)
    for _ in range(20):
        out = augment.augment(tone(440, 0.5), strong, rng, max_speed=1.05)
        assert out.dtype == np.float32 and np.isfinite(out).all() and len(out) >= 8000 / 1.05 - 1


def test_gammatone_filters_peak_where_they_should():
    centres, filters = models.gammatone_filters(40, 256)
    assert filters.shape == (40, 256) and np.allclose(np.linalg.norm(filters, axis=1), 1, atol=1e-5)
    peaks = np.abs(np.fft.rfft(filters, 4096)).argmax(1) * 16000 / 4096
    assert (np.diff(peaks) > 0).mean() > 0.9 and peaks[0] < 250 and peaks[-1] > 6500
    assert np.allclose(peaks[5:], centres[5:], rtol=0.15)


def test_front_end_starts_as_envelopes():
    """A tone lights up the band of its frequency in the second convolution's first channels."""
    model = models.build(SHAPE, labels.from_texts(["ab"], "en"))
    first, second = (layer.conv for layer in model.wav2vec2.feature_extractor.conv_layers[:2])
    bands = first.out_channels
    with torch.inference_mode():
        envelope = second(torch.relu(first(torch.from_numpy(tone(2000))[None, None]))).mean(-1)[0]
    centre = models.gammatone_filters(bands, first.kernel_size[0])[0][envelope[:bands].argmax()]
    assert abs(centre - 2000) < 200
    assert torch.allclose(envelope[bands : 2 * bands], -envelope[:bands], atol=1e-5)


def test_a_telephone_keeps_the_voice_and_drops_what_lies_above():
    t = np.arange(16000) / 16000
    heard = augment.telephone(
        (0.1 * np.sin(2 * np.pi * 1000 * t) + 0.1 * np.sin(2 * np.pi * 6000 * t)).astype(np.float32)
    )
    spectrum = np.abs(np.fft.rfft(heard))
    assert heard.shape == t.shape and heard.dtype == np.float32
    assert spectrum[1000] > 20 * spectrum[6000]
    assert augment.telephone(np.zeros(100, np.float32)).shape == (100,)
