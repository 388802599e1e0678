"""At least 300 damaged files: every one ends in a transcript or in one of our errors, in bounded time and memory.

The files are genuine recordings (where ../shared/corpora is at hand) and clips of the demo corpus and of noise, in
every container, each mutated in every way below. Seeds are fixed: a failure names a file that can be made again.
ASRDEMO_FUZZ_ROUNDS=20 runs it longer.
"""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrdemo.acoustic import ModelCache
from asrdemo.audio import read_clip
from asrdemo.errors import AudioError
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.types import SAMPLE_RATE, Clip, DecoderOptions

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "corpora"
ROUNDS = int(os.environ.get("ASRDEMO_FUZZ_ROUNDS", "1"))
LIMITS = replace(Settings(), max_upload_mb=20, max_duration_s=120, ffmpeg_timeout_s=10)
SECONDS_A_FILE = 15  # reading; far above the usual 0.02 s (0.2 s with ffmpeg): a hang, not a busy machine
HEARD_SECONDS = 5  # of what can be read; the rest is as easy
GREEDY = DecoderOptions(kind="greedy")
MEMORY_MB = 300  # growth of the peak over all files

LIBSNDFILE = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("RF64", "PCM_24"), ("W64", "PCM_16"), ("FLAC", None),
    ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", None), ("AU", None), ("CAF", "ALAC_16"), ("NIST", None),
]  # fmt: skip
FFMPEG = ["m4a", "webm", "aac", "wma"]  # one of each family; more only cost time


def genuine() -> list[Path]:
    """Short genuine recordings of each corpus, and clips of the demo corpus."""
    folders = [SHARED / "an4" / "clips", SHARED / "speechocean762" / "clips"]
    folders += [SHARED / "cv-corpus-6.1-sample" / language / "clips" for language in ("en", "tr", "zh-CN")]
    folders += [ROOT / "demo" / "corpus" / "en" / "clips"]
    found = []
    for folder in folders:
        if folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.stat().st_size < 60_000)
            found += files[:: max(1, len(files) // 4)][:4]
    return found


def made(folder: Path) -> dict[str, bytes]:
    """One recording in every container: genuine speech if there is any, else noise in bursts."""
    source = next(iter(genuine()), None)
    if source:
        speech, rate = soundfile.read(source, dtype="float32")
    else:
        rate = SAMPLE_RATE
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, rate * 3)
        speech = (noise * (np.sin(np.arange(rate * 3) / 2_000) > 0)).astype(np.float32)
    seeds = {}
    for format, subtype in LIBSNDFILE:
        out = io.BytesIO()
        soundfile.write(out, np.stack([speech, speech], axis=1), rate, format=format, subtype=subtype)
        seeds[f"made.{format}.{subtype}"] = out.getvalue()
    if shutil.which("ffmpeg"):
        (folder / "seed.wav").write_bytes(seeds["made.WAV.PCM_16"])
        for ending in FFMPEG:
            target = folder / f"seed.{ending}"
            subprocess.run(
                ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(folder / "seed.wav"), str(target)],
                check=True, timeout=60,
            )  # fmt: skip
            seeds[f"made.{ending}"] = target.read_bytes()
    return seeds


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return {**{path.name: path.read_bytes() for path in genuine()}, **made(tmp_path_factory.mktemp("seeds"))}


def flip_bits(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    for _ in range(rng.choice([1, 3, 30])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flip_header(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    for _ in range(rng.choice([1, 2, 5])):
        data[rng.randrange(min(100, len(data)))] ^= 1 << rng.randrange(8)
    return bytes(data)


def absurd_field(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    value = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFF00, 0x00FF00FF, 384_001])
    at = rng.randrange(4, min(200, len(data) - 4))
    data[at : at + 4] = struct.pack(rng.choice("<>") + "I", value)
    return bytes(data)


def truncate(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    return bytes(data[: rng.choice([rng.randrange(64), rng.randrange(len(data)), len(data) - rng.randrange(1, 500)])])


def cut_out(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 5_000)]
    return bytes(data)


def zero_out(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, 5_000))
    data[start:stop] = bytes(stop - start)
    return bytes(data)


def insert_noise(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    at = rng.choice([0, rng.randrange(len(data)), len(data)])
    data[at:at] = rng.randbytes(rng.randrange(1, 3_000))
    return bytes(data)


def join(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    return bytes(data) + rng.choice(others)


def splice(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    """The head of one file on the body of another."""
    return bytes(data[: rng.randrange(8, 400)]) + rng.choice(others)[rng.randrange(400) :]


def repeat_a_part(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 2_000)]
    data[start:start] = part * rng.randrange(1, 20)
    return bytes(data)


MUTATIONS = (
    flip_bits,
    flip_header,
    absurd_field,
    truncate,
    cut_out,
    zero_out,
    insert_noise,
    join,
    splice,
    repeat_a_part,
)
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".sd2", ".raw", ".txt", "")


@pytest.fixture(scope="module")
def transcriber(tiny_checkpoint_layer: Path) -> Transcriber:
    """A network small enough to hear every file that can still be read."""
    spec = CheckpointSpec(id="tiny", title="", language="en", profile="en", path=tiny_checkpoint_layer)
    return Transcriber(Registry({"tiny": spec}), cache=ModelCache(1, "cpu", "fp32"), keep_bytes=0)


def outcome(path: Path, label: str, transcriber: Transcriber) -> str:
    """`transcript`, or the error's message. Fails for any other exception, for a hang and for a clip that is none."""
    began = time.monotonic()
    try:
        clip = read_clip(path, settings=LIMITS)
    except AudioError as error:
        message = str(error)
        assert str(path.parent) not in message and message.endswith("."), f"{label}: {message}"
        return message
    finally:
        took = time.monotonic() - began
        assert took < SECONDS_A_FILE, f"{label} took {took:.1f} s"
    assert isinstance(clip, Clip) and clip.samples.dtype == np.float32 and clip.samples.ndim == 1, label
    assert np.isfinite(clip.samples).all() and 0 < clip.duration <= LIMITS.max_duration_s + 1, label
    assert np.abs(clip.samples).max() <= 2.0, label
    start = Clip(clip.samples[: HEARD_SECONDS * SAMPLE_RATE], clip.name)
    words = transcriber.transcribe([start], "tiny", GREEDY)[0].best.words
    assert all(0 <= w.start <= w.end <= start.duration + 0.1 and 0 <= w.confidence <= 1 for w in words), label
    return "transcript"


def cases(
    seeds: dict[str, bytes], mutate: Callable[[bytearray, random.Random, list[bytes]], bytes]
) -> Iterator[tuple[str, bytes, str]]:
    """(label, content, file ending); the label is enough to make the file again."""
    others = list(seeds.values())
    for turn in range(ROUNDS):
        for name, data in seeds.items():
            label = f"{mutate.__name__}/{name}/{turn}"
            rng = random.Random(label)
            yield label, mutate(bytearray(data), rng, others), rng.choice(ENDINGS)


def test_there_are_enough_files(seeds: dict[str, bytes]) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("fewer containers without ffmpeg")
    assert SHARED.is_dir() is False or len(seeds) >= 30
    per_seed = len(MUTATIONS) + 1
    assert len(seeds) * per_seed >= (300 if SHARED.is_dir() else 150)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_a_damaged_file_ends_in_a_transcript_or_an_audio_error(
    mutate: Callable[..., bytes], seeds: dict[str, bytes], tmp_path: Path, transcriber: Transcriber
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends: dict[str, int] = {}
    for label, content, ending in cases(seeds, mutate):
        path = tmp_path / f"file{ending}"
        path.write_bytes(content)
        end = outcome(path, label, transcriber)
        ends[end] = ends.get(end, 0) + 1
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEMORY_MB, f"peak memory grew by {grown:.0f} MB"
    assert ends, "no file was tried"


def test_undamaged_seeds_are_heard_whatever_their_ending(
    seeds: dict[str, bytes], tmp_path: Path, transcriber: Transcriber
) -> None:
    for i, (name, content) in enumerate(seeds.items()):
        path = tmp_path / f"file{ENDINGS[i % len(ENDINGS)]}"
        path.write_bytes(content)
        assert outcome(path, name, transcriber) == "transcript", name


def test_random_bytes_after_every_magic(seeds: dict[str, bytes], tmp_path: Path, transcriber: Transcriber) -> None:
    path = tmp_path / "file.wav"
    for name, content in seeds.items():
        rng = random.Random(name)
        path.write_bytes(content[: rng.choice([4, 12, 16, 28, 44, 64])] + rng.randbytes(rng.randrange(20_000)))
        outcome(path, f"random/{name}", transcriber)
