"""Greedy decoding of prepared dev sets while a model trains: error rates and a few examples to look at."""

from __future__ import annotations

from dataclasses import dataclass

import jiwer
import numpy as np
import torch

from asrdemo.finetune.data import by_seconds, pad, standardised
from asrdemo.finetune.model import DELIMITER, frames
from asrdemo.finetune.prepare import Shard
from asrdemo.types import SAMPLE_RATE

BATCH_SECONDS = 40.0  # padded audio in an evaluation batch; longer clips go alone


@dataclass(frozen=True)
class Score:
    """Error rates of one dev set (edits over reference words or characters) and its texts in the set's order."""

    wer: float
    cer: float
    clips: int
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    blank_share: float

    def examples(self, count: int) -> list[dict[str, str]]:
        """Evenly spread clips, the same ones every time."""
        chosen = np.linspace(0, self.clips - 1, min(count, self.clips)).astype(int)
        return [{"reference": self.references[i], "hypothesis": self.hypotheses[i]} for i in chosen]


def score(model, shard: Shard, vocab: dict[str, int], precision: str) -> Score:
    """Decode every clip of a shard greedily and score it."""
    hypotheses, blank_share = transcribe(model, shard, vocab, precision)
    references = list(shard.texts)
    return Score(
        wer=jiwer.wer(references, hypotheses),
        cer=jiwer.cer(references, hypotheses),
        clips=len(references),
        references=tuple(references),
        hypotheses=tuple(hypotheses),
        blank_share=blank_share,
    )


def transcribe(model, shard: Shard, vocab: dict[str, int], precision: str) -> tuple[list[str], float]:
    """(texts in the shard's order, share of frames that are blank)."""
    best = [x.argmax(-1) for x in log_probs(model, shard, precision)]
    blanks = sum(int((ids == model.config.pad_token_id).sum()) for ids in best)
    return [collapse(ids, vocab) for ids in best], blanks / max(1, sum(map(len, best)))


def log_probs(model, shard: Shard, precision: str) -> list[np.ndarray]:
    """What the model heard in each clip, in the shard's order: float32, shape = (frames, vocabulary), no padding.

    The model's mode is restored afterwards.
    """
    seconds = shard.lengths / SAMPLE_RATE
    out: list[np.ndarray] = [np.zeros(0)] * len(shard)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    for batch in by_seconds(np.argsort(seconds, kind="stable"), seconds, BATCH_SECONDS):
        inputs = pad([standardised(shard.samples(i)) for i in batch])
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(**{k: v.to(device) for k, v in inputs.items()}).logits
        rows = logits.float().log_softmax(-1).cpu().numpy()
        for row, i in enumerate(batch):
            out[i] = rows[row, : max(0, frames(int(shard.lengths[i]), model.config))]
    model.train(training)
    return out


def collapse(ids: np.ndarray, vocab: dict[str, int]) -> str:
    """CTC's reading of the best token of each frame, shape = (frames,): repeats merged, blanks and specials dropped."""
    tokens = {i: t for t, i in vocab.items()}
    kept = (tokens[i] for i in ids[np.insert(ids[1:] != ids[:-1], 0, True)]) if len(ids) else ()
    text = "".join(" " if t == DELIMITER else t for t in kept if not (t.startswith("<") and t.endswith(">")))
    return " ".join(text.split())
