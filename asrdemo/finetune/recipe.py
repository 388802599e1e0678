"""A fine-tuning recipe: YAML in, frozen dataclasses out; an unknown key is an error that names what is allowed."""

from __future__ import annotations

import dataclasses
import os
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from asrdemo.errors import ConfigError
from asrdemo.text import profile


@dataclass(frozen=True)
class TrainCorpus:
    """A Common Voice folder to train on. weight: how often each of its clips comes up in one round."""

    id: str
    folder: str
    split: str = "train"
    weight: float = 1.0
    exclude_accents: tuple[str, ...] = ()


@dataclass(frozen=True)
class DevCorpus:
    """A Common Voice folder to evaluate on. selection_weight: its share in the WER that picks the best weights."""

    id: str
    folder: str
    split: str = "dev"
    selection_weight: float = 1.0


@dataclass(frozen=True)
class Clips:
    """Which clips take part, in seconds."""

    min_seconds: float = 0.3
    max_seconds: float = 15.0


@dataclass(frozen=True)
class Model:
    """Shape of a wav2vec2 with layer-norm front end, trained from random weights.

    The product of conv_stride is the samples one frame covers. filterbank_init starts the first convolution from
    gammatone filters in place of noise. The mask_* keys are SpecAugment's (Park et al. 2019); it and dropout come on
    after the plateau, once `regularise_from` of the budget (0 to 1) is used up; 1 leaves them off.
    frozen_convolutions: so many of the first convolutions keep the weights they start with; they run at the highest
    rate, so a step costs a quarter less without their gradients.
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
    dropout: float = 0.1
    regularise_from: float = 0.0
    mask_time_prob: float = 0.04
    mask_time_length: int = 6
    mask_feature_prob: float = 0.02
    mask_feature_length: int = 24
    frozen_convolutions: int = 0


@dataclass(frozen=True)
class Optimiser:
    """AdamW; after warm-up the rate is held for `hold` (0 to 1) of the budget, then follows a cosine to zero."""

    learning_rate: float = 1e-3
    warmup_steps: int = 300
    hold: float = 0.0
    weight_decay: float = 0.02
    beta2: float = 0.98
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Batches:
    """seconds: audio in a batch of one process, padding included. max_minutes: wall-clock budget, evaluation included.

    max_steps ends the run sooner where it is not 0. threads: of torch in each process.
    """

    seconds: float = 24.0
    max_minutes: float = 60.0
    max_steps: int = 0
    precision: str = "bf16"
    threads: int = 2


@dataclass(frozen=True)
class Plateau:
    """The first phase, until the loss has left the plateau: short clips, small batches, no noise, room or dropout."""

    until_loss: float = 1.8
    max_steps: int = 2000
    max_seconds: float = 5.0
    batch_seconds: float = 14.0


@dataclass(frozen=True)
class Augment:
    """Changes to the audio, drawn anew for each clip; pairs are [lowest, highest]. See asrdemo.finetune.augment."""

    speed: tuple[float, float] = (0.9, 1.1)
    gain_db: tuple[float, float] = (-12.0, 6.0)
    noise_prob: float = 0.5
    noise_snr_db: tuple[float, float] = (5.0, 35.0)
    filter_prob: float = 0.3
    reverb_prob: float = 0.2
    reverb_seconds: tuple[float, float] = (0.05, 0.4)


@dataclass(frozen=True)
class Evaluation:
    """When to look at a run, and what is kept.

    log_steps: between lines of the metrics file; every_minutes: dev scoring; save_minutes: checkpoints to resume from;
    examples: decoded clips of each dev set kept; average_decay: of the moving average of the weights, each step.
    """

    log_steps: int = 25
    every_minutes: float = 5.0
    save_minutes: float = 5.0
    examples: int = 6
    average_decay: float = 0.999


@dataclass(frozen=True)
class Recipe:
    """Everything a run depends on, but for the audio itself."""

    name: str
    train: tuple[TrainCorpus, ...]
    dev: tuple[DevCorpus, ...]
    language: str = "en"
    normalisation: str = "en"
    seed: int = 1
    clips: Clips = field(default_factory=Clips)
    model: Model = field(default_factory=Model)
    optimiser: Optimiser = field(default_factory=Optimiser)
    batches: Batches = field(default_factory=Batches)
    plateau: Plateau = field(default_factory=Plateau)
    augment: Augment = field(default_factory=Augment)
    evaluation: Evaluation = field(default_factory=Evaluation)


def load(path: Path, smoke: bool = False, overrides: dict | None = None) -> Recipe:
    """Read a recipe; its `smoke` section, then `overrides`, replace keys one by one. Raises ConfigError."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no recipe {path.name!r}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds {type(data).__name__}; expected a table of keys.")
    smoke_section = data.pop("smoke", None) or {}
    for layer in ([smoke_section] if smoke else []) + [overrides or {}]:
        data = _merged(data, layer)
    recipe = _build(Recipe, data, path.name, "")
    _check(recipe, path.name)
    return recipe


def resolve_folder(text: str) -> Path:
    """A corpus folder with $NAME taken from the environment. Raises ConfigError when a variable is not set."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise ConfigError(f"The corpus folder {text!r} needs a variable that is not set (see --corpus-root).")
    return Path(expanded)


def as_dict(recipe: Recipe) -> dict:
    """The recipe as plain data, for the run directory."""
    return dataclasses.asdict(recipe)


def _merged(base: dict, layer: dict) -> dict:
    out = dict(base)
    for key, value in layer.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def _build(kind, data, file: str, where: str):
    """A dataclass from a mapping, every key and type checked."""
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: {where or 'the file'} is {data!r}; expected keys {_names(kind)}.")
    unknown = sorted(set(data) - set(_names(kind)))
    if unknown:
        raise ConfigError(f"{file}: unknown key {_join(where, unknown[0])!r}; allowed: {', '.join(_names(kind))}.")
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in data:
            raise ConfigError(f"{file}: the key {_join(where, f.name)!r} is missing.")
    return kind(**{key: _value(hints[key], value, file, _join(where, key)) for key, value in data.items()})


def _value(hint, value, file: str, where: str):
    """One value as its type hint wants it."""
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, file, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            size = "a list" if args[-1] is Ellipsis else f"a list of {len(args)}"
            raise ConfigError(f"{file}: {where} is {value!r}; expected {size}.")
        return tuple(_value(args[0], v, file, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{file}: {where} is {value!r}; expected {getattr(hint, '__name__', hint)}.")
    return value


def _check(recipe: Recipe, file: str) -> None:
    """What types alone cannot say."""
    m, fail = recipe.model, []
    if not (len(m.conv_dim) == len(m.conv_kernel) == len(m.conv_stride) > 0):
        fail.append("model.conv_dim, conv_kernel and conv_stride must have the same length")
    if m.hidden_size % m.heads or m.hidden_size % m.position_groups:
        fail.append("model.hidden_size must be a multiple of heads and of position_groups")
    if not 0 <= m.frozen_convolutions <= len(m.conv_dim):
        fail.append(f"model.frozen_convolutions is {m.frozen_convolutions}; there are {len(m.conv_dim)} convolutions")
    if not 0 <= recipe.optimiser.hold < 1:
        fail.append(f"optimiser.hold is {recipe.optimiser.hold}; expected a share of the budget, 0 <= hold < 1")
    if recipe.batches.precision not in ("bf16", "fp32"):
        fail.append(f"batches.precision is {recipe.batches.precision!r}; allowed: bf16, fp32")
    if recipe.clips.min_seconds < 0.3:
        fail.append("clips.min_seconds must be at least 0.3 (shorter clips give too few frames to mask)")
    if recipe.batches.seconds < recipe.clips.max_seconds or recipe.plateau.batch_seconds < recipe.plateau.max_seconds:
        fail.append("a batch must hold the longest clip: raise batches.seconds (or plateau.batch_seconds)")
    if not recipe.train or not recipe.dev:
        fail.append("train and dev each need at least one corpus")
    ids = [c.id for c in recipe.train], [c.id for c in recipe.dev]
    if any(len(set(i)) < len(i) for i in ids):
        fail.append("corpus ids must differ within train and within dev")
    if fail:
        raise ConfigError(f"{file}: {'; '.join(fail)}.")
    profile(recipe.normalisation)


def _names(kind) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
