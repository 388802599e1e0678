"""The filter bar: what can be filtered by, its form, and the filter in words. Error analysis and Compare share it.

The fields' names and values are those of evals.filters, so that the form is the filter. Scripts read `data-where`
(conditions to add), `data-drop` (one to take away) and `data-clear`; see static/filter_bar.js.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from asrdemo.ui import words
from asrdemo.ui.words import tip
from evals.filters import Condition, query
from evals.scored import Scored, is_text, parts
from evals.wording import plain

COLUMNS = ("accents", "gender", "age", "seconds", "speaking_rate", "snr", "sentence_domain", "variant", "up_votes",
           "down_votes")  # fmt: skip
MOST_LISTED = 100


@dataclass(frozen=True)
class Menu:
    """What one column offers to filter by. values: (value, clips), those with the most clips first; numbers: whether it
    takes a range instead."""

    column: str
    values: tuple[tuple[str, int], ...] = ()
    numbers: bool = False
    least: float = 0.0
    most: float = 0.0


def menus(scored: Scored) -> tuple[Menu, ...]:
    """What can be filtered by: the columns that say something in these results. Reckoned once for them."""
    found: tuple[Menu, ...] = scored.once(
        ("menus",), lambda: tuple(menu for name in COLUMNS if (menu := _offered(scored, name)))
    )
    return found


def _offered(scored: Scored, name: str) -> Menu | None:
    if not is_text(name):
        numbers = scored.number(name)
        here = numbers[np.isfinite(numbers)]
        if not len(here) or here.min() == here.max():
            return None
        return Menu(name, numbers=True, least=float(here.min()), most=float(here.max()))
    category = scored.category(name)
    clips: Counter[str] = Counter()
    for value, count in zip(category.values, np.bincount(category.codes, minlength=len(category.values)), strict=True):
        if count:
            clips.update(dict.fromkeys(parts(name, value), int(count)))
    return Menu(name, tuple(clips.most_common())) if len(clips) > 1 else None


def fields_html(
    menus: Sequence[Menu], runs: Sequence[str], conditions: Sequence[Condition] = (), labels: Sequence[str] = ()
) -> str:
    """The fields of the form, a little panel for each column. runs: results that a clip may be right or wrong in.
    conditions: the filter; the values in it are listed however rare they are. labels: what to call the results."""
    own = "".join(_menu(m, [str(c.value) for c in conditions if (c.column, c.op) == (m.column, "is")]) for m in menus)
    named = list(zip(runs, labels or runs, strict=True))
    outcome = [("wrong", run, f"Has errors in {label}") for run, label in named]
    outcome += [("correct", run, f"All right in {label}") for run, label in named]
    outcomes = "".join(_check(name, value, text) for name, value, text in outcome)
    search = "".join(
        f'<label>{label}<input type="search" name="{name}" autocomplete="off" placeholder="part of a word"></label>'
        for name, label in (("reference.has", "What was said"), ("hypothesis.has", "What was heard"))
    )
    return (
        '<div class="filters" role="group" aria-label="Filter the clips"><span class="label">Only clips with</span>'
        f"{own}{drop_html('Right or wrong', outcomes)}{drop_html('Text', search)}</div>"
    )


def drop_html(title: str, body: str, kind: str = "") -> str:
    """A button that opens a little panel; counts what is chosen in it by script. title, body: HTML."""
    return (
        f'<details class="drop {kind}"><summary>{title}<span class="count"></span></summary>'
        f'<div class="panel">{body}</div></details>'
    )


def chips_html(conditions: Sequence[Condition]) -> str:
    """The filter in words; each part can be taken away."""
    if not conditions:
        return '<p class="chips"><span class="label">Showing all clips.</span></p>'
    chips = "".join(
        f'<button type="button" class="chip" data-drop="{escape(query([each]))}" '
        f'aria-label="Remove filter: {escape(words.condition(each))}">'
        f'<span dir="auto">{escape(words.condition(each))}</span> <span aria-hidden="true">✕</span></button>'
        for each in conditions
    )
    clear = '<button type="button" class="link" data-clear>Show all clips</button>'
    return f'<p class="chips"><span class="label">Showing only</span> {chips} {clear}</p>'


def _menu(menu: Menu, chosen: Sequence[str]) -> str:
    name = words.column(menu.column)
    label = escape(name[:1].upper() + name[1:])
    if menu.numbers:
        unit = words.UNITS.get(menu.column, "")
        ends = "".join(
            f'<label>{end}<input type="number" step="any" name="{menu.column}.{op}" placeholder="{bound:.3g}"></label>'
            for end, op, bound in (("From", "min", menu.least), ("To below", "below", menu.most))
        )
        help_ = tip(menu.column) if menu.column in words.TIPS else ""
        return drop_html(label, f'<div class="range">{ends}<span class="hint">{unit} {help_}</span></div>')
    usual, known = menu.values[:MOST_LISTED], dict(menu.values)
    rare = [(value, known.get(value, 0)) for value in chosen if value not in dict(usual)]
    boxes = "".join(_check(menu.column, value, plain(value) or "not stated", clips) for value, clips in (*usual, *rare))
    left_out = len(menu.values) - len(usual) - sum(value in known for value, _ in rare)
    more = f'<p class="hint">and {left_out:,} rarer ones</p>' if left_out else ""
    return drop_html(label, f'<p class="hint">Clips in the whole result:</p>{boxes}{more}')


def _check(name: str, value: str, text: str, clips: int | None = None) -> str:
    count = "" if clips is None else f'<span class="n">{clips:,}</span>'
    return (
        f'<label><input type="checkbox" name="{escape(name)}" value="{escape(value)}">'
        f'<span dir="auto">{escape(text)}</span>{count}</label>'
    )
