"""Audio: every kind of file and array becomes the same Clip, or an error with its own sentence."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asrdemo.audio import as_float32, encode_wav, peaks, read_clip
from asrdemo.audio import ffmpeg as ffmpeg_module
from asrdemo.audio.containers import identify, mpeg_frame
from asrdemo.errors import AudioError, MissingFfmpegError
from asrdemo.settings import Settings
from asrdemo.types import SAMPLE_RATE, Clip

LIMITS = Settings()
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def sine(
    rate: int = 16_000, seconds: float = 1.0, channels: int = 1, level: float = 0.5, hertz: float = 440
) -> np.ndarray:
    mono = (level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)
    return mono if channels == 1 else np.repeat(mono[:, None], channels, axis=1)


def written(samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def encoded(tmp_path: Path, ending: str, samples: np.ndarray, rate: int, *options: str) -> Path:
    """A file that only ffmpeg can write. Skips if this ffmpeg lacks the encoder."""
    source, target = tmp_path / "source.wav", tmp_path / f"sound.{ending}"
    source.write_bytes(written(samples, rate))
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), *options, str(target)]
    if subprocess.run(command, capture_output=True, timeout=60).returncode != 0:
        pytest.skip(f"this ffmpeg cannot write {ending}")
    return target


def loudest_hertz(clip: Clip) -> float:
    spectrum = np.abs(np.fft.rfft(clip.samples * np.hanning(len(clip.samples))))
    return float(spectrum.argmax()) * SAMPLE_RATE / len(clip.samples)


def assert_is_the_tone(clip: Clip, seconds: float = 1.0, level: float = 0.5, slack: float = 0.05) -> None:
    assert clip.samples.dtype == np.float32 and clip.samples.ndim == 1 and clip.samples.flags.c_contiguous
    assert clip.duration == pytest.approx(seconds, abs=slack)
    assert loudest_hertz(clip) == pytest.approx(440, abs=3)
    middle = clip.samples[len(clip.samples) // 4 : -len(clip.samples) // 4]
    assert float(np.abs(middle).max()) == pytest.approx(level, rel=0.08)


def refused(source: object, **settings: object) -> str:
    """The message of the AudioError that this source must end in."""
    with pytest.raises(AudioError) as caught:
        read_clip(source, settings=replace(LIMITS, **settings) if settings else LIMITS)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and "/" not in message.replace("full scale (-80 dB)", "")
    return message


# What can be read


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels(rate: int, channels: int) -> None:
    assert_is_the_tone(read_clip(written(sine(rate, channels=channels), rate)), slack=0.001)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
        ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"),
        ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_24"),
        ("FLAC", "PCM_S8"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("MP3", None),
        ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"), ("NIST", "PCM_16"),
    ],
)  # fmt: skip
def test_formats_of_libsndfile(format: str, subtype: str | None, tmp_path: Path) -> None:
    path = tmp_path / "name without meaning.bin"
    path.write_bytes(written(sine(16_000), 16_000, format, subtype))
    clip = read_clip(path)
    assert_is_the_tone(clip)
    assert clip.name == "name without meaning.bin"
    assert np.array_equal(clip.samples, read_clip(path.read_bytes()).samples)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("m4a", ()), ("mp4", ()), ("mov", ()), ("webm", ()), ("mka", ("-c:a", "flac")), ("aac", ()), ("wma", ()),
        ("avi", ("-c:a", "mp3")), ("ts", ("-c:a", "aac")), ("3gp", ("-c:a", "aac")),
        ("flv", ("-ar", "44100", "-c:a", "mp3")),
        ("wav", ("-c:a", "mp3")), ("wv", ()), ("tta", ()), ("spx", ("-c:a", "libspeex")), ("oga", ("-c:a", "flac")),
        ("aiff", ("-c:a", "adpcm_ima_qt")), ("m4a", ("-c:a", "alac", "-movflags", "+faststart")), ("mp2", ()),
    ],
)  # fmt: skip
def test_formats_of_ffmpeg(ending: str, options: tuple[str, ...], tmp_path: Path) -> None:
    path = encoded(tmp_path, ending, sine(48_000, channels=2), 48_000, *options)
    assert_is_the_tone(read_clip(path), slack=0.15)
    assert_is_the_tone(read_clip(path.read_bytes(), name="C:\\fakepath\\voice.m4a"), slack=0.15)


@needs_ffmpeg
def test_a_film_gives_its_sound(tmp_path: Path) -> None:
    options = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1")
    path = encoded(tmp_path, "mp4", sine(44_100), 44_100, *options)
    assert_is_the_tone(read_clip(path), slack=0.1)


def test_blocks_join_without_a_seam() -> None:
    sound = np.random.default_rng(1).standard_normal(44_100 * 4).astype(np.float32) * 0.1
    clip = read_clip(written(sound, 44_100, subtype="FLOAT"))
    whole = soxr.resample(sound, 44_100, SAMPLE_RATE, "HQ")
    assert len(clip.samples) == len(whole) and np.allclose(clip.samples, whole, atol=1e-5)


def test_16_khz_mono_is_left_as_it_is() -> None:
    sound = np.random.default_rng(2).integers(-20_000, 20_000, 30_000).astype(np.int16)
    assert np.array_equal(read_clip((16_000, sound)).samples * 32_768, sound)
    assert np.array_equal(read_clip(written(sound, 16_000)).samples * 32_768, sound)


def test_a_flac_of_unknown_length_is_read(tmp_path: Path) -> None:
    data = bytearray(written(sine(), 16_000, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # samples in STREAMINFO: none, as an encoder writes to a pipe
    assert_is_the_tone(read_clip(bytes(data)))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_recorded_to_a_pipe_is_read(size: int) -> None:
    data = bytearray(written(sine(), 16_000))
    data[40:44] = struct.pack("<I", size)
    assert_is_the_tone(read_clip(bytes(data)))


def test_tags_and_padding_before_an_mp3() -> None:
    sound = written(sine(44_100, 2.0), 44_100, "MP3")
    tag = b"ID3\x04\0\0" + bytes([0, 0, 0x4F, 0x10]) + bytes(0x4F * 128 + 0x10)
    assert_is_the_tone(read_clip(tag + sound), 2.0)
    if shutil.which("ffmpeg"):
        assert_is_the_tone(read_clip(bytes(1000) + sound), 2.0, slack=0.15)


def test_rubbish_within_an_mp3(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = written(sine(44_100, 4.0), 44_100, "MP3")
    spoilt = sound[: len(sound) // 2] + bytes(5_000) + sound[len(sound) // 2 :]
    if shutil.which("ffmpeg"):
        assert_is_the_tone(read_clip(spoilt), 4.0, slack=0.1)
    monkeypatch.setenv("PATH", "")
    assert "decoding stopped between" in refused(spoilt)


def test_channels_that_cancel_each_other_are_not_lost() -> None:
    left = sine(44_100)
    both = np.stack([left, -left], axis=1)
    assert_is_the_tone(read_clip((44_100, both)), slack=0.001)
    assert_is_the_tone(read_clip(written(both, 44_100)), slack=0.001)


def test_a_silent_channel_halves_the_level_and_no_more() -> None:
    both = np.stack([sine(), np.zeros(16_000, np.float32)], axis=1)
    assert_is_the_tone(read_clip((16_000, both)), level=0.25)


# The microphone


@pytest.mark.parametrize(
    ("dtype", "zero", "full"),
    [
        ("int8", 0, 2**7), ("uint8", 2**7, 2**7), ("int16", 0, 2**15), ("uint16", 2**15, 2**15), ("int32", 0, 2**31),
        ("uint32", 2**31, 2**31), ("int64", 0, 2**15), ("int64", 0, 2**31), ("int64", 0, 2**63), (">i2", 0, 2**15),
        ("float16", 0, 1), ("float32", 0, 1), ("float64", 0, 1), ("longdouble", 0, 1), (">f4", 0, 1),
    ],
)  # fmt: skip
def test_any_number_type(dtype: str, zero: int, full: int) -> None:
    sound = sine().astype(np.float64) * full + zero
    clip = read_clip((16_000, sound.astype(dtype)))
    assert_is_the_tone(clip)
    assert abs(float(clip.samples.mean())) < 0.01


@pytest.mark.parametrize("shape", [(16_000,), (16_000, 1), (16_000, 2), (2, 16_000), (1, 16_000), (8, 16_000)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    sound = sine()
    array = np.broadcast_to(sound if shape[-1] == 16_000 else sound[:, None], shape)
    assert np.allclose(read_clip((16_000, array)).samples, sound, atol=1e-6)


def test_overshoot_stays_and_other_units_are_scaled() -> None:
    assert np.abs(read_clip((16_000, sine(level=1.3))).samples).max() == pytest.approx(1.3, rel=1e-3)
    assert np.abs(read_clip((16_000, sine(level=20_000))).samples).max() == pytest.approx(1.0, rel=1e-3)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.integers(1_000, 384_000),
    st.integers(1, 4),
    st.sampled_from(["u1", "i2", "i4", "f4", "f8"]),
    st.integers(0, 9_999),
)
def test_any_recording_keeps_its_length(rate: int, channels: int, dtype: str, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-0.9, 0.9, (rate // 4 + seed, channels))
    if dtype[0] == "f":
        array = noise.astype(dtype)
    else:
        scale = 127 if dtype == "u1" else np.iinfo(dtype).max
        array = (noise * scale + (128 if dtype == "u1" else 0)).astype(dtype)
    clip = read_clip((rate, array))
    assert clip.duration == pytest.approx(len(array) / rate, abs=2 / SAMPLE_RATE + 2 / rate)
    assert np.isfinite(clip.samples).all() and np.abs(clip.samples).max() <= 2.0


@pytest.mark.parametrize("dtype", ["bool", "complex64", "object", "U1", "datetime64[s]"])
def test_arrays_that_are_no_numbers(dtype: str) -> None:
    assert "expected integers or floats" in refused((16_000, np.zeros(16_000, np.int8).astype(dtype)))


def test_as_float32_leaves_float32_alone() -> None:
    sound = sine()
    assert as_float32(sound) is sound


# What cannot be read: each its own sentence


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "There is no recording yet"),
        (b"", "is empty (0 bytes)"),
        (written(np.zeros(0), 16_000), "is empty: it has a header, but no samples"),
        ((16_000, np.zeros(0, np.int16)), "is empty: it has no samples"),
        ((16_000, np.zeros((0, 2), np.int16)), "is empty: it has no samples"),
        ((16_000, np.zeros(16_000, np.int16)), "is silent"),
        ((16_000, np.full(16_000, 0.25, np.float32)), "is silent"),  # a constant is silence too
        ((44_100, np.full(44_100, 1e-5)), "is silent"),
        (written(np.zeros(16_000), 16_000, "FLAC"), "is silent"),
        ((16_000, sine(seconds=0.04)), "is too short: 0.040 s"),
        ((16_000, np.zeros((2, 3, 4), np.int16)), "has shape (2, 3, 4)"),
        ((16_000, np.zeros((100, 100), np.int16)), "at most 64 channels"),
        ((16_000, np.float32(1.0)), "has shape ()"),
        ((0, sine()), "sampled at 0 Hz; expected 1,000 to 384,000 Hz"),
        ((-16_000, sine()), "sampled at -16,000 Hz"),
        ((4_000_000_000, sine()), "sampled at 4,000,000,000 Hz"),
        ((float("nan"), sine()), "sampled at nan Hz"),
        ((16_000.5, sine()), "expected a whole number"),
        ((10**400, sine()), "sampled at 10,000,000,000"),
        ((np.complex64(16_000), sine()), "expected (sampling rate in Hz, samples)"),
        ((True, sine()), "expected (sampling rate in Hz, samples)"),
        (("16000", sine()), "expected (sampling rate in Hz, samples)"),
        ((sine(), 16_000), "expected (sampling rate in Hz, samples)"),
        ((16_000, sine(), 1), "expected (sampling rate in Hz, samples)"),
        (sine(), "Got ndarray; expected a path, bytes or (rate, samples)"),
        ("https://example.org/a.wav", "Web addresses are not fetched"),
        ("no such folder\0", "cannot be opened: its path is not valid"),
        ("x" * 5_000, "cannot be opened"),
    ],
    ids=str,
)
def test_refusals(source: object, sentence: str) -> None:
    assert sentence in refused(source)


def test_silence_is_let_through_where_asked() -> None:
    assert read_clip((16_000, np.zeros(16_000, np.int16)), allow_silent=True).duration == 1.0
    quiet = read_clip((16_000, sine(level=0.0002)))  # -74 dB: quiet, but there
    assert quiet.duration == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_not_numbers(bad: float, channels: int) -> None:
    sound = sine(44_100, 2.0, channels)
    sound[44_100 + 4_410] = bad
    for source in ((44_100, sound), written(sound, 44_100, subtype="FLOAT")):
        assert "NaN or infinite), the first at 1.10 s" in refused(source)


def test_floats_beyond_float32() -> None:
    assert "not numbers" in refused((16_000, sine().astype(np.float64) * 1e300))
    sound = np.sign(sine(44_100)) * np.float32(3.4e38)
    assert "absurd size" in refused((44_100, sound))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"just some words, no sound\n" * 50, "text"),
        ("Zażółć gęślą jaźń. ".encode() * 1000, "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "a PNG image"),
        (b"PK\x03\x04" + bytes(500), "a ZIP archive or office document"),
        (b"%PDF-1.7\n" + bytes(500), "a PDF document"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"#EXTM3U\nhttp://example.org/a.ts\n", "a playlist"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "a playlist"),
        (bytes(10_000), "nothing but zero bytes"),
        (np.random.default_rng(3).bytes(10_000), "in no format known here"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(100), "in no format known here"),
        (b"\xff", "in no format known here"),
        (b"ID3", "text"),
    ],
)
def test_what_is_not_audio_is_named(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    assert refused(path).startswith(f"speech.wav is not audio: it is {what}.")


def test_places_that_are_no_files(tmp_path: Path) -> None:
    assert "There is no file gone.wav" in refused(tmp_path / "gone.wav")
    assert "is a folder" in refused(tmp_path)
    assert "is a device or a pipe" in refused("/dev/zero")
    assert "There is no file" in refused(tmp_path / "gone" / "file.wav")
    (tmp_path / "file").write_bytes(b"x")
    assert "cannot be opened" in refused(tmp_path / "file" / "inside.wav")


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


WAV = written(sine(), 16_000)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (patched(WAV, 24, bytes(4)), "sampled at 0 Hz"),
        (patched(WAV, 24, b"\xff" * 4), "sampled at 4,294,967,295 Hz"),
        (patched(WAV, 24, struct.pack("<I", 999)), "sampled at 999 Hz"),
        (patched(WAV, 22, b"\xff\0"), "has 255 channels"),
        (patched(WAV, 22, bytes(2)), "has 0 channels"),
        (patched(WAV, 40, struct.pack("<I", 320_000)), "truncated: its header says 10.0 s, the file holds 1.0 s"),
        (patched(WAV, 40, struct.pack("<I", 0x7FFF0000)), "truncated: its header says"),
        (patched(WAV, 40, bytes(4)), "but no samples"),
        (patched(WAV, 34, struct.pack("<H", 77)), "damaged"),
        (WAV[:12], "wav"),
        (WAV[:30], "wav"),
        (patched(written(sine(), 16_000, "FLAC"), 18, bytes(3)), "sampled at"),
        (patched(written(sine(), 16_000, "AU"), 16, b"\xff" * 4), "sampled at 4,294,967,295 Hz"),
        (patched(written(sine(), 16_000, "AU"), 20, b"\0\0\xff\xff"), "has 65535 channels"),
    ],
)
def test_absurd_headers(data: bytes, sentence: str) -> None:
    with pytest.raises(AudioError) as caught:
        read_clip(data, name="a.wav")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("format", ["WAV", "RF64", "AIFF", "AU", "NIST", "FLAC", "MP3", "OGG", "CAF"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_truncated(format: str, part: float) -> None:
    rng = np.random.default_rng(4)  # noise, so that every format needs bytes for every second
    data = written(rng.uniform(-0.5, 0.5, 16_000 * 4), 16_000, format)
    message = refused(data[: int(len(data) * part)])
    assert "truncated" in message or (format == "CAF" and "damaged" in message)
    if format in ("WAV", "RF64", "AIFF", "AU", "NIST"):
        assert f"says 4.0 s, the file holds {part * 4:.1f} s" in message


def test_a_cut_last_moment_is_forgiven() -> None:
    assert_is_the_tone(read_clip(WAV[:-1_000]), 0.97, slack=0.01)  # 31 ms


@needs_ffmpeg
@pytest.mark.parametrize("ending", ["m4a", "webm", "mp4", "mka"])
@pytest.mark.parametrize("options", [(), ("-movflags", "+faststart")])
def test_truncated_for_ffmpeg(ending: str, options: tuple[str, ...], tmp_path: Path) -> None:
    data = encoded(
        tmp_path, ending, sine(48_000, 3.0), 48_000, *(options if ending in ("m4a", "mp4") else ())
    ).read_bytes()
    for part in (0.2, 0.5, 0.9):
        assert "truncated" in refused(data[: int(len(data) * part)])


# Limits


def test_size_and_length_limits() -> None:
    big = written(sine(seconds=40), 16_000)  # 1.2 MB
    assert "at most 1 MB" in refused(big, max_upload_mb=1)
    assert "at most 30.0 s" in refused(big, max_duration_s=30)
    assert "at most 30.0 s" in refused((16_000, sine(seconds=40)), max_duration_s=30)


def test_a_header_that_says_less_than_there_is_does_not_get_round_the_limit() -> None:
    data = bytearray(written(sine(seconds=40), 16_000, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert "at most 30.0 s" in refused(bytes(data), max_duration_s=30)


def test_a_long_file_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(sine(seconds=40), 16_000, "FLAC")
    monkeypatch.setattr("asrdemo.audio.read._decode", lambda *_: pytest.fail("decoded"))
    assert "at most 30.0 s" in refused(data, max_duration_s=30)


def test_a_long_file_never_lies_in_memory_whole(tmp_path: Path) -> None:
    path, seconds = tmp_path / "long.wav", 300
    with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_U8") as file:
        for _ in range(seconds):
            file.write(sine(44_100, channels=2))
    read_clip(WAV)  # what is allocated once
    tracemalloc.start()
    clip = read_clip(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clip.duration == seconds
    assert peak < clip.samples.nbytes + (12 << 20), f"{peak >> 20} MB"  # decoded at once it would be 106 MB


# ffmpeg, locked down


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


M4A = b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + b"\0\0\0\x08free"


def test_without_ffmpeg_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        MissingFfmpegError, match=r"voice.m4a \(MPEG-4 \(m4a, mp4\)\) .* not installed .*apt install ffmpeg"
    ):
        read_clip(M4A, name="voice.m4a")
    for format in ("WAV", "FLAC", "MP3", "OGG"):  # these need no system package
        assert_is_the_tone(read_clip(written(sine(), 16_000, format)))


def test_ffmpeg_is_stopped_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, f'echo $$ > "{tmp_path}/pid"; exec sleep 60')
    began = time.monotonic()
    assert "took longer than 1 s" in refused(M4A, ffmpeg_timeout_s=1)
    assert time.monotonic() - began < 10
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_ffmpeg_cannot_flood_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "".join(f"\\{byte:03o}" for byte in struct.pack(">4sIIIII", b".snd", 24, 0xFFFFFFFF, 6, 16_000, 1))
    fake_ffmpeg(tmp_path, monkeypatch, f"printf '{header}'; exec cat /dev/zero")
    assert "at most 30.0 s" in refused(M4A, max_duration_s=30)


def test_ffmpeg_complaints_do_not_block_it_or_reach_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, "head -c 3000000 /dev/zero >&2; echo /srv/secret >&2; exit 1")
    assert "ffmpeg could not decode it" in refused(M4A)


def test_the_ffmpeg_command_opens_one_local_file_with_one_demuxer(tmp_path: Path) -> None:
    for content in (M4A, b"\x1a\x45\xdf\xa3" + bytes(100)):
        command = ffmpeg_module.command(tmp_path / "-i concat:a|b", identify(io.BytesIO(content), "a"), 10)
        pairs = dict(zip(command, command[1:], strict=False))
        assert "-nostdin" in command and pairs["-protocol_whitelist"] == "file"
        assert pairs["-f"] and pairs["-format_whitelist"] in ("mov", "matroska")
        assert pairs["-i"] == f"file:{tmp_path}/-i concat:a|b" and pairs["-t"] == "10.000"
        assert command.index("-protocol_whitelist") < command.index("-i")


@needs_ffmpeg
@pytest.mark.parametrize("name", ["-i.m4a", "concat:a|b.m4a", "http:x.m4a", "%03d.m4a", "a b'\"$(id).m4a", "ünï.m4a"])
def test_odd_file_names_mean_nothing_to_ffmpeg(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(tmp_path, "m4a", sine(), 16_000)
    monkeypatch.chdir(tmp_path)
    clip = read_clip(path.rename(tmp_path / name).relative_to(tmp_path))
    assert_is_the_tone(clip, slack=0.15)
    assert clip.name == name


@needs_ffmpeg
def test_a_film_without_sound(tmp_path: Path) -> None:
    options = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1", "-map", "1:v")
    assert "has no sound track" in refused(encoded(tmp_path, "mp4", sine(), 16_000, *options))


# Names, writing, drawing


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/srv/app/secret/a.wav", "a.wav"), ("C:\\Users\\me\\b.wav", "b.wav"), ("a\nb\x1b[31m.wav", "a b [31m.wav"),
     ("", "audio"), ("///", "audio"), ("x" * 300, "x" * 100), ("日本.wav", "日本.wav")],
)  # fmt: skip
def test_a_clip_never_shows_a_path(name: str, shown: str) -> None:
    assert read_clip(WAV, name=name).name == shown


def test_encode_wav_comes_back() -> None:
    clip = read_clip((44_100, sine(44_100, 1.5)))
    data = encode_wav(clip)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == SAMPLE_RATE and np.allclose(samples, clip.samples, atol=1 / 32_000)
    assert np.allclose(read_clip(data).samples, clip.samples, atol=1 / 32_000)
    loud, _ = soundfile.read(io.BytesIO(encode_wav(Clip(np.array([1.5, -1.5], np.float32)))))
    assert loud == pytest.approx([1.0, -1.0], abs=1e-4)  # clipped, not wrapped round


@hypothesis_settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 600))
def test_peaks_bound_every_stretch(samples: int, buckets: int) -> None:
    sound = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    found = peaks(Clip(sound), buckets)
    assert found.shape == (min(samples, buckets), 2) and found.dtype == np.float32
    if samples:
        assert found[:, 0].min() == sound.min() and found[:, 1].max() == sound.max()
        assert (found[:, 0] <= found[:, 1]).all()
    if samples and samples <= buckets:
        assert np.array_equal(found[:, 0], sound)


@pytest.mark.parametrize(
    ("header", "rate", "samples", "size"),
    [  # from the standard: MPEG-1 layer III 128 kb/s 44.1 kHz, MPEG-2 layer III 64 kb/s 22.05 kHz, 2.5, layer II
        (b"\xff\xfb\x90\x00", 44_100, 1152, 417),
        (b"\xff\xf3\x80\xc4", 22_050, 576, 208),
        (b"\xff\xe3\x18\xc4", 8_000, 576, 72),
        (b"\xff\xfd\xa4\x00", 48_000, 1152, 576),
    ],
)
def test_mpeg_frame_headers(header: bytes, rate: int, samples: int, size: int) -> None:
    frame = mpeg_frame(header)
    assert frame is not None and (frame.rate, frame.samples, frame.size) == (rate, samples, size)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_identified_or_refused(data: bytes) -> None:
    read: Callable[[], object] = lambda: read_clip(data, name="a")  # noqa: E731
    try:
        assert isinstance(read(), Clip)
    except AudioError as error:
        assert str(error).startswith("a ")
