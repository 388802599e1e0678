"""A recipe's base -> a model ready to train, and the vocabulary it writes with."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrdemo.acoustic import loading, store
from asrdemo.errors import TrainingError
from asrdemo.finetune import labels as spelling
from asrdemo.finetune import model as models
from asrdemo.finetune import modes
from asrdemo.finetune.labels import DELIMITER, Alphabet, Case, frames, frames_needed
from asrdemo.finetune.modes import freeze, regularise
from asrdemo.finetune.recipe import TINY, Kind, Recipe, Shape, resolve_folder, settled
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.types import SAMPLE_RATE, Vocabulary

__all__ = [
    "DELIMITER",
    "Alphabet",
    "Start",
    "frames",
    "frames_needed",
    "freeze",
    "labels",
    "locate",
    "open_base",
    "regularise",
]

HUB = "hub:"
_REPOSITORY = re.compile(r"hub:[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    model: a transformers CTC model, float32, in training mode, its weights frozen and its dropout set as the recipe
    says. recipe: the recipe, settled for the kind of base. masks: give attention_mask (layer-norm front ends only;
    others must get clips of equal length). standardise: clips need zero mean and unit variance. new_weights: names of
    weights that were not in the base. fingerprint: of the base's files and the vocabulary. adapter: MMS language.
    """

    model: Any
    alphabet: Alphabet
    kind: Kind
    recipe: Recipe
    masks: bool
    standardise: bool
    new_weights: tuple[str, ...]
    fingerprint: str
    adapter: str | None = None

    @property
    def vocab(self) -> Mapping[str, int]:
        """Token -> id; DELIMITER stands between words."""
        return self.alphabet.vocab

    @property
    def case(self) -> Case:
        """How labels are cased for this vocabulary; `labels` does it."""
        return self.alphabet.case

    @property
    def words(self) -> Vocabulary:
        """The vocabulary as texts are written, for decoders."""
        return self.alphabet.words


def labels(text: str, start: Start) -> np.ndarray | None:
    """Ids of a normalised text, int64, shape = (tokens,); None when a character is not in the vocabulary."""
    return start.alphabet.labels(text)


def locate(recipe: Recipe, registry: Registry) -> CheckpointSpec:
    """Where a base's files are: a listed checkpoint, a folder, or a repository on the Hub. Raises TrainingError."""
    if recipe.base is None:
        raise TrainingError("The recipe starts from random weights (scratch), so it has no base.")
    name = recipe.base.checkpoint
    spec = CheckpointSpec(name, name, recipe.language, recipe.normalisation)
    if name.startswith(HUB):
        if not _REPOSITORY.fullmatch(name):
            raise TrainingError(f"The base {name!r} names no repository on the Hub; expected {HUB}owner/name.")
        return dataclasses.replace(spec, hub=name.removeprefix(HUB), revision=recipe.base.revision)
    if name in registry.checkpoints:
        return registry.checkpoint(name)
    folder = resolve_folder(name)
    if not (folder / "config.json").is_file():
        raise TrainingError(
            f"There is no base {name!r}: it is no folder with a config.json and none of the listed checkpoints "
            f"({', '.join(registry.checkpoints)}). For one on the Hugging Face Hub write {HUB}owner/name."
        )
    return dataclasses.replace(spec, path=folder)


def open_base(recipe: Recipe, texts: Iterable[str] | None, registry: Registry) -> Start:
    """The recipe's model and vocabulary.

    texts: normalised training texts, read only where a new vocabulary is needed. Raises TrainingError where weights
    are missing that only training could make up for, and for modes that the model cannot do; CheckpointError,
    NeedsNetworkError as asrdemo.acoustic.loading does.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        start = _scratch(recipe, recipe.scratch, texts) if recipe.scratch else _checkpoint(recipe, texts, registry)
    _check_masks(start)
    r = start.recipe.regularisation
    regularise(start.model, r if r.start <= 0 else modes.OFF)
    freeze(start.model, start.recipe)
    return start


def _scratch(recipe: Recipe, shape: Shape, texts: Iterable[str] | None) -> Start:
    """Random weights, asked for."""
    if recipe.mode != "full":
        raise TrainingError(f"mode is {recipe.mode!r}, but random weights must all be trained: use mode: full.")
    alphabet = _from_texts(recipe, texts)
    model = modes.prepare_for_training(models.build(shape, alphabet))
    whole = hashlib.sha256(repr((shape, recipe.seed, alphabet.fingerprint)).encode())
    names = tuple(name for name, _ in model.named_parameters())
    return Start(model, alphabet, "scratch", settled(recipe, "scratch"), True, True, names, whole.hexdigest()[:16])


def _checkpoint(recipe: Recipe, texts: Iterable[str] | None, registry: Registry) -> Start:
    """Weights of a checkpoint; the output layer is new where it has none, or where the vocabulary is."""
    spec = locate(recipe, registry)
    folder = store.fetch(spec)
    config = loading.read_config(folder)
    files = store.weight_files(folder)
    trained = any(name.startswith(loading.HEADS) for name in loading.weight_names(files))
    if recipe.vocabulary == "reuse" and not trained:
        raise TrainingError(
            f"{spec.title} has no trained output layer, so there is no vocabulary to reuse: use vocabulary: train."
        )
    reuse = trained and recipe.vocabulary != "train"
    model, missing = load(recipe, spec, folder, config, reuse)
    if reuse:
        size, blank = int(model.config.vocab_size), model.config.pad_token_id
        alphabet = spelling.from_folder(folder, recipe.normalisation, size, blank, spec.adapter)
    else:
        alphabet = _from_texts(recipe, texts)
        missing = sorted({*missing, *_new_head(model, alphabet, recipe)})
    if recipe.mode == "lora":
        modes.add_lora(model, recipe.lora)
    modes.prepare_for_training(model)
    kind: Kind = "pretrained" if not reuse else "tiny" if model.num_parameters() < TINY else "finetuned"
    mark = loading.fingerprint(folder, files, spec.adapter, alphabet.words)
    masks = getattr(model.config, "feat_extract_norm", "layer") == "layer"
    standardise, adapter = loading.normalises(folder), spec.adapter
    return Start(model, alphabet, kind, settled(recipe, kind), masks, standardise, tuple(missing), mark, adapter)


def load(
    recipe: Recipe, spec: CheckpointSpec, folder: Path, config: Any, reuse: bool, family: Any = None,
    new: tuple[str, ...] = (),
) -> tuple[Any, list[str]]:  # fmt: skip
    """(model, names of the weights that its files lack).

    config: the folder's; changed in place. reuse: the output layer is kept. family: transformers class, if not
    AutoModelForCTC. new: prefixes of weights that may be missing. Raises TrainingError where any other weight is: it
    would be random where a trained one was meant.
    """
    modes.with_mask_vector(config)
    if recipe.mode == "adapter":
        config.adapter_attn_dim = getattr(config, "adapter_attn_dim", None) or modes.ADAPTER_WIDTH
    model, info = loading.build(folder, spec.title, spec.adapter, config, family)
    loading.geometry(model)
    missing, mismatched = loading.made_up(info)
    if recipe.mode == "adapter":
        modes.check_adapters(model)
    allowed = new if reuse else (*new, *loading.HEADS)
    random = [n for n in missing if not (n.startswith(allowed) or recipe.mode == "adapter" and ".adapter_layer." in n)]
    if random or mismatched:
        names = sorted({*random, *mismatched})
        raise TrainingError(
            f"{len(names)} weights of the base {spec.title} are not in its files or have another shape there "
            f"({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}): they would start from random values. Only "
            "the output layer may be new. Take another base, or ask for random weights with `scratch`."
        )
    return model, missing


def _new_head(model: Any, alphabet: Alphabet, recipe: Recipe) -> list[str]:
    """A fresh output layer for the vocabulary, and fresh adapters where they are what trains; names of the weights."""
    model.lm_head = torch.nn.Linear(model.lm_head.in_features, len(alphabet.vocab))
    model._init_weights(model.lm_head)
    parts = ["lm_head."]
    if recipe.mode == "adapter":
        modes.renew_adapters(model)
        parts.append(".adapter_layer.")
    models.set_tokens(model.config, alphabet)
    return [name for name, _ in model.named_parameters() if any(part in name for part in parts)]


def _from_texts(recipe: Recipe, texts: Iterable[str] | None) -> Alphabet:
    if texts is None or recipe.vocabulary == "reuse":
        raise TrainingError(
            "The run needs a new vocabulary: give it training texts and leave `vocabulary` at auto or train."
        )
    return spelling.from_texts(texts, recipe.normalisation)


def _check_masks(start: Start) -> None:
    """transformers refuses to mask a batch that is shorter than one mask."""
    r, clips = start.recipe.regularisation, start.recipe.clips
    shortest = int(frames(int(clips.min_seconds * SAMPLE_RATE), start.model.config))
    if r.mask_time_prob and r.mask_time_length > shortest:
        raise TrainingError(
            f"regularisation.mask_time_length is {r.mask_time_length} frames, but a clip of clips.min_seconds "
            f"({clips.min_seconds:g} s) has {shortest}: shorten the mask or raise clips.min_seconds."
        )
