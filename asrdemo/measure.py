"""Measure every clip of a split once, in parallel, and keep what was found.

Work is cut into parts of PART clips; each is a Parquet file renamed into place whole, so that a measuring that was
stopped, even killed, goes on where it was. At the end the parts become one table, which Corpus.measurements reads.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asrdemo import audio, sound, text
from asrdemo.corpus import Corpus, kept
from asrdemo.errors import AudioError, CorpusError
from asrdemo.types import Progress

PART = 128  # clips in a part
_AHEAD = 3  # parts handed out for each worker


def measure(corpus: Corpus, split: str, workers: int | None = None, progress: Progress | None = None) -> pd.DataFrame:
    """The measurements of a split, indexed by clip (columns: asrdemo.corpus.kept.SCHEMA), made now where they are not
    kept yet. A clip that cannot be decoded has its reason in `error`.

    workers: processes, by default one for each core this process may use; 1 works in this process.
    progress: told of clips done; what it raises stops the work, and the next call goes on from there.
    Raises NotFoundError for an unknown split, CorpusError where the clips cannot be had or a worker dies.
    """
    where = kept.folder(corpus.home, corpus.name, split, corpus.fingerprint(split))
    found = kept.read(where)
    if found is None:
        rows = corpus.table(split)
        clips, files = rows["clip"].tolist(), rows["file"].tolist()
        del rows
        parts = [where / "parts" / f"part-{i:05d}.parquet" for i in range(-(-len(clips) // PART))]
        todo = [i for i, part in enumerate(parts) if not part.is_file()]
        corpus.take([clip for i in todo for clip in clips[i * PART : (i + 1) * PART]], progress)
        work = {parts[i]: list(zip(*(x[i * PART : (i + 1) * PART] for x in (clips, files)), strict=True)) for i in todo}
        _all(work, len(clips), workers or _cores(), progress)
        _join(parts, where)
        found = kept.read(where)
        assert found is not None
    return found


def derived(corpus: Corpus, split: str, profile: str | None = None) -> pd.DataFrame:
    """What can be said of a split's clips beyond the release's columns, in the order of `corpus.table(split)`.

    Columns: clip, seconds (measured, else as declared), speaking_rate (characters of the sentence, normalised and
    without spaces, a second; nan where the length is unknown), loudness, snr, bandwidth, peak, clipped, silence (nan
    where the split was not measured). profile: of asrdemo.text, by default that of the corpus' language.
    """
    rows = corpus.table(split)
    out = pd.DataFrame({"clip": rows["clip"], "seconds": rows["seconds"]})
    measured = corpus.measurements(split)
    for name in kept.SCHEMA.names[2:-1]:
        out[name] = np.float32("nan") if measured is None else measured[name].reindex(rows["clip"]).to_numpy()
    if measured is not None:
        out["seconds"] = measured["seconds"].reindex(rows["clip"]).fillna(rows["seconds"].set_axis(rows["clip"])).array
    written = text.normalise_all(rows["reference_raw"].tolist(), profile or text.for_language(corpus.language))
    letters = np.array([len(t) - t.count(" ") for t in written], float)
    out.insert(2, "speaking_rate", (letters / out["seconds"]).astype(np.float32))
    return out


def _all(work: dict[Path, list[tuple[str, str]]], total: int, workers: int, progress: Progress | None) -> None:
    """Make these parts, a few at a time."""
    done = total - sum(map(len, work.values()))
    for finished in _made(work, workers):
        done += finished
        if progress:
            progress(done, total, "measuring clips")


def _made(work: dict[Path, list[tuple[str, str]]], workers: int) -> Iterator[int]:
    """Makes the parts; yields the number of clips of each as it is finished."""
    if workers == 1 or len(work) <= 1:
        for target, clips in work.items():
            yield measure_part(target, clips)
        return
    waiting = iter(work.items())
    running: set[Future[int]] = set()
    pool = ProcessPoolExecutor(min(workers, len(work)), mp_context=multiprocessing.get_context("spawn"))
    try:
        while True:
            while len(running) < _AHEAD * workers and (item := next(waiting, None)) is not None:
                running.add(pool.submit(measure_part, *item))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise CorpusError(
            "A process that measures clips was killed, perhaps for want of memory. What is done is kept: run it again, "
            "with fewer workers."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def measure_part(target: Path, clips: list[tuple[str, str]]) -> int:
    """Measure (clip, file) pairs, write them to `target`, and return how many there are. Runs in workers."""
    table = pa.Table.from_pylist([{"clip": clip, **_measured(file)} for clip, file in clips], schema=kept.SCHEMA)
    _write(table, target)
    return len(clips)


def _measured(file: str) -> dict[str, Any]:
    try:
        return asdict(sound.measure(audio.read_clip(file, allow_silent=True))) | {"error": ""}
    except AudioError as error:
        return {"error": str(error)}


def _join(parts: list[Path], where: Path) -> None:
    """The parts as one table, in the order of the split; nothing to do if another process was quicker."""
    if (where / kept.TABLE).is_file():
        return
    tables = [pq.read_table(part, schema=kept.SCHEMA) for part in parts]
    _write(pa.concat_tables(tables) if tables else kept.SCHEMA.empty_table(), where / kept.TABLE)
    shutil.rmtree(where / "parts", ignore_errors=True)


def _write(table: pa.Table, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    pq.write_table(table, partial)
    partial.replace(target)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
