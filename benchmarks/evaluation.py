"""A split of a corpus from files to scored rows: `evals.run` beside a plain script, on the same real clips.

The script is what one writes in an afternoon: soundfile and soxr, transformers' ASR pipeline with a pyctcdecode decoder
(KenLM), jiwer, a CSV file; clip by clip, as batches make the pipeline slower here. Ours is `evaluate()` as the command
line calls it, its decoding processes started anew each time, and its rows hold more (alignments, word times and
confidences, character counts, loudness, SNR). Checkpoints and language models are loaded beforehand on both sides; the
time to open the table is left out. Same weights, beam width, alpha and beta, same number of threads.
"""

from __future__ import annotations

import csv
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import soundfile
import soxr

from asrdemo import audio, decoding, registry, settings
from asrdemo.acoustic import ModelCache
from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
from asrdemo.text import normalise_all
from asrdemo.types import SAMPLE_RATE, DecoderOptions
from benchmarks.common import Options, interleaved, real_clips, spread, table
from benchmarks.throughput import DEMO, _threads, base_shape
from evals.results import Result
from evals.run import Request, evaluate
from evals.source import open_source

LM = "demo-lm"
Clips = Sequence[tuple[Path, str]]


def report(options: Options) -> str:
    """Markdown: one table for demo-en, one for a wav2vec2-base shape."""
    with _threads(options.threads), tempfile.TemporaryDirectory() as scratch:
        few, many = real_clips(options.clips), real_clips(4 * options.clips)
        base = base_shape(Path(scratch) / "base", [audio.read_clip(path) for path, _ in few])
        parts = [
            f"Beam search with {LM}, width 100; {options.threads} threads; {options.runs} runs after one to warm up, "
            "interleaved; median (least - most). Ratio: the script's time over ours, run by run.",
            "### demo-en (6.5 M parameters)",
            compare(DEMO, many, Path(scratch) / "demo", options.runs),
            "### wav2vec2-base shape (95 M parameters, random encoder; its WER says nothing but whether both agree)",
            compare(base, few, Path(scratch) / "shape", options.runs),
        ]
    return "\n\n".join(parts)


def compare(checkpoint: Path, picked: Clips, scratch: Path, runs: int) -> str:
    """One checkpoint: both sides timed, texts and rates compared."""
    corpus = _corpus(scratch / "corpus", picked)
    seconds = sum(audio.read_clip(path).duration for path, _ in picked)
    known = registry.read()
    lm = known.language_model(LM)
    options = DecoderOptions(kind="beam", lm=LM, alpha=lm.alpha, beta=lm.beta)
    plain = "plain script, fp32"
    sides = {plain: script(checkpoint, picked, lm, options, scratch)}
    for precision in ("auto", "fp32"):
        name, side = ours(checkpoint, corpus, lm, options, precision, scratch)
        sides.setdefault(name, side)
    found: dict[str, tuple[float, list[str]]] = {}

    def work(name: str) -> Callable[[], None]:
        return lambda: found.update({name: sides[name]()})

    taken = interleaved({name: work(name) for name in sides}, runs + 1)
    rows = []
    for name, walls in taken.items():
        walls, others = walls[1:], taken[plain][1:]  # the first run warms up
        wer, texts = found[name]
        same = sum(a == b for a, b in zip(texts, found[plain][1], strict=True))
        ratios = spread([other / wall for other, wall in zip(others, walls, strict=True)])
        rtfx = spread([seconds / wall for wall in walls], 1)
        rows.append([name, rtfx, ratios, f"{100 * wer:.2f} %", f"{same}/{len(texts)}"])
    header = ["", "RTFx", "ratio", "WER", "equal texts"]
    return f"{len(picked)} clips, {seconds:.0f} s of audio.\n\n{table(header, rows)}"


def script(
    checkpoint: Path, picked: Clips, lm: LanguageModelSpec, options: DecoderOptions, scratch: Path
) -> Callable[[], tuple[float, list[str]]]:
    """The plain script, with its models loaded; returns WER and normalised texts."""
    import jiwer

    pipe = pipeline(checkpoint, lm, options)

    def run() -> tuple[float, list[str]]:
        heard = []
        for path, _ in picked:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = samples.mean(axis=1)
            mono = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
            heard.append(pipe({"raw": mono, "sampling_rate": SAMPLE_RATE})["text"])
        references = normalise_all([sentence for _, sentence in picked], "en")
        texts = normalise_all(heard, "en")
        each = [jiwer.process_words(r, t) for r, t in zip(references, texts, strict=True)]
        with (scratch / "rows.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["file", "reference", "hypothesis", "hits", "substitutions", "deletions", "insertions"])
            for (path, _), r, t, e in zip(picked, references, texts, each, strict=True):
                out.writerow([path.name, r, t, e.hits, e.substitutions, e.deletions, e.insertions])
        return jiwer.wer(references, texts), texts

    return run


def pipeline(checkpoint: Path, lm: LanguageModelSpec, options: DecoderOptions) -> Any:
    """transformers' pipeline with a pyctcdecode decoder, on the CPU."""
    import torch
    from pyctcdecode import build_ctcdecoder
    from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer
    from transformers import pipeline as make

    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*pyctcdecode.*deprecated.*")
    opened = decoding.open_language_model(lm)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    labels = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    model = AutoModelForCTC.from_pretrained(checkpoint, dtype=torch.float32).eval()
    decoder = build_ctcdecoder(
        labels[: model.config.vocab_size], str(opened.path), list(opened.unigrams or ()), options.alpha, options.beta
    )
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    return make(
        "automatic-speech-recognition",
        model=model,
        feature_extractor=extractor,
        tokenizer=tokenizer,
        decoder=decoder,
        device="cpu",
    )


def ours(
    checkpoint: Path, corpus: Path, lm: LanguageModelSpec, options: DecoderOptions, precision: str, scratch: Path
) -> tuple[str, Callable[[], tuple[float, list[str]]]]:
    """A name with the precision that was chosen, and a whole run into a folder of its own."""
    spec = CheckpointSpec("checkpoint", "", "en", "en", path=checkpoint)
    cache = ModelCache(1, "cpu", precision)
    chosen = cache.get(spec).precision
    asked = Request(spec, open_source(str(corpus), "test", Registry({})), options, lm, "en")
    limits = replace(settings.read(), device="cpu", precision=chosen)
    number = count()

    def run() -> tuple[float, list[str]]:
        result: Result = evaluate(asked, scratch / f"{chosen}-{next(number)}", limits, cache)
        return result.info["score"]["wer"], result.read(["hypothesis"]).column(0).to_pylist()

    return f"ours, {chosen}", run


def _corpus(folder: Path, picked: Clips) -> Path:
    """The clips as a corpus in Common Voice layout, by links."""
    (folder / "clips").mkdir(parents=True)
    lines = ["path\tsentence\tlocale"]
    for i, (path, sentence) in enumerate(picked):
        name = f"{i:05}{path.suffix}"
        (folder / "clips" / name).symlink_to(path)
        lines.append(f"{name}\t{sentence}\ten")
    (folder / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
