"""Whole results against each other: what was asked, and the figures that answer it. Values in, values out."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from asrdemo.errors import ConfigError, NotFoundError, ResultError
from asrdemo.ui import words
from asrdemo.ui.filter_bar import Menu, menus
from asrdemo.ui.services import Services
from evals import filters
from evals.report.findings import labels
from evals.results import Result
from evals.scored import Scored, unlike
from evals.together import ErrorGrid, error_grid, families, in_cell, most_changed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEAST, MOST = 2, 6
BY = {
    "accents": "accent",
    "gender": "gender",
    "age": "age",
    "seconds": "clip length",
    "speaking_rate": "speaking rate",
    "snr": "background noise (SNR)",
    "sentence_domain": "topic of the sentence",
    "accents*gender": "accent and gender",
    "accents*seconds": "accent and clip length",
}
"""What can be sliced by, and what it is called."""
PAGE = 6  # clips of a list at a time
TABLES = ("results", "pairs", "slices", "changes")


@dataclass(frozen=True)
class View:
    """What is looked at. names: results, the first says what the clips are like; base: what the others are compared
    with; against: the other one in charts of two; by: slices; where: a filter, see evals.filters."""

    names: tuple[str, ...] = ()
    base: str = ""
    against: str = ""
    by: str = "accents"
    where: str = ""

    def settled(self) -> View:
        """With a base and another result that are among the names."""
        base = self.base if self.base in self.names else next(iter(self.names), "")
        others = [name for name in self.names if name != base]
        return replace(self, base=base, against=self.against if self.against in others else next(iter(others), ""))


@dataclass(frozen=True, eq=False)
class Figures:
    """The answers. speakers: None where nobody knows; caveat: a sentence that belongs beside the intervals, or "".
    overall: evals.slices.slice_table of all clips of the filter; pairs: every two results on them; compared, changed:
    of all clips and the slices, see evals.significance and evals.churn; speeds: RTFx of each result on these clips, nan
    where it is not known; left_out: clips that some result lacks; labels: by name, what tells each result apart.
    """

    view: View
    clips: int
    speakers: int | None
    caveat: str
    overall: pd.DataFrame
    pairs: pd.DataFrame
    compared: pd.DataFrame
    changed: pd.DataFrame
    grid: ErrorGrid
    speeds: tuple[float, ...]
    left_out: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Unlike:
    """Results that cannot be compared. message: of the first refusal; differences: see evals.scored.unlike;
    possible: pairs that can be compared, of the first result if there is one; where: the filter."""

    names: tuple[str, ...]
    message: str
    differences: tuple[tuple[str, list[str]], ...]
    possible: tuple[tuple[str, str], ...]
    where: str = ""


def choices(services: Services) -> list[tuple[str, str]]:
    """Labels and names of the results that are finished; where two would be called alike, their names tell which."""
    found = services.results.complete()
    said = [label(result) for result in found]
    return [
        (text if said.count(text) == 1 else f"{text} · {result.name}", result.name)
        for text, result in zip(said, found, strict=True)
    ]


def label(result: Result) -> str:
    """Such as "demo-en, greedy, on demo-corpus test, 316 clips"."""
    clips = result.info.get("clips")
    count = f", {clips:,} clips" if isinstance(clips, int) else ""
    return words.told(result.info["pins"]) + count


def bases(services: Services, view: View) -> list[tuple[str, str]]:
    """Labels and names of the view's results, one of which is the baseline; by name where they cannot be compared."""
    known = {result.name: result for result in services.results.complete()}
    if not set(view.names) <= set(known):
        return [(name, name) for name in view.names]
    return list(zip(labels([known[name] for name in view.names]), view.names, strict=True))


def preset(services: Services) -> View:
    """The two latest results that can be compared, the newest held against the other; none if there is no pair."""
    for family in families(services.results.complete()):
        if len(family) >= LEAST:
            return View(tuple(result.name for result in reversed(family[:LEAST]))).settled()
    return View()


def address(view: View) -> str:
    """A view as the query of an address; `of_address` gives it back."""
    own = [("base", view.base), ("against", view.against), ("by", view.by), ("where", view.where)]
    return urlencode([("results", name) for name in view.names] + [pair for pair in own if pair[1]])


def of_address(query: str) -> View:
    """The view that an address names; without results where it names none."""
    asked = parse_qs(query)
    names = names_of(asked.get("results"))[:MOST]
    base, against, by, where = (asked.get(key, [""])[-1] for key in ("base", "against", "by", "where"))
    return View(names, base, against, by if by in BY else View.by, where).settled()


def figures(services: Services, view: View) -> Figures:
    """The answers. Raises NotFoundError, and ResultError for results that cannot be compared or a filter that leaves
    no clip."""
    view = view.settled()
    if not LEAST <= len(view.names) <= MOST:
        raise ResultError(f"Choose {LEAST} to {MOST} results; {len(view.names)} chosen.")
    scored = services.results.scored(view.names)
    made: Figures = scored.once(("compared", view), partial(_figures, scored, view))
    return made


def _figures(scored: Scored, view: View) -> Figures:
    from evals.churn import churn_table
    from evals.headline import speeds
    from evals.significance import comparison_table, pairs_table
    from evals.slices import slice_table

    if view.by not in BY:
        raise ConfigError(f"There are no slices by {view.by!r} here; there are: {', '.join(BY)}.")
    mask = masked(scored, view)
    if mask is not None and not mask.any():
        raise ResultError("No clip fits this filter. Take a part of it away.")
    overall = slice_table(scored, (), mask)
    return Figures(
        view=view,
        clips=int(overall["clips"].iloc[0]),
        speakers=None if scored.unnamed == "all" else int(overall["speakers"].iloc[0]),
        caveat=scored.caveat,
        overall=overall,
        pairs=pairs_table(scored, mask, base=view.base),
        compared=comparison_table(scored, (view.by,), mask, base=view.base, matched_pairs=False),
        changed=churn_table(scored, (view.by,), mask, base=view.base),
        grid=error_grid(scored, view.base, view.against, mask),
        speeds=tuple(speeds(scored, mask)),
        left_out=scored.lacking,
        labels=dict(zip(scored.runs, labels(scored.results), strict=True)),
    )


def masked(scored: Scored, view: View) -> np.ndarray | None:
    """The clips of the view's filter, None for all."""
    if not view.where:
        return None
    found: np.ndarray = scored.once(("mask", view.where), lambda: filters.mask(scored, filters.parse(view.where)))
    return found


def offered(services: Services, view: View) -> tuple[Menu, ...]:
    """What the results can be filtered by; nothing where they cannot be compared."""
    try:
        return menus(services.results.scored(view.names)) if len(view.names) >= LEAST else ()
    except (NotFoundError, ResultError):  # in place of the figures it says why
        return ()


def why_not(services: Services, view: View, message: str) -> Unlike:
    """What keeps the results of a view from being compared, and what could be compared instead."""
    known = {result.name: result for result in services.results.complete()}
    chosen = [known[name] for name in view.names if name in known]
    family = next((f for f in families(list(known.values())) if chosen and chosen[0] in f), [])
    others = [result.name for result in family if result is not chosen[0]][: MOST - 1]
    possible = tuple((chosen[0].name, other) for other in others)
    return Unlike(tuple(r.name for r in chosen), message, tuple(unlike(chosen)), possible, view.where)


def there(services: Services, view: View) -> tuple[View, tuple[str, ...]]:
    """The view with those of its results that are there, the preset where none is; and the names that are not."""
    known = {result.name for result in services.results.complete()}
    names, gone = (tuple(n for n in view.names if (n in known) == here) for here in (True, False))
    if gone and not names:
        return replace(preset(services), by=view.by), gone
    return replace(view, names=names).settled(), gone


@dataclass(frozen=True)
class ClipRow:
    """A clip in all results of a view. texts: reference, then each hypothesis, normalised; ops: alignments."""

    position: int
    clip: str
    about: str
    texts: tuple[str, ...]
    ops: tuple[str, ...]
    errors: tuple[int, ...]


@dataclass(frozen=True)
class ClipList:
    """Some clips, a page of them. title: which; total: how many there are."""

    title: str
    total: int
    start: int
    rows: tuple[ClipRow, ...]


def clip_list(services: Services, view: View, cell: tuple[int, int] | None, start: int = 0) -> ClipList:
    """The clips of one cell of the grid, or those that changed most. Raises as `figures` does."""
    view = view.settled()
    scored = services.results.scored(view.names)
    mask = masked(scored, view)
    called = dict(zip(scored.runs, labels(scored.results), strict=True))
    base, against = called[view.base], called[view.against]
    if cell is None:
        found = most_changed(scored, view.base, view.against, mask)
        title = f"Clips that changed most from {base} to {against}"
    else:
        found = in_cell(scored, view.base, view.against, cell, mask)
        title = f"{_count(cell[0])} in {base}, {_count(cell[1])} in {against}"
    start = max(0, min(start, len(found) - 1)) // PAGE * PAGE
    return ClipList(title, len(found), start, tuple(_rows(scored, found[start : start + PAGE])))


def _count(errors: int) -> str:
    from evals.together import MOST_ERRORS

    more = " or more" if errors >= MOST_ERRORS else ""
    return f"{errors}{more} word {'error' if errors == 1 else 'errors'}"


def _rows(scored: Scored, positions: np.ndarray) -> list[ClipRow]:
    from evals.clips import taken

    def column(name: str, run: int = 0) -> list[Any]:
        return list(taken(scored, name, positions, run).to_pylist())

    runs = range(len(scored.runs))
    names, references = column("clip"), column("reference")
    who = list(zip(column("accents"), column("gender"), column("seconds"), strict=True))
    hypotheses = [column("hypothesis", run) for run in runs]
    ops = [column("ops", run) for run in runs]
    return [
        ClipRow(
            int(at), names[i], _about(*who[i]), (references[i] or "", *((h[i] or "") for h in hypotheses)),
            tuple(o[i] or "" for o in ops), tuple(int(scored.errors[run][at]) for run in runs),
        )
        for i, at in enumerate(positions)
    ]  # fmt: skip


def _about(accents: str | None, gender: str | None, seconds: float | None) -> str:
    words = {"female_feminine": "woman", "male_masculine": "man"}
    parts = [(accents or "").replace(" | ", ", "), words.get(gender or "", ""), f"{seconds:.1f} s" if seconds else ""]
    return " · ".join(part for part in parts if part)


def audio(services: Services, view: View, position: int) -> bytes | str:
    """What the player plays for a clip of the list. Raises NotFoundError where its corpus is not here."""
    from asrdemo.audio import encode_wav
    from evals.clips import taken
    from evals.source import corpus_of

    scored = services.results.scored(view.names)
    if not 0 <= position < len(scored):
        raise NotFoundError(f"There is no clip {position}; there are {len(scored):,}.")
    import numpy as np

    [name] = taken(scored, "clip", np.array([position])).to_pylist()
    path = corpus_of(scored.results[0], services.registry).audio(name)
    return encode_wav(services.clip(str(path), name))


def download(services: Services, view: View, table: str) -> dict[str, str]:
    """A table as CSV, as the browser takes files; see transcribe.handlers.download."""
    found = figures(services, view)
    slices = found.compared[found.compared["by"] != ""]
    tables = {"results": found.overall, "pairs": found.pairs, "slices": slices, "changes": found.changed}
    if table not in tables:
        raise NotFoundError(f"There is no table {table!r}; there are: {', '.join(tables)}.")
    return as_file(f"{table}.csv", tables[table].to_csv(index=False))


def as_file(name: str, text: str) -> dict[str, str]:
    """A text file for static/download.js. `serial` differs each time, or the same file could not be had twice."""
    data = base64.b64encode(text.encode()).decode("ascii")
    return {"name": name, "type": "text/csv;charset=utf-8", "data": data, "serial": secrets.token_hex(8)}


def asked(view: View, sent: object) -> View:
    """The view after a click: a script sends another result. Whatever else it sends changes nothing."""
    data = sent if isinstance(sent, dict) else {}
    if isinstance(data.get("against"), str):
        return replace(view, against=data["against"]).settled()
    match data.get("pair"):
        case [str(one), str(other)]:
            return replace(view, names=names_of([one, other]), where="").settled()
    return view


def cell_of(sent: object) -> tuple[int, int] | None:
    """The cell of the grid that was clicked, None for none."""
    data = sent if isinstance(sent, dict) else {}
    x, y = data.get("x"), data.get("y")
    return (x, y) if isinstance(x, int) and isinstance(y, int) else None


def names_of(values: Sequence[str] | None) -> tuple[str, ...]:
    """What a multiple choice gives, each once."""
    return tuple(dict.fromkeys(values or ()))
