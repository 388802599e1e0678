"""What several test files share: tiny checkpoints with random weights, and real speech where it is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "corpora"
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]


def make_checkpoint(folder: Path, norm: str, letters: list[str] = LETTERS, seed: int = 0) -> Path:
    """A wav2vec2 with random weights, small enough to run in milliseconds. norm: `layer` or `group`."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(letters)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
        pad_token_id=0,
        layerdrop=0.0,
    )
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():  # sharper outputs than a fresh head gives, so that argmax is well defined
        model.lm_head.weight.mul_(40)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-layer", "layer")


@pytest.fixture(scope="session")
def tiny_checkpoint_group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-group", "group")


@pytest.fixture(scope="session")
def real_clips() -> list[Path]:
    """A few genuine recordings of different lengths and encodings. Skips where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    picks = [
        sorted((SHARED / "an4" / "clips").iterdir())[::90],
        sorted((SHARED / "speechocean762" / "clips").iterdir())[::400],
    ]
    picks.append(sorted((SHARED / "cv-corpus-6.1-sample" / "en" / "clips").iterdir())[::20])
    return [path for group in picks for path in group]


@pytest.fixture
def tone() -> np.ndarray:
    """One second of a quiet 440 Hz tone at 16 kHz, float32."""
    return (0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
