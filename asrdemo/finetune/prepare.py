"""Corpora -> prepared shards: every clip decoded once to 16 kHz int16 in one memory-mapped file, with an index.

A shard is a folder `{id}-{split}-{key}/` holding `audio.i16` (clips end to end) and `index.json`; the key depends on
the tables' content and on everything that decides what is kept, so a changed corpus or limit makes a new shard.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asrdemo import corpus
from asrdemo.errors import TrainingError
from asrdemo.finetune import recipe as recipes
from asrdemo.text import normalise
from asrdemo.types import SAMPLE_RATE, Progress

_FORMAT = 1  # raise when the layout of a shard changes


@dataclass(frozen=True)
class Shard:
    """A prepared split.

    audio: int16 memory map, shape = (all samples,). starts, lengths: int64, shape = (clips,), in samples.
    texts: normalised; names: clip file names. dropped: why how many clips were left out, with the first few names.
    """

    id: str
    audio: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    texts: tuple[str, ...]
    names: tuple[str, ...]
    dropped: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def hours(self) -> float:
        """Audio in the shard."""
        return float(self.lengths.sum()) / SAMPLE_RATE / 3600

    def samples(self, i: int) -> np.ndarray:
        """Clip i as float32 in [-1, 1), shape = (lengths[i],)."""
        start = self.starts[i]
        return self.audio[start : start + self.lengths[i]].astype(np.float32) / 32768


def prepare(
    source: recipes.TrainCorpus | recipes.DevCorpus,
    recipe: recipes.Recipe,
    home: Path,
    progress: Progress | None = None,
) -> Shard:
    """The shard of one corpus of the recipe under `home`, made now if it is not there yet.

    Clips outside the recipe's seconds are left out of training, never out of a dev set (but for the unusably short).
    """
    opened = corpus.open_corpus(recipes.resolve_folder(source.folder))
    training = isinstance(source, recipes.TrainCorpus)
    excluded = source.exclude_accents if isinstance(source, recipes.TrainCorpus) else ()
    limits = (recipe.clips.min_seconds, recipe.clips.max_seconds if training else float("inf"))
    key = _key(opened.root, source.split, recipe.normalisation, limits, excluded)
    target = Path(home) / f"{source.id}-{source.split}-{key}"
    if not (target / "index.json").is_file():
        clips = corpus.named_as_released(opened.load(source.split, unique=False))
        clips = clips[~clips["accents"].isin(excluded)]
        opened.take(clips["path"], progress)  # out of an archive, if it is one
        _write(clips, target, recipe.normalisation, limits, progress)
    return load(target, source.id)


def load(folder: Path, shard_id: str) -> Shard:
    """Open a shard that `prepare` wrote."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    lengths = np.array(index["lengths"], dtype=np.int64)
    if not len(lengths):
        raise TrainingError(f"Corpus {shard_id!r} has no usable clip; left out: {index['dropped']}.")
    audio = np.memmap(folder / "audio.i16", dtype=np.int16, mode="r")
    if len(audio) != lengths.sum():
        raise TrainingError(f"The prepared shard {folder.name!r} is damaged; delete it and prepare again.")
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return Shard(shard_id, audio, starts, lengths, tuple(index["texts"]), tuple(index["names"]), index["dropped"])


def decode(path: str) -> np.ndarray:
    """An audio file as mono float32 at 16 kHz, shape = (samples,)."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)


def _key(folder: Path, split: str, normalisation: str, limits, excluded) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, normalisation, limits, sorted(excluded)]).encode())
    for table in (folder / f"{split}.tsv", folder / "clip_durations.tsv"):
        digest.update(table.read_bytes() if table.is_file() else b"-")
    return digest.hexdigest()[:12]


def _write(clips, target: Path, normalisation: str, limits, progress: Progress | None) -> None:
    """Decode into a temporary folder and rename it into place."""
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    index: dict = {"names": [], "lengths": [], "texts": [], "dropped": {}}
    with (staging / "audio.i16").open("wb") as out:
        for done, row in enumerate(clips.itertuples(), start=1):
            text = normalise(row.sentence, normalisation)
            samples, problem = _usable(row.file, text, limits)
            if problem:
                index["dropped"].setdefault(problem, []).append(row.path)
            else:
                out.write(samples.tobytes())
                index["names"].append(row.path)
                index["lengths"].append(len(samples))
                index["texts"].append(text)
            if progress and (done % 200 == 0 or done == len(clips)):
                progress(done, len(clips), f"decoding {target.name}")
    (staging / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    staging.replace(target)


def _usable(file: str, text: str, limits: tuple[float, float]) -> tuple[np.ndarray, str]:
    """(int16 samples, "") or (empty, why the clip is left out)."""
    nothing = np.zeros(0, dtype=np.int16)
    if not text:
        return nothing, "empty text"
    try:
        samples = decode(file)
    except (soundfile.LibsndfileError, OSError):
        return nothing, "cannot be decoded"
    seconds = len(samples) / SAMPLE_RATE
    if seconds < limits[0]:
        return nothing, f"shorter than {limits[0]} s"
    if seconds > limits[1]:
        return nothing, f"longer than {limits[1]} s"
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16), ""
