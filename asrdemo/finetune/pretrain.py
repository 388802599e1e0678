"""Continued self-supervised pre-training on speech without transcripts: wav2vec 2.0 (Baevski et al. 2020).

Spans of frames are masked; the model must tell the quantised true frame from others of the same clip (contrastive
loss), and use its codebooks evenly (diversity loss).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForPreTraining, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from asrdemo.acoustic import loading, store
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, modes
from asrdemo.finetune import model as models
from asrdemo.finetune.base import Start
from asrdemo.finetune.data import LENGTH_STEP, pad
from asrdemo.finetune.labels import NOTHING
from asrdemo.finetune.recipe import Kind, Recipe, Shape, settled
from asrdemo.registry import Registry

FAMILIES = ("wav2vec2", "wav2vec2-conformer")
NEW = ("quantizer.", "project_hid.", "project_q.")  # dropped from a checkpoint by fine-tuning
MASK_SHARE, MASK_LENGTH = 0.65, 10  # of the paper, where the recipe gives no mask_time_prob
TEMPERATURE, LEAST_TEMPERATURE, DECAY = 2.0, 0.5, 0.999995  # of the Gumbel softmax, a step; of the base model


def open_base(recipe: Recipe, registry: Registry) -> Start:
    """The recipe's model for pre-training, without a vocabulary; its front end trains too unless the recipe says.

    Raises TrainingError for families that are pre-trained otherwise (hubert, wavlm) and for missing weights (the
    codebooks may be new), CheckpointError, NeedsNetworkError.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        recipe = _as_published(recipe)
        start = _scratch(recipe, recipe.scratch) if recipe.scratch else _checkpoint(recipe, registry)
    base.regularise(start.model, start.recipe.regularisation)
    base.freeze(start.model, start.recipe)
    return start


def _as_published(recipe: Recipe) -> Recipe:
    """Masks and a front end that moves, where the recipe does not say otherwise."""
    r, o = recipe.regularisation, recipe.optimiser
    if r.mask_time_prob is None:
        r = dataclasses.replace(r, mask_time_prob=MASK_SHARE, mask_time_length=MASK_LENGTH)
    if not r.mask_time_prob:
        raise TrainingError("Pre-training needs frames to guess: regularisation.mask_time_prob must be above 0.")
    feature = r.mask_feature_prob or 0.0
    return dataclasses.replace(
        recipe,
        mode="pretrain",
        regularisation=dataclasses.replace(r, mask_feature_prob=feature),
        optimiser=dataclasses.replace(o, frozen_convolutions=o.frozen_convolutions or 0),
    )


def _scratch(recipe: Recipe, shape: Shape) -> Start:
    model = Wav2Vec2ForPreTraining(models.configuration(shape))
    if shape.filterbank_init:
        models.start_as_filterbank(model)
    mark = hashlib.sha256(repr((shape, recipe.seed)).encode()).hexdigest()[:16]
    return _start(model, recipe, "scratch", [name for name, _ in model.named_parameters()], mark, True)


def _checkpoint(recipe: Recipe, registry: Registry) -> Start:
    spec = dataclasses.replace(base.locate(recipe, registry), adapter=None)
    folder = store.fetch(spec)
    config = loading.read_config(folder)
    if config.model_type not in FAMILIES:
        raise TrainingError(
            f"A {config.model_type} is not pre-trained with a contrastive loss; mode: pretrain can do "
            f"{' and '.join(FAMILIES)}."
        )
    model, missing = base.load(recipe, spec, folder, config, reuse=True, family=AutoModelForPreTraining, new=NEW)
    mark = loading.fingerprint(folder, store.weight_files(folder), None, NOTHING.words)
    return _start(model, recipe, "pretrained", missing, mark, loading.normalises(folder))


def _start(model: Any, recipe: Recipe, kind: Kind, new: list[str], mark: str, standardise: bool) -> Start:
    masks = model.config.feat_extract_norm == "layer"
    modes.prepare_for_training(model)
    model.quantizer._compute_perplexity = perplexity
    return Start(model, NOTHING, kind, settled(recipe, kind), masks, standardise, tuple(new), mark)


def perplexity(shares: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Codewords in use, summed over codebooks: of shares of shape (frames, codebooks, codewords), the frames in mask.

    As in fairseq. transformers' own has a gradient that is not a number once a codeword's share is exactly zero, which
    is soon the case.
    """
    mean = shares[mask.flatten()].mean(0)
    return torch.exp(-(mean * torch.log(mean + 1e-7)).sum(-1)).sum()


def draw_masks(waves: Sequence[Any], start: Start) -> list[np.ndarray]:
    """For each clip the frames to guess: bool, shape = (frames,); at least two, drawn with numpy's global generator.

    Raises TrainingError for a clip of less than two frames.
    """
    r, found = start.recipe.regularisation, []
    for wave in waves:
        frames = int(base.frames(len(wave), start.model.config))
        if frames < 2:
            raise TrainingError(f"A clip of {len(wave)} samples is too short to pre-train on; raise clips.min_seconds.")
        length = min(r.mask_time_length, frames // 2)
        found.append(_compute_mask_indices((1, frames), r.mask_time_prob or 0.0, length, min_masks=2)[0])
    return found


def batch(waves: Sequence[torch.Tensor], start: Start, masks: Sequence[np.ndarray] | None = None) -> dict[str, Any]:
    """What the model takes: padded audio (see data.pad), and

    mask_time_indices: bool, shape = (clips, frames); sampled_negative_indices: for each frame to guess, other such
    frames of its clip, int64, shape = (clips, frames, config.num_negatives). masks: from `draw_masks`, which else is
    called here.
    """
    inputs = pad(waves, start.masks, LENGTH_STEP)
    config = start.model.config
    shape = (len(waves), int(base.frames(inputs["input_values"].shape[1], config)))
    indices = np.zeros(shape, dtype=bool)
    for row, mask in enumerate(masks or draw_masks(waves, start)):
        indices[row, : len(mask)] = mask
    negatives = _sample_negative_indices(shape, config.num_negatives, indices)
    return inputs | {
        "mask_time_indices": torch.from_numpy(indices),
        "sampled_negative_indices": torch.from_numpy(negatives).long(),
    }


def loss(model: Any, inputs: dict[str, Any], temperature: float) -> tuple[torch.Tensor, int, dict[str, float]]:
    """(loss summed over the frames to guess, their number, metrics) of a `batch`.

    temperature: of the Gumbel softmax. metrics, a frame: contrastive and diversity (unweighted) losses, accuracy (true
    frame above all others); perplexity: codewords in use, of num_codevector_groups x num_codevectors_per_group.
    """
    network = getattr(model, "module", model)  # as data parallel training wraps it
    network.quantizer.temperature = temperature
    device = next(network.parameters()).device
    inputs = {key: value.to(device) for key, value in inputs.items()}
    out = model(**inputs)
    count = int(inputs["mask_time_indices"].sum())
    metrics = {
        "contrastive": out.contrastive_loss.item() / count,
        "diversity": out.diversity_loss.item() / count,
        "perplexity": out.codevector_perplexity.item(),
        "accuracy": _accuracy(out, inputs),
    }
    return out.loss, count, metrics


@torch.no_grad()
def _accuracy(out: Any, inputs: dict[str, Any]) -> float:
    """Share of the masked frames whose true codeword is nearer than any other (equal ones do not count as other)."""
    masked = inputs["mask_time_indices"]
    codes = out.projected_quantized_states.float()
    true, guess = codes[masked], out.projected_states.float()[masked]
    others = codes.flatten(0, 1)[inputs["sampled_negative_indices"][masked]]
    nearest = torch.cosine_similarity(guess[:, None], others, dim=-1)
    nearest = nearest.masked_fill((others == true[:, None]).all(-1), -torch.inf).amax(-1)
    return float((torch.cosine_similarity(guess, true, dim=-1) > nearest).float().mean())


class Contrastive:
    """The loss as an objective of the training loop (see objective.Objective). metrics: of the clips last seen."""

    def __init__(self, start: Start):
        self.start = start
        self.fresh = any(name.startswith("quantizer.") for name in start.new_weights)
        self.metrics: dict[str, float] = {}

    def count(self, item: dict[str, Any]) -> int:
        """Frames to guess; draws them."""
        item["masks"] = draw_masks(item["waves"], self.start)
        return int(sum(mask.sum() for mask in item["masks"]))

    def loss(self, model: Any, item: dict[str, Any], rows: Sequence[int], step: int) -> torch.Tensor:
        """Of some clips, summed; a scalar."""
        if "masks" not in item:  # an item that does not count
            self.count(item)
        inputs = batch([item["waves"][i] for i in rows], self.start, [item["masks"][i] for i in rows])
        total, _, self.metrics = loss(model, inputs, self.temperature(step))
        return total

    def temperature(self, step: int) -> float:
        """Of the Gumbel softmax: falls from 2 with new codebooks; trained ones go on where such runs end."""
        return max(LEAST_TEMPERATURE, TEMPERATURE * DECAY**step) if self.fresh else LEAST_TEMPERATURE
