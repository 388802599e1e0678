"""What this project adds to the transformers Trainer: a wall clock, a plateau phase, averaged weights, dev scoring."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, Wav2Vec2ForCTC
from transformers.trainer_utils import get_last_checkpoint

from asrdemo.finetune import model as models
from asrdemo.finetune.data import Batches, Phase
from asrdemo.finetune.evaluate import Score, score
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe


def write_json(path: Path, data: object) -> None:
    """Write a temporary neighbour, then rename it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    temporary.replace(path)


class Clock:
    """Wall seconds of training over all sittings of a run, against its budget (and steps, where they are limited).

    Time stands still between two calls of `tick`, and is the first process's in all of them: they must agree on the
    learning rate and on when to evaluate, or they would wait for each other for ever.
    """

    def __init__(self, budget_minutes: float, spent: float = 0.0, max_steps: int = 0):
        self.budget, self.max_steps = budget_minutes * 60, max_steps
        self.spent, self._before, self._started = spent, spent, time.monotonic()

    def tick(self) -> None:
        """Set `spent`: seconds, earlier sittings included."""
        now = torch.tensor(self._before + time.monotonic() - self._started, dtype=torch.float64)
        if torch.distributed.is_initialized():
            now = now.to("cpu" if torch.distributed.get_backend() == "gloo" else "cuda")
            torch.distributed.broadcast(now, src=0)
        self.spent = float(now)

    def progress(self, step: int) -> float:
        """0 at the start, 1 when the budget of minutes or steps is used up."""
        return min(1.0, max(self.spent / self.budget, step / self.max_steps if self.max_steps else 0.0))


class Average:
    """Exponential moving average of the weights (Polyak & Juditsky 1992), a step every EVERY optimiser steps."""

    EVERY = 5

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay**self.EVERY
        self.weights = {name: p.detach().clone() for name, p in model.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move towards the model's weights, faster at first."""
        self.updates += 1
        keep = min(self.decay, self.updates / (self.updates + 10))
        current = model.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [current[n] for n in self.weights], 1 - keep)

    def save(self, path: Path) -> None:
        """Write the average beside a Trainer checkpoint."""
        save_file(self.weights, path, metadata={"updates": str(self.updates)})

    def load(self, path: Path) -> None:
        """Read what `save` wrote; the warm start of the average is over by then."""
        self.weights = load_file(path)
        self.updates = 10_000


class RunCallback(TrainerCallback):
    """Minds the clock (evaluation, checkpoints, the end), the phase, the average and the metrics file."""

    def __init__(self, run: Path, recipe: Recipe, clock: Clock, phase: Phase, average: Average, batches: Batches):
        self.run, self.recipe, self.clock = run, recipe, clock
        self.phase, self.average, self.batches = phase, average, batches
        self._evaluated = self._saved = clock.spent
        self._regularised = False

    def on_step_end(self, args, state, control, model=None, **_):
        """After an optimiser step: average, and see whether it is time for something."""
        self.clock.tick()
        if state.global_step % Average.EVERY == 0:
            self.average.update(model)
        now, e = self.clock.spent, self.recipe.evaluation
        finished = self.clock.progress(state.global_step) >= 1
        if finished or now - self._evaluated >= e.every_minutes * 60:
            control.should_evaluate, self._evaluated = True, now
        if finished or now - self._saved >= e.save_minutes * 60:
            control.should_save, self._saved = True, now
        control.should_training_stop = control.should_training_stop or finished
        return control

    def on_log(self, args, state, control, logs=None, model=None, **_):
        """Append to metrics.jsonl; leave the plateau phase when the loss has."""
        record = {"step": state.global_step, "seconds": round(self.clock.spent, 1), **(logs or {})}
        if "loss" in record:
            record["audio_hours"] = round(self.batches.audio_seconds * args.world_size / 3600, 4)
            left = record["loss"] < self.recipe.plateau.until_loss or state.global_step >= self.recipe.plateau.max_steps
            if left and not self.phase.settled:
                self.phase.settled = True
                record["phase"] = "settled"
            late = self.clock.progress(state.global_step) >= self.recipe.model.regularise_from
            if self.phase.settled and late and not self._regularised and self.recipe.model.regularise_from < 1:
                models.regularise(model, self.recipe.model)
                self._regularised = True
                record["phase"] = "regularised"
        if state.is_world_process_zero:
            with (self.run / "metrics.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")

    def on_save(self, args, state, control, **_):
        """Complete the Trainer's checkpoint with what it does not know."""
        if not state.is_world_process_zero:
            return
        folder = self.run / f"checkpoint-{state.global_step}"
        self.average.save(folder / "average.safetensors")
        write_json(folder / "run.json", {"seconds": self.clock.spent, "settled": self.phase.settled})


class CtcTrainer(Trainer):
    """Trainer over an endless stream of ready batches, a learning rate by the clock, and greedy dev scoring."""

    def __init__(
        self,
        *,
        run: Path,
        recipe: Recipe,
        vocab: dict[str, int],
        dev: list[Shard],
        clock: Clock,
        average: Average,
        **kw,
    ):
        super().__init__(**kw)
        self.run, self.recipe, self.vocab, self.dev = run, recipe, vocab, dev
        self.clock, self.average = clock, average
        self._last: tuple[int, dict[str, float]] | None = None  # step and metrics of the last evaluation

    def get_train_dataloader(self) -> DataLoader:
        """The stream's batches as they are."""
        return DataLoader(cast(Batches, self.train_dataset), batch_size=None)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        """Linear warm-up by steps, then held, then a cosine to zero, both by the wall-clock budget."""
        warmup, hold, clock = max(1, self.recipe.optimiser.warmup_steps), self.recipe.optimiser.hold, self.clock

        def factor(step: int) -> float:
            falling = max(0.0, clock.progress(step) - hold) / (1 - hold)
            return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * falling))

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            cast(torch.optim.Optimizer, optimizer or self.optimizer), factor
        )
        return self.lr_scheduler

    @property
    def _network(self) -> Wav2Vec2ForCTC:
        return cast(Wav2Vec2ForCTC, self.model)

    def evaluate(self, *_, **__) -> dict[str, float]:
        """Score the dev sets with the weights and with their average; the better go to best/ if they beat it."""
        if self._last and self._last[0] == self.state.global_step:  # Trainer asks once more when it ends
            return self._last[1]
        network = self._network
        current = {n: w.clone() for n, w in network.state_dict().items()}
        metrics: dict[str, float] = {}
        scores: dict[str, dict[str, Score]] = {}
        for kind, weights in (("now", None), ("average", self.average.weights)):
            if weights is not None:
                network.load_state_dict(weights)
            precision = self.recipe.batches.precision
            scores[kind] = {s.id: score(network, s, self.vocab, precision) for s in self.dev}
            metrics |= {f"eval_{kind}_{i}_wer": round(s.wer, 4) for i, s in scores[kind].items()}
            metrics[f"eval_{kind}_selection"] = round(selection(scores[kind], self.recipe), 5)
        better = min(scores, key=lambda k: metrics[f"eval_{k}_selection"])
        metrics["eval_selection"] = metrics[f"eval_{better}_selection"]
        metrics["eval_blank_share"] = round(max(s.blank_share for s in scores[better].values()), 4)
        if self.is_world_process_zero():
            self._keep_examples(scores[better])
            self._keep_best(metrics, current if better == "now" else self.average.weights, better)
        network.load_state_dict(current)
        self.log(dict(metrics))
        self._last = self.state.global_step, metrics
        return metrics

    def _keep_examples(self, scores: dict[str, Score]) -> None:
        record = {i: s.examples(self.recipe.evaluation.examples) for i, s in scores.items()}
        with (self.run / "examples.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": self.state.global_step, **record}, ensure_ascii=False) + "\n")

    def _keep_best(self, metrics: dict[str, float], weights: dict[str, torch.Tensor], kind: str) -> None:
        record = self.run / "best.json"
        if record.is_file():
            best_so_far = json.loads(record.read_text(encoding="utf-8"))["eval_selection"]
            if best_so_far <= metrics["eval_selection"]:
                return
        network = self._network
        network.load_state_dict(weights)
        models.export(network, self.vocab, self.run / "best", torch.float32)
        progress = {"step": self.state.global_step, "seconds": round(self.clock.spent, 1), "weights": kind}
        write_json(record, {**progress, **metrics})


def selection(scores: dict[str, Score], recipe: Recipe) -> float:
    """The WER that picks the best weights: dev sets averaged by their selection_weight."""
    weights = {c.id: c.selection_weight for c in recipe.dev}
    return sum(weights[i] * s.wer for i, s in scores.items()) / max(1e-9, sum(weights[i] for i in scores))


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint of a run (run.json is what is written last)."""
    whole = [p for p in run.glob("checkpoint-*") if (p / "run.json").is_file()]
    newest = get_last_checkpoint(str(run)) if whole else None
    if newest and not (Path(newest) / "run.json").is_file():
        return max(whole, key=lambda p: int(p.name.split("-")[1]))
    return Path(newest) if newest else None
