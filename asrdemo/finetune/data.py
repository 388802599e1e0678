"""Prepared shards -> an endless stream of effective batches, measured in audio seconds and grouped by length.

What a batch holds depends on the recipe alone: neither on how many processes share it, nor on how much of it goes
through the model at once, nor on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from asrdemo.errors import TrainingError
from asrdemo.finetune import base
from asrdemo.finetune.augment import augment
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe, TrainCorpus
from asrdemo.types import SAMPLE_RATE

ROUND_BATCHES = 100  # clips are sorted by length within so many batches
NO_LABELS = np.zeros(0, dtype=np.int64)  # of pre-training
LENGTH_STEP = SAMPLE_RATE // 2  # padded lengths are multiples of this: oneDNN compiles its kernels for each new shape


@dataclass(frozen=True)
class Pool:
    """Training clips of all corpora side by side; every array has shape (clips,) but ids.

    shard, row: where a clip lies. seconds: float. weights: how often it comes up in one pass. ids, ends: the labels of
    all clips end to end, and where each clip's end. max_speed: beyond it the labels no longer fit the frames.
    infeasible: names of clips whose labels never fit; unwritable: of those with a character not in the vocabulary.
    """

    shards: tuple[Shard, ...]
    shard: np.ndarray
    row: np.ndarray
    seconds: np.ndarray
    weights: np.ndarray
    ids: np.ndarray
    ends: np.ndarray
    max_speed: np.ndarray
    infeasible: tuple[str, ...] = ()
    unwritable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)

    def labels(self, clip: int) -> np.ndarray:
        """Ids of a clip, int64, shape = (characters,)."""
        begin = self.ends[clip - 1] if clip else 0
        return self.ids[begin : self.ends[clip]].astype(np.int64)

    def samples(self, clip: int) -> np.ndarray:
        """Audio of a clip, float32 in [-1, 1), shape = (samples,)."""
        return self.shards[self.shard[clip]].samples(int(self.row[clip]))

    def name(self, clip: int) -> str:
        """Corpus and file name of a clip."""
        shard = self.shards[self.shard[clip]]
        return f"{shard.id}/{shard.names[int(self.row[clip])]}"


def pool(shards: Sequence[Shard], sources: Sequence[TrainCorpus], start: base.Start) -> Pool:
    """Gather the clips whose labels fit their frames (frames >= labels + repeats).

    Raises TrainingError when none is left.
    """
    where, rows, weights, labels, speeds = [], [], [], [], []
    infeasible, unwritable = [], []
    for number, (shard, source) in enumerate(zip(shards, sources, strict=True)):
        clip_weights = balanced(shard, source)
        frames = np.asarray(base.frames(shard.lengths, start.model.config))
        for i, text in enumerate(shard.texts):
            ids = base.labels(text, start) if start.vocab else NO_LABELS
            if ids is None:
                unwritable.append(f"{shard.id}/{shard.names[i]}")
                continue
            speed = frames[i] / max(1, base.frames_needed(ids))
            if speed < 1.0:
                infeasible.append(f"{shard.id}/{shard.names[i]}")
                continue
            where.append(number)
            rows.append(i)
            weights.append(clip_weights[i])
            labels.append(ids.astype(np.int32))
            speeds.append(max(1.0, 0.95 * speed))
    if not rows:
        raise TrainingError(
            f"No clip is left to train on: the labels of {len(infeasible)} do not fit their audio, {len(unwritable)} "
            "hold characters that the vocabulary lacks. Run `python -m asrdemo finetune precheck` to see which."
        )
    seconds = np.concatenate([s.lengths for s in shards])[_flat(shards, where, rows)] / SAMPLE_RATE
    return Pool(
        tuple(shards), np.array(where), np.array(rows), seconds, np.array(weights), np.concatenate(labels),
        np.cumsum([len(ids) for ids in labels]), np.array(speeds), tuple(infeasible), tuple(unwritable),
    )  # fmt: skip


def balanced(shard: Shard, source: TrainCorpus) -> np.ndarray:
    """How often each clip of a shard comes up in one pass, shape = (clips,); see TrainCorpus.balance_by."""
    if not source.balance_by:
        return np.full(len(shard), source.weight)
    values, inverse, counts = np.unique(
        np.asarray(shard.column(source.balance_by)), return_inverse=True, return_counts=True
    )
    return source.weight * len(shard) / len(values) / counts[inverse]


def _flat(shards: Sequence[Shard], where: list[int], rows: list[int]) -> np.ndarray:
    begins = np.cumsum([0, *map(len, shards)])
    return begins[np.array(where, dtype=int)] + np.array(rows, dtype=int)


class Phase:
    """Where a run from random weights stands: on the plateau at first, settled once the loss has left it."""

    def __init__(self, recipe: Recipe, settled: bool = False):
        self.recipe = recipe
        self.settled = settled or recipe.plateau is None

    @property
    def batch_seconds(self) -> float:
        """Audio seconds a batch may hold, padding included."""
        p = self.recipe.plateau
        return self.recipe.batches.seconds if self.settled or p is None else p.batch_seconds

    @property
    def max_seconds(self) -> float:
        """Longest clip of the phase."""
        p = self.recipe.plateau
        return self.recipe.clips.max_seconds if self.settled or p is None else p.max_seconds


class Place(TypedDict):
    """How far the stream has come: a pass over the clips, the batches of it already taken, the phase it began in."""

    round: int
    taken: int
    settled: bool


class Batches(IterableDataset):
    """The stream of this process's share of each effective batch, from `place` on.

    An item: waves, list of float32 (samples,) tensors, augmented and standardised; labels, list of int64 tensors;
    clips, their places in the pool; counts, False for a clip that is here only so that the process has something to do;
    place, where the stream stands after it; audio_seconds, of the clips as prepared.
    """

    def __init__(
        self, clips: Pool, recipe: Recipe, start: base.Start, phase: Phase, place: Place | None = None,
        share: tuple[int, int] = (0, 1),
    ):  # fmt: skip
        self.clips, self.recipe, self.start, self.phase, self.share = clips, recipe, start, phase, share
        self.place: Place = place or {"round": 0, "taken": 0, "settled": phase.settled}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        part, parts = (worker.id, worker.num_workers) if worker else (0, 1)
        current, skip, number = self.place["round"], self.place["taken"], 0
        settled = self.place["settled"]
        while True:
            for taken, batch in enumerate(plan(self.clips, self.recipe, settled, current)):
                if taken < skip:
                    continue
                if number % parts == part:
                    yield self.item(batch, {"round": current, "taken": taken + 1, "settled": settled})
                number += 1
                if self.phase.settled != settled:
                    break  # the rest of this pass was planned for another phase
            current, skip, settled = current + 1, 0, self.phase.settled

    def item(self, batch: list[int], place: Place) -> dict[str, Any]:
        """This process's share of a batch; see the class."""
        process, processes = self.share
        mine = batch[process::processes]
        counts = bool(mine)
        mine = mine or batch[:1]
        changes = self.recipe.augment
        if not place["settled"]:  # no more than speed and gain at first
            changes = replace(changes, noise_prob=0.0, filter_prob=0.0, reverb_prob=0.0, codec_prob=0.0)
        waves = []
        for clip in mine:
            rng = np.random.default_rng([self.recipe.seed, place["round"], place["taken"], clip])
            wave = augment(self.clips.samples(clip), changes, rng, self.clips.max_speed[clip])
            waves.append(torch.from_numpy(standardised(wave) if self.start.standardise else wave))
        return {
            "waves": waves, "labels": [torch.from_numpy(self.clips.labels(clip)) for clip in mine], "clips": mine,
            "counts": counts, "place": place, "audio_seconds": float(self.clips.seconds[mine].sum()) * counts,
        }  # fmt: skip


def plan(clips: Pool, recipe: Recipe, settled: bool, number: int) -> list[list[int]]:
    """Pass `number` over the clips (weights as repeats): batches of clips of like length, in random order.

    Raises TrainingError where a phase has no clip.
    """
    phase = Phase(recipe, settled)
    rng = np.random.default_rng([recipe.seed, number])
    repeats = np.floor(clips.weights + rng.random(len(clips.weights))).astype(int)
    repeats[clips.seconds > phase.max_seconds] = 0
    order = rng.permutation(np.repeat(np.arange(len(repeats)), repeats))
    if not len(order):
        if (clips.weights[clips.seconds <= phase.max_seconds] > 0).any():
            return []  # small weights: nothing was drawn this time
        raise TrainingError(
            f"No training clip is at most {phase.max_seconds:g} s long; see clips and plateau in the recipe."
        )
    per_chunk = max(1, int(ROUND_BATCHES * phase.batch_seconds / clips.seconds[order].mean()))
    batches: list[list[int]] = []
    for start in range(0, len(order), per_chunk):
        chunk = order[start : start + per_chunk]
        chunk = chunk[np.argsort(clips.seconds[chunk], kind="stable")]
        sorted_batches = by_seconds(chunk, clips.seconds, phase.batch_seconds)
        batches += [sorted_batches[b] for b in rng.permutation(len(sorted_batches))]
    return batches


def by_seconds(order: np.ndarray, seconds: np.ndarray, limit: float) -> list[list[int]]:
    """Cut an ascending order into batches whose padded size (longest x count) stays within `limit` seconds."""
    batches: list[list[int]] = [[]]
    for i in order:
        if batches[-1] and seconds[i] * (len(batches[-1]) + 1) > limit:
            batches.append([])
        batches[-1].append(int(i))
    return batches


def micro_batches(lengths: Sequence[int], limit: float) -> list[list[int]]:
    """Which clips of an item go through the model together: padded seconds within `limit`, 0 for all at once.

    lengths: in samples.
    """
    order = np.argsort(lengths, kind="stable")
    return by_seconds(order, np.asarray(lengths) / SAMPLE_RATE, limit) if limit > 0 else [[int(i) for i in order]]


def standardised(samples: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance, as Wav2Vec2FeatureExtractor does it."""
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


def pad(waves: Sequence[torch.Tensor], masks: bool = True, step: int = 1) -> dict[str, torch.Tensor]:
    """Right-padded audio, to a multiple of `step` samples.

    input_values: float32, zeros at the end, shape = (clips, samples); attention_mask (if `masks`): 1 where there is
    audio, int64, same shape.
    """
    longest = -(-max(map(len, waves)) // step) * step
    values = torch.zeros(len(waves), longest)
    for row, wave in enumerate(waves):
        values[row, : len(wave)] = wave
    lengths = torch.tensor([len(wave) for wave in waves])
    mask = (torch.arange(longest) < lengths[:, None]).long()
    return {"input_values": values, "attention_mask": mask} if masks else {"input_values": values}
