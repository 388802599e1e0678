"""The frame of the Error analysis page as HTML: results, filter bar, headline, problems. Pure functions, all escaped.

Scripts read `data-where` and the like (see filter_bar.py) and `data-go` (other parts of the address to set); see
static/analysis.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan

from asrdemo.ui import words
from asrdemo.ui.filter_bar import Menu, chips_html, drop_html, fields_html
from asrdemo.ui.words import percent, tip
from evals.filters import Condition
from evals.headline import Headline, Rate
from evals.report import charts
from evals.wording import count


@dataclass(frozen=True)
class Choice:
    """A result that can be chosen. about: what it is; clips, wer: for the list; same: whether it is of the same clips
    as the one looked at, so that it can stand beside it."""

    name: str
    about: str
    clips: int
    wer: float | None
    same: bool = True


def bar_html(
    choices: Sequence[Choice],
    chosen: Sequence[str],
    menus: Sequence[Menu],
    conditions: Sequence[Condition] = (),
    labels: Sequence[str] = (),
) -> str:
    """The form whose fields are the filter: names and values are those of the address. Without menus there is nothing
    to filter, only results to choose. conditions: the filter as it is; labels: what to call those chosen."""
    results = _results(choices, chosen, labels)
    if not menus:
        return f'<form class="picker" aria-label="Results">{results}</form>'
    return (
        f'<form class="picker" role="search" aria-label="Results and filter">{results}'
        f"{fields_html(menus, chosen, conditions, labels)}</form>"
    )


def _results(choices: Sequence[Choice], chosen: Sequence[str], labels: Sequence[str]) -> str:
    """A click on a result shows it alone, a tick adds it. Those shown come first, those of other clips last."""
    rows = sorted(choices, key=lambda each: (each.name not in chosen, not each.same))
    known = {each.name: each.about for each in choices}
    names = labels if len(chosen) > 1 and labels else [known.get(name, name) for name in chosen]
    title = escape(" + ".join(names)) or "Choose a result"
    hint = '<p class="hint">Choose one to see it alone; tick others of the same clips to see them side by side.</p>'
    return drop_html(
        f'<span class="label">Result</span> <span class="picked" title="{escape(" + ".join(chosen))}">{title}</span>',
        hint + "".join(_choice(each, each.name in chosen) for each in rows),
        "results",
    )


def _choice(each: Choice, chosen: bool) -> str:
    name, about = escape(each.name), escape(each.about)
    rate = "" if each.wer is None else f" · WER {percent(each.wer)}"
    box = f'<input type="checkbox" name="results" value="{name}"{" checked" if chosen else ""} '
    box += f'aria-label="Beside the others: {name}"{"" if each.same or chosen else " disabled"}>'
    other = "" if each.same else "other clips · "
    return (
        f'<div class="result-choice{"" if each.same else " other"}">{box}<button type="button" data-only="{name}">'
        f'<b>{about}</b><span class="about">{other}{each.clips:,} clips{rate} · {name}</span></button></div>'
    )


def headline_html(
    found: Sequence[Headline],
    labels: Sequence[str],
    about: str,
    conditions: Sequence[Condition],
    runs: Sequence[str] = (),
    unit: str = "word",
) -> str:
    """The figures of the chosen clips, a strip for each run. runs: their names, of which one can be looked at closely;
    unit: what is counted, "character" where the language has no words."""
    first = found[0]
    support = (
        f"<b>{count(first.clips, 'clip')}</b> · <b>{count(first.speakers, 'speaker')}</b> · "
        f"<b>{words.hours(first.hours)}</b> of speech · <b>{count(first.words, unit)}</b>"
    )
    title = _plainly(first, unit) if len(found) == 1 and not first.lacking else ""
    strips = "".join(
        _strip(each, label, at, len(found), unit) for at, (each, label) in enumerate(zip(found, labels, strict=True))
    )
    return (
        '<section class="headline" tabindex="-1" aria-label="Headline"><div class="titled">'
        f"<h2>{title or escape(about)}</h2>"
        '<span class="saves"><button type="button" class="link" data-copy>Copy link</button>'
        '<button type="button" class="link" data-save="report">Save report</button></span></div>'
        f'<p class="support">{f"{escape(about)}<br>" if title else ""}{support}</p>{chips_html(conditions)}{strips}'
        f"{_closely(runs, labels) if len(runs) > 1 else ''}</section>"
    )


def _closely(runs: Sequence[str], labels: Sequence[str]) -> str:
    """Which of the results errors, clips and findings are of: the first, and the others by a click."""
    buttons = "".join(
        f'<button type="button" class="chip" data-first="{escape(run)}" aria-pressed="{str(not at).lower()}">{key(at)} '
        f'<span dir="auto">{escape(label)}</span></button>'
        for at, (run, label) in enumerate(zip(runs, labels, strict=True))
    )
    return f'<p class="chips"><span class="label">Errors, clips and findings below are of</span> {buttons}</p>'


def whose(labels: Sequence[str]) -> str:
    """The result looked at closely, as HTML; with its mark where there are others."""
    return f'{f"{key(0)} " if len(labels) > 1 else ""}<span dir="auto">{escape(labels[0])}</span>'


def _plainly(each: Headline, unit: str) -> str:
    """The word error rate as one would say it."""
    wrong = 100 * each.wer.value
    if wrong > 100:
        return f"There are more errors than {unit}s that were said"
    number = f"{wrong:.0f}" if wrong >= 0.95 or not wrong else f"{wrong:.1f}"
    return f"About {number} of 100 {unit}s come out wrong"


def _strip(each: Headline, label: str, at: int, runs: int, unit: str) -> str:
    name = f'<h3 class="run">{key(at)} <span dir="auto">{escape(label)}</span></h3>' if runs > 1 else ""
    if each.lacking:
        counted = f"{each.errors:,} errors in {count(each.words, unit)}"
        said = f"Too little to give a rate: {escape(each.lacking)}. Counted: {counted}."
        return f'{name}<p class="little">{said} {tip("support")}</p>'
    wer = _card("Words wrong", "WER", "wer", percent(each.wer.value), _between(each.wer), "main")
    cer = _card("Letters wrong", "CER", "cer", percent(each.cer.value), _between(each.cer))
    if unit == "character":  # counted in words it would be the same
        wer, cer = _card("Characters wrong", "CER", "cer", percent(each.cer.value), _between(each.cer), "main"), ""
    raw = _card("As written", f"raw {'WER' if cer else 'CER'}", "raw", percent(each.raw), _RAW, "less")
    speed = _card("Speed", "RTFx", "rtfx", "–" if isnan(each.rtfx) else f"{each.rtfx:,.0f}×", "real time", "less")
    return f'{name}<div class="cards-row">{wer}{cer}{raw}{speed}{_split(each, unit)}</div>'


_RAW = "if capitals and punctuation counted too"


def _card(title: str, short: str, help_: str, figure: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="figure {kind}"><span class="label">{title} <abbr>{short}</abbr> '
        f"{tip(help_)}</span>"
        f'<span class="number">{figure}</span><span class="note">{note}</span></div>'
    )


def _between(rate: Rate) -> str:
    if rate.high != rate.high:
        return f"too few speakers for an interval {tip('interval')}"
    return f"{100 * rate.low:.1f} to {percent(rate.high)} {tip('interval')}"


def _split(each: Headline, unit: str) -> str:
    """Kinds of errors as a bar with its figures in words."""
    total = max(each.errors, 1)
    kinds = ((f"wrong {unit}", "sub", each.substitutions), ("left out", "del", each.deletions),
             ("added", "ins", each.insertions))  # fmt: skip
    bars = "".join(f'<span class="{css}" style="width:{100 * n / total:.2f}%"></span>' for _, css, n in kinds)
    legend = "".join(
        f'<span><i class="{css}" aria-hidden="true"></i>{name} <b>{percent(n / total, 0)}</b></span>'
        for name, css, n in kinds
    )
    return (
        f'<div class="figure split"><span class="label">{each.errors:,} errors</span>'
        f'<span class="parts" aria-hidden="true">{bars}</span><span class="note legend">{legend}</span></div>'
    )


def key(run: int) -> str:
    """The mark of a run."""
    return f'<svg viewBox="-8 -8 16 16" class="key" aria-hidden="true">{charts.shape(run, 0, 0)}</svg>'


def problem_html(message: str, filtered: bool = False) -> str:
    """In place of the headline: why there is nothing to show, and the way out. filtered: the filter is at fault."""
    way = "data-clear>Show all clips" if filtered else "data-reset>Start over"
    return (
        '<section class="nothing" tabindex="-1" role="alert"><p><strong>Nothing to show.</strong> '
        f'{escape(message)}</p><p><button type="button" class="plain" {way}</button></p></section>'
    )


def hint_html(message: str) -> str:
    """In place of a part of the page: why it is not there."""
    return f'<p class="hint" role="alert">{escape(message)}</p>'


def go(changes: Mapping[str, str | None]) -> str:
    """Attribute of a button that sets parts of the address; None takes one away."""
    from urllib.parse import urlencode

    pairs = [(f"-{name}", "") if value is None else (name, value) for name, value in changes.items()]
    return f'data-go="{escape(urlencode(pairs))}"'
