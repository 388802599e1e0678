"""Corpus x checkpoint x decoder -> rows. Resumable, shardable; with evals.listen all of evals that reaches torch.

    read ahead (threads) -> acoustic model (here) -> decode, score (processes) -> parts -> rows.parquet, run.json

A run goes on where it was stopped, and only under the pins that it began with. Shards and processes each take every
n-th window of the corpus; whoever finds all parts there puts them together, so nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrdemo import acoustic, decoding
from asrdemo.acoustic.store import fetch
from asrdemo.errors import ConfigError
from asrdemo.registry import CheckpointSpec, LanguageModelSpec
from asrdemo.settings import Settings
from asrdemo.types import DecoderOptions, Emissions, Progress
from evals import listen, parts, pins, worker
from evals.collect import Collector, Tally
from evals.folder import begin, begun, close, refuse
from evals.pins import Pins
from evals.results import Result
from evals.source import Source

if TYPE_CHECKING:
    from asrdemo.acoustic import AcousticModel, ModelCache


@dataclass(frozen=True)
class Request:
    """What to run. lm: the language model that `options` names. profile: how texts are normalised for scoring.

    shard: number (from 1) and count of those that share the work. workers: decoding processes, None for a default.
    """

    checkpoint: CheckpointSpec
    source: Source
    options: DecoderOptions
    lm: LanguageModelSpec | None
    profile: str
    keep_emissions: bool = False
    shard: tuple[int, int] = (1, 1)
    workers: int | None = None

    def __post_init__(self) -> None:
        decoding.validate(self.options)
        number, count = self.shard
        if not 1 <= number <= count:
            raise ConfigError(f"The shard is {number}/{count}; expected i/n with i from 1 to n.")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"There are {self.workers} workers; expected at least 1.")

    @property
    def job(self) -> worker.Job:
        """How its clips are decoded; only the best hypothesis is asked for."""
        calibrations = decoding.calibrations(self.checkpoint.path)
        return worker.Job(replace(self.options, n_best=1), self.lm, calibrations, self.profile, self.keep_emissions)

    @property
    def pins(self) -> Pins:
        """Those that are known before the checkpoint is loaded."""
        return {
            "checkpoint": pins.of_checkpoint(self.checkpoint),
            "corpus": pins.of_corpus(self.source),
            "decoder": pins.of_decoder(self.options),
            "normaliser": pins.of_normaliser(self.profile),
            "confidence": pins.of_confidence(self.job.calibrations),
            "keep_emissions": self.keep_emissions,
            "software": pins.of_software(),
        }

    def folder(self, home: Path) -> Path:
        """Where its result lies unless told otherwise: a place of its own for each set of pins."""
        p, s = self.pins, self.source
        name = f"{p['checkpoint']['id']}-{s.name}-{s.split}-{self.options.kind}-{pins.short(p)}"
        return home / "results" / "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def evaluate(
    request: Request,
    out: Path,
    limits: Settings,
    cache: ModelCache | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run to the end, or this shard of it; what an earlier call has done is not done again.

    out: folder of the result. limits: device and precision (`auto` is settled once for a result), and what a clip may
    be. cache: loaded checkpoints to use. progress: told about loading, then clips; it may raise to stop, and the run
    can go on later. Clips that cannot be read or decoded are set aside with the reason and listed in run.json.
    Raises ResultError where `out` was begun under other pins, CheckpointError, LanguageModelError, DecodingError.
    """
    before, job, known = begun(out), request.job, request.pins
    if before is not None:
        asked = {} if limits.precision == "auto" else {"acoustic": {"precision": limits.precision}}
        refuse(before, pins.over(before.info["pins"], known | asked))
        if before.complete:
            return before
    windows = request.source.windows
    todo = parts.missing(out, windows, request.shard)
    if not todo:
        return close(out, windows, request.shard)
    count = request.workers or worker.default_workers()
    with worker.pool(count) as pool:
        for _ in range(count):  # they start, and open the language model, while this process loads the checkpoint
            pool.submit(worker.describe, job, None)

        def describe(model: AcousticModel) -> Pins:
            nothing = Emissions(np.zeros((0, len(model.vocabulary)), np.float32), model.vocabulary, 0.02, 0.0)
            engine, lm = pool.submit(worker.describe, job, nothing).result()
            return _with_model(known, model, engine, lm)

        model = _settle(request, out, limits, cache, progress, describe)
        request.source.take(todo, progress)
        machine = pins.machine(str(model.device))
        told = Tally(progress, sum(request.source.rows(w).num_rows for w in todo))
        collector = Collector(out, job, pool, request.source.rows, machine, told, model.load_seconds)
        with closing(listen.batches(request.source, todo, model, limits)) as heard:
            for batch in heard:
                collector.add(batch)
        collector.finish()
    return close(out, windows, request.shard)


def _settle(
    request: Request,
    out: Path,
    limits: Settings,
    cache: ModelCache | None,
    progress: Progress | None,
    describe: Callable[[AcousticModel], Pins],
) -> AcousticModel:
    """The loaded checkpoint, in the precision in which the result was begun, here or by another process."""
    before = begun(out)
    pinned = before.info["pins"]["acoustic"]["precision"] if before else None
    wanted = limits.precision if pinned is None or limits.precision != "auto" else pinned

    def load(precision: str) -> AcousticModel:
        if cache is not None:
            model = cache.get(request.checkpoint, progress)
            if precision in ("auto", model.precision):
                return model
        return acoustic.load(request.checkpoint, limits.device, precision, progress)

    model = load(wanted)
    found = describe(model)
    result = begin(out, found, request.source.quarantined, request.source.location)
    first = result.info["pins"]["acoustic"]["precision"]
    if first != model.precision and limits.precision == "auto":  # another process chose while this one was loading
        model = load(first)
        found = describe(model)
    refuse(result, found)
    return model


def _with_model(before: Pins, model: AcousticModel, engine: str, lm: str | None) -> Pins:
    """The pins with what loading has shown. commit: of a checkpoint from the Hub."""
    spec = model.spec
    commit = fetch(spec).name if spec.hub is not None else None
    return {
        **before,
        "checkpoint": {**before["checkpoint"], "fingerprint": model.fingerprint, "commit": commit},
        "decoder": {**before["decoder"], "engine": engine, "lm_fingerprint": lm},
        "acoustic": {"precision": model.precision, "device": str(model.device).split(":")[0]},
    }
