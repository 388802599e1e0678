"""Whole results against each other as HTML: verdict, table, slices, changes, charts. All escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from asrdemo.errors import ConfigError
from asrdemo.ui.compare.charts import Point, change_bar, grid_chart, interval_bar, send, speed_chart
from asrdemo.ui.compare.corpus_handlers import BY, Figures, Unlike, View, address
from asrdemo.ui.compare.markup import glossary, percent, points, run_mark, term, times
from asrdemo.ui.filter_bar import Menu, chips_html, fields_html
from evals import filters

if TYPE_CHECKING:
    import pandas as pd

REAL = 0.05  # corrected p below which a difference counts as real
MOST_ROWS = 40  # slices shown; all are in the download

EMPTY = (
    '<div class="empty"><p>Nothing to compare yet.</p><p>Two finished results of the same clips are needed: run an '
    "evaluation on the Error analysis page or with <code>python -m evals run</code>.</p></div>"
)
LOADING = '<div class="empty loading"><p><span class="pulse" aria-hidden="true"></span> Reading the results …</p></div>'


def bar_html(menus: Sequence[Menu], view: View, labels: Sequence[str] = ()) -> str:
    """The filter bar, filled in by static/compare_link.js; nothing where there is nothing to filter. labels: what to
    call the results."""
    if not menus:
        return ""
    return (
        f'<form class="picker" role="search" aria-label="Filter" data-filter="{escape(view.where)}">'
        f"{fields_html(menus, view.names, labels=labels)}</form>"
    )


def figures_html(found: Figures) -> str:
    """The whole page."""
    parts = (_verdict(found), _table(found), _slices(found), _changes(found), _charts(found))
    terms = ("WER", "CER", "Interval", "Baseline", "Difference", "Chance", "Fixed", "Broken", "Speed")
    link = escape(address(found.view))
    return f'<article class="corpora" data-address="{link}">{"".join(parts)}{glossary(terms)}</article>'


def gone_html(names: Sequence[str]) -> str:
    """A line above the figures about results that were asked for and are not there."""
    listed = ", ".join(f"<strong>{escape(name)}</strong>" for name in names)
    return f'<p class="problem" role="status">Not here (any more): {listed}.</p>' if names else ""


def _rows(table: pd.DataFrame, name: str = "") -> list[Any]:
    """Rows of a table for one result, or all."""
    return list((table[table["run"] == name] if name else table).itertuples())


def _pair(found: Figures, one: str, other: str) -> Any:
    """The row of two results on all clips; the baseline of the view is the row's base."""
    return next(row for row in _rows(found.pairs) if {row.base, row.run} == {one, other})


def _verdict(found: Figures) -> str:
    missing = f" {found.left_out:,} clips are not in all results and are left out." if found.left_out else ""
    people = "" if found.speakers is None else f" of {found.speakers:,} speakers"
    caveat = f'<p class="hint problem">{escape(found.caveat)}</p>' if found.caveat else ""
    return (
        f'<header><p class="verdict" role="status">{_sentence(found)}</p>'
        f'<p class="hint">{found.clips:,} clips{people}, heard by every result.{missing}</p>{caveat}'
        f"{chips_html(filters.parse(found.view.where))}</header>"
    )


def _sentence(found: Figures) -> str:
    """Who makes fewest mistakes, and whether that is more than chance: against each of the others, for it was not known
    beforehand which would be best."""
    rates = {row.run: row.wer for row in _rows(found.overall)}
    if any(math.isnan(rate) for rate in rates.values()):
        return f"Too little speech for a verdict: {escape(found.overall['reason'].iloc[0])}."
    best, *others = sorted(rates, key=lambda name: (rates[name], name != found.view.base))
    called = found.labels
    among = f"Of {len(rates)} results, " if len(others) > 1 else ""
    close = [name for name in others if not _real(_pair(found, best, name))]
    if close:
        ahead = len(close) < len(others)
        words = "lead, too close to tell" if ahead else "lie too close to tell"
        shown = [percent(rates[name]) for name in (best, *close)]
        return (
            f"{among}<strong>{escape(called[best])}</strong> and {_listed([called[name] for name in close])} {words}: "
            f"{_listed(shown)} of words wrong. "
            "With other speakers it could be the other way round."
        )
    row, second = _pair(found, best, others[0]), others[0]
    low, high = sorted((abs(row.low), abs(row.high)))
    return (
        f"{among}<strong>{escape(called[best])}</strong> makes fewer mistakes: {percent(rates[best])} of words wrong, "
        f"{percent(rates[second])} with {escape(called[second])}. That is {100 * abs(row.difference):.1f} in 100 words "
        f"fewer ({100 * low:.1f} to {100 * high:.1f} with other speakers): more than chance."
    )


def _listed(names: Sequence[str]) -> str:
    """Such as "a, b and c", escaped."""
    *first, last = map(escape, names)
    return f"{', '.join(first)} and {last}" if first else last


def _table(found: Figures) -> str:
    overall = _rows(found.overall)
    top = max([row.high for row in overall if math.isfinite(row.high)] or [1.0])
    body = "".join(_result(found, at, row, top) for at, row in enumerate(overall))
    heads = (
        f'<th scope="col">Result</th><th scope="col" class="n">{term("WER", "Words wrong (WER)")}</th>'
        f'<th scope="col">{term("Interval", "with 95 % interval")}</th><th scope="col" class="n">{term("CER")}</th>'
        f'<th scope="col">{term("Difference", "Against the baseline")}</th>'
        f'<th scope="col" class="n">{term("Chance")}</th><th scope="col" class="n">{term("Speed")}</th>'
    )
    return (
        f'<section><div class="scroll"><table class="results"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _result(found: Figures, at: int, row: Any, top: float) -> str:
    name, base = row.run, found.view.base
    tag = f' <span class="tag">{term("Baseline", "baseline")}</span>' if name == base else ""
    against, chance = "–", "–"
    if name != base:
        pair = _pair(found, base, name)
        against, chance = _difference(pair), _chance(pair.p_holm)
    rate = percent(row.wer) if math.isfinite(row.wer) else f'<span class="none">{escape(row.reason)}</span>'
    interval = f"{interval_bar(row.wer, row.low, row.high, top, at)} <small>{_range(row.low, row.high)}</small>"
    return (
        f'<tr>{_head("row", found, at, name, tag)}<td class="n big" data-label="WER">{rate}</td>'
        f'<td class="range">{interval}</td><td class="n" data-label="CER">{percent(row.cer)}</td>'
        f'<td data-label="Difference">{against}</td><td class="n" data-label="Chance">{chance}</td>'
        f'<td class="n" data-label="Speed">{times(found.speeds[at])}</td></tr>'
    )


def _head(scope: str, found: Figures, at: int, name: str, more: str) -> str:
    """The head of a result's row or column. more: HTML behind its label."""
    return f'<th scope="{scope}" title="{escape(name)}">{run_mark(at, found.labels[name])}{more}</th>'


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}" if math.isfinite(low) and math.isfinite(high) else ""


def _chance(p: float) -> str:
    if math.isnan(p):
        return "–"
    return "&lt; 0.1 %" if p < 0.001 else percent(p)


def _real(row: Any) -> bool:
    """Whether a difference is more than chance: by its corrected p, and by its interval, which is beside it."""
    return row.p_holm < REAL and not row.low <= 0 <= row.high


def _kind(row: Any) -> tuple[str, str, str]:
    """Of a difference: its class, its sign and its words."""
    if math.isnan(row.difference):
        return "unknown", "", ""
    if not _real(row):
        return "alike", "≈", "no clear difference"
    return ("better", "▼", "fewer errors") if row.difference < 0 else ("worse", "▲", "more errors")


def _difference(row: Any) -> str:
    kind, sign, words = _kind(row)
    if kind == "unknown":
        return f'<span class="none">{escape(row.reason or "–")}</span>'
    return (
        f'<span class="{kind}"><span aria-hidden="true">{sign}</span> {points(row.difference)}</span> '
        f"<small>{_signed(row.low)} to {_signed(row.high)}</small><small>{words}</small>"
    )


def _signed(value: float) -> str:
    return points(value) if math.isfinite(value) else "?"


def _slices(found: Figures) -> str:
    """A row a slice, a column a result: word errors, and against the baseline a sign with words."""
    view = found.view
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}  # two slices may have the same name
    for row in _rows(found.compared[found.compared["by"] != ""]):
        rows.setdefault((row.slice, row.where), {})[row.run] = row
    order = sorted(rows, key=lambda key: -next(iter(rows[key].values())).clips)
    heads = "".join(
        _head("col", found, at, name, " (baseline)" if name == view.base else "") for at, name in enumerate(view.names)
    )
    body = "".join(_slice(found, rows[key]) for key in rows if key in order[:MOST_ROWS])
    more = (
        f'<p class="hint">The {MOST_ROWS} with the most clips of {len(order):,}; the download has all.</p>'
        if len(order) > MOST_ROWS
        else ""
    )
    return (
        f"<section><h3>For whom? Word errors by {escape(BY[view.by])}</h3>"
        '<p class="hint"><span class="better">▼ fewer</span> and <span class="worse">▲ more</span> errors than the '
        "baseline, where that is more than chance (corrected for all rows); ≈ no clear difference. A grey row has too "
        "few speakers or words for a number. Choose a row to see only its clips everywhere.</p>"
        f'<div class="scroll"><table class="matrix"><thead><tr><th scope="col">{escape(BY[view.by].capitalize())}</th>'
        f'<th scope="col" class="n">Clips</th><th scope="col" class="n">Speakers</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}</section>"
    )


def _slice(found: Figures, runs: dict[str, Any]) -> str:
    first = next(iter(runs.values()))
    title = escape(first.slice)
    if first.where:
        title = f'<button type="button" data-where="{escape(first.where)}">{title}</button>'
    people = "–" if found.speakers is None else f"{first.speakers:,}"
    head = f'<th scope="row">{title}</th><td class="n">{first.clips:,.0f}</td><td class="n">{people}</td>'
    if first.status != "ok":
        lacks = f'<td colspan="{len(found.view.names)}" class="none">too little: {escape(first.reason)}</td>'
        return f'<tr class="muted">{head}{lacks}</tr>'
    base = found.view.base
    cells = "".join(
        _slice_cell(runs[run], found.labels) if run != base else _base_cell(first, found.labels)
        for run in found.view.names
    )
    return f"<tr>{head}{cells}</tr>"


def _base_cell(row: Any, labels: Mapping[str, str]) -> str:
    return f'<td data-label="{escape(labels[row.base])}"><strong>{percent(row.base_wer)}</strong></td>'


def _slice_cell(row: Any, labels: Mapping[str, str]) -> str:
    base = labels[row.base]
    kind, sign, words = _kind(row)
    count = f"{100 * abs(row.difference):.1f}"
    meaning = {
        "better": f"{count} in 100 words fewer wrong than {base}; more than chance",
        "worse": f"{count} in 100 words more wrong than {base}; more than chance",
        "alike": f"{count} in 100 words apart from {base}, which chance explains",
    }.get(kind, "")
    title = f"{meaning} (interval {points(row.low)} to {points(row.high)}, corrected p {row.p_holm:.2g})"
    return (
        f'<td title="{escape(title)}" data-label="{escape(labels[row.run])}"><strong>{percent(row.wer)}</strong> '
        f'<span class="{kind}"><span aria-hidden="true">{sign}</span> {points(row.difference)}'
        f'<span class="sr-only">, {words}</span></span></td>'
    )


def _changes(found: Figures) -> str:
    view = found.view
    rows = _rows(found.changed, view.against)
    shown = [row for row in rows if row.by == ""] + sorted(
        (row for row in rows if row.by != ""), key=lambda row: -row.clips
    )[: MOST_ROWS]  # fmt: skip
    others = [name for name in view.names if name not in (view.base, view.against)]
    switch = "".join(
        f'<button type="button" class="chip" {send({"against": n})}>{escape(found.labels[n])} instead</button>'
        for n in others
    )
    base, against = (escape(found.labels[name]) for name in (view.base, view.against))
    most = max([max(r.words_fixed / max(r.words, 1), r.words_broken / max(r.words, 1)) for r in shown] or [1])
    body = "".join(_change(row, most) for row in shown)
    return (
        f"<section><h3>What changed from {base} to {against}?</h3>"
        f'<p class="hint">{term("Fixed")}: wrong before, right now. {term("Broken")}: right before, wrong now. '
        "The bars show words, as a share of the row's words: broken to the left, fixed to the right. "
        f"{switch}</p>"
        '<div class="scroll"><table class="changes"><thead><tr><th scope="col">Clips of</th>'
        '<th scope="col" class="n">Clips fixed</th><th scope="col" class="n">Clips broken</th>'
        '<th scope="col" class="n">Words broken</th><th scope="col" class="rest"><span class="sr-only">Bar</span></th>'
        '<th scope="col">Words fixed</th><th scope="col" class="n rest">Still wrong</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _change(row: Any, most: float) -> str:
    words = max(row.words, 1)
    bar = change_bar(round(1e4 * row.words_fixed / words), round(1e4 * row.words_broken / words), round(1e4 * most))
    return (
        f'<tr{" class=total" if row.by == "" else ""}><th scope="row">{escape(row.slice)}</th>'
        f'<td class="n" data-label="Clips fixed">{row.clips_fixed:,}</td>'
        f'<td class="n" data-label="Clips broken">{row.clips_broken:,}</td>'
        f'<td class="n" data-label="Words broken">{row.words_broken:,}</td><td class="range rest">{bar}</td>'
        f'<td data-label="Words fixed">{row.words_fixed:,}</td><td class="n rest">{row.words_wrong:,}</td></tr>'
    )


def _charts(found: Figures) -> str:
    grid, base, against = found.grid, found.labels[found.view.base], found.labels[found.view.against]
    summary = (
        f"Below the dashed line {escape(against)} has fewer errors ({grid.better:,} clips), above it more "
        f"({grid.worse:,}), on it as many ({grid.same:,}). Choose a mark to list its clips and hear them."
    )
    scatter = f'<section><h3>Clip by clip</h3><p class="hint">{summary}</p>{grid_chart(grid, base, against)}</section>'
    return f'<div class="pair">{scatter}{_speed(found)}</div>'


def _speed(found: Figures) -> str:
    dots = [
        Point(found.labels[row.run], at, speed, row.wer, row.low, row.high)
        for at, row in enumerate(_rows(found.overall))
        if math.isfinite(speed := found.speeds[at]) and math.isfinite(row.wer)
    ]
    if not dots:
        body = '<p class="none">These results do not say how long they took.</p>'
    else:
        body = speed_chart(dots)
    return (
        f'<section><h3>Speed against accuracy</h3><p class="hint">{term("Speed")} on these clips, when each result was '
        f"made: compare only runs of one machine.</p>{body}</section>"
    )


def unlike_html(found: Unlike) -> str:
    """In place of figures: why these results cannot be compared, and what can be done."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value[:40])}</td>" for value in values)}</tr>'
        for name, values in found.differences
    )
    table = ""
    if rows:
        heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in found.names)
        table = (
            '<div class="scroll"><table><thead><tr><th scope="col">What differs</th>'
            f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    pairs = "".join(
        f'<button type="button" class="chip" {send({"pair": pair})}>{escape(pair[0])} with {escape(pair[1])}</button>'
        for pair in found.possible
    )
    way_out = f'<p class="ways-out">Can be compared: {pairs}</p>' if pairs and not found.where else ""
    if not table:
        return (
            f'<article class="unlike" role="alert"><h3>Nothing to compare</h3><p>{escape(found.message)}</p>'
            f"{_way_back(found.where)}{way_out}</article>"
        )
    return (
        f'<article class="unlike" role="alert"><h3>These results cannot be compared</h3><p>{_why(found)}</p>{table}'
        f'{way_out}<details class="glossary"><summary>In full</summary><p>{escape(found.message)}</p></details>'
        "</article>"
    )


def _way_back(where: str) -> str:
    """How to take the filter away, if there is one."""
    try:
        return chips_html(filters.parse(where)) if where else ""
    except ConfigError:  # the message says what is wrong with it
        return '<p><button type="button" class="chip" data-clear>Show all clips</button></p>'


def _why(found: Unlike) -> str:
    names = {name for name, _ in found.differences}
    if "clips of the corpus" in names:
        return "They were measured on different clips: a difference could come from the clips alone."
    return (
        "Before words are counted, capitals, punctuation and the like are evened out. That was done by other rules in "
        "one result than in the other: a difference could come from the rules alone."
    )
