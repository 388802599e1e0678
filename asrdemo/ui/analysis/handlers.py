"""The Error analysis page's events as plain functions: services and the page's address in, HTML out.

`look` reads an address; `frame`, `headline`, `where` and the rest show one part of the page each. What takes seconds on
a large corpus, `worst` and `gaps`, is asked for after the first paint and kept by results and filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import numpy as np

from asrdemo.errors import AsrDemoError, ConfigError, NotFoundError, ResultError
from asrdemo.ui import filter_bar, words
from asrdemo.ui.analysis import charts, findings_html, markup, state
from asrdemo.ui.analysis.charts import Chart
from asrdemo.ui.analysis.markup import Choice
from asrdemo.ui.analysis.state import View
from asrdemo.ui.shelves import Shelf
from evals import filters
from evals.catalogue import SHIPPED
from evals.report.findings import labels
from evals.scored import Scored, is_text, unlike
from evals.walks import by_character

if TYPE_CHECKING:
    import pandas as pd

    from asrdemo.ui.services import Services
    from evals.adjusted import Adjusted
    from evals.results import Result
    from evals.worst import Worst

USUAL = ("accents", "gender", "age", "seconds")
FURTHER = ("speaking_rate", "snr", "sentence_domain", "variant", "words", "up_votes", "down_votes", "loudness",
           "bandwidth", "confidence")  # fmt: skip
MOST_HEAT = 12  # rows and columns of a heat map
FEW_CELLS = 4  # with a figure: fewer are no map
MOST_KEPT = 200  # answers that took seconds
MOST_SAVED = 4
MOST_VISITORS = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """What the events share: the services; answers that took long; what each visitor looked at last; and the folders of
    files just saved, which Gradio copies before the next ones come."""

    services: Services
    kept: Shelf[Any] = field(default_factory=lambda: Shelf(MOST_KEPT))
    last: Shelf[str] = field(default_factory=lambda: Shelf(MOST_VISITORS))
    saved: Shelf[TemporaryDirectory[str]] = field(
        default_factory=lambda: Shelf(MOST_SAVED, on_drop=lambda _, folder: folder.cleanup())
    )


@dataclass(frozen=True, eq=False)
class Look:
    """What an address chooses. mask: None for all clips. labels: what to call each run."""

    view: View
    scored: Scored
    mask: np.ndarray | None
    labels: tuple[str, ...]

    @property
    def inside(self) -> np.ndarray:
        """Which clips, bool (clips,)."""
        return np.ones(len(self.scored), bool) if self.mask is None else self.mask

    @property
    def result(self) -> Result:
        """The one looked at closely."""
        return self.scored.results[0]

    @property
    def of(self) -> str:
        """What to call the result looked at closely, where there are others; else ""."""
        return self.labels[0] if len(self.labels) > 1 else ""

    @property
    def subject(self) -> str:
        """A key for the results and the filter, whatever the view."""
        results = [f"{r.folder}@{r.info.get('finished')}" for r in self.scored.results]
        return "\n".join([self.view.query, *results])


def default_results(services: Services) -> tuple[str, ...]:
    """The shipped result where it is there, so that the page opens with something known; else the latest."""
    complete = services.results.complete()
    if not complete:
        raise NotFoundError("There is no finished evaluation yet. Run one in the last tab of this page.")
    shipped = [r for r in complete if SHIPPED in r.folder.parents]
    return ((shipped or complete)[0].name,)


def look(desk: Desk, address: str) -> Look:
    """Raises what evals.catalogue and evals.filters raise, among it ResultError where no clip is left."""
    view = state.read(address)
    scored = desk.services.results.scored(view.results or default_results(desk.services))
    return Look(view, scored, filters.chosen(scored, view.conditions), labels(scored.results))


def frame(desk: Desk, address: str) -> str:
    """Results to choose from and the filter bar. Works without a result, too, and for an address that is wrong."""
    known = {result.name: result for result in desk.services.results.complete()}
    view = _read(address)
    chosen = view.results or (default_results(desk.services) if known else ())
    first = next((known[name] for name in chosen if name in known), None)
    choices = [_choice(result, first) for result in known.values()]
    if not chosen or not set(known).issuperset(chosen):
        return markup.bar_html(choices, chosen, ())
    try:
        scored = desk.services.results.scored(chosen)
    except ResultError:  # cannot be compared; the headline says why
        return markup.bar_html(choices, chosen, ())
    return markup.bar_html(choices, chosen, filter_bar.menus(scored), view.conditions, labels(scored.results))


def viewed(address: str) -> str:
    """Which view the address opens."""
    return _read(address).view


def _read(address: str) -> View:
    """The address; the page as it begins where the filter is wrong, which the headline says."""
    try:
        return state.read(address)
    except ConfigError:
        return View()


def showable(desk: Desk, address: str) -> bool:
    """Whether the results that the address names can be shown, be it with another filter."""
    try:
        desk.services.results.scored(_read(address).results or default_results(desk.services))
    except AsrDemoError:
        return False
    return True


def _choice(result: Result, first: Result | None) -> Choice:
    info = result.info
    clips = info.get("clips", info["pins"]["corpus"].get("clips", 0))
    return Choice(
        result.name,
        words.told(info["pins"]),
        clips,
        info.get("score", {}).get("wer"),
        not first or not unlike((first, result)),
    )


def headline(at: Look) -> str:
    """The figures of the chosen clips."""
    from evals.headline import headlines

    found = headlines(at.scored, at.mask)
    about = words.told(at.result.info["pins"])
    if len(at.labels) > 1:
        corpus = at.result.info["pins"]["corpus"]
        about = f"{len(at.labels)} results on {corpus['name']} {corpus['split']}"
    return markup.headline_html(found, at.labels, about, at.view.conditions, at.scored.runs, unit(at))


def unit(at: Look) -> str:
    """What the error rates count."""
    return "character" if by_character(at.scored) else "word"


def _in_units(at: Look, row: dict[Any, Any]) -> dict[Any, Any]:
    """A row of the slice table, whose reason counts what its error rate counts."""
    return row | {"reason": row["reason"].replace(" words ", f" {unit(at)}s ")}


def varied(scored: Scored, columns: tuple[str, ...]) -> list[str]:
    """Those of the columns that have more than one slice with a value."""
    from evals.groups import grouping

    def more_than_one(name: str) -> bool:
        if not is_text(name) and not np.isfinite(scored.number(name)).any():
            return False
        return int(grouping(scored, name).known.sum()) > 1

    return [name for name in columns if scored.once(("varied", name), partial(more_than_one, name))]


def charted(at: Look) -> list[str]:
    """The columns to chart: the usual ones that say something, and those asked for."""
    further = [name for name in at.view.by if name in FURTHER]
    return varied(at.scored, (*USUAL, *further))


def slice_rows(at: Look) -> pd.DataFrame:
    """The table behind the charts."""
    from evals.slices import slice_table

    return slice_table(at.scored, charted(at), at.mask)


def where(at: Look) -> tuple[str, str]:
    """The leading sentences, and the charts."""
    rows = [_in_units(at, row) for row in slice_rows(at).to_dict("records")]
    overall = [row["wer"] for row in rows if row["by"] == ""]
    found = [
        Chart(by, [r for r in rows if r["by"] == by], at.scored.runs, at.labels, overall, ordered=not is_text(by))
        for by in charted(at)
    ]
    lead = charts.lead_html(rows, at.scored.runs[0], at.of, unit(at))
    if at.view.query:
        lead += f'<p class="acts">{findings_html.tune_html(tunable(at))}</p>'
    further = [(name, name in at.view.by) for name in varied(at.scored, FURTHER)]
    return lead, findings_html.further_html(further, unit(at)) + charts.charts_html(found)


def tunable(at: Look) -> str:
    """Checkpoint and corpus of the result looked at closely, and the filter, for the Fine-tune page; "" if unknown."""
    pins = at.result.info.get("pins", {})
    checkpoint, corpus = (pins.get(name, {}).get(key) for name, key in (("checkpoint", "id"), ("corpus", "name")))
    if not checkpoint or not corpus:
        return ""
    about = urlencode({"checkpoint": checkpoint, "corpus": corpus})
    return f"{about}&{at.view.query}" if at.view.query else about


def heat(desk: Desk, at: Look) -> str:
    """The heat map, made once for a filter."""
    return keep(desk, at, f"heat {at.view.heat}", lambda: _heat(at))


def _heat(at: Look) -> str:
    pair = crossing(at)
    if pair is None:
        return ""
    offered = varied(at.scored, (*USUAL, *FURTHER))
    few = False
    try:
        cells = _heat_cells(at, *pair)
        table, few = _heat_table(at, *pair, cells), not at.view.heat and _filled(cells) < FEW_CELLS
    except ConfigError as error:  # too many combinations: the visitor can choose other columns
        table = markup.hint_html(str(error))
    return findings_html.heat_frame(offered, *pair, table, at.of, few)


def crossing(at: Look) -> tuple[str, str] | None:
    """The two columns of the heat map: those asked for, else the first that show something in half of their cells
    or, if none do, in the largest part of them; None without two."""
    offered = varied(at.scored, (*USUAL, *FURTHER))
    down, _, across = at.view.heat.partition("*")
    if down != across and {down, across} <= set(offered):
        return down, across
    pairs = list(combinations(offered[:4], 2))
    shown = dict.fromkeys(pairs, (False, 0.0))
    for pair in pairs:
        with suppress(ConfigError):  # too many combinations, which is said where they are asked for
            cells = _heat_cells(at, *pair)
            filled = _filled(cells)
            shown[pair] = filled >= FEW_CELLS, filled / max(len(cells), 1)
            if shown[pair] >= (True, 0.5):
                return pair
    return max(pairs, key=shown.__getitem__, default=None)


def _filled(cells: Mapping[tuple[str, ...], Mapping[Any, Any]]) -> int:
    """How many have a figure."""
    return sum(row["status"] == "ok" for row in cells.values())


def _heat_cells(at: Look, down: str, across: str) -> dict[tuple[str, ...], dict[Any, Any]]:
    """Rows of the slice table of the first run, by the labels of both columns."""
    from evals.groups import grouping
    from evals.slices import slice_table

    by = f"{down}*{across}"
    table = slice_table(at.scored, [by], at.mask)
    mine = table[(table["by"] == by) & (table["run"] == at.scored.runs[0])]
    rows = {row["where"]: _in_units(at, row) for row in mine.to_dict("records")}
    group = grouping(at.scored, by)
    found = ((labels, rows.get(filters.query(c))) for labels, c in zip(group.labels, group.conditions, strict=True))
    return {labels: row for labels, row in found if row is not None}


def _heat_table(at: Look, down: str, across: str, cells: Mapping[tuple[str, ...], Mapping[Any, Any]]) -> str:
    sides = []
    for side, column in enumerate((down, across)):
        weight: dict[str, int] = {}
        for values, row in cells.items():
            weight[values[side]] = weight.get(values[side], 0) + row["clips"]
        sides.append(_most_frequent(at.scored, column, weight))
    title = f"Word error rate by {words.columns(f'{down}*{across}')}"
    return charts.heat_html(cells, sides[1], sides[0], title, unit(at))


def _most_frequent(scored: Scored, column: str, weight: dict[str, int]) -> list[str]:
    """The values with the most clips, in the order of the grouping."""
    from evals.groups import grouping

    kept = set(sorted(weight, key=lambda label: -weight[label])[:MOST_HEAT])
    return [labels[0] for labels in grouping(scored, column).labels if labels[0] in kept]


def worst(desk: Desk, at: Look) -> str:
    """The slices that a search over all crossings finds."""
    found = worst_found(desk, at)
    return findings_html.worst_html(found.table.to_dict("records"), found.note, at.of, tunable(at), unit(at))


def gaps(desk: Desk, at: Look) -> str:
    """Whether gaps survive when like is compared with like."""
    return findings_html.gaps_html(gaps_found(desk, at), at.of)


def worst_found(desk: Desk, at: Look) -> Worst:
    """What `worst` shows; searched once."""
    return keep(desk, at, "worst", lambda: _worst(at))


def gaps_found(desk: Desk, at: Look) -> list[tuple[str, Adjusted]]:
    """What `gaps` shows, column by column; reckoned once."""
    return keep(desk, at, "gaps", lambda: _gaps(at))


def went_on(desk: Desk, visitor: str, subject: str) -> bool:
    """Note what a visitor now looks at; whether it is another subject than before. Nothing is known of visitor ""."""
    before = desk.last.get(visitor) if visitor else None
    if visitor:
        desk.last.put(visitor, subject)
    return before != subject


def moved_on(desk: Desk, visitor: str, at: Look) -> bool:
    """Whether the visitor has asked for something else since: then a long search for this need not begin."""
    now = desk.last.get(visitor)
    return now is not None and now != at.subject


def keep(desk: Desk, at: Look, what: str, make: Callable[[], T]) -> T:
    """An answer on these results and this filter, made once."""
    key = f"{what}\n{at.subject}"
    found: T | None = desk.kept.get(key)
    if found is None:
        found = make()
        desk.kept.put(key, found)
    return found


def _worst(at: Look) -> Worst:
    from evals.worst import worst as search

    return search(at.scored, 0, at.mask)


def _gaps(at: Look) -> list[tuple[str, Adjusted]]:
    from evals.adjusted import adjusted

    found = []
    for column in varied(at.scored, ("accents", "gender", "age")):
        try:
            found.append((column, adjusted(at.scored, column, 0, at.mask)))
        except ResultError:  # too few values with support for a gap
            continue
    return found
