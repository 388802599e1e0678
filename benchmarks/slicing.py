"""Slices of a million scored clips and four checkpoints after a filter change, and the bootstrap beside plain numpy.

The clips are made up (evals.simulate): 60,000 speakers, lognormal in how much they speak. Loading, filtering and what
is asked less often are measured in a process of their own, so that its memory is theirs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Options, interleaved, spread, table
from evals import adjusted, bootstrap, churn, filters, significance, simulate, slices, worst
from evals.scored import Scored, load

CLIPS, SPEAKERS, CHECKPOINTS = 1_000_000, 60_000, (1.0, 0.9, 1.1, 0.7)
BOOTSTRAP_SPEAKERS = 33_782
FILTERS = (
    "seconds.min=2",
    "gender=female_feminine&gender=male_masculine",
    "accents.not=",
    "snr.min=15&seconds.below=8",
    "wrong=run0&correct=run3",
    "words.min=4&speaking_rate.below=15",
    "age=twenties&age=thirties&gender.not=",
)
SLOWER: dict[str, Callable[[Scored], object]] = {
    "comparison with MAPSSWE, three runs against the first, all slices (first call)": significance.comparison_table,
    "the same after a filter change": lambda s: significance.comparison_table(s, mask=s.words > 4),
    "churn, the same (first call)": churn.churn_table,
    "crossing accents x gender x length, first call": lambda s: slices.slice_table(s, ["accents*gender*seconds"]),
    "worst slices, 6 columns, up to 3 crossed": worst.worst,
    "adjusted gaps of accents": adjusted.adjusted,
}


def naive_picks(errors: np.ndarray, words: np.ndarray, replicates: int) -> np.ndarray:
    """What one writes at first: pick speakers, take their sums, divide."""
    rng, rates = np.random.default_rng(0), np.empty(replicates)
    for i in range(replicates):
        drawn = rng.choice(len(words), len(words), replace=True)
        rates[i] = errors[drawn].sum() / words[drawn].sum()
    return np.quantile(rates, [0.025, 0.975])


def naive_counts(errors: np.ndarray, words: np.ndarray, replicates: int) -> np.ndarray:
    """The formula as it is printed: how often each speaker is drawn, times the sums."""
    rng, rates = np.random.default_rng(0), np.empty(replicates)
    for i in range(replicates):
        counts = rng.multinomial(len(words), np.full(len(words), 1 / len(words)))
        rates[i] = (counts * errors).sum() / (counts * words).sum()
    return np.quantile(rates, [0.025, 0.975])


def bootstrap_report(runs: int) -> str:
    """1,000 replicates of one WER, from sums by speaker."""
    rng = np.random.default_rng(1)
    words = rng.integers(20, 400, BOOTSTRAP_SPEAKERS)
    errors, speakers = rng.binomial(words, 0.2), np.arange(BOOTSTRAP_SPEAKERS)

    def ours(most: int | None) -> bootstrap.Interval:
        return bootstrap.rate_interval(errors, words, speakers, most_blocks=most)

    def anew() -> bootstrap.Interval:
        bootstrap._kept.cache_clear()
        return ours(bootstrap.MOST_BLOCKS)

    works: dict[str, Callable[[], object]] = {
        "numpy, speakers picked": lambda: naive_picks(errors, words, bootstrap.REPLICATES),
        "numpy, multinomial counts": lambda: naive_counts(errors, words, bootstrap.REPLICATES),
        "evals.bootstrap, 4,096 random groups, first call": anew,
        "evals.bootstrap, 4,096 random groups, later": lambda: ours(bootstrap.MOST_BLOCKS),
        "evals.bootstrap, a block a speaker": lambda: ours(None),
    }
    seconds = interleaved(works, runs)
    picks, counts = (np.median(seconds[name]) for name in list(works)[:2])
    lines = [
        (name, spread(each, 4), f"{picks / np.median(each):.1f}", f"{counts / np.median(each):.1f}")
        for name, each in seconds.items()
    ]
    ends = naive_picks(errors, words, bootstrap.REPLICATES)
    found, exact = ours(bootstrap.MOST_BLOCKS), ours(None)
    return (
        f"1,000 replicates of {BOOTSTRAP_SPEAKERS:,} speakers:\n\n"
        + table(["", "seconds", "times as fast as picks", "as counts"], lines)
        + f"\n\nIntervals: numpy {ends[0]:.5f} to {ends[1]:.5f}; {bootstrap.MOST_BLOCKS:,} random groups "
        f"{found.low:.5f} to {found.high:.5f}; a block a speaker {exact.low:.5f} to {exact.high:.5f}."
    )


def child(folders: list[str], runs: int) -> None:
    """Load, ask, and print what it took as JSON."""
    began = time.perf_counter()
    scored = load(folders)
    loaded = time.perf_counter() - began
    after_load = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    rows = len(slices.slice_table(scored))
    first = time.perf_counter() - began
    changes = []
    for _ in range(runs):
        for text in FILTERS:
            began = time.perf_counter()
            slices.slice_table(scored, mask=filters.mask(scored, filters.parse(text)))
            changes.append(time.perf_counter() - began)
    after_filters = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slower = {}
    for name, ask in SLOWER.items():
        began = time.perf_counter()
        ask(scored)
        slower[name] = time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"clips": len(scored), "speakers": scored.speakers, "rows": rows, "load": loaded, "first": first,
                      "changes": changes, "slower": slower, "memory": [after_load, after_filters, most]}))  # fmt: skip


def slices_report(runs: int) -> str:
    """A million clips by four checkpoints."""
    recipe = simulate.Recipe(SPEAKERS, clips_each=CLIPS / SPEAKERS + 0.45, skew=1.2, runs=CHECKPOINTS)
    made = simulate.simulate(recipe, 0)
    with tempfile.TemporaryDirectory() as name:
        folders = [
            str(simulate.write(Path(name) / f"run{run}", simulate.rows(made, run))) for run in range(len(CHECKPOINTS))
        ]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.slicing", str(runs), *folders],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=1200,
        )
    told = json.loads(done.stdout)
    memory = [f"{kib / 2**20:.2f} GiB" for kib in told["memory"]]
    lines = [
        ("load and join", f"{told['load']:.2f}", memory[0]),
        ("first table", f"{told['first']:.2f}", ""),
        (
            f"filter change ({len(FILTERS)} filters, {len(told['changes'])} changes)",
            spread(told["changes"], 3),
            memory[1],
        ),
        *((name, f"{seconds:.2f}", "") for name, seconds in told["slower"].items()),
        ("all of these", "", memory[2]),
    ]
    return (
        f"{told['clips']:,} clips of {told['speakers']:,} speakers, {len(CHECKPOINTS)} checkpoints; slices by accents, "
        f"gender, age, length, rate and SNR with intervals, differences to the rest and p: {told['rows']} rows a table."
        "\n\n" + table(["", "seconds", "peak memory"], lines)
    )


def report(options: Options) -> str:
    """Markdown for RESULTS.md."""
    return f"{slices_report(options.runs)}\n\n{bootstrap_report(options.runs)}"


if __name__ == "__main__":
    child(sys.argv[2:], int(sys.argv[1]))
