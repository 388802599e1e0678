"""Who may use the Fine-tune page. Every event asks, also when a program calls it: hiding a button closes nothing.

On a Space (SPACE_ID is set) only its owner, or members of the organisation that owns it, as Hugging Face's sign-in
says. Elsewhere there is no sign-in that could be trusted (Gradio plays one), and the setting alone decides.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from asrdemo.errors import AsrDemoError, BusyError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs
from asrdemo.finetune.recipe import Recipe
from asrdemo.settings import ROOT, Settings

RECIPES = ROOT / "recipes"
DEMO_MINUTES = 6.0
DEMO_QUEUE, DEMO_KEPT = 3, 20  # runs that train or wait, and runs that are over
Profile = Mapping[str, Any]
"""What Hugging Face says of a visitor who has signed in: a gr.OAuthProfile, which is a dict."""

_OFF = (
    "Fine-tuning is turned off here (ASRDEMO_FINETUNE=off). On a machine of your own, ASRDEMO_FINETUNE=on turns it on; "
    "the command line always works: python -m asrdemo finetune start recipes/demo-en-tuned.yaml"
)
_STRANGER = (
    "Training takes this Space's machine for minutes to hours, so only {owner} can start, stop and see runs here. "
    "{sign} Duplicate the Space, or run the app on a machine of your own, to train yourself."
)
_DEMO = "This is a demo: it trains on its own machine only. ASRDEMO_FINETUNE=on on one of your own offers both."
_REACHED = (
    "This app can be reached from other machines (GRADIO_SERVER_NAME, GRADIO_SHARE), whose visitors could spend its "
    "token's money. Jobs are rented from a page that only this machine reaches, or from the command line: "
    "python -m asrdemo finetune start RECIPE --on jobs"
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

P = ParamSpec("P")
R = TypeVar("R")


class ClosedError(AsrDemoError):
    """This visitor may not do this here."""


def check(settings: Settings, profile: Profile | None) -> None:
    """Raises ClosedError for a visitor to whom the page is closed."""
    if settings.finetune == "off":
        raise ClosedError(_OFF)
    owner = space_owner()
    if owner and not _belongs(profile, owner):
        sign = f"You are signed in as {profile.get('preferred_username')}." if profile else "Sign in if that is you."
        raise ClosedError(_STRANGER.format(owner=f"{owner} (or a member, if that is an organisation)", sign=sign))


def guarded(settings: Settings, handler: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """The handler, closed to those who may not. Its first parameter is who asks: a gr.OAuthProfile or None."""

    @functools.wraps(handler)
    def wrapper(profile: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        check(settings, profile)
        return handler(profile, *args, **kwargs)

    return wrapper


def limited(settings: Settings, recipe: Recipe) -> Recipe:
    """The recipe as it may run here: on a demo only those under recipes/ that DEMO_MINUTES suffice for, no longer.

    Raises ClosedError for any other.
    """
    if settings.finetune != "demo":
        return recipe
    shipped = [recipes.load(path) for path in sorted(RECIPES.glob("*.yaml"))]
    allowed = [each for each in shipped if 0 < each.batches.max_minutes <= DEMO_MINUTES]
    if not any(_unnamed(recipe) == _unnamed(each) for each in allowed):
        raise ClosedError(
            f"This is a demo: it trains {', '.join(each.name for each in allowed) or 'nothing'} as they are; only name "
            "and minutes may differ. ASRDEMO_FINETUNE=on on a machine of your own trains everything."
        )
    minutes = min(recipe.batches.max_minutes or DEMO_MINUTES, DEMO_MINUTES)
    return dataclasses.replace(recipe, batches=dataclasses.replace(recipe.batches, max_minutes=minutes))


def check_queue(settings: Settings) -> None:
    """Raises BusyError on a demo, where strangers start runs, while DEMO_QUEUE of them train or wait."""
    if settings.finetune == "demo":
        active = len(runs.queue(settings.home))
        if active >= DEMO_QUEUE:
            raise BusyError(f"{active} runs train or wait here already, and this is a demo. Come back in some minutes.")


def make_room(settings: Settings) -> None:
    """On a demo: the oldest runs that are over leave, DEMO_KEPT stay. Raises what `check_queue` raises."""
    check_queue(settings)
    if settings.finetune != "demo":
        return
    found = runs.runs(settings.home)
    for run in [run for run in found if not run.active][DEMO_KEPT:]:
        shutil.rmtree(run.folder, ignore_errors=True)


def may_spend(settings: Settings) -> None:
    """Whether jobs may be started, which this app's token pays for. Raises ClosedError with the reason.

    Off a Space nothing tells visitors apart, so only an app that this machine alone reaches may.
    """
    if settings.finetune != "on":
        raise ClosedError(_DEMO)
    reached = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), os.environ.get("GRADIO_SHARE", "false").lower()
    if not space_owner() and (reached[0] not in _LOOPBACK or reached[1] not in ("", "0", "false")):
        raise ClosedError(_REACHED)


def space_owner() -> str:
    """Who owns the Space this runs on; "" elsewhere."""
    return os.environ.get("SPACE_ID", "").partition("/")[0]


def can_sign_in() -> bool:
    """Whether this Space offers Hugging Face's sign-in (`hf_oauth: true` in README.md)."""
    return bool(space_owner() and os.environ.get("OAUTH_CLIENT_ID"))


def _belongs(profile: Profile | None, owner: str) -> bool:
    names = [(profile or {}).get("preferred_username")]
    names += [each.get("preferred_username") for each in (profile or {}).get("orgs") or () if isinstance(each, dict)]
    return owner.casefold() in {str(name).casefold() for name in names if name}


def _unnamed(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, name="", batches=dataclasses.replace(recipe.batches, max_minutes=0.0))
