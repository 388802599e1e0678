"""Watching runs and what one may do with them, as plain functions. All that is shown is read from run directories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asrdemo import process
from asrdemo.errors import AsrDemoError, NotFoundError, TrainingError
from asrdemo.finetune import card_scores, contents, runs, scores, sweep
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.recipe import Recipe
from asrdemo.finetune.runs import Run
from asrdemo.ui.finetune import access, charts, markup, outcome, run_html, scores_html, sweep_html
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.finetune.history import History

MOST_LISTED = 50
LOG_LINES = 60


@dataclass(frozen=True)
class Watch:
    """What the page shows of the runs. listed, head, curves, scores, samples, log: HTML; command: to copy; run: the
    name of the opened one. live: whether to look again soon. Then which buttons make sense."""

    listed: str
    head: str = ""
    curves: str = ""
    scores: str = ""
    samples: str = ""
    log: str = ""
    command: str = ""
    run: str = ""
    live: bool = False
    can_stop: bool = False
    can_resume: bool = False
    can_clone: bool = False
    can_register: bool = False
    can_evaluate: bool = False
    has_card: bool = False

    @property
    def next(self) -> str:
        """What most would do now: the name of a button, "" for none."""
        went_wrong = self.can_resume and "✕" in self.head
        steps = ("resume", went_wrong), ("register", self.can_register), ("evaluate", self.can_evaluate)
        return next((name for name, makes_sense in steps if makes_sense), "")


def watch(desk: Desk, name: str = "", problem: str = "") -> Watch:
    """All runs, and the one of that name, or the one that trains or the newest where none is named. problem: why what
    was just asked for did not work."""
    home = desk.services.settings.home
    found = runs.runs(home)
    if not found:
        return Watch(markup.problem(problem) + run_html.NONE)
    chosen = next((run for run in found if run.name == name), None)
    if name and not chosen:
        problem = problem or f"There is no run {name[:100]!r}; it may have been deleted."
    run = chosen or next((r for r in runs.queue(home) if r.state == "running"), found[0])
    history = _history(desk, run)
    recipe = _recipe(run)
    known_as = outcome.registered_as(desk, run)
    evaluating = outcome.going_on(desk, recipe, known_as)
    live = bool(evaluating) or any(each.active for each in found)
    listed = run_html.list_html(found[:MOST_LISTED], run.name, len(found), live, runs.eta)
    last: dict[str, Any] = next(
        (row for row in reversed(runs.samples(run)) if row.get("samples") or row.get("slices")), {}
    )
    sizes = _sizes(contents.read(run.folder))
    best = _has_best(run)
    return Watch(
        listed,
        markup.problem(problem)
        + run_html.head_html(
            run,
            runs.eta(run),
            history.last,
            machine(run),
            runs.alerts(run),
            known_as,
            outcome.links(desk, recipe, known_as),
            evaluating,
        ),
        charts.curves_html(history, sizes) + _sweep(found, run),
        _scores(desk, run, recipe, last),
        run_html.samples_html(last.get("samples"), last.get("step")),
        run_html.log_html(runs.log(run, LOG_LINES)),
        run.command,
        run.name,
        live,
        run.active and not run.stopping,
        run.state in ("stopped", "failed", "interrupted"),
        (run.folder / runs.RECIPE).is_file(),
        best and not known_as,
        bool(recipe and known_as and not evaluating and outcome.missing(desk, recipe, known_as)),
        best,
    )


def _history(desk: Desk, run: Run) -> History:
    key = f"{run.folder}@{run.started}"
    kept = desk.histories.get(key) or History()
    desk.histories.put(key, kept)
    return kept.read(run)


def _scores(desk: Desk, run: Run, recipe: Recipe | None, last: dict[str, Any]) -> str:
    """Error rates before and after; with intervals once every clip was scored, which is computed once."""
    after = run.folder / scores.AFTER
    if run.active or recipe is None or not after.is_file():
        before, best = (process.read_json(run.folder / f"{when}.json") for when in ("before", "after"))
        return scores_html.under_way_html(before, best, last.get("slices"), last.get("step"))
    key = f"{run.folder}@{after.stat().st_mtime_ns}"
    kept = desk.scores.get(key)
    if kept is None:
        try:
            lines = card_scores.lines(run.folder, recipe.evaluation.slices)
        except TrainingError as error:  # a table is damaged
            return markup.problem(str(error))
        kept = scores_html.finished_html(lines, [each.id for each in recipe.test])
        desk.scores.put(key, kept)
    return kept


def _sweep(found: Sequence[Run], run: Run) -> str:
    """The curve of the sweep that a run belongs to, "" for a run by itself."""
    part = sweep.part_of(run)
    if not part:
        return ""
    try:
        return sweep_html.curve_html(sweep.points(found, part.name), run.name)
    except TrainingError as error:  # scores of one of its runs are damaged
        return markup.problem(str(error))


def _recipe(run: Run) -> Recipe | None:
    try:
        return recipes.load(run.folder / runs.RECIPE)
    except AsrDemoError:  # edited by hand since; the run itself goes on
        return None


def _sizes(described: dict[str, Any]) -> dict[str, int]:
    """Clips of each dev set."""
    dev = described.get("dev")
    pairs = dev.items() if isinstance(dev, dict) else ()
    return {name: process.pick(each, {"clips": 0})["clips"] for name, each in pairs if isinstance(each, dict)}


def machine(run: Run) -> str:
    """How busy this machine is, while the run is on it."""
    if run.state != "running" or run.host != process.host():
        return ""
    import psutil

    memory = psutil.virtual_memory()
    used, whole = ((memory.total - memory.available) / 2**30, memory.total / 2**30)
    return f"CPU {psutil.cpu_percent():.0f} % · memory {used:.1f} of {whole:.1f} GB"


def stop(desk: Desk, name: str) -> None:
    """Ask a run to save a checkpoint and end, or take it out of the queue. Raises NotFoundError."""
    runs.stop(desk.services.settings.home, name)


def resume(desk: Desk, name: str) -> None:
    """Go on from the last checkpoint. Raises what runs.resume raises, ClosedError where that may rent a machine and
    nothing may be spent, BusyError on a demo whose queue is full."""
    settings = desk.services.settings
    if runs.read(settings.home, name).backend != "local":
        access.may_spend(settings)
    access.check_queue(settings)
    runs.resume(settings.home, name)


def register(desk: Desk, name: str) -> str:
    """Offer a run's best weights in every tab; the id. Raises NotFoundError, TrainingError."""
    from asrdemo.finetune import register as registering

    services = desk.services
    return registering.register(services.settings.home, name, known=services.registry)


def card(desk: Desk, name: str) -> str:
    """The model card of a run, from what its directory says now. Raises NotFoundError, ConfigError, TrainingError."""
    from asrdemo.finetune import card as cards

    run = runs.read(desk.services.settings.home, name)
    if not _has_best(run):
        raise NotFoundError(f"The run {name!r} has no best weights yet, and so nothing to make a card of.")
    return cards.make(run.folder, desk.services.registry)


def _has_best(run: Run) -> bool:
    """Whether there are weights to offer."""
    return not run.active and (run.folder / "best" / "config.json").is_file()
