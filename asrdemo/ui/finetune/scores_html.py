"""Word error rates of a run, before and after, as HTML. Pure functions, all escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from asrdemo.finetune.card_scores import GREEDY, SEARCHED, Line
from asrdemo.finetune.intervals import Estimate
from asrdemo.ui import words

_MOST_SETS = 6
_MOST_SLICES = 12  # of a column
_MEASURES = {GREEDY: "Greedy", SEARCHED: "With the language model"}


def finished_html(found: Sequence[Line], tests: Sequence[str]) -> str:
    """WER of each set and its slices, greedy and with the language model, with intervals; tests: sets that come
    first."""
    told = [line for line in found if line.measure in _MEASURES and (line.before or line.after)]
    measures = [measure for measure in _MEASURES if any(line.measure == measure for line in told)]
    if not measures:
        return ""
    sets = sorted(dict.fromkeys(line.set for line in told), key=lambda name: name not in tests)[:_MOST_SETS]
    body = "".join(_whole(name, [line for line in told if line.set == name], measures) for name in sets)
    head = "".join(f'<th scope="colgroup" colspan="2">{_MEASURES[measure]}</th>' for measure in measures)
    each = '<th scope="col" class="n">WER, %</th><th scope="col">Change in points</th>' * len(measures)
    return (
        '<section class="pane"><h3>Words that come out wrong</h3><p class="hint">Of the base → of the best weights. '
        "The change has its 95 % interval, of resampled speakers; marked is what is more than chance. Sets of "
        "very few speakers have none.</p>"
        '<div class="scroll" tabindex="0"><table class="scores"><thead><tr><th scope="col" rowspan="2">Clips of</th>'
        f'<th scope="col" rowspan="2" class="n">Clips</th>{head}</tr><tr>{each}</tr></thead>{body}</table></div>'
        "</section>"
    )


def _whole(name: str, found: Sequence[Line], measures: Sequence[str]) -> str:
    """The set, then its slices column by column, those of most clips first."""
    clips = max(line.clips for line in found)
    order = sorted(found, key=lambda line: (line.column, -line.clips, line.value))
    rows, shown = "", dict[str, int]()
    for (column, value), group in groupby(order, key=lambda line: (line.column, line.value)):
        lines = {line.measure: line for line in group}
        some = next(iter(lines.values()))
        shown[column] = shown.get(column, 0) + 1
        if shown[column] > _MOST_SLICES or (column and some.clips == clips):
            continue  # the whole set again
        label = escape(words.value(value) or "not stated") if column else f"<b>{escape(name)}</b>, all"
        cells = "".join(_cells(lines.get(measure)) for measure in measures)
        rows += (
            f'<tr class="{"part" if column else "whole"}"><th scope="row" dir="auto">{label}</th>'
            f'<td class="n">{some.clips:,}</td>{cells}</tr>'
        )
    return f"<tbody>{rows}</tbody>"


def _cells(line: Line | None) -> str:
    if line is None:
        return '<td class="n">–</td><td></td>'
    return f'<td class="n">{_value(line.before)} → <b>{_value(line.after)}</b></td><td>{_moved(line.change)}</td>'


def _value(rate: Estimate | None) -> str:
    return "–" if rate is None else f"{100 * rate.value:.1f}"


def _moved(change: Estimate | None) -> str:
    """A change and how sure it is."""
    if change is None:
        return ""
    points, low, high = 100 * change.value, change.low, change.high
    if low is None or high is None:
        return f'{points:+.1f} <span class="range">no interval</span>'
    span = f'<span class="range">{100 * low:+.1f} to {100 * high:+.1f}</span>'
    if low <= 0 <= high:
        return f"{points:+.1f} {span}"
    css, sign, word = ("down", "▼", "better") if points < 0 else ("up", "▲", "worse")
    return f'<span class="{css}">{sign} {abs(points):.1f} {word}</span> {span}'


def under_way_html(
    before: Mapping[str, Any], after: Mapping[str, Any], now: Mapping[str, Any] | None, step: object
) -> str:
    """Greedy WER of each set and its slices, without intervals: of the base, and of the best weights, or of now while
    it trains."""
    best = {name: _table(each) for name, each in after.items()}
    heading = "best weights"
    if not best:
        heading = f"step {step}" if now else "not yet"
        best = {name: _table({"slices": columns}) for name, columns in (now or {}).items()}
    first = {name: _table(each) for name, each in before.items()}
    names = list(dict.fromkeys([*first, *best]))[:_MOST_SETS]
    body = "".join(_set(name, first.get(name, {}), best.get(name, {})) for name in names)
    if not body:
        return ""
    return (
        '<section class="pane"><h3>Words that come out wrong</h3><p class="hint">WER, greedy, before and after. '
        'Intervals come with the end of the run.</p><div class="scroll"><table class="scores"><thead><tr>'
        '<th scope="col">Clips of</th><th scope="col" class="n">Clips</th><th scope="col" class="n">Base</th>'
        f'<th scope="col" class="n">{heading}</th><th scope="col">Change, points</th></tr></thead>'
        f"{body}</table></div></section>"
    )


Cell = tuple[int, float]


def _table(scored: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """(column, value) -> (clips, WER), ("", "") for all."""
    found = {(c, v): tuple(f) for c, vs in (scored.get("slices") or {}).items() for v, f in vs.items()}
    if isinstance(scored.get("wer"), float | int):
        found[("", "")] = (scored.get("clips", 0), scored["wer"])
    return found


def _set(name: str, before: Mapping[tuple[str, str], Cell], after: Mapping[tuple[str, str], Cell]) -> str:
    keys = sorted({*before, *after}, key=lambda k: (k[0], -(after.get(k) or before[k])[0]))
    shown: dict[str, int] = {}
    rows = ""
    whole = (after.get(("", "")) or before.get(("", "")) or (0, 0.0))[0]
    for key in keys:
        clips = (after.get(key) or before[key])[0]
        shown[key[0]] = shown.get(key[0], 0) + 1
        if shown[key[0]] > _MOST_SLICES or (key[0] and clips == whole):
            continue  # the whole set again
        old, new = (found.get(key, (0, None))[1] for found in (before, after))
        label = escape(words.value(key[1])) if key[0] else f"<b>{escape(name)}</b>, all"
        rows += (
            f'<tr class="{"part" if key[0] else "whole"}"><th scope="row" dir="auto">{label}</th>'
            f'<td class="n">{clips:,}</td><td class="n">{_rate(old)}</td>'
            f'<td class="n">{_rate(new)}</td><td>{_change(old, new)}</td></tr>'
        )
    return f"<tbody>{rows}</tbody>" if rows else ""


def _rate(value: float | None) -> str:
    return "–" if value is None else words.percent(value)


def _change(old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return ""
    points = 100 * (new - old)
    if abs(points) < 0.05:
        return "= the same"
    css, sign, word = ("down", "▼", "better") if points < 0 else ("up", "▲", "worse")
    return f'<span class="{css}">{sign} {abs(points):.1f} {word}</span>'
