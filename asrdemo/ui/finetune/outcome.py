"""What becomes of a run's checkpoint on the page: offered in every tab, evaluated beside its base, compared with it."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

from asrdemo import registry as registries
from asrdemo.errors import ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import runs
from asrdemo.finetune.recipe import DevCorpus, Recipe, resolve_folder
from asrdemo.finetune.runs import Run
from asrdemo.ui.analysis import evaluate_handlers
from asrdemo.ui.analysis.evaluate_handlers import Ask
from asrdemo.ui.finetune.handlers import Desk
from evals import jobs


def registered_as(desk: Desk, run: Run) -> str:
    """The id of the checkpoint that this run became, "" if none yet."""
    services = desk.services
    made = services.settings.home / registries.REGISTERED
    own = [spec for spec in services.registry.checkpoints.values() if spec.path and spec.path.parent == made]
    said = f"From the run {run.name}."  # a name that is free again is given again, to a run that began later
    named = [spec for spec in own if spec.note.endswith(said) and spec.path and spec.path.is_dir()]
    return next((spec.id for spec in named if spec.path and spec.path.stat().st_mtime >= run.started), "")


def evaluate(desk: Desk, name: str) -> None:
    """Evaluate the run's checkpoint on the clips that the recipe tests on, else its base, whichever has no result yet.

    Raises NotFoundError for a run without checkpoint or without such clips, TrainingError where both have results,
    BusyError while another evaluation runs.
    """
    run = runs.read(desk.services.settings.home, name)
    known_as = registered_as(desk, run)
    if not known_as:
        raise NotFoundError(f"The run {name!r} is not in the lists yet; use it in every tab first.")
    recipe = runs.recipe_of(run.folder)
    left = missing(desk, recipe, known_as)
    if not left:
        raise TrainingError("Both have a result of these clips with the same decoder; compare them.")
    corpus, split = tested_on(desk, recipe)
    own = desk.services.registry.checkpoint(known_as).decoder
    evaluate_handlers.start(desk.services, Ask(left[0], corpus, split, own.kind, 0, own.lm or "", own.alpha, own.beta))


def tested_on(desk: Desk, recipe: Recipe) -> tuple[str, str]:
    """Corpus and split that say how good the checkpoint is: the recipe's test set, else its dev set, that is listed.

    Raises NotFoundError where the list has neither.
    """
    services = desk.services
    listed = {spec.path.resolve(): spec.id for spec in services.registry.corpora.values()}
    own: list[DevCorpus] = [*recipe.test, *recipe.dev]
    for source in own:
        if source.folder in services.registry.corpora:
            return source.folder, source.split
        with suppress(ConfigError):  # a variable that is set where the run was started
            if found := listed.get(resolve_folder(source.folder).resolve()):
                return found, source.split
    raise NotFoundError(
        "None of the corpora that the recipe tests on is in models.yaml. Add one there, or evaluate by hand: "
        "python -m evals run --help."
    )


def missing(desk: Desk, recipe: Recipe, known_as: str) -> list[str]:
    """Of the checkpoint and its base, those without a result that can be laid beside the other's."""
    both = _both(desk, recipe, known_as)
    found = _results(desk, recipe, both)
    return [id for id in both if id not in found]


def going_on(desk: Desk, recipe: Recipe | None, known_as: str) -> str:
    """How far an evaluation of the checkpoint or its base is, "" where none runs."""
    both = _both(desk, recipe, known_as) if recipe and known_as else []
    for job in jobs.jobs(desk.services.settings.home) if both else ():
        if job.state == "running" and set(both) & {*job.arguments}:
            return f"{job.done:,} of {job.total:,} clips" if job.total else job.note or "starting"
    return ""


def links(desk: Desk, recipe: Recipe | None, known_as: str) -> list[tuple[str, str]]:
    """(title, address) of where its results are shown: beside its base's where both have one of the same clips."""
    if not known_as or not recipe:
        return []
    found = _results(desk, recipe, _both(desk, recipe, known_as))
    own = found.get(known_as, "")
    asked = []
    if len(found) == 2:
        names = [*(name for name in found.values() if name != own), own]  # the base first
        asked.append(("Compare with its base", [("tab", "compare"), *(("results", name) for name in names)]))
    if own:
        asked.append(("See where it fails", [("tab", "analysis"), ("results", own)]))
    return [(title, "?" + urlencode(pairs)) for title, pairs in asked]


def _both(desk: Desk, recipe: Recipe, known_as: str) -> list[str]:
    """The checkpoint, and its base where that is listed too."""
    base = recipe.base.checkpoint if recipe.base else ""
    return [id for id in (known_as, base) if id in desk.services.registry.checkpoints]


def _results(desk: Desk, recipe: Recipe, ids: list[str]) -> dict[str, str]:
    """The newest results of these checkpoints on what the recipe tests on, all with the decoder of one of them."""
    try:
        corpus, split = tested_on(desk, recipe)
    except NotFoundError:
        return {}
    by: dict[tuple[str, ...], dict[str, str]] = {}
    for result in desk.services.results.complete():
        pins = result.info.get("pins", {})
        id, decoder, clips = (pins.get(name, {}) for name in ("checkpoint", "decoder", "corpus"))
        if id.get("id") in ids and (clips.get("name"), clips.get("split"), clips.get("limit")) == (corpus, split, None):
            same = tuple(str(decoder.get(name)) for name in ("kind", "lm", "alpha", "beta"))
            by.setdefault(same, {}).setdefault(id["id"], result.name)
    return max(by.values(), key=lambda found: (len(found), ids[0] in found), default={})
