"""Prepared shards -> an endless stream of effective batches, measured in audio seconds and grouped by length.

What a batch holds depends on the recipe alone: neither on how many processes share it, nor on how much of it goes
through the model at once, nor on where a run was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from torch.utils.data import IterableDataset, get_worker_info

from asrdemo.corpus.accents import SEPARATOR
from asrdemo.errors import TrainingError
from asrdemo.finetune import base
from asrdemo.finetune.augment import augment
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe, TrainCorpus
from asrdemo.types import SAMPLE_RATE

ROUND_BATCHES = 100  # clips are sorted by length within so many batches
LEAST_BATCHES = 2  # in a lap: with fewer, too many batches would not be full
MOST_REPEATS = 10.0  # of a clip in a pass, for the sake of balance, times its corpus's weight
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
    """How often each clip of a shard comes up in one pass, shape = (clips,); see TrainCorpus.balance_by.

    A clip of several accents counts for the rarest of them, one of unknown accent keeps the corpus's weight. Nothing
    comes up more than MOST_REPEATS times as often as that; what is left then goes to the other values.
    """
    if not source.balance_by:
        return np.full(len(shard), source.weight)
    values, inverse = told_by(shard, source.balance_by)
    counts = np.bincount(inverse, minlength=len(values))
    repeats, left = np.ones(len(values)), counts[values != ""].sum()
    ascending = [i for i in np.argsort(counts, kind="stable") if values[i]]
    for rank, i in enumerate(ascending):
        repeats[i] = min(MOST_REPEATS, left / (len(ascending) - rank) / counts[i])
        left -= repeats[i] * counts[i]
    return source.weight * repeats[inverse]


def too_rare(shard: Shard, source: TrainCorpus) -> dict[str, int]:
    """Values of balance_by that cannot come up as often as the others: -> their clips."""
    if not source.balance_by or source.weight <= 0:
        return {}
    values, inverse = told_by(shard, source.balance_by)
    rare = inverse[balanced(shard, source) >= MOST_REPEATS * source.weight]
    return {str(values[i]): int(n) for i, n in zip(*np.unique(rare, return_counts=True), strict=True)}


def told_by(shard: Shard, column: str) -> tuple[np.ndarray, np.ndarray]:
    """(values of a column, the place of each clip's among them); of several accents the one with the fewest clips."""
    inverse, whole = pd.factorize(np.array(list(shard.column(column)), dtype=object), sort=True)
    parts = [value.split(SEPARATOR) for value in whole]
    total: Counter[str] = Counter()
    for each, count in zip(parts, np.bincount(inverse).tolist(), strict=True):
        total.update(dict.fromkeys(each, count))
    rarest = [min(each, key=lambda part: (total[part], part)) for each in parts]
    values, merged = np.unique(rarest, return_inverse=True)
    return values, merged[inverse]


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
        places = range(process, len(batch), processes) or range(1)
        mine, counts = [batch[at] for at in places], process < len(batch)
        changes = self.recipe.augment
        if not place["settled"]:  # no more than speed and gain at first
            changes = replace(changes, noise_prob=0.0, filter_prob=0.0, reverb_prob=0.0, codec_prob=0.0)
        waves = []
        for at, clip in zip(places, mine, strict=True):  # the place too, since a clip may come up twice in a batch
            rng = np.random.default_rng([self.recipe.seed, place["round"], place["taken"], at, clip])
            wave = augment(self.clips.samples(clip), changes, rng, self.clips.max_speed[clip])
            waves.append(torch.from_numpy(standardised(wave) if self.start.standardise else wave))
        return {
            "waves": waves, "labels": [torch.from_numpy(self.clips.labels(clip)) for clip in mine], "clips": mine,
            "counts": counts, "place": place, "audio_seconds": float(self.clips.seconds[mine].sum()) * counts,
        }  # fmt: skip


def plan(clips: Pool, recipe: Recipe, settled: bool, number: int) -> list[list[int]]:
    """Pass `number` over the clips (weights as repeats): batches of clips of like length, in random order.

    A clip that comes up several times does so in different laps of the pass, never twice in a batch; but for a pass so
    short that its laps would not fill their batches. Raises TrainingError where a phase has no clip.
    """
    phase = Phase(recipe, settled)
    rng = np.random.default_rng([recipe.seed, number])
    repeats = np.floor(clips.weights + rng.random(len(clips.weights))).astype(int)
    repeats[clips.seconds > phase.max_seconds] = 0
    if not repeats.any():
        if (clips.weights[clips.seconds <= phase.max_seconds] > 0).any():
            return []  # small weights: nothing was drawn this time
        raise TrainingError(
            f"No training clip is at most {phase.max_seconds:g} s long; see clips and plateau in the recipe."
        )
    total = float(repeats @ clips.seconds)
    per_chunk = max(1, int(ROUND_BATCHES * phase.batch_seconds * repeats.sum() / total))
    most_laps = max(1, int(total / (LEAST_BATCHES * phase.batch_seconds)))
    batches: list[list[int]] = []
    for lap in laps(repeats, most_laps, rng):
        for start in range(0, len(lap), per_chunk):
            chunk = lap[start : start + per_chunk]
            chunk = chunk[np.argsort(clips.seconds[chunk], kind="stable")]
            sorted_batches = by_seconds(chunk, clips.seconds, phase.batch_seconds)
            batches += [sorted_batches[b] for b in rng.permutation(len(sorted_batches))]
    return batches


def laps(repeats: np.ndarray, most: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Clips of a pass, each as often as it repeats, in laps of random order: as many as the clip that comes up most
    often needs to be in each but once, `most` at the most. The repeats of a clip are spread evenly over them.

    repeats: of each clip, int, shape = (clips,).
    """
    count = max(1, min(most, int(repeats.max())))
    order = np.repeat(np.arange(len(repeats)), repeats)
    which = np.arange(len(order)) - np.repeat(np.cumsum(repeats) - repeats, repeats)  # of the clip's repeats
    lap = ((which + rng.random(len(repeats))[order]) * count / repeats[order]).astype(int)
    mixed = np.lexsort((rng.random(len(order)), lap))
    return np.split(order[mixed], np.searchsorted(lap[mixed], np.arange(1, count)))


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
