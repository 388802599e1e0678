"""Prepared shards -> an endless stream of padded batches, measured in audio seconds and grouped by length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import IterableDataset

from asrdemo.finetune import model as models
from asrdemo.finetune.augment import augment
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe
from asrdemo.types import SAMPLE_RATE

ROUND_BATCHES = 100  # clips are sorted by length within so many batches
LENGTH_STEP = SAMPLE_RATE // 2  # padded lengths are multiples of this: oneDNN compiles its kernels for each new shape


@dataclass(frozen=True)
class Pool:
    """Training clips of all corpora side by side; every sequence has shape (clips,).

    seconds: float; weights: how often a clip comes up in one pass; labels: ids; max_speed: beyond it the labels no
    longer fit the frames. infeasible: names of clips whose labels never fit, or hold a character not in the vocabulary.
    """

    shards: tuple[Shard, ...]
    clips: tuple[tuple[int, int], ...]
    seconds: np.ndarray
    weights: np.ndarray
    labels: tuple[np.ndarray, ...]
    max_speed: np.ndarray
    infeasible: tuple[str, ...]


def pool(shards: list[Shard], weights: list[float], vocab: dict[str, int], config) -> Pool:
    """Gather the clips whose labels fit their frames (frames >= labels + repeats)."""
    clips, seconds, clip_weights, labels, speeds, infeasible = [], [], [], [], [], []
    for s, (shard, weight) in enumerate(zip(shards, weights, strict=True)):
        for i, text in enumerate(shard.texts):
            ids = models.labels(text, vocab)
            speed = 0.0 if ids is None else models.frames(int(shard.lengths[i]), config) / models.frames_needed(ids)
            if ids is None or speed < 1.0:
                infeasible.append(f"{shard.id}/{shard.names[i]}")
                continue
            clips.append((s, i))
            seconds.append(shard.lengths[i] / SAMPLE_RATE)
            clip_weights.append(weight)
            labels.append(ids)
            speeds.append(max(1.0, 0.95 * speed))
    return Pool(
        tuple(shards),
        tuple(clips),
        np.array(seconds),
        np.array(clip_weights),
        tuple(labels),
        np.array(speeds),
        tuple(infeasible),
    )


class Phase:
    """Where the run stands: on the plateau at first, settled once the loss has left it."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.settled = False

    @property
    def batch_seconds(self) -> float:
        """Audio seconds a batch may hold, padding included."""
        return self.recipe.batches.seconds if self.settled else self.recipe.plateau.batch_seconds

    @property
    def max_seconds(self) -> float:
        """Longest clip of the phase."""
        return self.recipe.clips.max_seconds if self.settled else self.recipe.plateau.max_seconds


class Batches(IterableDataset):
    """The stream. It depends on the recipe's seed and on the step it starts from, which a resumed run gives.

    share: (process, processes); all plan the same passes, and each takes every so-manieth batch.
    """

    def __init__(self, clips: Pool, recipe: Recipe, phase: Phase, start_step: int = 0, share: tuple[int, int] = (0, 1)):
        self.clips, self.recipe, self.phase, self.start_step, self.share = clips, recipe, phase, start_step, share
        self.audio_seconds = 0.0  # handed out so far by this process, padding left out

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        process, processes = self.share
        order = np.random.default_rng([self.recipe.seed, self.start_step])
        rng = np.random.default_rng([self.recipe.seed, self.start_step, process])
        while True:
            settled = self.phase.settled
            batches = list(plan(self.clips, self.phase, order))
            for first in range(0, len(batches) - processes + 1, processes):
                yield self.collate(batches[first + process], rng)
                if self.phase.settled != settled:
                    break  # the rest of this pass was planned for another phase

    def collate(self, batch: list[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Augmented, normalised and padded: see `pad` for the keys and shapes."""
        changes = self.recipe.augment
        if not self.phase.settled:  # no more than speed and gain at first
            changes = replace(changes, noise_prob=0.0, filter_prob=0.0, reverb_prob=0.0)
        waves = []
        for i in batch:
            shard, clip = self.clips.clips[i]
            samples = self.clips.shards[shard].samples(clip)
            waves.append(standardised(augment(samples, changes, rng, self.clips.max_speed[i])))
        self.audio_seconds += sum(map(len, waves)) / SAMPLE_RATE
        return pad(waves, [self.clips.labels[i] for i in batch], LENGTH_STEP)


def plan(clips: Pool, phase: Phase, rng: np.random.Generator) -> Iterator[list[int]]:
    """One pass over the clips (weights as repeats): batches of clips of like length, within chunks, in random order."""
    repeats = np.floor(clips.weights + rng.random(len(clips.weights))).astype(int)
    repeats[clips.seconds > phase.max_seconds] = 0
    order = rng.permutation(np.repeat(np.arange(len(repeats)), repeats))
    if not len(order):
        return
    per_chunk = max(1, int(ROUND_BATCHES * phase.batch_seconds / clips.seconds[order].mean()))
    for start in range(0, len(order), per_chunk):
        chunk = order[start : start + per_chunk]
        batches = by_seconds(chunk[np.argsort(clips.seconds[chunk], kind="stable")], clips.seconds, phase.batch_seconds)
        for b in rng.permutation(len(batches)):
            yield batches[b]


def by_seconds(order: np.ndarray, seconds: np.ndarray, limit: float) -> list[list[int]]:
    """Cut an ascending order into batches whose padded size (longest x count) stays within `limit` seconds."""
    batches: list[list[int]] = [[]]
    for i in order:
        if batches[-1] and seconds[i] * (len(batches[-1]) + 1) > limit:
            batches.append([])
        batches[-1].append(int(i))
    return batches


def standardised(samples: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance, as Wav2Vec2FeatureExtractor does it."""
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


def pad(waves: list[np.ndarray], labels: list[np.ndarray] | None = None, step: int = 1) -> dict[str, torch.Tensor]:
    """Right-padded batch; audio is padded to a multiple of `step` samples.

    input_values: float32, zeros at the end, shape = (clips, samples); attention_mask: 1 where there is audio, same
    shape; labels: int64, -100 at the end, shape = (clips, characters).
    """
    longest = -(-max(map(len, waves)) // step) * step
    values = torch.zeros(len(waves), longest)
    mask = torch.zeros(len(waves), longest, dtype=torch.long)
    for row, wave in enumerate(waves):
        values[row, : len(wave)] = torch.from_numpy(wave)
        mask[row, : len(wave)] = 1
    batch = {"input_values": values, "attention_mask": mask}
    if labels is not None:
        batch["labels"] = torch.full((len(labels), max(map(len, labels))), -100)
        for row, ids in enumerate(labels):
            batch["labels"][row, : len(ids)] = torch.from_numpy(ids)
    return batch
