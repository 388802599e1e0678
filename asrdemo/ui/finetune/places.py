"""Where a run trains, as plain functions: on this machine, or rented by the minute from Hugging Face Jobs.

What a job may cost is said before it can be started, and starting it takes exactly that amount: asrdemo.finetune's
backends refuse it where the Hub asks for more by then. The token is the one this process finds (HF_TOKEN or
`hf auth login`), and its owner pays, whoever of those that may start runs here clicks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asrdemo import process
from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import backends, hub, jobs_pack, jobs_watch
from asrdemo.finetune.flavours import FLAVOURS, PRICES_READ
from asrdemo.finetune.recipe import Recipe
from asrdemo.settings import Settings
from asrdemo.ui.finetune import access, form, handlers, markup
from asrdemo.ui.finetune.handlers import Desk

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HERE, JOBS = "here", "jobs"
PLACES = (("This machine", HERE), ("Hugging Face Jobs", JOBS))
_FITS = {True: " · ✓ fits", False: " · ✕ too small", None: ""}
_NO_TOKEN = (
    "Hugging Face Jobs need a token with the scopes `jobs` and `write` in HF_TOKEN (or from `hf auth login`), and this "
    "app has none; make one at https://huggingface.co/settings/tokens and start the app with it."
)


@dataclass(frozen=True)
class Job:
    """What is asked for. minutes: after which it is ended, 0 for those that the recipe needs; corpora: what is mounted
    (see backends.submit)."""

    flavour: str = ""
    minutes: float = 0.0
    corpora: str = ""


@dataclass(frozen=True)
class Quote:
    """What a job may cost. minutes: after which it is ended; dollars: at most; read: the day of the price."""

    flavour: str
    minutes: float
    owner: str
    dollars: float
    read: str

    @property
    def said(self) -> str:
        """The sentence that somebody agrees to by clicking."""
        return (
            f"At most ${self.dollars:,.2f}: {self.minutes:g} minutes on {self.flavour}, billed to {self.owner} by "
            f"Hugging Face; prices read on {self.read}."
        )

    @property
    def button(self) -> str:
        """What the button says."""
        return f"Start for at most ${self.dollars:,.2f}"


@dataclass(frozen=True)
class Offer:
    """What the page says of a recipe as a job. flavours: (label, name), those that suit it first; minutes: those that
    it gets where nobody says how many, "" unknown. note: HTML; quote: None where it cannot be a job, which `note`
    explains. can_start: it was checked too."""

    flavours: list[tuple[str, str]]
    flavour: str
    minutes: str
    note: str
    quote: Quote | None = None
    can_start: bool = False


def offered(settings: Settings) -> bool:
    """Whether this app trains elsewhere at all; a demo does not, nor one that anybody reaches."""
    try:
        access.may_spend(settings)
    except access.ClosedError:
        return False
    return True


def flavours() -> tuple[list[tuple[str, str]], str]:
    """(label, name) of every flavour, and the name of the one that is proposed while nothing is known."""
    return _choices({}), _settled("", {})


def asked_for(flavour: str | None, minutes: float | None, corpora: str | None) -> Job:
    """A job from the page's fields, which may be empty."""
    return Job(flavour or "", float(minutes or 0), (corpora or "").strip())


def look(desk: Desk, text: str, anyway: bool, job: Job, *, settle: bool = False) -> Offer:
    """The recipe as a job. settle: take the cheapest machine that it fits on, where the check says that it does not fit
    on the one that is asked for. Raises nothing: what is wrong is shown in place."""
    report: dict[str, Any] | None = None
    fits: dict[str, bool | None] = {}
    flavour, usual = job.flavour, ""
    try:
        recipe = form.parse(text)[1]
        report = desk.reports.get(handlers.key(recipe))
        fits = _fits(report)
        flavour = _settled(flavour, fits) if settle or not flavour else flavour
        if recipe.batches.max_minutes > 0:
            usual = f"{backends.timeout_of(recipe):g}"
        found = quote(desk, recipe, dataclasses.replace(job, flavour=flavour))
    except AsrDemoError as error:
        return Offer(_choices(fits), flavour or _settled("", fits), usual, markup.job_wrong(str(error)))
    may = handlers.may_start(report, anyway, elsewhere=True)
    note = markup.job_cost(found.said, fits.get(flavour) is False, may and not handlers.may_start(report, True))
    return Offer(_choices(fits), flavour, usual, note, found, may)


def quote(desk: Desk, recipe: Recipe, job: Job) -> Quote:
    """What the recipe may cost as a job, by this project's list and the Hub's, whichever asks for more.

    Raises ClosedError where nothing may be spent, ConfigError for what cannot be a job, TrainingError without a token
    or the Hub.
    """
    access.may_spend(desk.services.settings)
    minutes = backends.timeout_of(recipe, job.minutes)
    listed = backends.cost(job.flavour, minutes)
    _travels(desk, recipe, bool(jobs_watch.volumes(job.corpora)))
    api = _client()
    owner, asked = _owner(desk, api), _asked(desk, api, job.flavour, minutes)
    read = time.strftime("%Y-%m-%d", time.gmtime()) if asked >= listed else PRICES_READ
    return Quote(job.flavour, minutes, owner, max(listed, asked), read)


def start(desk: Desk, text: str, anyway: bool, job: Job, dollars: float, parent: str = "", who: str = "") -> str:
    """Start the recipe as a job; the run's name. dollars: at most, as the page has said it. parent: the run it is a
    changed copy of.

    Raises ConfigError for a recipe that may not start (see handlers.start) or that may cost more by now, and what
    `quote` raises.
    """
    access.may_spend(desk.services.settings)
    data, report = handlers.cleared(desk, text, anyway, elsewhere=True)
    services = desk.services
    minutes = backends.timeout_of(form.parse(text)[1], job.minutes)
    desk.prices.pop(_priced(job.flavour, minutes))  # the next quote asks anew
    run = backends.submit(
        services.settings.home, data, flavour=job.flavour, confirm=dollars, minutes=minutes, corpora=job.corpora,
        parent=parent, who=who, api=_client(), known=services.registry,
    )  # fmt: skip
    process.write_json(run.folder / handlers.PRECHECK, report)
    return run.name


def _travels(desk: Desk, recipe: Recipe, volume: bool) -> None:
    """Raises ConfigError for what cannot be sent there. Every file is looked at, so this is not asked twice."""
    key = f"{handlers.key(recipe)} {volume}"
    if not desk.travels.get(key):
        jobs_pack.luggage(recipe, desk.services.registry, volume)
        desk.travels.put(key, True)


def _client() -> HfApi:
    try:
        return hub.client()
    except TrainingError as error:
        raise TrainingError(_NO_TOKEN) from error


def _owner(desk: Desk, api: HfApi) -> str:
    """Whose token it is: who pays. The Hub answers that a few times an hour only."""
    key = hashlib.sha256(str(api.token).encode()).hexdigest()
    kept = desk.owners.get(key)
    if kept is None:
        with hub.talking("asking who the token belongs to", backends.JOBS):
            kept = str(api.whoami()["name"])
        desk.owners.put(key, kept)
    return kept


def _asked(desk: Desk, api: HfApi, flavour: str, minutes: float) -> float:
    """Dollars by the Hub's own list; 0 where it does not say."""
    kept = desk.prices.get(_priced(flavour, minutes))
    if kept is None:
        kept = backends.asked(api, flavour, minutes)
        desk.prices.put(_priced(flavour, minutes), kept)
    return kept


def _priced(flavour: str, minutes: float) -> str:
    return f"{flavour} {minutes!r}"


def _fits(report: Mapping[str, Any] | None) -> dict[str, bool | None]:
    """By flavour, whether the check says that the longest batch fits; None or missing where it could not tell."""
    estimates = (report or {}).get("estimates") or {}
    return {offer["flavour"]: offer["fits"] for offer in estimates.get("jobs") or ()}


def _settled(flavour: str, fits: Mapping[str, bool | None]) -> str:
    """A flavour that the recipe fits on, as far as is known: the given one, else the cheapest with one GPU."""
    if flavour in FLAVOURS and fits.get(flavour) is not False:
        return flavour
    single = sorted((f.dollars, name) for name, f in FLAVOURS.items() if f.gpus == 1)
    known = [name for _, name in single if fits.get(name)]
    unknown = [name for _, name in single if fits.get(name) is None]
    return (known or unknown or [name for _, name in single[-1:]])[0]


def _choices(fits: Mapping[str, bool | None]) -> list[tuple[str, str]]:
    """Every flavour with its price, those with a GPU first, the cheapest first."""
    ordered = sorted(FLAVOURS.items(), key=lambda each: (not each[1].gpus, each[1].dollars))
    return [(_label(name) + _FITS[fits.get(name)], name) for name, _ in ordered]


def _label(name: str) -> str:
    f = FLAVOURS[name]
    many = f"{f.gpus} × " * (f.gpus > 1) if f.gpus else "no GPU, "
    return f"{name} · {many}{f.memory_gb} GB · ${f.dollars:.2f}/h"
