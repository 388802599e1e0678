"""What is known to go wrong with a fine-tuning run, before anything trains.

    report = precheck(recipe, home, registry)
    report.blocks, report.rows, report.as_dict()

Modules: precheck_data.py (clips), precheck_text.py (labels), precheck_plan.py (start, rates, budget), precheck_cost.py
(time and memory, measured), precheck_report.py (rows).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrdemo.errors import AsrDemoError, NotFoundError, TrainingError
from asrdemo.finetune import precheck_cost, precheck_data, precheck_plan, precheck_text
from asrdemo.finetune.base import Start
from asrdemo.finetune.precheck_cost import Job
from asrdemo.finetune.precheck_data import Part
from asrdemo.finetune.precheck_report import Estimates, Histogram, Offer, Report, Row, Unknown, from_error
from asrdemo.finetune.recipe import Recipe
from asrdemo.registry import Registry
from asrdemo.types import Progress

__all__ = ["Estimates", "Histogram", "Offer", "Report", "Row", "Unknown", "precheck"]


def precheck(
    recipe: Recipe, home: Path, registry: Registry, progress: Progress | None = None, *, rehearse: bool = True
) -> Report:
    """Look a recipe over; what is wrong is a row of the report, never an error.

    home: the app's, where shards are prepared if they are not there yet. rehearse: run the longest batch and score
    the longest clip, in a process of its own. Raises Cancelled and whatever else `progress` raises.
    """
    tell = progress or (lambda done, total, note: None)
    parts, rows = precheck_data.gather(recipe, home / "shards", tell)
    rows += _language_model(recipe, registry)
    train = [p for p in parts if p.use == "train"]
    if not train:
        return Report(tuple(rows))
    tell(0, 0, "comparing clips, speakers and sentences")
    rows += precheck_data.rows(parts, recipe)
    lengths = precheck_data.histogram(parts)
    tell(0, 0, "opening the base")
    start, opened = _start(recipe, train, registry)
    rows += opened
    if start is None or len(train) < len(recipe.train):
        return Report(tuple(rows), None, lengths)
    rows += precheck_plan.rates(start)
    unknown: tuple[Unknown, ...] = ()
    if recipe.mode != "pretrain":
        tell(0, 0, "writing labels")
        scan = precheck_text.scan([p.shard for p in train], start)
        held = [p.shard for p in parts if p.use != "train"]
        spelled, unknown = precheck_text.rows(scan, recipe, start, held)
        rows += spelled
        if not scan.usable.any():
            return Report(tuple(rows), None, lengths, unknown)
    estimates, planned = _plan(recipe, home, registry, parts, start, rehearse, tell)
    return Report((*rows, *planned), estimates, lengths, unknown)


def _language_model(recipe: Recipe, registry: Registry) -> list[Row]:
    """The one that dev is scored with must be there."""
    name = recipe.evaluation.language_model
    try:
        if name:
            registry.language_model(name)
    except NotFoundError as error:
        return [Row("language model", "block", str(error), "Correct evaluation.language_model, or leave it empty.")]
    return []


def _start(recipe: Recipe, train: Sequence[Part], registry: Registry) -> tuple[Start | None, list[Row]]:
    """The base as training would open it, with what is to be said of it. Sampling rate, blank, and weights that are not
    there are errors of opening."""
    try:
        start = precheck_cost.opened(recipe, [p.shard for p in train], registry)
    except AsrDemoError as error:
        return None, [from_error("base", error, "Take another base.")]
    rows = precheck_plan.opened(start)
    # Only its shape is asked for from here on, and another process is to open the same weights
    return replace(start, model=start.model.to("meta")), rows


def _plan(
    recipe: Recipe, home: Path, registry: Registry, parts: Sequence[Part], start: Start, rehearse: bool, tell: Progress
) -> tuple[Estimates | None, list[Row]]:
    """Steps, passes, time and memory."""
    shards = tuple(p.shard for p in parts if p.use == "train")
    try:
        stream = precheck_plan.stream(shards, start)
    except TrainingError as error:  # of a phase without clips
        return None, [from_error("batches", error)]
    measured, rows = None, []
    if rehearse:
        tell(0, 0, "running the longest batch")
        spec = registry.checkpoints.get(recipe.base.checkpoint) if recipe.base else None
        try:
            held = tuple(p.shard for use in ("dev", "test") for p in parts if p.use == use)
            lm = registry.language_models.get(recipe.evaluation.language_model)
            measured = precheck_cost.apart(Job(recipe, shards, spec, held, lm))
        except TrainingError as error:
            rows = [from_error("longest batch", error)]
    hours = {use: sum(p.shard.hours for p in parts if p.use == use) for use in ("dev", "test")}
    needed = precheck_cost.disk(start.model, start.recipe)
    estimates = precheck_plan.estimate(start.recipe, start.kind, stream, measured, hours["dev"], hours["test"], needed)
    rows += precheck_plan.batches(start, estimates, stream)
    rows += precheck_plan.budget(start.recipe, estimates)
    if measured:
        rows += precheck_plan.room(recipe, measured)
    rows.append(precheck_plan.disk(estimates, shutil.disk_usage(home).free))
    rows += precheck_plan.jobs(start.recipe, estimates)
    return estimates, rows
