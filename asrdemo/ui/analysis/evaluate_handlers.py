"""Running an evaluation from the page, as plain functions. The run is a process of its own, see evals.jobs.

What visitors may start is bounded: what the registry lists, one run at a time for the whole machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.ui.analysis.markup import go
from asrdemo.ui.services import Services, availability
from evals import jobs
from evals.jobs import Job

if TYPE_CHECKING:
    from asrdemo.corpus import Corpus

DECODERS = ("greedy", "beam")
LISTED = 5  # earlier runs shown


@dataclass(frozen=True)
class Ask:
    """What to evaluate. limit: the first clips only, 0 for all."""

    checkpoint: str
    corpus: str
    split: str
    decoder: str = "greedy"
    limit: int = 0


@dataclass(frozen=True)
class Watch:
    """How the latest run goes. running: whether to look again soon; resumable: whether it can go on."""

    html: str
    id: str = ""
    running: bool = False
    resumable: bool = False


def splits(services: Services, corpus: str) -> list[str]:
    """The tables of a corpus, the test split first. Raises NotFoundError, CorpusError."""
    names = list(_open(services, corpus).splits)
    return sorted(names, key=lambda name: (name != "test", name != "dev", name))


def _open(services: Services, corpus: str) -> Corpus:
    from asrdemo.corpus import open_corpus

    return open_corpus(services.registry.corpus(corpus).path)


def start(services: Services, ask: Ask) -> Job:
    """Start the run. Raises NotFoundError for what the registry does not list or what is not on this machine,
    ConfigError for values that no run takes, BusyError while another one runs."""
    spec = services.registry.checkpoint(ask.checkpoint)
    ready, reason = availability(spec)
    if not ready:
        raise NotFoundError(f"{spec.title} cannot be used now: {reason}")
    if ask.split not in splits(services, ask.corpus):
        raise NotFoundError(f"Corpus {ask.corpus!r} has no split {ask.split!r}.")
    if ask.decoder not in DECODERS:
        raise ConfigError(f"There is no decoder {ask.decoder!r}; available: {', '.join(DECODERS)}.")
    if ask.limit < 0:
        raise ConfigError(f"The number of clips is {ask.limit}; expected 0 for all, or more.")
    arguments = ["--checkpoint", ask.checkpoint, "--corpus", ask.corpus, "--split", ask.split, "--decoder", ask.decoder]
    if ask.limit:
        arguments += ["--limit", str(ask.limit)]
    return jobs.start(services.settings.home, arguments)


def stop(services: Services, id: str) -> None:
    """Stop a run; it can go on later."""
    jobs.stop(services.settings.home, id)


def resume(services: Services, id: str) -> None:
    """Go on with a run where it was stopped. Raises BusyError while another one runs."""
    jobs.resume(services.settings.home, id)


def watch(services: Services) -> Watch:
    """The latest run and those before it, whoever started them."""
    found = jobs.jobs(services.settings.home)
    if not found:
        return Watch('<p class="hint">No evaluation has been run here yet.</p>')
    latest, earlier = found[0], found[1 : 1 + LISTED]
    html = _latest(latest) + (_earlier(earlier) if earlier else "")
    return Watch(html, latest.id, latest.state == "running", latest.state in ("stopped", "failed"))


_STATES = {"running": "▶ running", "complete": "✓ finished", "failed": "✕ failed", "stopped": "‖ stopped"}


def _latest(job: Job) -> str:
    part = 100 * job.done / job.total if job.total else 0
    body = ""
    if job.state in ("running", "stopped"):
        count = f"{job.done:,} of {job.total:,}" if job.total else "starting"
        body = (
            '<div class="progress" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{part:.0f}"><span style="width:{part:.1f}%"></span></div>'
            f'<p class="hint">{count}{f" · {escape(job.note)}" if job.note else ""}</p>'
        )
    if job.state == "failed":
        why = job.error or "The process ended without saying why."
        body = f'<p class="problem"><strong>It failed:</strong> {escape(why)}</p>'
    if job.state in ("failed", "stopped") and (log := jobs.log(job)):
        body += f'<details><summary>What it printed</summary><pre class="log">{escape(log)}</pre></details>'
    return (
        f'<section class="pane job" aria-live="polite"><div class="titled"><h3>{_STATES[job.state]}</h3>'
        f'<span class="hint">{_when(job)}</span></div><p class="what">{escape(_what(job))}</p>{body}{_link(job)}'
        f'<details><summary>The same on the command line</summary><pre class="log">{escape(job.command)}</pre>'
        "</details></section>"
    )


def _earlier(found: list[Job]) -> str:
    rows = "".join(
        f"<tr><td>{_STATES[job.state]}</td><td>{escape(_what(job))}</td><td>{_when(job)}</td><td>{_link(job)}</td></tr>"
        for job in found
    )
    return (
        '<section class="pane"><h3>Before</h3><div class="scroll"><table class="jobs"><thead class="sr-only"><tr>'
        '<th scope="col">State</th><th scope="col">What</th><th scope="col">When</th><th scope="col">Result</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _link(job: Job) -> str:
    if not job.result:
        return ""
    return (
        f'<button type="button" class="plain" {go({"results": job.result, "view": "where"})} data-event="choose">'
        "See where it fails</button>"
    )


def _what(job: Job) -> str:
    """Such as "demo-en, greedy, on demo-corpus test, first 50 clips"."""
    given = dict(zip(job.arguments[::2], job.arguments[1::2], strict=False))
    limit = f", first {given['--limit']} clips" if "--limit" in given else ""
    return (
        f"{given.get('--checkpoint', '?')}, {given.get('--decoder', '?')}, on {given.get('--corpus', '?')} "
        f"{given.get('--split', '?')}{limit}"
    )


def _when(job: Job) -> str:
    return time.strftime("%d %b %Y, %H:%M UTC", time.gmtime(job.started)) if job.started else ""
