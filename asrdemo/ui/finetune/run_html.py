"""Runs as HTML: the list, one run's state, what it hears, by whom. Pure functions, all escaped; scripts read `data-run`
(open that run) and `data-live` (look again soon)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from asrdemo.finetune.runs import Run
from asrdemo.ui.differences import differences

NONE = (
    '<section class="pane blank"><p><strong>No run yet.</strong> Make a recipe, check it, and start it: it appears '
    "here, and goes on by itself when this page is closed.</p></section>"
)
STATES = {
    "queued": "… waits",
    "running": "▶ trains",
    "complete": "✓ finished",
    "failed": "✕ failed",
    "stopped": "‖ stopped",
    "interrupted": "✕ went away",
    "damaged": "✕ damaged",
}
MOST_SETS, MOST_SAMPLES, MOST_TEXT = 6, 8, 300
MOST_ALERTS = 12
MOST_LOG = 12_000  # characters


def list_html(found: Sequence[Run], chosen: str, total: int, live: bool, eta: Callable[[Run], float | None]) -> str:
    """All runs; a click opens one."""
    rows = "".join(_listed(run, run.name == chosen, eta(run)) for run in found)
    more = f'<p class="hint">and {total - len(found):,} older ones</p>' if total > len(found) else ""
    return (
        f'<section class="pane" data-live="{int(live)}"><h3>Runs</h3><div class="scroll">'
        '<table class="runs"><thead><tr>'
        '<th scope="col">Run</th><th scope="col">State</th><th scope="col" class="n">Step</th>'
        f'<th scope="col">Started, UTC</th></tr></thead><tbody>{rows}</tbody></table></div>{more}</section>'
    )


def _listed(run: Run, chosen: bool, eta: float | None) -> str:
    state = STATES[run.state]
    if run.state == "queued" and run.place:
        state += f", number {run.place}"
    if run.stopping:
        state = "‖ is stopping"
    elif eta is not None:
        state += f", {span(eta)} left"
    steps = f"{run.step:,} of {run.steps:,}" if run.steps else f"{run.step:,}"
    return (
        f'<tr{" class=chosen" if chosen else ""}><th scope="row"><button type="button" class="link" '
        f'data-run="{escape(run.name)}" aria-pressed="{str(chosen).lower()}">{escape(run.name)}</button></th>'
        f'<td class="state">{state}</td><td class="n">{steps}</td><td>{_when(run, "%d %b, %H:%M")}</td></tr>'
    )


def head_html(
    run: Run,
    eta: float | None,
    last: Mapping[str, Any],
    machine: str,
    alerts: Sequence[Mapping[str, Any]],
    known_as: str,
    links: Sequence[tuple[str, str]],
    evaluating: str = "",
) -> str:
    """What a run does now, in words and figures. last: newest value of each metric; known_as, evaluating: name of its
    checkpoint, and how far an evaluation of it is."""
    share = _share(run, eta)
    bar = (
        '<div class="progress" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><span style="width:{100 * share:.1f}%"></span></div>'
        if run.active or run.state in ("stopped", "interrupted")
        else ""
    )
    state = "‖ saves a checkpoint and ends" if run.stopping else STATES[run.state]
    born = (_when(run), f"by {run.who}" * bool(run.who), f"from {run.parent}" * bool(run.parent))
    who = " · ".join(filter(None, born))
    error = f'<p class="problem"><strong>Why:</strong> {escape(run.error)}</p>' if run.error else ""
    return (
        f'<section class="pane job"><div class="titled"><h3>{escape(run.name)} <span class="now">{state}</span></h3>'
        f'<span class="hint">{escape(who)}</span></div>{bar}<p class="hint">{escape(_doing(run, eta))}</p>'
        f"{_facts(run, last, machine)}{_ended(run, alerts)}{error}{_alerts(alerts)}"
        f"{_outcome(known_as, links, evaluating)}</section>"
    )


def _ended(run: Run, alerts: Sequence[Mapping[str, Any]]) -> str:
    """Why a run ended before its last step, where nothing went wrong."""
    if run.state != "complete" or not 0 < run.step < run.steps or any(a.get("action") == "stop" for a in alerts):
        return ""
    return (
        f'<ul class="alerts"><li>▲ <b>Time ran out</b> at step {run.step:,} of {run.steps:,}: the recipe has no more '
        "minutes. The best weights so far are kept; “Clone with changes” gives a run more time.</li></ul>"
    )


def _share(run: Run, eta: float | None) -> float:
    if run.steps:
        return min(1.0, run.step / run.steps)
    return run.seconds / (run.seconds + eta) if eta is not None and run.seconds else 0.0


def _doing(run: Run, eta: float | None) -> str:
    if run.state == "queued":
        return f"Waits its turn: one run at a time trains on a machine. {run.note}".strip()
    left = "" if eta is None else f"about {span(eta)} left"
    note = run.note[:1].upper() + run.note[1:] if run.active else ""
    return " · ".join(filter(None, (note, left, f"{span(run.seconds)} at work" * (run.seconds > 0))))


def _facts(run: Run, last: Mapping[str, Any], machine: str) -> str:
    def number(name: str, shape: str) -> str:
        value = last.get(name)
        return shape.format(value) if isinstance(value, int | float) else ""

    found = {
        "step": f"{run.step:,} of {run.steps:,}" if run.steps else f"{run.step:,}",
        "loss": number("loss", "{:.3f}"),
        "rate": number("learning_rate", "{:.2g}"),
        "heard": number("audio_hours", "{:.2f} h"),
        "its memory": " · ".join(filter(None, (number("memory_gb", "{:.1f} GB"), number("gpu_gb", "GPU {:.1f} GB")))),
        "machine": machine,
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in found.items() if value)
    return f'<dl class="facts">{items}</dl>'


def _alerts(alerts: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(
        f'<li><span class="state">{"✕ stopped the run" if a.get("action") == "stop" else "▲ warning"}</span> '
        f"{escape(str(a.get('sentence', '')))}"
        f' <span class="hint">step {escape(str(a.get("step", "?")))}</span></li>'
        for a in alerts[-MOST_ALERTS:]
    )
    return f'<ul class="alerts" aria-label="What the watchdog says">{items}</ul>' if items else ""


def _outcome(known_as: str, links: Sequence[tuple[str, str]], evaluating: str) -> str:
    if not known_as:
        return ""
    doing = f". Evaluating now: {escape(evaluating)}" if evaluating else ""
    onward = "".join(f' <a class="plain" href="{escape(address)}">{escape(title)}</a>' for title, address in links)
    return f'<p class="outcome">✓ In every tab as <b>{escape(known_as)}</b>{doing}{onward}</p>'


def samples_html(found: Mapping[str, Any] | None, step: object) -> str:
    """Decoded dev sentences with what differs from the reference marked."""
    body = ""
    for name, each in list((found or {}).items())[:MOST_SETS]:
        lines = "".join(f"<li>{_sample(line)}</li>" for line in each[:MOST_SAMPLES])
        body += f'<h4>{escape(name)}</h4><ul class="samples">{lines}</ul>' if lines else ""
    if not body:
        return ""
    return (
        f'<section class="pane"><h3>What it hears now</h3><p class="hint">The same dev clips each time, here at step '
        f"{escape(str(step))}. <del>left out or misheard</del>, <ins>heard instead</ins>.</p>{body}</section>"
    )


def _sample(line: Mapping[str, Any]) -> str:
    said, heard = (str(line.get(name, ""))[:MOST_TEXT] for name in ("reference", "hypothesis"))
    tags = {"same": "{}", "delete": "<del>{}</del>", "insert": "<ins>{}</ins>"}
    marked = " ".join(tags[mark].format(escape(text)) for mark, text in differences(said, heard))
    right = ' <span class="hint">✓ all right</span>' if said == heard else ""
    return f'<p dir="auto">{marked}{right}</p>'


def log_html(text: str) -> str:
    """The end of what it printed."""
    if not text:
        return '<p class="hint">Nothing yet.</p>'
    return f'<pre class="log" tabindex="0">{escape(text[-MOST_LOG:])}</pre>'


def span(seconds: float) -> str:
    """A time in words, such as "40 s", "5 min" and "2.3 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _when(run: Run, shape: str = "%d %b %Y, %H:%M UTC") -> str:
    return time.strftime(shape, time.gmtime(run.started)) if run.started else ""
