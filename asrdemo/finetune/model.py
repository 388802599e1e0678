"""The model a recipe describes, its character vocabulary, and the folder AutoModelForCTC / AutoProcessor load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Attention

from asrdemo.finetune import recipe as recipes
from asrdemo.types import SAMPLE_RATE

DELIMITER = "|"  # stands for the space between words, as in every wav2vec2 vocabulary
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")  # `<pad>` is the CTC blank, id 0
DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout")


def vocabulary(texts: list[str]) -> dict[str, int]:
    """Token -> id from normalised training texts: special tokens, `|`, then the characters in code point order."""
    characters = sorted(set("".join(texts)) - {" ", DELIMITER})
    return {token: i for i, token in enumerate((*SPECIAL, DELIMITER, *characters))}


def labels(text: str, vocab: dict[str, int]) -> np.ndarray | None:
    """Ids of a normalised text, int64, shape = (characters,); None when a character is not in the vocabulary."""
    ids = [vocab.get(DELIMITER if c == " " else c) for c in text]
    return None if None in ids else np.array(ids, dtype=np.int64)


def build(recipe: recipes.Recipe, vocab: dict[str, int]) -> Wav2Vec2ForCTC:
    """A randomly initialised model; dropout and masking start switched off (see `regularise`)."""
    m = recipe.model
    options: dict[str, Any] = {
        "vocab_size": len(vocab),
        "pad_token_id": vocab["<pad>"],
        "bos_token_id": vocab["<s>"],
        "eos_token_id": vocab["</s>"],
        "hidden_size": m.hidden_size,
        "num_hidden_layers": m.layers,
        "num_attention_heads": m.heads,
        "intermediate_size": m.feed_forward,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
        "conv_dim": list(m.conv_dim),
        "conv_kernel": list(m.conv_kernel),
        "conv_stride": list(m.conv_stride),
        "num_conv_pos_embeddings": m.position_kernel,
        "num_conv_pos_embedding_groups": m.position_groups,
        "layerdrop": 0.0,
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
        "apply_spec_augment": False,
        "mask_time_min_masks": 1,
        "mask_feature_min_masks": 0,
        "mask_time_prob": m.mask_time_prob,
        "mask_time_length": m.mask_time_length,
        "mask_feature_prob": m.mask_feature_prob,
        "mask_feature_length": m.mask_feature_length,
    } | dict.fromkeys(DROPOUTS, 0.0)
    torch.manual_seed(recipe.seed)
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**options))
    if m.filterbank_init:
        start_as_filterbank(model)
    return prepare_for_training(model)


def prepare_for_training(model: Wav2Vec2ForCTC) -> Wav2Vec2ForCTC:
    """Settings a training run needs on a model built or loaded, in place.

    Trainer would believe that the model divides its loss by the items of an accumulated batch, which CTC does not:
    accepts_loss_kwargs=False makes Trainer do it. Eager attention is faster than SDPA's backward pass on CPU.
    """
    setattr(model, "accepts_loss_kwargs", False)  # noqa: B010 - not declared, Trainer looks for it
    model.set_attn_implementation("sdpa" if torch.cuda.is_available() else "eager")
    return model


def freeze_convolutions(model: Wav2Vec2ForCTC, count: int) -> None:
    """Keep the weights of the first `count` convolutions, in place; no gradient is computed for them or below them."""
    extractor: Any = model.wav2vec2.feature_extractor
    extractor._requires_grad = count == 0  # else transformers asks for the gradient of the audio itself
    for layer in extractor.conv_layers[:count]:
        layer.requires_grad_(False)


@torch.no_grad()
def start_as_filterbank(model: Wav2Vec2ForCTC) -> None:
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


def regularise(model: Wav2Vec2ForCTC, m: recipes.Model) -> None:
    """Switch dropout and SpecAugment on, in place."""
    model.config.apply_spec_augment = m.mask_time_prob > 0 or m.mask_feature_prob > 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = m.dropout
        elif isinstance(module, Wav2Vec2Attention):  # keeps its rate as a number
            module.dropout = m.dropout
    for name in DROPOUTS:
        setattr(model.config, name, m.dropout)


def frames(samples: int | np.ndarray, config) -> int | np.ndarray:
    """Frames the front end makes of so many samples (works on numbers and integer arrays)."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def frames_needed(ids: np.ndarray) -> int:
    """Frames CTC needs for labels of shape (characters,): one each, and a blank between equal neighbours."""
    return len(ids) + int((ids[1:] == ids[:-1]).sum())


def export(model: Wav2Vec2ForCTC, vocab: dict[str, int], folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write weights, configuration and processor files; each appears whole (temporary folder, then renames)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / ".writing"
    staging.mkdir(exist_ok=True)
    vocab_file = staging / "vocab.json"
    vocab_file.write_text(json.dumps(vocab, ensure_ascii=False, indent=1), encoding="utf-8")
    copy = Wav2Vec2ForCTC(model.config)
    copy.load_state_dict(model.state_dict())
    torch.nn.Module.to(copy, dtype).save_pretrained(staging)
    tokenizer = Wav2Vec2CTCTokenizer(str(vocab_file), word_delimiter_token=DELIMITER)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, do_normalize=True, return_attention_mask=True)
    Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(staging)
    extractor.save_pretrained(staging)  # transformers 4 looks here, 5 in processor_config.json
    for path in sorted(staging.iterdir()):
        path.chmod(0o644)
        path.replace(folder / path.name)
    staging.rmdir()
