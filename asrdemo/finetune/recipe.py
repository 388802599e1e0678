"""What a run is made of: a YAML file in, one frozen `Recipe` out. See recipes/ for examples, schema.py and limits.py
for strictness.

What depends on the kind of the base - rate, warm-up, masking, whether the front end moves - may be left out of the file
(None here); `settled` fills it in from DEFAULTS once the base is known.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from asrdemo.errors import ConfigError
from asrdemo.finetune import limits, schema

Kind = Literal["scratch", "tiny", "pretrained", "finetuned"]
Mode = Literal["full", "head", "adapter", "lora", "pretrain"]
Slice = Literal["accents", "gender", "age", "locale"]
"""Columns of a corpus whose values are told apart: those of scores.SLICES."""


@dataclass(frozen=True)
class TrainCorpus:
    """Clips to train on. folder: a corpus in Common Voice layout, or the id of one in models.yaml.

    Kept are clips of the named accents, genders, ages (empty: all) but for exclude_accents, with at least min_up_votes
    and at most max_down_votes (-1: any); of these a `fraction`, and of that `hours` (0: all), drawn with the recipe's
    seed by whole speakers as far as they go. weight: how often each clip comes up in one pass. balance_by: a column of
    the corpus whose values come up equally often, as far as ten repeats of a clip do it; unknown ones keep theirs.
    """

    id: str
    folder: str
    split: str = "train"
    weight: float = 1.0
    accents: tuple[str, ...] = ()
    exclude_accents: tuple[str, ...] = ()
    genders: tuple[str, ...] = ()
    ages: tuple[str, ...] = ()
    min_up_votes: int = 0
    max_down_votes: int = -1
    fraction: float = 1.0
    hours: float = 0.0
    balance_by: Literal["", "client_id", Slice] = ""


@dataclass(frozen=True)
class DevCorpus:
    """Clips to evaluate on, never trained on; `hours` of them, as of a TrainCorpus. selection_weight: its share in the
    WER that picks the best weights."""

    id: str
    folder: str
    split: str = "dev"
    selection_weight: float = 1.0
    accents: tuple[str, ...] = ()
    exclude_accents: tuple[str, ...] = ()
    hours: float = 0.0


@dataclass(frozen=True)
class Base:
    """Weights to start from: the id of a checkpoint in models.yaml, a folder, or `hub:owner/name` (with `revision`)."""

    checkpoint: str
    revision: str = "main"


@dataclass(frozen=True)
class Clips:
    """Which clips take part, in seconds; the limit above is for training only."""

    min_seconds: float = 0.3
    max_seconds: float = 15.0


@dataclass(frozen=True)
class Shape:
    """A wav2vec2 with layer-norm front end, trained from random weights: asked for by the key `scratch`.

    The product of conv_stride is the samples one frame covers. filterbank_init starts the first convolution from
    gammatone filters in place of noise.
    """

    hidden_size: int = 256
    layers: int = 6
    heads: int = 4
    feed_forward: int = 1024
    conv_dim: tuple[int, ...] = (64, 160, 256, 256)
    conv_kernel: tuple[int, ...] = (128, 8, 8, 6)
    conv_stride: tuple[int, ...] = (16, 5, 3, 2)
    position_kernel: int = 32
    position_groups: int = 16
    filterbank_init: bool = True


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021) on the attention projections; merged into the weights at the end."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05


@dataclass(frozen=True)
class Regularisation:
    """Dropout and SpecAugment's masks (Park et al. 2019), on once `start` (0 to 1) of the budget is used up.

    mask_*_prob: share of frames or features masked; *_length: of one mask. layerdrop stays 0: it breaks data parallel
    training. label_smoothing: share of the loss that pulls towards the uniform distribution (Kim et al. 2018, CTC).
    """

    start: float = 0.0
    dropout: float | None = None
    mask_time_prob: float | None = None
    mask_time_length: int = 6
    mask_feature_prob: float | None = None
    mask_feature_length: int = 24
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Optimiser:
    """AdamW. warmup_steps, then the rate is held for `hold` (0 to 1) of the budget, then falls to zero by `schedule`.

    frozen_convolutions: so many of the first convolutions keep their weights (-1: the whole front end, as is usual);
    they run at the highest rate, so a step costs a quarter less. head_steps: train the head alone for so long first.
    """

    learning_rate: float | None = None
    warmup_steps: int | None = None
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    hold: float = 0.0
    weight_decay: float = 0.02
    beta2: float = 0.98
    max_grad_norm: float = 1.0
    frozen_convolutions: int | None = None
    head_steps: int = 0


@dataclass(frozen=True)
class Batches:
    """seconds: audio in one step, padding included, over all processes: the effective batch. micro_seconds: what goes
    through the model at once (0: all of a process's share); memory depends on it, the result does not.

    Training ends with max_minutes of wall clock, evaluation included, or max_steps, whichever is first (0: no limit).
    threads: of torch in each process (0: what there is). workers: processes that load and augment.
    """

    seconds: float = 24.0
    micro_seconds: float = 0.0
    max_minutes: float = 60.0
    max_steps: int = 0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    threads: int = 0
    workers: int = 0
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class Plateau:
    """A first phase for random weights, until the loss leaves the plateau: short clips, small batches, clean audio."""

    until_loss: float = 1.8
    max_steps: int = 2000
    max_seconds: float = 5.0
    batch_seconds: float = 14.0


@dataclass(frozen=True)
class Augment:
    """Changes to the audio, drawn anew for each clip; pairs are [lowest, highest]. See asrdemo.finetune.augment.

    codec_prob: heard as over a telephone (8 kHz, mu-law).
    """

    speed: tuple[float, float] = (0.9, 1.1)
    gain_db: tuple[float, float] = (-12.0, 6.0)
    noise_prob: float = 0.5
    noise_snr_db: tuple[float, float] = (5.0, 35.0)
    filter_prob: float = 0.3
    reverb_prob: float = 0.2
    reverb_seconds: tuple[float, float] = (0.05, 0.4)
    codec_prob: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """When to look at a run, and what is kept.

    log_steps: between lines of the metrics file; every_minutes of work since the last one, every_steps (0: by minutes):
    dev scoring;
    save_minutes: checkpoints to resume from; examples: decoded clips of each dev set kept; average_decay: of the moving
    average of the weights, each step (0: none is kept); blend: share of the base's own weights in a third candidate for
    the best ones, which forgets less (0: none; WiSE-FT, Wortsman et al. 2022); slices: columns WER is told by;
    language_model: id of one to score with too; patience: evaluations without a better WER before the run ends early
    (0: never).
    """

    log_steps: int = 25
    every_minutes: float = 5.0
    every_steps: int = 0
    save_minutes: float = 5.0
    examples: int = 6
    average_decay: float = 0.999
    blend: float = 0.0
    slices: tuple[Slice, ...] = ("accents", "gender")
    language_model: str = ""
    patience: int = 0


@dataclass(frozen=True)
class Watchdog:
    """What to do when the loss is not a number, the output is all blanks, gradients explode, nothing gets better or
    only the training loss does: stop, or say so and go on. See asrdemo.finetune.watchdog."""

    not_finite: Literal["stop", "warn"] = "stop"
    collapse: Literal["stop", "warn"] = "stop"
    spikes: Literal["stop", "warn"] = "warn"
    plateau: Literal["stop", "warn"] = "warn"
    overfit: Literal["stop", "warn"] = "warn"


@dataclass(frozen=True)
class Publish:
    """What becomes of the finished run. id: the checkpoint's in the app (empty: the recipe's name); hub: owner/name to
    push to (empty: nowhere)."""

    id: str = ""
    title: str = ""
    hub: str = ""
    private: bool = True


@dataclass(frozen=True)
class Recipe:
    """Everything a run depends on, but for the audio itself.

    base or scratch: what to start from. vocabulary: `reuse` the base's, take it from the `train` texts, or `auto`:
    reuse it where the base has one. test: scored once, before and after.
    """

    name: str
    train: tuple[TrainCorpus, ...]
    dev: tuple[DevCorpus, ...]
    test: tuple[DevCorpus, ...] = ()
    base: Base | None = None
    scratch: Shape | None = None
    mode: Mode = "full"
    vocabulary: Literal["auto", "reuse", "train"] = "auto"
    language: str = "en"
    normalisation: str = "en"
    seed: int = 1
    clips: Clips = field(default_factory=Clips)
    lora: Lora = field(default_factory=Lora)
    optimiser: Optimiser = field(default_factory=Optimiser)
    regularisation: Regularisation = field(default_factory=Regularisation)
    batches: Batches = field(default_factory=Batches)
    plateau: Plateau | None = None
    augment: Augment = field(default_factory=Augment)
    evaluation: Evaluation = field(default_factory=Evaluation)
    watchdog: Watchdog = field(default_factory=Watchdog)
    publish: Publish = field(default_factory=Publish)


DEFAULTS: Mapping[Kind, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "scratch": {
            "optimiser": {"learning_rate": 1e-3, "warmup_steps": 300, "frozen_convolutions": 0},
            "regularisation": {"dropout": 0.1, "mask_time_prob": 0.04, "mask_feature_prob": 0.02},
        },
        "tiny": {
            "optimiser": {"learning_rate": 4e-4, "warmup_steps": 30, "frozen_convolutions": -1},
            "regularisation": {"dropout": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0},
        },
        "pretrained": {
            "optimiser": {"learning_rate": 1e-4, "warmup_steps": 500, "frozen_convolutions": -1},
            "regularisation": {"dropout": 0.05, "mask_time_prob": 0.05, "mask_feature_prob": 0.0},
        },
        "finetuned": {
            "optimiser": {"learning_rate": 2e-5, "warmup_steps": 200, "frozen_convolutions": -1},
            "regularisation": {"dropout": 0.05, "mask_time_prob": 0.05, "mask_feature_prob": 0.0},
        },
    }
)
"""By kind of base. tiny: already fine-tuned, below TINY parameters. finetuned: with a trained head; a rate meant for a
new head would undo it (speechbrain #1410)."""
TINY = 20_000_000  # parameters
MOST_FAULTS = 10  # that one message names
RATES: Mapping[Mode, float] = MappingProxyType({"head": 1e-3, "adapter": 1e-3, "lora": 3e-4})
"""Where little is trained, the rate is higher, whatever the base."""


def load(path: Path, smoke: bool = False, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe; its `smoke` section, then `overrides`, replace keys one by one. Raises ConfigError."""
    path = Path(path)
    data = schema.read_yaml(path)
    small = data.pop("smoke", None) or {}
    if not isinstance(small, dict):
        raise ConfigError(f"{path.name}: smoke is a {type(small).__name__}; expected a table of keys.")
    return from_dict(schema.merged(schema.merged(data, small if smoke else {}), overrides or {}), path.name)


def from_dict(data: dict[str, Any], name: str = "the recipe") -> Recipe:
    """A recipe from plain data, as `as_dict` gives it. name: of the file, for messages. Raises ConfigError."""
    recipe = schema.build(Recipe, data, name)
    _check(recipe, name)
    return recipe


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, for the run directory."""
    return dataclasses.asdict(recipe)


def settled(recipe: Recipe, kind: Kind) -> Recipe:
    """The recipe with every key filled in that it left to the kind of its base."""
    for section, values in DEFAULTS[kind].items():
        given = getattr(recipe, section)
        if section == "optimiser" and recipe.mode in RATES:
            values = {**values, "learning_rate": RATES[recipe.mode]}
        missing = {key: value for key, value in values.items() if getattr(given, key) is None}
        recipe = dataclasses.replace(recipe, **{section: dataclasses.replace(given, **missing)})
    return recipe


def resolve_folder(text: str) -> Path:
    """A corpus folder with $NAME taken from the environment. Raises ConfigError when a variable is not set."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise ConfigError(f"The corpus folder {text!r} needs a variable that is not set (see --corpus-root).")
    return Path(expanded)


def _check(recipe: Recipe, file: str) -> None:
    """What types alone cannot say."""
    if fail := limits.faults(recipe):
        raise ConfigError(f"{file}: {'; '.join(fail[:MOST_FAULTS])}.")
