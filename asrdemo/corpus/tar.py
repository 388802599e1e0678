"""The members of a tar archive, one after another, from a stream that nobody vouches for.

Python's tarfile reads whatever length a long-name header claims and keeps every member in memory; a release has
millions. This reads headers itself, keeps nothing, and refuses what a release never holds: links, devices, names that
lead elsewhere, members and archives of absurd size.

Format: POSIX.1-2001 pax interchange format (ustar), with GNU long names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from asrdemo.errors import CorpusError

BLOCK = 512
MAX_MEMBERS = 20_000_000
MAX_BYTES = 16 << 30  # of one member
MAX_NAME = 4096  # bytes
_MAX_PAX = 1 << 20
_CHUNK = 1 << 20
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe",
          b"K": "a link", b"S": "a sparse file"}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A plain file. name: relative path with `/`, checked; size: bytes."""

    name: str
    size: int


class Reader:
    """Walks the members of an uncompressed tar stream. `label` names the archive in errors."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._left = 0  # bytes of the current member not read yet
        self._padding = 0

    def members(self) -> Iterator[Member]:
        """Plain files in order; folders are passed over. After each, `read` or `copy` may take its bytes.

        Raises CorpusError for a damaged or cut archive and for anything a release never holds.
        """
        count = 0
        better: dict[str, str] = {}  # name and size where an extended header gives them
        while (head := self._header()) is not None:
            name, size, kind = head
            if kind in (b"x", b"g", b"L"):
                better |= self._extended(kind, size)
                continue
            name, size = better.get("path", name), self._number(better.get("size", ""), size)
            better = {}
            if kind == b"5":
                safe_name(name, self._label)
                self._start(size)
                continue
            if kind not in (b"0", b"\0", b"7"):
                what = _KINDS.get(kind, f"of the unknown kind {kind!r}")
                raise CorpusError(f"{self._label}: member {name[-80:]!r} is {what}; a release has plain files only.")
            count += 1
            if count > MAX_MEMBERS or size > MAX_BYTES:
                raise CorpusError(
                    f"{self._label}: member {count:,} of {size:,} bytes; at most {MAX_MEMBERS:,} members of "
                    f"{MAX_BYTES:,} bytes are read."
                )
            checked = safe_name(name, self._label)
            self._start(size)
            yield Member(checked, size)

    def copy(self, out: BinaryIO) -> None:
        """The rest of the current member's bytes to `out`."""
        while self._left:
            block = self._take(min(_CHUNK, self._left))
            self._left -= len(block)
            out.write(block)

    def finish(self) -> None:
        """Read what follows the end mark, so that a compressed stream checks its checksum."""
        while self._stream.read(_CHUNK):
            continue

    def _start(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _header(self) -> tuple[str, int, bytes] | None:
        """(name, size, kind) of the next header; None at the end mark or at the end of the stream."""
        while self._left:
            self._left -= len(self._take(min(_CHUNK, self._left)))
        self._take(self._padding)
        self._padding = 0
        block = self._stream.read(BLOCK)
        if not block or block == bytes(BLOCK):
            return None
        if len(block) < BLOCK or not _sum_is_right(block):
            raise CorpusError(f"{self._label} is damaged or not a tar archive. Download it again.")
        name = _text(block[:100])
        if block[257:262] == b"ustar" and block[262:263] == b"\0" and (prefix := _text(block[345:500])):
            name = f"{prefix}/{name}"
        return name, self._size(block[124:136]), block[156:157]

    def _extended(self, kind: bytes, size: int) -> dict[str, str]:
        """`path` and `size`, as far as a GNU long-name or pax header gives them to the next member."""
        if size > (_MAX_PAX if kind != b"L" else MAX_NAME):
            raise CorpusError(f"{self._label}: an extended header of {size:,} bytes; none is that long in a release.")
        data = self._take(size)
        self._take(-size % BLOCK)
        if kind == b"L":
            return {"path": _text(data)}
        found = _pax(data, self._label)
        if any(key.startswith("GNU.sparse") for key in found):
            raise CorpusError(f"{self._label}: a sparse member; a release has plain files only.")
        return {key: found[key] for key in ("path", "size") if kind == b"x" and key in found}

    def _size(self, field: bytes) -> int:
        if field[0] & 0x80:  # base 256, for 8 GiB and more
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        return self._number(field.strip(b" \0").decode("latin-1"), 0, 8)

    def _number(self, text: str, otherwise: int, base: int = 10) -> int:
        if not text:
            return otherwise
        try:
            number = int(text, base)
        except ValueError:
            number = -1
        if number < 0:
            raise CorpusError(f"{self._label} is damaged: a member's size reads {text[:20]!r}. Download it again.")
        return number

    def _take(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise CorpusError(f"{self._label} ends in the middle of a file. Download it again.")
        return data


def safe_name(name: str, label: str) -> str:
    """A member's name without a leading `./`. Raises CorpusError for one that is absolute, climbs or hides."""
    if len(name) > MAX_NAME or "\\" in name or any(ord(c) < 32 for c in name):
        raise CorpusError(f"{label}: member {name[:80]!r} has a name that no release uses; the archive is refused.")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":"):
        raise CorpusError(f"{label}: member {name[:80]!r} leads out of the archive; it is refused.")
    return str(path)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _sum_is_right(block: bytes) -> bool:
    """The header's checksum counts its own field as spaces."""
    given = block[148:156].strip(b" \0")
    return b"%o" % (sum(block[:148]) + 8 * 32 + sum(block[156:])) == given.lstrip(b"0")


def _pax(data: bytes, label: str) -> dict[str, str]:
    """Records `LENGTH KEY=VALUE\\n`."""
    found = {}
    at = 0
    while at < len(data):
        length, _, _ = data[at : at + 20].partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(data) - at:
            raise CorpusError(f"{label} is damaged: a pax header cannot be read. Download it again.")
        key, _, value = data[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        at += int(length)
    return found
