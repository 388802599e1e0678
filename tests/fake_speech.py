"""A transcriber whose answers are known, so that pages and handlers can be tested without a model.

Greedy hears SAID; beam search mends its last word. The answer depends on the options as the real one's does: the
number of readings, the language model's share of the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asrdemo.registry import CheckpointSpec, CorpusSpec, LanguageModelSpec, Registry
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.types import Clip, DecoderOptions, Hypothesis, Progress, Timings, Transcript, Word

SAID = "please call the doctor at nein"
MENDED = "please call the doctor at nine"
CONFIDENCE = (0.98, 0.95, 0.97, 0.41, 0.93, 0.72)


def registry(corpus: Path | None = None) -> Registry:
    """Two checkpoints (one on the Hub), a language model, and a corpus if its folder is given."""
    here = Path(__file__).parent  # nothing is loaded from it
    decoder = DecoderOptions(lm="tiny-lm", alpha=0.7, beta=2.0)
    demo = CheckpointSpec("tiny", "Tiny English", "en", "en", path=here / "data" / "fake-checkpoint", decoder=decoder)
    far = CheckpointSpec(
        "far", "Far Turkish", "tr", "tr", hub="someone/far-turkish", revision="main", note="on <the> Hub"
    )
    lm = LanguageModelSpec("tiny-lm", "Tiny 3-gram", "en", path=here / "tiny.arpa", alpha=0.7, beta=2.0)
    corpora = {"clips": CorpusSpec("clips", "A few clips", "en", "en", corpus)} if corpus else {}
    return Registry({"tiny": demo, "far": far}, {"tiny-lm": lm}, corpora)


class FakeTranscriber(Transcriber):
    """Everything but the hearing is the real one's. calls: what was asked; heard: clips the model was run on."""

    def __init__(self, registry: Registry, settings: Settings | None = None) -> None:
        super().__init__(registry, settings)
        self.calls: list[tuple[list[str], str, DecoderOptions]] = []
        self.heard: list[str] = []
        self.lengths: dict[str, tuple[float, float]] = {}  # clip -> seconds, loudest sample
        self._heard: set[tuple[str, bytes]] = set()

    def transcribe(
        self,
        clips: Sequence[Clip],
        checkpoint: str,
        options: DecoderOptions | None = None,
        progress: Progress | None = None,
    ) -> list[Transcript]:
        options = options or self.defaults(checkpoint)
        self.registry.checkpoint(checkpoint)
        if options.lm:
            self.registry.language_model(options.lm)
        self.calls.append(([clip.name for clip in clips], checkpoint, options))
        return [self._one(clip, checkpoint, options) for clip in clips]

    def _one(self, clip: Clip, checkpoint: str, options: DecoderOptions) -> Transcript:
        key = (checkpoint, clip.samples.tobytes())
        new = key not in self._heard
        if new:
            self._heard.add(key)
            self.heard.append(clip.name)
            self.lengths[clip.name] = clip.duration, float(abs(clip.samples).max())
        best = hypothesis(
            MENDED if options.kind == "beam" else SAID, clip.duration, options.alpha if options.lm else 0.0
        )
        hypotheses = (best, hypothesis(SAID, clip.duration, 0.0, -13.5)) if options.kind == "beam" else (best,)
        timings = Timings(0.0, 0.2 if new else 0.0, 0.001)
        engine = "pyctcdecode" if options.kind == "beam" else "greedy"
        return Transcript(clip.name, clip.duration, hypotheses, checkpoint, options, timings, "cpu", "fp32", engine)


def hypothesis(text: str, duration: float, lm: float = 0.0, acoustic: float = -12.25) -> Hypothesis:
    """Words spread evenly over the clip."""
    parts = text.split()
    step = duration / max(1, len(parts))
    words = tuple(
        Word(w, i * step, (i + 0.9) * step, c) for i, (w, c) in enumerate(zip(parts, CONFIDENCE, strict=False))
    )
    return Hypothesis(text, words, acoustic, lm)
