"""Containers that say how many bytes belong to them: is the end there?"""

from __future__ import annotations

from typing import BinaryIO

from asrdemo.audio.containers import Container

_MAX_BOXES = 10_000
_OGG_PAGE_MAX = 27 + 255 + 255 * 255  # bytes


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends by its own account."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # up to the end of the file
            return size
        if length < 8 or not all(0x20 <= c < 0x7F or c == 0xA9 for c in head[4:8]):
            break  # rubbish after the last box: let the decoder judge
        at += length
        if at >= size:
            break
    return at


def _ebml_size(data: bytes) -> tuple[int | None, int]:
    """(value, width) of an EBML size; None where it is written as unknown or makes no sense."""
    if not data or data[0] == 0:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 or len(data) < width else value), width


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends by its own account. Browsers record with an unknown size: then the file's end."""
    file.seek(0)
    head = file.read(4096)
    length, width = _ebml_size(head[4:12])
    if length is None:
        return size
    at = 4 + width + length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return size
    length, width = _ebml_size(head[at + 4 : at + 12])
    return size if length is None else at + 4 + width + length


def _ogg_end(file: BinaryIO, size: int) -> int:
    """Where the last page ends by its own account."""
    start = max(0, size - 2 * _OGG_PAGE_MAX)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return size
    page = tail[at:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return size + 1  # cut inside a page header: at least a byte is missing
    return start + at + 27 + page[26] + sum(page[27 : 27 + page[26]])


def missing_bytes(file: BinaryIO, container: Container, size: int) -> int:
    """How many bytes the container promises beyond the end of the file; 0 if it is whole or cannot tell."""
    reader = {"mp4": _mp4_end, "matroska": _matroska_end, "ogg": _ogg_end}.get(container.kind)
    return max(0, reader(file, size) - size) if reader and container.offset == 0 else 0
