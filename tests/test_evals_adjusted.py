"""Raw against adjusted gaps: the regression recovers what was planted, and its intervals hold it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asrdemo.errors import NotFoundError, ResultError
from evals import mixed, simulate
from evals.adjusted import adjusted
from evals.simulate import ACCENTS, Recipe
from evals.sums import Support

GAPS = {"Scottish English": 1.4, "England English": 1.0}


def test_a_gap_of_its_own_survives() -> None:
    scored = simulate.scored(simulate.simulate(Recipe(speakers=1500, gaps=GAPS), 0))
    found = adjusted(scored)
    assert found.reference == "the others"
    row = found.table.set_index("value").loc["Scottish English"]
    assert row["verdict"] == "survives" and row["adjusted_holm"] < 0.01
    assert row["adjusted_low"] < 1.4 < row["adjusted_high"]
    assert row["sentence"].startswith("Scottish English: WER 1.") and "that of the others" in row["sentence"]
    assert "with clip length, speaking rate and SNR alike 1." in row["sentence"]
    assert "the gap survives, " in row["sentence"]
    others = found.table[found.table["value"].isin(["Canadian English", "Irish English", "England English"])]
    assert set(others["verdict"]) == {"no gap"}


def test_a_gap_that_is_all_length_goes() -> None:
    """Scottish speakers read clips twice as long, and long clips are harder, whoever speaks."""
    recipe = Recipe(speakers=1500, gaps={"Scottish English": 1.000001}, accent_length=2.0, length_slope=0.5)
    row = adjusted(simulate.scored(simulate.simulate(recipe, 0))).table.set_index("value").loc["Scottish English"]
    assert row["raw_low"] > 1.2 and row["adjusted_low"] < 1 < row["adjusted_high"]
    assert row["verdict"] == "goes" and row["sentence"].endswith(": the gap goes.")


def test_a_gap_that_is_left_but_uncertain_is_not_said_to_go() -> None:
    """That one interval holds 1 and the other just does not is no difference between the two."""
    gaps = {"Scottish English": 1.15, "England English": 1.000001}
    recipe = Recipe(speakers=500, gaps=gaps, accent_length=1.3, length_slope=0.6)
    seen = []
    for seed in range(12):
        table = adjusted(simulate.scored(simulate.simulate(recipe, seed))).table
        seen += [row for row in table.to_dict("records") if row["verdict"] in ("goes", "unclear")]
    assert {row["verdict"] for row in seen} == {"goes", "unclear"}
    for row in seen:
        assert row["adjusted_holm"] > 0.05 >= row["raw_holm"]
        assert (row["left"] > 0.5) == (row["verdict"] == "unclear") == ("may be chance" in row["sentence"])


def test_gaps_that_are_not_there_are_seldom_shown() -> None:
    """Of nine values one interval in three corpora leaves 1 out; the verdict allows for their number."""
    shown, outside = 0, 0
    for seed in range(30):
        table = adjusted(simulate.scored(simulate.simulate(Recipe(speakers=400, speaker_sd=0.3), seed))).table
        rows = table[table["status"] == "ok"]
        shown += (rows["verdict"] != "no gap").any()
        outside += ((rows["adjusted_low"] > 1) | (rows["adjusted_high"] < 1)).any()
    assert shown <= 5 < outside


def test_a_rare_value_without_an_error_stops_nothing() -> None:
    """Its factor would be 0, whose logarithm no regression finds."""
    made = simulate.simulate(Recipe(speakers=300, gaps={"Scottish English": 1.0}), 0)
    rare = made.accent == ACCENTS.index("Irish English")
    for name in ("substitutions", "deletions", "insertions"):
        getattr(made, name)[:, rare] = 0
    found = adjusted(simulate.scored(made), support=Support(5, 50)).table.set_index("value")
    assert found.loc["Irish English", "status"] == "insufficient" and (found["status"] == "ok").sum() > 2


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """All accents of many small corpora, most with 10 to 40 speakers; benchmarks/coverage.py makes more of them."""
    recipe = Recipe(
        speakers=250, clips_each=6, gaps={"Scottish English": 1.3, "England English": 1.3}, length_slope=0.3
    )
    held = []
    for seed in range(45):
        made = simulate.simulate(recipe, seed)
        truth = simulate.ratios(made, recipe)
        table = adjusted(simulate.scored(made)).table
        for row in table[table["status"] == "ok"].itertuples():
            if row.value in truth:
                held.append(row.adjusted_low <= truth[row.value] <= row.adjusted_high)
    assert len(held) > 200
    assert 0.92 <= np.mean(held) <= 0.98


def test_variation_of_speakers_and_clips_is_told() -> None:
    plain = Recipe(speakers=800, clips_each=10, noise=0.0, speaker_sd=0.4)
    found = adjusted(simulate.scored(simulate.simulate(plain, 0)))
    assert found.dispersion == pytest.approx(1, abs=0.05) and "about as much as Poisson's law says" in found.note
    assert np.sqrt(found.spread) == pytest.approx(np.sqrt(np.exp(0.4**2) - 1), rel=0.12)
    noisy = adjusted(simulate.scored(simulate.simulate(replace(plain, noise=1.0), 0)))
    assert noisy.dispersion == pytest.approx(2, abs=0.25) and "times as much as" in noisy.note


def test_a_value_is_compared_to_the_mean_of_the_others_or_to_a_reference() -> None:
    """Of two values, one's ratio to the other is one over the other's to it, whichever way it is asked for."""
    scored = simulate.scored(simulate.simulate(Recipe(speakers=800, gaps=GAPS), 0))
    mask = np.isin(scored.category("gender").codes, (1, 2))
    both = adjusted(scored, "gender", mask=mask, covariates=()).table.set_index("value")["raw"]
    assert both["female / feminine"] * both["male / masculine"] == pytest.approx(1)
    one = adjusted(scored, "gender", mask=mask, covariates=(), reference="male_masculine").table.set_index("value")
    assert one["raw"].to_dict() == {"female / feminine": pytest.approx(both["female / feminine"])}
    large = simulate.scored(simulate.simulate(Recipe(speakers=2500, clips_each=2, gaps=GAPS), 0))  # all have support
    found = adjusted(large, covariates=()).table
    named = adjusted(large, covariates=(), reference="Canadian English")
    assert len(named.table) == len(found) - 1 and named.reference == "Canadian English"
    to_canada = dict(zip(named.table["value"], np.log(named.table["raw"]), strict=True)) | {"Canadian English": 0.0}
    words = found["words"].to_numpy()
    levels = np.array([to_canada[value] for value in found["value"]])
    for i, row in enumerate(found.itertuples()):
        mean = np.average(np.delete(levels, i), weights=np.delete(words, i))
        assert np.log(row.raw) == pytest.approx(levels[i] - mean)


def test_values_without_support_are_named_and_not_compared() -> None:
    scored = simulate.scored(simulate.simulate(Recipe(speakers=150), 0))
    table = adjusted(scored).table
    lacking = table[table["status"] == "insufficient"]
    assert len(lacking) and lacking["raw"].isna().all() and lacking["reason"].str.contains(" of ").all()
    assert "several values" in set(table["value"])


def test_reference_and_covariates_can_be_chosen() -> None:
    scored = simulate.scored(simulate.simulate(Recipe(speakers=800, gaps=GAPS), 0))
    found = adjusted(scored, covariates=("gender", "clip_length"), reference="England English")
    row = found.table.set_index("value").loc["Scottish English"]
    assert found.reference == "England English" and "with gender and clip length alike" in row["sentence"]
    alone = adjusted(scored, "gender", covariates=())
    assert (alone.table["raw"] == alone.table["adjusted"]).all() and "alike" not in alone.table["sentence"].iloc[0]
    with pytest.raises(NotFoundError, match="no value 'Klingon' with enough clips here; there are: "):
        adjusted(scored, reference="Klingon")


def test_missing_numbers_and_constant_columns_do_no_harm() -> None:
    made = simulate.simulate(Recipe(speakers=600, gaps=GAPS), 0)
    made.snr[::3] = np.nan
    half = adjusted(simulate.scored(made)).table.set_index("value").loc["Scottish English"]
    made.snr[:] = np.nan
    none = adjusted(simulate.scored(made)).table.set_index("value").loc["Scottish English"]
    assert half["adjusted"] == pytest.approx(none["adjusted"], rel=0.05)


def test_nothing_to_compare_is_said() -> None:
    scored = simulate.scored(simulate.simulate(Recipe(speakers=100), 0))
    with pytest.raises(ResultError, match="No clip is left"):
        adjusted(scored, mask=np.zeros(len(scored), bool))
    with pytest.raises(ResultError, match="Fewer than two values of accents have 10 speakers"):
        adjusted(scored, mask=scored.category("accents").codes == ACCENTS.index("England English"))
    with pytest.raises(ResultError, match="Fewer than two values"):
        adjusted(scored, support=Support(10**6, 1))


def problem(seed: int, speakers: int, clips: int, spread: float) -> tuple[mixed.Counts, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(speakers), clips)
    group = (np.arange(speakers) % 2).astype(int)
    x = np.stack([np.ones(len(owner)), group[owner], rng.normal(size=len(owner))], axis=1)
    words = rng.integers(3, 15, len(owner)).astype(float)
    factor = rng.gamma(1 / spread, spread, speakers)[owner] if spread else 1.0
    errors = rng.poisson(words * factor * np.exp(x @ [-1.5, 0.3, 0.2])).astype(float)
    counts = mixed.Counts(errors, words, np.arange(0, len(owner), clips), group, lambda low, high: x[low:high])
    return counts, x, owner


def test_fit_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, _, _ = problem(0, 90, 7, 0.2)
    whole = mixed.fit(counts)
    monkeypatch.setattr(mixed, "_CHUNK", 50)
    parts = mixed.fit(counts)
    assert parts.coefficients == pytest.approx(whole.coefficients, rel=1e-9)
    assert parts.covariance == pytest.approx(whole.covariance, rel=1e-7)


def test_fit_maximises_the_likelihood_of_the_model() -> None:
    """Against a general-purpose optimiser on the marginal likelihood written out."""
    from scipy import optimize, special

    counts, x, owner = problem(1, 120, 6, 0.3)

    def cost(theta: np.ndarray) -> float:
        k, mean = np.exp(theta[-1]), counts.words * np.exp(x @ theta[:-1])
        total, expected = np.bincount(owner, counts.errors), np.bincount(owner, mean)
        each = special.gammaln(k + total) - special.gammaln(k) + k * np.log(k) - (k + total) * np.log(k + expected)
        return -float((counts.errors * np.log(mean)).sum() + each.sum())

    best = optimize.minimize(cost, np.array([-1.0, 0.0, 0.0, 1.0]), method="BFGS").x
    found = mixed.fit(counts)
    assert found.coefficients == pytest.approx(best[:-1], abs=2e-4)
    assert found.spread == pytest.approx(np.exp(-best[-1]), rel=0.01)


def test_speakers_alike_make_it_a_plain_poisson_regression() -> None:
    """Against statsmodels: the estimates, and the cluster-robust errors but for the widening of few speakers."""
    models = pytest.importorskip("statsmodels.api")
    counts, x, owner = problem(2, 1200, 6, 0.0)
    plain = models.GLM(counts.errors, x, family=models.families.Poisson(), offset=np.log(counts.words))
    theirs = plain.fit(cov_type="cluster", cov_kwds={"groups": owner})
    ours = mixed.fit(counts)
    assert ours.coefficients == pytest.approx(theirs.params, abs=0.01)
    assert np.sqrt(np.diag(ours.covariance)) == pytest.approx(theirs.bse, rel=0.03)
    assert ours.spread < 0.02 and ours.dispersion == pytest.approx(1, abs=0.05)


def test_columns_that_say_the_same_are_refused() -> None:
    counts, x, _ = problem(3, 40, 5, 0.1)
    twice = np.concatenate([x, x[:, 1:2]], axis=1)
    with pytest.raises(ResultError, match="say the same|found no estimate"):
        mixed.fit(replace(counts, design=lambda low, high: twice[low:high]))
    with pytest.raises(ResultError, match="found no estimate"):
        mixed.fit(replace(counts, errors=np.zeros_like(counts.errors)))
