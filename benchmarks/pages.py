"""What a visitor waits for on Error analysis and on Compare, and what is sent, at 100,000 and 1,000,000 clips by two
results; and for a clip that is opened, of the results that ship.

The results of that size are made up (evals.simulate); those that ship have sound. The app runs in a process of its own
and is asked through gradio_client, as its own page asks it; every filter is another one, so nothing is answered from an
earlier answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Options, spread, table
from evals import simulate
from evals.catalogue import SHIPPED

SIZES = {100_000: 8_000, 1_000_000: 60_000}  # clips: speakers
RUNS = (1.0, 0.8)
RESULTS = ("run0", "run1")
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
PROBLEMS = ("Nothing to show", "Nothing to compare", "cannot be compared")


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
        simulate.write(home / "results" / RESULTS[run], rows)


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
    """Asks, and keeps how much came at most since `bytes_come` was asked for."""

    def __init__(self, url: str) -> None:
        from gradio_client import Client

        self._client = Client(url, verbose=False)
        self._most_bytes = 0

    def bytes_come(self) -> int:
        """Of the largest answer since the last call."""
        most, self._most_bytes = self._most_bytes, 0
        return most

    def ask(self, endpoint: str, *values: object) -> float:
        """Seconds for one event. Raises RuntimeError where the page shows a problem instead of figures."""
        began = time.perf_counter()
        answer: Any = self._client.predict(*values, api_name=endpoint)
        seconds = time.perf_counter() - began
        told = json.dumps(answer, ensure_ascii=False)
        self._most_bytes = max(self._most_bytes, len(told.encode()))
        if any(problem in told for problem in PROBLEMS):
            raise RuntimeError(f"{endpoint} had nothing to show for {values!r}.")
        return seconds


Asked = Iterator[tuple[str, list[float]]]
"""What is asked, and the seconds of each answer."""


def filters(runs: int) -> list[str]:
    """Filters of all kinds, none twice."""
    return [text.format(1 + run / 50) for run in range(runs) for text in FILTERS]


def analysis(visitor: Visitor, results: Sequence[str], runs: int) -> Asked:
    """A journey on the Error analysis page."""
    named = "&".join(f"results={name}" for name in results)

    def ask(what: str, rest: str) -> float:
        return visitor.ask(f"/analysis_{what}", f"?{named}&{rest}")

    yield "Error analysis opens, results read", [ask("choose", "")]
    for view in ("where", "errors", "clips"):
        yield f"first time: {view}", [ask("show", f"view={view}")]
        seconds = [ask("show", f"view={view}&{each}") for each in filters(runs)]
        yield f"filter change: {view} ({len(seconds)} changes)", seconds
    ask("show", f"view=where&{SEARCH.format(1)}")  # reads the texts
    yield "text search: where", [ask("show", f"view=where&{SEARCH.format(1.1 + i / 50)}") for i in range(runs)]
    yield "clips, another page", [ask("show", f"view=clips&leaf={2 + i}") for i in range(runs)]
    late = "seconds.min=1.5"
    ask("show", f"view=where&{late}")  # what nobody looks at any more is not searched
    yield "after the first paint: worst slices, gaps, heat map", [ask("deeper", f"view=where&{late}")]
    yield "the same again (kept)", [ask("deeper", f"view=where&{late}")]
    yield "after the first paint: formatting", [ask("deeper", f"view=errors&{late}")]


def compare(visitor: Visitor, results: Sequence[str], runs: int) -> Asked:
    """A journey on Compare > Whole corpus. What it looks at is not among what it looked at before."""
    from asrdemo.ui.compare.corpus_handlers import BY

    names = list(results)

    def change(base: str = names[0], by: str = "accents", where: str = "") -> float:
        return visitor.ask("/compare_change", names, base, by, where)

    yield "Compare opens", [visitor.ask("/compare_open", "&".join(f"results={name}" for name in names))]
    columns = [by for by in BY if by != "accents"]
    yield f"slice column, first time ({len(columns)} columns)", [change(by=by) for by in columns]
    yield f"slice column, another filter ({len(columns)})", [change(by=by, where="seconds.min=1.3") for by in columns]
    others = [change(base=names[1], where=where) for where in filters(runs)]
    yield f"filter change ({len(others)} changes)", others
    yield f"baseline change ({len(others)} changes)", [change(base=names[0], where=where) for where in filters(runs)]
    yield "text search", [change(where=SEARCH.format(2.1 + i / 50)) for i in range(runs)]


def opened(visitor: Visitor, runs: int) -> Asked:
    """A clip is opened on the Error analysis page: its sound, its pictures, its alignment."""
    from evals.results import open_result

    result = open_result(SHIPPED / "results" / "demo-en-beam")
    clips = result.read(["clip"])["clip"].to_pylist()[: 4 * runs]
    address = f"?results={result.name}&open="
    yield f"a clip is opened ({len(clips)} clips)", [visitor.ask("/analysis_hear", address + clip) for clip in clips]


def rows(visitor: Visitor, asked: Asked) -> list[tuple[str, str, str]]:
    """Of a table: what, seconds, kilobytes at most."""
    return [(what, spread(seconds, 3), f"{visitor.bytes_come() / 1000:.0f}") for what, seconds in asked]


def measure(clips: int, speakers: int, runs: int) -> list[tuple[str, str, str]]:
    """Rows of the table."""
    import psutil

    with tempfile.TemporaryDirectory() as name:
        make(Path(name), clips, speakers)
        with app(Path(name)) as (url, pid):
            visitor = Visitor(url)
            lines = [row for journey in (analysis, compare) for row in rows(visitor, journey(visitor, RESULTS, runs))]
            memory = psutil.Process(pid).memory_info().rss
    return [*lines, (f"memory of the app: {memory / 2**30:.2f} GiB", "", "")]


def report(options: Options) -> str:
    """Markdown for RESULTS.md."""
    head = ["", "seconds", "kB at most"]
    parts = []
    for clips, speakers in SIZES.items():
        told = table(head, measure(clips, speakers, options.runs))
        parts.append(f"About {clips:,} clips of {speakers:,} speakers, two results side by side:\n\n{told}")
    with tempfile.TemporaryDirectory() as name, app(Path(name)) as (url, _):
        visitor = Visitor(url)
        told = table(head, rows(visitor, opened(visitor, options.runs)))
    return "\n\n".join([*parts, f"The results that ship, with sound:\n\n{told}"])


if __name__ == "__main__":
    serve()
