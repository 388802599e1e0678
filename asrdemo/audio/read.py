"""read_clip: whatever a user brings becomes a Clip, or an AudioError that says why not."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from asrdemo import settings as settings_module
from asrdemo.audio import ffmpeg
from asrdemo.audio.collect import MAX_CHANNELS, SILENCE, Collector, Signal, as_float32, check_format, check_length
from asrdemo.audio.containers import Container, identify
from asrdemo.audio.cut import missing_bytes
from asrdemo.audio.decoders import BLOCK_SAMPLES, Stream, TryFfmpeg, open_libsndfile
from asrdemo.audio.headers import Promise, promise
from asrdemo.errors import AudioError
from asrdemo.settings import Settings
from asrdemo.types import Clip

MIN_SECONDS = 0.05  # shorter than any spoken sound; wav2vec2 itself needs 0.025
MISSING_SECONDS = 0.1  # less than this missing at the end (encoder delay, a cut last frame) loses no word
_NAME_LENGTH = 100  # characters
_LEAST_BITRATE = 2_000  # bits a second: a file smaller than this cannot hold what its header says


def read_clip(
    source: str | os.PathLike[str] | bytes | tuple[int, np.ndarray] | None,
    name: str | None = None,
    settings: Settings | None = None,
    *,
    allow_silent: bool = False,
) -> Clip:
    """A recording as mono float32 at 16 kHz; several channels are averaged.

    source: path of a local file, the bytes of one, or (rate in Hz, samples) as a microphone gives it: any integer or
        float type, shape = (n,), (n, channels) or (channels, n). None, as an empty input field gives it, is an error.
    name: what to call it, by default the file's base name. Only its last path component is ever shown.
    settings: limits on size (MB) and duration (s); by default those of the environment.
    allow_silent: accept digital silence, as live captions must.

    Raises AudioError (MissingFfmpegError where installing ffmpeg would help), each with its own sentence, for what
    is missing, empty, truncated, damaged, silent, too short, too long, too big, not audio, or not numbers.
    """
    limits = settings or settings_module.read()
    if source is None:
        raise AudioError("There is no recording yet. Record something, or choose a file.")
    if isinstance(source, tuple):
        return _from_array(source, _shown(name or "recording"), limits, allow_silent)
    if isinstance(source, bytes):
        shown = _shown(name or "audio")
        _check_size(len(source), limits, shown)
        with tempfile.NamedTemporaryFile(prefix="asrdemo-") as file:
            file.write(source)
            file.flush()
            return _from_file(Path(file.name), shown, limits, allow_silent)
    if not isinstance(source, (str, os.PathLike)):
        raise AudioError(f"Got {type(source).__name__}; expected a path, bytes or (rate, samples).")
    path = os.fsdecode(source)
    if path.partition("://")[0] in ("http", "https", "ftp", "s3", "hf"):
        raise AudioError("Web addresses are not fetched. Download the recording and give the file.")
    return _from_file(Path(path), _shown(name or path), limits, allow_silent)


def _shown(name: str) -> str:
    """The last path component of a name, printable and of bounded length."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    text = " ".join("".join(c if c.isprintable() else " " for c in last).split())
    return text[:_NAME_LENGTH] or "audio"


def _check_size(size: int, limits: Settings, name: str) -> None:
    if size == 0:
        raise AudioError(f"{name} is empty (0 bytes). Record or export it again.")
    if size > limits.max_upload_mb << 20:
        raise AudioError(
            f"{name} has {size / (1 << 20):,.1f} MB; at most {limits.max_upload_mb} MB is accepted here. "
            "Cut it into parts, or convert it to mp3, ogg or flac."
        )


def _size_of(path: Path, name: str) -> int:
    """Size in bytes of a plain file that can be read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise AudioError(f"There is no file {name}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or "its path is not valid"
        raise AudioError(f"{name} cannot be opened: {reason}.") from None
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"{name} is a folder; expected an audio file.")
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"{name} is a device or a pipe; expected an audio file.")
    return found.st_size


def _from_file(path: Path, name: str, limits: Settings, allow_silent: bool) -> Clip:
    size = _size_of(path, name)
    _check_size(size, limits, name)
    try:
        with path.open("rb") as file:
            container = identify(file, name)
            header = promise(file, container, size)
            missing = missing_bytes(file, container, size)
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror}.") from None
    if header.rate is not None and header.channels is not None:
        check_format(header.rate, header.channels, name)
    if header.seconds is not None and size * 8 >= header.seconds * _LEAST_BITRATE:  # else the header is lying
        check_length(header.seconds, limits.max_duration_s, name)
    if missing:
        raise AudioError(
            f"{name} is truncated: it should go on for {missing:,} bytes or more after its end at {size:,} bytes. "
            "Copy or download it again."
        )
    return _clip(_decode(path, container, name, limits, header), name, allow_silent)


def _check_promise(header: Promise, seconds: float, name: str) -> None:
    if header.seconds is not None and seconds < header.seconds - MISSING_SECONDS:
        raise AudioError(
            f"{name} is truncated: its header says {header.seconds:,.1f} s, the file holds {seconds:,.1f} s. "
            "Copy or download it again."
        )


def _decode(path: Path, container: Container, name: str, limits: Settings, header: Promise) -> Signal:
    """Decode with libsndfile if it can, else with ffmpeg."""
    if container.libsndfile:
        try:
            return _collect(lambda: open_libsndfile(path, container, name), name, limits, header)
        except TryFfmpeg as reason:
            if reason.otherwise and not ffmpeg.available():
                raise reason.otherwise from None
    longest, timeout = limits.max_duration_s + 1, limits.ffmpeg_timeout_s  # a second more, to see that it is too long
    return _collect(lambda: ffmpeg.open_ffmpeg(path, container, name, longest, timeout), name, limits, header)


def _collect(
    opened: Callable[[], AbstractContextManager[Stream]], name: str, limits: Settings, header: Promise
) -> Signal:
    """All blocks of a stream, collected. A second pass takes one channel where the mean cancels itself out."""
    channel: int | None = None
    while True:
        with opened() as stream:
            check_format(stream.rate, stream.channels, name)
            collector = Collector(stream.rate, stream.channels, name, limits.max_duration_s, channel)
            for block in stream.blocks:
                collector.add(block)
        _check_promise(header, collector.seconds, name)
        signal = collector.finish()
        if signal.loudest_channel is None:
            return signal
        channel = signal.loudest_channel


def _from_array(source: tuple[int, np.ndarray], name: str, limits: Settings, allow_silent: bool) -> Clip:
    numbers = (int, float, np.integer, np.floating)
    if len(source) != 2 or isinstance(source[0], bool) or not isinstance(source[0], numbers):
        raise AudioError(f"{name}: expected (sampling rate in Hz, samples).")
    check_format(source[0], 1, name)  # before float(), which fails on very large integers
    rate = float(source[0])
    if rate != round(rate):
        raise AudioError(f"{name} says it was sampled at {rate:g} Hz; expected a whole number.")
    array = _frames_by_channels(np.asarray(source[1]), name)
    check_format(int(rate), array.shape[1], name)
    check_length(len(array) / rate, limits.max_duration_s, name)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize == 8 and array.dtype.kind != "f":
        array = as_float32(array)  # not numbers, or 64-bit integers, whose unit is judged over the whole recording
    return _clip(_collect(lambda: _open_array(array, int(rate)), name, limits, Promise()), name, allow_silent)


@contextmanager
def _open_array(array: np.ndarray, rate: int) -> Iterator[Stream]:
    """An array of shape (n, channels) as a Stream, so that it is converted a block at a time."""
    step = max(1, BLOCK_SAMPLES // array.shape[1])
    blocks = (as_float32(array[at : at + step]) for at in range(0, len(array), step))
    yield Stream(rate, array.shape[1], blocks)


def _frames_by_channels(array: np.ndarray, name: str) -> np.ndarray:
    """Samples as (n, channels), whichever way round they came: the shorter side is the channels."""
    if array.size == 0:
        raise AudioError(f"{name} is empty: it has no samples. Record it again.")
    if array.ndim == 1:
        return array[:, None]
    if array.ndim != 2:
        raise AudioError(f"{name} has shape {array.shape}; expected (samples,), (samples, channels).")
    if array.shape[1] <= MAX_CHANNELS:
        return array
    if array.shape[0] <= MAX_CHANNELS:
        return array.T
    raise AudioError(f"{name} has shape {array.shape}; expected at most {MAX_CHANNELS} channels.")


def _clip(signal: Signal, name: str, allow_silent: bool) -> Clip:
    """The last checks, on what was heard."""
    if signal.seconds == 0:
        raise AudioError(f"{name} is empty: it has a header, but no samples. Record or export it again.")
    if signal.seconds < MIN_SECONDS:
        raise AudioError(f"{name} is too short: {signal.seconds:.3f} s; at least {MIN_SECONDS} s is needed.")
    if not allow_silent and signal.swing < 2 * SILENCE:
        raise AudioError(
            f"{name} is silent: no sample differs from the rest by more than {SILENCE:g} of full scale (-80 dB). "
            "Check the microphone and its level."
        )
    return Clip(signal.samples, name)
