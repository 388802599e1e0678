"""Beam decoding beside plain pyctcdecode, on the same emissions and one core: ratios of CPU time, and equal texts.

The emissions are demo-en's of real clips, and made-up ones of a model that is very sure of itself. Plain means what
pyctcdecode's README shows: `build_ctcdecoder` once, then `decode_beams` for each clip, at its defaults (beam width
100); it is also given the special tokens' columns left out, without which its texts would hold `<s>`. `decode`, its
faster call that gives only one text, is timed beside it. Ours is `asrdemo.decoding.decode` as the page calls it: five
hypotheses with aligned word times and confidences. Runs alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from asrdemo import registry
from asrdemo.decoding import LanguageModel, decode, engine_used, open_language_model
from asrdemo.decoding.columns import columns
from asrdemo.types import DecoderOptions, Emissions
from benchmarks.common import Options, real_clips, spread, table
from benchmarks.synthetic_emissions import emissions_of

HOTWORDS = ("rubout", "erase", "enter", "please call", "stella", "thirty", "seven", "bookstore", "kangaroo", "zebra")
NO_LM_FRAMES = 250  # without a language model pyctcdecode takes milliseconds a frame: short clips are enough


def real_emissions(count: int) -> list[Emissions]:
    """What demo-en hears in real clips."""
    from asrdemo.acoustic import load
    from asrdemo.audio import read_clip

    model = load(registry.read().checkpoint("demo-en"), device="cpu", precision="fp32")
    return model.emissions([read_clip(path) for path, _ in real_clips(count)])


def synthetic_emissions(count: int) -> list[Emissions]:
    """Peaky emissions of made-up speech, a sixth of the letters ambiguous."""
    from demo.everyday import everyday

    rng = np.random.default_rng(0)
    texts = [" ".join(everyday(rng) for _ in range(3)).lower() for _ in range(count)]
    return [emissions_of("".join(c for c in t if c.isalpha() or c in " '"), rng, 0.16) for t in texts]


def plain(
    emissions: list[Emissions], options: DecoderOptions, lm: LanguageModel | None, call: str
) -> Callable[[], list[str]]:
    """pyctcdecode as its users call it, built beforehand."""
    from pyctcdecode import build_ctcdecoder

    kept = columns(emissions[0].vocabulary)
    given = [np.ascontiguousarray(e.log_probs[:, list(kept.keep)]) for e in emissions]
    decoder = build_ctcdecoder(
        list(kept.labels),
        str(lm.path) if lm else None,
        list(lm.unigrams or ()) if lm else None,
        alpha=options.alpha,
        beta=options.beta,
    )
    extra = {"hotwords": list(options.hotwords), "hotword_weight": options.hotword_weight}
    if call == "decode":
        return lambda: [decoder.decode(x, **extra) for x in given]
    return lambda: [decoder.decode_beams(x, **extra)[0][0] for x in given]


def timed(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """CPU seconds, and the texts."""
    began = time.process_time()
    texts = work()
    return time.process_time() - began, texts


def compare(
    emissions: list[Emissions], options: DecoderOptions, lm: LanguageModel | None, name: str, runs: int
) -> list[str]:
    """One row of the table."""
    references = {call: plain(emissions, options, lm, call) for call in ("decode_beams", "decode")}

    def ours() -> list[str]:
        return [decode(e, options, lm)[0].text for e in emissions]

    ours()  # loads the language model into the engine
    ratios: dict[str, list[float]] = {call: [] for call in references}
    equal: dict[str, int] = {}
    seconds = []
    for _ in range(runs):
        own, texts = timed(ours)
        seconds.append(own)
        for call, reference in references.items():
            spent, expected = timed(reference)
            ratios[call].append(spent / own)
            equal[call] = sum(a == b for a, b in zip(texts, expected, strict=True))
    frames = sum(len(e.log_probs) for e in emissions)
    cells = [name, engine_used(options, emissions[0], lm), f"{1e6 * statistics.median(seconds) / frames:.1f}"]
    for call in references:
        cells += [spread(ratios[call], 1), f"{equal[call]}/{len(emissions)}"]
    return cells


def rows(emissions: list[Emissions], runs: int) -> str:
    """A Markdown table: with and without demo-lm, with and without hotwords."""
    lm = open_language_model(registry.read().language_model("demo-lm"))
    whole = [replace(e, cuts=()) for e in emissions]  # plain pyctcdecode knows no cuts
    short = [replace(e, log_probs=e.log_probs[:NO_LM_FRAMES]) for e in whole[:: max(len(whole) // 8, 1)]]
    options = DecoderOptions(kind="beam")
    hot = replace(options, hotwords=HOTWORDS)
    header = ["request", "engine", "us a frame", "x decode_beams", "equal texts", "x decode", "equal texts"]
    return table(
        header,
        [
            compare(whole, options, lm, "demo-lm", runs),
            compare(whole, hot, lm, "demo-lm, 10 hotwords", runs),
            compare(short, options, None, f"no LM, first {NO_LM_FRAMES} frames", runs),
            compare(short, hot, None, "no LM, 10 hotwords, likewise", runs),
        ],
    )


def report(options: Options) -> str:
    """Markdown: real clips, then made-up emissions."""
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    real, made_up = real_emissions(options.clips), synthetic_emissions(max(8, options.clips // 4))
    return "\n\n".join(
        [
            f"demo-en, {len(real)} real clips, {sum(len(e.log_probs) for e in real)} frames; one core, "
            f"{options.runs} runs, alternating; median (least - most). Ratio: pyctcdecode's CPU time over ours.",
            rows(real, options.runs),
            f"{len(made_up)} made-up emissions with nearly no doubt, {sum(len(e.log_probs) for e in made_up)} frames:",
            rows(made_up, options.runs),
        ]
    )
