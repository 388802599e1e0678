"""Emissions -> hypotheses: each span between cuts on its own, then put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrdemo.decoding import beam, columns, confidence, engines, greedy
from asrdemo.decoding.columns import Columns
from asrdemo.decoding.confidence import Calibrations
from asrdemo.decoding.greedy import Piece
from asrdemo.decoding.language_model import LanguageModel
from asrdemo.decoding.options import spell, validate
from asrdemo.errors import DecodingError
from asrdemo.types import DecoderOptions, Emissions, Hypothesis, Word


class Reading(NamedTuple):
    """One reading of one span. Frames of the words count from the start of the emissions."""

    words: tuple[Piece, ...]
    acoustic: float
    extra: float

    @property
    def score(self) -> float:
        """What readings are ranked by."""
        return self.acoustic + self.extra

    @property
    def text(self) -> str:
        """Its words, separated by spaces."""
        return " ".join(w.text for w in self.words)


def decode(
    emissions: Emissions,
    options: DecoderOptions,
    lm: LanguageModel | None = None,
    calibrations: Calibrations | None = None,
) -> tuple[Hypothesis, ...]:
    """Hypotheses, best first: one for greedy, up to options.n_best different texts for beam; never none.

    A span between two cuts is decoded as a sentence of its own. The best hypothesis joins the best reading of each
    span; the others change one span each, those that cost the least score first.

    calibrations: maps of the word confidences, see asrdemo.decoding.confidence. Raises DecodingError for options
    out of range, hotwords that cannot be written, and emissions that do not fit their vocabulary.
    """
    return hypotheses(readings(emissions, options, lm), emissions, options, calibrations or Calibrations())


def engine_used(options: DecoderOptions, emissions: Emissions, lm: LanguageModel | None = None) -> str:
    """`greedy`, `pyctcdecode` or `ctc-beam-decoder`: what decode() takes for these. Raises DecodingError."""
    validate(options)
    if options.kind == "greedy":
        return "greedy"
    return engines.choose(options, columns.columns(emissions.vocabulary), lm)


def readings(emissions: Emissions, options: DecoderOptions, lm: LanguageModel | None) -> list[list[Reading]]:
    """The readings of each span, best first. Raises DecodingError, see decode."""
    validate(options)
    if options.kind == "beam" and options.lm is not None and lm is None:
        raise DecodingError(f"lm is {options.lm!r}, but that language model was not given to decode().")
    kept = columns.columns(emissions.vocabulary)
    scores = columns.scores(emissions)
    if options.kind == "greedy":
        return [_greedy(scores[a:b], a, kept) for a, b in columns.spans(emissions)]
    hotwords = spell(options.hotwords, kept)
    engine = engines.choose(options, kept, lm)
    return [_beam(engine, scores[a:b], a, kept, options, lm, hotwords) for a, b in columns.spans(emissions)]


def _greedy(x: np.ndarray, offset: int, kept: Columns) -> list[Reading]:
    path = greedy.runs(columns.normalised(x), kept.blank)
    return [Reading(tuple(_shifted(w, offset) for w in greedy.words(path, kept)), path.total, 0.0)]


def _beam(
    engine: str,
    x: np.ndarray,
    offset: int,
    kept: Columns,
    options: DecoderOptions,
    lm: LanguageModel | None,
    hotwords: tuple[str, ...],
) -> list[Reading]:
    log_probs = columns.normalised(x)
    beams = beam.decode_span(engine, x, log_probs, kept, options, lm, hotwords)
    path = greedy.runs(log_probs, kept.blank)
    spoken = [[(w, *frames) for w, frames in zip(b.text.split(), b.frames, strict=False)] for b in beams]
    return [
        Reading(tuple(_shifted(w, offset) for w in words), b.acoustic, b.extra)
        for b, words in zip(beams, confidence.place(log_probs, path, kept, spoken), strict=True)
    ]


def _shifted(piece: Piece, frames: int) -> Piece:
    return Piece(piece.text, piece.start + frames, piece.end + frames, piece.log_probs)


def hypotheses(
    spans: Sequence[Sequence[Reading]], emissions: Emissions, options: DecoderOptions, calibrations: Calibrations
) -> tuple[Hypothesis, ...]:
    """Readings of the spans joined into hypotheses, best first."""
    best = [span[0] for span in spans]
    changes = [(0.0, best)]
    for i, span in enumerate(spans):
        changes += [(best[i].score - other.score, [*best[:i], other, *best[i + 1 :]]) for other in span[1:]]
    changes.sort(key=lambda change: change[0])  # stable, so the joined best ones stay first
    calibrate = calibrations.greedy if options.kind == "greedy" else calibrations.beam
    unique: dict[str, Hypothesis] = {}
    for _, parts in changes:
        text = " ".join(part.text for part in parts if part.words)
        if text not in unique:
            words = tuple(_timed(w, emissions, calibrate) for part in parts for w in part.words)
            acoustic, extra = sum(p.acoustic for p in parts), sum(p.extra for p in parts)
            unique[text] = Hypothesis(text, words, float(acoustic), float(extra))
        if len(unique) == options.n_best:
            break
    return tuple(unique.values())


def _timed(piece: Piece, emissions: Emissions, calibrate: confidence.Calibration) -> Word:
    end = min(piece.end * emissions.seconds_per_frame, emissions.duration)
    start = min(piece.start * emissions.seconds_per_frame, end)
    return Word(piece.text, start, end, calibrate(piece.log_probs))
