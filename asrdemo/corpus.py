"""A Common Voice release folder, any version, as a table of clips with known columns.

The layout: `{split}.tsv`, `clips/`, and from version 17 on `clip_durations.tsv`. Columns came and went over the
versions, so they are read by name and a missing one is empty.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from asrdemo.errors import CorpusError, NotFoundError

COLUMNS = ("client_id", "path", "sentence", "age", "gender", "accents", "variant", "locale", "sentence_domain")
"""Text columns every table has, empty where the release does not say."""

_REQUIRED = ("path", "sentence")
_OLD_NAMES = {"accent": "accents"}  # renamed in version 8


def splits(folder: Path) -> tuple[str, ...]:
    """Names of the split tables in a release folder, sorted. Raises NotFoundError when the folder is not there."""
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFoundError(f"There is no corpus folder {folder.name!r}; expected a folder with TSV tables and clips/.")
    return tuple(sorted(p.stem for p in folder.glob("*.tsv") if "path" in _header(p) and "sentence" in _header(p)))


def read(folder: Path, split: str) -> pd.DataFrame:
    """One split as a table: COLUMNS as strings, `file` (full path of the clip) and `seconds` (float, NaN if unknown).

    Read with tabs only and no quoting, and with nothing taken as missing: a sentence may hold a stray quote or be "NA".
    """
    folder = Path(folder)
    table = folder / f"{split}.tsv"
    if not table.is_file():
        available = ", ".join(splits(folder)) or "none"
        raise NotFoundError(f"Corpus {folder.name!r} has no split {split!r}; available: {available}.")
    missing = [c for c in _REQUIRED if c not in _header(table)]
    if missing:
        raise CorpusError(f"{table.name} of corpus {folder.name!r} lacks the column(s) {', '.join(missing)}.")
    rows = _read_tsv(table).rename(columns=_OLD_NAMES)
    clips = rows.reindex(columns=list(COLUMNS), fill_value="").fillna("")
    clips["file"] = [str(folder / "clips" / name) for name in clips["path"]]
    clips["seconds"] = clips["path"].map(durations(folder)).astype(float)
    return clips


def durations(folder: Path) -> dict[str, float]:
    """Seconds by clip name from clip_durations.tsv; empty for releases that have none."""
    table = Path(folder) / "clip_durations.tsv"
    if not table.is_file():
        return {}
    rows = _read_tsv(table)
    if "clip" not in rows or "duration[ms]" not in rows:
        raise CorpusError(f"{table.name} has the columns {', '.join(rows.columns)}; expected clip and duration[ms].")
    milliseconds = pd.to_numeric(rows["duration[ms]"], errors="coerce")
    if milliseconds.isna().any():
        bad = rows["duration[ms]"][milliseconds.isna()].iloc[0]
        raise CorpusError(f"{table.name} gives {bad!r} as a duration; expected milliseconds.")
    return dict(zip(rows["clip"], milliseconds / 1000, strict=True))


def _header(table: Path) -> list[str]:
    with table.open(encoding="utf-8") as lines:
        return lines.readline().rstrip("\r\n").split("\t")


def _read_tsv(table: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(table, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False, dtype=str, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise CorpusError(f"{table.name} cannot be read as a tab-separated UTF-8 table: {error}") from error
