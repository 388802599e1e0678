"""A finished run -> a checkpoint of the app: `<home>/checkpoints/<id>/`, offered in every list from then on.

The folder holds the best weights in half precision, the processor files, the model card and ENTRY, from which the
registry takes it. It appears by one rename, so it is there whole or not at all, and of two that want an id one gets it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
import shutil
from pathlib import Path

import yaml

from asrdemo import registry
from asrdemo.errors import ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import card, runs
from asrdemo.finetune.recipe import Recipe
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.types import DecoderOptions

_HEAD = "# Written by `python -m asrdemo finetune register`; keys as in models.yaml. The folder's name is the id.\n"


def register(home: Path, run: str, id: str = "", *, known: Registry | None = None) -> str:
    """Make the run's best weights a checkpoint, and return its id: `id`, else publish.id of the recipe or the run's
    name, numbered where that is taken.

    known: what there is; read anew if not given. Raises ConfigError for an id that is taken or is none, TrainingError
    for a run without weights to offer, NotFoundError.
    """
    found = runs.read(home, run)
    if found.active:
        raise TrainingError(f"The run {run!r} is {found.state}; it can be registered when it is over.")
    recipe = runs.recipe_of(found.folder)
    if recipe.mode == "pretrain":
        raise TrainingError(f"The run {run!r} is pre-training: it writes nothing yet. Fine-tune from its best/ folder.")
    if not (found.folder / "best.json").is_file() or not (found.folder / "best" / "config.json").is_file():
        raise TrainingError(f"The run {run!r} has no best weights yet; they come with its first evaluation.")
    known = known or registry.read(home=home)
    chosen = id or free_id(home, recipe.publish.id or slug(run), known)
    _check(chosen, known, home)
    made = _folder(home) / f".new-{secrets.token_hex(8)}"
    try:
        _write(found, recipe, known, made, chosen)
        _claim(made, _folder(home) / chosen, known)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return chosen


def unregister(home: Path, id: str) -> None:
    """Take a checkpoint that was registered from all lists, and its files away; the run stays. Raises NotFoundError."""
    folder = _folder(home) / id
    if not registry.is_id(id) or not (folder / registry.ENTRY).is_file():
        own = [path.parent.name for path in sorted(_folder(home).glob(f"[!.]*/{registry.ENTRY}"))]
        raise NotFoundError(f"There is no registered checkpoint {id[:100]!r}; there are: {', '.join(own) or 'none'}.")
    gone = folder.with_name(f".gone-{secrets.token_hex(8)}")
    folder.rename(gone)  # at once, and not file by file
    shutil.rmtree(gone, ignore_errors=True)


def free_id(home: Path, wanted: str, known: Registry) -> str:
    """An id that nobody has: the one wanted, numbered where it is taken."""
    numbered = (f"{wanted[:60]}-{n}" if n > 1 else wanted for n in range(1, 10_000))
    return next(id for id in numbered if id not in known.checkpoints and not (_folder(home) / id).exists())


def slug(name: str) -> str:
    """An id out of a name: `A small run` -> `a-small-run`."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:60] or "checkpoint"


def _folder(home: Path) -> Path:
    return home / registry.REGISTERED


def _check(id: str, known: Registry, home: Path) -> None:
    if not registry.is_id(id):
        raise ConfigError(
            f"{id[:100]!r} cannot be the id of a checkpoint: expected 64 small letters, digits, '.', '_' and '-' at "
            f"most. {slug(id)!r} would do."
        )
    free = free_id(home, id, known)
    if free != id:
        raise ConfigError(f"There already is a checkpoint {id!r}. Give another id, for instance {free!r}.")


def _write(run: runs.Run, recipe: Recipe, known: Registry, made: Path, id: str) -> None:
    """Everything of the checkpoint, into a folder that nobody sees yet."""
    import torch

    from asrdemo.finetune import export

    made.parent.mkdir(parents=True, exist_ok=True)
    export.convert(run.folder / "best", made, torch.float16)
    text = card.write(run.folder, known)
    (made / card.FILE).write_text(text, encoding="utf-8")
    spec = spec_of(recipe, run, known, _hash(made / "model.safetensors"))
    if spec.title in [other.title for other in known.checkpoints.values()]:  # lists show titles
        spec = dataclasses.replace(spec, title=f"{spec.title} ({id})")
    entry = registry.as_entry(spec)
    data = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=110)
    (made / registry.ENTRY).write_text(_HEAD + data, encoding="utf-8")


def _claim(made: Path, folder: Path, known: Registry) -> None:
    try:
        made.rename(folder)
    except OSError as error:  # somebody else was quicker
        if not folder.exists():
            raise TrainingError(f"The checkpoint cannot be put in place: {error.strerror}.") from error
        _check(folder.name, known, folder.parents[1])
        raise


def spec_of(recipe: Recipe, run: runs.Run, known: Registry, revision: str) -> CheckpointSpec:
    """The entry. Language, profile and decoder are the base's where it is listed, so that the two can be compared."""
    base = known.checkpoints.get(recipe.base.checkpoint) if recipe.base else None
    plain = CheckpointSpec("", "", recipe.language, recipe.normalisation, decoder=DecoderOptions())
    start = base.title if base else recipe.base.checkpoint if recipe.base else "random weights"
    return dataclasses.replace(
        plain if base is None else base,
        id="",
        title=recipe.publish.title or f"{run.name} ({start}, fine-tuned)",
        hub=None,
        path=None,
        adapter=None,  # of an MMS base: it is part of the weights by now
        revision=revision,
        note=f"{start}, fine-tuned on {card.data_line(run.folder, recipe, known)}. From the run {run.name}.",
    )


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
