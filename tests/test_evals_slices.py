"""Tables of slices against plain pandas, and the rules of groupings and support."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asrdemo.errors import ConfigError, NotFoundError
from evals import filters, groups, simulate, sums, wording
from evals.bootstrap import rate_interval
from evals.scored import Scored
from evals.significance import comparison_table
from evals.simulate import Recipe
from evals.slices import slice_table
from evals.sums import Support

ANY = Support(speakers=2, words=1)


@pytest.fixture(scope="module")
def scored() -> Scored:
    made = simulate.simulate(Recipe(speakers=600, clips_each=4, runs=(1.0, 0.7)), 0)
    made.snr[::9] = np.nan
    return simulate.scored(made)


def frame(scored: Scored) -> pd.DataFrame:
    """The same clips as a plain table."""
    columns = {
        name: np.array(scored.category(name).values)[scored.category(name).codes] for name in ("accents", "gender")
    }
    numbers = {name: scored.number(name) for name in ("seconds", "snr", "speaking_rate")}
    return pd.DataFrame(columns | numbers | {"speaker": scored.speaker, "words": scored.words} | {
        f"errors{run}": errors for run, errors in enumerate(scored.errors)})  # fmt: skip


def test_each_value_pooled_as_pandas_does(scored: Scored) -> None:
    plain = frame(scored)
    table = slice_table(scored, ["gender"], support=ANY).set_index(["slice", "run"])
    for gender, clips in plain.groupby("gender"):
        for run in (0, 1):
            row = table.loc[(wording.plain(gender) or "gender not stated", f"run{run}")]
            assert row["wer"] == clips[f"errors{run}"].sum() / clips["words"].sum()
            others = plain[plain["gender"] != gender]
            assert row["rest"] == pytest.approx(others[f"errors{run}"].sum() / others["words"].sum())
            assert (row["clips"], row["words"]) == (len(clips), clips["words"].sum())
            assert row["speakers"] == clips["speaker"].nunique()
            assert row["hours"] == pytest.approx(clips["seconds"].sum() / 3600, rel=1e-5)
            assert row["low"] < row["wer"] < row["high"]


def test_all_clips_come_first_with_their_shares(scored: Scored) -> None:
    row = slice_table(scored, []).iloc[1]
    assert (row["by"], row["slice"], row["run"], row["where"]) == ("", "all clips", "run1", "")
    assert row["substitutions"] + row["deletions"] + row["insertions"] == pytest.approx(1)
    assert row["insertions"] == scored.insertions[1].sum() / scored.errors[1].sum()
    assert row["cer"] == scored.char_errors[1].sum() / scored.characters.sum()
    assert np.isnan(row["rest"]) and np.isnan(row["p"]) and np.isnan(row["difference_low"])


def test_ages_come_in_their_order(scored: Scored) -> None:
    table = slice_table(scored, ["age"]).iloc[2:]
    assert table[table["run"] == "run0"]["slice"].tolist() == [
        "age not stated", "teens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies"
    ]  # fmt: skip


def test_interval_is_that_of_the_clips_alone(scored: Scored) -> None:
    row = slice_table(scored, []).iloc[0]
    alone = rate_interval(scored.errors[0], scored.words, scored.speaker)
    assert (row["low"], row["high"], row["effective"]) == (alone.low, alone.high, alone.effective)


def test_a_clip_with_two_accents_is_in_both_slices(scored: Scored) -> None:
    plain = frame(scored)
    table = slice_table(scored, ["accents", "accents*gender"], support=ANY)
    table = table[table["run"] == "run0"].set_index("slice")
    assert "England English | Scottish English" not in table.index
    has = plain["accents"].str.contains("Scottish English", regex=False)
    assert table.loc["Scottish English", "clips"] == has.sum()
    assert table.loc["Scottish English", "wer"] == plain.loc[has, "errors0"].sum() / plain.loc[has, "words"].sum()
    assert table.loc["Scottish English", "speakers"] == plain.loc[has, "speaker"].nunique()
    both = has & (plain["gender"] == "male_masculine")
    assert table.loc["Scottish English, male / masculine", "clips"] == both.sum()
    assert table.loc["England English, male / masculine", "clips"] > 0


def test_bins_include_their_lower_edge(scored: Scored) -> None:
    plain = frame(scored)
    table = slice_table(scored, ["clip_length:2,4", "snr:20"], support=ANY)
    table = table[table["run"] == "run0"].set_index("slice")
    seconds, snr = plain["seconds"], plain["snr"]
    assert table.loc["under 2 s", "clips"] == (seconds < 2).sum()
    assert table.loc["2 to 4 s", "clips"] == ((seconds >= 2) & (seconds < 4)).sum()
    assert table.loc["4 s or more", "clips"] == (seconds >= 4).sum()
    assert table.loc["snr not measured", "clips"] == snr.isna().sum() > 0
    assert table.loc["20 dB or more", "clips"] == (snr >= 20).sum()


def test_quantile_bins_are_about_equal_and_stay_under_a_filter(scored: Scored) -> None:
    whole = slice_table(scored, ["rate:q4"], support=ANY)
    clips = whole[(whole["by"] != "") & (whole["run"] == "run0")]["clips"]
    assert len(clips) == 4 and clips.min() > 0.9 * clips.mean()
    some = slice_table(scored, ["rate:q4"], scored.number("seconds") < 3, support=ANY)
    assert set(some["slice"]) <= set(whole["slice"])


@pytest.mark.parametrize("by", ["accents*gender", "gender*seconds", "accents*gender*snr:15,30", "accents"])
def test_where_is_the_filter_that_picks_the_clips(scored: Scored, by: str) -> None:
    table = slice_table(scored, [by], support=Support(10**6, 0))
    for row in table[table["run"] == "run0"].itertuples():
        assert filters.mask(scored, filters.parse(row.where)).sum() == row.clips


def test_two_columns_with_several_values_can_be_crossed() -> None:
    """Each of 2 accents with each of 2 domains: four slices for the one clip."""
    scored = simulate.scored(simulate.simulate(Recipe(speakers=30), 0))
    size = len(scored)
    domains = np.zeros(size, np.int16)
    domains[:9] = 1
    accents = np.full(size, simulate.ACCENTS.index("Irish English"), np.int16)
    accents[3:12] = len(simulate.ACCENTS) - 1
    scored.kept["category", "sentence_domain"] = simulate.Category(domains, ("general", "finance,health"))
    scored.kept["category", "accents"] = simulate.Category(accents, simulate.ACCENTS)
    grouping = groups.grouping(scored, "accents*sentence_domain")
    counts = {labels: int(grouping.members(i).sum()) for i, labels in enumerate(grouping.labels)}
    assert counts["England English", "health"] == counts["Scottish English", "finance"] == 6
    assert counts["Irish English", "health"] == 3
    assert counts["Scottish English", "general"] == 3
    assert counts["Irish English", "general"] == size - 12


def test_too_little_support_gives_no_number(scored: Scored) -> None:
    """Three clips of a corpus must not have a WER, however many clips the corpus has."""
    table = slice_table(scored, ["gender"], np.arange(len(scored)) < 3, support=Support())
    assert set(table["status"]) == {"insufficient"}
    lacking = table
    assert (lacking["reason"].str.match(r"\d+ of the 10 speakers needed(, \d+ of the 100 words needed)?")).all()
    for column in ("wer", "low", "high", "cer", "rest", "difference", "p", "p_bh", "substitutions", "effective"):
        assert lacking[column].isna().all()
    words = slice_table(scored, ["age"], support=Support(speakers=2, words=10**6))
    assert (words["reason"][2:].str.fullmatch(r"[\d]+ of the 1000000 words needed")).all()


def test_a_filter_that_leaves_nothing_gives_no_row(scored: Scored) -> None:
    nothing = np.zeros(len(scored), bool)
    assert len(slice_table(scored, ["gender", "seconds"], nothing)) == 0
    assert len(comparison_table(scored, ["gender"], nothing, matched_pairs=False)) == 0


def test_a_whole_corpus_has_a_wer_however_small() -> None:
    small = simulate.scored(simulate.simulate(Recipe(speakers=6), 0))
    row = slice_table(small, []).iloc[0]
    assert row["status"] == "ok" and row["low"] < row["wer"] < row["high"]


def test_rest_without_support_gives_no_difference(scored: Scored) -> None:
    one = scored.speaker[np.flatnonzero(scored.category("gender").codes == 1)[0]]
    few = (scored.category("gender").codes == 2) | (scored.speaker == one)
    table = slice_table(scored, ["gender"], few)
    row = table[(table["slice"] == "male / masculine") & (table["run"] == "run0")].iloc[0]
    assert row["wer"] > 0
    assert np.isnan([row["rest"], row["difference"], row["difference_low"], row["p"]]).all()


def test_no_error_at_all_still_has_an_upper_end() -> None:
    made = simulate.simulate(Recipe(speakers=40, wer=1e-9), 0)
    row = slice_table(simulate.scored(made), []).iloc[0]
    assert row["wer"] == row["low"] == 0
    assert row["high"] == pytest.approx(3.689 / made.words.sum(), rel=1e-3)
    assert np.isnan(row["insertions"])


def test_the_same_bits_twice_and_however_the_sums_are_cut(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    by = ["accents*gender", "seconds"]
    once = slice_table(scored, by, scored.words > 4, seed=3)
    pd.testing.assert_frame_equal(once, slice_table(scored, by, scored.words > 4, seed=3), check_exact=True)
    assert not once.equals(slice_table(scored, by, scored.words > 4, seed=4))
    monkeypatch.setattr(sums, "_CELLS", 600 * 5)
    monkeypatch.setattr(sums, "_FLAGS", 0)
    for key in [key for key in scored.kept if key[0] == "placed"]:
        del scored.kept[key]
    pd.testing.assert_frame_equal(once, slice_table(scored, by, scored.words > 4, seed=3), check_exact=True)


def test_blocks_of_several_speakers_give_the_same_rates_and_like_intervals(scored: Scored) -> None:
    made = simulate.simulate(Recipe(speakers=600, clips_each=4, runs=(1.0, 0.7)), 0)
    pooled = slice_table(simulate.scored(made, most_blocks=150), ["gender"])
    exact = slice_table(simulate.scored(made), ["gender"])
    assert (pooled["wer"].dropna() == exact["wer"].dropna()).all()
    assert (pooled["speakers"] == exact["speakers"]).all()
    width = (pooled["high"] - pooled["low"]) / (exact["high"] - exact["low"])
    assert width.dropna().between(0.75, 1.35).all()


def test_difference_and_its_p_agree() -> None:
    """Planted: Scottish speakers err half as much again. Elsewhere corrected p finds nothing."""
    made = simulate.simulate(Recipe(speakers=1500, gaps={"Scottish English": 1.5}), 1)
    table = slice_table(simulate.scored(made), ["accents", "age", "seconds"]).set_index("slice")
    row = table.loc["Scottish English"]
    assert row["difference_low"] > 0 and row["p_holm"] < 0.01
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    others = table.drop(["Scottish English", "all clips"])
    assert (others["p_holm"].dropna() > 0.01).all()
    assert (table["p_bh"].dropna() <= table["p_holm"].dropna() + 1e-12).all()


@pytest.mark.parametrize(
    ("by", "error", "says"),
    [
        ("colour", NotFoundError, "no column 'colour'"),
        ("gender*gender", ConfigError, "expected 1 to 3, each once"),
        ("gender*age*accents*seconds", ConfigError, "has 4 columns"),
        ("gender:2,3", ConfigError, "gender holds texts, which have no bins"),
        ("seconds:4,2", ConfigError, "expected ascending numbers, such as seconds:2,4,6"),
        ("seconds:soon", ConfigError, "expected ascending numbers"),
        ("seconds:q1", ConfigError, "expected q2 to q100"),
    ],
)
def test_groupings_that_make_no_sense(scored: Scored, by: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        slice_table(scored, [by])


def test_of_many_values_those_with_the_most_clips_are_shown(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free text: as many accents as users have written."""
    plain = frame(scored)
    counts = plain["accents"].str.split(" | ", regex=False).explode().value_counts()
    for limit, value in (("MOST_VALUES", 3), ("_MOST_READ", 4)):
        monkeypatch.setattr(groups, limit, value)
        fresh = simulate.scored(simulate.simulate(Recipe(speakers=600, clips_each=4), 0))
        table = slice_table(fresh, ["accents"], support=ANY).iloc[1:].set_index("slice")
        assert len(table) == 4 and table["clips"].drop("others").min() == counts.iloc[2]
        assert pd.isna(table.loc["others", "where"]) and table.loc["others", "clips"] > 0
        crossed = slice_table(scored, ["accents*seconds"])
        lumped = crossed[crossed["slice"].str.startswith("others, ")]
        assert len(lumped) > 1 and lumped["where"].isna().all(), "a bin's two ends say nothing of the accent"
        assert table.loc["Scottish English" if "Scottish English" in counts.index[:3] else "others", "wer"] > 0


def test_too_many_slices_are_refused(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_SLICES", 10)
    with pytest.raises(ConfigError, match=r"gives \d+ slices, more than 10"):
        slice_table(scored, ["age*accents"])
