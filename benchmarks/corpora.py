"""Reading the largest release: a table of 1,881,067 rows (validated, Common Voice 25 English), without its clips.

The tables are made here with that release's shape: 99,724 speakers, ids and sentences of real length, display names
of accents with commas in them, free text, stray quotes, durations for 2,574,404 clips and reported sentences. Beside
it: the same file through pandas.read_csv with the options that keep every row (no quoting, nothing missing), which
gives raw text only. Each reading is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.common import ROOT, Options, spread, table

ROWS, CLIPS, SPEAKERS, SENTENCES, REPORTED = 1_881_067, 2_574_404, 99_724, 1_681_626, 9_638
_LINES = 100_000  # written at a time
_TOLD = """
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([time.perf_counter() - began, rows, peak]))
"""  # not ru_maxrss: a child process starts with its parent's
_OURS = f"""
import json, sys, time
from asrdemo.corpus import open_corpus
began = time.perf_counter()
rows = len(open_corpus(sys.argv[1]).table("validated"))
{_TOLD}
"""
_PANDAS = f"""
import csv, json, sys, time
import pandas as pd
began = time.perf_counter()
rows = len(pd.read_csv(sys.argv[1] + "/validated.tsv", sep="\\t", quoting=csv.QUOTE_NONE, keep_default_na=False,
                       dtype=str))
{_TOLD}
"""


def report(options: Options) -> str:
    """Markdown: seconds and peak memory of both ways to read the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(Path(scratch))
        size = (folder / "validated.tsv").stat().st_size
        results: dict[str, list] = {"pandas.read_csv, raw text": [], "asrdemo.corpus, canonical columns": []}
        for _ in range(options.runs):
            for name, program in zip(results, (_PANDAS, _OURS), strict=True):
                results[name].append(_run(program, folder))
    rows = [
        [name, f"{runs[0][1]:,}", spread([r[0] for r in runs]), f"{max(r[2] for r in runs) / 2**20:.2f}"]
        for name, runs in results.items()
    ]
    said = (
        f"validated.tsv with {ROWS:,} rows, {size / 1e6:.0f} MB, {CLIPS:,} durations; {options.runs} runs, "
        "interleaved, each in a fresh process; seconds: median (least - most). Wanted: under 20 s and 2 GiB."
    )
    return f"{said}\n\n{table(['reader', 'rows', 'seconds', 'peak GiB'], rows)}"


def make(folder: Path, rows: int = ROWS, clips: int = CLIPS) -> Path:
    """Write the tables of a release with this many validated rows and clips into `folder`; returns it."""
    rng = np.random.default_rng(0)
    speakers = _hex(rng, min(SPEAKERS, rows), 128)
    sentence_ids = _hex(rng, max(1, rows * SENTENCES // ROWS), 64)
    words = np.array([rng.bytes(4).hex()[: rng.integers(2, 9)] for _ in range(5000)])
    picked = words[rng.integers(0, len(words), (len(sentence_ids), 10))]
    sentences = pa.array(map(" ".join, picked.tolist()))
    said = rng.integers(0, len(sentence_ids), rows)
    by = np.minimum(rng.zipf(1.3, rows) - 1, len(speakers) - 1)
    names = pa.array([f"common_voice_en_{17_000_000 + i}.mp3" for i in range(max(rows, clips))])
    accent = [
        "",
        "United States English",
        "England English,Scottish English",
        "a bit of everything, mostly north",
        "India and South Asia (India, Pakistan, Sri Lanka)",
        'Southern "drawl",United States English',
    ]
    columns = {
        "client_id": speakers.take(pa.array(by)),
        "path": names.slice(0, rows),
        "sentence_id": sentence_ids.take(pa.array(said)),
        "sentence": sentences.take(pa.array(said)),
        "sentence_domain": _some(rng, rows, ["", "", "general", "healthcare"]),
        "up_votes": pa.array(rng.integers(2, 6, rows)),
        "down_votes": pa.array(rng.integers(0, 2, rows)),
        "age": _some(rng, rows, ["", "twenties", "fourties", "teens"]),
        "gender": _some(rng, rows, ["", "male_masculine", "female_feminine", "do_not_wish_to_say"]),
        "accents": _some(rng, rows, accent),
        "variant": _some(rng, rows, [""]),
        "locale": _some(rng, rows, ["en"]),
        "segment": _some(rng, rows, [""]),
    }
    _write(folder / "validated.tsv", columns)
    lengths = pa.array(rng.integers(1500, 10_000, clips))
    _write(folder / "clip_durations.tsv", {"clip": names.slice(0, clips), "duration[ms]": lengths})
    reported = {
        "sentence": sentences.slice(0, REPORTED),
        "sentence_id": sentence_ids.slice(0, REPORTED),
        "locale": _some(rng, min(REPORTED, len(sentences)), ["en"]),
        "reason": _some(rng, min(REPORTED, len(sentences)), ["grammar-or-spelling", "difficult-pronounce"]),
    }
    _write(folder / "reported.tsv", reported)
    return folder


def _hex(rng: np.random.Generator, count: int, digits: int) -> pa.Array:
    return pa.array([rng.bytes(digits // 2).hex() for _ in range(count)])


def _some(rng: np.random.Generator, rows: int, values: list[str]) -> pa.Array:
    return pa.array(values).take(pa.array(rng.integers(0, len(values), rows)))


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    """Rows joined by tabs; pyarrow's own writer refuses stray quotes."""
    lines = pc.binary_join_element_wise(*(column.cast(pa.string()) for column in columns.values()), "\t")
    with path.open("w", encoding="utf-8") as out:
        out.write("\t".join(columns) + "\n")
        for at in range(0, len(lines), _LINES):
            out.write("\n".join(lines[at : at + _LINES].to_pylist()) + "\n")


def _run(program: str, folder: Path) -> tuple[float, int, int]:
    """(seconds, rows, peak KiB) of one reading in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, check=True)
    seconds, rows, peak = json.loads(done.stdout)
    return seconds, rows, peak
