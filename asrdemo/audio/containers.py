"""What a file is, by its first bytes. A name can claim anything; only what is recognised here meets a decoder.

The list is short on purpose: libsndfile and ffmpeg know many rare formats whose parsers nobody has looked at for
years, and playlists or concat scripts that make ffmpeg open other files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

from asrdemo.errors import AudioError

HEAD_BYTES = 8192


@dataclass(frozen=True)
class Container:
    """A kind of sound file.

    kind: short key (`wav`, `mp3`, `mp4` ...); title: what to call it in a message.
    demuxer: the only ffmpeg demuxer that may open it.
    libsndfile: read with libsndfile (ffmpeg is then the way out for codecs it lacks), else ffmpeg alone.
    offset: where it starts, in bytes (after ID3 tags or padding).
    """

    kind: str
    title: str
    demuxer: str
    libsndfile: bool = True
    offset: int = 0


# (position, bytes, container)
_MAGIC = (
    (0, b"fLaC", Container("flac", "FLAC", "flac")),
    (0, b"OggS", Container("ogg", "Ogg", "ogg")),
    (0, b".snd", Container("au", "AU", "au")),
    (0, b"caff", Container("caf", "CAF", "caf")),
    (0, b"NIST_1A", Container("nist", "NIST SPHERE", "nistsphere")),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", Container("w64", "Wave64", "w64")),
    (4, b"ftyp", Container("mp4", "MPEG-4 (m4a, mp4)", "mov", libsndfile=False)),
    (4, b"moov", Container("mp4", "QuickTime", "mov", libsndfile=False)),
    (0, b"\x1a\x45\xdf\xa3", Container("matroska", "Matroska or WebM", "matroska", libsndfile=False)),
    (0, b"#!AMR", Container("amr", "AMR", "amr", libsndfile=False)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Container("asf", "Windows Media", "asf", libsndfile=False)),
    (0, b"FLV\x01", Container("flv", "Flash video", "flv", libsndfile=False)),
    (0, b"wvpk", Container("wv", "WavPack", "wv", libsndfile=False)),
    (0, b"MAC ", Container("ape", "Monkey's Audio", "ape", libsndfile=False)),
    (0, b"TTA1", Container("tta", "True Audio", "tta", libsndfile=False)),
)
_CHUNKED = {  # first four bytes, bytes 8 to 12
    (b"RIFF", b"WAVE"): Container("wav", "WAV", "wav"),
    (b"RIFX", b"WAVE"): Container("wav", "WAV", "wav"),
    (b"RF64", b"WAVE"): Container("wav", "WAV (RF64)", "wav"),
    (b"BW64", b"WAVE"): Container("wav", "WAV (BW64)", "wav"),
    (b"FORM", b"AIFF"): Container("aiff", "AIFF", "aiff"),
    (b"FORM", b"AIFC"): Container("aiff", "AIFF-C", "aiff"),
    (b"RIFF", b"AVI "): Container("avi", "AVI", "avi", libsndfile=False),
}
_NOT_AUDIO = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"MThd", "a MIDI file (notes, no sound)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"SQLite format 3", "a database"),
    (b"#EXTM3U", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"ffconcat", "a playlist"),
)
_MP3 = Container("mp3", "MP3", "mp3")
_AAC = Container("aac", "AAC", "aac", libsndfile=False)
_MPEG_RATES = (44_100, 48_000, 32_000)  # Hz, MPEG-1; halved for MPEG-2, quartered for 2.5
_MPEG1_KBPS = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),  # layer I
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),  # layer II
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # layer III
)
_MPEG2_KBPS = (
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)


@dataclass(frozen=True)
class MpegFrame:
    """An MPEG audio frame header. size: bytes to the next frame; samples: a channel; mpeg1, mono: for tag layout."""

    size: int
    rate: int
    samples: int
    layer: int
    mpeg1: bool
    mono: bool


def mpeg_frame(data: bytes, at: int = 0) -> MpegFrame | None:
    """The MPEG audio (mp1, mp2, mp3) frame header at this position, or None if there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:  # reserved, or free format
        return None
    mpeg1 = version == 3
    hertz = _MPEG_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits_per_second = 1000 * (_MPEG1_KBPS if mpeg1 else _MPEG2_KBPS)[layer - 1][bitrate]
    padding = data[at + 2] >> 1 & 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or mpeg1 else 576
    size = samples // 8 * bits_per_second // hertz + padding
    if layer == 1:
        size = (12 * bits_per_second // hertz + padding) * 4
    return MpegFrame(size, hertz, samples, layer, mpeg1, mono=data[at + 3] >> 6 == 3)


def _mpeg_run(data: bytes, at: int, frames: int) -> bool:
    """Whether this many frames (or all that fit) follow one another from here, two at least."""
    first = mpeg_frame(data, at)
    for n in range(frames):
        frame = mpeg_frame(data, at)
        if not first or not frame or (frame.rate, frame.layer) != (first.rate, first.layer):
            return n >= 2 and at + 4 > len(data)
        at += frame.size
    return True


def _adts_run(data: bytes, frames: int = 3) -> bool:
    """Whether AAC frames in ADTS framing follow one another from the start."""
    at = 0
    for _ in range(frames):
        if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
            return False
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if size < 7:
            return False
        at += size
    return True


def _after_tags(file: BinaryIO) -> int:
    """Position after ID3v2 tags, which may stand before mp3, flac and aac and hold megabytes of cover pictures."""
    at = 0
    for _ in range(8):
        file.seek(at)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:10]) > 0x7F:
            break
        size = 0
        for byte in tag[6:10]:
            size = size << 7 | byte
        at += 10 + size + (10 if tag[5] & 0x10 else 0)
    return at


def _mpeg(head: bytes, offset: int) -> Container | None:
    """MP3 or AAC at the start, or MP3 a little later (zero padding, the cut end of a frame)."""
    if _adts_run(head):
        return replace(_AAC, offset=offset)
    if _mpeg_run(head, 0, 2):
        return replace(_MP3, offset=offset)
    at = head.find(0xFF, 1)
    while 0 < at < HEAD_BYTES // 2:
        if _mpeg_run(head, at, 4):  # libsndfile wants a frame or a tag first; ffmpeg finds its way
            return replace(_MP3, libsndfile=False, offset=offset + at)
        at = head.find(0xFF, at + 1)
    return None


def _libsndfile_knows(head: bytes) -> bool:
    """False for an Ogg file whose first stream is neither Vorbis nor Opus: Speex, FLAC, film."""
    return head[:4] != b"OggS" or b"vorbis" in head[28:36] or b"OpusHead" in head[28:36]


def _what_else(head: bytes) -> str:
    """What a file that is no sound file seems to be, in words."""
    for magic, title in _NOT_AUDIO:
        if head.startswith(magic):
            return title
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    try:
        text = head[: len(head) - 4 if len(head) == HEAD_BYTES else None].decode("utf-8")  # a character may be cut
    except UnicodeDecodeError:
        return "in no format known here"
    return "text" if all(c.isprintable() or c.isspace() for c in text) else "in no format known here"


def identify(file: BinaryIO, name: str) -> Container:
    """Which container an open file is. Raises AudioError with what it seems to be instead."""
    offset = _after_tags(file)
    file.seek(offset)
    head = file.read(HEAD_BYTES)
    for at, magic, container in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return replace(container, offset=offset, libsndfile=container.libsndfile and _libsndfile_knows(head))
    chunked = _CHUNKED.get((head[:4], head[8:12]))
    if chunked:
        return replace(chunked, offset=offset)
    found = _mpeg(head, offset)
    if found:
        return found
    if len(head) > 3 * 188 and all(head[i] == 0x47 for i in (0, 188, 376)):
        return Container("mpegts", "MPEG transport stream", "mpegts", libsndfile=False, offset=offset)
    file.seek(0)
    raise AudioError(
        f"{name} is not audio: it is {_what_else(file.read(HEAD_BYTES))}. "
        "Give a wav, flac, mp3, ogg, opus, m4a, mp4 or webm file."
    )
