"""An audit of a corpus as HTML. Pure functions, all escaped; a button with `data-pick` plays a suspicious clip."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from asrdemo.ui import words
from asrdemo.ui.page_html import LANGUAGES

if TYPE_CHECKING:
    from asrdemo.corpus import Audit

Rows = Sequence[dict[str, Any]]

NONE = '<p class="hint">models.yaml lists no corpus.</p>'
VALUES = 8  # of a column, before the rest is folded away
CHARACTERS = 90
QUARANTINED = 20
RARE = 5  # a character in the texts less often than this may be a slip
_PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
_COLUMNS = {
    "client_id": "speaker",
    "reference_raw": "sentence",
    "sentence_id": "sentence id",
    "sentence_domain": "sentence domain",
    "up_votes": "votes for",
    "down_votes": "votes against",
    "seconds": "length",
}


def begin(title: str) -> str:
    """Before a corpus was looked through."""
    return (
        f'<div class="audit"><header><h2>{escape(title)}</h2></header><p class="hint">Not looked through yet. What is '
        "found is kept, so it takes its time only once.</p></div>"
    )


def audit_html(title: str, note: str, found: Audit, most: int) -> str:
    """The whole audit. most: suspicious clips listed."""
    names = [row["split"] for row in found.splits]
    language = LANGUAGES.get(found.language, found.language) or "language unknown"
    notes = "".join(f"<p>{escape(each)}</p>" for each in found.notes)
    sections = [
        _splits(found),
        _overlaps(found.overlaps),
        _suspicious(found, most),
        _quarantined(found.quarantined),
        _coverage(found, names),
        _values(found, names),
        _characters(found.characters),
    ]
    return (
        f'<div class="audit"><header><h2>{escape(title)}</h2><p>{escape(language)}</p></header>'
        f'<div class="hint"><p>{escape(note)}</p>{notes}</div>{"".join(sections)}</div>'
    )


def listed(rows: Rows, most: int) -> list[dict[str, Any]]:
    """As many rows of each reason as there is room for."""
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_reason.setdefault(row["reason"], []).append(row)
    return [row for each in by_reason.values() for row in each[: most // len(by_reason)]]


def _section(title: str, lead: str, body: str = "") -> str:
    return f'<section><h3>{escape(title)}</h3><p class="lead">{lead}</p>{body}</section>'


def _splits(found: Audit) -> str:
    rows = found.splits
    clips, hours = sum(row["clips"] for row in rows), sum(row["hours"] for row in rows)
    lead = f"{_count(clips, 'clip')} and {_hours(hours)} hours in {_count(len(rows), 'split')}."
    if any(row["clips"] for row in found.overlaps):
        lead = f"{_count(len(rows), 'split')}, some clips being in several."
    body = _table(
        ("Split", "Clips", "Hours", "Speakers", "Sentences", "Left out"),
        (
            (
                escape(row["split"]),
                f"{row['clips']:,}",
                _hours(row["hours"]),
                *(f"{row[name]:,}" for name in ("speakers", "sentences", "quarantined")),
            )
            for row in rows
        ),
    )
    return _section("Splits", lead, body)


def _overlaps(rows: Rows) -> str:
    """A sentence where nothing is in two splits, else a table of the pairs that share something."""
    if not rows:
        return ""
    kinds = ("speakers", "sentences", "clips")
    none = [kind.removesuffix("s") for kind in kinds if not any(row[kind] for row in rows)]
    lead = f"No {', '.join(none[:-1])}{' or ' if none[1:] else ''}{none[-1]} is in two splits." if none else ""
    shared = [row for row in rows if any(row[kind] for kind in kinds)]
    cells = ((escape(f"{r['split']} and {r['other']}"), *(f"{r[kind]:,}" for kind in kinds)) for r in shared)
    return _section(
        "In two splits", lead, _table(("Splits", "Speakers", "Sentences", "Clips"), cells) if shared else ""
    )


def _suspicious(found: Audit, most: int) -> str:
    rows = listed(found.suspicious, most)
    if not rows:
        return _section("Suspicious clips", "None was found.")
    items = "".join(
        f'<li><button type="button" data-pick="{i}" data-name="{escape(row["clip"])}">{_PLAY}'
        f'<span class="file">{escape(row["clip"])}</span></button>'
        f'<span class="why">{escape(row["reason"])}: {escape(row["detail"])}</span>'
        f'<span class="split">{escape(row["split"])}</span></li>'
        for i, row in enumerate(rows)
    )
    shown = f" {len(rows):,} of them are listed." if len(rows) < len(found.suspicious) else ""
    lead = f"{_reasons(found.suspicious)}.{shown} Click one to hear it."
    return _section("Suspicious clips", lead, f'<ul class="suspects" role="group">{items}</ul>')


def _quarantined(rows: Rows) -> str:
    if not rows:
        return ""
    items = "".join(
        f'<li><span class="file">{escape(row["clip"])}</span><span class="why">{escape(row["reason"])}</span>'
        f'<span class="split">{escape(row["split"])}</span></li>'
        for row in rows[:QUARANTINED]
    )
    more = f" The first {QUARANTINED} are listed." if len(rows) > QUARANTINED else ""
    lead = f"Rows and clips that cannot be used: {_reasons(rows)}.{more}"
    return _section("Left out", lead, f'<ul class="suspects">{items}</ul>')


def _reasons(rows: Rows) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return escape(", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items(), key=lambda c: -c[1])))


def _coverage(found: Audit, splits: Sequence[str]) -> str:
    """How much of each column is filled: a bar a split. Columns that are empty everywhere in one line."""
    filled = {(row["column"], row["split"]): row["filled"] for row in found.coverage}
    columns = list(dict.fromkeys(row["column"] for row in found.coverage))
    some = [name for name in columns if any(filled[name, split] for split in splits)]
    empty = [_COLUMNS.get(name, name) for name in columns if name not in some]
    lead = "How many rows say it, in percent." + (f" Nowhere: {escape(', '.join(empty))}." if empty else "")
    body = _bars(
        "Column", some, splits, lambda n: _COLUMNS.get(n, n), lambda n, s: (filled[n, s], _percent(filled[n, s]))
    )
    return _section("Metadata", lead, body)


def _values(found: Audit, splits: Sequence[str]) -> str:
    """Clips by value of each column that has any."""
    sizes = {row["split"]: max(row["clips"], 1) for row in found.splits}
    parts = []
    for column in dict.fromkeys(row["column"] for row in found.values):
        clips = {(row["value"], row["split"]): row["clips"] for row in found.values if row["column"] == column}
        values = sorted(
            dict.fromkeys(value for value, _ in clips), key=lambda v: -sum(clips.get((v, s), 0) for s in splits)
        )

        def cell(value: str, split: str, clips: dict[tuple[str, str], int] = clips) -> tuple[float, str]:
            count = clips.get((value, split), 0)
            return count / sizes[split], f"{count:,}"

        name = _COLUMNS.get(column, column)
        shown = _bars(name.capitalize(), values[:VALUES], splits, _value, cell)
        rest = values[VALUES:]
        more = _bars(name.capitalize(), rest, splits, _value, cell)
        parts.append(shown + (f"<details><summary>{len(rest):,} more</summary>{more}</details>" if rest else ""))
    return _section("Who speaks, and what", "Clips by value; a full bar is all clips of the split.", "".join(parts))


def _value(value: str) -> str:
    return words.value(value).replace("_", " ") or "not stated"


def _bars(
    head: str,
    rows: Sequence[str],
    splits: Sequence[str],
    label: Callable[[str], str],
    cell: Callable[[str, str], tuple[float, str]],
) -> str:
    """A table of bars. cell: (row, split) -> share and what is written."""
    heads = "".join(f'<th scope="col">{escape(split)}</th>' for split in splits)
    lines = []
    for row in rows:
        cells = ""
        for split in splits:
            share, said = cell(row, split)
            bar = f'<span class="gauge" style="--share:{100 * min(share, 1):.1f}%"></span>' if share else ""
            cells += f"<td>{bar}<span>{said}</span></td>"
        lines.append(f'<tr><th scope="row">{escape(label(row))}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="bars"><thead><tr><th scope="col">{escape(head)}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _characters(rows: Rows) -> str:
    rare = sum(row["count"] < RARE for row in rows)
    lead = f"{_count(len(rows), 'character')} in the texts, by how often they occur"
    lead += f"; {rare:,} of them less than {RARE} times, framed in orange: slips often are." if rare else "."
    chips = [_character(row) for row in rows]
    rest = chips[CHARACTERS:]
    more = f"<details><summary>{len(rest):,} more</summary>{_chips(rest)}</details>" if rest else ""
    return _section("Characters", lead, _chips(chips[:CHARACTERS]) + more)


def _chips(chips: Sequence[str]) -> str:
    return f'<ul class="characters">{"".join(chips)}</ul>'


def _character(row: dict[str, Any]) -> str:
    """Combining marks on a dotted circle, what is invisible by its name."""
    character, name = row["character"], row["name"].lower()
    if unicodedata.combining(character):
        character = "\u25cc" + character
    visible = character.isprintable() and not character.isspace()
    shown = f'<b dir="auto">{escape(character)}</b>' if visible else f'<b class="name">{escape(name)}</b>'
    rare = " class=rare" if row["count"] < RARE else ""
    return f'<li{rare} title="{escape(name)}">{shown}<span>{row["count"]:,}</span></li>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column names the row, the others are numbers."""
    head = "".join(f'<th scope="col"{" class=n" if i else ""}>{escape(name)}</th>' for i, name in enumerate(heads))
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td class=n>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


def _percent(share: float) -> str:
    """A share that is not all is not said to be: 99.97 % is "> 99"."""
    return "> 99" if 0.995 <= share < 1 else "< 1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"
