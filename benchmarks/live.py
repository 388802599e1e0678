"""What live captions cost: compute per second of audio, minute by minute, and agreement with the same audio as a file.

Two recordings of real clips: with a pause of about a second between sentences, as one speaks into a microphone, and
without any, the worst case for a method that likes to cut at pauses. Blocks of 0.5 s at 48 kHz, as a browser sends.
"""

from __future__ import annotations

import resource
import time

import numpy as np
import soxr

from asrdemo import audio
from asrdemo.acoustic import ModelCache
from asrdemo.live import LiveSession
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.transcribe import Transcriber
from asrdemo.types import SAMPLE_RATE, DecoderOptions
from benchmarks.common import Options, real_clips, table
from benchmarks.throughput import DEMO, _threads
from evals.score import words

RATE = 48_000
BLOCK = RATE // 2


def report(options: Options) -> str:
    """Markdown: cost by minute, and the summary of both recordings."""
    spec = CheckpointSpec(id="demo-en", title="", language="en", profile="en", path=DEMO)
    transcriber = Transcriber(Registry({spec.id: spec}), cache=ModelCache(1, "cpu", "auto"), keep_bytes=0)
    greedy = DecoderOptions(kind="greedy")
    columns: dict[str, list[float]] = {}
    summary = []
    with _threads(options.threads):
        transcriber.model(spec.id)
        for name, gap in (("pauses", 1.0), ("no pauses", 0.0)):
            recording = soxr.resample(talk(options.minutes * 60, gap), SAMPLE_RATE, RATE)
            session = LiveSession(transcriber, spec.id, greedy)
            costs, delays, grown = stream(session, recording)
            live = session.finish().text
            file = transcriber.transcribe([audio.read_clip((RATE, recording))], spec.id, greedy)[0].text
            agreement = words(file, live)
            columns[name] = costs
            same = agreement.hits / max(agreement.reference, agreement.hits + agreement.insertions, 1)
            ratio = f"{costs[-1] / costs[0]:.2f}"
            summary.append(
                [name, agreement.reference, f"{100 * same:.2f} %", ratio, f"{max(delays):.2f} s", f"{grown:.0f} MB"]
            )
    minutes = [
        [i + 1, *(f"{1000 * column[i]:.1f}" if i < len(column) else "" for column in columns.values())]
        for i in range(max(map(len, columns.values())))
    ]
    return "\n\n".join(
        [
            f"demo-en, greedy, {options.threads} threads, {options.minutes:g} minutes of real clips each.",
            table(
                ["recording", "words as a file", "equal words", "last / first minute", "longest push", "memory grown"],
                summary,
            ),
            "Compute per second of audio (ms), by minute:",
            table(["minute", *columns], minutes),
        ]
    )


def talk(seconds: float, gap: float) -> np.ndarray:
    """Real clips one after the other, as often as needed, with quiet room noise between them."""
    rng = np.random.default_rng(0)
    clips = [audio.read_clip(path).samples for path, _ in real_clips(150)]
    order = rng.permutation(len(clips))
    parts: list[np.ndarray] = []
    length = 0
    while length < seconds * SAMPLE_RATE:
        samples = clips[order[len(parts) % len(order)]]
        noise = rng.normal(0, 1e-4, round(gap * rng.uniform(0.7, 1.3) * SAMPLE_RATE)).astype(np.float32)
        parts.append(np.concatenate([samples, noise]))
        length += len(parts[-1])
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


def stream(session: LiveSession, recording: np.ndarray) -> tuple[list[float], list[float], float]:
    """Push a recording at RATE block by block. Returns compute seconds per audio second in each minute, wall seconds
    of each push, and the MB by which the peak of memory grew after the first minute."""
    per_minute = 60 * RATE // BLOCK
    costs, delays, before, after_first = [], [], 0.0, 0
    for i, at in enumerate(range(0, len(recording), BLOCK)):
        began = time.perf_counter()
        said = session.push((RATE, recording[at : at + BLOCK]))
        delays.append(time.perf_counter() - began)
        if (i + 1) % per_minute == 0 or at + BLOCK >= len(recording):
            blocks = i % per_minute + 1
            costs.append((said.compute_seconds - before) / (blocks * BLOCK / RATE))
            before = said.compute_seconds
            after_first = after_first or _peak()
    return costs, delays, (_peak() - after_first) / 1024


def _peak() -> int:
    """Peak resident memory of this process so far, in KiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
