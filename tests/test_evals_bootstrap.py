"""Speaker-block bootstrap: exact sums, fixed draws, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from evals import bootstrap
from evals.simulate import Recipe, simulate


def test_blocks_are_speakers_where_they_fit_and_equal_groups_where_not() -> None:
    assert bootstrap.speaker_blocks(5).tolist() == [0, 1, 2, 3, 4]
    grouped = bootstrap.speaker_blocks(10_000, most=4096)
    sizes = np.bincount(grouped)
    assert len(sizes) == 4096 and set(sizes) == {2, 3}
    assert not (grouped == bootstrap.speaker_blocks(10_000, most=4096, seed=1)).all()
    assert bootstrap.speaker_blocks(10_000, most=None).tolist() == list(range(10_000))


def test_a_replicate_draws_all_blocks_but_one_with_replacement() -> None:
    drawn = bootstrap.replicate(np.eye(50), replicates=400)
    assert (drawn.sum(axis=0) == 49).all()
    assert drawn.mean() == pytest.approx(49 / 50)
    assert drawn.var() == pytest.approx(49 / 50 * (1 - 1 / 50), rel=0.05)  # of a binomial count


def test_draws_are_the_same_on_every_machine_and_for_ever() -> None:
    drawn = bootstrap.replicate(np.eye(37), replicates=20, seed=7)
    digest = hashlib.sha256(drawn.astype(np.uint8).tobytes()).hexdigest()
    assert digest.startswith("da03eedebc64c509")


def test_replicates_are_sums_of_what_was_drawn() -> None:
    rng = np.random.default_rng(0)
    sums = rng.integers(0, 1000, (30, 4)).astype(float)
    drawn = bootstrap.replicate(np.eye(30), replicates=50, seed=3)
    assert (bootstrap.replicate(sums, 50, 3) == sums.T @ drawn).all()


def test_large_totals_stay_exact() -> None:
    """Beyond 2 ** 24 single precision would round."""
    sums = np.full((40, 1), 2**24 + 1.0)
    drawn = bootstrap.replicate(np.eye(40), replicates=30)
    assert (bootstrap.replicate(sums, 30)[0] == drawn.sum(axis=0) * (2**24 + 1)).all()


def test_draws_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(0).integers(0, 9, (101, 3)).astype(float)
    kept = bootstrap.replicate(sums, 120, 5)
    monkeypatch.setattr(bootstrap, "_KEPT_BLOCKS", 1)
    assert (bootstrap.replicate(sums, 120, 5) == kept).all()


def test_interval_of_many_blocks_is_the_percentile_interval() -> None:
    values = np.random.default_rng(0).normal(size=(3, 1000))
    low, high = bootstrap.percentile_interval(values, np.full(3, 1e9))
    assert low == pytest.approx(np.quantile(values, 0.025, axis=1))
    assert high == pytest.approx(np.quantile(values, 0.975, axis=1))


def test_interval_of_few_blocks_is_wider_and_nan_is_left_out() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1000))
    many, few = (bootstrap.percentile_interval(values, np.array([n])) for n in (1e9, 6.0))
    assert few[0] < many[0] < many[1] < few[1]
    holed = np.concatenate([values, np.full((1, 500), np.nan)], axis=1)
    assert bootstrap.percentile_interval(holed, np.array([6.0])) == few
    assert np.isnan(bootstrap.percentile_interval(np.full((1, 9), np.nan), np.array([6.0]))).all()
    assert np.isnan(bootstrap.percentile_interval(values, np.array([1.0]))).all()


def test_effective_blocks() -> None:
    words = np.array([[5, 90, 0], [5, 5, 0], [5, 5, 0]])
    assert bootstrap.effective_blocks(words) == pytest.approx([3.0, 100**2 / (8100 + 50), 0.0])


def test_ends_of_rates_lie_as_far_apart_on_the_logarithm() -> None:
    drawn = 0.2 + 0.02 * np.random.default_rng(0).normal(size=(3, 1000))
    drawn[2, ::7] = np.nan  # replicates that drew nobody of the slice
    rates, effective = np.array([0.2, 0.0, 0.2]), np.array([1e6, 1e6, 1e6])
    low, high = bootstrap.rate_ends(rates, drawn, effective)
    assert high[0] / 0.2 == pytest.approx(0.2 / low[0]) == pytest.approx(np.exp(1.96 * 0.1), rel=0.02)
    assert low[1] == high[1] == 0 and np.isfinite([low[2], high[2]]).all()
    assert np.isnan(bootstrap.rate_ends(rates, drawn, np.ones(3))).all(), "one speaker alone tells nothing"
    assert bootstrap.rate_ends(rates, drawn, np.full(3, 4.0))[1][0] > high[0]


def test_p_of_a_difference() -> None:
    values = 1 + np.random.default_rng(0).normal(size=(1, 1000))
    p = bootstrap.p_values(np.array([1.96]), values, np.array([1e6]))
    assert p == pytest.approx([0.05], rel=0.15)
    assert bootstrap.p_values(np.array([1.96]), values, np.array([5.0])) > 0.08
    assert bootstrap.p_values(np.array([0.0, np.nan]), np.zeros((2, 9)), np.array([9.0, 9.0]))[0] == 1.0
    assert np.isnan(bootstrap.p_values(np.array([np.nan]), values, np.array([9.0])))


def test_rate_interval_is_reproducible_and_pooled() -> None:
    made = simulate(Recipe(speakers=60), 0)
    first = bootstrap.rate_interval(made.errors[0], made.words, made.speaker)
    assert first == bootstrap.rate_interval(made.errors[0], made.words, made.speaker)
    assert first.rate == made.errors[0].sum() / made.words.sum()
    assert first.low < first.rate < first.high


@pytest.mark.parametrize(("speakers", "most", "corpora"), [(60, 4096, 500), (300, 100, 300)])
def test_intervals_hold_the_truth_as_often_as_they_say(speakers: int, most: int, corpora: int) -> None:
    """95 % of simulated corpora, give or take chance: with one speaker a block, and with speakers in random groups.

    benchmarks/coverage.py does the same on more corpora of more kinds.
    """
    recipe = Recipe(speakers=speakers, clips_each=5, wer=0.2, speaker_sd=0.3)
    held = 0
    for seed in range(corpora):
        made = simulate(recipe, seed)
        found = bootstrap.rate_interval(made.errors[0], made.words, made.speaker, most_blocks=most, seed=seed % 3)
        held += found.low <= 0.2 <= found.high
    assert 0.92 <= held / corpora <= 0.98  # 0.93 to 0.97, and two standard errors of this few corpora


def test_few_speakers_who_differ_widely_leave_the_interval_honest() -> None:
    """Percentiles hold the truth in 90 % of these corpora."""
    recipe = Recipe(speakers=8, clips_each=8, wer=0.1, speaker_sd=0.8)
    held = [
        found.low <= 0.1 <= found.high
        for made in (simulate(recipe, seed) for seed in range(400))
        for found in [bootstrap.rate_interval(made.errors[0], made.words, made.speaker)]
    ]
    assert np.mean(held) >= 0.93
