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
    """A result that can be chosen. about: what it is; clips, wer: for the list."""

    name: str
    about: str
    clips: int
    wer: float | None


def bar_html(
    choices: Sequence[Choice], chosen: Sequence[str], menus: Sequence[Menu], conditions: Sequence[Condition] = ()
) -> str:
    """The form whose fields are the filter: names and values are those of the address. Without menus there is nothing
    to filter, only results to choose. conditions: the filter as it is."""
    if not menus:
        return f'<form class="picker" aria-label="Results">{_results(choices, chosen)}</form>'
    return (
        f'<form class="picker" role="search" aria-label="Results and filter">{_results(choices, chosen)}'
        f"{fields_html(menus, chosen, conditions)}</form>"
    )


def _results(choices: Sequence[Choice], chosen: Sequence[str]) -> str:
    rows = "".join(
        f'<label class="result-choice"><input type="checkbox" name="results" value="{escape(each.name)}"'
        f"{' checked' if each.name in chosen else ''}><span><b>{escape(each.name)}</b>"
        f'<span class="about">{escape(each.about)} · {each.clips:,} clips'
        f"{'' if each.wer is None else f' · WER {percent(each.wer)}'}</span></span></label>"
        for each in choices
    )
    title = escape(" + ".join(chosen)) or "Choose a result"
    hint = '<p class="hint">Several results of the same clips are shown side by side.</p>'
    return drop_html(f'<span class="label">Result</span> <span class="picked">{title}</span>', hint + rows, "results")


def headline_html(found: Sequence[Headline], labels: Sequence[str], about: str, conditions: Sequence[Condition]) -> str:
    """The figures of the chosen clips, a strip for each run."""
    first = found[0]
    support = (
        f"<b>{count(first.clips, 'clip')}</b> · <b>{count(first.speakers, 'speaker')}</b> · "
        f"<b>{words.hours(first.hours)}</b> of speech · <b>{count(first.words, 'word')}</b>"
    )
    title = _plainly(first) if len(found) == 1 and not first.lacking else ""
    strips = "".join(
        _strip(each, label, at, len(found)) for at, (each, label) in enumerate(zip(found, labels, strict=True))
    )
    return (
        '<section class="headline" tabindex="-1" aria-label="Headline"><div class="titled">'
        f"<h2>{title or escape(about)}</h2>"
        '<span class="saves"><button type="button" class="link" data-copy>Copy link</button>'
        '<button type="button" class="link" data-save="report">Save report</button></span></div>'
        f'<p class="support">{f"{escape(about)}<br>" if title else ""}{support}</p>{chips_html(conditions)}{strips}'
        "</section>"
    )


def _plainly(each: Headline) -> str:
    """The word error rate as one would say it."""
    wrong = 100 * each.wer.value
    if wrong > 100:
        return "There are more errors than words that were said"
    number = f"{wrong:.0f}" if wrong >= 0.95 or not wrong else f"{wrong:.1f}"
    return f"About {number} of 100 words come out wrong"


def _strip(each: Headline, label: str, at: int, runs: int) -> str:
    name = f'<h3 class="run">{key(at)} <span dir="auto">{escape(label)}</span></h3>' if runs > 1 else ""
    if each.lacking:
        counted = f"{each.errors:,} errors in {each.words:,} words"
        said = f"Too little to give a rate: {escape(each.lacking)}. Counted: {counted}."
        return f'{name}<p class="little">{said} {tip("support")}</p>'
    cards = [
        _card("Words wrong", "WER", "wer", percent(each.wer.value), _between(each.wer), main=True),
        _card("Letters wrong", "CER", "cer", percent(each.cer.value), _between(each.cer)),
        _card("As written", "raw WER", "raw", percent(each.raw), "capitals and punctuation count"),
        _card("Speed", "RTFx", "rtfx", "–" if isnan(each.rtfx) else f"{each.rtfx:,.0f}×", "real time"),
    ]
    return f'{name}<div class="cards-row">{"".join(cards)}{_split(each)}</div>'


def _card(title: str, short: str, help_: str, figure: str, note: str, main: bool = False) -> str:
    return (
        f'<div class="figure{" main" if main else ""}"><span class="label">{title} <abbr>{short}</abbr> '
        f"{tip(help_)}</span>"
        f'<span class="number">{figure}</span><span class="note">{note}</span></div>'
    )


def _between(rate: Rate) -> str:
    if rate.high != rate.high:
        return f"too few speakers for an interval {tip('interval')}"
    return f"{100 * rate.low:.1f} to {percent(rate.high)} {tip('interval')}"


def _split(each: Headline) -> str:
    """Kinds of errors as a bar with its figures in words."""
    total = max(each.errors, 1)
    kinds = (("wrong word", "sub", each.substitutions), ("left out", "del", each.deletions),
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


def problem_html(message: str) -> str:
    """In place of the headline: why there is nothing to show, and the way out."""
    return (
        '<section class="nothing" tabindex="-1" role="alert"><p><strong>Nothing to show.</strong> '
        f"{escape(message)}</p>"
        '<p><button type="button" class="plain" data-clear>Show all clips</button> '
        '<button type="button" class="plain" data-reset>Start over</button></p></section>'
    )


def hint_html(message: str) -> str:
    """In place of a part of the page: why it is not there."""
    return f'<p class="hint" role="alert">{escape(message)}</p>'


def go(changes: Mapping[str, str | None]) -> str:
    """Attribute of a button that sets parts of the address; None takes one away."""
    from urllib.parse import urlencode

    pairs = [(f"-{name}", "") if value is None else (name, value) for name, value in changes.items()]
    return f'data-go="{escape(urlencode(pairs))}"'
