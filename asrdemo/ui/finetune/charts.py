"""Curves of a run as SVG, like the other charts of the project: no script, marks besides colours, figures in words.

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
_WIDTHS = {"wide": 540, "narrow": 330}
_TOP, _BOTTOM, _LEFT, _RIGHT, _HEIGHT = 26, 44, 46, 14, 250
WAITING = '<p class="hint">Curves appear after the first steps.</p>'


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
    far = max(1.0, *(line.points[-1][0] for line in (*rates, *losses)))  # one axis for both
    return f'<div class="curves">{"".join(_figure(*each, far) for each in found if each[2])}</div>'


def _dev(name: str, sizes: Mapping[str, int]) -> str:
    clips = sizes.get(name.removesuffix(" with LM"))
    return f"{name} ({count(clips, 'clip')})" if clips else name


def _figure(title: str, unit: str, lines: Sequence[Line], say: str, far: float) -> str:
    legend = "".join(
        f"<li>{_key(line.mark)}{escape(line.name)} <b>{say.format(line.points[-1][1])}</b></li>" for line in lines
    )
    said = "; ".join(
        f"{line.name}: {say.format(line.points[0][1])} at step {line.points[0][0]:,.0f}, "
        f"{say.format(line.points[-1][1])} at step {line.points[-1][0]:,.0f}"
        for line in lines
    )
    drawn = "".join(_drawn(kind, width, unit, lines, say, far, f"{title}. {said}") for kind, width in _WIDTHS.items())
    return f'<figure class="curve"><figcaption>{title}</figcaption>{drawn}<ul class="legend">{legend}</ul></figure>'


def _key(mark: int) -> str:
    if mark < 0:
        return '<svg viewBox="-8 -8 16 16" class="key" aria-hidden="true"><path d="M-8 0h16" class="plain"/></svg>'
    return f'<svg viewBox="-8 -8 16 16" class="key" aria-hidden="true">{shape(mark, 0, 0)}</svg>'


def _drawn(kind: str, width: int, unit: str, lines: Sequence[Line], say: str, far: float, label: str) -> str:
    """One size. Values beyond the axis (a first loss of hundreds) are drawn at its end."""
    top = _ceiling([value for line in lines for _, value in line.points])

    def at(point: Point) -> tuple[float, float]:
        x = _LEFT + (width - _LEFT - _RIGHT) * point[0] / far
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(point[1], top) / top
        return round(x, 1), round(y, 1)

    parts = [f'<svg viewBox="0 0 {width} {_HEIGHT}" class="{kind}" role="img" aria-label="{escape(label)}">']
    for i in range(6):
        y = at((0, top * i / 5))[1]
        parts.append(f'<path d="M{_LEFT} {y}H{width - _RIGHT}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" class="end">{top * i / 5:g}</text>')
    parts_of_x = 2 if kind == "narrow" else 4
    for i in range(parts_of_x + 1):
        step = far * i / parts_of_x
        place = "end" if step == far else "middle"
        parts.append(f'<text x="{at((step, 0))[0]}" y="{_HEIGHT - _BOTTOM + 17}" class="{place}">{step:,.0f}</text>')
    parts.append(f'<text x="{(width + _LEFT) / 2}" y="{_HEIGHT - 6}" class="middle">step</text>')
    parts.append(f'<text x="0" y="10">{unit}</text>')
    for line in lines:
        parts += _line(line, at, say)
    return "".join([*parts, "</svg>"])


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
