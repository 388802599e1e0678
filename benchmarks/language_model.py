"""Perplexity of the built-in Kneser-Ney estimator beside lmplz's, and how long each takes.

Needs lmplz on the PATH. Texts: a seeded synthetic one of about 200,000 words; a tiny one; and, where
../shared/corpora is, the sentences of speechocean762 and AN4.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from asrdemo.decoding import lm_build
from asrdemo.decoding.language_model import load
from asrdemo.errors import NotFoundError
from benchmarks.common import ROOT, SHARED, Options, table

RECORD = ROOT / "tests" / "data" / "lmplz_parity.json"
PERPLEXITIES = ("with_unknown", "without_unknown")
TINY = ["the cat sat", "the cat ran", "a dog sat", "the dog ran home", "a cat"], ["the dog sat", "a bird ran"]


def synthetic(sentences: int, seed: int, vocabulary: int = 8000) -> list[str]:
    """Sentences from a random word graph: Zipf's law over words, each with followers of its own, 2 to 20 words long.

    Made from raw 64-bit draws of PCG64, whose stream numpy keeps the same from version to version.
    """
    draws = np.random.PCG64(seed).random_raw

    def uniform(n: int) -> np.ndarray:
        return (draws(n) >> np.uint64(11)).astype(np.float64) / 2.0**53

    lengths = 2 + (19 * uniform(sentences)).astype(int)
    tokens = int(lengths.sum())
    fresh = np.minimum(vocabulary ** uniform(tokens), vocabulary - 1).astype(int)  # Zipf by inverse transform
    rank = (16 * uniform(tokens) ** 3).astype(int)
    follows = uniform(tokens) < 0.6
    words = fresh.tolist()
    for i in range(1, tokens):
        if follows[i]:
            words[i] = (words[i - 1] * 31 + int(rank[i]) * 97) % vocabulary
    ends = np.cumsum(lengths).tolist()
    return [" ".join(f"w{w}" for w in words[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


def corpus_texts() -> dict[str, tuple[list[str], list[str]]]:
    """Train sentences and held-out ones of the real corpora; empty where they are absent."""
    if not SHARED.is_dir():
        return {}

    def sentences(*names: str) -> list[str]:
        rows = [row.split("\t") for n in names for row in (SHARED / n).read_text("utf-8").splitlines()[1:]]
        return lm_build.read_sentences([row[2] for row in rows], "en")

    return {
        "speechocean762 and an4": (
            sentences("speechocean762/train.tsv", "an4/train.tsv"),
            sentences("speechocean762/dev.tsv", "an4/dev.tsv"),
        )
    }


def texts() -> dict[str, tuple[list[str], list[str]]]:
    """name -> (training sentences, held-out sentences)."""
    words = synthetic(20_000, seed=1)
    return {"synthetic": (words[:18_000], words[18_000:]), "tiny": TINY, **corpus_texts()}


def with_lmplz(program: str, train: list[str], held_out: list[str], order: int) -> dict[str, float]:
    """lmplz's perplexities, run outside of the project's own use of it, and its seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text").write_text("\n".join(train) + "\n", encoding="utf-8")
        command = [program, "-o", str(order), "--text", str(folder / "text"), "--arpa", str(folder / "lm.arpa")]
        began = time.perf_counter()
        subprocess.run(
            [*command, "-S", "500M", "-T", str(folder / "t"), "--discount_fallback"],
            check=True,
            capture_output=True,
            timeout=600,
        )
        seconds = time.perf_counter() - began
        if order == 1:
            _make_loadable(folder / "lm.arpa")
        found = load(folder / "lm.arpa").perplexity(held_out)
    return {"with_unknown": found.with_unknown, "without_unknown": found.without_unknown, "seconds": seconds}


def _make_loadable(path: Path) -> None:
    """KenLM refuses unigram models: give it one bigram, at the probability that it has anyway."""
    text = path.read_text("utf-8")
    end = next(line for line in text.splitlines() if line.split("\t")[1:2] == ["</s>"]).split("\t")[0]
    header, rest = text.split("\n\n", 1)
    path.write_text(f"{header}\nngram 2=1\n\n{rest}".replace("\\end\\", f"\\2-grams:\n{end}\t<s> </s>\n\n\\end\\"))


def built_in(train: list[str], held_out: list[str], order: int) -> dict[str, float]:
    """Our perplexities on the same, and our seconds, writing included."""
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        built = lm_build.build_language_model(train, order, Path(name) / "lm.arpa", "raw", builder="built-in")
        seconds = time.perf_counter() - began
        found = built.load().perplexity(held_out)
    return {"with_unknown": found.with_unknown, "without_unknown": found.without_unknown, "seconds": seconds}


def figures() -> list[dict]:
    """Both sides' perplexities and seconds for every text and order. Raises NotFoundError without lmplz."""
    program = shutil.which("lmplz")
    if program is None:
        raise NotFoundError(
            "lmplz is not on the PATH, so there is nothing to compare with; build it from KenLM's source."
        )
    found = []
    for name, (train, held_out) in texts().items():
        for order in lm_build.ORDERS:
            theirs, ours = with_lmplz(program, train, held_out, order), built_in(train, held_out, order)
            off = max(abs(ours[k] / theirs[k] - 1) for k in PERPLEXITIES)
            words = sum(len(s.split()) for s in train)
            found.append({"text": name, "words": words, "order": order, "lmplz": theirs, "ours": ours, "off": off})
    return found


def report(_: Options) -> str:
    """Markdown: a row for each text and order."""
    rows = [
        [
            f["text"],
            f["words"],
            f["order"],
            *(f"{f[side]['with_unknown']:.3f}" for side in ("lmplz", "ours")),
            f"{f['off']:.0e}",
            *(f"{f[side]['seconds']:.2f}" for side in ("lmplz", "ours")),
        ]
        for f in figures()
    ]
    header = ["text", "words", "order", "lmplz", "built-in", "largest difference", "lmplz s", "built-in s"]
    return "Perplexity on held-out sentences; 0.5 % apart (5e-03) is allowed.\n\n" + table(header, rows)


def record() -> None:
    """Write tests/data/lmplz_parity.json, which the tests hold us to where there is no lmplz."""
    rows = [
        {**{k: f[k] for k in ("text", "words", "order")}, "lmplz": {k: round(f["lmplz"][k], 6) for k in PERPLEXITIES}}
        for f in figures()
    ]
    note = "Perplexities by lmplz of KenLM 0.3.0; see benchmarks/language_model.py."
    RECORD.write_text(json.dumps({"note": note, "rows": rows}, indent=1) + "\n", encoding="utf-8")
