"""evals.confusions: tables against plain counting, examples and places, filters, characters."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import confusions
from evals.score import score_pairs

SENTENCE = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=6).map(" ".join)
ROWS = st.lists(st.tuples(SENTENCE, SENTENCE), max_size=8)


def scored(pairs: list[tuple[str, str]], profile: str = "en") -> dict:
    return score_pairs([r for r, _ in pairs], [h for _, h in pairs], profile)


def walked(rows: dict) -> list[tuple[int, str, str | None, str | None, int, int]]:
    """(row, op, said, heard, place in the reference, place in the hypothesis) of each step, one by one."""
    found = []
    for row, (reference, hypothesis, ops) in enumerate(
        zip(rows["reference"], rows["hypothesis"], rows["ops"], strict=True)
    ):
        i = j = 0
        for op in ops:
            said = reference.split()[i] if op != "I" else None
            heard = hypothesis.split()[j] if op != "D" else None
            found.append((row, op, said, heard, i, j))
            i, j = i + (op != "I"), j + (op != "D")
    return found


def counted(table: pd.DataFrame, *columns: str) -> dict:
    return {tuple(row[c] for c in columns): (row["count"], row["clips"]) for _, row in table.iterrows()}


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_tables_are_those_of_plain_counting(pairs):
    rows = scored(pairs)
    steps, all_steps = confusions.read_words(rows), walked(rows)
    for op, tabulate, columns in (
        ("S", confusions.substitutions, ("reference", "hypothesis")),
        ("D", confusions.deletions, ("reference",)),
        ("I", confusions.insertions, ("hypothesis",)),
    ):
        table = tabulate(steps)
        keys = [
            (tuple(x for x in (said, heard) if x is not None), row) for row, o, said, heard, *_ in all_steps if o == op
        ]
        times, clips = Counter(key for key, _ in keys), Counter(key for key, _ in set(keys))
        assert counted(table, *columns) == {key: (times[key], clips[key]) for key in times}
        assert table["count"].is_monotonic_decreasing
        pd.testing.assert_frame_equal(tabulate(steps, top=2), table.head(2))
    table = confusions.accuracy(steps)
    said = Counter(s for _, _, s, *_ in all_steps if s)
    hits = Counter(s for _, op, s, *_ in all_steps if op == "=")
    heard = Counter(h for _, _, _, h, *_ in all_steps if h)
    assert dict(zip(table["item"], table["count"], strict=True)) == said
    for _, row in table.iterrows():
        assert row["accuracy"] == hits[row["item"]] / said[row["item"]]
        assert row["count"] == row["hits"] + row["substitutions"] + row["deletions"]
        assert row["heard"] == heard[row["item"]]
        assert np.isnan(row["precision"]) if not row["heard"] else row["precision"] == row["hits"] / row["heard"]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_find_gives_every_place(pairs):
    rows = scored(pairs)
    steps, all_steps = confusions.read_words(rows), walked(rows)
    for said, heard in {(s, h) for _, _, s, h, *_ in all_steps}:
        table = confusions.find(steps, said, heard)
        places = [(row, i, j) for row, _, s, h, i, j in all_steps if (s, h) == (said, heard)]
        assert list(table.itertuples(index=False, name=None)) == places
    assert confusions.find(steps, "never", "said").empty


ROWS_BY_HAND = scored(
    [("the cat sat", "the bat sat"), ("a cat", "a bat"), ("cat cat", "bat bat"), ("on mat", "the on")]
)


def test_examples_are_distinct_rows_and_can_be_looked_up():
    steps = confusions.read_words(ROWS_BY_HAND)
    table = confusions.substitutions(steps, examples=2)
    assert table.loc[0].tolist() == ["cat", "bat", 4, 3, [0, 1]]
    assert confusions.find(steps, "cat", "bat", limit=3).to_dict("list") == {
        "clip": [0, 1, 2],
        "reference_at": [1, 1, 0],
        "hypothesis_at": [1, 1, 0],
    }
    assert confusions.find(steps, "mat").to_dict("list") == {"clip": [3], "reference_at": [1], "hypothesis_at": [2]}
    assert confusions.find(steps, None, "the")["clip"].tolist() == [3]


def test_a_filter_keeps_the_numbers_of_the_rows():
    steps = confusions.read_words(ROWS_BY_HAND).where(np.array([False, True, False, True]))
    assert confusions.substitutions(steps).loc[0].tolist() == ["cat", "bat", 1, 1, [1]]
    assert set(confusions.accuracy(steps)["item"]) == {"a", "cat", "on", "mat"}
    assert confusions.substitutions(steps.where(np.zeros(4, bool))).empty


def test_limits():
    steps = confusions.read_words(ROWS_BY_HAND)
    assert len(confusions.accuracy(steps, least=2)) == 1
    assert len(confusions.accuracy(steps, least=0)) == 6  # words of references; `bat` is none
    assert len(confusions.substitutions(steps, top=0)) == 0


@pytest.mark.parametrize("library", [pd.DataFrame, pa.table])
def test_rows_of_a_data_frame_or_an_arrow_table(library):
    steps = confusions.read_words(library(ROWS_BY_HAND))
    assert confusions.substitutions(steps)["count"].tolist() == [4]


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_characters_add_up_to_the_scored_columns(pairs):
    rows = scored(pairs)
    steps = confusions.read_characters(rows)
    assert confusions.substitutions(steps)["count"].sum() == rows["char_substitutions"].sum()
    assert confusions.deletions(steps)["count"].sum() == rows["char_deletions"].sum()
    assert confusions.insertions(steps)["count"].sum() == rows["char_insertions"].sum()
    assert confusions.accuracy(steps)["hits"].sum() == rows["char_hits"].sum()


def test_characters_of_a_language_without_spaces():
    rows = scored([("你好世界", "你号世界"), ("你好", "你好")], "zh")
    steps = confusions.read_characters(rows, by_character=True)
    assert confusions.substitutions(steps).loc[0].tolist() == ["好", "号", 1, 1, [0]]
    assert " " not in set(steps.vocabulary)


def test_no_rows():
    for rows in (scored([]), scored([("", "")])):
        for steps in (confusions.read_words(rows), confusions.read_characters(rows)):
            for table in (confusions.substitutions, confusions.deletions, confusions.insertions, confusions.accuracy):
                assert table(steps).empty


def test_ops_that_do_not_fit_their_texts_are_refused():
    with pytest.raises(ValueError, match="row 1 walk 2 items of its reference, which has 1"):
        confusions.read_words({"reference": ["a", "b"], "hypothesis": ["a", "b c"], "ops": ["=", "=S"]})
    with pytest.raises(ValueError, match="2 rows of ops and 1 of reference"):
        confusions.read([["a"]], [["a"]], ["=", "="])


def test_equal_counts_come_in_a_fixed_order():
    words = [chr(97 + i) for i in range(20)]
    random.Random(1).shuffle(words)
    table = confusions.deletions(confusions.read_words(scored([(w, "") for w in words])))
    assert table["reference"].tolist() == sorted(words)
