"""ffmpeg for what libsndfile cannot read: m4a, mp4, webm and rare codecs. One local file, one demuxer, audio only.

ffmpeg can fetch addresses, follow playlists and open files named inside other files. Here the demuxer is fixed by
the file's own first bytes, the only protocol is `file`, data references are off, only audio decoders may be opened,
and time and output are bounded.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asrdemo.audio.collect import MAX_CHANNELS
from asrdemo.audio.containers import Container
from asrdemo.audio.decoders import BLOCK_SAMPLES, Stream
from asrdemo.errors import AudioError, MissingFfmpegError

_DECODERS = (
    "aac,aac_fixed,aac_latm,ac3,ac3_fixed,eac3,alac,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,ape,flac,gsm,gsm_ms,"
    "libgsm,libgsm_ms,g722,g726,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,libopus,speex,libspeex,tta,vorbis,libvorbis,"
    "wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,nellymoser,"
    "pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,"
    "pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_s16le_planar"
)
_AU_HEADER = struct.Struct(">4sIIIII")  # magic, offset of the samples, size, encoding, rate, channels
_MAX_ALLOC = 256 << 20  # bytes in one go; a header that asks for more is lying
_STDERR_KEPT = 4000  # bytes


def available() -> bool:
    """Whether ffmpeg is on the PATH."""
    return shutil.which("ffmpeg") is not None


def command(path: Path, container: Container, seconds: float) -> list[str]:
    """The argument list. The samples leave as AU, whose header tells rate and channels, at most `seconds` of them."""
    demuxer_options = ["-enable_drefs", "0", "-use_absolute_path", "0"] if container.demuxer == "mov" else []
    return [
        "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-max_alloc", str(_MAX_ALLOC), "-threads", "1",
        "-protocol_whitelist", "file", "-format_whitelist", container.demuxer, "-codec_whitelist", _DECODERS,
        *demuxer_options, "-f", container.demuxer, "-i", f"file:{path.absolute()}",
        "-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-t", f"{seconds:.3f}",
        "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
    ]  # fmt: skip


@contextmanager
def open_ffmpeg(path: Path, container: Container, name: str, seconds: float, timeout: float) -> Iterator[Stream]:
    """A file as a Stream of at most `seconds`; ffmpeg is stopped after `timeout` wall seconds and at the end of the
    block. Raises MissingFfmpegError, or AudioError for a file without sound, a damaged one, or one that takes long."""
    if not available():
        raise MissingFfmpegError(
            f"{name} ({container.title}) can only be read with ffmpeg, which is not installed here. "
            "Install it (Debian, Ubuntu: apt install ffmpeg), or give a wav, flac, mp3 or ogg file."
        )
    process = subprocess.Popen(
        command(path, container, seconds), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    run = _Run(process, name, timeout)
    try:
        rate, channels = run.header()
        yield Stream(rate, channels, run.blocks(channels))
    finally:
        run.close()


class _Run:
    """A running ffmpeg: its output in blocks, the end of its error stream, its time limit."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, timeout: float) -> None:
        assert process.stdout is not None and process.stderr is not None
        self._process, self._name, self._timeout = process, name, timeout
        self._out: BinaryIO = process.stdout  # type: ignore[assignment]
        self._errors = b""
        self._late = False
        self._reader = threading.Thread(target=self._drain, args=(process.stderr,), daemon=True)
        self._reader.start()
        self._timer = threading.Timer(timeout, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def _drain(self, stream: BinaryIO) -> None:
        while part := stream.read(4096):  # all of it, or ffmpeg would wait; a damaged file can complain for megabytes
            self._errors = (self._errors + part)[-_STDERR_KEPT:]

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def header(self) -> tuple[int, int]:
        """(rate, channels) from the start of the output."""
        head = self._out.read(_AU_HEADER.size)
        if len(head) < _AU_HEADER.size:
            self._fail()
        _, offset, _, _, rate, channels = _AU_HEADER.unpack(head)
        self._out.read(offset - _AU_HEADER.size)
        return rate, channels

    def blocks(self, channels: int) -> Iterator[np.ndarray]:
        frame = 4 * min(max(channels, 1), MAX_CHANNELS)
        size = max(1, BLOCK_SAMPLES * 4 // frame) * frame
        while data := self._out.read(size):
            whole = len(data) // frame * frame
            yield np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, frame // 4)
        if self._process.wait() != 0:
            self._fail()

    def _fail(self) -> None:
        self._process.wait()
        self._reader.join(1)
        if self._late:
            raise AudioError(f"{self._name} took longer than {self._timeout:g} s to decode. Convert it to wav or mp3.")
        words = self._errors.decode("utf-8", "replace")
        if "matches no streams" in words:
            raise AudioError(f"{self._name} has no sound track.")
        if "moov atom not found" in words:
            raise AudioError(f"{self._name} is truncated: its table of contents (moov) is missing. Copy it again.")
        if "not on whitelist" in words and "Error while opening decoder" in words:
            raise AudioError(f"{self._name} is in a codec that is not accepted here. Convert it to wav, flac or mp3.")
        raise AudioError(f"{self._name} is damaged, or in a codec this ffmpeg lacks: ffmpeg could not decode it.")

    def close(self) -> None:
        """End the process and free its pipes; nothing is left running."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        self._out.close()
        if self._process.stderr:
            self._process.stderr.close()
