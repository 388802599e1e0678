"""evals.align: least edits, then most hits, then sclite's choice; against plain recurrences and jiwer."""

from __future__ import annotations

import doctest
import random

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import align as module
from evals.align import align, align_characters, align_words

SENTENCE = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), max_size=6)
TEXT = st.text(st.sampled_from("ab cé"), max_size=12)


def plain(reference: list[str], hypothesis: list[str], substitution: tuple, gap: tuple) -> tuple[tuple, str]:
    """(cost, ops) of one pair by the textbook recurrence, with sclite's choice where paths are equally good. Costs are
    tuples, compared from the left."""

    def add(a: tuple, b: tuple) -> tuple:
        return tuple(x + y for x, y in zip(a, b, strict=True))

    nothing = tuple(0 for _ in gap)
    best: dict[tuple[int, int], tuple[tuple, str]] = {(0, 0): (nothing, "")}
    for i in range(len(reference) + 1):
        for j in range(len(hypothesis) + 1):
            ways = []  # the first of the cheapest is taken
            if i and j:
                cost, ops = best[i - 1, j - 1]
                same = reference[i - 1] == hypothesis[j - 1]
                ways.append((add(cost, nothing if same else substitution), ops + ("=" if same else "S")))
            if j:
                cost, ops = best[i, j - 1]
                ways.append((add(cost, gap), ops + "I"))
            if i:
                cost, ops = best[i - 1, j]
                ways.append((add(cost, gap), ops + "D"))
            if ways:
                best[i, j] = min(ways, key=lambda way: way[0])
    return best[len(reference), len(hypothesis)]


def fewest(reference: list[str], hypothesis: list[str]) -> str:
    """Fewest edits, then fewest substitutions, which is most hits."""
    return plain(reference, hypothesis, (1, 1), (1, 0))[1]


def replay(reference: list[str], hypothesis: list[str], ops: str) -> None:
    """Walk both sides as `ops` says; every step must be what it claims."""
    i = j = 0
    for op in ops:
        if op in "=S":
            assert (reference[i] == hypothesis[j]) == (op == "=")
        i, j = i + (op != "I"), j + (op != "D")
    assert (i, j) == (len(reference), len(hypothesis))


@settings(max_examples=300, deadline=None)
@given(PAIRS)
def test_fewest_edits_then_most_hits_then_the_choice_of_sclite(pairs):
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    found = align_words(refs, hyps)
    assert found.ops == [fewest(r.split(), h.split()) for r, h in pairs]
    for k, (r, h) in enumerate(pairs):
        replay(r.split(), h.split(), found.ops[k])
        counts = (found.hits[k], found.substitutions[k], found.deletions[k], found.insertions[k])
        assert counts == tuple(found.ops[k].count(op) for op in "=SDI")


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_the_costs_of_sclite(pairs):
    found = align_words([r for r, _ in pairs], [h for _, h in pairs], costs="sclite")
    assert found.ops == [plain(r.split(), h.split(), (4,), (3,))[1] for r, h in pairs]


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_totals_are_those_of_jiwer(pairs):
    spoken = [(r, h) for r, h in pairs if r]  # jiwer refuses empty references
    if not spoken:
        return
    refs, hyps = [r for r, _ in spoken], [h for _, h in spoken]
    out = jiwer.process_words(refs, hyps)
    found = align_words(refs, hyps)
    assert found.errors.sum() == out.substitutions + out.deletions + out.insertions
    assert found.errors.sum() / found.reference.sum() == out.wer
    assert found.hits.sum() >= out.hits


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_characters_are_aligned_by_the_same_rule(pairs):
    found = align_characters([r for r, _ in pairs], [h for _, h in pairs])
    assert found.ops == [fewest(list(r), list(h)) for r, h in pairs]


def test_many_pairs_of_all_lengths_equal_jiwer_in_errors():
    rng = random.Random(7)

    def sentence() -> str:
        return " ".join(rng.choices("abcdefghij", k=rng.choice([1, 3, 9, 10, 11, 40])))

    refs, hyps = [sentence() for _ in range(9000)], [sentence() for _ in range(9000)]  # more than one block
    out = jiwer.process_words(refs, hyps)
    found = align_words(refs, hyps)
    assert found.errors.sum() == out.substitutions + out.deletions + out.insertions
    for k in range(0, 9000, 301):
        replay(refs[k].split(), hyps[k].split(), found.ops[k])


def test_the_grouping_of_pairs_changes_nothing(monkeypatch):
    rng = random.Random(3)
    refs, hyps = ([" ".join(rng.choices("abcd", k=rng.randint(0, 12))) for _ in range(200)] for _ in range(2))
    usual = align_words(refs, hyps).ops
    for name, value in (("_BLOCK", 7), ("_WIDTH", 20), ("_TABLE", 900)):
        monkeypatch.setattr(module, name, value)
        assert align_words(refs, hyps).ops == usual, name


@pytest.mark.parametrize("length", [100, 127, 128, 180, 400])
def test_long_pairs_where_costs_outgrow_small_integers(length):
    rng = random.Random(length)
    reference, hypothesis = rng.choices("abcdefgh", k=length), rng.choices("abcdefgh", k=length + 30)
    found = align([reference], [hypothesis])
    out = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    assert found.errors[0] == out.substitutions + out.deletions + out.insertions
    assert found.hits[0] >= out.hits
    replay(reference, hypothesis, found.ops[0])
    apart = align([["x"] * length], [["y"] * length])
    assert apart.ops == ["S" * length]


def test_more_errors_than_the_fewest_is_what_sclite_can_report():
    pair = ["e b b g f d"], ["f d c c h"]  # two hits cost three insertions and three deletions
    assert align_words(*pair).ops == ["DSSSSS"]
    assert align_words(*pair, costs="sclite").ops == ["DDDD==III"]


def test_empty_texts():
    found = align_words(["", "a b", "", "  "], ["x y", "", "", "z"])
    assert found.ops == ["II", "DD", "", "I"]
    nothing = align_words([], [])
    assert nothing.ops == [] and nothing.hits.dtype == np.int32 and nothing.errors.shape == (0,)


def test_white_space_of_any_kind_separates_words():
    assert align_words([" a\tb\u00a0c\n"], ["a  b c"]).ops == ["==="]


def test_a_word_that_looks_like_the_mark_between_texts_is_a_word():
    assert align_words(["a \0 b", "c"], ["a b", "c \0"]).ops == ["=D=", "=I"]


def test_sequences_of_anything():
    found = align([[("n", 1), None, "x"]], [[("n", 1), "x"]])
    assert found.ops == ["=D="]


def test_lists_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        align_words(["a", "b"], ["a"])


def test_a_pair_beyond_all_memory_is_refused_with_advice():
    with pytest.raises(ValueError, match="30000 and 30000 items is too long .* in parts"):
        align_characters(["a" * 30_000], ["b" * 30_000])


def test_the_docstring_is_true():
    assert doctest.testmod(module).failed == 0
