"""Corpus: one language of a Common Voice release, or any set in that layout, from a folder or a downloaded archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo import files, settings
from asrdemo.corpus import columns, durations, kept, layout, reports, tsv
from asrdemo.corpus.archive import SUFFIXES, Archive, stem
from asrdemo.corpus.reports import Report
from asrdemo.errors import CorpusError, NotFoundError
from asrdemo.types import Progress

HEADERS_AT_ONCE = 2_000  # clips whose headers are read while a table loads, at some milliseconds each
SAMPLED = 200  # clips that tell the audio of a corpus from other audio under the same names
_PIECE = 1 << 16  # bytes read of each
_FORMAT = b"asrdemo corpus 1"  # raise when the same files would give other rows


@dataclass(frozen=True)
class Split:
    """rows: one a clip, see Corpus.table. quarantined: the columns clip, reason, one row a clip left out."""

    rows: pd.DataFrame
    quarantined: pd.DataFrame


def open_corpus(
    path: Path | str, language: str = "", home: Path | None = None, progress: Progress | None = None
) -> Corpus:
    """The corpus in a folder (a release, or the language folder of one) or in a downloaded .tar.gz.

    language: Common Voice locale; needed only where a release holds several. home: where unpacked archives and
    measurements are kept, by default that of the settings. An archive is read through once, the first time.
    Raises NotFoundError where there is nothing, CorpusError where it cannot be read as a corpus.
    """
    path, home = Path(path), settings.read().home if home is None else home
    if path.is_file() or path.name.endswith(SUFFIXES) and not path.is_dir():
        archive = Archive(path, home, progress)
        return Corpus(layout.find(archive.root, language, stem(path)), home, archive)
    return Corpus(layout.find(path, language), home)


class Corpus:
    """One corpus. name: for people and files; language: locale, "" if unknown; splits: names of its tables."""

    def __init__(self, where: layout.Layout, home: Path, archive: Archive | None = None) -> None:
        self._layout, self._archive, self.home = where, archive, home
        self.name, self.language, self.root = where.name, where.language, where.root
        self.splits = tuple(where.tables)

    @property
    def clips(self) -> Path:
        """The folder of the clips; those of an archive come into being there when they are taken out."""
        return self.root / self._layout.clips

    @property
    def archived(self) -> bool:
        """Whether the clips come out of an archive, so that when their files were written tells nothing."""
        return self._archive is not None

    def table(self, split: str, check_clips: bool = False) -> pd.DataFrame:
        """The rows of a split, as `load` gives them."""
        return self.load(split, check_clips).rows

    def load(self, split: str, check_clips: bool = False, unique: bool = True) -> Split:
        """A split: one row a clip, and the rows and clips that cannot be used.

        Columns: those of asrdemo.corpus.columns (text, categorical where values repeat; up_votes and down_votes as
        Int32, missing where the release has none), `reported` (reasons, "" for none), `seconds` (float64: by the
        release's tables, by measurements, by the headers of up to HEADERS_AT_ONCE clips, else NaN), `file` (path of
        the clip), then the release's other columns as text.
        Quarantined: damaged rows, clips with unsafe names, with `unique` those named before; with check_clips also
        clips that are missing, empty, or could not be decoded when the split was measured.
        Raises NotFoundError for an unknown split, CorpusError for a table that cannot be read.
        """
        path = self._table(split)
        raw, damaged = tsv.read(path, repetitive=columns.REPETITIVE)
        if self._layout.spontaneous and "split" in raw.column_names:
            wanted = "" if split == "unassigned" else split
            named = pc.cast(raw.column("split"), pa.string())
            raw = raw.filter(pc.or_(pc.equal(named, split), pc.equal(named, wanted)))
        table = columns.canonical(raw, self.language)
        del raw
        quarantined = [(start, f"{path.name}: {reason}") for start, reason in damaged]
        table = _without(table, columns.unsafe(table.column("clip")), f"{path.name}: not a clip's name", quarantined)
        if unique:
            table = _without(table, _repeated(table.column("clip")), f"{path.name}: named before", quarantined)
        if check_clips:
            reasons = self._broken(split, table.column("clip"))
            for reason in dict.fromkeys(reasons[reasons != ""]):
                table = _without(table, reasons == reason, reason, quarantined)
                reasons = reasons[reasons != reason]
        return Split(self._frame(split, table), pd.DataFrame(quarantined, columns=["clip", "reason"], dtype=str))

    def fingerprint(self, split: str) -> str:
        """Sixteen hex digits that change with the split's table or the durations; alike for folder and archive."""
        digest = hashlib.sha256(_FORMAT + split.encode() + self.language.encode())
        for path in (self._table(split), durations.table_of(self.root)):
            if path is not None:
                found = path.stat()
                digest.update(_digest(path, found.st_size, found.st_mtime_ns))
        return digest.hexdigest()[:16]

    def audio_fingerprint(self, clips: Sequence[str], progress: Progress | None = None) -> str:
        """Sixteen hex digits that tell the audio of these clips from other audio under the same names, such as a
        telephone's version of them: size and middle of up to SAMPLED files, evenly spread, wherever they lie and
        whenever they were written; alike for folder and archive. An archive gives up all of these clips for it, but
        only once. Raises what `take` raises."""
        places = np.unique(np.linspace(0, len(clips) - 1, min(SAMPLED, len(clips))).astype(int))
        chosen = [clips[int(i)] for i in places]
        names = hashlib.sha256("\n".join([str(len(clips)), *chosen]).encode())
        where = hashlib.sha256(f"{names.hexdigest()} {self.clips.resolve()}".encode()).hexdigest()[:16]
        known = (
            self._archive.root / f"audio-{names.hexdigest()[:16]}.txt"
            if self._archive
            else self.home / "corpora" / f"audio-{where}.txt"
        )
        if self._archive and known.is_file():
            return known.read_text()
        self.take(clips, progress)
        pieces = [_piece(self.clips / clip) for clip in chosen]
        if not all(pieces) and known.is_file():  # a clip that is gone since is no change
            return known.read_text()
        for piece in pieces:
            names.update(piece)
        if self._archive or all(pieces):
            known.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(known, names.hexdigest()[:16], known.with_name(f".{known.name}.{os.getpid()}"))
        return names.hexdigest()[:16]

    def audio(self, row: Any) -> Path:
        """The file of a clip: `row` is its name, or a row of a table. Taken out of the archive where needed; for
        many clips call `take` before. Raises NotFoundError where the corpus has no such file."""
        clip = row if isinstance(row, str) else row["clip"] if isinstance(row, (dict, pd.Series)) else row.clip
        if columns.unsafe(pa.chunked_array([[clip]])).any():
            raise NotFoundError(f"{clip!r} is no clip's name.")
        self.take([clip])
        file = self.clips / clip
        if not file.is_file():
            raise NotFoundError(f"Corpus {self.name!r} has no clip {clip!r}.")
        return file

    def take(self, clips: Iterable[str], progress: Progress | None = None) -> None:
        """Have these clips as files, as far as there are any: for an archive in one pass over it, never a clip twice;
        for a folder nothing is to do. Raises CorpusError where the disk has no room."""
        if self._archive is not None:
            members = self._members(pa.chunked_array([list(clips)], pa.string()))
            self._archive.take(members.to_pylist(), progress)

    def reports(self, sentence_id: str, sentence: str) -> tuple[Report, ...]:
        """What people reported of a sentence, the reason given most often first; () for nothing, and where the release
        has no reported.tsv. Found by its id, else by its text as written (`reference_raw`). The file is read at the
        first call, not at each. Raises CorpusError for one that cannot be read."""
        return reports.read(self.root).of(sentence_id, sentence)

    def measurements(self, split: str) -> pd.DataFrame | None:
        """What asrdemo.measure kept of a split, indexed by clip; None where it has not been measured to the end."""
        return kept.read(kept.folder(self.home, self.name, split, self.fingerprint(split)))

    def _table(self, split: str) -> Path:
        found = self._layout.tables.get(split)
        if found is None and (other := self.root / f"{split}.tsv").is_file() and other.parent == self.root:
            names = tsv.header(other)
            missing = ", ".join(c for c in ("path", "sentence") if c not in names)
            raise CorpusError(f"{other.name} of corpus {self.name!r} lacks the column(s) {missing}.")
        if found is None:
            raise NotFoundError(f"Corpus {self.name!r} has no split {split!r}; available: {', '.join(self.splits)}.")
        return found

    def _frame(self, split: str, table: pa.Table) -> pd.DataFrame:
        clips = table.column("clip")
        known = self._seconds(split, table, clips)
        folder = pa.scalar(f"{self.clips}/")
        table = table.append_column("reported", self._reported(table))
        table = table.append_column("seconds", pa.array(known))
        table = table.append_column("file", pc.binary_join_element_wise(folder, clips, ""))
        order = [*columns.TEXT, *columns.VOTES, "reported", "seconds", "file"]
        rest = [name for name in table.column_names if name not in {*order, "duration_ms", "split"}]
        frame = table.select(order + rest).to_pandas(split_blocks=True, self_destruct=True)
        return frame.astype(dict.fromkeys(columns.VOTES, "Int32"))

    def _seconds(self, split: str, table: pa.Table, clips: pa.ChunkedArray) -> np.ndarray:
        if "duration_ms" in table.column_names:
            known = durations.seconds(table.column("duration_ms"), "duration_ms")
        else:
            known = durations.from_table(self.root, clips)
        if np.isnan(known).any() and (measured := self.measurements(split)) is not None:
            known = np.where(np.isnan(known), measured["seconds"].reindex(clips.to_pandas()), known)
        unknown = np.flatnonzero(np.isnan(known))
        if 0 < len(unknown) <= HEADERS_AT_ONCE:
            files = [self.clips / clips[int(i)].as_py() for i in unknown]
            known[unknown] = durations.from_headers(files)
        return known

    def _reported(self, table: pa.Table) -> pa.Array | pa.ChunkedArray:
        """Why each row's sentence was reported, see `reports`."""
        known = reports.read(self.root)
        ids, texts = (
            {key: " | ".join(sorted(report.reason for report in each)) for key, each in found.items()}
            for found in (known.ids, known.sentences)
        )
        by_id = _looked_up(table.column("sentence_id"), ids)
        by_text = _looked_up(table.column("reference_raw"), texts)
        return pc.dictionary_encode(pc.if_else(pc.equal(by_id, ""), by_text, by_id))

    def _broken(self, split: str, clips: pa.ChunkedArray) -> np.ndarray:
        """Why each clip cannot be used, "" where nothing is known against it; str, shape = (clips,)."""
        if self._archive is not None:
            sizes = pc.fill_null(self._archive.sizes(self._members(clips)), -1).to_numpy()
        else:
            sizes = _sizes(self.clips, clips)
        reasons = np.select([sizes < 0, sizes == 0], ["no such file", "the file is empty"], "").astype(object)
        measured = self.measurements(split)
        if measured is not None:
            errors = measured["error"].reindex(clips.to_pandas()).fillna("").to_numpy(object)
            reasons = np.where(reasons == "", errors, reasons)
        return reasons

    def _members(self, clips: pa.ChunkedArray) -> pa.ChunkedArray:
        """Names of the clips within the archive."""
        assert self._archive is not None
        inside = self.clips.relative_to(self._archive.root).as_posix()
        return pc.binary_join_element_wise(pa.scalar(f"{inside}/"), clips, "")


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> bytes:
    """SHA-256 of a file; size and time of change are there so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _piece(file: Path) -> bytes:
    """Size and middle of a file; the beginning may be a header or silence. Empty where it cannot be read."""
    try:
        with file.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            content.seek(max(0, (size - _PIECE) // 2))
            return str(size).encode() + content.read(_PIECE)
    except OSError:
        return b""


def _sizes(folder: Path, clips: pa.ChunkedArray) -> np.ndarray:
    """Bytes of each file, -1 where there is none."""
    sizes = np.full(len(clips), -1, np.int64)
    for i, clip in enumerate(clips.to_pylist()):
        try:
            sizes[i] = os.stat(f"{folder}/{clip}").st_size  # noqa: PTH116 (a million times; Path takes twice as long)
        except OSError:
            continue
    return sizes


def _without(table: pa.Table, bad: np.ndarray, reason: str, quarantined: list[tuple[str, str]]) -> pa.Table:
    if not bad.any():
        return table
    quarantined += [(clip, reason) for clip in table.column("clip").filter(pa.array(bad)).to_pylist()]
    return table.filter(pa.array(~bad))


def _repeated(clips: pa.ChunkedArray) -> np.ndarray:
    """Which clips were named before; bool, shape = (rows,)."""
    if pc.count_distinct(clips).as_py() == len(clips):
        return np.zeros(len(clips), bool)
    return clips.to_pandas().duplicated().to_numpy()


def _looked_up(column: pa.ChunkedArray, reasons: dict[str, str]) -> pa.Array | pa.ChunkedArray:
    """The reason for each value, "" where there is none."""
    text = pc.cast(column, pa.string())
    values = pa.array(list(reasons.values()), pa.string())
    return pc.fill_null(values.take(pc.index_in(text, value_set=pa.array(list(reasons), pa.string()))), "")
