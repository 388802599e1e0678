"""Shard: prepared clips on disk, opened without reading them.

<split>-<key>/
    part-00000.0.arrow ...   audio and everything known of the clips, see asrdemo.finetune.parts
    index.arrow              all columns but audio, and where each clip's audio lies; it comes last, so what has one is
                             whole. Its metadata name the parts with their sizes
    quarantine.tsv           clips that are left out: name, reason, detail
    lock                     held by the process that prepares

The index is memory-mapped, and `samples` reads the bytes of one clip, whose checksum it verifies: a shard of a million
clips opens in milliseconds and costs no memory to speak of.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.errors import TrainingError
from asrdemo.finetune import parts
from asrdemo.types import SAMPLE_RATE

FORMAT = 3  # raise when the layout of a shard changes
INDEX, QUARANTINE = "index.arrow", "quarantine.tsv"
_NOTE = b"asrdemo"
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in parts.TEXT),
        ("samples", pa.int64()),
        ("crc32", pa.uint32()),
        ("part", pa.int32()),
        ("offset", pa.int64()),
    ]
)
"""One row a usable clip. part: place in the list of parts; offset: byte of the file where its audio begins."""


class Column(Sequence[str]):
    """A text column as a sequence that makes a str when asked for one. arrow: the column, to work on it as a whole."""

    def __init__(self, arrow: pa.ChunkedArray) -> None:
        self.arrow = arrow

    def __len__(self) -> int:
        return len(self.arrow)

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[str]: ...
    def __getitem__(self, i: int | slice) -> str | Sequence[str]:
        if isinstance(i, slice):
            return tuple(self.arrow.take(np.arange(len(self))[i]).to_pylist())
        return str(self.arrow[int(i)].as_py())

    def __iter__(self) -> Iterator[str]:
        for chunk in self.arrow.chunks:
            yield from chunk.to_pylist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(list(self), dtype or str)  # at once, where numpy would ask for each

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"Column({list(self[:3])!r}{', ...' if len(self) > 3 else ''})"


@dataclass(frozen=True, eq=False)
class Shard:
    """The prepared clips of a corpus. id: the recipe's; key: content hash; parts: files; index: table, see _SCHEMA."""

    id: str
    folder: Path
    key: str
    parts: tuple[str, ...]
    index: pa.Table

    def __len__(self) -> int:
        return int(self.index.num_rows)

    def __reduce__(self) -> tuple[Any, ...]:  # to another process by name, not by content
        return load, (self.folder, self.id)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Samples of each clip at 16 kHz; int64, shape = (clips,)."""
        return self._numbers("samples")

    @property
    def hours(self) -> float:
        """Audio in the shard."""
        return float(self.lengths.sum()) / SAMPLE_RATE / 3600

    @property
    def texts(self) -> Column:
        """Normalised texts."""
        return self.column("text")

    @property
    def names(self) -> Column:
        """File names of the clips."""
        return self.column("name")

    def column(self, name: str) -> Column:
        """A text column: one of asrdemo.finetune.parts.TEXT. Raises TrainingError with those there are."""
        if name not in parts.TEXT:
            raise TrainingError(f"A shard has no column {name!r}; there are {', '.join(parts.TEXT)}.")
        return Column(self.index.column(name))

    def samples(self, i: int) -> np.ndarray:
        """Clip i as float32 in [-1, 1), shape = (lengths[i],). Raises TrainingError where the disk has other bytes than
        were written."""
        part, offset = self.folder / self.parts[self._part[i]], int(self._offset[i])
        try:
            found = np.fromfile(part, "<i2", int(self.lengths[i]), offset=offset)
        except OSError as error:
            raise damaged(self.folder, f"{part.name}: {error.strerror}") from error
        if zlib.crc32(found.data) != self._crc32[i]:
            raise damaged(self.folder, f"{part.name}: the audio of {self.names[i]!r} has changed")
        return found.astype(np.float32) * np.float32(1 / 32768)

    @cached_property
    def dropped(self) -> dict[str, list[str]]:
        """Names of the clips that were left out, by reason."""
        out: dict[str, list[str]] = {}
        for line in (self.folder / QUARANTINE).read_text(encoding="utf-8").splitlines()[1:]:
            name, reason, _ = line.split("\t")
            out.setdefault(reason, []).append(name)
        return out

    @cached_property
    def _part(self) -> np.ndarray:
        return self._numbers("part")

    @cached_property
    def _offset(self) -> np.ndarray:
        return self._numbers("offset")

    @cached_property
    def _crc32(self) -> np.ndarray:
        return self._numbers("crc32")

    def _numbers(self, column: str) -> np.ndarray:
        return self.index.column(column).to_numpy()


def damaged(folder: Path, what: str) -> TrainingError:
    """The error for a shard that is not as it was written."""
    return TrainingError(f"The prepared shard is damaged ({what}). Delete the folder {folder} and prepare again.")


def load(folder: Path, shard_id: str) -> Shard:
    """Open a shard that `prepare` wrote. Raises TrainingError for one that is damaged or has no usable clip."""
    index = _mapped(folder)
    note = note_of(folder)
    if index is None or note is None:
        raise damaged(folder, f"{INDEX} cannot be read")
    for name, size in note["parts"]:
        there = (folder / name).stat().st_size if (folder / name).is_file() else -1
        if there != size:
            raise damaged(folder, f"{name} has {there:,} bytes, not {size:,}" if there >= 0 else f"{name} is missing")
    if index.num_rows != note["clips"]:
        raise damaged(folder, f"{INDEX} has {index.num_rows:,} rows, not {note['clips']:,}")
    shard = Shard(shard_id, folder, note["key"], tuple(name for name, _ in note["parts"]), index)
    if not len(shard):
        why = "; ".join(f"{len(names):,} {reason}" for reason, names in shard.dropped.items())
        raise TrainingError(f"Corpus {shard_id!r} has no usable clip ({why}); see {folder / QUARANTINE}.")
    return shard


def note_of(folder: Path) -> dict[str, Any] | None:
    """What the index says of the shard: format, key, clips, parts as (file, bytes); None where there is no whole index
    yet."""
    table = _mapped(folder)
    found = (table.schema.metadata or {}).get(_NOTE) if table is not None else None
    return json.loads(found) if found else None


def _mapped(folder: Path) -> pa.Table | None:
    try:
        return pa.ipc.open_file(pa.memory_map(str(folder / INDEX))).read_all()
    except (OSError, pa.ArrowException):
        return None


def left_out_of(part: Path) -> tuple[int, list[dict[str, Any]]]:
    """(rows of a part, those of clips that are left out: name, reason, detail)."""
    with pa.memory_map(str(part)) as file:
        reader = pa.ipc.open_file(file)
        batches = [reader.get_batch(i).drop_columns(["audio"]) for i in range(reader.num_record_batches)]
        table = pa.Table.from_batches(batches, None if batches else parts.SCHEMA)
        bad = table.filter(pc.not_equal(table.column("reason"), ""))
        return table.num_rows, bad.select(["name", "reason", "detail"]).to_pylist()


def stamps_of(part: Path) -> list[tuple[int, int]]:
    """(bytes, changed) of every clip's file as it was when the part was made. Raises TrainingError for a part that
    cannot be read."""
    try:
        with pa.memory_map(str(part)) as file:
            reader = pa.ipc.open_file(file)
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            columns = ([value for b in batches for value in b.column(n).to_pylist()] for n in ("bytes", "changed"))
            return list(zip(*columns, strict=True))
    except (OSError, pa.ArrowException) as error:
        raise damaged(part.parent, f"{part.name} is missing or cannot be read") from error


def finish(folder: Path, key: str, files: Sequence[Path], left_out: Iterable[tuple[str, str]]) -> None:
    """Write the list of what is left out, then the index over these parts, one part in memory at a time.

    left_out: (name, reason) of rows that no part has.
    """
    clips = 0
    partial = _partial(folder / QUARANTINE)
    with partial.open("w", encoding="utf-8") as out:
        out.write("name\treason\tdetail\n")
        out.writelines(_line(name, reason, "") for name, reason in left_out)
        for file in files:
            rows, bad = left_out_of(file)
            clips += rows - len(bad)
            out.writelines(_line(row["name"], row["reason"], row["detail"]) for row in bad)
    partial.replace(folder / QUARANTINE)
    sizes = [(file.name, file.stat().st_size) for file in files]
    note = {"format": FORMAT, "key": key, "clips": clips, "parts": sizes}
    schema = _SCHEMA.with_metadata({_NOTE: json.dumps(note)})
    partial = _partial(folder / INDEX)
    with pa.OSFile(str(partial), "wb") as raw, pa.ipc.new_file(raw, schema) as index:
        for number, file in enumerate(files):
            for batch in _placed(file, number):
                index.write_batch(batch)
    partial.replace(folder / INDEX)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _line(*fields: str) -> str:
    return "\t".join(" ".join(field.split()) for field in fields) + "\n"


def _placed(part: Path, number: int) -> Iterator[pa.RecordBatch]:
    """The usable clips of a part as rows of the index."""
    with pa.memory_map(str(part)) as file:
        content = file.read_buffer()
        reader = pa.ipc.open_file(content)
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            audio = batch.column("audio")
            values = audio.values.buffers()[1]
            begin = values.address - content.address if values is not None else 0  # None: no clip has any
            extra = {
                "part": pa.array(np.full(batch.num_rows, number, np.int32)),
                "offset": pa.array(begin + 2 * audio.offsets.to_numpy()[:-1].astype(np.int64)),
            }
            columns = [extra[f.name] if f.name in extra else batch.column(f.name) for f in _SCHEMA]
            usable = pc.equal(batch.column("reason"), "")
            yield pa.record_batch(columns, schema=_SCHEMA).filter(usable)
