"""What the benchmarks share: the machine in words, real clips, interleaved timing, Markdown tables, RESULTS.md."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "corpora"
DEMO_CORPUS = ROOT / "demo" / "corpus" / "en"
RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
INTRO = "# Benchmarks\n\nWritten by `python -m benchmarks`; each section says when, where and how it was measured.\n"


@dataclass(frozen=True)
class Options:
    """runs: repetitions, interleaved. clips: real recordings. minutes: length of long recordings. threads: of torch, or
    processes. full: also what takes an hour."""

    runs: int = 5
    clips: int = 48
    minutes: float = 10.0
    threads: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    full: bool = False


def machine() -> str:
    """CPU model, cores, GPU if any, and versions; nothing that names the machine or its owner."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
        flags = re.search(r"^flags\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}
        extras = [name for flag, name in known.items() if flags and flag in flags[1].split()]
        model += f" ({', '.join(extras)})" if extras else ""
    parts = [f"{model}, {Options().threads} cores"]
    import torch

    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts.append(f"Python {platform.python_version()}")
    parts += [f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "numpy")]
    return "; ".join(parts)


def real_clips(count: int) -> list[tuple[Path, str]]:
    """(file, sentence) of mixed lengths and sources, always the same for a count; the demo corpus where no real
    speech is at hand."""
    from asrdemo import corpus

    sources = [
        (SHARED / "an4", "test"),
        (SHARED / "speechocean762", "dev"),
        (SHARED / "cv-corpus-6.1-sample" / "en", "validated"),
    ]
    here = [s for s in sources if (s[0] / f"{s[1]}.tsv").is_file()] or [(DEMO_CORPUS, "test")]
    picked: list[tuple[Path, str]] = []
    for i, (folder, split) in enumerate(here):
        rows = corpus.read(folder, split)
        share = (count - len(picked)) // (len(here) - i)
        step = max(1, len(rows) // max(1, share))
        chosen = rows.iloc[::step].head(share)
        picked += [(Path(f), s) for f, s in zip(chosen["file"], chosen["sentence"], strict=True)]
    return picked


def interleaved(works: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Wall seconds of each work, run after run in turn, so that what else the machine does hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (least - most)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_section(name: str, command: str, body: str, path: Path = RESULTS) -> None:
    """Put `## name` into the file, in place of what stood there under that name."""
    text = path.read_text(encoding="utf-8") if path.is_file() else INTRO
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    section = f"## {name}\n\n{today}; {machine()}\n\n`{command}`\n\n{body.strip()}\n"
    intro, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    others = [s for s in sections if s.splitlines()[0] != f"## {name}"]
    ordered = sorted([*(s.strip() + "\n" for s in others), section])
    partial = path.with_suffix(".part")
    partial.write_text("\n".join([intro.strip() + "\n", *ordered]), encoding="utf-8")
    partial.replace(path)
