"""What a run takes: its longest batch really goes through the model once, and a few usual ones.

    python -m asrdemo.finetune.precheck_cost      a process of its own: a Job comes in, Measured goes out as JSON

Linux ends a process that wants more memory than there is, so that must not be the app.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import torch

from asrdemo.decoding import open_language_model
from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import backends, base, data, evaluate, pretrain
from asrdemo.finetune.flavours import FLAVOURS
from asrdemo.finetune.objective import Ctc, Pretraining
from asrdemo.finetune.precheck_report import Offer
from asrdemo.finetune.recipe import Recipe
from asrdemo.finetune.shards import Shard
from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
from asrdemo.settings import ROOT
from asrdemo.types import SAMPLE_RATE, DecoderOptions

T = TypeVar("T")
GIB = 2**30
ENOUGH = 20.0  # seconds to spend on usual batches
PATIENCE = 600.0  # seconds that it may all take
BUSY = 50.0  # per cent of the processors that others may use at most
_SPARE = 0.9  # of the memory that is free


@dataclass(frozen=True)
class Job:
    """What to measure. shards: of train; spec: of the base where it is a listed checkpoint; held: shards of dev, then
    of test; lm: what dev is scored with."""

    recipe: Recipe
    shards: tuple[Shard, ...]
    spec: CheckpointSpec | None = None
    held: tuple[Shard, ...] = ()
    lm: LanguageModelSpec | None = None


@dataclass(frozen=True)
class Measured:
    """step_seconds: a usual optimiser step, with the loading of its clips; longest_seconds: of the longest batch, whose
    longest clip lasts `longest`. micro_seconds: audio at once that it took (0: all). needed, program, available: bytes
    that training and scoring take, that the program takes before, and that there are. hears: audio seconds scored in a
    second, with the language model if there is one. heard: seconds of the longest clip to evaluate on (0: none);
    unheard: its name where memory does not suffice for it. busy: other programs were at work."""

    device: str
    precision: str
    step_seconds: float
    longest_seconds: float
    longest: float
    micro_seconds: float
    needed: int
    program: int
    available: int
    hears: float
    busy: bool = False
    heard: float = 0.0
    unheard: str = ""

    @property
    def total(self) -> int:
        """Bytes of the whole process, or of the GPU."""
        return self.needed + self.program


def opened(recipe: Recipe, shards: Sequence[Shard], known: Registry) -> base.Start:
    """What training would begin with. Raises what base.open_base and pretrain.open_base raise."""
    if recipe.mode == "pretrain":
        return pretrain.open_base(recipe, known)
    return base.open_base(recipe, (line for shard in shards for line in shard.texts), known)


def apart(job: Job) -> Measured:
    """`measure` in a process of its own. Raises TrainingError."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "asrdemo.finetune.precheck_cost"]
    try:
        done = subprocess.run(
            command,
            input=pickle.dumps(job),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrainingError(
            f"The longest batch was not done in {PATIENCE / 60:.0f} minutes. Take a smaller base, fewer "
            "batches.seconds, or a faster machine."
        ) from error
    said = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == 0:
        return Measured(**json.loads(said))
    if done.returncode == 1 and said:
        raise TrainingError(json.loads(said))
    if done.returncode in (-9, 137):
        least = max(job.recipe.clips.max_seconds, (job.recipe.batches.micro_seconds or job.recipe.batches.seconds) / 2)
        raise TrainingError(f"The longest batch was ended for want of memory. Set batches.micro_seconds: {least:g}.")
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    raise TrainingError(f"The longest batch ended its process ({done.returncode}): {last[:300]}.")


def measure(job: Job, alone: bool = False) -> Measured:
    """Run the longest batch and a few usual ones forward, backward and through an optimiser that changes nothing; then
    score a few clips, and the longest one to evaluate on.

    alone: this process does nothing else, so its memory may be limited to what there is.

    Where memory does not suffice, what goes through the model at once is halved until it does. Raises TrainingError
    where a single clip is too much, and what base.open_base raises.
    """
    busy = psutil.cpu_percent(0.5) > BUSY
    torch.set_num_threads(max(1, job.recipe.batches.threads or len(os.sched_getaffinity(0))))
    program = psutil.Process().memory_info().rss
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = _room(device, alone)
    start = opened(job.recipe, job.shards, Registry({job.spec.id: job.spec} if job.spec else {}))
    base.regularise(start.model, start.recipe.regularisation)
    step = _Step(job, start, device, busy)
    batches = data.plan(step.pool, start.recipe, True, 0)
    seconds = step.pool.seconds
    longest = max(batches, key=lambda b: len(b) * seconds[b].max() ** 2)  # attention grows with the square
    whole, single = float(len(longest) * seconds[longest].max()), float(seconds[longest].max())

    def attempt(micro: float) -> tuple[float, list[float]]:
        step(longest, micro)  # the first of a shape is slower
        took = step(longest, micro)
        return took, [took] if took > ENOUGH else _usual(step, batches, micro)

    micro, (took, usual) = search(attempt, step.clear, job.recipe.batches.micro_seconds, whole, single)
    hears, heard, unheard = step.score(job) if job.held and job.recipe.dev else (math.inf, 0.0, "")
    e = job.recipe.evaluation
    weights = sum(w.numel() * w.element_size() for w in start.model.state_dict().values())
    kept = weights * (bool(e.average_decay) + bool(e.blend))  # the average, and the base's own to blend in
    if device.type == "cuda":
        needed, program = torch.cuda.max_memory_allocated(), 0
    else:
        needed = max(0, _most_resident() - program)
    return Measured(
        device.type, step.precision, float(np.mean(usual)), took, single, micro, needed + kept, program,
        available, hears, busy, heard, unheard,
    )  # fmt: skip


class _Step:
    """An optimiser step of a batch, as the training loop takes it; clips at the slowest speed they may get."""

    def __init__(self, job: Job, start: base.Start, device: torch.device, busy: bool = False):
        recipe = start.recipe
        slowest = min(recipe.augment.speed)
        slow = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, speed=(slowest, slowest)))
        self.start, self.device, self.busy, self.precision = start, device, busy, evaluate.precision(recipe)
        self.pool = data.pool(job.shards, recipe.train, start)
        self.stream = data.Batches(self.pool, slow, start, data.Phase(recipe, settled=True))
        self.objective = (Pretraining if recipe.mode == "pretrain" else Ctc)(start, self.precision)
        self.model = start.model.to(device)
        if recipe.batches.activation_checkpointing:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        trained = [w for w in self.model.parameters() if w.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)

    def __call__(self, batch: list[int], micro: float) -> float:
        """Seconds that it took."""
        watch = self.watch()
        item = self._item(batch)
        total = self.objective.count(item)
        self.model.train()
        for rows in data.micro_batches([len(w) for w in item["waves"]], micro):
            with evaluate.autocast(self.device, self.precision):
                loss = self.objective.loss(self.model, item, rows, 0) / total
            loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return watch()

    def watch(self) -> Callable[[], float]:
        """Gives the seconds since now; where other programs keep a CPU busy, processor time over the threads: what it
        would take alone, or a little less."""
        wall, processor = time.monotonic(), time.process_time()

        def stop() -> float:
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.monotonic() - wall
            share = (time.process_time() - processor) / torch.get_num_threads()
            return min(seconds, share) if self.busy and self.device.type == "cpu" else seconds

        return stop

    def score(self, job: Job) -> tuple[float, float, str]:
        """(audio seconds scored in a second, seconds of the longest clip to evaluate on, its name if it does not fit).

        What the loop holds while it scores is held here too: copies of the weights. Raises TrainingError.
        """
        blend = job.recipe.evaluation.blend
        held = [{n: w.clone() for n, w in self.model.state_dict().items()} for _ in range(2 if blend else 1)]
        objective = Pretraining(self.start, self.precision) if job.recipe.mode == "pretrain" else _ctc(self, job.lm)
        shard, hears = job.held[0], math.inf
        order = np.argsort(shard.lengths, kind="stable")
        middle = int(shard.lengths[order[len(order) // 2]])
        count = max(1, int(evaluate.BATCH_SECONDS * SAMPLE_RATE / middle))
        usual = order[max(0, (len(order) - count) // 2) :][:count]
        longest = max(job.held, key=lambda s: s.lengths.max())
        place = int(longest.lengths.argmax())
        name = f"{shard.id}/{shard.names[int(usual[-1])]}"
        try:
            for _ in range(2):  # the first of a shape is slower
                watch = self.watch()
                objective.score(self.model, [_some(shard, usual, job.recipe)])
                hears = float(shard.lengths[usual].sum()) / SAMPLE_RATE / max(1e-6, watch())
            name = f"{longest.id}/{longest.names[place]}"
            objective.score(self.model, [_some(longest, np.array([place]), job.recipe)])
            name = ""
        except (MemoryError, RuntimeError, TrainingError) as error:
            if not _for_want_of_memory(error.__cause__ or error):
                raise TrainingError(f"Scoring fails: {str(error).splitlines()[0][:300]}.") from error
        held.clear()
        return hears, float(longest.lengths[place]) / SAMPLE_RATE, name

    def _item(self, batch: list[int]) -> dict[str, Any]:
        return self.stream.item(batch, {"round": 0, "taken": 0, "settled": True})

    def clear(self) -> None:
        """After memory has run out."""
        self.optimiser.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _ctc(step: _Step, lm: LanguageModelSpec | None) -> Ctc:
    """The objective, with the language model that dev is scored with."""
    if lm is None:
        return Ctc(step.start, step.precision)
    options = DecoderOptions(kind="beam", lm=lm.id, alpha=lm.alpha, beta=lm.beta)
    return Ctc(step.start, step.precision, evaluate.Search(open_language_model(lm), options))


def _some(shard: Shard, rows: np.ndarray, recipe: Recipe) -> Shard:
    """These clips of a shard, as if they were all of the first dev set."""
    return dataclasses.replace(shard, id=recipe.dev[0].id, index=shard.index.take(rows))


def _usual(step: _Step, batches: list[list[int]], micro: float) -> list[float]:
    """Seconds of up to three batches from the middle of the range of sizes; the first of a shape is slower, so the
    longest has gone before."""
    order = sorted(batches, key=lambda b: len(b) * step.pool.seconds[b].max())
    took: list[float] = []
    for share in (0.5, 0.25, 0.75):
        if sum(took) < ENOUGH:
            took.append(step(order[int(share * (len(order) - 1))], micro))
    return took


def search(
    attempt: Callable[[float], T], clear: Callable[[], None], micro: float, whole: float, single: float
) -> tuple[float, T]:
    """(audio seconds at once that fit, what the attempt gave): from `micro` (0: a whole batch, of `whole` seconds) on
    halved until memory suffices.

    clear: after memory has run out. Raises TrainingError where a single clip, of `single` seconds, is too much.
    """
    while True:
        try:
            return micro, attempt(micro)
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one
            if not _for_want_of_memory(error):
                raise TrainingError(f"The longest batch fails: {str(error).splitlines()[0][:300]}.") from error
        clear()
        current = micro or whole
        if current <= single:
            raise TrainingError(
                f"Memory does not suffice for training on a single clip of {single:.1f} s. Lower clips.max_seconds, "
                "turn on batches.activation_checkpointing, or take a smaller base or another machine."
            )
        micro = max(single, current / 2)


def _for_want_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)


def _room(device: torch.device, limit: bool) -> int:
    """Bytes that this process may have. On a CPU, with `limit`, more is refused to it, which is an error to learn from;
    else Linux would end it, or another one."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        if limit:
            here = Path("/proc/self/status").read_text().splitlines()
            used = next(int(line.split()[1]) * 1024 for line in here if line.startswith("VmData"))
            resource.setrlimit(resource.RLIMIT_DATA, (used + int(_SPARE * free), resource.RLIM_INFINITY))
            Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go, if it comes to that
    return free + psutil.Process().memory_info().rss


def _most_resident() -> int:
    """Bytes this process has held at most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def disk(model: Any, recipe: Recipe) -> int:
    """Bytes of a run directory: three checkpoints (one of them being written), with the optimiser's two moments of each
    weight that trains and the averaged weights, and the best weights twice."""
    weights = sum(w.numel() for w in model.parameters()) * 4
    trained = sum(w.numel() for w in model.parameters() if w.requires_grad) * 4
    average = weights if recipe.evaluation.average_decay else 0
    return 3 * (weights + 2 * trained + average) + 2 * weights


def offers(needed: int | None, minutes: float) -> tuple[Offer, ...]:
    """Every flavour. needed: bytes that training takes beside the program; minutes: that the job may last, 0 for no
    limit."""
    return tuple(
        Offer(
            name, f.gpus, f.memory_gb, f.dollars,
            None if needed is None else needed <= _SPARE * f.memory_gb * 1e9,
            backends.cost(name, minutes) if minutes > 0 else None,
        )
        for name, f in FLAVOURS.items()
    )  # fmt: skip


def main() -> int:
    """Of the process of its own."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        found = measure(pickle.load(sys.stdin.buffer), alone=True)
    except AsrDemoError as error:
        print(json.dumps(str(error)), file=answers, flush=True)
        return 1
    print(json.dumps(dataclasses.asdict(found)), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
