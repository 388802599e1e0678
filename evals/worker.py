"""What happens to a clip after the model: decoding, word times, scoring - in processes of their own, beside the model.

Processes are spawned, never forked: torch does not survive a fork. They know no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from asrdemo.decoding import Calibrations, decode, engine_used, open_language_model
from asrdemo.errors import DecodingError, ResultError
from asrdemo.registry import LanguageModelSpec
from asrdemo.text import normalise_all
from asrdemo.types import DecoderOptions, Emissions, Word
from evals import emissions_store
from evals.score import score_pairs

MOST_WORKERS = 32


@dataclass(frozen=True)
class Job:
    """How every clip of a run is decoded and scored. keep: also pack the emissions for keeping."""

    options: DecoderOptions
    lm: LanguageModelSpec | None
    calibrations: Calibrations
    profile: str
    keep: bool = False


@dataclass
class Decoded:
    """What became of some clips, by their place among those given.

    rows: columns of evals.results.SCHEMA that come from decoding. problems: why a clip could not be decoded.
    entries: emissions for keeping, see evals.emissions_store.
    """

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that end with the block, and with this process, however it ends.

    Raises ResultError where one of them dies.
    """
    made = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
    try:
        yield made
    except BrokenProcessPool as error:
        raise ResultError(
            "A decoding process ended unexpectedly; the machine may be out of memory. What was finished is kept: run "
            "the same command again to go on, with fewer --workers or a smaller language model."
        ) from error
    finally:
        made.shutdown(wait=True, cancel_futures=True)


def default_workers(spare: int = 1) -> int:
    """A process for every core but the spare ones, which the model keeps busy; a fair share of them where a launcher
    started several runs on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    runs = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(MOST_WORKERS, cores // max(1, int(runs) if runs.isdecimal() else 1) - spare))


def _begin() -> None:
    """Of a worker: Ctrl-C is the parent's business, and nobody outlives a parent that was killed.

    What the C++ libraries print whenever they read a model goes nowhere; Python's errors reach the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def describe(job: Job, emissions: Emissions | None) -> tuple[str, str | None]:
    """Engine that will decode, and fingerprint of the language model. Opens the language model on the way.

    emissions: any of the run, for their vocabulary; None to have the model opened only ("" as engine).
    Raises DecodingError, LanguageModelError.
    """
    lm = open_language_model(job.lm) if job.lm else None
    engine = engine_used(job.options, emissions, lm) if emissions is not None else ""
    return engine, lm.fingerprint if lm else None


def decode_clips(job: Job, references: Sequence[str], heard: Sequence[Emissions]) -> Decoded:
    """Decode and score some clips; one that cannot be decoded does not keep the others. Raises LanguageModelError."""
    done, lm = Decoded(), open_language_model(job.lm) if job.lm else None
    for i, emissions in enumerate(heard):
        began = time.perf_counter()
        try:
            best = decode(emissions, job.options, lm, job.calibrations)[0]
        except DecodingError as error:
            done.problems[i] = str(error)
            continue
        sure = [w.confidence for w in best.words]
        done.rows[i] = {
            "seconds": emissions.duration,
            "hypothesis_raw": best.text,
            "words": best.words,
            "acoustic_score": best.acoustic_score,
            "lm_score": best.lm_score,
            "confidence": fmean(sure) if sure else None,
            "decode_s": time.perf_counter() - began,
        }
        if job.keep:
            done.entries[i] = emissions_store.entry(emissions)
    _score(done, references, heard, job.profile)
    return done


def _score(done: Decoded, references: Sequence[str], heard: Sequence[Emissions], profile: str) -> None:
    """Add the scoring columns and the words' times to the rows."""
    scores = score_pairs([references[i] for i in done.rows], [r["hypothesis_raw"] for r in done.rows.values()], profile)
    columns = {name: list(map(int, v)) if isinstance(v, np.ndarray) else v for name, v in scores.items()}
    for n, (i, row) in enumerate(done.rows.items()):
        row |= {name: values[n] for name, values in columns.items()}
        placed = normalised_words(row.pop("words"), row["hypothesis"].split(), profile)
        row["word_starts"] = [w.start for w in placed]
        row["word_ends"] = [w.end for w in placed]
        row["word_confidences"] = [w.confidence for w in placed]
        letters = len(row["reference"].replace(" ", ""))
        row["speaking_rate"] = letters / heard[i].duration if heard[i].duration else None


def normalised_words(words: Sequence[Word], normalised: Sequence[str], profile: str) -> list[Word]:
    """The words of the normalised text with their times and confidences.

    words: as decoded. normalised: the words of their text, normalised. A word that normalising parted shares its time
    among its parts by their length; one that vanished is left out.
    """
    placed: list[Word] = []
    for word, text in zip(words, normalise_all([w.text for w in words], profile), strict=True):
        parts = text.split()
        total, at = sum(map(len, parts)), word.start
        for part in parts:
            end = at + (word.end - word.start) * len(part) / total
            placed.append(Word(part, at, end, word.confidence))
            at = end
    if [w.text for w in placed] == list(normalised):
        return placed
    # Normalising looked beyond the word (none of the profiles does): take each word from the same place in the text.
    pick = [words[i * len(words) // len(normalised)] for i in range(len(normalised))] if words else []
    return [Word(text, w.start, w.end, w.confidence) for text, w in zip(normalised, pick, strict=True)]
