"""A loaded checkpoint: clips in, emissions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asrdemo.acoustic.lanes import Here, Lanes
from asrdemo.acoustic.level import Level
from asrdemo.acoustic.precision import Engine, PrecisionReport
from asrdemo.acoustic.segments import Window, frame_count, is_silent, windows
from asrdemo.errors import CheckpointError
from asrdemo.registry import CheckpointSpec
from asrdemo.types import SAMPLE_RATE, Clip, Emissions, Progress, Vocabulary

CUDA_ROWS = 4096  # frames a pass on a GPU always has, filled up with zeros: about 80 s of audio
NOTHING = -30.0  # log-probability of every token but the blank in silence


@dataclass(frozen=True)
class Geometry:
    """How frames lie in the samples. stride: samples from frame to frame; receptive: samples that a frame sees."""

    stride: int
    receptive: int

    @classmethod
    def of(cls, kernels: Sequence[int], strides: Sequence[int]) -> Geometry:
        """From the convolutions of the front end, first to last."""
        stride, receptive = 1, 1
        for kernel, step in zip(kernels, strides, strict=True):
            receptive += (kernel - 1) * stride
            stride *= step
        return cls(stride, receptive)


@dataclass(frozen=True)
class _Job:
    """One window of one clip."""

    clip: int
    window: Window
    level: Level
    after: int

    @property
    def frames(self) -> int:
        """Frames its pass computes, those of the context included."""
        return self.window.skip + self.window.last - self.window.first + self.after


class AcousticModel:
    """A checkpoint in memory. Safe to use from several threads at once.

    spec: what was loaded. vocabulary: what the columns stand for. seconds_per_frame: 0.02 for the usual wav2vec2.
    device, precision: where and how it runs; precision_report: why. load_seconds: wall seconds from files to ready.
    fingerprint: the first 16 digits of a SHA-256 over weights, configuration and vocabulary.
    """

    def __init__(
        self,
        spec: CheckpointSpec,
        engine: Engine,
        lanes: Here | Lanes,
        vocabulary: Vocabulary,
        geometry: Geometry,
        normalise: bool,
        device: torch.device,
        report: PrecisionReport,
        fingerprint: str,
        load_seconds: float,
    ) -> None:
        self.spec, self.vocabulary, self.geometry = spec, vocabulary, geometry
        self.seconds_per_frame = geometry.stride / SAMPLE_RATE
        self.device = str(device)
        self.precision, self.precision_report = report.chosen, report
        self.fingerprint, self.load_seconds = fingerprint, load_seconds
        self.rows = CUDA_ROWS if device.type == "cuda" else None
        self._engine, self._lanes, self._normalise, self._device = engine, lanes, normalise, device

    @property
    def bytes(self) -> int:
        """What its weights take in memory as they lie there now, in this precision; its working memory is not in it."""
        return _bytes(self._engine)

    def emissions(self, clips: Sequence[Clip], progress: Progress | None = None) -> list[Emissions]:
        """What the model hears in each clip, in the order given.

        A clip's emissions do not depend on the others: nothing is padded, and what runs over several clips at once
        (on a GPU) treats each frame by itself in passes of a fixed size. Long clips are cut, see segments; each part is
        brought to unit variance by what was heard up to its end, so that a live recording gives the same.
        progress: told in seconds of audio. It may raise to stop.
        """
        g = self.geometry
        heard = [self._empty(clip) for clip in clips]
        cuts: list[list[int]] = [[] for _ in clips]
        jobs = []
        for i, clip in enumerate(clips):
            level, heard_to = Level(), 0
            for w in windows(clip.samples, g.stride, g.receptive):
                until = len(clip.samples) if w.last == len(heard[i]) else w.end
                fresh, heard_to = clip.samples[heard_to:until], until
                if w.pause and w.last < len(heard[i]):
                    cuts[i].append(w.last)
                if is_silent(clip.samples[w.start : w.end]):
                    heard[i][w.first : w.last] = NOTHING
                    heard[i][w.first : w.last, self.vocabulary.blank] = 0.0
                else:
                    after = frame_count(w.end - w.start, g.stride, g.receptive) - w.skip - (w.last - w.first)
                    level = level.after(fresh)
                    jobs.append(_Job(i, w, level, after))
        self._hear(clips, jobs, heard, progress)
        return [
            Emissions(log_probs, self.vocabulary, self.seconds_per_frame, clip.duration, tuple(cut))
            for log_probs, clip, cut in zip(heard, clips, cuts, strict=True)
        ]

    def hear(self, samples: np.ndarray, level: Level) -> np.ndarray:
        """One pass over samples of a recording that is still coming in, uncut: float32, shape = (frames, vocabulary).

        samples: at least one receptive field, and short enough for one pass. level: of the recording so far.
        """
        return next(self._lanes.map(self._run, [[(samples, level)]]))

    def _empty(self, clip: Clip) -> np.ndarray:
        frames = frame_count(len(clip.samples), self.geometry.stride, self.geometry.receptive)
        return np.empty((frames, len(self.vocabulary)), np.float32)

    def _hear(
        self, clips: Sequence[Clip], jobs: list[_Job], heard: list[np.ndarray], progress: Progress | None
    ) -> None:
        """Run the jobs, longest first, and put the frames they keep where they belong."""
        jobs = sorted(jobs, key=lambda job: -job.frames)
        total = sum(job.window.end - job.window.start for job in jobs)
        done = 0
        if progress:
            progress(0, max(1, total // SAMPLE_RATE), "listening")
        batches = list(self._batches(jobs))
        passes = ([(clips[j.clip].samples[j.window.start : j.window.end], j.level) for j in b] for b in batches)
        for batch, out in zip(batches, self._lanes.map(self._run, passes), strict=True):
            at = 0
            for job in batch:
                w, begin = job.window, at + job.window.skip
                heard[job.clip][w.first : w.last] = out[begin : begin + w.last - w.first]
                at += job.frames
                done += w.end - w.start
            if progress:
                progress(done // SAMPLE_RATE, max(1, total // SAMPLE_RATE), "listening")

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Jobs that run in one pass. On a CPU one by one: there a larger pass is no faster, only larger."""
        batch: list[_Job] = []
        frames = 0
        for job in jobs:
            if batch and (self.rows is None or frames + job.frames > self.rows):
                yield batch
                batch, frames = [], 0
            batch.append(job)
            frames += job.frames
        if batch:
            yield batch

    def _run(self, parts: list[tuple[np.ndarray, Level]]) -> np.ndarray:
        """One pass: log-probabilities of the parts, end to end, shape = (frames, vocabulary).

        Raises CheckpointError where the machine cannot do it, mostly for want of memory.
        """
        try:
            with torch.inference_mode():
                heard = self._engine([self._wave(samples, level) for samples, level in parts], rows=self.rows)
                return torch.cat(heard).cpu().numpy()
        except (RuntimeError, MemoryError) as error:  # torch has no narrower one for memory that is used up
            why = str(error).partition("\n")[0] or "out of memory"
            raise CheckpointError(
                f"Checkpoint {self.spec.id!r} failed on this audio: {why}. Choose a smaller checkpoint or a shorter "
                "clip, or close what else runs."
            ) from error

    def _wave(self, samples: np.ndarray, level: Level) -> torch.Tensor:
        """Samples as the checkpoint expects them: at zero mean and unit variance, if it was trained so."""
        mean, scale = (level.mean, level.scale) if self._normalise else (0.0, 1.0)
        wave = torch.from_numpy((samples - np.float32(mean)) * np.float32(scale))
        if self._device.type == "cuda":
            return wave.pin_memory().to(self._device, non_blocking=True)
        return wave


def _bytes(engine: Any) -> int:
    """Of all tensors in its modules: parameters, buffers, and weights laid out for the processor, which are neither."""
    tensors: list[torch.Tensor] = []
    for module in engine.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False), *vars(module).values()]
        if "_packed_params" in vars(module):  # torch's int8 layers keep theirs out of sight
            own += module._weight_bias()
        tensors += [each for each in own if isinstance(each, torch.Tensor)]
    return sum({id(each): each.numel() * each.element_size() for each in tensors}.values())
