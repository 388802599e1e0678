"""An audit of a corpus as text for a terminal, and as JSON."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from asrdemo.cli.common import table

if TYPE_CHECKING:
    from asrdemo.corpus import Audit

_MOST = {"values": 8, "suspicious": 30, "quarantined": 30, "characters": 60}
"""Rows shown of a long list (of `values`: for each split and column); JSON holds all."""


def as_json(audit: Audit) -> str:
    """Everything, one object."""
    return json.dumps(asdict(audit), ensure_ascii=False, indent=1)


def as_text(audit: Audit, name: str) -> str:
    """Titled tables; long lists are cut, and say so."""
    parts = [f"{name}: {', '.join(row['split'] for row in audit.splits)} ({audit.language or 'language unknown'})"]
    parts += [_section("Splits", audit.splits), _section("Filled, percent", _by_split(audit.coverage))]
    for split, column in dict.fromkeys((row["split"], row["column"]) for row in audit.values):
        rows = [row for row in audit.values if (row["split"], row["column"]) == (split, column)]
        shown = [{column: row["value"] or "(blank)", **_only(row, "clips", "hours", "speakers")} for row in rows]
        parts.append(_section(f"{split}: {column}", shown, _MOST["values"]))
    parts.append(_section("In two splits", audit.overlaps))
    for title, rows in (("Suspicious", audit.suspicious), ("Quarantined", audit.quarantined)):
        parts.append(_section(f"{title}, by reason", _by_reason(rows)))
        if rows:
            parts.append(_section(f"{title} clips", rows, _MOST[title.lower()]))
    parts.append(_section("Characters", [_visible(row) for row in audit.characters], _MOST["characters"]))
    return "\n\n".join(parts + [f"note: {note}" for note in audit.notes])


def _section(title: str, rows: list[dict[str, Any]], most: int | None = None) -> str:
    if not rows:
        return f"{title}: none"
    left = len(rows) - most if most is not None and len(rows) > most else 0
    more = f"\n... and {left:,} more (--json shows all)" if left else ""
    return f"{title}\n{table(rows[:most])}{more}"


def _by_split(coverage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a column, a percentage for each split."""
    rows: dict[str, dict[str, Any]] = {}
    for row in coverage:
        rows.setdefault(row["column"], {"column": row["column"]})[row["split"]] = round(100 * row["filled"], 1)
    return list(rows.values())


def _by_reason(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["split"], row["reason"])
        counts[key] = counts.get(key, 0) + 1
    return [{"split": split, "reason": reason, "clips": count} for (split, reason), count in counts.items()]


def _only(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _visible(row: dict[str, Any]) -> dict[str, Any]:
    """Combining marks on a dotted circle, what is invisible by its name alone."""
    character = row["character"]
    if unicodedata.combining(character):
        character = "\u25cc" + character
    return row | {"character": character if character.isprintable() and not character.isspace() else ""}
