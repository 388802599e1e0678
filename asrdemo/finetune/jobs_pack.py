"""What travels to a machine elsewhere: this project's code, what the recipe names, and a models.yaml of just that.

The recipe itself goes as it is. So whatever it names must be found there under the same name: ids of models.yaml,
folders relative to where it is started, `hub:owner/name`, or `$CORPUS_ROOT/...` in a volume that is mounted there.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from asrdemo import registry
from asrdemo.errors import ConfigError
from asrdemo.finetune.recipe import Recipe
from asrdemo.registry import CheckpointSpec, CorpusSpec, LanguageModelSpec, Registry
from asrdemo.settings import ROOT

MOST_BYTES = 4 << 30  # of corpora and checkpoints; more belongs into a volume
VARIABLE = "CORPUS_ROOT"
INPUTS = "inputs"
RECIPE, REGISTRY = "recipe.yaml", "models.yaml"


@dataclasses.dataclass(frozen=True)
class Luggage:
    """files: (where it is, where it goes) of files and folders. listed: the content of the models.yaml there."""

    files: tuple[tuple[Path, str], ...]
    listed: dict[str, list[dict[str, Any]]]

    @property
    def bytes(self) -> int:
        """Of everything but the code."""
        return sum(file.stat().st_size for place, _ in self.files for file in _within(place))


def luggage(recipe: Recipe, known: Registry, volume: bool) -> Luggage:
    """What the recipe needs. volume: whether $CORPUS_ROOT will be there. Raises ConfigError for what cannot travel."""
    files: dict[str, Path] = {}
    listed: dict[str, list[dict[str, Any]]] = {"checkpoints": [], "language_models": [], "corpora": []}
    folders = [s.folder for s in recipe.train] + [s.folder for s in (*recipe.dev, *recipe.test)]
    for folder in dict.fromkeys(folders):
        if folder in known.corpora:
            listed["corpora"].append(_corpus(known.corpora[folder], files))
        elif "$" not in folder:
            files[folder] = _relative(folder)
        elif not volume or not folder.startswith(f"${VARIABLE}"):
            raise ConfigError(
                f"The corpus folder {folder!r} is not there on Hugging Face Jobs: use ${VARIABLE}/... and say what to "
                "mount there, hf://buckets/owner/name or hf://datasets/owner/name."
            )
    base = recipe.base.checkpoint if recipe.base else ""
    if base in known.checkpoints:
        listed["checkpoints"].append(_checkpoint(known.checkpoints[base], files))
    elif base and not base.startswith("hub:"):
        files[base] = _relative(base)
    if recipe.evaluation.language_model:
        listed["language_models"].append(_language_model(known.language_model(recipe.evaluation.language_model), files))
    if not listed["checkpoints"]:  # a registry has one at least
        first = next((spec for spec in known.checkpoints.values() if spec.hub), next(iter(known.checkpoints.values())))
        listed["checkpoints"].append(_checkpoint(first, files))
    found = Luggage(tuple((place, name) for name, place in files.items()), listed)
    if found.bytes > MOST_BYTES:
        raise ConfigError(
            f"The recipe's corpora and checkpoints have {found.bytes / 2**30:.1f} GiB; {MOST_BYTES / 2**30:.0f} travel "
            f"with a run. Put the corpora into a private bucket, mount it and write ${VARIABLE}/... in the recipe."
        )
    return found


def pack(found: Luggage, recipe: str, target: Path) -> None:
    """Write it all as a tar.gz; the same content gives the same bytes. recipe: its text."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", dereference=True) as tar,
    ):
        for path in _code():
            tar.add(path, str(path.relative_to(ROOT)), filter=_plain)
        for place, name in found.files:
            for path in _within(place):
                tar.add(path, name if path == place else f"{name}/{path.relative_to(place)}", filter=_plain)
        for name, text in ((REGISTRY, yaml.safe_dump(found.listed, allow_unicode=True)), (RECIPE, recipe)):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def _code() -> Iterator[Path]:
    """All but the pages."""
    ui = ROOT / "asrdemo" / "ui"
    kept = (path for path in _within(ROOT / "asrdemo") if "__pycache__" not in path.parts and ui not in path.parents)
    yield from (*kept, ROOT / "requirements.txt")


def _within(place: Path) -> Iterator[Path]:
    """The files of a folder, sorted; a file itself."""
    yield from [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of this machine and its user."""
    info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
    return info


def _relative(folder: str) -> Path:
    """A folder that is found there by the same name."""
    path = Path(folder)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(
            f"{folder!r} is not there on Hugging Face Jobs. Name it by its id in models.yaml, or by a path below the "
            "folder where the run is started."
        )
    if not path.exists():
        raise ConfigError(f"There is no folder {folder!r} here.")
    return path


def _taken(place: Path, name: str, files: dict[str, Path]) -> str:
    """Where a file or folder goes."""
    name = f"{name}/{place.name}" if place.is_file() else name
    files[name] = place
    return name


def _checkpoint(spec: CheckpointSpec, files: dict[str, Path]) -> dict[str, Any]:
    entry = {key: value for key, value in registry.as_entry(spec).items() if key != "decoder"}
    if spec.path:
        entry.pop("revision", None)
        entry["path"] = _taken(spec.path, f"{INPUTS}/checkpoints/{spec.id}", files)
    return entry


def _corpus(spec: CorpusSpec, files: dict[str, Path]) -> dict[str, Any]:
    path = _taken(spec.path, f"{INPUTS}/corpora/{spec.id}", files)
    return {"id": spec.id, "title": spec.title, "language": spec.language, "profile": spec.profile, "path": path}


def _language_model(spec: LanguageModelSpec, files: dict[str, Path]) -> dict[str, Any]:
    entry = {key: value for key, value in dataclasses.asdict(spec).items() if value not in (None, "")}
    for key in ("path", "unigrams"):
        if isinstance(place := entry.get(key), Path):
            entry[key] = _taken(place, f"{INPUTS}/language-models/{spec.id}", files)
    return entry
