"""The figures of all clips of a filter: WER and CER with intervals, support, speed; of every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evals import bootstrap
from evals.scored import Scored
from evals.slices import NO_ERROR, USUAL_SUPPORT, WHOLE
from evals.sums import Sums, Support


@dataclass(frozen=True)
class Rate:
    """A fraction with its 95 % interval; nan where the support does not suffice."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """One run. errors, words: counted, whatever the support. lacking: why no rate is shown, "" if one is.

    raw: WER of the texts as written, nan where the rows do not say. rtfx: seconds of audio for each second that the
    clips took to hear and decode, nan likewise. substitutions, deletions, insertions: how many.
    """

    run: str
    clips: int
    speakers: int
    words: int
    hours: float
    lacking: str
    errors: int
    wer: Rate
    cer: Rate
    raw: float
    rtfx: float
    substitutions: int
    deletions: int
    insertions: int


def headlines(
    scored: Scored,
    mask: np.ndarray | None = None,
    *,
    support: Support = USUAL_SUPPORT,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
) -> list[Headline]:
    """A headline for each run. WER and its interval are those of the first rows of evals.slices.slice_table.

    mask: which clips, see evals.filters. A whole corpus is never insufficient.
    """
    inside = np.ones(len(scored), bool) if mask is None else mask
    whole = Sums(scored, mask, replicates, seed).everything()
    clips, speakers, words = (int(each[0]) for each in (whole.clips, whole.speakers, whole.words))
    hours = float(whole.seconds[0]) / 3600
    lacking = (WHOLE if mask is None else support).lacking(speakers, words)
    drawn = whole.drawn_errors[:, 0], whole.drawn_words[0]
    wers = _rates(whole.errors[:, 0], whole.reference[0], *drawn, float(whole.effective[0]), lacking)
    cers = _character_rates(scored, inside, replicates, seed, lacking)
    rtfx = speeds(scored, inside)
    found = []
    for run, name in enumerate(scored.runs):
        raw_errors, raw_words = (_total(scored, column, run, inside) for column in ("raw_errors", "raw_words"))
        kinds = [int(each[run, 0]) for each in (whole.substitutions, whole.deletions, whole.insertions)]
        raw = raw_errors / raw_words if raw_words and not lacking else np.nan
        errors, wer, cer = sum(kinds), wers[run], cers[run]
        found.append(Headline(name, clips, speakers, words, hours, lacking, errors, wer, cer, raw, rtfx[run], *kinds))
    return found


def speeds(scored: Scored, mask: np.ndarray | None = None) -> list[float]:
    """RTFx of each run on the clips of the mask: seconds of audio for each second that they took; nan where the rows do
    not say how long that was."""
    inside = np.ones(len(scored), bool) if mask is None else mask
    audio = _total(scored, "seconds", 0, inside)
    taken = (sum(_total(scored, f"{part}_s", run, inside) for part in ("acoustic", "decode"))
             for run in range(len(scored.runs)))  # fmt: skip
    return [audio / each if each else np.nan for each in taken]


def _character_rates(scored: Scored, inside: np.ndarray, replicates: int, seed: int, lacking: str) -> list[Rate]:
    sums = [
        np.bincount(scored.block, each * inside, scored.blocks) for each in (scored.characters, *scored.char_errors)
    ]
    blocks = np.stack(sums, axis=1).astype(np.int64)
    drawn = bootstrap.replicate(blocks, replicates, seed)
    effective = float(bootstrap.effective_blocks(blocks[:, :1])[0])
    totals = blocks.sum(axis=0)
    return _rates(totals[1:], totals[0], drawn[1:], drawn[0], effective, lacking)


def _rates(
    errors: np.ndarray, units: int, drawn_errors: np.ndarray, drawn_units: np.ndarray, effective: float, lacking: str
) -> list[Rate]:
    """One a run. errors: (runs,); drawn_errors: (runs, replicates); without any error the high end is Poisson's."""
    if lacking or not units:
        return [Rate(np.nan, np.nan, np.nan)] * len(errors)
    low, high = bootstrap.rate_ends(errors / units, bootstrap.ratio(drawn_errors, drawn_units), np.array(effective))
    high = np.where((errors == 0) & ~np.isnan(high), NO_ERROR / units, high)
    return [Rate(float(e / units), float(a), float(b)) for e, a, b in zip(errors, low, high, strict=True)]


def _total(scored: Scored, column: str, run: int, inside: np.ndarray) -> float:
    """Sum of a column of numbers over clips; 0 where the rows do not say."""

    def read() -> np.ndarray:
        values = scored.column(column, run).to_numpy()
        return np.nan_to_num(values.astype(np.float64)).astype(np.float32)

    values: np.ndarray = scored.once(("filled", column, run), read)
    return float(np.dot(values.astype(np.float64), inside))
