"""What trains and how it is regularised, for every model of the wav2vec2 family alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from asrdemo.acoustic.loading import SPARE
from asrdemo.errors import TrainingError
from asrdemo.finetune.recipe import Lora, Recipe, Regularisation

OFF = Regularisation(dropout=0.0, mask_time_prob=0.0, mask_feature_prob=0.0)
DROPOUTS = (
    "hidden_dropout",
    "attention_dropout",
    "activation_dropout",
    "feat_proj_dropout",
    "final_dropout",
    "conformer_conv_dropout",
)
TRAINED = {"head": ("lm_head.",), "adapter": ("lm_head.", ".adapter_layer."), "lora": ("lm_head.", ".lora_")}
ADAPTER_WIDTH = 16  # of MMS (Pratap et al. 2023)
_ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj", "linear_q", "linear_k", "linear_v", "linear_out"]
_FEED_FORWARD = ["intermediate_dense", "output_dense"]


def prepare_for_training(model: Any) -> Any:
    """Settings a training run needs on a model built or loaded, in place; the same model, in training mode.

    Trainer would believe that the model divides its loss by the items of an accumulated batch, which CTC does not:
    accepts_loss_kwargs=False makes Trainer do it. Eager attention is faster than SDPA's backward pass on CPU.
    """
    model.accepts_loss_kwargs = False
    model.set_attn_implementation("sdpa" if torch.cuda.is_available() and model._supports_sdpa else "eager")
    config = model.config
    config.layerdrop = 0.0
    config.ctc_loss_reduction, config.ctc_zero_infinity = "mean", True
    return model.train()


def with_mask_vector(config: Any) -> Any:
    """The configuration, in place, such that the model has the vector that SpecAugment puts in place of frames.

    transformers makes it only where a share to mask is set, but masking may start late in a run.
    """
    config.mask_time_prob = config.mask_time_prob or 0.05
    config.mask_time_min_masks = config.mask_feature_min_masks = 0  # else short clips are masked whole
    config.apply_spec_augment = False
    return config


def regularise(model: Any, r: Regularisation) -> None:
    """Set dropout and SpecAugment, in place. Where nothing is to be masked, the configuration keeps its shares.

    Raises TrainingError for masks that do not fit the model.
    """
    config = model.config
    config.apply_spec_augment = bool(r.mask_time_prob or r.mask_feature_prob)
    if config.apply_spec_augment:
        if r.mask_feature_prob and r.mask_feature_length > config.hidden_size:
            raise TrainingError(
                f"regularisation.mask_feature_length is {r.mask_feature_length}, more than the model's "
                f"{config.hidden_size} features; lower it."
            )
        config.mask_time_prob, config.mask_time_length = r.mask_time_prob or 0.0, r.mask_time_length
        config.mask_feature_prob, config.mask_feature_length = r.mask_feature_prob or 0.0, r.mask_feature_length
    rate = r.dropout or 0.0
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            if ".lora_" not in name:  # has a rate of its own
                module.p = rate
        elif isinstance(getattr(module, "dropout", None), float | int):  # attention keeps its rate as a number
            module.dropout = rate
    for key in DROPOUTS:
        if hasattr(config, key):
            setattr(config, key, rate)


def freeze(model: Any, recipe: Recipe) -> None:
    """Choose the weights that train, in place, whatever was chosen before; recipe: settled."""
    parts = TRAINED.get(recipe.mode)
    for name, weight in model.named_parameters():
        weight.requires_grad_(parts is None or any(part in f".{name}" or name.startswith(part) for part in parts))
    extractor = model.base_model.feature_extractor
    count = recipe.optimiser.frozen_convolutions or 0
    frozen = extractor.conv_layers[: None if count < 0 else count]
    for layer in frozen:
        layer.requires_grad_(False)
    # else transformers asks for the gradient of the audio itself
    extractor._requires_grad = parts is None and len(frozen) == 0
    for weight in _idle(model, recipe):
        weight.requires_grad_(False)  # a weight that some steps do not use stalls data parallel training


def _idle(model: Any, recipe: Recipe) -> Iterator[nn.Parameter]:
    """Weights that not every step uses."""
    r, spare = recipe.regularisation, getattr(model.base_model, SPARE, None)
    if spare is not None and recipe.mode != "pretrain" and (r.start > 0 or not r.mask_time_prob):
        yield spare
    if model.config.model_type == "wav2vec2-conformer":  # has a positional convolution, but never calls it
        yield from model.base_model.encoder.pos_conv_embed.parameters()


def check_adapters(model: Any) -> None:
    """Raises TrainingError where a model has no room for adapters."""
    if not any(".adapter_layer." in name for name, _ in model.named_parameters()):
        raise TrainingError(
            f"This {model.config.model_type} has no place for attention adapters: they belong to wav2vec2, hubert and "
            "unispeech with layer norm first (do_stable_layer_norm), such as XLS-R and MMS. Use mode: lora or full."
        )


def renew_adapters(model: Any) -> None:
    """Start the attention adapters afresh, in place. transformers' init_adapter_layers does not: it passes whole
    adapters to a function that knows single layers, which leaves weights alone that were loaded."""
    for name, module in model.named_modules():
        if ".adapter_layer." in name:
            for weight in module.parameters(recurse=False):
                weight._is_hf_initialized = False  # type: ignore[attr-defined]
            model._init_weights(module)


def add_lora(model: Any, lora: Lora) -> None:
    """Put low-rank adapters into the attention projections, in place; into the feed-forward layers of a wavlm, whose
    attention reads its projections' weights behind their backs. Raises TrainingError where peft is not installed."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError("mode: lora needs the package peft; install it with: pip install peft") from error
    targets = _FEED_FORWARD if model.config.model_type == "wavlm" else _ATTENTION
    rate: Any = lora.alpha  # peft says int, and takes any number
    settings = LoraConfig(r=lora.rank, lora_alpha=rate, lora_dropout=lora.dropout, target_modules=targets)
    inject_adapter_in_model(settings, model)


def merged(model: Any) -> dict[str, torch.Tensor]:
    """The model's weights by name, as if its low-rank adapters had been added to the weights they belong to."""
    weights = {n.replace(".base_layer.", "."): w for n, w in model.state_dict().items() if ".lora_" not in n}
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            for adapter in module.active_adapters:
                weights[f"{name}.weight"] = weights[f"{name}.weight"] + module.get_delta_weight(adapter)
    return weights
