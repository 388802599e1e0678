"""How a report came about: what was pinned, which seed, and the commands that make it again."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.report.findings import Findings


def section(findings: Findings) -> str:
    """The last section of the report."""
    parts = []
    for result in findings.scored.results:
        pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in flat(result.info["pins"]))
        aside = len(result.info.get("quarantined", []))
        more = f"<dt>set aside</dt><dd>{aside} clips that could not be heard</dd>" if aside else ""
        parts.append(f"<h3>{escape(result.name)}</h3><dl>{pairs}{more}</dl>")
    draws = (
        f"Intervals: 1,000 draws of speakers, seed {findings.seed}. Rates are pooled: all errors over all "
        "reference words of a slice, never a mean of the clips' rates."
    )
    return f"<section><h2>How it was made</h2><p class='note'>{draws}</p>{''.join(parts)}</section>"


def flat(pins: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """(name, value) of everything that is pinned, in order; nested names joined by spaces."""
    pairs: list[tuple[str, str]] = []
    for name, value in pins.items():
        whole = f"{above} {name}".strip()
        if isinstance(value, dict):
            pairs += flat(value, whole)
        elif value is not None and value != []:
            pairs.append((whole, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return pairs
