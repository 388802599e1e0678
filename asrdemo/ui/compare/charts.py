"""Charts of the Compare page as SVG. What can be clicked can be reached with Tab; colour never stands alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from evals.report.charts import COLOURS, shape
from evals.together import ErrorGrid

_CELL, _LEFT, _TOP = 26, 54, 10


def interval_bar(value: float, low: float, high: float, top: float, run: int) -> str:
    """A rate on a short scale from 0 to `top`: a line for its interval, the run's mark for the rate."""
    if not all(map(math.isfinite, (value, low, high))):
        return ""

    def x(rate: float) -> float:
        return round(6 + 108 * min(rate, top) / (top or 1), 1)

    return (
        f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true"><path d="M6 8H114" class="grid"/>'
        f'<path d="M{x(low)} 8H{x(high)}" stroke="{COLOURS[run % 6]}" class="interval"/>{shape(run, x(value), 8)}</svg>'
    )


def send(what: dict[str, object]) -> str:
    """An attribute by which static/compare.js sends a click to the server."""
    return f'data-send="{escape(json.dumps(what))}"'


def grid_chart(grid: ErrorGrid, base: str, run: str) -> str:
    """Clips by their word errors in two results: one mark for all clips of a cell, larger for more.

    Below the line the run has fewer errors (round, blue), above it more (square, orange).
    """
    size = len(grid.clips)
    most = max(int(grid.clips.max()), 1)
    side = _CELL * size
    height = side + _TOP + 48
    parts = [f'<svg class="grid-chart" viewBox="0 0 {side + _LEFT + 8} {height}" role="group" aria-label="{_GRID}">']
    parts += _grid_axes(size, base, run)
    marks: list[str] = []
    for x in range(size):
        for y in range(size):
            if clips := int(grid.clips[x, y]):
                marks.append(_bubble(x, y, clips, most, size, (base, run), first=not marks))
    return "".join([*parts, *marks, "</svg>"])


_GRID = (
    "Clips by their word errors in both results. Each mark is a button that lists its clips; arrow keys go from one to "
    "the next."
)


def _place(x: int, y: int, size: int) -> tuple[float, float]:
    return _LEFT + _CELL * (x + 0.5), _TOP + _CELL * (size - y - 0.5)


def _bubble(x: int, y: int, clips: int, most: int, size: int, names: tuple[str, str], first: bool) -> str:
    cx, cy = _place(x, y, size)
    radius = round(3 + 9 * math.log1p(clips) / math.log1p(most), 1)
    many = f"{clips:,} {'clip' if clips == 1 else 'clips'}"
    says = f"{many}: {_errors(x, size)} in {names[0]}, {_errors(y, size)} in {names[1]}"
    kind = "same" if x == y else "better" if y < x else "worse"
    if kind == "worse":
        mark = f'<rect x="{cx - radius}" y="{cy - radius}" width="{2 * radius}" height="{2 * radius}" rx="1.5"/>'
    else:
        mark = f'<circle cx="{cx}" cy="{cy}" r="{radius}"/>'
    about = f'role="button" tabindex="{0 if first else -1}" aria-label="{escape(says)}" {send({"x": x, "y": y})}'
    return (
        f'<g class="bubble {kind}" {about}><title>{escape(says)}. Click to hear them.</title>'
        f'<rect class="hit" x="{cx - 13}" y="{cy - 13}" width="26" height="26"/>{mark}</g>'
    )


def _errors(count: int, size: int) -> str:
    return f"{count}{' or more' if count == size - 1 else ''} errors" if count != 1 else "1 error"


def _grid_axes(size: int, base: str, run: str) -> list[str]:
    bottom, right = _TOP + _CELL * size, _LEFT + _CELL * size
    parts = [
        f'<path class="frame" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        f'<path class="diagonal" d="M{_LEFT} {bottom}L{right} {_TOP}"/>',
    ]
    for tick in range(0, size, 2):
        x, y = _place(tick, tick, size)
        shown = f"{tick}+" if tick == size - 1 else str(tick)
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="middle">{shown}</text>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{shown}</text>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{bottom + 38}" text-anchor="middle">'
        f"word errors in {escape(_short(base))}</text>"
    )
    y = (_TOP + bottom) / 2
    parts.append(
        f'<text class="axis" x="14" y="{y}" text-anchor="middle" transform="rotate(-90 14 {y})">'
        f"word errors in {escape(_short(run))}</text>"
    )
    return parts


@dataclass(frozen=True)
class Point:
    """A result: speed (RTFx), word error rate and its interval."""

    name: str
    run: int
    speed: float
    wer: float
    low: float
    high: float


def speed_chart(points: Sequence[Point]) -> str:
    """Speed to the right, on a logarithmic scale; word errors upwards: the best corner is at the bottom right."""
    width, height, left, right, top, bottom = 480, 300, 54, 466, 14, 252
    ceiling = _ceiling(max(p.high if math.isfinite(p.high) else p.wer for p in points))
    first, last = _decades([p.speed for p in points])

    def x(speed: float) -> float:
        return round(left + (right - left) * (math.log10(speed) - first) / (last - first), 1)

    def y(rate: float) -> float:
        return round(bottom - (bottom - top) * min(rate, ceiling) / ceiling, 1)

    parts = [
        f'<svg class="speed-chart" viewBox="0 0 {width} {height}" role="img" aria-label="Speed against word errors">'
    ]
    for step in range(5):
        rate = ceiling * step / 4
        parts.append(f'<path class="grid" d="M{left} {y(rate)}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(rate) + 4}" text-anchor="end">{100 * rate:g} %</text>')
    for speed in _ticks(first, last):
        parts.append(f'<path class="grid" d="M{x(speed)} {top}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{x(speed)}" y="{bottom + 16}" text-anchor="middle">{speed:g}×</text>')
    parts.append(f'<text class="zone" x="{right - 6}" y="{bottom - 8}" text-anchor="end">fast and accurate ↘</text>')
    parts.append(
        f'<text class="axis" x="{(left + right) / 2}" y="{height - 8}" text-anchor="middle">'
        "seconds of audio in one second</text>"
    )
    label = float(top)
    for p in sorted(points, key=lambda p: y(p.wer)):
        label = max(label + 15, y(p.wer) + 4)  # names stay apart where results lie close together
        at, left_half = x(p.speed), x(p.speed) <= (left + right) / 2
        says = f"{p.name}: {100 * p.wer:.1f} % of words wrong, {p.speed:,.0f} times as fast as speech"
        parts.append(f"<g><title>{escape(says)}</title>")
        if math.isfinite(p.low):
            parts.append(f'<path class="interval" stroke="{COLOURS[p.run % 6]}" d="M{at} {y(p.low)}V{y(p.high)}"/>')
        parts.append(shape(p.run, at, y(p.wer)))
        place = f'x="{at + 10}"' if left_half else f'x="{at - 10}" text-anchor="end"'
        parts.append(f'<text class="name" {place} y="{label}">{escape(_short(p.name))}</text></g>')
    return "".join([*parts, "</svg>"])


def _decades(speeds: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis with some room on both sides."""
    low, high = math.log10(min(speeds)), math.log10(max(speeds))
    room = max(0.25, 0.2 * (high - low))
    return low - room, high + room


def _ticks(first: float, last: float) -> list[float]:
    steps = [f * 10.0**e for e in range(math.floor(first), math.ceil(last)) for f in (1, 2, 5)]
    return [step for step in steps if first <= math.log10(step) <= last]


def _ceiling(most: float) -> float:
    """A round end of an axis."""
    unit = 10.0 ** math.floor(math.log10(max(most, 1e-3)))
    return next(round(f * unit, 6) for f in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if f * unit >= most)


def change_bar(fixed: int, broken: int, most: int) -> str:
    """Broken to the left, fixed to the right of a middle line."""
    left, right = (round(58 * count / max(most, 1), 1) for count in (broken, fixed))
    return (
        '<svg class="change" viewBox="0 0 120 14" aria-hidden="true"><path class="frame" d="M60 0V14"/>'
        f'<rect class="broken" x="{60 - left}" y="3" width="{left}" height="8"/>'
        f'<rect class="fixed" x="60" y="3" width="{right}" height="8"/></svg>'
    )


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
