"""Scoring of prepared dev sets while a model trains: error rates, also by slice, and examples to look at.

The best token of each frame is taken where the model runs; whole log-probabilities leave it only for a language model,
one batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from asrdemo.decoding import LanguageModel, decode
from asrdemo.finetune import base, loss
from asrdemo.finetune.data import by_seconds, pad, standardised
from asrdemo.finetune.prepare import Shard
from asrdemo.types import SAMPLE_RATE, SPACE, DecoderOptions, Emissions, Vocabulary

BATCH_SECONDS = 40.0  # padded audio in an evaluation batch; longer clips go alone
LEAST_CLIPS = 5  # of a slice that is told


@dataclass(frozen=True)
class Score:
    """What a model makes of a dev set; every sequence is in the set's order.

    wer, cer: edits over reference words or characters, fractions. loss: CTC, nats a label, over the clips whose labels
    fit. blank_share: of all frames. slices: column -> value -> (clips, WER), values of at least LEAST_CLIPS clips.
    lm_wer: with the language model, None without one.
    """

    wer: float
    cer: float
    loss: float
    blank_share: float
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    slices: dict[str, dict[str, tuple[int, float]]]
    lm_wer: float | None = None
    lm_hypotheses: tuple[str, ...] = ()

    def examples(self, count: int) -> list[dict[str, str]]:
        """Evenly spread clips, the same ones every time."""
        chosen = np.linspace(0, len(self.references) - 1, min(count, len(self.references))).astype(int)
        lm = {int(i): {"with_lm": self.lm_hypotheses[i]} for i in chosen if self.lm_hypotheses}
        return [
            {"reference": self.references[i], "hypothesis": self.hypotheses[i], **lm.get(int(i), {})} for i in chosen
        ]


class Search(NamedTuple):
    """A language model to decode with, and how."""

    lm: LanguageModel
    options: DecoderOptions


@dataclass(frozen=True)
class _Heard:
    """Of a clip: the text, blank frames and all frames, the loss summed, its labels (0 where they do not fit)."""

    text: str
    blanks: int
    frames: int
    nll: float
    labels: int
    lm_text: str = ""


def score(
    model: Any,
    start: base.Start,
    shard: Shard,
    precision: str,
    slices: tuple[str, ...] = (),
    search: Search | None = None,
) -> Score:
    """Decode every clip of a shard and score it; the model's mode is restored afterwards."""
    heard: list[Any] = [None] * len(shard)
    training = model.training
    model.eval()
    try:
        for i, clip in _hear(model, start, shard, precision, search):
            heard[i] = clip
    finally:
        model.train(training)
    references, hypotheses = tuple(shard.texts), tuple(h.text for h in heard)
    edits, words = _edits([r.split() for r in references], [h.split() for h in hypotheses])
    letters, characters = _edits(references, hypotheses)
    lm_texts = tuple(h.lm_text for h in heard) if search else ()
    lm_edits = _edits([r.split() for r in references], [t.split() for t in lm_texts])[0].sum() if search else 0
    return Score(
        wer=float(edits.sum() / max(1, words.sum())),
        cer=float(letters.sum() / max(1, characters.sum())),
        loss=sum(h.nll for h in heard) / max(1, sum(h.labels for h in heard)),
        blank_share=sum(h.blanks for h in heard) / max(1, sum(h.frames for h in heard)),
        references=references,
        hypotheses=hypotheses,
        slices={column: _by(np.asarray(shard.column(column)), edits, words) for column in slices},
        lm_wer=float(lm_edits / max(1, words.sum())) if search else None,
        lm_hypotheses=lm_texts,
    )


def _hear(
    model: Any, start: base.Start, shard: Shard, precision: str, search: Search | None
) -> Iterator[tuple[int, _Heard]]:
    """(place, what was heard) of every clip, shortest first."""
    seconds = shard.lengths / SAMPLE_RATE
    device = next(model.parameters()).device
    words, blank = start.words, start.words.blank
    step = float(np.prod(model.config.conv_stride)) / SAMPLE_RATE
    for batch in by_seconds(np.argsort(seconds, kind="stable"), seconds, BATCH_SECONDS):
        waves = [shard.samples(i) for i in batch]
        inputs = pad([torch.from_numpy(standardised(w) if start.standardise else w) for w in waves], start.masks)
        with torch.inference_mode(), autocast(device, precision):
            logits = model(**{k: v.to(device) for k, v in inputs.items()}).logits
        best = logits.argmax(-1).cpu().numpy()
        for row, i in enumerate(batch):
            count = max(0, int(base.frames(int(shard.lengths[i]), model.config)))
            ids = best[row, :count]
            nll, labels = _loss(logits[row, :count], base.labels(shard.texts[i], start), blank)
            text = ""
            if search:
                rows = logits[row, :count].float().log_softmax(-1).cpu().numpy()
                heard = Emissions(rows, words, step, float(seconds[i]))
                text = decode(heard, search.options, search.lm)[0].text
            yield i, _Heard(collapse(ids, words), int((ids == blank).sum()), count, nll, labels, text)


def _loss(logits: torch.Tensor, ids: np.ndarray | None, blank: int) -> tuple[float, int]:
    """(loss summed, labels counted) of one clip, (0, 0) where its labels cannot be scored."""
    if ids is None or not len(ids) or base.frames_needed(ids) > len(logits):
        return 0.0, 0
    frames = torch.tensor([len(logits)], device=logits.device)
    return float(loss.ctc_sum(logits[None], frames, [torch.from_numpy(ids)], blank)), len(ids)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model of this precision runs."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.bfloat16)
    return torch.autocast(device.type, kind, enabled=precision in ("bf16", "fp16"))


def collapse(ids: np.ndarray, words: Vocabulary) -> str:
    """CTC's reading of the best token of each frame, shape = (frames,): repeats merged, blanks and specials dropped."""
    kept = ids[np.insert(ids[1:] != ids[:-1], 0, True)] if len(ids) else ids
    silent = words.special | {words.blank}
    text = "".join(" " if words.tokens[i] == SPACE else words.tokens[i] for i in kept if i not in silent)
    return " ".join(text.split())


def _edits(references: Any, hypotheses: Any) -> tuple[np.ndarray, np.ndarray]:
    """(edits, length of the reference) of each pair of sequences."""
    pairs = zip(references, hypotheses, strict=True)
    edits = np.array([Levenshtein.distance(r, h) for r, h in pairs], dtype=np.int64)
    return edits, np.array([len(r) for r in references], dtype=np.int64)


def _by(values: np.ndarray, edits: np.ndarray, words: np.ndarray) -> dict[str, tuple[int, float]]:
    """WER of each value of a column with clips enough, in its order; the unknown last."""
    found = {}
    for value in sorted(set(values.tolist()), key=lambda v: (not v, v)):
        of = values == value
        if of.sum() >= LEAST_CLIPS and words[of].sum():
            found[value or "not stated"] = (int(of.sum()), round(float(edits[of].sum() / words[of].sum()), 4))
    return found
