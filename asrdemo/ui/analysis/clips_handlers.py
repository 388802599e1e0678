"""Errors and clips of the Error analysis page: services and a look in, HTML out. See handlers.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asrdemo.errors import AsrDemoError, CorpusError, NotFoundError
from asrdemo.ui.analysis import clips_html, errors_html, markup
from asrdemo.ui.analysis import sound as analysis_sound
from asrdemo.ui.analysis.clips_html import Detail, Pages
from asrdemo.ui.analysis.errors_html import Tables, shown
from asrdemo.ui.analysis.handlers import Desk, Look, keep
from evals import clips, confusions, marks, walks

if TYPE_CHECKING:
    import pandas as pd

    from asrdemo.corpus import Corpus
    from evals.confusions import Steps
    from evals.formatting import Formatting

PAGE = 20  # clips
TOP = 20  # pairs
PLACES = 12
FORMATTED = 20_000  # clips that formatting is counted on; every step of the normaliser is run on each


def errors(at: Look) -> str:
    """What is taken for what, and the places of the pair that was chosen."""
    steps, both = chosen_steps(at), not walks.by_character(at.scored)
    items = missed(steps)
    tables = Tables(
        at.view.unit if both else "characters",
        confusions.substitutions(steps, TOP, 0).to_dict("records"),
        confusions.deletions(steps, TOP, 0).to_dict("records"),
        confusions.insertions(steps, TOP, 0).to_dict("records"),
        items[items["hits"] < items["count"]].head(TOP).to_dict("records"),
        both,
    )
    return errors_html.errors_html(tables, markup.whose(at.labels), places(at) if at.view.pair else "")


def chosen_steps(at: Look) -> Steps:
    """The alignments of the chosen clips, in the unit asked for."""
    whole = walks.steps(at.scored, 0, at.view.unit)
    return whole if at.mask is None else whole.where(at.mask)


def missed(steps: Steps) -> pd.DataFrame:
    """Every word of the references, those missed most often first."""
    table = confusions.accuracy(steps)
    wrong = table["count"] - table["hits"]
    return table.iloc[np.argsort(-wrong.to_numpy(), kind="stable")]


def places(at: Look) -> str:
    """Clips with the chosen pair, and where in them to listen."""
    said, heard = at.view.said, at.view.heard
    found = walks.places(at.scored, 0, at.view.unit, at.mask, said, heard, PLACES)
    rows = _rows(at, np.array([place.clip for place in found], np.int64))
    if said is None:
        title = f'<ins dir="auto">{shown(heard or "")}</ins> added'
    elif heard is None:
        title = f'<del dir="auto">{shown(said)}</del> left out'
    else:
        title = f'<del dir="auto">{shown(said)}</del> heard as <ins dir="auto">{shown(heard)}</ins>'
    listed = [(row, place.said_at, place.heard_at) for row, place in zip(rows, found, strict=True)]
    return clips_html.places_html(title, listed, PLACES, walks.by_character(at.scored))


def formatting(desk: Desk, at: Look) -> str:
    """Writing against hearing; of many clips, a sample."""
    sample = _formatted(at)
    return errors_html.formatting_html(formatting_found(desk, at), len(sample), int(at.inside.sum()), at.of)


def _formatted(at: Look) -> np.ndarray:
    """Positions of the clips that formatting is counted on, spread evenly over the chosen ones."""
    inside = np.flatnonzero(at.inside)
    return inside[:: -(-len(inside) // FORMATTED)]


def formatting_found(desk: Desk, at: Look) -> Formatting:
    """What `formatting` shows; counted once."""

    def make() -> Formatting:
        import pyarrow as pa

        from evals.formatting import formatting as measured

        names = ("reference_raw", "hypothesis_raw", "reference", "hypothesis", "ops")
        rows = pa.table({name: clips.taken(at.scored, name, _formatted(at)) for name in names})
        return measured(rows, at.result.info["pins"]["normaliser"]["profile"])

    return keep(desk, at, "formatting", make)


def table(desk: Desk, at: Look) -> str:
    """A page of the clips."""
    inside = at.inside
    pages = Pages(1, PAGE, int(inside.sum()))
    pages = Pages(min(at.view.page, pages.last), PAGE, pages.clips)
    order = clips.ordered(at.scored, inside, at.view.sort, 0, pages.page * PAGE)
    rows = _rows(at, order[(pages.page - 1) * PAGE :])
    kept = marks.marks(desk.services.settings.home, at.result)
    joined = walks.by_character(at.scored)
    return clips_html.table_html(rows, pages, at.view.sort, kept, markup.whose(at.labels), joined)


def _rows(at: Look, positions: np.ndarray, run: int = 0) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = clips.page(at.scored, positions, run=run).to_dict("records")
    return rows


def detail(desk: Desk, at: Look) -> str:
    """The open clip to see and hear; "" if none is. Raises NotFoundError for one that these results lack."""
    name = at.view.open
    if not name:
        return ""
    position = clips.find(at.scored, name)
    if position is None:
        raise NotFoundError(f"There is no clip {name!r} in {at.result.name}.")
    rows = [_rows(at, np.array([position]), run)[0] for run in range(len(at.scored.runs))]
    sound, silent = _sound(desk, at, name)
    mark = marks.marks(desk.services.settings.home, at.result).get(name, "")
    joined = walks.by_character(at.scored)
    return clips_html.detail_html(Detail(rows, at.labels, mark, sound, silent, _reports(desk, at, rows[0]), joined))


def _corpus(desk: Desk, at: Look) -> Corpus:
    """The corpus that the clips come from. Raises NotFoundError, CorpusError."""
    from evals.source import corpus_of

    key = f"corpus\n{at.result.folder}"
    corpus = desk.kept.get(key) or corpus_of(at.result, desk.services.registry)
    desk.kept.put(key, corpus)
    return corpus


def _sound(desk: Desk, at: Look, name: str) -> tuple[analysis_sound.Sound | None, str]:
    """The clip's sound, or why there is none."""
    try:
        file = _corpus(desk, at).audio(name)
        return analysis_sound.sound(file, desk.services.clip(str(file), name)), ""
    except AsrDemoError as error:
        return None, str(error)


def _reports(desk: Desk, at: Look, row: Mapping[Any, Any]) -> str:
    """What people reported of the clip's sentence, in words, or why that cannot be read; "" where nobody can know."""
    try:
        found = _corpus(desk, at).reports(row["sentence_id"] or "", row["reference_raw"])
    except NotFoundError:  # the corpus is gone, which stands where the sound would be
        return ""
    except CorpusError as error:
        return str(error)
    return clips_html.reported(found)


def mark(desk: Desk, at: Look) -> None:
    """Mark the open clip, or take its mark away."""
    if clips.find(at.scored, at.view.open) is None:
        raise NotFoundError("Open a clip first, then mark it.")
    marks.mark(desk.services.settings.home, at.result, at.view.open, at.view.mark)
