"""What a visitor waits for on the Error analysis page, and what is sent, at 100,000 and 1,000,000 clips by two results.

The results are made up (evals.simulate). The app runs in a process of its own and is asked through gradio_client, as
its own page asks it; every filter is another one, so nothing is answered from an earlier answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Options, spread, table
from evals import simulate

SIZES = {100_000: 8_000, 1_000_000: 60_000}  # clips: speakers
RUNS = (1.0, 0.8)
FILTERS = (
    "seconds.min={0:.2f}",
    "accents=Scottish+English&accents=Irish+English&seconds.min={0:.2f}",
    "gender=female_feminine&snr.min={0:.2f}",
    "snr.min=1{0:.2f}&seconds.below=8",
    "wrong=run0&correct=run1&seconds.min={0:.2f}",
    "speaking_rate.below=15&seconds.min={0:.2f}",
    "age=twenties&age=thirties&gender.not=&seconds.min={0:.2f}",
)
SEARCH = "reference.has=a+b+c+d+e+f&seconds.min={0:.2f}"
WAIT_S = 900


def make(home: Path, clips: int, speakers: int) -> None:
    """Two results of the same clips, with texts that agree with their alignments."""
    import pyarrow as pa

    gaps = {"Irish English": 1.5}
    made = simulate.simulate(simulate.Recipe(speakers, clips / speakers + 0.45, 1.2, gaps=gaps, runs=RUNS), 0)
    for run in range(len(RUNS)):
        rows = simulate.rows(made, run)
        pairs = zip(rows["reference"].to_pylist(), rows["ops"].to_pylist(), strict=True)
        heard = pa.array([hypothesis(said, ops) for said, ops in pairs])
        rows = rows.set_column(rows.schema.get_field_index("hypothesis"), "hypothesis", heard)
        simulate.write(home / "results" / f"run{run}", rows)


def hypothesis(said: str, ops: str) -> str:
    """What was heard, so that `ops` aligns it with what was said."""
    words, heard = iter(said.split()), []
    for op in ops:
        word = next(words) if op != "I" else "uh"
        if op != "D":
            heard.append(word + "x" if op == "S" else word)
    return " ".join(heard)


@contextmanager
def app(home: Path) -> Iterator[tuple[str, int]]:
    """The app in a process of its own: its address and process number."""
    environment = {**os.environ, "ASRDEMO_HOME": str(home), "GRADIO_ANALYTICS_ENABLED": "False"}
    command = [sys.executable, "-m", "benchmarks.pages"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = next(line.split()[1] for line in process.stdout if line.startswith("serving "))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


def serve() -> None:
    """Of that process: serve the real page, say where, wait."""
    from asrdemo import registry, settings
    from asrdemo.transcribe import Transcriber
    from asrdemo.ui.build import build_ui, launch_options

    chosen = settings.read()
    page = build_ui(Transcriber(registry.read(chosen.registry), chosen), chosen)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(chosen))
    print(f"serving {url}", flush=True)
    page.block_thread()


class Visitor:
    """Asks, and keeps how long it took and how much came."""

    def __init__(self, url: str, runs: tuple[str, ...]) -> None:
        from gradio_client import Client

        self._client = Client(url, verbose=False)
        self._results = "&".join(f"results={run}" for run in runs)
        self.most_bytes = 0

    def ask(self, what: str, rest: str) -> float:
        """Seconds for one event with this address."""
        began = time.perf_counter()
        answer: Any = self._client.predict(f"?{self._results}&{rest}", api_name=f"/analysis_{what}")
        seconds = time.perf_counter() - began
        self.most_bytes = max(self.most_bytes, len(json.dumps(answer, ensure_ascii=False).encode()))
        if "Nothing to show" in str(answer):
            raise RuntimeError(f"The page had nothing to show for {rest!r}.")
        return seconds


def journey(visitor: Visitor, runs: int) -> Iterator[tuple[str, list[float]]]:
    """What is asked, and the seconds of each answer."""
    yield "the page opens, results read", [visitor.ask("choose", "")]
    for view in ("where", "errors", "clips"):
        yield f"first time: {view}", [visitor.ask("show", f"view={view}")]
        asked = [text.format(1 + run / 50) for run in range(runs) for text in FILTERS]
        seconds = [visitor.ask("show", f"view={view}&{each}") for each in asked]
        yield f"filter change: {view} ({len(asked)} changes)", seconds
    visitor.ask("show", f"view=where&{SEARCH.format(1)}")  # reads the texts
    yield "text search: where", [visitor.ask("show", f"view=where&{SEARCH.format(1.1 + i / 50)}") for i in range(runs)]
    yield "clips, another page", [visitor.ask("show", f"view=clips&page={2 + i}") for i in range(runs)]
    late = "seconds.min=1.5"
    visitor.ask("show", f"view=where&{late}")  # what nobody looks at any more is not searched
    yield "after the first paint: worst slices, gaps, heat map", [visitor.ask("deeper", f"view=where&{late}")]
    yield "the same again (kept)", [visitor.ask("deeper", f"view=where&{late}")]
    yield "after the first paint: formatting", [visitor.ask("deeper", f"view=errors&{late}")]


def measure(clips: int, speakers: int, runs: int) -> list[tuple[str, str, str]]:
    """Rows of the table: what, seconds, kilobytes at most."""
    import psutil

    lines = []
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), clips, speakers)
        with app(Path(name)) as (url, pid):
            visitor = Visitor(url, ("run0", "run1"))
            for what, seconds in journey(visitor, runs):
                lines.append((what, spread(seconds, 3), f"{visitor.most_bytes / 1000:.0f}"))
                visitor.most_bytes = 0
            memory = psutil.Process(pid).memory_info().rss
    return [*lines, (f"memory of the app: {memory / 2**30:.2f} GiB", "", "")]


def report(options: Options) -> str:
    """Markdown for RESULTS.md."""
    parts = []
    for clips, speakers in SIZES.items():
        lines = measure(clips, speakers, options.runs)
        told = table(["", "seconds", "kB at most"], lines)
        parts.append(f"About {clips:,} clips of {speakers:,} speakers, two results side by side:\n\n{told}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    serve()
