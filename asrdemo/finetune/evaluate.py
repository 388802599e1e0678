"""Scoring of prepared dev sets while a model trains: error rates, also by slice, and examples to look at.

References and hypotheses are both normalised by the recipe's profile, as everywhere in the app. The best token of each
frame is taken where the model runs; whole log-probabilities leave it only for a language model, one batch at a time.
Recordings over LONGEST_PASS are heard in windows, as the app hears them, and a batch that memory does not suffice for
in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from asrdemo.acoustic.model import Geometry
from asrdemo.acoustic.segments import windows
from asrdemo.decoding import LanguageModel, decode
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, loss, scores
from asrdemo.finetune.data import by_seconds, pad, standardised
from asrdemo.finetune.prepare import Shard
from asrdemo.finetune.recipe import Recipe
from asrdemo.text import normalise_all
from asrdemo.types import SAMPLE_RATE, SPACE, DecoderOptions, Emissions, Vocabulary

BATCH_SECONDS = 40.0  # padded audio in an evaluation batch
LONGEST_PASS = 40.0  # seconds that the model hears at once: attention grows with the square of them


@dataclass(frozen=True)
class Score:
    """What a model makes of a dev set; every sequence is in the set's order.

    loss: CTC, nats a label, over the clips of at most LONGEST_PASS whose labels fit. blank_share: of all frames.
    references, hypotheses: normalised. slices: column -> value -> (clips, WER), values of at least LEAST_CLIPS clips; a
    clip of several accents counts for each. lm_*: with the language model, without one None and nothing.
    """

    loss: float
    blank_share: float
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    counts: scores.Counts
    slices: dict[str, dict[str, tuple[int, float]]]
    lm_hypotheses: tuple[str, ...] = ()
    lm_counts: scores.Counts | None = None

    @property
    def wer(self) -> float:
        """Edits over words of the references, a fraction."""
        return self.counts.wer

    @property
    def cer(self) -> float:
        """Edits over characters of the references, a fraction."""
        return self.counts.cer

    @property
    def lm_wer(self) -> float | None:
        """As `wer`."""
        return self.lm_counts.wer if self.lm_counts else None

    @property
    def letters(self) -> int:
        """Different characters among all hypotheses, the space left out."""
        return len(set("".join(self.hypotheses)) - {" "})

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
    tell: Callable[[int], None] | None = None,
) -> Score:
    """Decode every clip of a shard and score it; the model's mode is restored afterwards. tell: clips done so far.

    Raises TrainingError where memory does not suffice for a single clip.
    """
    heard: list[Any] = [None] * len(shard)
    training = model.training
    model.eval()
    try:
        for done, (i, clip) in enumerate(_hear(model, start, shard, precision, search), 1):
            heard[i] = clip
            if tell:
                tell(done)
    finally:
        model.train(training)
    name = start.recipe.normalisation
    references, hypotheses = tuple(shard.texts), tuple(normalise_all([h.text for h in heard], name))
    lm_texts = tuple(normalise_all([h.lm_text for h in heard], name)) if search else ()
    counts = scores.counts(references, hypotheses, name)
    return Score(
        loss=sum(h.nll for h in heard) / max(1, sum(h.labels for h in heard)),
        blank_share=sum(h.blanks for h in heard) / max(1, sum(h.frames for h in heard)),
        references=references,
        hypotheses=hypotheses,
        counts=counts,
        slices={column: _by(np.asarray(shard.column(column)), counts) for column in slices},
        lm_hypotheses=lm_texts,
        lm_counts=scores.counts(references, lm_texts, name) if search else None,
    )


def _hear(
    model: Any, start: base.Start, shard: Shard, precision: str, search: Search | None
) -> Iterator[tuple[int, _Heard]]:
    """(place, what was heard) of every clip, shortest first."""
    words, blank = start.words, start.words.blank
    step = float(np.prod(model.config.conv_stride)) / SAMPLE_RATE
    for batch in batches(shard.lengths, start.masks):
        for i, logits in zip(batch, _logits(model, start, [shard.samples(i) for i in batch], precision), strict=True):
            ids, seconds = logits.argmax(-1).cpu().numpy(), int(shard.lengths[i]) / SAMPLE_RATE
            written = base.labels(shard.texts[i], start) if seconds <= LONGEST_PASS else None
            nll, labels = _loss(logits, written, blank)
            text = ""
            if search:
                rows = logits.float().log_softmax(-1).cpu().numpy()
                text = decode(Emissions(rows, words, step, seconds), search.options, search.lm)[0].text
            yield i, _Heard(collapse(ids, words), int((ids == blank).sum()), len(ids), nll, labels, text)


def batches(lengths: np.ndarray, masks: bool) -> list[list[int]]:
    """Places of the clips that run together, the shortest first. Where the model takes no mask, only clips of the very
    same length do: it would hear their padding. lengths: in samples."""
    order, seconds = np.argsort(lengths, kind="stable"), lengths / SAMPLE_RATE
    alike = [order] if masks else np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    return [batch for group in alike for batch in by_seconds(group, seconds, BATCH_SECONDS)]


def _logits(model: Any, start: base.Start, waves: list[np.ndarray], precision: str) -> list[torch.Tensor]:
    """What the model makes of each clip, shape = (frames, vocabulary). Raises TrainingError for want of memory."""
    longest = max(map(len, waves)) / SAMPLE_RATE
    inputs = [standardised(w) if start.standardise else w for w in waves]
    try:
        if longest <= LONGEST_PASS or getattr(model.config, "add_adapter", False):  # frames of its own
            return _pass(model, start, inputs, precision)
        return [_windowed(model, start, *both, precision) for both in zip(waves, inputs, strict=True)]
    except torch.OutOfMemoryError as error:
        if len(waves) == 1:
            raise TrainingError(
                f"Out of memory while scoring a clip of {longest:.1f} s. Take a smaller base, or a machine with more "
                "memory."
            ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(waves) // 2
    return [x for part in (waves[:half], waves[half:]) for x in _logits(model, start, part, precision)]


def _pass(model: Any, start: base.Start, inputs: list[np.ndarray], precision: str) -> list[torch.Tensor]:
    """Clips at once; see `_logits`."""
    device = next(model.parameters()).device
    batch = pad([torch.from_numpy(wave) for wave in inputs], start.masks)
    with torch.inference_mode(), autocast(device, precision):
        logits = model(**{name: value.to(device) for name, value in batch.items()}).logits
    counts = [max(0, int(base.frames(len(wave), model.config))) for wave in inputs]
    return [row[:count] for row, count in zip(logits, counts, strict=True)]


def _windowed(model: Any, start: base.Start, samples: np.ndarray, wave: np.ndarray, precision: str) -> torch.Tensor:
    """A long clip, cut where the app cuts it; see `_logits`. samples: as recorded; wave: as the model expects them."""
    g = Geometry.of(model.config.conv_kernel, model.config.conv_stride)
    parts = []
    for w in windows(samples, g.stride, g.receptive):
        (logits,) = _pass(model, start, [wave[w.start : w.end]], precision)
        parts.append(logits[w.skip : w.skip + w.last - w.first])
    return torch.cat(parts)


def _loss(logits: torch.Tensor, ids: np.ndarray | None, blank: int) -> tuple[float, int]:
    """(loss summed, labels counted) of one clip, (0, 0) where its labels cannot be scored."""
    if ids is None or not len(ids) or base.frames_needed(ids) > len(logits):
        return 0.0, 0
    frames = torch.tensor([len(logits)], device=logits.device)
    return float(loss.ctc_sum(logits[None], frames, [torch.from_numpy(ids)], blank)), len(ids)


def precision(recipe: Recipe) -> str:
    """The recipe's; for `auto` bf16 where the processor is made for it, else fp32. Never fp16, whose largest number is
    65,504: losses and gradients of long batches overflow it."""
    chosen = recipe.batches.precision
    if chosen != "auto":
        return chosen
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


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


def _by(values: np.ndarray, counts: scores.Counts) -> dict[str, tuple[int, float]]:
    """WER of each value of a column with clips enough, in its order; the unknown last."""
    found = {}
    for value, holding in scores.members(values.tolist()).items():
        of = np.isin(values, holding)
        edits, words = int(counts.edits[of].sum()), int(counts.words[of].sum())
        if of.sum() >= scores.LEAST_CLIPS and words:
            found[value or "not stated"] = (int(of.sum()), round(edits / words, 4))
    return found
