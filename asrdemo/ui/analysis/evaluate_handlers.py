"""Running an evaluation from the page, as plain functions. The run is a process of its own, see evals.jobs.

What visitors may start is bounded: what the registry lists, one run at a time for the whole machine. Language models
that visitors built are not to choose from: the run reads the registry anew and knows none of them.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from asrdemo.errors import AsrDemoError, ConfigError, NotFoundError
from asrdemo.types import DecoderOptions
from asrdemo.ui.analysis.markup import go
from asrdemo.ui.services import Services, availability
from evals import jobs
from evals.jobs import Job

if TYPE_CHECKING:
    from asrdemo.corpus import Corpus
    from asrdemo.registry import CheckpointSpec, LanguageModelSpec

DECODERS = ("greedy", "beam")
LISTED = 5  # earlier runs shown


@dataclass(frozen=True)
class Ask:
    """What to evaluate. limit: the first clips only, 0 for all.

    lm: id of a language model, "" for none; alpha, beta: its weights, see asrdemo.types.DecoderOptions. A greedy
    decoder has no use for the three, and the weights mean nothing without a language model.
    """

    checkpoint: str
    corpus: str
    split: str
    decoder: str = "greedy"
    limit: int = 0
    lm: str = ""
    alpha: float = DecoderOptions.alpha
    beta: float = DecoderOptions.beta


@dataclass(frozen=True)
class Watch:
    """How the run goes that is under way, else the latest. running: whether to look again soon; resumable: whether it
    can go on."""

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


def language_models(services: Services, checkpoint: str) -> list[tuple[str, str]]:
    """Titles and ids of those listed for the checkpoint's language, its own among them whatever its language. Raises
    NotFoundError."""
    spec = services.registry.checkpoint(checkpoint)
    listed = services.registry.language_models.values()
    return [(lm.title, lm.id) for lm in listed if lm.id == spec.decoder.lm or _language(lm) == _language(spec)]


def _language(spec: CheckpointSpec | LanguageModelSpec) -> str:
    """Without script and region: a model of `ar` suits a checkpoint of `ar-EG`."""
    return re.split("[-_]", spec.language.lower())[0]


def arguments(services: Services, ask: Ask) -> list[str]:
    """What `python -m evals run` takes for it, every choice written out; the page shows them and runs them.

    Raises NotFoundError for what the registry does not list, ConfigError and DecodingError for values no run takes.
    """
    services.registry.checkpoint(ask.checkpoint)
    if ask.split not in splits(services, ask.corpus):
        raise NotFoundError(f"Corpus {ask.corpus!r} has no split {ask.split!r}.")
    if ask.decoder not in DECODERS:
        raise ConfigError(f"There is no decoder {ask.decoder!r}; available: {', '.join(DECODERS)}.")
    if ask.limit < 0:
        raise ConfigError(f"The number of clips is {ask.limit}; expected 0 for all, or more.")
    given = {"--checkpoint": ask.checkpoint, "--corpus": ask.corpus, "--split": ask.split, "--decoder": ask.decoder}
    if ask.decoder == "beam":
        given |= _with_lm(services, ask)
    if ask.limit:
        given["--limit"] = str(ask.limit)
    return [text for pair in given.items() for text in pair]


def _with_lm(services: Services, ask: Ask) -> dict[str, str]:
    if not ask.lm:
        return {"--lm": "none"}
    known = [id for _, id in language_models(services, ask.checkpoint)]
    if ask.lm not in known:
        raise NotFoundError(
            f"There is no language model {ask.lm!r} for {ask.checkpoint}; available: {', '.join(['none', *known])}."
        )
    from asrdemo.decoding import validate

    validate(DecoderOptions("beam", ask.lm, alpha=ask.alpha, beta=ask.beta))
    return {"--lm": ask.lm, "--alpha": _plain(ask.alpha), "--beta": _plain(ask.beta)}


def _plain(weight: float) -> str:
    """As people write it: 0.15 for what a slider calls 0.15000000000000002, and no exponent, which argparse would take
    for an option where it is negative."""
    return f"{round(weight, 4) + 0.0:g}"


def command(services: Services, ask: Ask) -> str:
    """What to type for the run that `start` would start, "" while it is none that could; also where the checkpoint is
    not on this machine."""
    try:
        return jobs.command_line(arguments(services, ask))
    except AsrDemoError:  # `start` says what is wrong
        return ""


def start(services: Services, ask: Ask) -> Job:
    """Start the run. Raises what `arguments` raises, NotFoundError for a checkpoint that is not on this machine,
    BusyError while another one runs."""
    asked = arguments(services, ask)
    spec = services.registry.checkpoint(ask.checkpoint)
    ready, reason = availability(spec)
    if not ready:
        raise NotFoundError(f"{spec.title} cannot be used now: {reason}")
    return jobs.start(services.settings.home, asked)


def stop(services: Services, id: str) -> None:
    """Stop a run; it can go on later."""
    jobs.stop(services.settings.home, id)


def resume(services: Services, id: str) -> None:
    """Go on with a run where it was stopped. Raises BusyError while another one runs."""
    jobs.resume(services.settings.home, id)


def watch(services: Services, problem: str = "") -> Watch:
    """The run under way, or else the latest, and those before it, whoever started them. problem: why what was just
    asked for did not work."""
    found = jobs.jobs(services.settings.home)
    said = f'<p class="problem" role="alert"><strong>That did not work:</strong> {escape(problem)}</p>' * bool(problem)
    if not found:
        return Watch(f'{said}<p class="hint">No evaluation has been run here yet.</p>')
    found.sort(key=lambda job: job.state != "running")  # an older one may have gone on
    latest, earlier = found[0], found[1 : 1 + LISTED]
    html = said + _latest(latest) + (_earlier(earlier) if earlier else "")
    return Watch(html, latest.id, latest.state == "running", latest.state in ("stopped", "failed"))


_STATES = {"running": "▶ running", "complete": "✓ finished", "failed": "✕ failed", "stopped": "‖ stopped"}


def _latest(job: Job) -> str:
    part = 100 * job.done / job.total if job.total else 0
    body = ""
    if job.state in ("running", "stopped"):
        count = f"{job.done:,} of {job.total:,}" if job.total else ""
        told = " · ".join(filter(None, (count, job.note))) or "starting"
        body = (
            '<div class="progress" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{part:.0f}"><span style="width:{part:.1f}%"></span></div>'
            f'<p class="hint">{escape(told)}</p>'
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
    """Such as "demo-en, beam with demo-lm (alpha 0.5, beta 0), on demo-corpus test, first 50 clips"."""
    given = dict(zip(job.arguments[::2], job.arguments[1::2], strict=False))
    lm = given.get("--lm", "none")
    weights = ", ".join(f"{name} {given[f'--{name}']}" for name in ("alpha", "beta") if f"--{name}" in given)
    model = "" if lm == "none" else f" with {lm}" + (f" ({weights})" if weights else "")
    limit = f", first {given['--limit']} clips" if "--limit" in given else ""
    return (
        f"{given.get('--checkpoint', '?')}, {given.get('--decoder', '?')}{model}, on {given.get('--corpus', '?')} "
        f"{given.get('--split', '?')}{limit}"
    )


def _when(job: Job) -> str:
    return time.strftime("%d %b %Y, %H:%M UTC", time.gmtime(job.started)) if job.started else ""
