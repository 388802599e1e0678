"""The curves of a run as a picture in its folder: error rates and losses by step, as SVG that any viewer shows.

The page draws its own (asrdemo.ui.finetune.charts), which need its style sheet; this one stands alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from asrdemo.files import write_text
from asrdemo.finetune import journal

FILE = "curves.svg"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito 2008
DASHES = ("none", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")  # for who sees no colours
TRAINING = "training"
MOST_POINTS = 400  # of a line
_SET = re.compile(r"eval_(?P<set>.+?)_(?P<what>lm_wer|wer|loss|contrastive)")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _LEGEND = 460, 240, 52, 34, 38, 18

Point = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """A chart. title: with the unit; say: a value in words; lines: (step, value) by name, steps ascending."""

    title: str
    say: str
    lines: Mapping[str, Sequence[Point]]


def write(folder: Path) -> None:
    """Draw the metrics of a run directory into it; nothing where there is nothing to draw yet."""
    path = folder / journal.METRICS
    panels = read(journal.lines(path)) if path.is_file() else []
    if panels:
        write_text(folder / FILE, svg(folder.name, panels))


def read(records: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """Error rates in percent and losses of records from metrics.jsonl, those that there are. Values that are not
    finite are left out."""
    rates: dict[str, list[Point]] = {}
    losses: dict[str, list[Point]] = {}
    for record in records:
        step = record.get("step")
        for name, value in record.items():
            if not (isinstance(step, int) and isinstance(value, int | float) and math.isfinite(value)):
                continue
            if name == "loss":
                losses.setdefault(TRAINING, []).append((step, value))
            elif found := _SET.fullmatch(name):
                if found["what"] in ("loss", "contrastive"):
                    losses.setdefault(found["set"], []).append((step, value))
                else:
                    with_lm = " with LM" if found["what"] == "lm_wer" else ""
                    rates.setdefault(found["set"] + with_lm, []).append((step, 100 * value))
    both = (
        Panel("Word error rate on dev, %", "{:.1f} %", rates),
        Panel("Loss, nats a label (pre-training: a masked frame)", "{:.3f}", losses),
    )
    return [panel for panel in both if panel.lines]


def svg(name: str, panels: Sequence[Panel]) -> str:
    """The panels under one another, as a whole document. name: of the run."""
    far = max(1.0, *(points[-1][0] for panel in panels for points in panel.lines.values()))
    drawn, top = [], 0
    for panel in panels:
        drawn.append(f'<g transform="translate(0 {top})">{_panel(panel, far)}</g>')
        top += _HEIGHT + _LEGEND * len(panel.lines)
    said = ". ".join(f"{p.title}: {'; '.join(_said(p, line) for line in p.lines)}" for p in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
        'font-family="sans-serif" font-size="11" fill="#222" role="img">'
        f"<title>Curves of {escape(name)}</title><desc>{escape(said)}</desc>"
        f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _panel(panel: Panel, far: float) -> str:
    end = ceiling(value for points in panel.lines.values() for _, value in points)
    right, bottom = _WIDTH - 14, _HEIGHT - _BOTTOM
    parts = [f'<text x="8" y="18" font-size="13" font-weight="bold">{escape(panel.title)}</text>']
    for i in range(6):
        y = bottom - (bottom - _TOP) * i / 5
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{end * i / 5:g}</text>')
    apart = math.ceil(ceiling([far / 4]))
    for step in range(0, int(far) + 1, apart):
        x = _LEFT + (right - _LEFT) * step / far
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{step:,}</text>')
    parts.append(f'<text x="{(right + _LEFT) / 2}" y="{bottom + 30}" text-anchor="middle">step</text>')
    for at, (name, points) in enumerate(panel.lines.items()):
        colour, look = COLOURS[at % 6], _look(name, at)
        line = [
            (_LEFT + (right - _LEFT) * step / far, bottom - (bottom - _TOP) * min(value, end) / end)
            for step, value in thinned(points, MOST_POINTS)
        ]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        parts.append(f'<path d="M{path}" fill="none" {look}/>')
        if name != TRAINING:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
        y = _HEIGHT + _LEGEND * at + 2
        parts.append(f'<path d="M{_LEFT} {y}h30" {look}/>')
        parts.append(f'<text x="{_LEFT + 38}" y="{y + 4}">{escape(_said(panel, name))}</text>')
    return "".join(parts)


def _look(name: str, at: int) -> str:
    if name == TRAINING:
        return 'stroke="#888" stroke-width="1"'
    return f'stroke="{COLOURS[at % 6]}" stroke-width="2" stroke-dasharray="{DASHES[at % 6]}"'


def _said(panel: Panel, name: str) -> str:
    """A line in words: where it stands, and where it was best."""
    points = panel.lines[name]
    step, best = min(points, key=lambda point: point[1])
    return f"{name}: {panel.say.format(points[-1][1])} (lowest {panel.say.format(best)} at step {step:,.0f})"


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """So many points at most, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def ceiling(values: Iterable[float]) -> float:
    """The end of an axis from 0: a round number above all but the highest fiftieth, which may be far out at first."""
    ordered = sorted(values)
    most = max(ordered[min(len(ordered) - 1, int(0.98 * len(ordered)))], 1e-3)
    unit = 10.0 ** math.floor(math.log10(most))
    return next(round(f * unit, 6) for f in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if f * unit >= most)
