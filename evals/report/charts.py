"""Charts as SVG text: no script, sharp in print, readable without colour (each run has a shape of its own)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito 2008
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "bar")
_WIDTH, _LABELS, _SUPPORT, _LINE, _TOP = 760, 250, 150, 22, 34
_LEFT, _RIGHT = _LABELS, _WIDTH - _SUPPORT


@dataclass(frozen=True)
class Dot:
    """A rate with its interval, as fractions. run: index into the runs, for colour and shape."""

    value: float
    low: float
    high: float
    run: int = 0


@dataclass(frozen=True)
class Line:
    """One slice. support: the text at its end; dots: one a run, none where the support does not suffice."""

    label: str
    support: str
    dots: tuple[Dot, ...] = ()
    reason: str = ""


def dots(title: str, lines: Sequence[Line], overall: Sequence[float] = (), runs: Sequence[str] = ("",)) -> str:
    """A line a slice: its rates, their intervals, and its support; a dashed line for each run's overall rate."""
    top = _ceiling([d.high for line in lines for d in line.dots] + list(overall))
    rows = [max(1, len(line.dots)) for line in lines]
    height = _TOP + _LINE * sum(rows) + 40
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}" class="chart">']
    parts += [_text(0, 16, title, "title"), *_axis(top, height)]
    for run, rate in enumerate(overall):
        x = _x(rate, top)
        parts.append(f'<path d="M{x} {_TOP - 8}V{height - 36}" class="overall" stroke="{COLOURS[run % 6]}"/>')
    y = _TOP + _LINE / 2
    for line, count in zip(lines, rows, strict=True):
        parts += _slice(line, y, top, runs)
        y += _LINE * count
    return "".join([*parts, "</svg>"])


def _slice(line: Line, y: float, top: float, runs: Sequence[str]) -> list[str]:
    """The label, a mark for each run under one another, and the support."""
    muted = "" if line.dots else " muted"
    parts = [
        _text(_LABELS - 12, y + 4, _shortened(line.label), "label" + muted, end=True, full=line.label),
        _text(_RIGHT + 12, y + 4, line.support, "support" + muted),
    ]
    if not line.dots:
        parts.append(_text(_LEFT + 6, y + 4, f"insufficient: {line.reason}", "support muted"))
    for at, dot in enumerate(line.dots):
        parts += _mark(dot, y + at * _LINE, top, runs)
    return parts


def _mark(dot: Dot, y: float, top: float, runs: Sequence[str]) -> list[str]:
    colour = COLOURS[dot.run % 6]
    x, low, high = (_x(v, top) for v in (dot.value, dot.low, dot.high))
    said = f"{100 * dot.value:.1f} % ({100 * dot.low:.1f} to {100 * dot.high:.1f})"
    name = f"{runs[dot.run]}: " if len(runs) > 1 else ""
    return [
        f'<g><title>{escape(name + said)}</title><path d="M{low} {y}H{high}" stroke="{colour}" class="interval"/>',
        f"{shape(dot.run, x, y)}</g>",
    ]


def shape(run: int, x: float, y: float, size: float = 5) -> str:
    """The mark of a run, also for a legend."""
    fill, s = f'fill="{COLOURS[run % 6]}"', size
    paths = {
        "square": f"M{x - s} {y - s}h{2 * s}v{2 * s}h{-2 * s}z",
        "triangle": f"M{x} {y - s - 1}l{s + 1} {2 * s}h{-2 * s - 2}z",
        "diamond": f"M{x} {y - s - 1}l{s + 1} {s + 1}l{-s - 1} {s + 1}l{-s - 1} {-s - 1}z",
        "cross": f"M{x - s} {y - 2}h{s - 2}v{2 - s}h4v{s - 2}h{s - 2}v4h{2 - s}v{s - 2}h-4v{2 - s}h{2 - s}z",
        "bar": f"M{x - 2} {y - s - 1}h4v{2 * s + 2}h-4z",
    }
    kind = SHAPES[run % len(SHAPES)]
    return f'<circle cx="{x}" cy="{y}" r="{s}" {fill}/>' if kind == "circle" else f'<path d="{paths[kind]}" {fill}/>'


def _axis(top: float, height: int) -> list[str]:
    parts = []
    step = top / 5
    for tick in range(6):
        x = _x(tick * step, top)
        parts.append(f'<path d="M{x} {_TOP - 8}V{height - 36}" class="grid"/>')
        parts.append(_text(x, height - 20, f"{100 * tick * step:g}", "tick", middle=True))
    parts.append(
        _text((_LEFT + _RIGHT) / 2, height - 4, "word error rate, % (bar: 95 % interval)", "tick", middle=True)
    )
    return parts


def _ceiling(rates: Sequence[float]) -> float:
    """The end of the axis: a round number above the largest rate."""
    most = max([r for r in rates if math.isfinite(r)] or [0.1])
    unit = 10.0 ** math.floor(math.log10(max(most, 1e-3)))
    return next(round(f * unit, 6) for f in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if f * unit >= most)


def _x(rate: float, top: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * min(max(rate, 0.0), top) / top, 1)


def _shortened(text: str, most: int = 38) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _text(x: float, y: float, text: str, kind: str, end: bool = False, middle: bool = False, full: str = "") -> str:
    anchor = ' text-anchor="end"' if end else ' text-anchor="middle"' if middle else ""
    tip = f"<title>{escape(full)}</title>" if full and full != text else ""
    return f'<text x="{x}" y="{y}" class="{kind}"{anchor}>{escape(text)}{tip}</text>'
