"""libsndfile: wav, flac, mp3, ogg, opus, aiff, au, caf, sphere, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asrdemo.audio.containers import Container
from asrdemo.errors import AudioError

BLOCK_SAMPLES = 1 << 16  # over all channels: 256 kB of float32
_UNKNOWN_CODEC = (1, 4)  # libsndfile: unrecognised format, unsupported encoding


class TryFfmpeg(Exception):
    """libsndfile cannot go on where ffmpeg may. Never leaves this package.

    otherwise: what to tell the user where ffmpeg is not installed; None: that it should be."""

    def __init__(self, otherwise: AudioError | None = None) -> None:
        self.otherwise = otherwise


@dataclass(frozen=True)
class Stream:
    """An opened file. rate: Hz; blocks: float32, shape = (frames, channels), for one pass."""

    rate: int
    channels: int
    blocks: Iterator[np.ndarray]


class _Forward(soundfile.SoundFile):
    """soundfile seeks after every read of a seekable file, which costs mp3 its bit reservoir (noise on stderr) and
    fails on FLAC from a pipe (no length in the header). Reading goes forward only here, so it need not."""

    def seekable(self) -> bool:
        return False


@contextmanager
def open_libsndfile(path: Path, container: Container, name: str) -> Iterator[Stream]:
    """A file as a Stream. Raises TryFfmpeg where ffmpeg may help, AudioError where the file is damaged."""
    with path.open("rb") as raw:
        try:  # by descriptor: given a path, soundfile goes by its ending (`.raw` needs arguments) and shows it
            file = _Forward(raw.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            if error.code in _UNKNOWN_CODEC:
                raise TryFfmpeg from None
            raise AudioError(f"{name} is damaged: its {container.title} header is wrong{_reason(error)}.") from None
        with file:
            yield Stream(file.samplerate, file.channels, _blocks(file, container, name))


def _blocks(file: soundfile.SoundFile, container: Container, name: str) -> Iterator[np.ndarray]:
    size = max(1, BLOCK_SAMPLES // file.channels)
    done = 0
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            start, stop = done / file.samplerate, (done + size) / file.samplerate
            damaged = AudioError(
                f"{name} is truncated or damaged: decoding stopped between {start:.1f} s and {stop:.1f} s"
                f"{_reason(error)}. Copy or download it again."
            )
            # libsndfile gives up on an mp3 after 1 kB that is not mp3, even behind its end; ffmpeg looks further
            raise (TryFfmpeg(damaged) if container.kind == "mp3" else damaged) from None
        if not len(block):
            return
        done += len(block)
        yield block


def _reason(error: soundfile.LibsndfileError) -> str:
    """libsndfile's words in brackets, without the path that str(error) would show; nothing where they say nothing."""
    words = str(error.error_string).removeprefix("Error : ").rstrip(".")
    vague = words.startswith(("Unspecified", "unknown", "Supported file format", "File does not exist"))
    return "" if vague else f" ({words})"
