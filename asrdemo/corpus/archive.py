"""A downloaded release archive (.tar.gz, .tgz, .tar) as a folder that fills itself.

A compressed archive can only be read from its start. So it is read once to take out the tables and note what else is
there; clips are taken out when they are first asked for, as many as are wanted in one pass, and never a second time.
Archives up to SMALL bytes give up everything in the first pass. All of it lies under `<home>/corpora/<name>-<key>/`
in the archive's own layout, so an unpacked archive and an unpacked folder are read by the same code. The key comes
from the archive's content: a moved or renamed archive finds what was taken out before.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asrdemo.corpus import tar
from asrdemo.errors import CorpusError, NotFoundError
from asrdemo.types import Progress

SMALL = 1 << 30  # bytes of archive
MAX_EXPANSION = 50  # uncompressed over compressed bytes; tables reach about 10, clips 1
_SLACK = 64 << 20  # bytes an archive may hold before its expansion counts
_INDEX = "index.parquet"
_SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int64())])
_HEAD = 1 << 20
_BATCH = 50_000  # index rows written at a time
SUFFIXES = (".tar.gz", ".tgz", ".tar")


class Archive:
    """The archive `path`; its folder is `root`. Raises NotFoundError if it is not there, CorpusError if it cannot be
    read or holds what a release never does (see asrdemo.corpus.tar)."""

    def __init__(self, path: Path, home: Path, progress: Progress | None = None) -> None:
        if not path.is_file():
            raise NotFoundError(f"There is no archive {path.name!r}; expected a .tar.gz of a Common Voice release.")
        self.path = path
        self._lacking: set[str] = set()  # asked for in vain: to look for them again would read the whole index
        self.root = _root(path, home)
        if not (self.root / _INDEX).is_file():
            self._take_index(progress, everything=path.stat().st_size <= SMALL)

    def sizes(self, names: pa.ChunkedArray) -> pa.ChunkedArray:
        """Bytes of the members of these names, null where the archive has none; int64."""
        index = pq.read_table(self.root / _INDEX)
        return index.column("size").take(pc.index_in(names, value_set=index.column("name")))

    def take(self, names: Collection[str], progress: Progress | None = None) -> None:
        """Take out those of these members that the archive has and that are not out yet, in one pass at most.

        Raises CorpusError where the disk has no room for them.
        """
        unknown = (name for name in dict.fromkeys(names) if name not in self._lacking)
        asked = [name for name in unknown if not (self.root / name).is_file()]
        sizes = self.sizes(pa.chunked_array([asked], pa.string())).to_pylist() if asked else []
        wanted = {name for name, size in zip(asked, sizes, strict=True) if size is not None}
        self._lacking.update(name for name in asked if name not in wanted)
        if not wanted:
            return
        _check_room(self.root, sum(size or 0 for size in sizes))
        total = len(wanted)
        with _reading(self.path) as reader:
            for member in reader.members():
                if member.name in wanted:
                    _write(reader, self.root / member.name)
                    wanted.discard(member.name)
                    if progress:
                        progress(total - len(wanted), total, f"taking clips out of {self.path.name}")
                    if not wanted:
                        return

    def _take_index(self, progress: Progress | None, everything: bool) -> None:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        _sweep(self.root)
        total = self.path.stat().st_size
        staging = Path(tempfile.mkdtemp(prefix=f".{self.root.name}.", dir=self.root.parent))
        try:
            with pq.ParquetWriter(staging / _INDEX, _SCHEMA) as index, _reading(self.path) as reader:
                found: list[tar.Member] = []
                for member in reader.members():
                    if is_table(member.name) or everything and is_clip(member.name):
                        _write(reader, staging / member.name)
                    found.append(member)
                    if progress and len(found) % 1000 == 0:
                        progress(min(reader.position, total - 1), total, f"reading {self.path.name}")
                    if len(found) >= _BATCH:
                        _flush(index, found)
                _flush(index, found)
                reader.finish()
            if progress:
                progress(total, total, f"reading {self.path.name}")
            _into_place(staging, self.root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def is_open(path: Path, home: Path) -> bool:
    """Whether the archive has been read through before, so that it opens at once."""
    return path.is_file() and (_root(path, home) / _INDEX).is_file()


def _root(path: Path, home: Path) -> Path:
    """The folder of what is taken out; one that is there under another name is taken on."""
    key = _key(path)
    before = sorted((home / "corpora").glob(f"*-{key}"))
    return before[0] if before else home / "corpora" / f"{stem(path)}-{key}"


def stem(path: Path) -> str:
    """File name without the suffix of an archive."""
    return next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.stem)


def is_table(name: str) -> bool:
    """Whether a member is one of the texts that describe the clips."""
    return name.endswith(".tsv") or PurePosixPath(name).name == "times.txt"


def is_clip(name: str) -> bool:
    """Whether a member lies in a folder of clips."""
    return not {"clips", "audios"}.isdisjoint(PurePosixPath(name).parts[:-1])


class _Limited(io.RawIOBase):
    """A decompressed stream that refuses to expand beyond all measure."""

    def __init__(self, stream: BinaryIO, raw: BinaryIO, label: str) -> None:
        self._stream, self._raw, self._label = stream, raw, label
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._given += len(data)
        if self._given > _SLACK + MAX_EXPANSION * self._raw.tell():
            raise CorpusError(
                f"{self._label} expands more than {MAX_EXPANSION}-fold, as no release does; it is refused."
            )
        buffer[: len(data)] = data
        return len(data)


class _Reader(tar.Reader):
    """A tar reader that knows how much of the file it has used."""

    def __init__(self, stream: BinaryIO, raw: BinaryIO, label: str) -> None:
        super().__init__(stream, label)
        self._raw = raw

    @property
    def position(self) -> int:
        """Bytes of the (compressed) file read so far."""
        return self._raw.tell()


@contextmanager
def _reading(path: Path) -> Iterator[_Reader]:
    """The members of the archive. What breaks while it is read becomes a CorpusError."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        limited = io.BufferedReader(_Limited(cast(BinaryIO, stream), raw, path.name), 1 << 20)
        try:
            yield _Reader(cast(BinaryIO, limited), raw, path.name)
        except EOFError:
            raise CorpusError(f"{path.name} ends too early: the download is not complete. Download it again.") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise CorpusError(f"{path.name} is damaged ({error}). Download it again.") from error
        except OSError as error:
            raise CorpusError(f"{path.name} cannot be unpacked: {error.strerror or error}.") from error


def _write(reader: tar.Reader, target: Path) -> None:
    """The current member as a file, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with partial.open("wb") as out:
            reader.copy(out)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _flush(index: pq.ParquetWriter, found: list[tar.Member]) -> None:
    names, sizes = [m.name for m in found], [m.size for m in found]
    index.write_table(pa.table({"name": names, "size": sizes}, schema=_SCHEMA))
    found.clear()


def _into_place(staging: Path, root: Path) -> None:
    """Rename; if another process was quicker, its folder stays."""
    staging.chmod(0o755)
    try:
        staging.rename(root)
    except OSError:
        if not (root / _INDEX).is_file():
            raise


def _sweep(root: Path) -> None:
    """Remove what a killed process left behind, a day ago or more."""
    for left in root.parent.glob(f".{root.name}.*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SLACK > free:
        raise CorpusError(
            f"The clips need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. Make room, or set ASRDEMO_HOME to a "
            "larger disk."
        )


def _key(path: Path) -> str:
    """By size, start and end: a gzip file ends with the checksum and length of all it holds."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_HEAD))
        file.seek(max(0, size - _HEAD))
        digest.update(file.read(_HEAD))
    return digest.hexdigest()[:12]
