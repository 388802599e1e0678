"""Findings as Markdown: the headline, slices, worst slices and the comparison, to paste into an issue or a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.report.findings import Findings

_SLICES = ("slice", "run", "clips", "speakers", "words", "wer", "low", "high", "cer")
_COMPARED = ("slice", "run", "base_wer", "wer", "difference", "low", "high", "p_bh", "mapsswe_bh")
_RATES = ("wer", "cer", "low", "high", "difference", "base_wer", "rest")


def markdown(findings: Findings) -> str:
    """The report as text."""
    shown = findings.slices[findings.slices["status"] == "ok"]
    lines = [f"# {', '.join(findings.scored.runs)}", "", f"Clips: {findings.chosen}.", "", table(shown, _SLICES), ""]
    if findings.scored.caveat:
        lines += [f"**{findings.scored.caveat}**", ""]
    hidden = findings.slices[findings.slices["status"] != "ok"]["slice"].unique()
    if len(hidden):
        lines += [f"Too little to say: {', '.join(hidden)}.", ""]
    lines += ["## Where is it worst?", ""]
    lines += [f"- {sentence}" for sentence in findings.worst.answers["sentence"]] or ["Nothing stood out."]
    lines += ["", findings.worst.note, ""]
    if findings.adjusted:
        lines += ["## Does the gap survive?", "", *(f"- {each.summary}" for each in findings.adjusted), ""]
    if findings.comparison is not None:
        ok = findings.comparison[findings.comparison["status"] == "ok"]
        lines += ["## Is it better?", "", table(ok, _COMPARED), ""]
    return "\n".join(lines)


def table(frame: Any, columns: Sequence[str]) -> str:
    """A Markdown table; rates in percent, differences in points."""
    heads = [f"{name} %" if name in _RATES else name for name in columns]
    rows = [
        [_cell(name, value) for name, value in zip(columns, row, strict=True)] for row in frame[list(columns)].values
    ]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{100 * value:.1f}" if name in _RATES else f"{value:.3g}"
    return str(value).replace("|", "\\|")
