"""What the types of a recipe cannot say: the range of every number, and which keys go together."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from asrdemo.text import profile

if TYPE_CHECKING:
    from asrdemo.finetune.recipe import Optimiser, Recipe, Shape


class Range(NamedTuple):
    """Numbers from `low` to `high`. open: the ends that do not count themselves, `<` the lower, `>` the upper."""

    low: float = 0.0
    high: float = math.inf
    open: str = ""

    def has(self, value: float) -> bool:
        """Whether a number is in it; what is not finite never is."""
        above = value > self.low if "<" in self.open else value >= self.low
        below = value < self.high if ">" in self.open else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        left, right = "<" if "<" in self.open else "<=", "<" if ">" in self.open else "<="
        upper = f" {right} {self.high:g}" if self.high < math.inf else ", a finite number"
        return f"{self.low:g} {left} value{upper}"


SHARE, PART, POSITIVE, COUNT = Range(0, 1), Range(0, 1, ">"), Range(0, math.inf, "<"), Range(1)
RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "seed": Range(0, 2**32 - 1000),  # numpy's limit, and each process adds its number
        "train.weight": Range(0, 1000), "train.min_up_votes": Range(), "train.max_down_votes": Range(-1),
        "train.fraction": Range(0, 1, "<"),
        "train.hours": Range(), "dev.selection_weight": Range(0, 1000), "dev.hours": Range(),
        "clips.min_seconds": Range(0.3), "clips.max_seconds": Range(0.3, 3600),
        "scratch.hidden_size": COUNT, "scratch.layers": COUNT, "scratch.heads": COUNT, "scratch.feed_forward": COUNT,
        "scratch.conv_dim": COUNT, "scratch.conv_kernel": COUNT, "scratch.conv_stride": COUNT,
        "scratch.position_kernel": COUNT, "scratch.position_groups": COUNT,
        "lora.rank": COUNT, "lora.alpha": POSITIVE, "lora.dropout": PART,
        "optimiser.learning_rate": SHARE, "optimiser.warmup_steps": Range(), "optimiser.hold": PART,
        "optimiser.weight_decay": SHARE, "optimiser.beta2": PART, "optimiser.max_grad_norm": Range(),
        "optimiser.frozen_convolutions": Range(-1), "optimiser.head_steps": Range(),
        "regularisation.start": SHARE, "regularisation.dropout": PART, "regularisation.mask_time_prob": SHARE,
        "regularisation.mask_time_length": COUNT, "regularisation.mask_feature_prob": SHARE,
        "regularisation.mask_feature_length": COUNT, "regularisation.label_smoothing": PART,
        "batches.seconds": POSITIVE, "batches.micro_seconds": Range(), "batches.max_minutes": Range(),
        "batches.max_steps": Range(), "batches.threads": Range(0, 1024), "batches.workers": Range(0, 1024),
        "plateau.until_loss": Range(), "plateau.max_steps": Range(), "plateau.max_seconds": POSITIVE,
        "plateau.batch_seconds": POSITIVE,
        "augment.speed": Range(0.25, 4), "augment.gain_db": Range(-60, 60), "augment.noise_prob": SHARE,
        "augment.noise_snr_db": Range(-60, 120), "augment.filter_prob": SHARE, "augment.reverb_prob": SHARE,
        "augment.reverb_seconds": Range(0, 10, "<"), "augment.codec_prob": SHARE,
        "evaluation.log_steps": COUNT, "evaluation.every_minutes": Range(), "evaluation.every_steps": Range(),
        "evaluation.save_minutes": Range(), "evaluation.examples": Range(), "evaluation.average_decay": PART,
        "evaluation.blend": PART, "evaluation.patience": Range(),
    }
)  # fmt: skip
"""Of every number of a recipe, by its key; of each in a list. `test` has the ranges of `dev`."""


def faults(recipe: Recipe) -> list[str]:
    """What is wrong with a recipe, in words; [] for nothing. Raises ConfigError for an unknown normalisation."""
    found = [f"{key} is {value:g}; expected {RANGES[_kind(key)]}" for key, value in numbers(recipe) if _out(key, value)]
    if recipe.scratch is not None and not found:
        found += _of_shape(recipe.scratch, recipe.optimiser)
    found += [*_of_lengths(recipe), *_of_end(recipe), *_of_corpora(recipe)]
    for name, (low, high) in _pairs(recipe):
        if low > high:
            found.append(f"{name} is [{low:g}, {high:g}]; expected the lowest first")
    if not found:
        profile(recipe.normalisation)
    return found


def numbers(recipe: Recipe) -> Iterator[tuple[str, float]]:
    """(key, value) of every number of a recipe, such as `train[0].weight`; none of the keys left to the base."""
    yield from _numbers("", recipe)


def _numbers(where: str, value: Any) -> Iterator[tuple[str, float]]:
    if dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from _numbers(f"{where}.{f.name}" if where else f.name, getattr(value, f.name))
    elif isinstance(value, tuple):
        for i, one in enumerate(value):
            yield from _numbers(f"{where}[{i}]", one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where, value


def _kind(key: str) -> str:
    """The key as RANGES has it."""
    return re.sub(r"\[\d+\]", "", key).replace("test.", "dev.")


def _out(key: str, value: float) -> bool:
    return not RANGES[_kind(key)].has(value)


def _of_shape(m: Shape, o: Optimiser) -> Iterator[str]:
    if not (len(m.conv_dim) == len(m.conv_kernel) == len(m.conv_stride) > 0):
        yield "scratch.conv_dim, conv_kernel and conv_stride must have the same length"
    if m.hidden_size % m.heads or m.hidden_size % m.position_groups:
        yield "scratch.hidden_size must be a multiple of heads and of position_groups"
    if (o.frozen_convolutions or 0) > len(m.conv_dim):
        yield f"optimiser.frozen_convolutions is {o.frozen_convolutions}; there are {len(m.conv_dim)} convolutions"


def _of_lengths(recipe: Recipe) -> Iterator[str]:
    b, c, p = recipe.batches, recipe.clips, recipe.plateau
    if c.min_seconds > c.max_seconds:
        yield f"clips.min_seconds is {c.min_seconds:g}, more than clips.max_seconds"
    if b.seconds < c.max_seconds or p and p.batch_seconds < p.max_seconds:
        yield "a batch must hold the longest clip: raise batches.seconds (or plateau.batch_seconds)"
    if 0 < b.micro_seconds < c.max_seconds:
        yield "batches.micro_seconds must hold the longest clip (0: the whole batch at once)"


def _of_end(recipe: Recipe) -> Iterator[str]:
    b, e = recipe.batches, recipe.evaluation
    if b.max_minutes == 0 and b.max_steps == 0:
        yield "batches.max_minutes or batches.max_steps must say when the run ends"
    if e.every_minutes == 0 and e.every_steps == 0:
        yield "evaluation.every_minutes or evaluation.every_steps must say when to evaluate"


def _of_corpora(recipe: Recipe) -> Iterator[str]:
    if (recipe.base is None) == (recipe.scratch is None):
        yield "name either a base to start from, or a `scratch` shape to train from random weights"
    if not recipe.train or (not recipe.dev and recipe.mode != "pretrain"):
        yield "train and dev each need at least one corpus"
    for name, used in (("train", recipe.train), ("dev and test", (*recipe.dev, *recipe.test))):
        if len({c.id for c in used}) < len(used):
            yield f"corpus ids must differ within {name}"
    if recipe.train and not sum(c.weight for c in recipe.train) > 0:
        yield "one corpus of train at least needs a `weight` above 0"
    if recipe.dev and not sum(c.selection_weight for c in recipe.dev) > 0:
        yield "one corpus of dev at least needs a `selection_weight` above 0, to pick the best weights by"


def _pairs(recipe: Recipe) -> Iterator[tuple[str, tuple[float, float]]]:
    for f in dataclasses.fields(recipe.augment):
        if isinstance(value := getattr(recipe.augment, f.name), tuple):
            yield f"augment.{f.name}", value
