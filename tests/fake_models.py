"""Checkpoints of the wav2vec2 family with random weights, small enough to train in a test."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

from asrdemo.finetune import recipe as recipes
from asrdemo.registry import CheckpointSpec, Registry

LOWER = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]
UPPER = [t if t.startswith("<") else t.upper() for t in LOWER]
FAMILIES = {
    "wav2vec2-group": ("Wav2Vec2", {"feat_extract_norm": "group", "do_stable_layer_norm": False}),
    "wav2vec2-layer": ("Wav2Vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
    "hubert": ("Hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
    "wavlm": ("WavLM", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
    "conformer": ("Wav2Vec2Conformer", {"feat_extract_norm": "layer", "position_embeddings_type": "relative"}),
}
SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "pad_token_id": 0,
    "num_codevectors_per_group": 8, "codevector_dim": 16, "proj_codevector_dim": 16, "num_negatives": 10,
}  # fmt: skip


def make(
    folder: Path, family: str = "wav2vec2-layer", kind: str = "ForCTC", letters: list[str] = LOWER, **options
) -> Path:
    """A checkpoint folder. kind: ForCTC, ForPreTraining or Model, which has no head."""
    torch.manual_seed(1)
    name, own = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**(SHAPE | own | {"vocab_size": len(letters)} | options))
    model = getattr(transformers, f"{name}{kind}")(config).eval()
    if kind == "ForCTC":
        with torch.no_grad():
            model.lm_head.weight.mul_(40)  # sharp enough for argmax to be well defined
    model.save_pretrained(folder)
    if letters and kind == "ForCTC":
        (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(letters)}))
        transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    masks = own["feat_extract_norm"] == "layer"
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    return folder


def registry(**folders: Path) -> Registry:
    """A registry of checkpoints by id."""
    return Registry({i: CheckpointSpec(i, i, "en", "en", path=p) for i, p in folders.items()})


def recipe(base: Path | str | None, revision: str = "main", **keys) -> recipes.Recipe:
    """A recipe that starts from a folder."""
    corpora = [{"id": "a", "folder": "a"}]
    start = {"base": {"checkpoint": str(base), "revision": revision}} if base else {}
    shape = {"regularisation": {"mask_feature_length": 4}} | keys
    return recipes.from_dict(
        {"name": "x", "train": corpora, "dev": corpora, "batches": {"seconds": 20.0}} | start | shape
    )
