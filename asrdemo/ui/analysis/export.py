"""What can be saved from the Error analysis page: its tables, the filtered rows, the marks, the whole report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from asrdemo.errors import ConfigError
from asrdemo.types import Progress
from asrdemo.ui.analysis import clips_handlers, handlers
from asrdemo.ui.analysis.handlers import Desk, Look, charted, slice_rows
from evals import clips, confusions, marks

if TYPE_CHECKING:
    import pandas as pd

TABLES = (
    "slices",
    "worst",
    "gaps",
    "crossed",
    "substitutions",
    "deletions",
    "insertions",
    "words",
    "formatting",
    "marks",
)
FILES = {**dict.fromkeys(TABLES, "csv"), "rows-csv": "csv", "rows-parquet": "parquet", "report": "html"}
"""What can be asked for, and the ending of its file."""
_LONGEST_NAME = 150  # bytes of a result's name in that of a file


def save(desk: Desk, at: Look, progress: Progress | None = None) -> Path:
    """Write what the view asks for (View.what) to a file, which stays until some more were saved.

    Raises ConfigError for what there is not.
    """
    what = at.view.what
    if what not in FILES:
        raise ConfigError(f"{what!r} cannot be saved; available: {', '.join(FILES)}.")
    folder = TemporaryDirectory(prefix="asrdemo-save-")
    desk.saved.put(folder.name, folder)
    name = at.result.name.encode()[:_LONGEST_NAME].decode(errors="ignore")
    stem = "-".join([name, what.partition("-")[0], *(["filtered"] if at.mask is not None else [])])
    out = Path(folder.name) / f"{stem}.{FILES[what]}"
    if what == "report":
        from evals.report import files

        folders = [result.folder for result in at.scored.results]
        files.write(out, folders, charted(at), at.view.query, progress=progress)
    elif what == "rows-parquet":
        import pyarrow.parquet as pq

        pq.write_table(clips.rows(at.scored, at.inside), out, compression="zstd")
    elif what == "rows-csv":
        _rows_csv(at, out)
    else:
        _tables(desk, at)[what]().to_csv(out, index=False)
    return out


def _tables(desk: Desk, at: Look) -> dict[str, Callable[[], pd.DataFrame]]:
    return {
        "slices": lambda: slice_rows(at),
        "worst": lambda: handlers.worst_found(desk, at).table,
        "gaps": lambda: _named([(each, found.table) for each, found in handlers.gaps_found(desk, at)]),
        "crossed": lambda: _crossed(at),
        "formatting": lambda: _formatting(desk, at),
        "substitutions": lambda: confusions.substitutions(clips_handlers.chosen_steps(at), None, 0),
        "deletions": lambda: confusions.deletions(clips_handlers.chosen_steps(at), None, 0),
        "insertions": lambda: confusions.insertions(clips_handlers.chosen_steps(at), None, 0),
        "words": lambda: clips_handlers.missed(clips_handlers.chosen_steps(at)),
        "marks": lambda: _marks(desk, at),
    }


def _named(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Tables one below the other, with the name of each in front."""
    import pandas as pd

    named = []
    for name, each in tables:
        each = each.copy()
        each.insert(0, "table", name)
        named.append(each)
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=["table"])


def _crossed(at: Look) -> pd.DataFrame:
    from evals.slices import slice_table

    pair = handlers.crossing(at)
    return slice_table(at.scored, ["*".join(pair)] if pair else [], at.mask)


def _marks(desk: Desk, at: Look) -> pd.DataFrame:
    """Of all clips of the corpus; with a filter, of the clips that it leaves."""
    found = marks.table(desk.services.settings.home, at.result)
    if at.mask is None:
        return found
    inside = clips.taken(at.scored, "clip", np.flatnonzero(at.mask))
    return found[found["clip"].isin(inside.to_pylist())]


def _formatting(desk: Desk, at: Look) -> pd.DataFrame:
    found = clips_handlers.formatting_found(desk, at)
    return _named([("steps", found.steps), ("left", found.left.drop(columns="examples"))])


def _rows_csv(at: Look, out: Path) -> None:
    """Lists of numbers, one for each word, as texts with spaces: CSV knows no lists."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    table = clips.rows(at.scored, at.inside)
    for number, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            joined = pc.binary_join(pc.cast(table[field.name], pa.list_(pa.string())), " ")
            table = table.set_column(number, field.name, joined)
    csv.write_csv(table, out)
