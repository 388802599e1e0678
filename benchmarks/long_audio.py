"""What an hour costs over a minute: memory added and speed kept, each length in a process of its own.

    python -m benchmarks.long_audio [--checkpoint ID] [--minutes 1 60] [--threads 2]

Real recordings (../shared/corpora) are joined with short pauses; where there are none, the demo corpus. Targets: 60
minutes add at most 500 MB over 1 minute and keep at least 0.9 of its RTFx (audio seconds per wall second).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    ROOT.parent / "shared" / "corpora" / "an4" / "clips",
    ROOT.parent / "shared" / "corpora" / "speechocean762" / "clips",
    ROOT / "demo" / "corpus" / "en" / "clips",
)
RATE = 16_000
PAUSE = 0.4  # seconds between two recordings
MAX_ADDED_MB, MIN_SHARE = 500, 0.9


def recording(minutes: float) -> np.ndarray:
    """Real clips one after another, in a fixed order, again from the start when they run out. float32, 16 kHz."""
    import soundfile as sf
    import soxr

    folder_files = [sorted(folder.iterdir()) for folder in SOURCES if folder.is_dir()]
    if not folder_files:
        raise SystemExit("There is no speech to join: neither ../shared/corpora nor the demo corpus is here.")
    paths = [path for group in folder_files[:2] for path in group]
    np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
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


def measure(checkpoint: str, minutes: float, threads: int, precision: str) -> dict[str, float | str]:
    """Hear one recording of that length in this process."""
    import torch

    from asrdemo import registry
    from asrdemo.acoustic import load
    from asrdemo.registry import CheckpointSpec
    from asrdemo.types import Clip

    torch.set_num_threads(threads)
    folder = Path(checkpoint)
    if folder.is_dir():
        spec = CheckpointSpec(folder.name, folder.name, "en", "en", path=folder)
    else:
        spec = registry.read().checkpoint(checkpoint)
    model = load(spec, "cpu", precision)
    model.emissions([Clip(recording(0.5))])  # warm up, before the clock and before the memory baseline
    before = peak_mb()
    clip = Clip(recording(minutes))
    began = time.perf_counter()
    heard = model.emissions([clip])[0]
    seconds = time.perf_counter() - began
    return {
        "minutes": minutes,
        "rtfx": clip.duration / seconds,
        "peak_mb": peak_mb(),
        "added_mb": peak_mb() - before,
        "cuts": len(heard.cuts),
        "precision": model.precision,
    }


def main(argv: list[str] | None = None) -> int:
    """Print a table and whether the targets are met; returns 0 if they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--checkpoint", default="demo-en", help="an id of models.yaml, or a folder")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one is not None:
        print(json.dumps(measure(args.checkpoint, args.one, args.threads, args.precision)))
        return 0
    rows, precision = [], args.precision
    print(f"{'minutes':>8} {'RTFx':>8} {'peak MB':>8} {'cuts':>6} precision")
    for minutes in args.minutes:
        command = [sys.executable, "-m", "benchmarks.long_audio", "--one", str(minutes), "--precision", precision]
        command += ["--checkpoint", args.checkpoint, "--threads", str(args.threads)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        row = json.loads(done.stdout.splitlines()[-1])
        precision = row["precision"]  # all lengths in the precision that the first one chose
        rows.append(row)
        print(f"{minutes:8g} {row['rtfx']:8.1f} {row['peak_mb']:8.0f} {row['cuts']:6d} {precision}")
    added = rows[-1]["peak_mb"] - rows[0]["peak_mb"]
    share = rows[-1]["rtfx"] / rows[0]["rtfx"]
    print(f"{args.minutes[-1]:g} minutes add {added:.0f} MB (at most {MAX_ADDED_MB}) and keep {share:.2f} of the RTFx "
          f"(at least {MIN_SHARE})")  # fmt: skip
    return 0 if added <= MAX_ADDED_MB and share >= MIN_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
