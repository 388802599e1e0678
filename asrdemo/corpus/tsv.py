"""Tab-separated tables as Common Voice writes them: no quoting, nothing means "missing", damaged rows set apart.

A sentence may hold a stray quote or be "NA" or "NULL"; a parser's defaults swallow rows at the one and read the
other as missing. Here a tab is a tab, a line is a row, and every field is the text that stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from asrdemo.errors import CorpusError

_BLOCK = 8 << 20  # bytes parsed at a time: no row may be longer
_SHOWN = 80  # characters of a damaged row that its message quotes


def header(path: Path) -> list[str]:
    """Column names of a table. Raises CorpusError where the first line is not UTF-8."""
    with path.open("rb") as lines:
        first = lines.readline(1 << 16)
    try:
        return first.decode("utf-8-sig").rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path.name} does not start with column names in UTF-8: {error}.") from error


def read(
    path: Path, columns: Sequence[str] | None = None, repetitive: Iterable[str] = ()
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """(table, damaged rows): every field as a string, `repetitive` columns dictionary-encoded, in the file's order.

    columns: which to keep, all by default. Fields that a row lacks at its end are "". A row with too many fields (a
    stray tab or line break) is left out; damaged rows are (start of the row, reason) pairs.
    Raises CorpusError for a file that is empty, not UTF-8, or names a column twice.
    """
    names = header(path)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CorpusError(f"{path.name} has two columns {twice!r}; expected each name once.")
    kept = list(names if columns is None else (c for c in columns if c in names))
    encoded = set(repetitive)
    types = {n: pa.dictionary(pa.int32(), pa.string()) if n in encoded else pa.string() for n in names}
    convert = pacsv.ConvertOptions(column_types=types, include_columns=kept, null_values=[])
    table, irregular = _parse(path, convert, threads=True)
    if irregular:  # threads meet such rows in any order and do not know where they stand: once more, without threads
        del table
        table, irregular = _parse(path, convert, threads=False)
    short: dict[int, list[str]] = {}
    damaged: list[tuple[str, str]] = []
    for row in irregular:
        fields = row.text.split("\t")
        if len(fields) < len(names) and len(names) > 1 and _enough(names, fields):
            short[row.number] = fields + [""] * (len(names) - len(fields))
        else:
            reason = f"{len(fields)} fields where {len(names)} are expected (a stray tab or line break)"
            damaged.append((row.text[:_SHOWN], reason))
    if short:
        padded = pa.table({n: [fields[names.index(n)] for fields in short.values()] for n in table.column_names})
        numbers = np.arange(2, 2 + len(table) + len(irregular))  # of all rows; the header is row 1
        regular = np.setdiff1d(numbers, [row.number for row in irregular])
        table = pa.concat_tables([table, padded.cast(table.schema)]).unify_dictionaries()
        table = table.take(np.argsort(np.concatenate([regular, list(short)])))
    return table.unify_dictionaries(), damaged


def _parse(path: Path, convert: pacsv.ConvertOptions, threads: bool) -> tuple[pa.Table, list[pacsv.InvalidRow]]:
    """The rows with as many fields as the header, and the others. Without threads these come in order, numbered."""
    irregular: list[pacsv.InvalidRow] = []

    def skip(row: pacsv.InvalidRow) -> str:
        irregular.append(row)
        return "skip"

    reading = pacsv.ReadOptions(block_size=_BLOCK, use_threads=threads)
    parsing = pacsv.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=skip)
    try:
        return pacsv.read_csv(path, reading, parsing, convert), irregular
    except pa.ArrowInvalid as error:
        raise CorpusError(f"{path.name} cannot be read as a tab-separated UTF-8 table: {error}.") from error


def _enough(names: list[str], fields: list[str]) -> bool:
    """Whether a short row still has its clip and text: editors strip the tabs of empty fields at the end."""
    needed = [n for n in ("path", "sentence", "audio_file", "transcription", "clip") if n in names]
    return bool(needed) and len(fields) > max(names.index(n) for n in needed)
