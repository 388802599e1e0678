"""Parts of a result: one Parquet file a window, whole or not there; together they become `rows.parquet`.

A part holds the rows of its window and, in its metadata, a note: the clips that were set aside and where the time
went. So a part is all there is to know of its window, and a run that was killed goes on with the parts that lack.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asrdemo.errors import ResultError
from evals.results import EMISSIONS, PARTS, ROWS, SCHEMA, abandoned, part_files, partial

NOTE = b"asrdemo"  # key of the note in a file's metadata
LARGEST, SMALLEST, WINDOWS = 256, 8, 32  # clips in a window; windows that a small corpus is cut into
ROW_GROUP = 8192  # rows held in memory while the parts are put together


def window_size(clips: int) -> int:
    """Clips in a window: decided by the corpus alone, so that all shards cut it alike."""
    return min(LARGEST, max(SMALLEST, math.ceil(clips / WINDOWS)))


def path_of(folder: Path, window: int) -> Path:
    """Where the rows of a window lie."""
    return folder / PARTS / f"part-{window:06}.parquet"


def write_table(path: Path, table: pa.Table, note: dict[str, Any]) -> None:
    """The part of a window, under a temporary name first; nothing where the rows have been put together already."""
    part = partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata({NOTE: json.dumps(note)}), part, compression="zstd")
        part.replace(path)
    except FileNotFoundError:  # another process had this window, too, and has removed the folder of the parts
        if note_of(path.parent.parent / ROWS) is None:
            raise


def note_of(path: Path) -> dict[str, Any] | None:
    """The note of a file; None where the file is not there or damaged (a machine that lost its power)."""
    try:
        found = pq.read_metadata(path).metadata or {}
        return json.loads(found[NOTE])  # type: ignore[no-any-return]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None


def missing(folder: Path, windows: int, shard: tuple[int, int] = (1, 1)) -> list[int]:
    """Windows of a shard (number from 1, of how many) that still lack their part; none once the rows are together."""
    if note_of(folder / ROWS) is not None:
        return []
    own = range(shard[0] - 1, windows, shard[1])
    lacking = [w for w in own if note_of(path_of(folder, w)) is None]
    if lacking and note_of(folder / ROWS) is not None:  # put together, and the parts removed, while this looked
        return []
    return lacking


def gather(folders: Sequence[Path], out: Path) -> None:
    """Copy the parts (and emissions) of several folders into one; a whole file takes the place of a damaged one."""
    for folder in folders:
        for path in [*part_files(folder), *sorted((folder / EMISSIONS).glob("*.parquet"))]:
            target = out / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _whole(target) and _whole(path):
                shutil.copyfile(path, partial(target))
                partial(target).replace(target)


def assemble(folder: Path, windows: int, clips: int | None = None) -> dict[str, Any]:
    """Put the parts together into rows.parquet, if that has not been done, and remove them; returns the totals.

    clips: how many the corpus has, None where that cannot be known. Stopped in between it can be called again.
    Raises ResultError where a part is missing, or the parts together do not hold each clip once.
    """
    rows = folder / ROWS
    if note_of(rows) is None:
        lacking = missing(folder, windows)
        if lacking:
            raise ResultError(
                f"Result {folder.name!r} lacks {len(lacking)} of {windows} windows (the first is {lacking[0]}); "
                "run it to the end, every shard of it, or merge it with the folders that hold the others."
            )
        paths = [path_of(folder, w) for w in range(windows)]
        totals = Totals()
        try:
            with pq.ParquetWriter(partial(rows), SCHEMA, compression="zstd") as writer:
                for group in _groups(paths, totals):
                    writer.write_table(group)
                writer.add_key_value_metadata({NOTE.decode(): json.dumps(totals.note())})
            _check(folder.name, pq.read_table(partial(rows), columns=["clip"]).column("clip"), totals, clips)
            partial(rows).replace(rows)
        except FileNotFoundError:  # without locks (see evals.folder) another shard has been quicker
            if note_of(rows) is None:
                raise
        finally:
            partial(rows).unlink(missing_ok=True)
    sweep(folder)
    found = note_of(rows)
    assert found is not None
    return found


def sweep(folder: Path) -> None:
    """Remove the parts of a result whose rows are together, and what processes left half written that are gone."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    for left in [*folder.glob("*.partial"), *(folder / EMISSIONS).glob("*.partial")]:
        with suppress(FileNotFoundError):  # it has become whole
            if abandoned(left):
                left.unlink()


class Totals:
    """Sums over the parts of a result."""

    _SUMS = ("hits", "substitutions", "deletions", "insertions", "char_hits", "char_substitutions", "char_deletions",
             "char_insertions", "raw_words", "raw_errors", "seconds", "acoustic_s", "decode_s")  # fmt: skip

    def __init__(self) -> None:
        self.clips, self.wall, self.load = 0, 0.0, 0.0
        self.sums = dict.fromkeys(self._SUMS, 0.0)
        self.quarantined: list[dict[str, str]] = []
        self.machines: dict[str, dict[str, Any]] = {}

    def add(self, table: pa.Table, note: dict[str, Any]) -> None:
        """One part."""
        self.clips += table.num_rows
        for name in self._SUMS:
            self.sums[name] += pc.sum(table.column(name)).as_py() or 0
        self.wall, self.load = self.wall + note["wall"], self.load + note["load"]
        self.quarantined += note["quarantined"]
        self.machines[json.dumps(note["machine"], sort_keys=True)] = note["machine"]

    def note(self) -> dict[str, Any]:
        """As run.json has it. wall: of all processes together, loading left out; rtfx: audio over that."""
        s = self.sums
        score = {"raw_wer": _rate(s["raw_errors"], s["raw_words"])}
        for rate, unit, prefix in (("wer", "words", ""), ("cer", "characters", "char_")):
            wrong = {k: int(s[prefix + k]) for k in ("substitutions", "deletions", "insertions")}
            total = int(s[prefix + "hits"]) + wrong["substitutions"] + wrong["deletions"]
            score |= {rate: _rate(sum(wrong.values()), total), unit: total} | {prefix + k: v for k, v in wrong.items()}
        return {
            "clips": self.clips,
            "audio_hours": s["seconds"] / 3600,
            "score": score,
            "seconds": {"wall": self.wall, "load": self.load, "acoustic": s["acoustic_s"], "decode": s["decode_s"]},
            "rtfx": s["seconds"] / self.wall if self.wall else None,
            "quarantined": self.quarantined,
            "machines": list(self.machines.values()),
        }


def _rate(errors: float, total: float) -> float | None:
    """errors / total; null where that is no number, as JSON has no infinity."""
    return errors / total if total else None if errors else 0.0


def _whole(path: Path) -> bool:
    """Whether this is a Parquet file to its end."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _check(name: str, found: pa.ChunkedArray, totals: Totals, clips: int | None) -> None:
    """Raises ResultError unless each clip is there once, or set aside."""
    twice = len(found) - pc.count_distinct(found, mode="all").as_py()
    aside = len(totals.quarantined)
    if twice:
        wrong = f"has {twice} rows of clips that were there before"
    elif clips is not None and len(found) + aside != clips:
        wrong = f"has {len(found)} rows and {aside} clips set aside, of {clips} clips of the corpus"
    else:
        return
    raise ResultError(
        f"Result {name!r} {wrong}: its parts were made from different orders of the corpus. Run it again with "
        "another --out."
    )


def _groups(paths: Iterable[Path], totals: Totals) -> Iterator[pa.Table]:
    """The parts' tables in order, joined to at least ROW_GROUP rows; adds each to the totals."""
    waiting: list[pa.Table] = []
    for path in paths:
        note = note_of(path)
        table = pq.read_table(path).replace_schema_metadata(None)
        totals.add(table, note or {})
        waiting.append(table)
        if sum(t.num_rows for t in waiting) >= ROW_GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
