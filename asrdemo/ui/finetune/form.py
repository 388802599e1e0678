"""A recipe as the page edits it: YAML is the truth; a short form reads what it can of it and writes into it.

The form's shape of training data: clips of some accents, genders and ages to learn, and the others at a lower weight,
so that they are not forgotten. Other shapes stay as they are until somebody changes those fields.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from asrdemo.errors import ConfigError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import schema
from asrdemo.finetune.recipe import DevCorpus, Recipe, TrainCorpus

MOST_TEXT = 100_000  # characters of a recipe
MODES = ("full", "head", "adapter", "lora")
_FIRST = ("name", "base", "scratch", "mode", "language", "normalisation", "vocabulary", "seed", "train", "dev", "test")
COLUMNS = ("accents", "genders", "ages")
_SLICE = ("corpus", *COLUMNS, "keep")


@dataclass(frozen=True)
class Form:
    """What the short form says. keep: how often a clip of the others comes up, in percent of one to learn."""

    name: str = ""
    base: str = ""
    corpus: str = ""
    accents: tuple[str, ...] = ()
    genders: tuple[str, ...] = ()
    ages: tuple[str, ...] = ()
    keep: float = 150.0
    minutes: float = 5.0
    mode: str = "full"


@dataclass(frozen=True)
class Offer:
    """What a corpus has: for accents, genders and ages of its train split (value, clips), most clips first; accents of
    its dev split; its splits."""

    accents: tuple[tuple[str, int], ...] = ()
    genders: tuple[tuple[str, int], ...] = ()
    ages: tuple[tuple[str, int], ...] = ()
    dev_accents: tuple[str, ...] = ()
    splits: tuple[str, ...] = field(default=("train", "dev", "test"))

    def others(self, column: str, chosen: Sequence[str]) -> list[str]:
        """The values of a column that were not chosen."""
        return [value for value, _ in getattr(self, column) if value not in chosen]


def parse(text: str) -> tuple[dict[str, Any], Recipe]:
    """The keys of a recipe, its smoke section left out, and the recipe. Raises ConfigError with line and key."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"The recipe has {len(text):,} characters; expected {MOST_TEXT:,} at most.")
    try:
        data = schema.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(_where(error)) from error
    if not isinstance(data, dict):
        raise ConfigError("There is no recipe yet; expected keys such as name, base, train and dev.")
    data.pop("smoke", None)
    try:
        return data, recipes.from_dict(data)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("the recipe: ")) from error


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    return f"Line {mark.line + 1} is not valid YAML: {problem}." if mark else f"This is not valid YAML: {problem}."


class _Dumper(yaml.SafeDumper):
    """What comes twice is written twice, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(data: Mapping[str, Any]) -> str:
    """The keys as YAML, what the run is about first, short lists and tables on a line."""
    ordered = {name: data[name] for name in (*_FIRST, *data) if name in data}
    return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def read(recipe: Recipe) -> Form:
    """What the form can say of a recipe; see `plain` for whether that is all there is to its clips."""
    first = recipe.train[0]
    sliced = bool(first.accents or first.genders or first.ages)
    others = recipe.train[1].weight if len(recipe.train) > 1 else 0.0
    return Form(
        name=recipe.name,
        base=recipe.base.checkpoint if recipe.base else "",
        corpus=first.folder,
        accents=first.accents,
        genders=first.genders,
        ages=first.ages,
        keep=round(100 * others, 1) if sliced else Form.keep,
        minutes=recipe.batches.max_minutes,
        mode=recipe.mode,
    )


def plain(recipe: Recipe, offer: Offer) -> bool:
    """Whether the form's fields say everything about the clips that train."""
    made = schema.build(_Parts, corpora(read(recipe), offer), "the form")
    return _nameless(made.train) == _nameless(recipe.train) and _nameless(made.dev) == _nameless(recipe.dev)


def applied(data: Mapping[str, Any], before: Form, after: Form, offer: Offer) -> dict[str, Any]:
    """The recipe's keys with what changed between two states of the form; nothing else moves."""
    out = dict(data)
    if after.name != before.name:
        out["name"] = after.name
    if after.base != before.base:
        out.pop("scratch", None)
        out.pop("plateau", None)
        out["base"] = {"checkpoint": after.base}
    if after.mode != before.mode:
        out["mode"] = after.mode
    if after.minutes != before.minutes:
        out["batches"] = {**(out.get("batches") or {}), "max_minutes": after.minutes}
    if any(getattr(after, name) != getattr(before, name) for name in _SLICE):
        out |= corpora(after, offer)
        if "test" in offer.splits:
            out["test"] = [{"id": "test", "folder": after.corpus, "split": "test"}]
        else:
            out.pop("test", None)
    return out


def corpora(form: Form, offer: Offer) -> dict[str, list[dict[str, Any]]]:
    """`train` and `dev` of the recipe: the clips to learn, then all others, part by part so that none comes twice."""
    chosen = {name: list(getattr(form, name)) for name in COLUMNS if getattr(form, name)}
    name = slug(" ".join(value for values in chosen.values() for value in values)) or "all"
    train: list[dict[str, Any]] = [{"id": name, "folder": form.corpus, **chosen}]
    narrowed: dict[str, Any] = {}
    for column, values in chosen.items():
        rest = offer.others(column, values)
        if form.keep > 0 and rest:
            other = {"exclude_accents": values} if column == "accents" else {column: rest}
            of = "others" if len(train) == 1 else f"others-{column}"
            train.append({"id": of, "folder": form.corpus, **narrowed, **other, "weight": round(form.keep / 100, 3)})
        narrowed[column] = values
    return {"train": train, "dev": _dev(form, offer)}


def _dev(form: Form, offer: Offer) -> list[dict[str, Any]]:
    """By the same accents where dev has them (and others): dev sets know no other filter."""
    here = [value for value in form.accents if value in offer.dev_accents]
    if not here or not set(offer.dev_accents) - set(here):
        return [{"id": "dev", "folder": form.corpus}]
    return [
        {"id": slug(" ".join(here)), "folder": form.corpus, "accents": here},
        {"id": "others", "folder": form.corpus, "exclude_accents": here},
    ]


def slug(text: str) -> str:
    """A name as files and ids have it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")


@dataclass(frozen=True)
class _Parts:
    train: tuple[TrainCorpus, ...]
    dev: tuple[DevCorpus, ...]


def _nameless(parts: Sequence[TrainCorpus] | Sequence[DevCorpus]) -> list[Any]:
    return [dataclasses.replace(part, id="") for part in parts]
