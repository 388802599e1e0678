"""evals.formatting: raw beside normalised, each step's part, and what kind of error is left."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.errors import ConfigError
from evals.formatting import LEFT, Formatting, formatting
from evals.score import score_pairs

TEXTS = st.lists(st.sampled_from(["The", "the", "cat,", "cat", "don’t", "don't", "e-mail", "email", "4"]), max_size=5)


def of(pairs: list[tuple[str, str]], profile: str = "en") -> Formatting:
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    return formatting({"reference_raw": refs, "hypothesis_raw": hyps, **score_pairs(refs, hyps, profile)}, profile)


def removed(found: Formatting) -> dict[str, int]:
    return dict(zip(found.steps["step"], found.steps["removed"], strict=True))


def left(found: Formatting) -> dict[str, int]:
    return {kind: n for kind, n in zip(found.left["kind"], found.left["errors"], strict=True) if n}


def test_each_step_has_its_part():
    found = of([("Don’t stop, CAT.", "don't stop cat"), ("A dog", "a hog")])
    assert (found.raw_words, found.raw_errors, found.words, found.errors) == (5, 5, 5, 1)
    assert (found.raw_wer, found.wer, found.share) == (1.0, 0.2, 0.8)
    assert removed(found) == {"as written": 0, "unicode": 0, "apostrophes": 0, "case": 2, "punctuation": 2}
    assert found.steps["errors"].tolist() == [5, 5, 5, 3, 1]
    assert found.steps["share"].tolist() == [0.0, 0.0, 0.0, 0.4, 0.4]
    assert left(found) == {"recognition": 1}
    assert found.left.set_index("kind").loc["recognition", "examples"] == [1]


def test_a_step_can_add_errors():
    found = of([("e-mail", "email")])
    assert removed(found)["punctuation"] == -1  # one word becomes two
    assert found.share == -1.0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "profile", "expected"),
    [
        ("an ice cream now", "an icecream now", "en", {"word boundaries": 2}),
        ("we don't", "we dont", "en", {"word boundaries": 1}),
        ("a e-mail", "a email", "en", {"word boundaries": 2}),
        ("vine-hi ara", "vine hi ara", "ca", {"word boundaries": 2}),
        ("hâlâ kar", "hala kar", "tr", {"spelling variants": 1}),
        ("hâlâ kar", "hala kar", "tr-fold", {}),
        ("المدرسة", "المدرسه", "ar", {"spelling variants": 1}),
        ("at 4 today", "at four today", "en", {"numbers": 1}),
        ("at 4 today", "at 5 today", "en", {"recognition": 1}),
        ("ice cream now", "icecream know", "en", {"recognition": 3}),  # one run, with a word misheard in it
        ("the cat", "the hat", "tr", {"recognition": 1}),
        ("", "uh", "en", {"recognition": 1}),
    ],
)
def test_what_is_left(reference, hypothesis, profile, expected):
    assert left(of([(reference, hypothesis)], profile)) == expected


def test_steps_of_a_language():
    found = of([("İZMİR’E", "i\u0307zmir'e"), ("Kâr.", "kar")], "tr-fold")
    assert list(removed(found)) == ["as written", "unicode", "apostrophes", "case", "spelling", "punctuation"]
    assert list(removed(found).values()) == [0, 0, 0, 1, 0, 1]
    arabic = of([("مُحَمَّدٌ", "محمد")], "ar")
    assert removed(arabic)["marks"] == 1


def test_characters_are_the_unit_where_they_are_words():
    found = of([("你好，世界。", "你好世界")], "zh")
    assert (found.raw_words, found.raw_errors, found.words, found.errors) == (6, 2, 4, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS.map(" ".join), TEXTS.map(" ".join)), max_size=5))
def test_the_parts_add_up(pairs):
    found = of(pairs)
    scored = score_pairs([r for r, _ in pairs], [h for _, h in pairs], "en")
    assert found.raw_errors == scored["raw_errors"].sum()
    assert found.raw_words == scored["raw_words"].sum()
    assert found.errors == sum(scored[kind].sum() for kind in ("substitutions", "deletions", "insertions"))
    assert found.raw_errors - found.steps["removed"].sum() == found.errors
    assert found.left["errors"].sum() == found.errors
    assert found.left["kind"].tolist() == list(LEFT)


def test_nothing_to_divide_by():
    for found in (of([]), of([("", "")])):
        assert math.isnan(found.raw_wer) and math.isnan(found.wer) and math.isnan(found.share)
    assert of([("", "uh")]).raw_errors == 1
    assert of([("A  b", "A b")], "raw").steps["step"].tolist() == ["as written"]


def test_unknown_profile():
    with pytest.raises(ConfigError, match="no normalisation profile"):
        formatting({"reference_raw": [], "hypothesis_raw": [], "reference": [], "hypothesis": [], "ops": []}, "xx")
