"""Seconds of audio a second on the CPU: our Transcriber beside transformers' ASR pipeline, on the same arrays.

Both get samples in memory (reading the files is left out on both sides), the same number of threads, greedy
decoding, and a warm-up; loading is left out. The pipeline is called as its documentation shows, with float32
weights: clip by clip, and with batch_size=8. Ours runs in the precision it chooses for itself, and in float32.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrdemo import audio
from asrdemo.acoustic import ModelCache
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.transcribe import Transcriber
from asrdemo.types import SAMPLE_RATE, Clip, DecoderOptions
from benchmarks.common import ROOT, Options, interleaved, real_clips, spread, table
from evals.score import score

DEMO = ROOT / "demo" / "checkpoints" / "demo-en"


def report(options: Options) -> str:
    """Markdown: one table for demo-en, one for a wav2vec2-base shape."""
    picked = real_clips(options.clips)
    clips = [audio.read_clip(path) for path, _ in picked]
    references = [sentence for _, sentence in picked]
    with _threads(options.threads), tempfile.TemporaryDirectory() as scratch:
        base = base_shape(Path(scratch) / "base", clips)
        parts = [
            f"{len(clips)} clips, {min(c.duration for c in clips):.1f} to {max(c.duration for c in clips):.1f} s, "
            f"{sum(c.duration for c in clips):.0f} s together; {options.threads} threads; {options.runs} runs, "
            "interleaved; median (least - most). Ratio: the pipeline's time over ours, run by run.",
            "### demo-en (6.5 M parameters, layer norm)",
            compare(DEMO, clips, references, options.runs),
            "### wav2vec2-base shape (95 M parameters, group norm, random encoder)",
            "Its head is fitted to demo-en's output, so that frames have winners as they do in a trained model; "
            "its WER says nothing but whether both sides agree.",
            compare(base, clips, references, options.runs),
        ]
    return "\n\n".join(parts)


def compare(checkpoint: Path, clips: list[Clip], references: list[str], runs: int) -> str:
    """One checkpoint: both sides timed, texts compared, rates against the references."""
    pipe = pipeline(checkpoint)
    arrays = [clip.samples for clip in clips]
    sides: dict[str, Callable[[list[np.ndarray]], list[str]]] = {
        "pipeline, clip by clip": lambda given: [pipe(_raw(a))["text"] for a in given],
        "pipeline, batch_size=8": lambda given: [r["text"] for r in pipe([_raw(a) for a in given], batch_size=8)],
    }
    for precision in ("auto", "fp32"):
        name, side = ours(checkpoint, precision)
        sides.setdefault(name, side)  # where auto chooses fp32 there is one row
    texts: dict[str, list[str]] = {}

    def work(name: str) -> Callable[[], None]:
        return lambda: texts.update({name: sides[name](arrays)})

    for side in sides.values():
        side(arrays[:2])
    seconds = interleaved({name: work(name) for name in sides}, runs)
    total = sum(clip.duration for clip in clips)
    plain = "pipeline, clip by clip"
    expected = [" ".join(t.lower().split()) for t in texts[plain]]  # the pipeline keeps double spaces
    rows = []
    for name, taken in seconds.items():
        got = [" ".join(t.lower().split()) for t in texts[name]]
        found = score(references, got, "en")
        ratios = [a / b for a, b in zip(seconds[plain], taken, strict=True)]
        same = sum(a == b for a, b in zip(expected, got, strict=True)) / len(got)
        against = score(expected, got, "en").wer
        rates = [f"{100 * found.wer:.2f} %", f"{100 * against:.2f} %"]
        rows.append([name, spread([total / t for t in taken], 1), spread(ratios), f"{100 * same:.1f} %", *rates])
    return table(["", "RTFx", "ratio", "clips with equal text", "WER", "word differences"], rows)


def pipeline(checkpoint: Path) -> Any:
    """transformers' pipeline for this folder, on the CPU."""
    from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer
    from transformers import pipeline as make

    return make(
        "automatic-speech-recognition",
        model=AutoModelForCTC.from_pretrained(checkpoint, dtype=torch.float32).eval(),
        feature_extractor=AutoFeatureExtractor.from_pretrained(checkpoint),
        tokenizer=AutoTokenizer.from_pretrained(checkpoint),
        device="cpu",
    )


def _raw(samples: np.ndarray) -> dict[str, Any]:
    return {"raw": samples.copy(), "sampling_rate": SAMPLE_RATE}  # the pipeline empties the dict it is given


def ours(checkpoint: Path, precision: str) -> tuple[str, Callable[[list[np.ndarray]], list[str]]]:
    """A name with the precision that was chosen, and the call a page would make; nothing is kept between calls."""
    spec = CheckpointSpec(id="checkpoint", title="", language="en", profile="en", path=checkpoint)
    transcriber = Transcriber(Registry({spec.id: spec}), cache=ModelCache(1, "cpu", precision), keep_bytes=0)
    chosen = transcriber.model(spec.id).precision
    greedy = DecoderOptions(kind="greedy")

    def side(arrays: list[np.ndarray]) -> list[str]:
        return [t.text for t in transcriber.transcribe([Clip(a) for a in arrays], spec.id, greedy)]

    return f"ours, {chosen}", side


def base_shape(folder: Path, clips: list[Clip]) -> Path:
    """A checkpoint of wav2vec2-base's shape with random weights and demo-en's vocabulary, made here.

    With a random head no token wins clearly and rounding alone changes the text, which no trained model does. So
    the head is a ridge regression from the random encoder's features to demo-en's (centred) log-probabilities.
    """
    from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    tokenizer.save_pretrained(folder)
    teacher = pipeline(DEMO).model
    config = Wav2Vec2Config(vocab_size=teacher.config.vocab_size, pad_token_id=teacher.config.pad_token_id)
    model = Wav2Vec2ForCTC(config).eval()
    extractor = AutoFeatureExtractor.from_pretrained(DEMO)
    xs, ys = [], []
    with torch.inference_mode():
        for clip in sorted(clips, key=lambda c: c.duration)[-24:]:
            values = extractor(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
            hidden, wanted = model.wav2vec2(values).last_hidden_state[0], teacher(values).logits[0].log_softmax(-1)
            wanted = wanted[torch.arange(len(hidden)) * len(wanted) // len(hidden)]  # demo-en's frames may be longer
            xs.append(hidden.double())
            ys.append((wanted - wanted.mean(-1, keepdim=True)).double())
    x, y = torch.cat(xs), torch.cat(ys)
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    gram = ones.T @ ones + 1e-3 * len(x) * torch.eye(ones.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, ones.T @ y).float()
    with torch.no_grad():
        model.lm_head.weight.copy_(weights[:-1].T)
        model.lm_head.bias.copy_(weights[-1])
        never = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]  # as after any training
        model.lm_head.weight[never], model.lm_head.bias[never] = 0.0, -30.0
    model.save_pretrained(folder)
    extractor.return_attention_mask = False  # as for the real group-norm checkpoints
    extractor.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
