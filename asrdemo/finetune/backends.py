"""The same recipe on Hugging Face Jobs: rented by the minute, watched like a run on this machine.

    run = submit(home, recipe, flavour="a10g-small", minutes=120, confirm=cost("a10g-small", 120))

makes an ordinary run directory whose process trains nothing: it sends code and inputs to a private repository, starts
the job, and brings log, metrics and weights into the directory as they come. So `runs` and the pages read, follow and
stop it as any run; while it waits nothing on this machine is held up. When that process dies, the job goes on, and
resuming the run finds it again. That
process is asrdemo.finetune.jobs_watch; inside the job, asrdemo.finetune.in_job trains and pushes.

    run.json    under `job`: flavour, minutes, dollars, repository, label, corpora
    job.json    the job's id, its owner, its stage, and how many lines of its log have been copied

The code travels as an archive in that repository (asrdemo.finetune.jobs_pack), unpacked by the job's command, and its
requirements.txt is installed by uv: nothing needs to be published, and a run's code is kept with it.

Tested against a server on loopback that speaks the API as huggingface_hub 2.4 does. Not verifiable there: that the
image below starts on every flavour, how long installing takes, and what a volume mounts.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo import registry
from asrdemo.errors import ConfigError, TrainingError
from asrdemo.finetune import hub, jobs_pack, jobs_watch, runs, schema
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.flavours import FLAVOURS
from asrdemo.finetune.recipe import Recipe
from asrdemo.registry import Registry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

JOBS = "jobs"
EVERY_S = 15.0  # between looks at the job
SPARE_MINUTES = 30  # for installing, preparing audio and scoring, beside the recipe's minutes


def timeout_of(recipe: Recipe, minutes: float = 0) -> float:
    """Minutes after which the job is ended: those given, else the recipe's and SPARE_MINUTES. Raises ConfigError where
    the recipe would not be over by then, or says nothing."""
    own = recipe.batches.max_minutes
    if minutes <= 0 and own <= 0:
        raise ConfigError("Only batches.max_steps ends this recipe: say after how many minutes the job is to end.")
    if minutes and minutes < own:
        raise ConfigError(
            f"The job would end after {minutes:g} minutes and lose the run, since batches.max_minutes is {own:g}; give "
            f"it {own + SPARE_MINUTES:g}."
        )
    return minutes or own + SPARE_MINUTES


def cost(flavour: str, minutes: float) -> float:
    """Dollars at most, by the price list this project carries (see flavours.PRICES_READ); Jobs charge by the
    minute that they run. Raises ConfigError."""
    if flavour not in FLAVOURS:
        raise ConfigError(f"There is no flavour {flavour!r} of Hugging Face Jobs; there are {', '.join(FLAVOURS)}.")
    return _cents(minutes / 60 * FLAVOURS[flavour].dollars)


def submit(
    home: Path,
    recipe: Path | Mapping[str, Any],
    name: str = "",
    *,
    flavour: str,
    confirm: float,
    minutes: float = 0,
    corpora: str = "",
    namespace: str = "",
    parent: str = "",
    who: str = "",
    api: HfApi | None = None,
    known: Registry | None = None,
) -> runs.Run:
    """Start the recipe as a job; returns at once with a run that is being sent there.

    confirm: dollars that whoever pays agreed to, at least what it may cost by the Hub's own list. minutes: see
    `timeout_of`. corpora: mounted for $CORPUS_ROOT, hf://buckets/owner/name or hf://datasets/owner/name, with a path
    or not. namespace: who pays, if not the token's owner. The token needs the scopes `jobs` and `write`; it is taken
    from the environment or the login of this machine, and is never written down. Raises ConfigError, TrainingError.
    """
    data = dict(recipe) if isinstance(recipe, Mapping) else schema.read_yaml(Path(recipe))
    parsed = recipes.from_dict({key: value for key, value in data.items() if key != "smoke"})
    minutes = timeout_of(parsed, minutes)
    jobs_pack.luggage(parsed, known or registry.read(home=home), bool(jobs_watch.volumes(corpora)))
    cost(flavour, minutes)  # that there is such a flavour
    if api is None:
        api = hub.client()
    with hub.talking("asking who the token belongs to", JOBS):
        owner = namespace or str(api.whoami()["name"])
    dollars = max(cost(flavour, minutes), asked(api, flavour, minutes))
    if confirm < dollars:
        raise ConfigError(
            f"{minutes:g} minutes on {flavour} may cost up to ${dollars:.2f}; ${confirm:.2f} were agreed to. Confirm "
            f"{dollars:.2f} to start."
        )
    label = secrets.token_hex(6)
    slug = re.sub(r"[^A-Za-z0-9-]+", "-", name or parsed.name).strip("-")[:40]
    job = {
        "flavour": flavour, "minutes": minutes, "dollars": dollars, "namespace": owner, "label": label,
        "repository": f"{owner}/asrdemo-{slug or 'run'}-{label}", "corpora": corpora, "name": slug or "run",
        "every": EVERY_S,
    }  # fmt: skip
    return runs.start(home, recipe, name, parent=parent, who=who, backend=JOBS, job=job, _trainer=jobs_watch.MODULE)


def cancel(home: Path, name: str, api: HfApi | None = None) -> None:
    """End a run's job at once, whether its process here lives or not. Raises TrainingError, NotFoundError."""
    api = api or hub.client()
    told = _job(runs.read(home, name).folder, api)
    with hub.talking(f"cancelling the job {told.id}", JOBS):
        api.cancel_job(job_id=told.id, namespace=told.namespace)


def fetch(home: Path, name: str, api: HfApi | None = None) -> str:
    """Bring what the job has pushed so far into the run directory; the job's stage. Raises TrainingError."""
    api, folder = api or hub.client(), runs.read(home, name).folder
    told = _job(folder, api)
    with hub.talking(f"asking for the job {told.id}", JOBS):
        stage = jobs_watch.stage_of(api.inspect_job(job_id=told.id, namespace=told.namespace))
    jobs_watch.bring(api, told.repository, folder)
    return stage


def _job(folder: Path, api: HfApi) -> jobs_watch.Job:
    found = jobs_watch.find(folder, api)
    if found is None:
        raise TrainingError(f"The run {folder.name!r} has no job on Hugging Face.")
    return found


def asked(api: HfApi, flavour: str, minutes: float) -> float:
    """Dollars by the Hub's own list; 0 where it does not say."""
    with hub.talking("asking what the flavours cost", JOBS):
        units = {"second": 60.0, "minute": 1.0, "hour": 1 / 60}
        for one in api.list_jobs_hardware():
            if one.name == flavour and one.unit_label in units:
                return _cents(minutes * units[one.unit_label] * one.unit_cost_usd)
    return 0.0


def _cents(dollars: float) -> float:
    """Rounded up: what is said is what it costs at most."""
    return math.ceil(100 * dollars - 1e-6) / 100
