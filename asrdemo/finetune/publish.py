"""A finished run -> a model repository on the Hugging Face Hub: weights, processor files and model card in one commit.

Tested against a server on loopback that speaks the Hub's API; not against the Hub itself, which checks the card's front
matter once more. Large files go there by LFS or Xet, as huggingface_hub and the Hub agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asrdemo import registry
from asrdemo.errors import TrainingError
from asrdemo.finetune import card, hub, runs

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from asrdemo.registry import Registry

_SUFFIXES = {".safetensors", ".json", ".txt"}  # no pickles, no code


def publish(
    home: Path,
    run: str,
    repository: str = "",
    *,
    private: bool | None = None,
    replace: bool = False,
    known: Registry | None = None,
    api: HfApi | None = None,
) -> str:
    """Push the run's best weights and return the repository's address.

    repository: owner/name, the recipe's publish.hub if left out. private: the recipe's if None. replace: a commit on
    top of a repository that is there; without, it must be new. Raises TrainingError for anything the Hub refuses, and
    where there is nothing to publish; NotFoundError.
    """
    from huggingface_hub import CommitOperationAdd

    found = runs.read(home, run)
    recipe = runs.recipe_of(found.folder)
    target = repository or recipe.publish.hub
    if target.count("/") != 1:
        raise TrainingError(
            f"Where to push to is {target!r}; expected owner/name, here or as publish.hub in the recipe."
        )
    if found.active or not (found.folder / "best.json").is_file():
        raise TrainingError(f"The run {run!r} is {found.state} and has no finished weights to publish.")
    files = [path for path in sorted((found.folder / "best").iterdir()) if path.suffix in _SUFFIXES]
    if not any(path.suffix == ".safetensors" for path in files):
        raise TrainingError(f"The run {run!r} has no weights as safetensors in best/, and others are not published.")
    text = card.write(found.folder, known or registry.read(home=home))
    api = api or hub.client()
    _create(api, target, recipe.publish.private if private is None else private, replace)
    operations = [CommitOperationAdd(card.FILE, text.encode()), *(CommitOperationAdd(p.name, p) for p in files)]
    try:
        with hub.talking(f"pushing to {target}"):
            api.create_commit(target, operations, commit_message=f"Weights and model card of the run {run}")
    except ValueError as error:  # how huggingface_hub says that the Hub does not like the front matter
        raise TrainingError(f"{card.FILE} of the run {run!r}: {error}") from error
    return f"{api.endpoint}/{target}"


def _create(api: HfApi, target: str, private: bool, replace: bool) -> None:
    """The repository, empty; one that exists is an error unless it is to get a commit on top."""
    with hub.talking(f"creating the repository {target}"):
        if not replace and api.repo_exists(target):
            raise TrainingError(
                f"There already is a repository {target}. Choose another name, or replace what is in it (nothing is "
                "lost: it stays in the history)."
            )
        api.create_repo(target, private=private, exist_ok=replace)
        if replace and private and not api.model_info(target).private:
            raise TrainingError(
                f"The repository {target} is public, and this run is to be private. Choose another name."
            )
