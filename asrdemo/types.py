"""What crosses from one stage to the next: file -> Clip -> Emissions -> Hypothesis -> Transcript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

SAMPLE_RATE = 16_000  # Hz; every clip is brought to this rate
BLANK = ""  # how the CTC blank is written in a Vocabulary
SPACE = " "  # how the word delimiter (`|` in wav2vec2) is written in a Vocabulary

Progress = Callable[[int, int, str], None]
"""`progress(done, total, note)`: how slow work reports itself, whoever listens."""


@dataclass(frozen=True)
class Clip:
    """One recording, ready for a model.

    samples: mono float32, shape = (n_samples,), at SAMPLE_RATE, in [-1, 1] but for slight overshoot.
    name: what to call it on the page and in exports; never a path of the server.
    """

    samples: np.ndarray
    name: str = "clip"

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Vocabulary:
    """What each column of the emissions stands for.

    tokens: shape = (vocabulary,); BLANK for the CTC blank, SPACE for the word delimiter. Special tokens that
        never belong in a text (`<s>`, `</s>`, `<unk>`, `<mask>`) keep their spelling and are listed in `special`.
    """

    tokens: tuple[str, ...]
    blank: int
    special: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Emissions:
    """What the acoustic model heard: log-probabilities of every token in every frame.

    log_probs: float32, shape = (frames, vocabulary); each row sums to 1 after exp.
    seconds_per_frame: time between two frames (0.02 for the usual wav2vec2 stride of 320).
    cuts: frames, ascending, where a long recording was cut at a pause. Decoders may start afresh there:
        no word runs across a cut.
    """

    log_probs: np.ndarray
    vocabulary: Vocabulary
    seconds_per_frame: float
    duration: float
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True)
class DecoderOptions:
    """How emissions become text.

    kind: `greedy` takes the best token of each frame; `beam` searches, with a language model if `lm` names one.
    lm: id of a language model in the registry, or None.
    beam_width: hypotheses kept after each frame, 1 to 1000.
    alpha: weight of the language model's log10 probability (0 switches it off), 0 to 5.
    beta: bonus for each word, in natural-log units, -10 to 10.
    unk_offset: penalty for a word the language model does not know, -100 to 0.
    beam_prune: beams this much (natural log) below the best are dropped, below 0.
    token_prune: tokens below this log-probability are not tried in a frame, below 0.
    hotwords: words or phrases to favour; hotword_weight: how much, 0 to 50.
    n_best: hypotheses to return, 1 to 20.
    engine: `auto` takes the faster engine that supports the request.
    """

    kind: Literal["greedy", "beam"] = "greedy"
    lm: str | None = None
    beam_width: int = 100
    alpha: float = 0.5
    beta: float = 1.5
    unk_offset: float = -10.0
    beam_prune: float = -10.0
    token_prune: float = -5.0
    hotwords: tuple[str, ...] = ()
    hotword_weight: float = 10.0
    n_best: int = 5
    engine: Literal["auto", "pyctcdecode", "ctc-beam-decoder"] = "auto"


DECODER_RANGES: dict[str, tuple[float, float]] = {
    "beam_width": (1, 1000),
    "n_best": (1, 20),
    "alpha": (0, 5),
    "beta": (-10, 10),
    "unk_offset": (-100, 0),
    "hotword_weight": (0, 50),
}
"""Least and most of the fields of DecoderOptions that have both; wherever options come from, these hold."""
LEAST_PRUNE = -1e6  # beam_prune and token_prune: nothing is pruned here


@dataclass(frozen=True)
class Word:
    """A word at its time. start, end: seconds; confidence: 0 to 1, see asrdemo.decoding.confidence."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """One reading of the emissions.

    acoustic_score: natural-log score of the path(s) without the language model; lm_score: what the language
    model, word bonus and hotwords added (0 for greedy). Their sum ranks an N-best list.
    """

    text: str
    words: tuple[Word, ...]
    acoustic_score: float
    lm_score: float = 0.0

    @property
    def score(self) -> float:
        """What hypotheses are ranked by."""
        return self.acoustic_score + self.lm_score


@dataclass(frozen=True)
class Timings:
    """Where the time went, in wall seconds. acoustic is 0 when the emissions were still at hand."""

    load: float = 0.0
    acoustic: float = 0.0
    decode: float = 0.0


@dataclass(frozen=True)
class Transcript:
    """The answer for one clip: hypotheses best first, and how they came about."""

    clip: str
    duration: float
    hypotheses: tuple[Hypothesis, ...]
    checkpoint: str
    decoder: DecoderOptions
    timings: Timings = field(default_factory=Timings)
    device: str = "cpu"
    precision: str = "fp32"
    engine: str = "greedy"

    @property
    def best(self) -> Hypothesis:
        """The hypothesis shown first."""
        return self.hypotheses[0]

    @property
    def text(self) -> str:
        """Text of the best hypothesis."""
        return self.best.text

    @property
    def rtfx(self) -> float:
        """Audio seconds per wall second of acoustic and decoding work (loading left out)."""
        return self.duration / max(self.timings.acoustic + self.timings.decode, 1e-9)
