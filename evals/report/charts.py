"""Charts as SVG text: no script, sharp in print, readable without colour (each run has a shape of its own)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito 2008
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "bar")
_LINE = 22
_TIMES = (1.5, 2.0, 3.0, 5.0, 10.0)  # marks of an axis of ratios; the last is its end


@dataclass(frozen=True)
class Layout:
    """Where things are across: marks lie between left and right. stacked: label and support lie above the marks."""

    kind: str
    width: int
    left: int
    right: int
    stacked: bool
    letters: int


_LAYOUTS = (Layout("wide", 760, 250, 610, False, 34), Layout("narrow", 380, 12, 368, True, 32))
"""Both are in the page, and the style sheet shows the one that fits."""


@dataclass(frozen=True)
class Dot:
    """A rate with its interval, as fractions, or a ratio. run: index into the runs, for colour and shape."""

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


@dataclass(frozen=True)
class Axis:
    """What lies where. say: a value in words; log: equal factors are equally far apart."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    title: str
    say: Callable[[float], str]
    log: bool = False

    def x(self, value: float, layout: Layout) -> float:
        """Where a value is drawn; beyond the ends, at the end."""
        value, low, high = min(max(value, self.low), self.high), self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return round(layout.left + (layout.right - layout.left) * (value - low) / (high - low), 1)


def dots(title: str, lines: Sequence[Line], overall: Sequence[float] = (), runs: Sequence[str] = ("",)) -> str:
    """A line a slice: its rates, their intervals, and its support; a dashed line for each run's overall rate."""
    top = ceiling([d.high for line in lines for d in line.dots] + list(overall))
    ticks = tuple((top * i / 5, f"{100 * top * i / 5:g}") for i in range(6))
    axis = Axis(0.0, top, ticks, "word error rate, % (bar: 95 % interval)", lambda v: f"{100 * v:.1f} %")
    return _chart(title, lines, axis, list(zip(overall, COLOURS * 2, strict=False)), runs)


def ratios(title: str, lines: Sequence[Line], runs: Sequence[str]) -> str:
    """A line a value: ratios with their intervals, on both sides of a dashed line at 1."""
    ends = [end for line in lines for d in line.dots for end in (d.low, d.high)]
    far = max([2.0, *(max(end, 1 / max(end, 1e-6)) for end in ends)])
    steps = [step for step in _TIMES if step <= far] or [2.0]
    steps = steps if len(steps) < 4 else steps[1:]
    ticks = ((1.0, "1"), *((s, f"{s:g}") for s in steps), *((1 / s, f"1/{s:g}") for s in steps))
    axis = Axis(
        1 / min(far, _TIMES[-1]), min(far, _TIMES[-1]), ticks, f"{title}, times (bar: 95 % interval)", _times, True
    )
    return _chart("", lines, axis, [(1.0, "currentColor")], runs)


def _times(value: float) -> str:
    return f"{value:.2f} times"


def _chart(
    title: str, lines: Sequence[Line], axis: Axis, dashed: Sequence[tuple[float, str]], runs: Sequence[str]
) -> str:
    """dashed: (value, colour) of lines across all slices."""
    return "".join(_drawn(title, lines, axis, dashed, runs, layout) for layout in _LAYOUTS)


def _drawn(
    title: str,
    lines: Sequence[Line],
    axis: Axis,
    dashed: Sequence[tuple[float, str]],
    runs: Sequence[str],
    layout: Layout,
) -> str:
    top = 34 if title else 12
    rows = [max(1, len(line.dots)) + layout.stacked for line in lines]
    height = top + _LINE * sum(rows) + 40
    label = escape(title or axis.title)
    parts = [f'<svg viewBox="0 0 {layout.width} {height}" role="img" aria-label="{label}" class="chart {layout.kind}">']
    parts += [_text(0, 16, title, "title") if title else "", *_grid(axis, layout, top - 8, height)]
    for value, colour in dashed:
        x = axis.x(value, layout)
        parts.append(f'<path d="M{x} {top - 8}V{height - 36}" class="overall" stroke="{colour}"/>')
    y = top + _LINE / 2
    for line, count in zip(lines, rows, strict=True):
        parts += _slice(line, y, axis, layout, runs)
        y += _LINE * count
    return "".join([*parts, "</svg>"])


def _slice(line: Line, y: float, axis: Axis, layout: Layout, runs: Sequence[str]) -> list[str]:
    """The label, a mark for each run under one another, and the support."""
    muted = "" if line.dots else " muted"
    label, label_x, support_x = _shortened(line.label, layout.letters), layout.left - 12, layout.right + 12
    if layout.stacked:
        label_x, support_x = 0, layout.width
    parts = [
        _text(label_x, y + 4, label, "label" + muted, end=not layout.stacked, full=line.label),
        _text(support_x, y + 4, line.support, "support" + muted, end=layout.stacked),
    ]
    y += _LINE * layout.stacked
    if not line.dots:
        why = line.reason.replace("of the ", "of ").replace(" needed", "")  # all of it would run into the support
        parts.append(_text(layout.left + 6, y + 4, f"too little: {why}", "support muted"))
    for at, dot in enumerate(line.dots):
        parts += _mark(dot, y + at * _LINE, axis, layout, runs)
    return parts


def _mark(dot: Dot, y: float, axis: Axis, layout: Layout, runs: Sequence[str]) -> list[str]:
    colour = COLOURS[dot.run % 6]
    x, low, high = (axis.x(v, layout) for v in (dot.value, dot.low, dot.high))
    said = f"{axis.say(dot.value)} ({axis.say(dot.low)} to {axis.say(dot.high)})"
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


def _grid(axis: Axis, layout: Layout, top: float, height: int) -> list[str]:
    parts = []
    for value, said in axis.ticks:
        x = axis.x(value, layout)
        parts.append(f'<path d="M{x} {top}V{height - 36}" class="grid"/>')
        parts.append(_text(x, height - 20, said, "tick", middle=True))
    parts.append(_text((layout.left + layout.right) / 2, height - 4, axis.title, "tick", middle=True))
    return parts


def ceiling(rates: Sequence[float]) -> float:
    """The end of an axis: a round number above the largest rate, unknown ones left out."""
    most = max([r for r in rates if math.isfinite(r)] or [0.1])
    unit = 10.0 ** math.floor(math.log10(max(most, 1e-3)))
    return next(round(f * unit, 6) for f in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if f * unit >= most)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _text(x: float, y: float, text: str, kind: str, end: bool = False, middle: bool = False, full: str = "") -> str:
    anchor = ' text-anchor="end"' if end else ' text-anchor="middle"' if middle else ""
    tip = f"<title>{escape(full)}</title>" if full and full != text else ""
    return f'<text x="{x}" y="{y}" class="{kind}"{anchor}>{escape(text)}{tip}</text>'
