"""How much speech is enough: the word error rates of a sweep against hours of speech, as a chart and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from asrdemo.finetune import sweep
from asrdemo.finetune.intervals import Estimate
from asrdemo.finetune.sweep import Point
from asrdemo.ui import words
from asrdemo.ui.finetune.charts import MOST_LINES, WIDTHS, Frame, key
from asrdemo.ui.finetune.run_html import STATES
from evals.report.charts import COLOURS, ceiling, shape
from evals.wording import count

TITLE = "How much speech is enough?"
_ROOM = 52.0  # units of the drawing that the name of an amount takes
_APART = 5.0  # units of the drawing between marks of the same run
_NEARLY = 0.95  # of the hours asked for: clips that are too long, or broken, are left out
_WITH_LM = sweep.MEASURES[1]


@dataclass(frozen=True)
class Line:
    """One set of clips, greedy or with a language model. mark: its shape and colour. base: before training. points:
    (run, its rate), less speech first."""

    name: str
    clips: int
    mark: int
    base: Estimate | None
    points: tuple[tuple[Point, Estimate], ...]

    @property
    def full_name(self) -> str:
        """With the number of clips that its rates are of."""
        return f"{self.name} ({count(self.clips, 'clip')})"


def curve_html(found: Sequence[Point], opened: str) -> str:
    """A sweep. opened: the name of the run that the page shows."""
    lines = _lines(found)
    part = found[0].part
    what = f"of <b>{escape(part.corpus)}</b> " if part.corpus else ""
    says = (
        f'<p class="hint">Runs of the sweep <b>{escape(part.name)}</b>: the same recipe with more and more speech '
        f"{what}to learn from. WER of the best weights, greedy unless it says otherwise; bars: 95 % intervals; dashed: "
        "the base, before training.</p>"
    )
    shown = lines[:MOST_LINES]
    drawn = _chart(shown) if shown else '<p class="hint">No run of it is over yet.</p>'
    legend = "".join(_legend(line) for line in shown)
    more = f'<p class="hint">{len(lines) - len(shown)} more in the table.</p>' if len(lines) > len(shown) else ""
    return (
        f'<figure class="curve sweep"><figcaption>{TITLE}</figcaption>{says}{drawn}<ul class="legend">{legend}</ul>'
        f"{more}{_table(found, lines, opened)}</figure>"
    )


def _lines(found: Sequence[Point]) -> list[Line]:
    """Greedy rates of all sets by name, as the curves of the run have them, then those with a language model."""
    rates = [(point, rate) for point in found for rate in point.rates]
    keys = dict.fromkeys((rate.measure, rate.set) for _, rate in rates)
    made = []
    for mark, (measure, name) in enumerate(sorted(keys, key=lambda k: (k[0] == _WITH_LM, k[1]))):
        own = [(point, rate) for point, rate in rates if (rate.measure, rate.set) == (measure, name)]
        base = next((rate.before for _, rate in own if rate.before), None)
        points = tuple((point, rate.after) for point, rate in own if rate.after)
        shown = f"{name} with LM" if measure == _WITH_LM else name
        if points:
            made.append(Line(shown, own[0][1].clips, mark, base, points))
    return made


def _x(point: Point) -> float:
    """Hours of speech as there were, else as asked for."""
    return point.hours or point.part.hours


def _said(point: Point) -> str:
    """The amount, on one line."""
    return sweep.about(_x(point)).replace(" ", "\N{NO-BREAK SPACE}")


def _legend(line: Line) -> str:
    before = f"base {words.percent(line.base.value)} → " if line.base else ""
    last, rate = line.points[-1]
    after = f"<b>{words.percent(rate.value)}</b> with {_said(last)}"
    return f"<li>{key(line.mark)}{escape(line.full_name)} {before}{after}</li>"


def _chart(lines: Sequence[Line]) -> str:
    across = [_x(point) for line in lines for point, _ in line.points]
    low, high = min(across) / 1.3, max(across) * 1.3
    wider = max(1.0, 2 / math.sqrt(high / low))  # a single amount too has room on both sides
    tall = [v for line in lines for e in _estimates(line) for v in (e.value, e.high or 0.0)]
    top = ceiling([100 * v for v in tall])
    label = f"{TITLE} {'; '.join(map(_in_words, lines))}"
    out = []
    for kind in WIDTHS:
        frame = Frame(kind, low / wider, high * wider, top, log=True)
        inside = [part for line in lines for part in _base(line, frame)]
        for at, line in enumerate(lines):
            inside += _marks(line, frame, (at - (len(lines) - 1) / 2) * _APART)
        out.append(frame.drawn(inside, _ticks(across, frame), "speech to learn from", "WER, %", label))
    return "".join(out)


def _estimates(line: Line) -> Iterator[Estimate]:
    yield from (rate for _, rate in line.points)
    if line.base:
        yield line.base


def _ticks(across: Sequence[float], frame: Frame) -> list[tuple[float, str]]:
    """The amounts there are, as far as there is room to name them."""
    shown: list[float] = []
    for hours in sorted(set(across)):
        if not shown or frame.at((hours, 0))[0] - frame.at((shown[-1], 0))[0] >= _ROOM:
            shown.append(hours)
    return [(hours, sweep.about(hours)) for hours in shown]


def _base(line: Line, frame: Frame) -> list[str]:
    if not line.base:
        return []
    left, right = frame.ends
    y = frame.at((frame.low, 100 * line.base.value))[1]
    told = escape(f"{line.full_name}, base: {_rate(line.base)}")
    colour = COLOURS[line.mark % len(COLOURS)]
    return [f'<path d="M{left} {y}H{right}" class="line base" stroke="{colour}"><title>{told}</title></path>']


def _marks(line: Line, frame: Frame, aside: float) -> list[str]:
    """The line, and for each run its mark and interval. aside: to the right, so that those of one run lie apart."""
    colour = COLOURS[line.mark % len(COLOURS)]
    places = [frame.at((_x(point), 100 * rate.value)) for point, rate in line.points]
    path = "M" + "L".join(f"{x + aside:.1f} {y}" for x, y in places)
    parts = [f'<path d="{path}" class="line" stroke="{colour}"/>']
    for (point, rate), (x, y) in zip(line.points, places, strict=True):
        bar = ""
        if rate.low is not None and rate.high is not None:
            ends = [frame.at((_x(point), 100 * end))[1] for end in (rate.high, rate.low)]
            bar = f'<path d="M{x + aside:.1f} {ends[0]}V{ends[1]}" class="interval" stroke="{colour}"/>'
        told = escape(f"{line.full_name}, {_amount(point)}: {_rate(rate)}")
        parts.append(f"<g><title>{told}</title>{bar}{shape(line.mark, round(x + aside, 1), y, 4)}</g>")
    return parts


def _in_words(line: Line) -> str:
    before = f"base {_rate(line.base)}, " if line.base else ""
    return f"{line.full_name}: {before}" + ", ".join(f"{_amount(p)} {_rate(rate)}" for p, rate in line.points)


def _amount(point: Point) -> str:
    clips = f" ({count(point.clips, 'clip')} to learn from)" if point.clips else ""
    return f"{sweep.about(_x(point))}{clips}"


def _rate(rate: Estimate) -> str:
    span = "" if rate.low is None or rate.high is None else f" ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
    return f"{words.percent(rate.value)}{span}"


def _table(found: Sequence[Point], lines: Sequence[Line], opened: str) -> str:
    """A row for the base, and one for each run, finished or not."""
    head = "".join(
        f'<th scope="col" class="n">{key(line.mark)}{escape(line.name)}<span class="span">'
        f"{count(line.clips, 'clip')}</span></th>"
        for line in lines
    )
    base = ""
    if any(line.base for line in lines):
        cells = "".join(_cell(line.base) for line in lines)
        base = f'<tr><th scope="row">the base</th><td class="n"></td>{cells}</tr>'
    rows = "".join(_row(point, lines, point.run.name == opened) for point in found)
    return (
        '<div class="scroll"><table class="scores"><thead><tr><th scope="col">Speech</th>'
        f'<th scope="col" class="n">Clips</th>{head}</tr></thead><tbody>{base}{rows}</tbody></table></div>'
    )


def _row(point: Point, lines: Sequence[Line], opened: bool) -> str:
    asked = point.part.hours
    fewer = ""
    if 0 < point.hours < _NEARLY * asked:
        fewer = f'<span class="span">of {sweep.said(asked)} asked for</span>'
    there = _said(point)
    address = escape("?" + urlencode([("tab", "finetune"), ("run", point.run.name)]))
    name = f"<b>{there}</b>" if opened else f'<a class="link" href="{address}">{there}</a>'
    own = [next((rate for p, rate in line.points if p is point), None) for line in lines]
    cells = "".join(map(_cell, own)) if any(own) else f'<td colspan="{max(1, len(lines))}">{_unfinished(point)}</td>'
    clips = f"{point.clips:,}" if point.clips else "–"
    return f'<tr><th scope="row">{name}{fewer}</th><td class="n">{clips}</td>{cells}</tr>'


def _unfinished(point: Point) -> str:
    run = point.run
    where = f", step {run.step:,} of {run.steps:,}" if run.state == "running" and run.steps else ""
    where = f", number {run.place}" if run.state == "queued" and run.place else where
    return f"{STATES[run.state]}{where}" + (": no rates" if run.state == "complete" else "")


def _cell(rate: Estimate | None) -> str:
    if rate is None:
        return '<td class="n">–</td>'
    span = "" if rate.low is None or rate.high is None else f"{100 * rate.low:.1f}–{100 * rate.high:.1f}"
    return f'<td class="n">{words.percent(rate.value)}<span class="span">{span}</span></td>'
