"""Curves as SVG, like the other charts of the project: no script, marks besides colours, figures in words. Here those
of a run by step, and the frame that every curve of the page stands in.

Each chart is drawn twice, wide and narrow; the style sheet shows the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from asrdemo.ui.finetune.history import History, Point, thinned
from evals.report.charts import COLOURS, ceiling, shape
from evals.wording import count

MOST_POINTS = 200  # of a line, as it is drawn
MOST_LINES = 6
WIDTHS = {"wide": 540, "narrow": 330}
_TOP, _BOTTOM, _LEFT, _RIGHT, _HEIGHT = 26, 44, 46, 14, 250
_PARTS = {"wide": 4, "narrow": 2}  # of the axis of steps
WAITING = '<p class="hint">Curves appear after the first steps.</p>'


@dataclass(frozen=True)
class Frame:
    """The axes of one size of a chart. kind: of WIDTHS; low, high: ends of x, by equal factors if `log`; top: end of y,
    which begins at 0. What is beyond (a first loss of hundreds) is drawn at the end."""

    kind: str
    low: float
    high: float
    top: float
    log: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        """Of the x axis, in units of the drawing."""
        return _LEFT, WIDTHS[self.kind] - _RIGHT

    def at(self, point: Point) -> Point:
        """Where a point is drawn."""
        scale: Callable[[float], float] = math.log if self.log else float
        x, low, high = scale(point[0]), scale(self.low), scale(self.high)
        left, right = self.ends
        across = left + (right - left) * min(max((x - low) / (high - low), 0.0), 1.0)
        down = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(point[1], self.top) / self.top
        return round(across, 1), round(down, 1)

    def drawn(
        self, inside: Sequence[str], ticks: Sequence[tuple[float, str]], under: str, unit: str, label: str
    ) -> str:
        """The whole drawing. ticks: of x, and what they say; under: what x is; unit: of y; label: all in words."""
        left, right = self.ends
        parts = [f'<svg viewBox="0 0 {right + _RIGHT} {_HEIGHT}" class="{self.kind}" role="img" ']
        parts.append(f'aria-label="{escape(label)}">')
        for i in range(6):
            y = self.at((self.low, self.top * i / 5))[1]
            parts.append(f'<path d="M{left} {y}H{right}" class="grid"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 4}" class="end">{self.top * i / 5:g}</text>')
        for value, said in ticks:
            x = self.at((value, 0))[0]
            place = "end" if x == right else "middle"
            parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 17}" class="{place}">{said}</text>')
        parts.append(f'<text x="{(left + right + _RIGHT) / 2}" y="{_HEIGHT - 6}" class="middle">{under}</text>')
        parts.append(f'<text x="0" y="10">{unit}</text>')
        return "".join([*parts, *inside, "</svg>"])


@dataclass(frozen=True)
class Line:
    """points: (step, value). mark: number of its shape and colour, -1 for a plain line without marks."""

    name: str
    points: Sequence[Point]
    mark: int = -1


def curves_html(history: History, sizes: Mapping[str, int]) -> str:
    """Loss and word error rate by step. sizes: clips of each dev set."""
    marks = {name: at for at, name in enumerate(sorted({*history.wer, *history.dev_loss}))}
    rates = [Line(_dev(n, sizes), [(s, 100 * v) for s, v in points], marks[n]) for n, points in history.wer.items()]
    losses = [Line("training", history.loss)] * bool(history.loss)
    losses += [Line(_dev(n, sizes), points, marks[n]) for n, points in history.dev_loss.items()]
    if not rates and not losses:
        return WAITING
    found = [("Word error rate on dev", "WER, %", rates[:MOST_LINES], "{:.1f} %"),
             ("Loss", "CTC loss, nats a label", losses[:MOST_LINES], "{:.3f}")]  # fmt: skip
    last = max(1.0, *(line.points[-1][0] for line in (*rates, *losses)))
    far = _PARTS["wide"] * math.ceil(last / _PARTS["wide"])  # one axis for both, with whole steps at its ticks
    return f'<div class="curves">{"".join(_figure(*each, far) for each in found if each[2])}</div>'


def _dev(name: str, sizes: Mapping[str, int]) -> str:
    clips = sizes.get(name.removesuffix(" with LM"))
    return f"{name} ({count(clips, 'clip')})" if clips else name


def _figure(title: str, unit: str, lines: Sequence[Line], say: str, far: float) -> str:
    legend = "".join(
        f"<li>{key(line.mark)}{escape(line.name)} <b>{say.format(line.points[-1][1])}</b></li>" for line in lines
    )
    said = "; ".join(
        f"{line.name}: {say.format(line.points[0][1])} at step {line.points[0][0]:,.0f}, "
        f"{say.format(line.points[-1][1])} at step {line.points[-1][0]:,.0f}"
        for line in lines
    )
    drawn = "".join(_drawn(kind, unit, lines, say, far, f"{title}. {said}") for kind in WIDTHS)
    return f'<figure class="curve"><figcaption>{title}</figcaption>{drawn}<ul class="legend">{legend}</ul></figure>'


def key(mark: int) -> str:
    """The mark of a line, for its legend; -1 for one without marks."""
    if mark < 0:
        return '<svg viewBox="-8 -8 16 16" class="key" aria-hidden="true"><path d="M-8 0h16" class="plain"/></svg>'
    return f'<svg viewBox="-8 -8 16 16" class="key" aria-hidden="true">{shape(mark, 0, 0)}</svg>'


def _drawn(kind: str, unit: str, lines: Sequence[Line], say: str, far: float, label: str) -> str:
    """One size."""
    frame = Frame(kind, 0.0, far, _ceiling([value for line in lines for _, value in line.points]))
    steps = [far * i / _PARTS[kind] for i in range(_PARTS[kind] + 1)]
    inside = [part for line in lines for part in _line(line, frame.at, say)]
    return frame.drawn(inside, [(step, f"{step:,.0f}") for step in steps], "step", unit, label)


def _line(line: Line, at: Callable[[Point], Point], say: str) -> list[str]:
    points = thinned(line.points, MOST_POINTS)
    path = "M" + "L".join(f"{x} {y}" for x, y in map(at, points))
    if line.mark < 0:
        return [f'<path d="{path}" class="line plain"/>']
    parts = [f'<path d="{path}" class="line" stroke="{COLOURS[line.mark % len(COLOURS)]}"/>']
    for point in thinned(line.points, 40):
        x, y = at(point)
        told = f"{escape(line.name)}, step {point[0]:,.0f}: {say.format(point[1])}"
        parts.append(f"<g><title>{told}</title>{shape(line.mark, x, y, 4)}</g>")
    return parts


def _ceiling(values: Sequence[float]) -> float:
    """The end of the axis: above nearly all values; a few first ones may be far out."""
    usual = sorted(v for v in values if math.isfinite(v))
    return ceiling([usual[min(len(usual) - 1, int(0.98 * len(usual)))]]) if usual else 1.0
