"""The search for the worst slices: finds what was planted, says it plainly, and finds nothing in noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evals import filters, simulate
from evals.gaps import gaps, member_sums
from evals.scored import Scored, load
from evals.simulate import Recipe
from evals.slices import slice_table
from evals.sums import Support
from evals.worst import Worst, _held_out, worst

ROOT = Path(__file__).resolve().parent.parent
PLANTED = Recipe(speakers=2500, clips_each=6, gaps={"Scottish English": 2.0}, long_gap=True)


@pytest.fixture(scope="module")
def planted() -> Scored:
    return simulate.scored(simulate.simulate(PLANTED, 2))


@pytest.fixture(scope="module")
def found(planted: Scored) -> Worst:
    return worst(planted)


def test_the_planted_slice_is_found_and_nothing_else(found: Worst) -> None:
    assert found.answers["slice"].tolist() == ["Scottish English, clips of 6 s or more"]
    assert found.searched > 1000
    assert "were searched on half of the speakers" in found.note and "where 1 held" in found.note


def test_what_is_said_is_what_the_held_out_speakers_show(planted: Scored, found: Worst) -> None:
    row = found.answers.iloc[0]
    assert row["difference"] == pytest.approx(row["wer"] - row["rest"])
    assert row["low"] < row["difference"] < row["high"]
    assert row["low"] < 0.2 < row["high"]  # the truth: 40 % against 20 %
    assert row["p_bh"] < 0.01
    members = filters.mask(planted, filters.parse(row["where"]))
    assert row["all_clips"] == members.sum() and row["all_speakers"] == len(set(planted.speaker[members]))
    assert row["all_wer"] == planted.errors[0][members].sum() / planted.words[members].sum()
    rest = planted.errors[0][~members].sum() / planted.words[~members].sum()
    assert row["excess"] == pytest.approx(planted.errors[0][members].sum() - rest * planted.words[members].sum())
    assert 0.3 * row["all_clips"] < row["clips"] < 0.7 * row["all_clips"]


def test_the_sentence_is_plain(found: Worst) -> None:
    row = found.answers.iloc[0]
    assert row["sentence"] == (
        f"Scottish English, clips of 6 s or more: WER {100 * row['wer']:.0f} % against {100 * row['rest']:.0f} % "
        f"elsewhere ({100 * row['difference']:+.0f} points, {100 * row['low']:.0f} to {100 * row['high']:.0f}; "
        f"{row['clips']} clips, {row['speakers']} speakers)"
    )


def test_overlapping_answers_are_one(found: Worst, planted: Scored) -> None:
    """Of all slices brought to the test, none has most of its clips in common with another."""
    masks = [filters.mask(planted, filters.parse(where)) for where in found.table["where"]]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() < 0.6 * (one | other).sum()


def test_a_whole_accent_is_named_as_such() -> None:
    recipe = replace(PLANTED, long_gap=False, gaps={"Scottish English": 1.5})
    answers = worst(simulate.scored(simulate.simulate(recipe, 3))).answers
    assert answers["slice"].iloc[0] == "Scottish English"


def test_a_filter_and_a_run_are_respected() -> None:
    made = simulate.simulate(replace(PLANTED, speakers=1200, runs=(1.0, 1.0)), 2)
    scored = simulate.scored(made)
    mask = scored.number("seconds") < 6
    assert "Scottish" not in " ".join(worst(scored, "run1", mask, depth=2).answers["slice"])


def shuffled(scored: Scored, rng: np.random.Generator) -> Scored:
    """Errors dealt anew to the clips of as many words: no column says anything about them any more."""
    order = np.lexsort((rng.random(len(scored)), scored.words))
    home = np.lexsort((np.arange(len(scored)), scored.words))
    counts = {}
    for name in ("substitutions", "deletions", "insertions"):
        counts[name] = np.empty_like(getattr(scored, name))
        counts[name][:, home] = getattr(scored, name)[:, order]
    return replace(scored, **counts, kept=scored.kept.copy(), sizes={})


def test_shuffled_data_hold_nothing_at_the_stated_rate(planted: Scored) -> None:
    """5 % of searches may answer something; of 40, more than 5 would be a chance of 1 in 70."""
    rng = np.random.default_rng(0)
    small = simulate.scored(simulate.simulate(replace(PLANTED, speakers=300), 5))
    answered = [len(worst(shuffled(small, rng), depth=2, seed=seed).answers) > 0 for seed in range(40)]
    assert sum(answered) <= 5


def test_speakers_that_differ_are_no_slices() -> None:
    """Nothing planted, but speakers differ: a search that took clips as independent would answer often."""
    recipe = Recipe(speakers=150, clips_each=20, speaker_sd=0.5)
    answered = [
        len(worst(simulate.scored(simulate.simulate(recipe, seed)), depth=2, seed=seed).answers) > 0
        for seed in range(30)
    ]
    assert sum(answered) <= 4


def test_a_rare_value_is_halved_evenly(planted: Scored) -> None:
    """A slice of ten speakers would else often leave two of them to one half."""
    inside = planted.number("seconds") > 1
    for seed in range(3):
        second = _held_out(planted, inside, seed)
        for name in ("accents", "gender"):
            codes = planted.category(name).codes
            for code in range(len(planted.category(name).values)):
                sizes = [len(np.unique(planted.speaker[inside & half & (codes == code)])) for half in (second, ~second)]
                assert abs(sizes[0] - sizes[1]) <= (2 if name == "accents" else 20)


def test_a_small_rest_makes_no_answer() -> None:
    """Without an error in the few clips outside a slice, everything looks worse than they do."""
    made = simulate.simulate(Recipe(speakers=60, clips_each=4), 0)
    few = made.speaker < 8
    for counts in (made.substitutions, made.deletions, made.insertions):
        counts[:, few] = 0
    made.gender[:] = np.where(few, 1, 2)
    found = worst(simulate.scored(made), columns=("gender",))
    assert found.searched == 0
    assert worst(simulate.scored(made), columns=("gender",), support=Support(2, 10)).searched > 0


def test_the_demo_corpus_names_the_accent_that_training_left_out() -> None:
    found = worst(load([ROOT / "demo" / "results" / "demo-en-beam"]))
    assert found.answers["slice"].tolist() == ["Scottish English"]


def test_too_little_to_search_is_said() -> None:
    small = simulate.scored(simulate.simulate(Recipe(speakers=8), 0))
    found = worst(small)
    assert len(found.table) == 0 and found.searched == 0
    assert found.note == (
        "No slice has 5 speakers and 100 words in either half of the speakers: there is too little to search."
    )
    assert len(worst(small, support=Support(2, 20)).table.columns) == len(found.table.columns)


def test_the_same_twice(planted: Scored, found: Worst) -> None:
    again = worst(planted, columns=("accents", "seconds"))
    pd.testing.assert_frame_equal(again.table, worst(planted, columns=("accents", "seconds")).table, check_exact=True)
    assert again.answers["slice"].tolist() == found.answers["slice"].tolist()


def test_gaps_are_those_of_the_tables() -> None:
    """The search's quick standard error is what the bootstrap's replicates have."""
    scored = simulate.scored(simulate.simulate(Recipe(speakers=400, clips_each=5), 1))
    table = slice_table(scored, ["gender"], replicates=4000).set_index("slice")
    members = scored.category("gender").codes == 1
    words, errors = member_sums(scored.block, scored.blocks, scored.words, scored.errors[0], [members])
    every = [np.bincount(scored.block, values) for values in (scored.words, scored.errors[0])]
    found = gaps(words, errors, *every)
    row = table.loc["female / feminine"]
    assert found.difference[0] == pytest.approx(row["difference"])
    assert found.effective[0] == pytest.approx(row["effective"])
    assert found.se[0] == pytest.approx((row["difference_high"] - row["difference_low"]) / 2 / 1.97, rel=0.06)
