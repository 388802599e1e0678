"""Do the intervals hold the truth as often as they say? Simulated corpora whose truth is known.

Takes some minutes: hundreds of corpora of each kind. The tests do a few hundred of the plainest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.common import Options, table
from evals import bootstrap, simulate
from evals.adjusted import adjusted
from evals.significance import comparison_table
from evals.simulate import Recipe
from evals.slices import slice_table
from evals.worst import worst

CORPORA = 100  # for each of the options' runs
WER = 0.2


def share(held: list[bool]) -> str:
    """In percent, with its standard error."""
    p = float(np.mean(held))
    return f"{100 * p:.1f} ± {100 * np.sqrt(p * (1 - p) / len(held)):.1f}"


def one_rate(corpora: int) -> str:
    """The interval of a WER: of a whole corpus, and of a slice of one with many more speakers."""
    lines = []
    for speakers in (5, 10, 20, 50, 200):
        for skew, differ in ((0.5, 0.25), (1.0, 0.5), (0.7, 0.7), (0.7, 1.0)):
            recipe = Recipe(speakers, clips_each=8, skew=skew, speaker_sd=differ, wer=WER)
            held: dict[str, list[bool]] = {"whole": [], "slice": [], "groups": [], "plain": []}
            for made in corpora_of(recipe, corpora):
                sums = np.stack([np.bincount(made.speaker, x) for x in (made.errors[0], made.words)], axis=1)
                wide = np.zeros((max(1000, speakers), 2))
                wide[:speakers] = sums
                held["whole"].append(holds(sums, len(sums)))
                held["slice"].append(holds(wide, len(sums)))
                held["plain"].append(plainly_holds(sums))
                if speakers > 50:
                    held["groups"].append(holds(np.add.reduceat(sums, np.arange(0, speakers, 4)), len(sums)))
            shares = [share(each) if each else "" for each in held.values()]
            lines.append((f"{speakers} speakers, skew {skew}, sd {differ}", *shares))
    header = ["", "whole corpus", "slice of a large one", "groups of 4 speakers", "plain percentiles, n of n drawn"]
    return f"WER, share of 95 % intervals that hold the truth, of {corpora} corpora each:\n\n" + table(header, lines)


def holds(sums: np.ndarray, speakers: int) -> bool:
    """Whether the interval from sums by block (errors, words) holds WER."""
    errors, words = bootstrap.replicate(sums)
    effective = bootstrap.effective_blocks(sums[:, 1:])
    rate = bootstrap.ratio(*sums.sum(axis=0)[:, None])
    low, high = bootstrap.rate_ends(rate, bootstrap.ratio(errors, words)[None], effective)
    return bool(low[0] <= WER <= high[0])


def plainly_holds(sums: np.ndarray) -> bool:
    """The same without the two corrections for few speakers."""
    rng = np.random.default_rng(len(sums))
    drawn = rng.integers(0, len(sums), (bootstrap.REPLICATES, len(sums)))
    errors, words = (sums[:, i][drawn].sum(axis=1) for i in (0, 1))
    low, high = np.quantile(errors / words, [0.025, 0.975])
    return bool(low <= WER <= high)


def corpora_of(recipe: Recipe, corpora: int) -> Iterator[simulate.Simulated]:
    for seed in range(corpora):
        yield simulate.simulate(recipe, seed)


def differences(corpora: int) -> str:
    """Slices against the rest, and two runs: intervals, and how often p is below 5 % where nothing differs."""
    lines = []
    recipe = Recipe(300, clips_each=6, wer=WER, runs=(1.0, 0.9, 1.0))
    found: dict[str, list[bool]] = {"slice": [], "p": [], "run": [], "equal": []}
    for made in corpora_of(recipe, corpora):
        scored = simulate.scored(made)
        rates = slice_table(scored, ["accents", "gender"])
        for row in rates[(rates["run"] == "run0") & rates["p"].notna()].itertuples():
            found["slice"].append(row.difference_low <= 0 <= row.difference_high)
            found["p"].append(row.p < 0.05)
        runs = comparison_table(scored, ["gender"], matched_pairs=False)
        for row in runs[runs["p"].notna()].itertuples():
            if row.run == "run2":
                found["equal"].append(row.p < 0.05)
            elif row.slice == "all clips":
                found["run"].append(row.low <= -0.1 * WER <= row.high)
    names = {
        "slice": "slice less rest: intervals that hold the truth",
        "p": "slice against rest, no difference: p below 5 %",
        "run": "run less run: intervals that hold the truth",
        "equal": "run against run, no difference: p below 5 %",
    }
    lines = [(names[key], share(each), len(each)) for key, each in found.items()]
    return "Differences, percent:\n\n" + table(["", "share", "of"], lines)


def gaps(corpora: int) -> str:
    """Adjusted ratios to the other accents, by the number of speakers of an accent."""
    planted = {"Scottish English": 1.3, "England English": 1.3}
    lines = []
    for speakers, differ, noise in ((300, 0.3, 0.5), (300, 0.6, 1.0), (1500, 0.3, 0.5)):
        recipe = Recipe(speakers, clips_each=6, speaker_sd=differ, noise=noise, gaps=planted, length_slope=0.3)
        held: dict[str, list[bool]] = {"10 to 20": [], "20 to 50": [], "more": []}
        for made in corpora_of(replace(recipe, accent_length=1.3), corpora // 4):
            truth = {name or "accent not stated": ratio for name, ratio in simulate.ratios(made, recipe).items()}
            rows = adjusted(simulate.scored(made)).table
            for row in rows[(rows["status"] == "ok") & rows["value"].isin(list(truth))].itertuples():
                key = "10 to 20" if row.speakers < 20 else "20 to 50" if row.speakers < 50 else "more"
                held[key].append(row.adjusted_low <= truth[row.value] <= row.adjusted_high)
        shares = [share(each) if each else "" for each in held.values()]
        lines.append((f"{speakers} speakers, sd {differ}, clip noise {noise}", *shares))
    header = ["adjusted ratios: intervals that hold the truth", *(f"{key} speakers" for key in held)]
    return table(header, lines)


SMALL = Recipe(speakers=80, clips_each=4, skew=0.3, wer=0.1, speaker_sd=0.5, noise=1.0)  # as the demo corpus' test
SEARCHED = {
    "nothing planted, 400 speakers": Recipe(speakers=400, clips_each=6),
    "nothing planted, 80 speakers, 4 clips each": SMALL,
    "80 speakers, United States English 20 % against 10 %": replace(SMALL, gaps={"United States English": 2.0}),
    "2,500 speakers, Scottish English of 6 s or more 36 % against 20 %": Recipe(
        speakers=2500, clips_each=6, gaps={"Scottish English": 1.8}, long_gap=True
    ),
}


def searches(corpora: int) -> str:
    """How often the search answers where nothing is, whether it finds what is planted, and what else it says."""
    lines = []
    for name, recipe in SEARCHED.items():
        count = max(corpora // 20, 10) if recipe.speakers > 1000 else corpora
        found, wrong = [], []
        for i, made in enumerate(corpora_of(recipe, count)):
            names = worst(simulate.scored(made), seed=i).answers["slice"].tolist()
            right = [any(each.startswith(planted) for planted in recipe.gaps) for each in names]
            found.append(any(right))
            wrong.append(1 - np.mean(right) if names else 0.0)
        finds = share(found) if recipe.gaps else ""
        error = 100 * np.std(wrong) / np.sqrt(count)
        lines.append((name, count, finds, f"{100 * np.mean(wrong):.1f} ± {error:.1f}"))
    header = ["searches", "of", "find what is planted", "false among the answers"]
    return "Worst slices, percent (stated: at most 5 false on average):\n\n" + table(header, lines)


def report(options: Options) -> str:
    """Markdown for RESULTS.md."""
    corpora = CORPORA * options.runs
    return "\n\n".join([one_rate(corpora), differences(corpora), gaps(corpora), searches(corpora)])
