"""What a file's header promises, read without a decoder, so that a promise not kept can be named.

libsndfile quietly trims a promise to what the file holds; here is where "5.0 s promised, 2.1 s there" comes from.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from asrdemo.audio.containers import Container, mpeg_frame

_UNKNOWN_SIZE = 0x7FFFF000  # recorders that write to a pipe put this or more where they cannot know the size
_PCM_TAGS = (1, 3)  # WAV format tags of integer and float samples
_MAX_CHUNKS = 1000
_MP3_TRIMMED = 5  # frames at most that a decoder leaves out: the encoder's delay and padding, and the tag itself


@dataclass(frozen=True)
class Promise:
    """What a header says; None where it says nothing. rate: Hz; seconds: length of the sound."""

    rate: int | None = None
    channels: int | None = None
    seconds: float | None = None


def _chunks(file: BinaryIO, order: str, size: int, at: int) -> Iterator[tuple[bytes, int, int]]:
    """(id, position of the content, size) of each RIFF or IFF chunk."""
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack(f"{order}4sI", head)
        yield name, at + 8, length
        at += 8 + length + length % 2
        if at >= size:
            return


def _wav(file: BinaryIO, size: int, offset: int) -> Promise:
    file.seek(offset)
    order = ">" if file.read(4) == b"RIFX" else "<"
    rate = channels = None
    bytes_per_second = 0
    big_size = None
    for name, at, length in _chunks(file, order, size, offset + 12):
        file.seek(at)
        if name == b"ds64":  # RF64: the real sizes, 64 bits wide
            content = file.read(16)
            big_size = struct.unpack("<QQ", content)[1] if len(content) == 16 else None
        elif name == b"fmt ":
            content = file.read(min(length, 40))
            if len(content) < 16:
                break
            tag, channels, rate, _, _, bits = struct.unpack(f"{order}HHIIHH", content[:16])
            if tag == 0xFFFE and len(content) >= 26:
                tag = struct.unpack(f"{order}H", content[24:26])[0]
            bytes_per_second = rate * channels * ((bits + 7) // 8) if tag in _PCM_TAGS else 0
        elif name == b"data":
            data = big_size if big_size is not None and length == 0xFFFFFFFF else length
            known = bytes_per_second and (data < _UNKNOWN_SIZE or big_size is not None)
            return Promise(rate, channels, data / bytes_per_second if known else None)
    return Promise(rate, channels)


def _aiff(file: BinaryIO, size: int, offset: int) -> Promise:
    for name, at, length in _chunks(file, ">", size, offset + 12):
        if name == b"COMM" and length >= 18:
            file.seek(at)
            content = file.read(18)
            if len(content) < 18:
                break
            channels, frames, _, exponent, mantissa = struct.unpack(">HIHHQ", content)
            shift = 16383 + 63 - (exponent & 0x7FFF)  # the rate is an 80-bit float
            rate = mantissa >> shift if 0 <= shift < 64 else 0
            return Promise(rate, channels, frames / rate if rate else None)
    return Promise()


def _au(file: BinaryIO, size: int, offset: int) -> Promise:
    file.seek(offset)
    head = file.read(24)
    if len(head) < 24:
        return Promise()
    _, _, data, encoding, rate, channels = struct.unpack(">4sIIIII", head)
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding)
    known = width and rate and channels and data < _UNKNOWN_SIZE
    return Promise(rate, channels, data / (width * rate * channels) if known and width else None)


def _nist(file: BinaryIO, size: int, offset: int) -> Promise:
    file.seek(offset)
    head = file.read(1024)
    found = {k: int(v) for k, v in re.findall(rb"(sample_rate|sample_count|channel_count) -i (\d{1,12})\s", head)}
    rate, count = found.get(b"sample_rate"), found.get(b"sample_count")
    return Promise(rate, found.get(b"channel_count"), count / rate if count is not None and rate else None)


def _flac(file: BinaryIO, size: int, offset: int) -> Promise:
    file.seek(offset)
    head = file.read(26)
    if len(head) < 26 or head[4] & 0x7F != 0:  # the first block has to be STREAMINFO
        return Promise()
    packed = int.from_bytes(head[18:26], "big")  # rate 20 bits, channels 3, bits 5, samples 36
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    return Promise(rate, channels, samples / rate if rate and samples else None)


def _mp3(file: BinaryIO, size: int, offset: int) -> Promise:
    """Only a Xing or Info tag counts the frames; without one the length is anybody's guess."""
    file.seek(offset)
    head = file.read(256)
    frame = mpeg_frame(head)
    if frame is None:
        return Promise()
    side_info = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[frame.mpeg1, frame.mono]
    tag = head[4 + side_info : 4 + side_info + 12]
    channels = 1 if frame.mono else 2
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 12 or not tag[7] & 1:
        return Promise(frame.rate, channels)
    frames = max(0, int.from_bytes(tag[8:12], "big") - _MP3_TRIMMED)
    return Promise(frame.rate, channels, frames * frame.samples / frame.rate)


_READERS = {"wav": _wav, "aiff": _aiff, "au": _au, "nist": _nist, "flac": _flac, "mp3": _mp3}


def promise(file: BinaryIO, container: Container, size: int) -> Promise:
    """What the header of this open file of `size` bytes promises. Never raises for what the bytes say."""
    reader = _READERS.get(container.kind)
    return reader(file, size, container.offset) if reader else Promise()
