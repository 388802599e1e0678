"""Filters: text of a URL <-> conditions -> masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from asrdemo.errors import ConfigError, NotFoundError, ResultError
from evals import filters, simulate
from evals.scored import Scored, load


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    made = simulate.simulate(simulate.Recipe(speakers=400, clips_each=4, runs=(1.0, 0.5)), 0)
    made.snr[::7] = np.nan
    home = tmp_path_factory.mktemp("results")
    return load([simulate.write(home / f"run{r}", simulate.rows(made, r)) for r in range(2)])


def picked(scored: Scored, query: str) -> np.ndarray:
    return filters.mask(scored, filters.parse(query))


def test_no_condition_is_all(scored: Scored) -> None:
    assert picked(scored, "").all()
    assert filters.describe(()) == "all clips"


def test_values(scored: Scored) -> None:
    gender = scored.category("gender")
    names = np.array(gender.values)[gender.codes]
    either = picked(scored, "gender=female_feminine&gender=")
    assert (either == np.isin(names, ["female_feminine", ""])).all() and either.any()
    neither = picked(scored, "gender.not=female_feminine&gender.not=")
    assert (neither == ~either).all()


def test_one_of_several_accents_is_enough(scored: Scored) -> None:
    accents = scored.category("accents")
    names = np.array(accents.values)[accents.codes]
    found = picked(scored, "accents=Scottish+English")
    assert (found == (np.char.find(names.astype(str), "Scottish English") >= 0)).all()
    assert (names[found] == "England English | Scottish English").any()
    india = picked(scored, "accents=India+and+South+Asia+%28India%2C+Pakistan%2C+Sri+Lanka%29")
    assert set(names[india]) == {"India and South Asia (India, Pakistan, Sri Lanka)"}


def test_ranges_and_unknown_numbers(scored: Scored) -> None:
    seconds, snr = scored.number("seconds"), scored.number("snr")
    assert (picked(scored, "seconds.min=2&seconds.below=4") == ((seconds >= 2) & (seconds < 4))).all()
    assert (picked(scored, "snr.max=20") == (snr <= 20)).all()
    assert (picked(scored, "snr.unknown=") == np.isnan(snr)).all() and np.isnan(snr).any()
    assert (picked(scored, "words.min=5") == (scored.words >= 5)).all()


def test_texts_and_outcomes(scored: Scored) -> None:
    assert (picked(scored, "reference.has=F+G") == (scored.words >= 7)).all()  # references are "a b c ..."
    wrong = scored.errors > 0
    assert (picked(scored, "wrong=run0&correct=run1") == (wrong[0] & ~wrong[1])).all()
    assert not picked(scored, "hypothesis%40run1.has=anything").any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accents=Scottish+English&accents=&gender.not=other",
        "seconds.min=0.1&seconds.below=1e-05&snr.unknown=&down_votes.max=3.0",
        "reference.has=a%26b%3Dc&correct=run+1&wrong=b",
    ],
)
def test_query_and_conditions_are_one(text: str) -> None:
    conditions = filters.parse(text)
    assert filters.parse(filters.query(conditions)) == conditions


def test_described_in_words() -> None:
    conditions = filters.parse("accents=Irish+English&accents=&seconds.min=2&gender.not=other&wrong=a&snr.unknown=")
    assert filters.describe(conditions) == (
        "accents is Irish English or not stated, seconds at least 2, gender is not other, wrong in a, snr unknown"
    )


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        ("seconds.min=soon", ConfigError, "seconds.min is 'soon'; expected a number"),
        ("seconds.max=nan", ConfigError, "expected a number"),
        ("colour=red", NotFoundError, "no column 'colour'"),
        ("wrong=run9", NotFoundError, "no run 'run9' here; there are: run0, run1"),
        ("seconds=2", ResultError, "give a range"),
        ("gender.min=2", ResultError, "choose among its values"),
    ],
)
def test_what_cannot_be_asked(scored: Scored, query: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        picked(scored, query)


def test_text_filter_on_a_folder_that_moved(scored: Scored, tmp_path: Path) -> None:
    """Columns not read at first come from the files later; those must say what is wrong."""
    made = simulate.simulate(simulate.Recipe(speakers=12), 0)
    one = load([simulate.write(tmp_path / "gone", simulate.rows(made))])
    (tmp_path / "gone" / "rows.parquet").write_bytes(b"not parquet")
    with pytest.raises(ResultError, match="rows of result 'gone' cannot be read"):
        picked(one, "reference.has=a")


def test_a_clip_may_have_to_have_two_accents(scored: Scored) -> None:
    accents = scored.category("accents")
    names = np.array(accents.values)[accents.codes]
    both = picked(scored, "accents=England+English&accents.also=Scottish+English")
    assert set(names[both]) == {"England English | Scottish English"}
    assert (both == (picked(scored, "accents=England+English") & picked(scored, "accents=Scottish+English"))).all()
    query = "accents=England+English&accents.also=Scottish+English"
    assert filters.query(filters.parse(query)) == query
    assert filters.describe(filters.parse(query)) == "accents is England English, accents is also Scottish English"


def test_no_filter_is_no_mask_and_one_that_leaves_nothing_is_an_error(scored: Scored) -> None:
    """A mask asks for support, which a whole corpus need not have."""
    assert filters.chosen(scored, ()) is None
    some = filters.chosen(scored, filters.parse("seconds.min=2"))
    assert some is not None and (some == picked(scored, "seconds.min=2")).all()
    with pytest.raises(ResultError, match="No clip fits this filter: gender is female / feminine, age is x"):
        filters.chosen(scored, filters.parse("gender=female_feminine&age=x"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("seconds.has=x", "holds numbers, not texts"), ("word_starts.has=x", "holds numbers, not texts"),
        ("word_starts.min=1", "a number for each word"), ("word_starts.unknown=", "a number for each word"),
        ("word_starts=1", "holds numbers"),
    ],
)  # fmt: skip
def test_a_condition_that_does_not_suit_its_column(scored: Scored, query: str, said: str) -> None:
    with pytest.raises(ResultError, match=said):
        picked(scored, query)


def test_a_filter_is_bounded() -> None:
    assert len(filters.parse("&".join(["age=x"] * filters.MOST))) == filters.MOST
    with pytest.raises(ConfigError, match="201 conditions; at most 200"):
        filters.parse("&".join(["age=x"] * 201))


def test_what_is_looked_for_may_be_written_in_any_way(tmp_path: Path) -> None:
    """Turkish has two letters i; and normalised texts have neither capitals nor punctuation, nor Chinese words."""
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=20), 0)).slice(0, 4)
    for profile, texts, found in (
        ("tr", ["ışık var", "istanbul", "isik", ""], {"IŞIK": [0], "İSTANBUL": [1], "ışı": [0]}),
        ("zh", ["你 好 吗", "好 你", "", "x"], {"你好": [0], "好 你": [1], "!": []}),
    ):
        at = rows.schema.get_field_index("reference")
        made = rows.set_column(at, "reference", pa.array(texts))
        scored = load([simulate.write(tmp_path / profile, made, {"normaliser": {"profile": profile}})])
        names = scored.column("reference").to_pylist()
        for part, clips in found.items():
            kept = picked(scored, f"reference.has={part}")
            assert [names[i] for i in np.flatnonzero(kept)] == [texts[i] for i in clips], part
