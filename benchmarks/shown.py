"""What `python -m evals` says of real speech: AN4, speechocean762 and a Common Voice sample, greedy and beam.

Rates with speaker-block intervals, slices by accent, gender, age and length, and the same hypotheses scored by sclite
and jiwer. The corpora are not part of the project; without any of them there is nothing to show.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from asrdemo import settings, text
from asrdemo.acoustic import ModelCache
from asrdemo.errors import NotFoundError, ToolError
from asrdemo.registry import read
from asrdemo.types import DecoderOptions
from benchmarks.common import SHARED, Options, table
from evals.cli.details import agrees
from evals.phonemes import phoneme_errors
from evals.results import Result
from evals.run import Request, evaluate
from evals.sclite import parity
from evals.scored import Scored, load
from evals.slices import slice_table
from evals.source import open_source

CHECKPOINT, LM = "demo-en", "demo-lm"
SETS = (("an4", "test"), ("speechocean762", "dev"), ("cv-corpus-6.1-sample/en", "validated"))
BY = ("accents", "gender", "age", "seconds:2,4,6")
DECODERS = ("greedy", "beam")


def report(options: Options) -> str:
    """Markdown for RESULTS.md. Raises NotFoundError where none of the corpora is at hand."""
    here = [(folder, split) for folder, split in SETS if (SHARED / folder / f"{split}.tsv").is_file()]
    if not here:
        raise NotFoundError("None of AN4, speechocean762 and the Common Voice sample is on this machine.")
    rates, checks, slices = [], [], []
    cache = ModelCache(1, "cpu", "fp32")
    with tempfile.TemporaryDirectory() as scratch:
        for folder, split in here:
            name = f"{folder.split('/')[0]} {split}"
            runs = [_run(SHARED / folder, split, kind, Path(scratch), cache) for kind in DECODERS]
            scored = replace(load([run.folder for run in runs]), runs=DECODERS)
            found = slice_table(scored, BY)
            rates += _rates(name, scored, found)
            checks += [_checked(f"{name}, {kind}", run) for kind, run in zip(DECODERS, runs, strict=True)]
            slices.append(f"### {name}, by slice\n\n{_slices(found)}")
    return "\n\n".join(
        [
            f"{CHECKPOINT}; beam search with {LM}. WER, with the 95 % interval of speaker blocks; PER with espeak-ng.",
            table(["", "clips", "speakers", "WER %", "CER %", "PER %"], rates),
            *slices,
            "### The same hypotheses scored by others: word errors",
            table(["", "clips", "evals", "sclite", "jiwer", "clips with sclite's very steps", "parity"], checks),
        ]
    )


def _run(folder: Path, split: str, kind: str, scratch: Path, cache: ModelCache) -> Result:
    known = read()
    lm = known.language_model(LM) if kind == "beam" else None
    decoder = DecoderOptions(kind="beam", lm=LM, alpha=lm.alpha, beta=lm.beta) if lm else DecoderOptions(kind="greedy")
    source = open_source(str(folder), split, known)
    request = Request(known.checkpoint(CHECKPOINT), source, decoder, lm, source.profile or text.for_language("en"))
    limits = replace(settings.read(), device="cpu", precision="fp32")
    return evaluate(request, scratch / f"{folder.name}-{kind}", limits, cache)


def _rates(name: str, scored: Scored, found: pd.DataFrame) -> list[list[str]]:
    """A line a decoder."""
    lines = []
    for row in found[found["by"] == ""].to_dict("records"):
        try:
            per = f"{100 * phoneme_errors(scored, row['run']).interval.rate:.1f}"
        except (NotFoundError, ToolError):  # no espeak-ng here
            per = "not measured"
        lines.append(
            [f"{name}, {row['run']}", row["clips"], row["speakers"], _rate(row), f"{100 * row['cer']:.1f}", per]
        )
    return lines


def _slices(found: pd.DataFrame) -> str:
    """A table of the slices with enough support, and the names of the others."""
    lines, lacking = [], []
    for (by, label), rows in found[found["by"] != ""].groupby(["by", "slice"], sort=False):
        first = rows.iloc[0]
        if first["status"] == "ok":
            kept = [_rate(row) for row in rows.to_dict("records")]
            lines.append([f"{by.split(':')[0]}: {label}", first["clips"], first["speakers"], *kept])
        else:
            lacking.append(f"{label} ({first['reason']})")
    shown = table(["slice", "clips", "speakers", *(f"{kind}, WER %" for kind in DECODERS)], lines)
    return f"{shown}\n\nInsufficient: {'; '.join(lacking)}." if lacking else shown


def _rate(row: dict) -> str:
    return f"{100 * row['wer']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _checked(name: str, result: Result) -> list[object]:
    try:
        found = parity(result.read(["reference", "hypothesis"]))
    except NotFoundError:
        return [name, "", "", "not installed", "", "", ""]
    errors = {row["scorer"]: row["errors"] for row in found["table"]}
    steps = f"{found['same_steps_with_its_costs']} with its costs, {found['same_steps']} without"
    holds = "holds" if agrees(found) else "differs"
    return [name, found["clips"], errors["evals"], errors["sclite"], errors["jiwer"], steps, holds]
