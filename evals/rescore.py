"""Kept emissions -> rows under other decoder settings. The model is not run, and torch is not brought in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asrdemo import decoding
from asrdemo.errors import ResultError
from asrdemo.registry import LanguageModelSpec
from asrdemo.types import DecoderOptions, Emissions, Progress
from evals import emissions_store, parts, pins, worker
from evals.collect import Batch, Collector, Tally
from evals.folder import begin, begun, close, refuse
from evals.pins import Pins
from evals.results import CLIP_COLUMNS, Result

AT_ONCE = 32  # clips read from the store together


@dataclass(frozen=True)
class Kept:
    """A finished result with its emissions.

    rows: the columns asked for, in order. files: emissions, one a window; starts: the first row of each, and the end.
    """

    result: Result
    rows: pa.Table
    files: list[Path]
    starts: list[int]

    @classmethod
    def of(cls, result: Result, columns: Sequence[str]) -> Kept:
        """With these columns of the rows. Raises ResultError for a result that is not finished or kept none."""
        if not result.complete:
            raise ResultError(f"Result {result.name!r} is not complete; run it to the end first.")
        files = emissions_store.windows(result.folder)
        starts = [0]
        for file in files:
            starts.append(starts[-1] + pq.read_metadata(file).num_rows)
        rows = result.read(columns)
        if starts[-1] != rows.num_rows:
            raise ResultError(
                f"Result {result.name!r} has {rows.num_rows} rows and {starts[-1]} kept emissions; run it again."
            )
        return cls(result, rows, files, starts)

    def window(self, number: int) -> pa.Table:
        """Rows of a window."""
        return self.rows.slice(self.starts[number], self.starts[number + 1] - self.starts[number])

    def batches(self, windows: Sequence[int]) -> Iterator[Batch]:
        """All clips of these windows, some at a time."""
        for number in windows:
            charged = self.window(number).column("acoustic_s").to_pylist()
            stored = emissions_store.read(self.files[number])
            at = 0
            while heard := [emissions for _, emissions in islice(stored, AT_ONCE)]:
                places = list(range(at, at + len(heard)))
                yield Batch(number, places, heard, [{"acoustic_s": charged[i]} for i in places])
                at += len(heard)
            if at == 0:
                yield Batch(number)

    def any_emissions(self) -> Emissions | None:
        """Those of the first clip."""
        return next((e for file in self.files for _, e in emissions_store.read(file)), None)


def rescore(
    result: Result,
    options: DecoderOptions,
    lm: LanguageModelSpec | None,
    profile: str,
    out: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """The result that the run would have given with these decoder options and this normalisation profile.

    out: folder of the new result; a call that was stopped goes on there. Raises ResultError where nothing was kept,
    or `out` was begun with other settings, DecodingError, LanguageModelError.
    """
    decoding.validate(options)
    calibrations = pins.calibrations(result.info["pins"])
    job = worker.Job(replace(options, n_best=1), lm, calibrations, profile)
    kept = Kept.of(result, [*CLIP_COLUMNS, "acoustic_s"])
    before = begun(out)
    if before is not None and before.complete:
        refuse(before, pins.over(before.info["pins"], _pins(result, job)))
        return before
    with worker.pool(workers or worker.default_workers(spare=0)) as pool:
        decided = _pins(result, job)
        engine, lm_print = pool.submit(worker.describe, job, kept.any_emissions()).result()
        decided["decoder"] |= {"engine": engine, "lm_fingerprint": lm_print}
        refuse(begin(out, decided, result.info["quarantined"], result.info.get("location")), decided)
        todo = parts.missing(out, len(kept.files))
        told = Tally(progress, sum(kept.window(w).num_rows for w in todo))
        collector = Collector(out, job, pool, lambda w: kept.window(w).select(CLIP_COLUMNS), pins.machine("cpu"), told)
        for batch in kept.batches(todo):
            collector.add(batch)
        collector.finish()
    return close(out, len(kept.files))


def target(result: Result, options: DecoderOptions, profile: str, home: Path) -> Path:
    """Where the new result lies unless told otherwise: a place of its own for each setting."""
    decided = _pins(result, worker.Job(options, None, decoding.Calibrations(), profile))
    return home / "results" / f"{result.name}-{options.kind}-{pins.short(decided)}"


def _pins(result: Result, job: worker.Job) -> Pins:
    """The result's, with another decoder; what heard the clips stays what it was."""
    old: Pins = result.info["pins"]
    software = pins.of_software() | {name: old["software"][name] for name in pins.HEARS}
    return old | {
        "decoder": pins.of_decoder(job.options),
        "normaliser": pins.of_normaliser(job.profile),
        "keep_emissions": False,
        "software": software,
        "rescored": result.name,
    }
