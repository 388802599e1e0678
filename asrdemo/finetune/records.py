"""JSON lines that somebody else is still writing: read from where the last reader left off, or from the end."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_MOST_NEW = 1 << 22  # bytes in one call
MOST_TAIL = 1 << 18


class Lines(NamedTuple):
    """rows: new records, oldest first. offset: where the next call goes on. fresh: the file was written anew, `rows`
    begin at its start and take the place of earlier ones."""

    rows: list[dict[str, Any]]
    offset: int
    fresh: bool


def part(path: Path, start: int, most: int) -> bytes:
    """A part of a file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(most)
    except OSError:
        return b""


def new(path: Path, since: int) -> Lines:
    """Whole lines behind an offset that an earlier call gave. One that is no longer the end of a line shows that the
    file was written anew, as it is when a run goes on from a checkpoint."""
    back = 1 if since > 0 else 0
    data = part(path, since - back, _MOST_NEW + back)
    fresh = since <= 0 or data[:1] != b"\n"
    if fresh and since > 0:
        since, back, data = 0, 0, part(path, 0, _MOST_NEW)
    end = data.rfind(b"\n") + 1
    return Lines(_records(data[back:end]), max(since, 0) + max(end - back, 0), fresh)


def last(path: Path) -> list[dict[str, Any]]:
    """The records within the last part of a file."""
    size = path.stat().st_size if path.is_file() else 0
    start = max(0, size - MOST_TAIL)
    data = part(path, start, MOST_TAIL)
    return _records(data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1])


def _records(data: bytes) -> list[dict[str, Any]]:
    """JSON lines; those that are none are left out."""
    found = []
    for line in data.splitlines():
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                found.append(record)
    return found
