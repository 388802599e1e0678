"""Columns of any release -> the columns everything here works with.

Columns came and went: `accent` became `accents` (v8), `variant` (v13), `sentence_id` and `sentence_domain` (v17) and
`locale` and `segment` (v5) were added; Spontaneous Speech names its own. They are read by name; what a release lacks
is "" (votes: missing). Words for gender changed in v17: one vocabulary here, with what was written beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.corpus import accents

RENAMED = {"path": "clip", "sentence": "reference_raw", "audio_file": "clip", "transcription": "reference_raw",
           "accent": "accents"}  # fmt: skip
"""Names of releases -> names here. `accent` gives way where there also is `accents`."""

REPETITIVE = ("client_id", "sentence_domain", "locale", "segment", "variant", "accents", "accent", "gender", "age",
              "prompt", "prompt_id", "quality_tags", "language", "split")  # fmt: skip
"""Columns with few values: kept as codes, they cost a few bytes a row."""

TEXT = ("clip", "client_id", "reference_raw", "sentence_id", "sentence_domain", "locale", "segment", "variant",
        "accents", "accents_raw", "gender", "gender_raw", "age")  # fmt: skip
"""Text columns that every table has, "" where the release does not say."""

VOTES = ("up_votes", "down_votes")

GENDERS = {
    "female_feminine": "female_feminine",
    "female": "female_feminine",
    "male_masculine": "male_masculine",
    "male": "male_masculine",
    "transgender": "transgender",
    "non-binary": "non-binary",
    "intersex": "intersex",
    "other": "other",
    "do_not_wish_to_say": "do_not_wish_to_say",
}
"""What releases write -> one vocabulary. Anything else is unknown ("") and stays in `gender_raw`."""

_UNSAFE = r"(^|/)\.\.?(/|$)|^/|\\|[\x00-\x1f]|^[A-Za-z]:|^$"
_BARE = r"^[\w-]+$"


def canonical(table: pa.Table, language: str) -> pa.Table:
    """The table with the columns TEXT and VOTES, then whatever else the release says, under its own names."""
    names = [RENAMED.get(name, name) for name in table.column_names]
    if "accents" in table.column_names and "accent" in table.column_names:
        names[table.column_names.index("accent")] = "accent"
    table = table.rename_columns(names)
    given = {name: table.column(name) for name in table.column_names}
    blank = _repeated("", table.num_rows)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: given.pop(name, blank) for name in TEXT}
    columns["clip"] = _with_suffix(columns["clip"])
    columns["accents_raw"], columns["gender_raw"] = columns["accents"], columns["gender"]
    columns["accents"] = recoded(columns["accents"], lambda raw: accents.canonical(raw, language))
    columns["gender"] = recoded(columns["gender"], lambda raw: GENDERS.get(raw.strip().lower(), ""))
    for name in VOTES:
        columns[name] = _whole(given.pop(name, None), table.num_rows)
    return pa.table(columns | given)


def unsafe(clips: pa.ChunkedArray) -> np.ndarray:
    """Which clip names are empty or would lead out of the clips folder; bool, shape = (rows,)."""
    return pc.match_substring_regex(clips, _UNSAFE).to_numpy(zero_copy_only=False)


def recoded(column: pa.Array | pa.ChunkedArray, change: Callable[[str], str]) -> pa.DictionaryArray:
    """A dictionary-encoded column with each distinct value changed, still with distinct values."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    changed = [change(value) for value in column.dictionary.to_pylist()]
    values = list(dict.fromkeys(changed))
    place = {value: i for i, value in enumerate(values)}
    lookup = np.array([place[value] for value in changed], dtype=np.int32)
    codes = column.indices.to_numpy()
    return pa.DictionaryArray.from_arrays(
        pa.array(lookup[codes] if len(codes) else codes, pa.int32()), pa.array(values, pa.string())
    )


def _repeated(value: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.string()))


def _with_suffix(clips: pa.ChunkedArray) -> pa.ChunkedArray:
    """Releases 1 and 2 leave `.mp3` out."""
    bare = pc.match_substring_regex(clips, _BARE)
    if not pc.any(bare).as_py():
        return clips
    return pc.if_else(bare, pc.binary_join_element_wise(clips, pa.scalar(".mp3"), ""), clips)


def _whole(column: pa.ChunkedArray | None, rows: int) -> pa.Array | pa.ChunkedArray:
    """Whole numbers as int32, missing where the text is none."""
    if column is None:
        return pa.nulls(rows, pa.int32())
    number = pc.match_substring_regex(column, r"^-?\d{1,9}$")
    return pc.if_else(number, column, pa.scalar(None, pa.string())).cast(pa.int32())
