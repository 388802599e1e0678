"""Making, checking and starting a recipe from the page, as plain functions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from asrdemo import process
from asrdemo.errors import AsrDemoError, ConfigError, NotFoundError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs, schema
from asrdemo.finetune.recipe import Recipe
from asrdemo.types import Progress
from asrdemo.ui.finetune import access, form, markup
from asrdemo.ui.finetune.form import Form, Offer
from asrdemo.ui.finetune.history import History
from asrdemo.ui.services import Services
from asrdemo.ui.shelves import Shelf

if TYPE_CHECKING:
    import pandas as pd

PRECHECK = "precheck.json"
FIRST = "recipe:demo-en-tuned.yaml"
MOST_VALUES = 300  # of a column that are offered
ABOUT_HERE = ("memory", "disk", "longest batch")
"""Rows of a check that speak of this machine, and say nothing of a run that trains elsewhere."""
_ASKED = {"accents": "accents", "gender": "genders", "age": "ages"}
"""Columns of Error analysis -> fields of the form."""


@dataclass(frozen=True)
class Desk:
    """What the events share. reports: prechecks by recipe; offers: what corpora have; histories, scores: metrics of
    runs, and their tables; owners, prices: what the Hub said of tokens, and of a machine for some minutes; travels:
    recipes that can be sent there (see places.py)."""

    services: Services
    reports: Shelf[dict[str, Any]] = field(default_factory=lambda: Shelf(100))
    offers: Shelf[Offer] = field(default_factory=lambda: Shelf(20, seconds=600))
    histories: Shelf[History] = field(default_factory=lambda: Shelf(20))
    scores: Shelf[str] = field(default_factory=lambda: Shelf(50))
    owners: Shelf[str] = field(default_factory=lambda: Shelf(20, seconds=600))
    prices: Shelf[float] = field(default_factory=lambda: Shelf(200, seconds=600))
    travels: Shelf[bool] = field(default_factory=lambda: Shelf(100, seconds=600))


@dataclass(frozen=True)
class Shown:
    """A recipe and what the page says of it. form: None where the text is no recipe, then `verdict` says why; plain:
    whether the form says everything about its clips. can_start: on this machine; may_anyway: warnings may be overruled,
    here or, where only this machine will not do, elsewhere."""

    text: str
    form: Form | None
    offer: Offer
    verdict: str
    report: str
    plain: bool = True
    can_start: bool = False
    may_anyway: bool = False


def sources(desk: Desk) -> list[tuple[str, str]]:
    """What a recipe may start from: those that are shipped, and what earlier runs were made of."""
    shipped = [(f"Recipe: {path.stem}", f"recipe:{path.name}") for path in sorted(access.RECIPES.glob("*.yaml"))]
    shipped.sort(key=lambda each: each[1] != FIRST)
    return shipped + [(f"Run: {run.name}", f"run:{run.name}") for run in runs.runs(desk.services.settings.home)[:100]]


def opened(desk: Desk, source: str) -> str:
    """The text of a recipe to start from: a shipped one as it is, a run's ready to be changed. Raises NotFoundError."""
    kind, _, name = source.partition(":")
    if kind == "run":
        return form.dump(runs.clone(desk.services.settings.home, name, {}))
    if source not in [value for _, value in sources(desk)]:
        raise NotFoundError(f"There is no recipe {name[:100]!r} to start from.")
    return (access.RECIPES / name).read_text(encoding="utf-8")


def from_slice(desk: Desk, query: str) -> tuple[str, str]:
    """A recipe for what an address of Error analysis names, and a note on it; empty where it names no slice.

    query: such as accents=Scottish+English&checkpoint=demo-en&corpus=demo-corpus. Raises NotFoundError.
    """
    asked = parse_qs(query.removeprefix("?"))
    checkpoint, corpus = (asked.pop(name, [""])[0] for name in ("checkpoint", "corpus"))
    if not checkpoint or not corpus:
        return "", ""
    folder = desk.services.registry.corpus(corpus).id
    offer = offered(desk, folder)
    wanted = {field: list(dict.fromkeys(filter(None, asked.pop(name, [])))) for name, field in _ASKED.items()}
    there = {field: dict(getattr(offer, field)) for field in wanted}
    known: dict[str, Any] = {field: tuple(v for v in values if v in there[field]) for field, values in wanted.items()}
    missing = [v for field, values in wanted.items() for v in values if v not in there[field]]
    data = _template(desk, checkpoint)
    name = form.slug(f"{checkpoint} {' '.join(v for vs in known.values() for v in vs)}") or "fine-tuned"
    before = Form(minutes=data.get("batches", {}).get("max_minutes", Form.minutes))
    after = dataclasses.replace(before, name=name, base=checkpoint, corpus=folder, **known)
    data = form.applied(data, before, after, offer)
    left = sorted(name.partition(".")[0] for name in asked if name not in ("tab", "run", "results", "view", "__theme"))
    return form.dump(data), markup.slice_note(after, left, missing)


def _template(desk: Desk, checkpoint: str) -> dict[str, Any]:
    """What a recipe from a slice begins with: the shipped one of that base, else the least there is."""
    spec = desk.services.registry.checkpoint(checkpoint)
    for path in sorted(access.RECIPES.glob("*.yaml")):
        data, made = form.parse(path.read_text(encoding="utf-8"))
        if made.base and made.base.checkpoint == checkpoint:
            return {key: value for key, value in data.items() if key not in ("publish", "train", "dev", "test")}
    start = {"name": "", "base": {"checkpoint": checkpoint}, "language": spec.language, "normalisation": spec.profile}
    return {**start, "batches": {"max_minutes": 60.0}}


def offered(desk: Desk, folder: str) -> Offer:
    """What a corpus has to choose from; nothing where it cannot be opened, which the check says."""
    kept = desk.offers.get(folder)
    if kept is None:
        try:
            kept = _offer(folder)
        except AsrDemoError:
            return Offer()
        desk.offers.put(folder, kept)
    return kept


def _offer(folder: str) -> Offer:
    from asrdemo.finetune.select import corpus_of

    opened = corpus_of(recipes.DevCorpus("offer", folder))
    if "train" not in opened.splits:
        return Offer(splits=tuple(opened.splits))
    train = opened.table("train")
    dev = opened.table("dev") if "dev" in opened.splits else train[:0]
    return Offer(
        accents=_values(train, "accents"),
        genders=_values(train, "gender"),
        ages=_values(train, "age"),
        dev_accents=tuple(value for value, _ in _values(dev, "accents")),
        splits=tuple(opened.splits),
    )


def _values(frame: pd.DataFrame, column: str) -> tuple[tuple[str, int], ...]:
    """(value, clips) of a column, most clips first; a clip of several accents counts for each."""
    from asrdemo.corpus.accents import SEPARATOR

    counts: dict[str, int] = {}
    for value, clips in frame[column].value_counts().items():
        for each in str(value).split(SEPARATOR) if clips else ():
            counts[each] = counts.get(each, 0) + int(clips)
    return tuple(sorted(counts.items(), key=lambda each: -each[1])[:MOST_VALUES])


def show(desk: Desk, text: str, anyway: bool = False) -> Shown:
    """What the page says of a text that is or is not a recipe. Raises nothing: what is wrong is shown in place."""
    try:
        _, recipe = form.parse(text)
        limited = access.limited(desk.services.settings, recipe)
    except AsrDemoError as error:
        return Shown(text, None, Offer(), markup.verdict_wrong(str(error)), "")
    offer = offered(desk, recipe.train[0].folder)
    report = desk.reports.get(key(limited))
    return Shown(
        text,
        form.read(recipe),
        offer,
        markup.verdict(recipe, limited),
        markup.report_html(report) if report else markup.UNCHECKED,
        form.plain(recipe, offer),
        may_start(report, anyway),
        any(may_start(report, True, there) and not may_start(report, False, there) for there in (False, True)),
    )


def may_start(report: Mapping[str, Any] | None, anyway: bool, elsewhere: bool = False) -> bool:
    """Whether a check lets a run start. anyway: also with warnings; elsewhere: not on this machine."""
    return not _against(report, anyway, elsewhere)


def _against(report: Mapping[str, Any] | None, anyway: bool, elsewhere: bool) -> str:
    """Why a run may not start, "" for nothing."""
    if report is None:
        return "Check this recipe first: it was changed since, or the app was started anew."
    states = {row["state"] for row in report["rows"] if not (elsewhere and row["check"] in ABOUT_HERE)}
    if "block" in states:
        return "The check found what must be mended before this can train; see the rows marked ✕."
    if "warn" in states and not anyway:
        return "The check has warnings; tick “Start although there are warnings”, or mend them."
    return ""


def edited(desk: Desk, text: str, after: Form) -> str:
    """The text after a change in the form. Raises ConfigError while the text is no recipe."""
    try:
        data, recipe = form.parse(text)
    except ConfigError as error:
        raise ConfigError(f"Mend the YAML first, then the form can change it. {error}") from error
    before = form.read(recipe)
    if not after.name or not after.base and before.base:
        raise ConfigError("A recipe needs a name and a base checkpoint.")
    if after.minutes < 0:
        raise ConfigError(f"The minutes are {after.minutes:g}; expected 0 for no limit, or more.")
    if after.mode not in form.MODES and after.mode != before.mode:
        raise ConfigError(f"There is no mode {after.mode!r}; available: {', '.join(form.MODES)}.")
    offer = offered(desk, after.corpus)
    if after.corpus != before.corpus:  # another corpus may not have them
        kept: dict[str, Any] = {}
        for name in form.COLUMNS:
            there = dict(getattr(offer, name))
            kept[name] = tuple(value for value in getattr(after, name) if value in there)
        after = dataclasses.replace(after, **kept)
    out = form.applied(data, before, after, offer)
    spec = desk.services.registry.checkpoints.get(after.base)
    if spec and after.base != before.base:
        out |= {"language": spec.language, "normalisation": spec.profile}
    recipes.from_dict(out)
    return form.dump(out) if out != data else text


def key(recipe: Recipe) -> str:
    """Of everything a recipe says."""
    return hashlib.sha256(json.dumps(recipes.as_dict(recipe), sort_keys=True).encode()).hexdigest()


def check(desk: Desk, text: str, progress: Progress) -> None:
    """Look the recipe over; the report is kept, for whoever has the same recipe. Raises ConfigError, ClosedError."""
    from asrdemo.finetune.precheck import precheck

    services = desk.services
    recipe = access.limited(services.settings, form.parse(text)[1])
    found = precheck(recipe, services.settings.home, services.registry, progress)
    desk.reports.put(key(recipe), json.loads(json.dumps(found.as_dict())))


def mended(desk: Desk, text: str, number: int) -> str:
    """The text with the fix of a row of its report. Raises NotFoundError, ConfigError."""
    data, recipe = form.parse(text)
    report = desk.reports.get(key(access.limited(desk.services.settings, recipe)))
    rows = report["rows"] if report else []
    if not 0 <= number < len(rows) or not rows[number]["change"]:
        raise NotFoundError("There is no such fix; check the recipe again.")
    return form.dump(schema.merged(data, rows[number]["change"]))


def start(desk: Desk, text: str, anyway: bool, parent: str = "", who: str = "") -> str:
    """Start the run, or put it in the queue; its name. parent: the run it is a changed copy of.

    Raises ConfigError for a recipe that was not checked, that must not start, or whose warnings nobody overruled,
    BusyError on a demo whose queue is full.
    """
    data, report = cleared(desk, text, anyway)
    access.make_room(desk.services.settings)
    run = runs.start(desk.services.settings.home, data, parent=parent, who=who)
    process.write_json(run.folder / PRECHECK, report)
    return run.name


def cleared(desk: Desk, text: str, anyway: bool, elsewhere: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a recipe that may start as it is, and its check; as `start` and `may_start` say."""
    data, recipe = form.parse(text)
    limited = access.limited(desk.services.settings, recipe)
    report = desk.reports.get(key(limited))
    against = _against(report, anyway, elsewhere)
    if report is None or against:
        raise ConfigError(against)
    minutes = {"batches": {"max_minutes": limited.batches.max_minutes}} if limited != recipe else {}
    return schema.merged(data, minutes), report


def parent_of(source: str) -> str:
    """The run that a source stands for, "" for a shipped recipe."""
    kind, _, name = source.partition(":")
    return name if kind == "run" else ""


def as_form(values: Mapping[str, Any]) -> Form:
    """The form from the page's fields, which may be empty."""

    def text(name: str) -> str:
        return str(values.get(name) or "").strip()

    def several(name: str) -> tuple[str, ...]:
        return tuple(map(str, values.get(name) or ()))

    return Form(
        text("name"), text("base"), text("corpus"), several("accents"), several("genders"), several("ages"),
        float(values.get("keep") or 0.0), float(values.get("minutes") or 0.0), text("mode"),
    )  # fmt: skip
