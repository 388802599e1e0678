"""Slices as dot-and-interval charts and heat maps: HTML rows, so that they wrap on a phone, and every row is a button.

A row says its figures in text as well; each run has a shape and a colour of its own (evals.report.charts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from asrdemo.ui import words
from asrdemo.ui.analysis.markup import key
from asrdemo.ui.words import percent
from evals.report import charts
from evals.wording import between, count

SHOWN = 12
_SURE = 0.05  # corrected p from which a slice counts as apart from the rest

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Chart:
    """rows: of evals.slices.slice_table, one grouping; overall: WER of each run; ordered: keep the rows' order."""

    by: str
    rows: Sequence[Row]
    runs: Sequence[str]
    labels: Sequence[str]
    overall: Sequence[float]
    ordered: bool = False


def lead_html(rows: Sequence[Row], run: str, label: str = "", unit: str = "word") -> str:
    """In plain sentences: the slices of a run that are surely worse than the rest, furthest apart first.

    label: of the run, where there are several; unit: what is counted.
    """
    sure = [
        r for r in rows if r["run"] == run and r["by"] and r["p_bh"] <= _SURE and r["difference"] > 0 and r["where"]
    ]
    sure.sort(key=lambda r: -r["difference"])
    if not sure:
        compared = any(r["by"] and r["difference"] == r["difference"] for r in rows)
        said = "No single group stands out: the differences below may be chance."
        few = "These clips are too few to compare groups among them."
        return f'<p class="lead">{said if compared else few}</p>'
    said = "".join(
        f'<li><button type="button" class="finding" data-where="{escape(r["where"])}">'
        f'<b dir="auto">{escape(_named(r))}</b> {percent(r["wer"], 0)} of the {unit}s are wrong, '
        f"against {percent(r['rest'], 0)} elsewhere</button></li>"
        for r in sure[:4]
    )
    of = f' <span class="of">({key(0)} {escape(label)})</span>' if label else ""
    return f'<p class="lead">Clearly worse than the rest{of}:</p><ul class="findings">{said}</ul>'


def _named(row: Row) -> str:
    """A slice with its column where the label alone would not say."""
    label = row["slice"]
    return f"{label}:" if row["by"] in ("accents", "gender") else f"{words.columns(row['by'])} {label}:"


def charts_html(found: Sequence[Chart]) -> str:
    """All charts on one scale, so that they can be compared."""
    rates = [r["high"] for chart in found for r in chart.rows if r["status"] == "ok"]
    top = charts.ceiling([*rates, *(rate for chart in found for rate in chart.overall)])
    return f'<div class="charts">{"".join(_chart(each, top) for each in found)}</div>'


def _chart(chart: Chart, top: float) -> str:
    lines = _lines(chart)
    shown = "".join(_line(line, chart, top) for line in lines[:SHOWN])
    hidden = "".join(_line(line, chart, top) for line in lines[SHOWN:])
    more = f"<details><summary>{len(lines) - SHOWN} more</summary>{hidden}</details>" if hidden else ""
    ticks = "".join(f'<span style="left:{20 * i}%">{100 * top * i / 5:g}</span>' for i in range(6))
    title = f"By {words.columns(chart.by)}"
    save = '<button type="button" class="link" data-save="slices" title="Save all slices as CSV">CSV</button>'
    return (
        f'<figure class="chart" aria-label="{escape(title)}"><figcaption><h3>{escape(title)}</h3>{save}</figcaption>'
        f'<div class="lines">{shown}</div>{more}'
        f'<div class="line axis" aria-hidden="true"><span></span><span class="track">{ticks}</span><span></span></div>'
        "</figure>"
    )


def _lines(chart: Chart) -> list[list[Row]]:
    """Rows slice by slice; worst first, those without a figure last."""
    grouped: dict[str, list[Row]] = {}
    for row in chart.rows:
        grouped.setdefault(row["slice"], []).append(row)
    lines = list(grouped.values())
    if not chart.ordered:
        lines.sort(key=lambda line: -line[0]["wer"] if line[0]["status"] == "ok" else 1.0)
    return lines


def _line(line: Sequence[Row], chart: Chart, top: float) -> str:
    first = line[0]
    label = first["slice"]
    support = f"{count(first['clips'], 'clip')} · {count(first['speakers'], 'speaker')}"
    if first["status"] != "ok":
        body = f'<span class="track why">too little: {escape(first["reason"])}</span><span class="value">–</span>'
        kind = "line little"
    else:
        body = f'<span class="track">{_overall(chart, top)}{"".join(_mark(r, chart, top) for r in line)}</span>'
        body += f'<span class="value">{"".join(_value(r, chart) for r in line)}</span>'
        kind = "line"
    inner = (
        f'<span class="name"><span dir="auto">{escape(label)}</span><span class="support">{support}</span></span>{body}'
    )
    if first["where"] is None:
        return f'<div class="{kind}">{inner}</div>'
    return f'<button type="button" class="{kind}" data-where="{escape(first["where"])}">{inner}</button>'


def _overall(chart: Chart, top: float) -> str:
    return "".join(
        f'<i class="overall" style="left:{_x(rate, top)}%;border-color:{charts.COLOURS[run % 6]}" '
        f'title="all clips: {percent(rate)}"></i>'
        for run, rate in enumerate(chart.overall)
        if math.isfinite(rate)
    )


def _mark(row: Row, chart: Chart, top: float) -> str:
    run = chart.runs.index(row["run"])
    bar = ""
    if math.isfinite(row["low"]):
        low, high = _x(row["low"], top), _x(row["high"], top)
        bar = (
            f'<i class="interval" style="left:{low}%;width:{high - low:.2f}%;background:{charts.COLOURS[run % 6]}"></i>'
        )
    said = f"{chart.labels[run]}: {percent(row['wer'])}, {between(row['low'], row['high'])}"
    return (
        f'<span class="lane" title="{escape(said)}">{bar}<svg viewBox="-8 -8 16 16" '
        f'style="left:{_x(row["wer"], top)}%" aria-hidden="true">{charts.shape(run, 0, 0, 6)}</svg></span>'
    )


def _value(row: Row, chart: Chart) -> str:
    sign = ""
    if row["p_bh"] <= _SURE:
        up = row["difference"] > 0
        what = "worse than the rest" if up else "better than the rest"
        sign = f'<b class="{"up" if up else "down"}" title="clearly {what}">{"▲" if up else "▼"}</b>'
        sign += f'<span class="sr-only">clearly {what}</span>'
    interval = "no interval"
    if math.isfinite(row["low"]):
        interval = f"{100 * row['low']:.0f}–{100 * row['high']:.0f}"
    key_ = key(chart.runs.index(row["run"])) if len(chart.runs) > 1 else ""
    return f'<span class="one">{key_}<b>{percent(row["wer"])}</b> <span class="range">{interval}</span>{sign}</span>'


def _x(rate: float, top: float) -> float:
    return round(100 * min(max(rate, 0.0), top) / top, 2)


def heat_html(
    cells: Mapping[tuple[str, ...], Row], across: Sequence[str], down: Sequence[str], title: str, unit: str
) -> str:
    """WER by two columns. cells: (down, across) -> row of the slice table; the figure stands in each cell. unit: what
    is counted."""
    known = [row["wer"] for row in cells.values() if row["status"] == "ok"]
    if not known:
        return f'<p class="hint">No combination has enough speakers and {unit}s for a figure.</p>'
    most = max(known)
    head = "".join(f'<th scope="col" dir="auto">{escape(each)}</th>' for each in across)
    body = "".join(
        f'<tr><th scope="row" dir="auto">{escape(each)}</th>'
        + "".join(_cell(cells.get((each, other)), most) for other in across)
        + "</tr>"
        for each in down
    )
    return (
        f'<div class="scroll"><table class="heat" aria-label="{escape(title)}"><thead><tr><td></td>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p class="hint">Stronger colour: more {unit}s wrong. A dash: too few '
        f"speakers or {unit}s for a figure. Choose a cell to see its clips.</p>"
    )


def _cell(row: Row | None, most: float) -> str:
    if row is None:
        return '<td class="blank"><span class="sr-only">no clips</span></td>'
    if row["status"] != "ok":
        return f'<td class="little" title="{escape(row["reason"])}; {row["clips"]:,} clips">–</td>'
    depth = row["wer"] / most if most else 0.0
    inner = f"<b>{percent(row['wer'], 0)}</b><span>{row['clips']:,}</span>"
    said = f"{percent(row['wer'])}, {between(row['low'], row['high'])}; {count(row['clips'], 'clip')}"
    return (
        f'<td style="--depth:{depth:.2f}" class="{"deep" if depth > 0.6 else ""}"><button type="button" '
        f'data-where="{escape(row["where"] or "")}" title="{escape(said)}">{inner}</button></td>'
    )
