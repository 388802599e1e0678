"""Scoring 170,000 pairs (what NeMo's Speech Data Explorer names as its ceiling) beside jiwer, in the same run.

Made-up sentences of 5 to 15 words with a fifth of the words wrong, from 20,000 words as frequent as words are; the
references are capitalised and end in a full stop, the hypotheses are bare. jiwer gets normalised texts, for which its
time does not count. Ours writes each alignment down as well (`ops`); jiwer keeps its own as objects. Both use one core.
Target: words and their alignments at least 3 times as fast as `jiwer.process_words`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import jiwer

from asrdemo.text import normalise_all
from benchmarks.common import Options, interleaved, spread, table
from evals.align import align_words
from evals.score import character_counts, score_pairs

PAIRS = 170_000
WORDS = 20_000
WRONG = 0.2


def pairs(count: int = PAIRS, seed: int = 0) -> tuple[list[str], list[str]]:
    """References as a corpus writes them, and hypotheses with substitutions, deletions and insertions, 3 : 1 : 1."""
    rng = random.Random(seed)
    lexicon = ["".join(rng.choices("etaoinshrdlu", k=rng.choice((2, 3, 3, 4, 4, 5, 6, 7, 9)))) for _ in range(WORDS)]
    often = [1 / (rank + 1) for rank in range(WORDS)]
    references, hypotheses = [], []
    for _ in range(count):
        reference = rng.choices(lexicon, often, k=rng.randint(5, 15))
        heard: list[str] = []
        for word in reference:
            fate = rng.random() / WRONG
            if fate < 0.6:
                heard.append(rng.choice(lexicon))
            elif fate >= 0.8:
                heard += [word, rng.choice(lexicon)] if fate < 1 else [word]
        references.append(" ".join(reference).capitalize() + ".")
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def report(options: Options) -> str:
    """Markdown: seconds of each, and ratios of the same run."""
    raw = pairs()
    refs, hyps = (normalise_all(side, "en") for side in raw)
    out = jiwer.process_words(refs, hyps)
    ours, theirs = int(align_words(refs, hyps).errors.sum()), out.substitutions + out.deletions + out.insertions
    if ours != theirs:
        raise SystemExit(f"The totals differ: {ours} errors here, {theirs} in jiwer.")

    def normalised_words_and_characters() -> None:
        a, b = (normalise_all(side, "en") for side in raw)
        align_words(a, b)
        character_counts(a, b)

    works: dict[str, Callable[[], object]] = {
        "jiwer.process_words": lambda: jiwer.process_words(refs, hyps),
        "jiwer.process_characters": lambda: jiwer.process_characters(refs, hyps),
        "words: counts and alignments": lambda: align_words(refs, hyps),
        "characters: counts": lambda: character_counts(refs, hyps),
        "normalising, words, characters": normalised_words_and_characters,
        "all columns of a result (and raw WER)": lambda: score_pairs(*raw, "en"),
    }
    seconds = interleaved(works, options.runs)
    peer = seconds["jiwer.process_words"]
    rows = []
    for name, own in seconds.items():
        rows.append([name, spread(own), spread([p / s for p, s in zip(peer, own, strict=True)])])
    header = ["170,000 pairs of 5 to 15 words", "seconds, one core", "jiwer.process_words / this"]
    return f"{ours:,} word errors in each, median (least - most) of {options.runs} runs.\n\n" + table(header, rows)
