"""What stands out, as HTML: what the charts are by, two columns at once, the worst slices, gaps raw and adjusted.

Pure functions, all escaped; what scripts read is told in markup.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from asrdemo.ui import words
from asrdemo.ui.analysis.markup import go, hint_html, key
from asrdemo.ui.words import percent, tip
from evals.wording import count, points

if TYPE_CHECKING:
    from evals.adjusted import Adjusted

Row = Mapping[Any, Any]
TITLES = {
    "heat": ("Two properties crossed", "crossed"),
    "worst": ("Where does it fail?", "worst"),
    "gaps": ("Does the gap survive?", "gaps"),
    "formatting": ("Heard wrongly, or only written differently?", "formatting"),
}
"""What the parts are called, and the table that is saved of each."""
LEGEND = (
    '<p class="hint legend-of-charts">Percent of the {unit}s that are wrong. Mark: measured; bar: 95 % interval; '
    'dashed line: all clips shown. <b class="up">▲</b> clearly worse, <b class="down">▼</b> clearly better than the '
    "rest. Choose a row to look only at its clips.</p>"
)


def further_html(columns: Sequence[tuple[str, bool]], unit: str = "word") -> str:
    """Buttons that add a chart for one more column. columns: (name, whether it is charted)."""
    legend = LEGEND.format(unit=unit)
    if not columns:
        return legend
    buttons = "".join(
        f'<button type="button" class="chip" data-toggle="by={escape(name)}" aria-pressed="{str(on).lower()}">'
        f'<span aria-hidden="true">{"✓" if on else "+"}</span> {escape(words.column(name))}</button>'
        for name, on in columns
    )
    return f'<p class="chips further"><span class="label">Also by</span> {buttons}</p>{legend}'


def titled(part: str, of: str = "") -> str:
    """A heading with what saves the table below it. of: the result that it is of, where several are looked at."""
    title, table = TITLES[part]
    save = f'<button type="button" class="link" data-save="{table}">CSV</button>'
    named = f' <span class="of">{key(0)} {escape(of)}</span>' if of else ""
    return f'<div class="titled"><h3>{title}{named}</h3>{save}</div>'


def trouble_html(part: str, message: str) -> str:
    """In place of a part: why it is not there."""
    return f'<section class="pane"><h3>{TITLES[part][0]}</h3>{hint_html(message)}</section>'


def heat_frame(offered: Sequence[str], down: str, across: str, table: str, of: str = "", few: bool = False) -> str:
    """The two lists to choose from, and the map; folded away where it shows too little. of: see `titled`."""

    def select(which: int, chosen: str, label: str) -> str:
        options = "".join(
            f'<option value="{escape(name)}"{" selected" if name == chosen else ""}>'
            f"{escape(words.column(name))}</option>"
            for name in offered
        )
        return f'<label>{label} <select data-heat="{which}">{options}</select></label>'

    lists = f'<p class="choose">{select(0, down, "Rows:")} {select(1, across, "Columns:")}</p>'
    body = lists + table
    if few:
        body = (
            '<p class="hint">These clips have too few speakers to look at two properties at once.</p>'
            f'<details class="how"><summary>Look all the same</summary>{body}</details>'
        )
    return f'<section class="pane">{titled("heat", of)}{body}</section>'


def worst_html(rows: Sequence[Row], note: str, of: str = "", tune: str = "", unit: str = "word") -> str:
    """The slices found, confirmed ones as answers, the others folded away; left out are those that were no worse among
    the speakers they were tested on. of: see `titled`; tune: of `tune_html`; unit: what is counted."""
    confirmed = [_found(row, tune, unit) for row in rows if row["confirmed"]]
    others = [_found(row, tune, unit) for row in rows if not row["confirmed"] and row["difference"] > 0]
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
        f'<section class="pane">{titled("worst", of)}<p class="hint">Every combination of up to '
        "three properties was searched on half of the speakers; what stood out was tested on the other half.</p>"
        f'{body}<details class="how"><summary>How this was done</summary><p class="hint">{escape(note)}</p></details>'
        "</section>"
    )


def tune_html(about: str, where: str = "") -> str:
    """A link to the Fine-tune page, which makes a recipe for these clips; nothing where it is not known what heard
    them. about: checkpoint and corpus, and what is filtered already, as an address; where: a slice of that."""
    if not about:
        return ""
    address = escape("?tab=finetune&" + "&".join(filter(None, (about, where))))
    return f'<a class="plain" data-finetune href="{address}">Fine-tune on this slice</a>'


def _found(row: Row, tune: str, unit: str) -> str:
    where = escape(str(row["where"]))
    badge = (
        '<span class="badge sure">✓ confirmed</span>'
        if row["confirmed"]
        else '<span class="badge">? not confirmed</span>'
    )
    return (
        f'<li><p dir="auto"><b>{escape(str(row["slice"]))}</b>: {_told(row, unit)}</p><p class="acts">{badge} '
        f'<button type="button" class="plain" data-where="{where}">Look only at these</button> '
        f'<button type="button" class="plain" data-where="{where}" {go({"view": "clips", "leaf": None})}>See the clips'
        f"</button> {tune_html(tune, str(row['where']))}</p></li>"
    )


def _told(row: Row, unit: str) -> str:
    """The rates of all speakers, which the charts show as well, and those of the speakers it was tested on."""
    return (
        f"{percent(row['all_wer'], 0)} of the {unit}s are wrong, {percent(row['all_rest'], 0)} elsewhere. Tested on "
        f"{count(row['speakers'], 'speaker')} not used to find it: {percent(row['wer'], 0)} against "
        f"{percent(row['rest'], 0)} ({points(row['low'], row['high'], row['difference'])})."
    )


def gaps_html(found: Sequence[tuple[str, Adjusted]], of: str = "") -> str:
    """Raw beside adjusted gaps, in a table for each column. of: see `titled`."""
    tables = "".join(_gap_table(column, each) for column, each in found)
    if not tables:
        return ""
    return (
        f'<section class="pane">{titled("gaps", of)}<p class="hint">Speakers of one group may '
        "read longer sentences, talk faster or use worse microphones. The second figure compares only like with "
        f"like: {escape(found[0][1].covariates) or 'of these clips nothing is known to hold alike'}.</p>"
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
            f'<tr title="{escape(row["sentence"])}"><th scope="row" dir="auto">'
            f'{escape(row["value"])}</th><td class="n">{raw}</td><td class="n">{alike}</td>'
            f'<td><span aria-hidden="true">{sign}</span> {verdict}</td></tr>'
        )
    name = words.column(column)
    reference = escape(found.reference)
    return (
        f'<div class="scroll"><table class="gaps"><thead><tr><th scope="col">{name[:1].upper() + name[1:]}, compared '
        f'to <span dir="auto">{reference}</span></th><th scope="col" class="n">As it is {tip("raw_gap")}</th>'
        f'<th scope="col" class="n">Like with like {tip("adjusted")}</th><th scope="col">Verdict</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
