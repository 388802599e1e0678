"""Audio for training, from a table and files to prepared data: `finetune.prepare` beside `datasets.Dataset.map`.

The plain way is the one of transformers' CTC example: load_dataset, then `map` with soundfile and soxr in it, which
keeps float32 `input_values` (made zero mean and unit variance), `input_length` and labels; with as many processes. It
is kept lean: numpy in place of the feature extractor, characters' codes in place of a tokenizer, so neither torch nor
transformers is imported. Ours is `prepare` with its filters, checks, quarantine and checksums. Each run is a program of
its own with an empty cache; time is that of the whole program. Memory is the peak over the program and its children,
pages that they share counted once (PSS, as the plain way forks).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from asrdemo.errors import ToolError
from benchmarks.common import ROOT, Options, interleaved, real_clips, spread, table

SIZES = (2_000, 10_000)
FULL = (10_000, 100_000)
SOURCES = 200  # different recordings; the corpus is made of links to them
_LOOK = 0.1  # seconds between two looks at memory

OURS = """
import sys
from pathlib import Path
from asrdemo.finetune import prepare, recipe
source = recipe.TrainCorpus("c", sys.argv[1])
made = recipe.Recipe("benchmark", (source,), (), clips=recipe.Clips(0.3, 30.0))
print(len(prepare.prepare(source, made, Path(sys.argv[2]), workers=int(sys.argv[3]))))
"""
PLAIN = """
import sys
import numpy as np, soundfile, soxr
from datasets import load_dataset
folder, cache, processes = sys.argv[1:]
table = load_dataset("csv", data_files=f"{folder}/train.tsv", delimiter="\\t", split="train", cache_dir=cache)
def prepare(row):
    samples, rate = soundfile.read(f"{folder}/clips/{row['path']}", dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    mono = mono if rate == 16000 else soxr.resample(mono, rate, 16000)
    mono = (mono - mono.mean()) / np.sqrt(mono.var() + 1e-7)
    return {"input_values": mono, "input_length": len(mono), "labels": [ord(c) for c in row["sentence"].lower()]}
made = table.map(prepare, remove_columns=table.column_names, num_proc=int(processes))
print(len(made))
"""


def report(options: Options) -> str:
    """Markdown: time, memory and disk of both ways; with `full` the memory of ours for ten times the clips."""
    with tempfile.TemporaryDirectory() as scratch:
        recordings = [path for path, _ in real_clips(SOURCES)]
        corpora = {count: corpus(Path(scratch) / f"corpus-{count}", recordings, count) for count in SIZES}
        parts = [
            f"{len(recordings)} different recordings, {options.threads} processes, {options.runs} runs, interleaved; "
            "median (least - most). Ratio: the plain way over ours, run by run.",
            *(compare(corpora[count], count, Path(scratch) / "made", options) for count in SIZES),
        ]
        if options.full:
            parts.append(flat(Path(scratch), recordings, options))
    return "\n\n".join(parts)


def compare(folder: Path, clips: int, scratch: Path, options: Options) -> str:
    """Both ways over one corpus."""
    programs = {"`Dataset.map`": PLAIN, "`finetune.prepare`": OURS}
    peaks: dict[str, list[float]] = {name: [] for name in programs}
    disks: dict[str, float] = {}

    def work(name: str) -> None:
        peak, disks[name] = run(programs[name], folder, scratch, options.threads, clips)
        peaks[name].append(peak)

    taken = interleaved({name: lambda name=name: work(name) for name in programs}, options.runs)  # type: ignore[misc]
    plain = next(iter(programs))
    rows = []
    for name in programs:
        faster = [a / b for a, b in zip(taken[plain], taken[name], strict=True)]
        smaller = [a / b for a, b in zip(peaks[plain], peaks[name], strict=True)]
        cells = [spread(taken[name], 1), spread(faster), spread(peaks[name], 0), spread(smaller), f"{disks[name]:.0f}"]
        rows.append([name, *cells])
    return f"### {clips:,} clips\n\n" + table(["", "seconds", "ratio", "peak MB", "ratio", "MB on disk"], rows)


def flat(scratch: Path, recordings: Sequence[Path], options: Options) -> str:
    """Memory of ours as the corpus grows."""
    rows = []
    for count in FULL:
        folder = corpus(scratch / f"full-{count}", recordings, count)
        began = time.perf_counter()
        peak, disk = run(OURS, folder, scratch / "made", options.threads, count)
        rows.append([f"{count:,}", f"{time.perf_counter() - began:.0f}", f"{peak:.0f}", f"{disk / 1000:.1f}"])
        shutil.rmtree(folder)
    return "### Memory as the corpus grows\n\n" + table(["clips", "seconds", "peak MB", "GB on disk"], rows)


def corpus(folder: Path, recordings: Sequence[Path], count: int, sentences: Sequence[str] = ()) -> Path:
    """A corpus in Common Voice layout of so many clips: links to the recordings in turn, 20 clips a speaker.

    sentences: of the recordings, else made up. The dev split is the first clips of train.
    """
    (folder / "clips").mkdir(parents=True)
    lines = ["client_id\tpath\tsentence\tlocale"]
    for i in range(count):
        source = recordings[i % len(recordings)]
        name = f"common_voice_en_{i:08}{source.suffix}"
        (folder / "clips" / name).symlink_to(source.resolve())
        said = sentences[i % len(recordings)] if sentences else f"This is what was said in clip number {i}."
        lines.append(f"{i // 20:0128x}\t{name}\t{said}\ten")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("\n".join(lines[:9]) + "\n", encoding="utf-8")
    return folder


def run(program: str, folder: Path, out: Path, processes: int, clips: int) -> tuple[float, float]:
    """(peak memory, size of what it made), in MB, of a program that must give so many clips."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [sys.executable, "-c", program, str(folder), str(out), str(processes)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(out)}
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    peak = 0.0
    while running.poll() is None:
        peak = max(peak, memory(running.pid))
        time.sleep(_LOOK)
    said = running.communicate()[0].strip()
    if said != str(clips):
        raise ToolError(f"A program that prepares {clips} clips ended with {running.returncode} and said {said!r}.")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    shutil.rmtree(out)
    return peak, size


def memory(pid: int) -> float:
    """MB that a process and its children hold, what they share counted once."""
    held = 0
    try:
        one = psutil.Process(pid)
        tree = [one, *one.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for each in tree:
        try:
            held += each.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return held / 1e6
