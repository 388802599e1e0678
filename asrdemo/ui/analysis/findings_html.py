"""What stands out, as HTML: what the charts are by, two columns at once, the worst slices, gaps raw and adjusted.

Pure functions, all escaped; what scripts read is told in markup.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from asrdemo.ui import words
from asrdemo.ui.analysis.markup import go
from asrdemo.ui.words import tip

if TYPE_CHECKING:
    from evals.adjusted import Adjusted

Row = Mapping[Any, Any]
LEGEND = (
    '<p class="hint legend-of-charts">Percent of the words that are wrong. Mark: measured; bar: 95 % interval; dashed '
    'line: all clips shown. <b class="up">▲</b> clearly worse, <b class="down">▼</b> clearly better than the rest. '
    "Choose a row to look only at its clips.</p>"
)


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


def _titled(title: str, what: str) -> str:
    """A heading with what saves the table below it."""
    save = f'<button type="button" class="link" data-save="{what}">CSV</button>'
    return f'<div class="titled"><h3>{title}</h3>{save}</div>'


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
        f'<section class="pane">{_titled("Two things at once", "crossed")}<p class="choose">{select(0, down, "Rows:")} '
        f"{select(1, across, 'Columns:')}</p>{table}</section>"
    )


def worst_html(rows: Sequence[Row], note: str) -> str:
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
        f'<section class="pane">{_titled("Where does it fail?", "worst")}<p class="hint">Every combination of up to '
        "three properties was searched on half of the speakers; what stood out was tested on the other half.</p>"
        f'{body}<details class="how"><summary>How this was done</summary><p class="hint">{escape(note)}</p></details>'
        "</section>"
    )


def _found(row: Row, at: int) -> str:
    where = escape(str(row["where"]))
    badge = '<span class="badge sure">✓ confirmed</span>' if at else '<span class="badge">? not confirmed</span>'
    return (
        f'<li><p dir="auto">{escape(words.value(str(row["sentence"])))}</p><p class="acts">{badge} '
        f'<button type="button" class="plain" data-where="{where}">Look only at these</button> '
        f'<button type="button" class="plain" data-where="{where}" {go({"view": "clips", "page": None})}>See the clips'
        "</button></p></li>"
    )


def gaps_html(found: Sequence[tuple[str, Adjusted]]) -> str:
    """Raw beside adjusted gaps, in a table for each column."""
    tables = "".join(_gap_table(column, each) for column, each in found)
    if not tables:
        return ""
    return (
        f'<section class="pane">{_titled("Does the gap survive?", "gaps")}<p class="hint">Speakers of one group may '
        "read longer sentences, talk faster or use worse microphones. The second figure compares only like with "
        "like.</p>"
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


def _gap_table(column: str, found: Adjusted) -> str:
    rows = [r for r in found.table.to_dict("records") if r["status"] == "ok"]
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
    reference = escape(words.value(found.reference))
    return (
        f'<div class="scroll"><table class="gaps"><thead><tr><th scope="col">{name[:1].upper() + name[1:]}, compared '
        f'to <span dir="auto">{reference}</span></th><th scope="col" class="n">As it is {tip("raw_gap")}</th>'
        f'<th scope="col" class="n">Like with like {tip("adjusted")}</th><th scope="col">Verdict</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
