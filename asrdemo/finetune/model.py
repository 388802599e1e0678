"""A model from random weights, as `Recipe.scratch` describes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from asrdemo.finetune import modes
from asrdemo.finetune.labels import Alphabet
from asrdemo.finetune.recipe import Shape
from asrdemo.types import SAMPLE_RATE


def build(shape: Shape, alphabet: Alphabet) -> Wav2Vec2ForCTC:
    """A randomly initialised model, drawn with torch's current seed."""
    config = configuration(shape)
    set_tokens(config, alphabet)
    model = Wav2Vec2ForCTC(config)
    if shape.filterbank_init:
        start_as_filterbank(model)
    return model


def configuration(shape: Shape) -> Wav2Vec2Config:
    """The shape in transformers' words; dropout and masking are switched off."""
    options: dict[str, Any] = {
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
        "conv_dim": list(shape.conv_dim),
        "conv_kernel": list(shape.conv_kernel),
        "conv_stride": list(shape.conv_stride),
        "num_conv_pos_embeddings": shape.position_kernel,
        "num_conv_pos_embedding_groups": shape.position_groups,
        "layerdrop": 0.0,
    } | dict.fromkeys(modes.DROPOUTS, 0.0)
    return modes.with_mask_vector(Wav2Vec2Config(**options))


def set_tokens(config: Any, alphabet: Alphabet) -> None:
    """Write the vocabulary's size and special tokens into a configuration, in place."""
    config.vocab_size, config.pad_token_id = len(alphabet.vocab), alphabet.blank
    for key in ("bos_token", "eos_token"):
        setattr(config, f"{key}_id", alphabet.vocab.get(alphabet.roles.get(key, "")))


@torch.no_grad()
def start_as_filterbank(model: Any) -> None:
    """Start the first two convolutions as an auditory filter bank, in place; training changes them freely.

    The first holds gammatone filters, lifted by 3 dB an octave against the tilt of speech; its GELU rectifies. The
    second begins with smoothed envelopes of each band and their negatives (the layer norm and GELU after it would
    lose half otherwise); channels left over stay random. Without it the run sits on the blank plateau much longer.
    """
    layers: Any = model.wav2vec2.feature_extractor.conv_layers
    first, second = layers[0].conv, layers[1].conv
    bands, taps = first.out_channels, second.kernel_size[0]
    centres, filters = gammatone_filters(bands, first.kernel_size[0])
    lift = np.sqrt(centres / 1000).astype(np.float32)
    first.weight.copy_(torch.from_numpy(filters * lift[:, None])[:, None])
    first.bias.copy_(torch.tensor([0.1, -0.1]).repeat(bands)[:bands])  # silence keeps a pattern of its own
    window = torch.hann_window(taps + 2, periodic=False)[1:-1]
    kernel = 2.5 * window / window.sum()
    for channel in range(min(2 * bands, second.out_channels)):
        second.weight[channel] = 0.0
        second.weight[channel, channel % bands] = kernel if channel < bands else -kernel
    second.bias.zero_()


def gammatone_filters(count: int, taps: int) -> tuple[np.ndarray, np.ndarray]:
    """(centre frequencies in Hz, unit-norm impulse responses of shape (count, taps)).

    80 Hz to 7.4 kHz, evenly spaced on the ERB scale; neighbours alternate in phase by a quarter turn. Patterson et
    al. 1987 (filters), Glasberg & Moore 1990 (ERB).
    """
    low, high = 21.4 * np.log10(1 + 0.00437 * np.array([80.0, 7400.0]))
    erb_numbers = np.linspace(low, high, count)
    centres = (10 ** (erb_numbers / 21.4) - 1) / 0.00437
    t = np.arange(taps) / SAMPLE_RATE
    bandwidths = np.maximum(1.019 * 24.7 * (0.00437 * centres + 1), 0.6 * SAMPLE_RATE / taps)  # fits the taps
    phases = (np.arange(count) % 2) * np.pi / 2
    envelopes = t**3 * np.exp(-2 * np.pi * bandwidths[:, None] * t)
    filters = envelopes * np.cos(2 * np.pi * centres[:, None] * t + phases[:, None])
    filters -= filters.mean(axis=1, keepdims=True)
    return centres, (filters / np.linalg.norm(filters, axis=1, keepdims=True)).astype(np.float32)
