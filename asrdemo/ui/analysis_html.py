"""The frame of the Error analysis page as HTML: results, filter bar, headline, problems. Pure functions, all escaped.

Scripts read `data-where` (conditions to add to the filter), `data-drop` (one to take away) and `data-go` (other parts
of the address to set); see static/analysis.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan

from asrdemo.ui import analysis_words as words
from asrdemo.ui.analysis_words import percent, tip
from evals.filters import Condition, query
from evals.headline import Headline, Rate
from evals.report import charts

MOST_LISTED = 100
LEGEND = (
    '<p class="hint legend-of-charts">Percent of the words that are wrong. Mark: measured; bar: 95 % interval; dashed '
    'line: all clips shown. <b class="up">▲</b> clearly worse, <b class="down">▼</b> clearly better than the rest. '
    "Choose a row to look only at its clips.</p>"
)


@dataclass(frozen=True)
class Choice:
    """A result that can be chosen. about: what it is; clips, wer: for the list."""

    name: str
    about: str
    clips: int
    wer: float | None


@dataclass(frozen=True)
class Menu:
    """What one column offers to filter by. values: (value, clips); numbers: whether it takes a range instead."""

    column: str
    values: tuple[tuple[str, int], ...] = ()
    left_out: int = 0
    numbers: bool = False
    least: float = 0.0
    most: float = 0.0


def bar_html(choices: Sequence[Choice], chosen: Sequence[str], menus: Sequence[Menu]) -> str:
    """The form whose fields are the filter: names and values are those of the address. Without menus there is nothing
    to filter, only results to choose."""
    if not menus:
        return f'<form class="picker" aria-label="Results">{_results(choices, chosen)}</form>'
    own = "".join(_menu(menu) for menu in menus)
    outcome = [("wrong", run, f"Has errors in {run}") for run in chosen]
    outcome += [("correct", run, f"All right in {run}") for run in chosen]
    outcomes = "".join(_check(name, value, text) for name, value, text in outcome)
    search = "".join(
        f'<label>{label}<input type="search" name="{name}" autocomplete="off" placeholder="part of a word"></label>'
        for name, label in (("reference.has", "What was said"), ("hypothesis.has", "What was heard"))
    )
    return (
        f'<form class="picker" role="search" aria-label="Results and filter">{_results(choices, chosen)}'
        f'<div class="filters" role="group" aria-label="Filter the clips"><span class="label">Only clips with</span>'
        f"{own}"
        f"{_drop('Right or wrong', outcomes)}{_drop('Text', search)}</div></form>"
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
    return _drop(f'<span class="label">Result</span> <span class="picked">{title}</span>', hint + rows, "results")


def _menu(menu: Menu) -> str:
    name = words.column(menu.column)
    label = escape(name[:1].upper() + name[1:])
    if menu.numbers:
        unit = words.UNITS.get(menu.column, "")
        ends = "".join(
            f'<label>{end}<input type="number" step="any" name="{menu.column}.{op}" placeholder="{bound:g}"></label>'
            for end, op, bound in (("From", "min", menu.least), ("To below", "below", menu.most))
        )
        help_ = tip(menu.column) if menu.column in words.TIPS else ""
        return _drop(label, f'<div class="range">{ends}<span class="hint">{unit} {help_}</span></div>')
    boxes = "".join(
        _check(menu.column, value, words.value(value) or "not stated", clips) for value, clips in menu.values
    )
    more = f'<p class="hint">and {menu.left_out:,} rarer ones</p>' if menu.left_out else ""
    return _drop(label, boxes + more)


def _drop(title: str, body: str, kind: str = "") -> str:
    """A button that opens a little panel; counts what is chosen in it by script. title: HTML."""
    return (
        f'<details class="drop {kind}"><summary>{title}<span class="count"></span></summary>'
        f'<div class="panel">{body}</div></details>'
    )


def _check(name: str, value: str, text: str, clips: int | None = None) -> str:
    count = "" if clips is None else f'<span class="n">{clips:,}</span>'
    return (
        f'<label><input type="checkbox" name="{escape(name)}" value="{escape(value)}">'
        f'<span dir="auto">{escape(text)}</span>{count}</label>'
    )


def headline_html(found: Sequence[Headline], labels: Sequence[str], about: str, conditions: Sequence[Condition]) -> str:
    """The figures of the chosen clips, a strip for each run."""
    first = found[0]
    support = (
        f"<b>{first.clips:,}</b> clips · <b>{first.speakers:,}</b> speakers · "
        f"<b>{escape(words.hours(first.hours))}</b> of speech · <b>{first.words:,}</b> words"
    )
    title = _plainly(first) if len(found) == 1 and not first.lacking else ""
    strips = "".join(
        _strip(each, label, at, len(found)) for at, (each, label) in enumerate(zip(found, labels, strict=True))
    )
    return (
        f'<section class="headline" aria-label="Headline"><div class="titled"><h2>{title or escape(about)}</h2>'
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


def chips_html(conditions: Sequence[Condition]) -> str:
    """The filter in words; each part can be taken away."""
    if not conditions:
        return '<p class="chips"><span class="label">Showing all clips.</span></p>'
    chips = "".join(
        f'<button type="button" class="chip" data-drop="{escape(query([each]))}" '
        f'aria-label="Remove filter: {escape(words.condition(each))}">'
        f'<span dir="auto">{escape(words.condition(each))}</span> <span aria-hidden="true">✕</span></button>'
        for each in conditions
    )
    clear = '<button type="button" class="link" data-clear>Show all clips</button>'
    return f'<p class="chips"><span class="label">Showing only</span> {chips} {clear}</p>'


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
        f'<section class="nothing" role="alert"><p><strong>Nothing to show.</strong> {escape(message)}</p>'
        '<p><button type="button" class="plain" data-clear>Show all clips</button> '
        '<button type="button" class="plain" data-reset>Start over</button></p></section>'
    )


def go(changes: Mapping[str, str | None]) -> str:
    """Attribute of a button that sets parts of the address; None takes one away."""
    from urllib.parse import urlencode

    pairs = [(f"-{name}", "") if value is None else (name, value) for name, value in changes.items()]
    return f'data-go="{escape(urlencode(pairs))}"'


def further_html(columns: Sequence[tuple[str, bool]]) -> str:
    """Buttons that add a chart for one more column. columns: (name, whether it is charted)."""
    if not columns:
        return LEGEND
    buttons = "".join(
        f'<button type="button" class="chip" data-toggle="by={escape(name)}" aria-pressed="{str(on).lower()}">'
        f'<span aria-hidden="true">{"✓" if on else "+"}</span> {escape(words.column(name))}</button>'
        for name, on in columns
    )
    return f'<p class="chips further"><span class="label">Also by</span> {buttons}</p>{LEGEND}'


def heat_frame(offered: Sequence[str], down: str, across: str, table: str) -> str:
    """The two lists to choose from, and the map."""

    def select(which: int, chosen: str, label: str) -> str:
        options = "".join(
            f'<option value="{escape(name)}"{" selected" if name == chosen else ""}>'
            f"{escape(words.column(name))}</option>"
            for name in offered
        )
        return f'<label>{label} <select data-heat="{which}">{options}</select></label>'

    return (
        f'<section class="pane"><h3>Two things at once</h3><p class="choose">{select(0, down, "Rows:")} '
        f"{select(1, across, 'Columns:')}</p>{table}</section>"
    )


def worst_html(rows: Sequence[Mapping[str, object]], note: str) -> str:
    """The slices found, confirmed ones as answers, the others folded away."""
    confirmed = [_found(row, at) for at, row in enumerate((r for r in rows if r["confirmed"]), start=1)]
    others = [_found(row, 0) for row in rows if not row["confirmed"]]
    body = (
        f'<ol class="found">{"".join(confirmed)}</ol>'
        if confirmed
        else "<p>Nothing that the search found held on speakers it had not seen.</p>"
    )
    if others:
        body += (
            f"<details><summary>{len(others)} found but not confirmed: may be chance</summary>"
            f'<ul class="found">{"".join(others)}</ul></details>'
        )
    return (
        '<section class="pane"><h3>Where does it fail?</h3><p class="hint">Every combination of up to three properties '
        "was searched on half of the speakers; what stood out was tested on the other half.</p>"
        f'{body}<details class="how"><summary>How this was done</summary><p class="hint">{escape(note)}</p></details>'
        "</section>"
    )


def _found(row: Mapping[str, object], at: int) -> str:
    where = escape(str(row["where"]))
    badge = '<span class="badge sure">✓ confirmed</span>' if at else '<span class="badge">? not confirmed</span>'
    return (
        f'<li><p dir="auto">{escape(words.value(str(row["sentence"])))}</p><p class="acts">{badge} '
        f'<button type="button" class="plain" data-where="{where}">Look only at these</button> '
        f'<button type="button" class="plain" data-where="{where}" {go({"view": "clips", "page": None})}>See the clips'
        "</button></p></li>"
    )


def gaps_html(found: Sequence[tuple[str, object]]) -> str:
    """Raw beside adjusted gaps, in a table for each column."""
    tables = "".join(_gap_table(column, each) for column, each in found)
    if not tables:
        return ""
    return (
        '<section class="pane"><h3>Does the gap survive?</h3><p class="hint">Speakers of one group may read longer '
        "sentences, talk faster or use worse microphones. The second figure compares only like with like.</p>"
        f"{tables}</section>"
    )


_VERDICTS = {
    "survives": ("●", "the gap survives"),
    "turns": ("↺", "turns round"),
    "goes": ("○", "the gap goes"),
    "unclear": ("◐", "unclear"),
    "appears": ("◑", "a hidden gap shows"),
    "no gap": ("–", "no gap shown"),
}


def _gap_table(column: str, found: object) -> str:
    rows = [r for r in found.table.to_dict("records") if r["status"] == "ok"]  # type: ignore[attr-defined]
    if not rows:
        return ""
    body = ""
    for row in sorted(rows, key=lambda r: -r["raw"]):
        sign, verdict = _VERDICTS[row["verdict"]]
        raw, alike = (
            f"{row[n]:.2f}× <span class='range'>{row[f'{n}_low']:.2f}–{row[f'{n}_high']:.2f}</span>"
            for n in ("raw", "adjusted")
        )
        body += (
            f'<tr title="{escape(words.value(row["sentence"]))}"><th scope="row" dir="auto">'
            f'{escape(words.value(row["value"]))}</th><td class="n">{raw}</td><td class="n">{alike}</td>'
            f'<td><span aria-hidden="true">{sign}</span> {verdict}</td></tr>'
        )
    name = words.column(column)
    reference = escape(words.value(found.reference))  # type: ignore[attr-defined]
    return (
        f'<div class="scroll"><table class="gaps"><thead><tr><th scope="col">{name[:1].upper() + name[1:]}, compared '
        f'to <span dir="auto">{reference}</span></th><th scope="col" class="n">As it is {tip("raw_gap")}</th>'
        f'<th scope="col" class="n">Like with like {tip("adjusted")}</th><th scope="col">Verdict</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
