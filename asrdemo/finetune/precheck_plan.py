"""Prechecks of what is to be done: the start, rates, batches, and what the budget is good for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from asrdemo.finetune import backends, data, precheck_cost
from asrdemo.finetune.base import Start
from asrdemo.finetune.flavours import PRICES_READ
from asrdemo.finetune.precheck_cost import GIB, Measured
from asrdemo.finetune.precheck_report import Estimates, Row, length, number, percent
from asrdemo.finetune.recipe import DEFAULTS, RATES, Kind, Recipe
from asrdemo.finetune.shards import Shard

HIGHEST = MappingProxyType({"scratch": 3e-3, "tiny": 1e-3, "pretrained": 5e-4, "finetuned": 3e-4})
"""Learning rates that go well where all weights train, by kind of base (speechbrain #1410 for a tuned one)."""
FEW = 10.0  # times its usual rate that a mode which trains few weights bears
FEWEST_PASSES, MOST_PASSES = 1.0, 100.0
FEWEST_CLIPS = 4.0  # in a batch
BUSY = " (from processor time, for other programs are at work)"
MOST_SCORING = 0.4  # of the time that may go to evaluation
_KINDS = {
    "scratch": "random weights",
    "tiny": "a small model that is already fine-tuned",
    "pretrained": "a model without a trained output layer",
    "finetuned": "a model that is already fine-tuned",
}


class Stream(NamedTuple):
    """One pass over the clips. batches: effective ones; clips: in a usual one; padding: share of a batch; audio: hours
    in the pass, each clip as often as it comes up."""

    batches: int
    clips: float
    padding: float
    audio: float


def stream(shards: Sequence[Shard], start: Start) -> Stream:
    """Plan the first pass. Raises TrainingError where there is nothing to train on."""
    clips = data.pool(shards, start.recipe.train, start)
    planned = data.plan(clips, start.recipe, True, 0)
    if start.recipe.plateau:
        data.plan(clips, start.recipe, False, 0)  # has it clips short enough?
    padded = sum(len(b) * clips.seconds[b].max() for b in planned)
    audio = sum(float(clips.seconds[b].sum()) for b in planned)
    usual = float(np.median([len(b) for b in planned])) if planned else 0.0
    return Stream(len(planned), usual, 1 - audio / max(padded, 1e-9), audio / 3600)


def opened(start: Start) -> list[Row]:
    """What the run begins with."""
    size = sum(w.numel() for w in start.model.parameters())
    trained = sum(w.numel() for w in start.model.parameters() if w.requires_grad)
    sentence = (
        f"The run starts from {_KINDS[start.kind]}: {size / 1e6:.1f} M weights, {trained / 1e6:.1f} M of which train; "
        "it hears 16 kHz."
    )
    rows = [Row("base", "ok", sentence)]
    if start.kind == "scratch":
        sentence = "Training starts from random weights: that takes hours of audio in the tens, and hours of time."
        rows.append(Row("weights", "warn", sentence, "Name a `base` unless this is what you mean."))
    elif start.new_weights:
        what = "The output layer is new" if all("lm_head" in n for n in start.new_weights) else "Weights are new"
        sentence = f"{what} ({number(len(start.new_weights), 'tensor')}): at first the WER is 100 %."
        rows.append(Row("weights", "ok", sentence, names=start.new_weights))
    else:
        rows.append(Row("weights", "ok", "All weights come from the base, the output layer too."))
    if not start.masks:
        sentence = (
            "The base has a group-norm front end, which hears padding as silence: in training, a clip's output depends "
            "a little on the longest clip of its batch. Evaluation runs clips of equal length together."
        )
        rows.append(Row("front end", "ok", sentence))
    return rows


def rates(start: Start) -> list[Row]:
    """The learning rate against what is trained."""
    recipe = start.recipe
    rate, most, usual = recipe.optimiser.learning_rate or 0.0, HIGHEST[start.kind], 0.0
    what = _KINDS[start.kind]
    if recipe.mode in RATES:
        usual = RATES[recipe.mode]
        most, what = FEW * usual, f"mode {recipe.mode}"
    if rate <= most:
        return [Row("learning rate", "ok", f"The learning rate of {rate:g} suits {what}.")]
    usual = usual or DEFAULTS[start.kind]["optimiser"]["learning_rate"]
    sentence = (
        f"The learning rate of {rate:g} is high for {what}: over {most:g} training may diverge, or "
        "unlearn what the base knows."
    )
    change = {"optimiser": {"learning_rate": usual}}
    return [Row("learning rate", "warn", sentence, f"Set optimiser.learning_rate: {usual:g}.", change=change)]


def estimate(
    recipe: Recipe, kind: Kind, pass_: Stream, measured: Measured | None, dev: float, test: float, disk: int
) -> Estimates:
    """Put together what was measured. dev, test: hours to evaluate on; disk: bytes of the run directory."""
    b = recipe.batches
    values: dict[str, float | int | None] = {}
    steps: float | None = b.max_steps or None
    if measured:
        step = measured.step_seconds
        e, hour = recipe.evaluation, 3600 / measured.hears  # seconds to score an hour
        scoring = hour * dev * (1 + bool(e.average_decay) + bool(e.blend))
        before = hour * (2 * dev + test) if kind in ("tiny", "finetuned") else 0.0
        after = hour * (dev + test) if recipe.mode != "pretrain" else 0.0
        steps, seconds = _within(recipe, step, scoring, before)
        seconds += after
        values = {
            "busy": measured.busy,
            "step_seconds": round(step, 4), "longest_seconds": round(measured.longest_seconds, 3),
            "memory_gib": round(measured.total / GIB, 2), "available_gib": round(measured.available / GIB, 1),
            "micro_seconds": measured.micro_seconds, "pass_hours": round(step * pass_.batches / 3600, 4),
            "minutes": round(seconds / 60, 1),
        }  # fmt: skip
    passes = round(steps / max(1, pass_.batches), 2) if steps is not None else None
    return Estimates(
        device=measured.device if measured else "",
        precision=measured.precision if measured else b.precision,
        steps_a_pass=pass_.batches,
        clips_a_batch=pass_.clips,
        padding=round(pass_.padding, 4),
        disk_gib=round(disk / GIB, 2),
        steps=int(steps) if steps is not None else None,
        passes=passes,
        jobs=precheck_cost.offers(measured.needed if measured else None, _rented(recipe)),
        **values,  # type: ignore[arg-type]
    )


def _within(recipe: Recipe, step: float, scoring: float, before: float) -> tuple[float, float]:
    """(steps, seconds) that the budget allows, when an evaluation takes `scoring` and the base `before` the first. The
    last evaluation comes when the budget is used up."""
    b, e = recipe.batches, recipe.evaluation
    every = e.every_steps * step if e.every_steps else e.every_minutes * 60  # of work, from the end of the last one on
    each = step + scoring * step / max(every, step)  # a step with its share of evaluation
    most = b.max_steps or math.inf
    if b.max_minutes > 0:
        most = min(most, max(0.0, b.max_minutes * 60 - before) / each)
    most = float(math.floor(most))
    return most, before + most * each + scoring


def _rented(recipe: Recipe) -> float:
    """Minutes after which a job is ended, 0 where the recipe does not say."""
    return backends.timeout_of(recipe) if recipe.batches.max_minutes > 0 else 0.0


def batches(start: Start, estimates: Estimates, pass_: Stream) -> Iterator[Row]:
    """How many clips a step sees."""
    count, seconds = estimates.clips_a_batch, start.recipe.batches.seconds
    sentence = (
        f"A batch of {seconds:g} s holds {number(round(count), 'clip')}, {percent(pass_.padding)} of it padding; a "
        f"pass over {length(3600 * pass_.audio)} of audio takes {number(pass_.batches, 'step')}."
    )
    if count >= FEWEST_CLIPS:
        yield Row("batches", "ok", sentence)
        return
    more = math.ceil(seconds * FEWEST_CLIPS / max(1.0, count))
    fix = f"Set batches.seconds: {more}, or its gradients are noisy; batches.micro_seconds keeps memory as it is."
    yield Row("batches", "warn", sentence, fix, change={"batches": {"seconds": float(more)}})


def budget(recipe: Recipe, estimates: Estimates) -> Iterator[Row]:
    """What the minutes or steps are good for."""
    steps, passes, warmup = estimates.steps, estimates.passes, recipe.optimiser.warmup_steps or 0
    if steps is None or passes is None:
        return
    time = ""
    if estimates.step_seconds and estimates.minutes is not None:
        where = "the GPU" if estimates.device == "cuda" else "the CPU"
        each = f"{estimates.step_seconds:.2g} s each on {where} in {estimates.precision}"
        time = f" in {length(estimates.minutes * 60)}, {each}{BUSY if estimates.busy else ''}"
    sentence = f"This run: {number(steps, 'step')}{time}; {passes:.3g} passes over the data."
    if passes < FEWEST_PASSES:
        part = f"{sentence[:-1]}, so {percent(1 - passes)} of it is never heard."
        yield Row("budget", "warn", part, "Raise batches.max_minutes (or max_steps), or take fewer `hours`.")
    elif passes > MOST_PASSES:
        yield Row("budget", "warn", sentence, "Take more audio or fewer minutes: a model learns so few clips by heart.")
    else:
        yield Row("budget", "ok", sentence)
    if warmup > steps / 2:
        sentence = f"Warm-up takes {number(warmup, 'step')} of {steps:,}: the learning rate hardly reaches its height."
        tenth = max(1, steps // 10)
        change = {"optimiser": {"warmup_steps": tenth}}
        yield Row("warm-up", "warn", sentence, f"Set optimiser.warmup_steps: {tenth}.", change=change)
    if estimates.step_seconds and estimates.minutes:
        scoring = 1 - steps * estimates.step_seconds / (estimates.minutes * 60)
        if scoring > MOST_SCORING:
            sentence = f"Evaluation takes {percent(scoring)} of the {estimates.minutes:g} minutes."
            yield Row(
                "evaluation",
                "warn",
                sentence,
                "Raise evaluation.every_minutes or every_steps, or give the dev sets fewer `hours`.",
            )


def room(recipe: Recipe, measured: Measured) -> Iterator[Row]:
    """Whether the longest batch fits, and the longest clip to evaluate on."""
    where = "of the GPU's" if measured.device == "cuda" else "of"
    took = (
        f"the longest batch, with a clip of {measured.longest:.1f} s, took {length(measured.longest_seconds)} and "
        f"{measured.total / GIB:.1f} GiB {where} {measured.available / GIB:.1f} GiB"
    )
    if measured.unheard:
        sentence = (
            f"Memory does not suffice for scoring {measured.unheard}: the longest clip to evaluate on lasts "
            f"{length(measured.heard)}."
        )
        fix = "Cut such clips or leave them out of dev and test, or take a smaller base or a machine with more memory."
        yield Row("evaluation memory", "block", sentence, fix, (measured.unheard,))
    elif measured.heard:
        took += f", scoring a clip of {measured.heard:.1f} s included"
    if measured.micro_seconds != recipe.batches.micro_seconds:
        seconds = math.floor(measured.micro_seconds * 10) / 10
        least = max(seconds, recipe.clips.max_seconds)
        at_once = recipe.batches.micro_seconds or recipe.batches.seconds
        sentence = f"{at_once:g} s of audio at once do not fit into memory; with {seconds:g} s {took}."
        fix = f"Set batches.micro_seconds: {least:g}; what is learnt stays the same."
        state = "warn" if measured.device == "cuda" else "block"  # there the run halves by itself; here it is killed
        yield Row("memory", state, sentence, fix, change={"batches": {"micro_seconds": least}})  # type: ignore[arg-type]
    elif measured.total > measured.available:
        fix = "Set batches.micro_seconds, lower clips.max_seconds, or take a smaller base."
        yield Row("memory", "block", f"It does not fit: {took}.", fix)
    else:
        yield Row("memory", "ok", f"It fits: {took}.")


def disk(estimates: Estimates, free: int) -> Row:
    """Checkpoints."""
    sentence = f"Checkpoints take up to {estimates.disk_gib:.1f} GiB of disk; {free / GIB:.0f} GiB are free."
    if estimates.disk_gib * GIB < free:
        return Row("disk", "ok", sentence)
    return Row("disk", "block", sentence, "Make room, or set ASRDEMO_HOME to a larger disk.")


def jobs(recipe: Recipe, estimates: Estimates) -> Iterator[Row]:
    """The cheapest GPU of Hugging Face Jobs that it fits on."""
    fitting = [o for o in estimates.jobs if o.gpus == 1 and o.fits and o.dollars is not None]
    if fitting:
        best = min(fitting, key=lambda o: o.dollars_an_hour)
        sentence = (
            f"On Hugging Face Jobs the budget of {recipe.batches.max_minutes:g} minutes, and "
            f"{backends.SPARE_MINUTES} to install, prepare and score, cost at most ${best.dollars:.2f} on "
            f"{best.flavour} (${best.dollars_an_hour:.2f} an hour, {PRICES_READ})."
        )
        yield Row("cost", "ok", sentence)
