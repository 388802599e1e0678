"""How long the clips are, without decoding them: clip_durations.tsv (v16.1 on), times.txt (v14, v15), audio headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.corpus import tsv
from asrdemo.errors import CorpusError

TABLES = ("clip_durations.tsv", "times.txt")
_TIMES = re.compile(r"^(?:.*/)?(\S+?\.\w{2,5})[\t ,]+(\d+(?:\.\d+)?)\s*$", re.MULTILINE)


def table_of(root: Path) -> Path | None:
    """The file of durations in a release folder, or None."""
    return next((root / name for name in TABLES if (root / name).is_file()), None)


def from_table(root: Path, clips: pa.ChunkedArray) -> np.ndarray:
    """Seconds of each clip by the release's own table; float64, shape = (clips,), NaN where it does not say.

    Raises CorpusError where a table is there and gives no milliseconds at all.
    """
    path = table_of(root)
    if path is None:
        return np.full(len(clips), np.nan)
    names, milliseconds = _read(path)
    return seconds(milliseconds.take(pc.index_in(clips, value_set=names)), path.name)


def seconds(milliseconds: pa.ChunkedArray, where: str) -> np.ndarray:
    """Milliseconds written as text -> seconds; NaN where it is no number above 0. Raises CorpusError if none is."""
    number = pc.match_substring_regex(milliseconds, r"^\s*\d+(\.\d+)?\s*$")
    values = pc.if_else(number, pc.utf8_trim_whitespace(milliseconds), None).cast(pa.float64())
    out = values.to_numpy().astype(np.float64) / 1000
    out[~(out > 0)] = np.nan
    given = pc.drop_null(milliseconds)
    if len(given) and not np.isfinite(out).any():
        raise CorpusError(f"{where} gives {given[0].as_py()!r} as a duration; expected milliseconds.")
    return out


def from_headers(files: Sequence[str | Path]) -> np.ndarray:
    """Seconds by the audio headers, NaN for files that are missing or no audio; within some 20 ms for mp3."""
    import soundfile

    out = np.full(len(files), np.nan)
    for i, file in enumerate(files):
        try:
            out[i] = soundfile.info(file).duration
        except (soundfile.LibsndfileError, OSError):
            continue
    return out


def _read(path: Path) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """(clip names, milliseconds as text)."""
    if path.suffix == ".txt":  # no header that could be relied on, and separated by tabs or spaces
        pairs = [m.groups() for m in _TIMES.finditer(path.read_text(encoding="utf-8"))]
        names, milliseconds = [p[0] for p in pairs], [p[1] for p in pairs]
        return pa.chunked_array([pa.array(names, pa.string())]), pa.chunked_array([pa.array(milliseconds, pa.string())])
    given = tsv.header(path)
    if "clip" not in given or "duration[ms]" not in given:
        raise CorpusError(f"{path.name} has the columns {', '.join(given)}; expected clip and duration[ms].")
    rows, _ = tsv.read(path, ("clip", "duration[ms]"))
    return rows.column("clip"), rows.column("duration[ms]")
