"""What an hour costs over a minute: memory added and speed kept, each length in a process of its own.

Real recordings are joined with short pauses. Targets: 60 minutes add at most 500 MB over 1 minute and keep at least
0.9 of its RTFx (audio seconds per wall second).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.common import ROOT, Options, real_clips, table

RATE = 16_000  # Hz
PAUSE = 0.4  # seconds between two recordings
MINUTES = (1, 10, 60)


def recording(minutes: float) -> np.ndarray:
    """Real clips one after another, in a fixed order, again from the start when they run out. float32, 16 kHz."""
    import soundfile as sf
    import soxr

    paths = [path for path, _ in real_clips(400)]
    whole = np.zeros(int(minutes * 60 * RATE), np.float32)
    at, turn = 0, 0
    while at < len(whole):
        samples, rate = sf.read(paths[turn % len(paths)], dtype="float32")
        samples = samples if rate == RATE else soxr.resample(samples, rate, RATE)
        part = samples[: len(whole) - at]
        whole[at : at + len(part)] = part
        at, turn = at + len(part) + int(PAUSE * RATE), turn + 1
    return whole


def peak_mb() -> float:
    """The most memory this process has held so far (resident), in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(minutes: float, threads: int, precision: str) -> dict[str, float | str]:
    """Hear one recording of that length in this process, with demo-en."""
    import torch

    from asrdemo import registry
    from asrdemo.acoustic import load
    from asrdemo.types import Clip

    torch.set_num_threads(threads)
    model = load(registry.read().checkpoint("demo-en"), "cpu", precision)
    model.emissions([Clip(recording(0.5))])  # warm up, before the clock
    clip = Clip(recording(minutes))
    began = time.perf_counter()
    heard = model.emissions([clip])[0]
    seconds = time.perf_counter() - began
    return {
        "rtfx": clip.duration / seconds,
        "peak_mb": peak_mb(),
        "cuts": len(heard.cuts),
        "precision": model.precision,
    }


def in_a_process_of_its_own(minutes: float, threads: int, precision: str) -> dict[str, float | str]:
    """`measure`, where nothing has used memory before."""
    call = f"measure({minutes}, {threads}, {precision!r})"
    code = f"import json; from benchmarks.long_audio import measure; print(json.dumps({call}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def report(options: Options) -> str:
    """Markdown: one row for each length."""
    found: list[dict] = []
    for minutes in MINUTES:
        chosen = found[0]["precision"] if found else "auto"  # all lengths in the precision that the first one chose
        found.append(in_a_process_of_its_own(minutes, options.threads, chosen))
    first = found[0]
    rows = [
        [
            minutes,
            f"{row['rtfx']:.1f}",
            f"{row['rtfx'] / first['rtfx']:.2f}",
            f"{row['peak_mb']:.0f}",
            f"{row['peak_mb'] - first['peak_mb']:.0f}",
            row["cuts"],
        ]
        for minutes, row in zip(MINUTES, found, strict=True)
    ]
    header = ["minutes", "RTFx", "share of 1 minute's", "peak MB", "MB over 1 minute", "cuts"]
    return f"demo-en, {first['precision']}, {options.threads} threads.\n\n" + table(header, rows)
