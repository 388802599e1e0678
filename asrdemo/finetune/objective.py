"""What a run minimises, and how a model is judged by it while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from asrdemo.finetune import base, evaluate, pretrain
from asrdemo.finetune.data import LENGTH_STEP, by_seconds, pad, standardised
from asrdemo.finetune.loss import ctc_sum
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe
from asrdemo.types import SAMPLE_RATE


@dataclass(frozen=True)
class Outcome:
    """What an evaluation on dev found. selection: picks the best weights, lower is better (WER, or the loss of
    pre-training). loss: on dev, to compare with the training loss. blank_share: the least of any set. metrics: by name,
    of each set `{id}_wer` and so on. samples, slices: to look at, by set. letters: different ones that were written,
    the most of any set; None of a model that does not write."""

    selection: float
    loss: float
    blank_share: float
    metrics: Mapping[str, float]
    samples: Mapping[str, Any] = field(default_factory=dict)
    slices: Mapping[str, Any] = field(default_factory=dict)
    letters: int | None = None


class Objective(Protocol):
    """For the loop; items are those of data.Batches."""

    def count(self, item: dict[str, Any]) -> int:
        """What the loss of a batch is divided by."""
        ...

    def loss(self, model: Any, item: dict[str, Any], rows: Sequence[int], step: int) -> torch.Tensor:
        """Summed over the clips at `rows` of an item; a scalar."""
        ...

    def score(self, model: Any, dev: Sequence[Shard]) -> Outcome:
        """Judge a model; its mode is restored afterwards."""
        ...


class Ctc:
    """Negative log-likelihood of the labels, a label; judged by word error rate."""

    def __init__(self, start: base.Start, precision: str, search: evaluate.Search | None = None):
        self.start, self.precision, self.search = start, precision, search
        self.smoothing = start.recipe.regularisation.label_smoothing

    def count(self, item: dict[str, Any]) -> int:
        """Labels."""
        return sum(map(len, item["labels"]))

    def loss(self, model: Any, item: dict[str, Any], rows: Sequence[int], step: int) -> torch.Tensor:
        """See loss.ctc_sum."""
        waves = [item["waves"][i] for i in rows]
        device = next(model.parameters()).device
        inputs = {k: v.to(device) for k, v in pad(waves, self.start.masks, LENGTH_STEP).items()}
        logits = model(**inputs).logits
        config = self.start.model.config
        frames = torch.tensor([int(base.frames(len(w), config)) for w in waves], device=device)
        return ctc_sum(logits, frames, [item["labels"][i] for i in rows], config.pad_token_id, self.smoothing)

    def score(self, model: Any, dev: Sequence[Shard]) -> Outcome:
        """Greedy, and with the language model if there is one."""
        e = self.start.recipe.evaluation
        scores = {s.id: evaluate.score(model, self.start, s, self.precision, e.slices, self.search) for s in dev}
        metrics: dict[str, float] = {}
        for i, s in scores.items():
            metrics |= {f"{i}_wer": round(s.wer, 4), f"{i}_cer": round(s.cer, 4), f"{i}_loss": round(s.loss, 4)}
            metrics |= {} if s.lm_wer is None else {f"{i}_lm_wer": round(s.lm_wer, 4)}
        metrics["blank_share"] = round(max(s.blank_share for s in scores.values()), 4)
        return Outcome(
            selection=_weighted({i: s.wer for i, s in scores.items()}, self.start.recipe),
            loss=float(np.mean([s.loss for s in scores.values()])),
            blank_share=min(s.blank_share for s in scores.values()),
            metrics=metrics,
            samples={i: s.examples(e.examples) for i, s in scores.items()},
            slices={i: s.slices for i, s in scores.items()},
            letters=max(s.letters for s in scores.values()),
        )


class Pretraining(pretrain.Contrastive):
    """The contrastive and the diversity loss of wav2vec 2.0, a frame to guess; judged by the same on dev."""

    def __init__(self, start: base.Start, precision: str):
        super().__init__(start)
        self.precision = precision

    def score(self, model: Any, dev: Sequence[Shard]) -> Outcome:
        """The loss and how often the true frame is told from the others, with the same masks every time."""
        kept, training = np.random.get_state(), model.training
        np.random.seed(self.start.recipe.seed)
        model.eval()
        found: dict[str, dict[str, float]] = {}
        try:
            for shard in dev:
                found[shard.id] = self._judge(model, shard)
        finally:
            model.train(training)
            np.random.set_state(kept)
        losses = {i: f["contrastive"] for i, f in found.items()}
        metrics = {f"{i}_{name}": round(value, 4) for i, f in found.items() for name, value in f.items()}
        return Outcome(_weighted(losses, self.start.recipe), float(np.mean(list(losses.values()))), 0.0, metrics)

    def _judge(self, model: Any, shard: Shard) -> dict[str, float]:
        """Metrics of one set, each a mean over the frames to guess."""
        seconds, device = shard.lengths / SAMPLE_RATE, next(model.parameters()).device
        total: dict[str, float] = {}
        frames = 0
        for rows in by_seconds(np.argsort(seconds, kind="stable"), seconds, evaluate.BATCH_SECONDS):
            waves = [shard.samples(i) for i in rows]
            waves = [standardised(w) if self.start.standardise else w for w in waves]
            inputs = pretrain.batch([torch.from_numpy(w) for w in waves], self.start)
            with torch.inference_mode(), evaluate.autocast(device, self.precision):
                _, count, metrics = pretrain.loss(model, inputs, pretrain.LEAST_TEMPERATURE)
            frames += count
            for name, value in metrics.items():
                total[name] = total.get(name, 0.0) + value * count
        return {name: value / frames for name, value in total.items()}


def _weighted(values: Mapping[str, float], recipe: Recipe) -> float:
    """Dev sets averaged by their selection_weight."""
    weights = {c.id: c.selection_weight for c in recipe.dev}
    return sum(weights[i] * v for i, v in values.items()) / max(1e-9, sum(weights[i] for i in values))
