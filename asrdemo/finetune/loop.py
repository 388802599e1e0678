"""What this project adds to the transformers Trainer: an effective batch that nothing changes, a budget of minutes,
averaged weights, scoring on dev, and a watchdog that is listened to."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from asrdemo.acoustic.loading import HEADS
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, export, journal, plots
from asrdemo.finetune.clock import Average, Clock
from asrdemo.finetune.data import Batches, Phase, micro_batches
from asrdemo.finetune.objective import Objective, Outcome
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe
from asrdemo.finetune.watchdog import Alert, Watchdog
from asrdemo.types import SAMPLE_RATE

ASKED = "asked to stop"


@dataclass
class Running:
    """What the parts of a running program share.

    precision: bf16, fp16 or fp32. base_weights: what the run began with, where it may be blended in. tell: (step, note)
    for whoever watches. stop_asked: whether somebody wants the run to end after this step.
    """

    folder: Path
    recipe: Recipe
    start: base.Start
    clock: Clock
    phase: Phase
    average: Average | None
    base_weights: dict[str, torch.Tensor] | None
    journal: journal.Journal
    watchdog: Watchdog
    dev: list[Shard]
    precision: str
    batches: Batches
    tell: Callable[[int, str], None] = lambda step, note: None
    stop_asked: Callable[[], bool] = lambda: False
    train_loss: float = math.nan
    audio_seconds: float = 0.0
    stopped: str = ""  # why the run ended before its budget was used up

    def alert(self, found: list[Alert]) -> None:
        """Write alerts down."""
        for one in found:
            self.journal.add(journal.ALERTS, asdict(one))

    def ended(self, why: str = "") -> bool:
        """Whether the run is to end early; all processes must at the same step, whichever of them has a reason."""
        self.stopped = self.stopped or why or self.watchdog.verdict(self.recipe.evaluation.patience)
        if agreed(bool(self.stopped)):
            self.stopped = self.stopped or ASKED
        return bool(self.stopped)

    def finished(self, step: int) -> bool:
        """Whether the budget is used up after so many steps."""
        return self.clock.progress(step) >= 1


class Minder(TrainerCallback):
    """Minds the clock (evaluation, checkpoints, the end), the phase and the average; ends a run that should end."""

    def __init__(self, run: Running):
        self.run = run
        run.clock.tick()  # the base may have been scored meanwhile
        self._evaluated = self._saved = run.clock.spent
        self._regularised = False

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Dropout and masks come on when it is time for them."""
        late = self.run.clock.progress(state.global_step) >= self.run.recipe.regularisation.start
        if self.run.phase.settled and late and not self._regularised:
            base.regularise(model, self.run.recipe.regularisation)
            self._regularised = True

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> Any:
        """After an optimiser step: average, and see whether it is time for something."""
        run, step = self.run, state.global_step
        run.clock.tick()
        if run.average and step % Average.EVERY == 0:
            run.average.update(self._plain(model))
        e, now = run.recipe.evaluation, run.clock.spent
        finished, stopped = run.finished(step), run.ended(ASKED if run.stop_asked() else "")
        due = step % e.every_steps == 0 if e.every_steps else now - self._evaluated >= e.every_minutes * 60
        if finished or due or (stopped and not run.dev):
            control.should_evaluate, self._evaluated = True, now
        if finished or stopped or now - self._saved >= e.save_minutes * 60:
            control.should_save, self._saved = True, now
        control.should_training_stop = control.should_training_stop or finished or stopped
        return control

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """A watchdog that wants the run to end, or patience that is over, is heard at once. The minutes to the next
        evaluation begin where this one ends, or one that takes longer would follow every step."""
        self.run.clock.tick()
        self._evaluated = self.run.clock.spent
        before = self.run.stopped
        if self.run.ended():
            why = self.run.stopped
            if not before and why.startswith("no better"):  # the watchdog's own reasons have their alerts
                sentence = f"There was {why} (evaluation.patience). The best weights so far are kept."
                self.run.alert([Alert(state.global_step, "patience", sentence, "stop")])
            control.should_training_stop = control.should_save = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """A line of metrics; the plateau phase ends when the loss has left it."""
        run = self.run
        known = {name: value for name, value in (logs or {}).items() if name != "epoch"}  # the stream has no end
        record = {"step": state.global_step, "seconds": round(run.clock.spent, 1), **known}
        if "loss" in record:
            run.train_loss = record["loss"]
            record["audio_hours"] = round(run.audio_seconds * args.world_size / 3600, 4)
            record |= memory()
            plateau = run.recipe.plateau
            if plateau and not run.phase.settled:
                left = record["loss"] < plateau.until_loss or state.global_step >= plateau.max_steps
                run.phase.settled = left
                record |= {"phase": "settled"} if left else {}
        run.journal.add(journal.METRICS, record)
        if run.journal.writes:
            print(journal.told(record), flush=True)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Complete the Trainer's checkpoint with what it does not know; run.json is what makes it whole."""
        if not state.is_world_process_zero:
            return
        run, folder = self.run, self.run.folder / f"checkpoint-{state.global_step}"
        if run.average:
            run.average.save(folder / "average.safetensors")
        record = {"seconds": run.clock.spent, "settled": run.phase.settled, "place": run.batches.place}
        record |= {"audio_seconds": run.audio_seconds, "watchdog": run.watchdog.state()}
        journal.write_json(folder / "run.json", record)

    @staticmethod
    def _plain(model: Any) -> Any:
        return getattr(model, "module", model)  # without DDP around it: other names


class CtcTrainer(Trainer):
    """Trainer over an endless stream of effective batches.

    The loss of a step is the sum over its clips divided by its labels, whatever the number of processes and of
    micro-batches. When memory does not suffice, micro-batches are halved and the step is taken again: the effective
    batch, and so the result, stays the same.
    """

    def __init__(self, *, run: Running, objective: Objective, **kw: Any):
        super().__init__(**kw)
        self.run: Running = run
        self.objective: Objective = objective
        self.micro_seconds = run.recipe.batches.micro_seconds
        self._scored = -1  # step of the last evaluation
        self._counted = self._left_out = 0  # steps with a loss and without since the last line of metrics

    def get_train_dataloader(self) -> DataLoader:
        """The stream's items as they are, whole, also from workers."""
        workers = self.run.recipe.batches.workers if self.run.phase.settled else 0  # a phase does not reach workers
        return DataLoader(cast(Batches, self.train_dataset), batch_size=None, num_workers=workers)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: inputs are lists of clips here."""
        return 0

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Trainer's, with the head in groups of its own, so that it may move alone at first (`head_steps`)."""
        optimizer = super().create_optimizer(model)
        head = {id(p) for n, p in cast(Any, self.model).named_parameters() if n.startswith(HEADS)}
        groups = [
            {**group, "params": kept}
            for group in optimizer.param_groups
            for own in (True, False)
            if (kept := [p for p in group["params"] if (id(p) in head) is own])
        ]
        optimizer.param_groups = groups
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Linear warm-up by steps, then held, then falling as the recipe says, by the budget."""
        optimizer = cast(torch.optim.Optimizer, optimizer or self.optimizer)
        o, clock = self.run.recipe.optimiser, self.run.clock
        warmup = max(1, o.warmup_steps or 0)
        head = {id(p) for n, p in cast(Any, self.model).named_parameters() if n.startswith(HEADS)}
        falls = {
            "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
            "linear": lambda x: 1 - x,
            "constant": lambda x: 1.0,
        }

        def factor(step: int) -> float:
            falling = max(0.0, clock.progress(step) - o.hold) / (1 - o.hold)
            return min(1.0, (step + 1) / warmup) * falls[o.schedule](falling)

        def body(step: int) -> float:
            return 0.0 if step < o.head_steps else factor(step)

        alone = [id(group["params"][0]) in head for group in optimizer.param_groups]
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [factor if a else body for a in alone])
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradients of an effective batch; the loss a label (its mean over processes is the batch's)."""
        model.train()
        count = self.objective.count(inputs) if inputs["counts"] else 0
        total = max(1, int(summed(count)))
        while True:
            try:
                loss = self._backward(model, inputs, total)
                break
            except torch.OutOfMemoryError as error:
                self._smaller([len(w) for w in inputs["waves"]], error)
                model.zero_grad()
        self.run.batches.place = inputs["place"]
        self.run.audio_seconds += inputs["audio_seconds"]
        self._loss = summed(float(loss)) / self.args.world_size
        if math.isfinite(self._loss):
            self._counted += 1
            return loss
        self._left_out += 1
        return torch.zeros_like(loss)  # Trainer sums losses up, and would never be rid of one that is no number

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Trainer's, with the mean loss of the steps that had one."""
        if "loss" in logs:
            steps = self._counted + self._left_out
            logs["loss"] = logs["loss"] * steps / self._counted if self._counted else math.nan
            self._counted = self._left_out = 0
        super().log(logs, start_time)

    def _backward(self, model: Any, inputs: dict[str, Any], total: int) -> torch.Tensor:
        """DDP averages gradients over processes: hence the factor."""
        scale = self.args.world_size * float(inputs["counts"]) / total
        parts = micro_batches([len(w) for w in inputs["waves"]], self.micro_seconds)
        loss = torch.zeros((), device=self.args.device)
        for number, rows in enumerate(parts):
            last = number == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    part = self.objective.loss(model, inputs, rows, self.state.global_step) * scale
                self.accelerator.backward(part)
            loss += part.detach()
        return loss

    def _smaller(self, lengths: list[int], error: torch.OutOfMemoryError) -> None:
        """Halve what goes through the model at once. Raises TrainingError where that cannot help."""
        longest = max(lengths) / SAMPLE_RATE
        current = self.micro_seconds or longest * len(lengths)
        if self.args.world_size > 1:
            raise TrainingError(
                f"Out of memory with {current:.0f} s of audio at once. Resume the run with batches.micro_seconds: "
                f"{max(longest, current / 2):.0f}; the effective batch stays as it is."
            ) from error
        if current <= longest:
            raise TrainingError(
                f"Out of memory with a single clip of {longest:.1f} s. Lower clips.max_seconds, turn on "
                "batches.activation_checkpointing, or use a smaller base."
            ) from error
        self.micro_seconds = max(longest, current / 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        step = self.state.global_step
        sentence = (
            f"Out of memory: from now on at most {self.micro_seconds:.0f} s of audio go through the model at once, in "
            "more parts. The effective batch, and what is learnt, stay the same."
        )
        self.run.alert([Alert(step, "out_of_memory", sentence, "warn")])

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip; a step whose gradients are not finite changes nothing (fp16's scaler sees to that itself)."""
        norm = super()._clip_grad_norm(model)
        if not (math.isfinite(float(norm)) and math.isfinite(self._loss)) and self.run.precision != "fp16":
            model.zero_grad()
        watch = self.run.watchdog
        self.run.alert(watch.stepped(self.state.global_step + 1, self._loss, float(norm)))
        self.run.tell(self.state.global_step + 1, "training")
        return norm

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score dev with the weights, their average and a blend with the base's; the best of them may go to best/."""
        run, network, step = self.run, cast(Any, self.model), self.state.global_step
        if self._scored == step:
            return {}  # Trainer asks once more when it ends
        self._scored = step
        if not run.dev:
            self._keep_last()
            return {}
        run.tell(step, "scoring dev")
        current = {n: w.clone() for n, w in network.state_dict().items()}
        found = {"now": self.objective.score(network, run.dev)}
        candidates = self._candidates(current) if step else {}
        for kind, weights in candidates.items():
            network.load_state_dict(weights)
            found[kind] = self.objective.score(network, run.dev)
        better = min(found, key=lambda kind: found[kind].selection)
        outcome = found[better]
        metrics = {f"eval_{kind}_selection": round(o.selection, 5) for kind, o in found.items()}
        metrics |= {f"eval_{name}": value for name, value in outcome.metrics.items()}
        metrics["eval_selection"] = round(outcome.selection, 5)
        if self.is_world_process_zero():
            network.load_state_dict(candidates.get(better, current))
            self._keep(outcome, metrics, better)
        network.load_state_dict(current)
        watch = run.watchdog
        heard = (outcome.blank_share, run.train_loss, outcome.loss, outcome.letters)
        run.alert(watch.evaluated(step, outcome.selection, *heard))
        self.log(dict(metrics))
        run.journal.tabulate()
        if run.journal.writes:
            plots.write(run.folder)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _candidates(self, current: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        """Other weights than those of this step that may be better."""
        run = self.run
        found = {"average": run.average.weights} if run.average else {}
        share = run.recipe.evaluation.blend
        if share and run.base_weights:
            trained = found.get("average", current)
            found["blend"] = {
                n: torch.lerp(w, run.base_weights[n].to(w), share) if w.is_floating_point() else w
                for n, w in trained.items()
            }
        return found

    def _keep(self, outcome: Outcome, metrics: dict[str, float], kind: str) -> None:
        """Samples, and the model's weights if they are the best so far."""
        run, step = self.run, self.state.global_step
        run.journal.add(journal.SAMPLES, {"step": step, "samples": outcome.samples, "slices": outcome.slices})
        record = run.folder / "best.json"
        if record.is_file() and journal.read_json(record)["eval_selection"] <= metrics["eval_selection"]:
            return
        self._export({"weights": kind, **metrics})

    def _keep_last(self) -> None:
        """Without a dev set nobody can say which weights are best: the newest are kept."""
        if self.is_world_process_zero() and self.state.global_step:
            self._export({"weights": "now"})

    def _export(self, said: dict[str, Any]) -> None:
        """The model's weights to best/, and what is known of them."""
        run = self.run
        export.export(self.model, run.start, run.folder / "best", torch.float32)
        when = {"step": self.state.global_step, "seconds": round(run.clock.spent, 1)}
        journal.write_json(run.folder / "best.json", {**when, **said})


def summed(value: float) -> float:
    """Over all processes."""
    if not torch.distributed.is_initialized():
        return value
    whole = torch.tensor(float(value), dtype=torch.float64)
    whole = whole.to("cpu" if torch.distributed.get_backend() == "gloo" else "cuda")
    torch.distributed.all_reduce(whole)
    return float(whole)


def agreed(asked: bool) -> bool:
    """Whether any process was asked to stop; all must end at the same step."""
    return summed(float(asked)) > 0


def memory() -> dict[str, float]:
    """Resident memory of this process, and the most a GPU has held, in GiB."""
    found = {"memory_gb": round(psutil.Process().memory_info().rss / 2**30, 2)}
    if torch.cuda.is_available():
        found["gpu_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def whole_checkpoints(run: Path) -> list[Path]:
    """Of a run, oldest first; run.json is what is written last."""
    found = [p.parent for p in run.glob("checkpoint-*/run.json")]
    return sorted(found, key=lambda p: int(p.name.split("-")[1]))
