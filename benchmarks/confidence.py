"""Fit the word confidences of a checkpoint on held-out real clips, and say how honest they are on others.

    python -m benchmarks.confidence                        report only
    python -m benchmarks.confidence --write                also CHECKPOINT/confidence.json and docs/reliability.png

Fitted on AN4 dev and half of the speakers of speechocean762 dev; judged on AN4 test, the other half of the speakers,
and the Common Voice sample, none of which is seen in fitting. A word is right where the alignment with the reference
says so. ECE: mean gap between confidence and accuracy, over ten bins of equally many words (0 is best). NCE:
normalised cross-entropy (1 is perfect, 0 is no better than knowing the mean accuracy, below 0 is worse).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from asrdemo import registry
from asrdemo.decoding import Calibration, Calibrations, LanguageModel, open_language_model
from asrdemo.decoding import confidence as c
from asrdemo.decoding.spans import readings
from asrdemo.text import normalise
from asrdemo.types import DecoderOptions, Emissions

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "corpora"
PLOT = ROOT / "docs" / "reliability.png"
MOST_PLOT_BYTES = 100_000
KINDS = ("greedy", "beam")


@dataclass(frozen=True)
class Words:
    """Decoded words. evidence: log-posteriors of each word's labels. correct: whether it was said, shape = (words,)."""

    evidence: tuple[tuple[float, ...], ...]
    correct: np.ndarray

    def raw(self, aggregate: c.Aggregate) -> np.ndarray:
        """Uncalibrated confidences, shape = (words,)."""
        return np.array([c.raw(e, aggregate) for e in self.evidence])


@dataclass(frozen=True)
class Figures:
    """How a map does on some words."""

    words: int
    accuracy: float
    ece: float
    nce: float


def pool(parts: Sequence[Words]) -> Words:
    """All of them as one."""
    return Words(sum((p.evidence for p in parts), ()), np.concatenate([p.correct for p in parts]))


def decode_words(
    emissions: Sequence[Emissions],
    references: Sequence[str],
    options: DecoderOptions,
    lm: LanguageModel | None,
    profile: str,
) -> Words:
    """The words of the best hypotheses, and which of them the references hold."""
    evidence: list[tuple[float, ...]] = []
    correct: list[bool] = []
    for heard, reference in zip(emissions, references, strict=True):
        pieces = [w for span in readings(heard, options, lm) for w in span[0].words]
        correct += right_words([normalise(w.text, profile) for w in pieces], normalise(reference, profile).split())
        evidence += [w.log_probs for w in pieces]
    return Words(tuple(evidence), np.array(correct, dtype=bool))


def right_words(words: list[str], reference: list[str]) -> list[bool]:
    """For each word, whether the alignment pairs it with an equal word of the reference."""
    if not words or not reference:
        return [False] * len(words)
    import jiwer

    marks = [False] * len(words)
    shown = [w or "\u2205" for w in words]  # a word that normalises to nothing still takes its place
    for chunk in jiwer.process_words(" ".join(reference), " ".join(shown)).alignments[0]:
        if chunk.type == "equal":
            marks[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (chunk.hyp_end_idx - chunk.hyp_start_idx)
    return marks


def fit(words: Words) -> Calibration:
    """The aggregate and map with the best cross-entropy on these words."""
    tried = []
    for aggregate in get_args(c.Aggregate):
        r = words.raw(aggregate)
        candidate = Calibration(aggregate, *(round(v, 4) for v in c.fit(r, words.correct)))
        tried.append((c.cross_entropy(candidate.calibrate(r), words.correct), candidate))
    return max(tried, key=lambda pair: pair[0])[1]


def judge(words: Words, calibration: Calibration) -> Figures:
    """The figures of a map on words that it was not fitted on."""
    p = calibration.calibrate(words.raw(calibration.aggregate))
    return Figures(
        len(p), float(words.correct.mean()), c.calibration_error(p, words.correct), c.cross_entropy(p, words.correct)
    )


def plot(curves: dict[str, tuple[Words, Calibration]], path: Path, note: str) -> None:
    """Confidence against accuracy before and after, one panel for each kind of decoder, saved small."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 4), squeeze=False, sharey=True)
    for axis, (kind, (words, fitted)) in zip(panels[0], curves.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for label, calibration, colour, mark in (
            ("as the model says", Calibration(), "#b45309", "o--"),
            ("calibrated", fitted, "#1d4ed8", "s-"),
        ):
            rows = c.reliability(calibration.calibrate(words.raw(calibration.aggregate)), words.correct)
            axis.plot([r[0] for r in rows], [r[1] for r in rows], mark, color=colour, label=label, markersize=5)
        axis.set(title=f"{kind}, {len(words.correct)} words", xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        axis.set_aspect("equal")
    panels[0][0].set_ylabel("words that are right")
    panels[0][0].legend(loc="upper left", frameon=False)
    figure.suptitle(note, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.png")
    figure.savefig(part, dpi=90)
    pyplot.close(figure)
    if part.stat().st_size > MOST_PLOT_BYTES:
        size = part.stat().st_size
        part.unlink()
        raise RuntimeError(f"The plot has {size} bytes; at most {MOST_PLOT_BYTES} are wanted in the repository.")
    part.replace(path)


def table(corpus: str, split: str) -> list[tuple[str, Path, str]]:
    """(speaker, clip, sentence) of a split."""
    lines = (SHARED / corpus / f"{split}.tsv").read_text("utf-8").splitlines()
    columns = lines[0].split("\t")
    at = [columns.index(name) for name in ("client_id", "path", "sentence")]
    rows = [[line.split("\t")[i] for i in at] for line in lines[1:]]
    return [(speaker, SHARED / corpus / "clips" / path, sentence) for speaker, path, sentence in rows]


def material() -> tuple[dict[str, list[tuple[Path, str]]], dict[str, list[tuple[Path, str]]]]:
    """Clips and sentences to fit on, and to judge on. No speaker is in both."""
    spoken = table("speechocean762", "dev")
    speakers = sorted({s for s, _, _ in spoken})
    fitting = set(speakers[::2])
    fit_on = {
        "an4 dev": [(p, t) for _, p, t in table("an4", "dev")],
        "speechocean762 dev, even speakers": [(p, t) for s, p, t in spoken if s in fitting],
    }
    judge_on = {
        "an4 test": [(p, t) for _, p, t in table("an4", "test")],
        "speechocean762 dev, odd speakers": [(p, t) for s, p, t in spoken if s not in fitting],
        "Common Voice sample": [(p, t) for _, p, t in table("cv-corpus-6.1-sample/en", "validated")],
    }
    return fit_on, judge_on


def main(arguments: list[str] | None = None) -> int:
    """Fit, judge, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo-en")
    parser.add_argument("--lm", default="demo-lm", help="language model of the beam decoder")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    known = registry.read()
    spec = known.checkpoint(given.checkpoint)
    lm_spec = known.language_model(given.lm)
    lm = open_language_model(lm_spec)
    greedy = replace(spec.decoder, kind="greedy", lm=None)
    beam = replace(spec.decoder, kind="beam", lm=given.lm, alpha=lm_spec.alpha, beta=lm_spec.beta, n_best=1)

    from asrdemo.acoustic import load
    from asrdemo.audio import read_clip

    model = load(spec, device="cpu", precision="fp32")
    heard: dict[str, tuple[list[Emissions], list[str]]] = {}
    fit_on, judge_on = material()
    for name, rows in (fit_on | judge_on).items():
        heard[name] = model.emissions([read_clip(path) for path, _ in rows]), [text for _, text in rows]

    fitted: dict[str, Calibration] = {}
    curves: dict[str, tuple[Words, Calibration]] = {}
    print("| decoder | words of | words | right | ECE before | after | NCE before | after |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, options, model_lm in zip(KINDS, (greedy, beam), (None, lm), strict=True):
        decoded = {name: decode_words(*heard[name], options, model_lm, spec.profile) for name in heard}
        fitted[kind] = fit(pool([decoded[name] for name in fit_on]))
        everything = pool([decoded[name] for name in judge_on])
        curves[kind] = everything, fitted[kind]
        for name, words in [*((n, decoded[n]) for n in judge_on), ("all of these", everything)]:
            before, after = judge(words, Calibration()), judge(words, fitted[kind])
            print(
                f"| {kind} | {name} | {before.words} | {before.accuracy:.3f} | {before.ece:.3f} | {after.ece:.3f} | "
                f"{before.nce:.3f} | {after.nce:.3f} |"
            )
        print(f"{kind}: {fitted[kind]}")
    if given.write:
        if spec.path is None:
            parser.error(f"{spec.id} is on the Hub; a map can be written beside a local checkpoint only.")
        Calibrations(fitted["greedy"], fitted["beam"], f"Fitted on {', '.join(fit_on)}.").write(spec.path / c.FILE)
        plot(curves, PLOT, f"{spec.id}: words of real clips that the map was not fitted on")
        print(f"written: {c.FILE} beside the checkpoint, docs/{PLOT.name} ({PLOT.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
