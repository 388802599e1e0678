"""evals.score: counts against a plain edit distance, empty texts, pooling, profiles, columns, the offline metrics."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evals.score
from asrdemo.errors import ConfigError
from evals.align import align_characters, align_words
from evals.score import Counts, character_counts, characters, score, score_pairs, texts, words

ROOT = Path(__file__).resolve().parent.parent
SENTENCE = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=6).map(" ".join)


def edit_distance(a: list[str], b: list[str]) -> int:
    """The textbook recurrence, as an independent reference."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SENTENCE, SENTENCE), max_size=5))
def test_counts_are_the_pooled_edit_distance(pairs):
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    counts = words(refs, hyps)
    assert counts.errors == sum(edit_distance(r.split(), h.split()) for r, h in pairs)
    assert counts.reference == sum(len(r.split()) for r in refs)
    assert counts.clips == len(pairs)
    assert counts == sum((words(r, h) for r, h in pairs), Counts())
    spelled = characters(refs, hyps)
    assert spelled.reference == sum(map(len, refs))
    assert spelled.errors == sum(edit_distance(list(r), list(h)) for r, h in pairs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5))
def test_character_counts_are_those_of_the_alignment(pairs):
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    found = align_characters(refs, hyps)
    expected = (found.hits, found.substitutions, found.deletions, found.insertions)
    for ours, theirs in zip(character_counts(refs, hyps), expected, strict=True):
        assert ours.dtype == np.int32
        assert ours.tolist() == theirs.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SENTENCE.filter(bool), SENTENCE), min_size=1, max_size=5))
def test_cer_is_that_of_jiwer(pairs):
    refs, hyps = [r for r, _ in pairs], [h for _, h in pairs]
    assert characters(refs, hyps).rate == jiwer.cer(refs, hyps)


def test_characters_of_an_hour_of_speech():
    counts = characters("abcd " * 2000 + "x", "abcd " * 2000 + "yz")
    assert (counts.hits, counts.substitutions, counts.deletions, counts.insertions) == (10_000, 1, 0, 1)


COLUMNS = [
    *("reference", "hypothesis", "hits", "substitutions", "deletions", "insertions"),
    *("char_hits", "char_substitutions", "char_deletions", "char_insertions", "raw_words", "raw_errors", "ops"),
]
RAW = ["The cat, sat.", "", "Hello!", "Yes", "..."], ["the bat sat", "uh", "hello", "", "no"]


def test_scored_columns():
    found = score_pairs(*RAW, "en")
    assert list(found) == COLUMNS
    assert found["reference"] == ["the cat sat", "", "hello", "yes", ""]
    assert found["ops"] == ["=S=", "I", "=", "D", "I"]
    for name in COLUMNS[2:-1]:
        assert found[name].dtype == np.int32 and found[name].shape == (5,), name
    assert found["raw_words"].tolist() == [3, 0, 1, 1, 1]
    assert found["raw_errors"].tolist() == [3, 1, 1, 1, 1]
    aligned = align_words(found["reference"], found["hypothesis"])
    assert aligned.ops == found["ops"]
    pooled = score(*RAW, "en")
    assert Counts.of(aligned) == pooled.words
    assert sum(found[f"char_{kind}"].sum() for kind in ("hits", "substitutions", "deletions")) == 3 + 3 + 3 + 2 + 5 + 3
    assert (
        sum(found[f"char_{kind}"].sum() for kind in ("substitutions", "deletions", "insertions"))
        == pooled.characters.errors
    )


def test_columns_of_a_language_without_spaces():
    found = score_pairs(["你好，世界。 OK"], ["你好世界ok啊"], "zh")
    assert found["reference"] == ["你 好 世 界 o k"]
    assert (found["hits"][0], found["insertions"][0], found["char_hits"][0], found["char_insertions"][0]) == (
        6,
        1,
        6,
        1,
    )
    assert (found["raw_words"][0], found["raw_errors"][0]) == (8, 4)  # characters: two signs, two capitals less, 啊


def test_no_rows_and_wrong_profile():
    assert all(len(column) == 0 for column in score_pairs([], [], "en").values())
    with pytest.raises(ConfigError, match="no normalisation profile 'xx'"):
        score_pairs(["a"], ["a"], "xx")
    with pytest.raises(ValueError, match="1 references and 2 hypotheses"):
        score_pairs(["a"], ["a", "b"], "en")


def test_rows_of_any_library():
    columns = {"reference": ["a", "b"]}
    for rows in (columns, pd.DataFrame(columns), pa.table(columns)):
        assert texts(rows, "reference") == ["a", "b"]


def test_the_docstring_is_true():
    assert doctest.testmod(evals.score).failed == 0


def test_rates_pool_counts_and_never_average():
    # one word all wrong, nine words all right: 10 %, where a mean of clip rates would say 50 %
    assert words(["x", "a b c d e f g h i"], ["y", "a b c d e f g h i"]).rate == pytest.approx(0.1)


def test_kinds_of_error_are_told_apart():
    counts = words("the cat sat down", "a cat sat down there")
    assert (counts.hits, counts.substitutions, counts.deletions, counts.insertions) == (3, 1, 0, 1)


def test_empty_texts():
    assert words([], []).rate == 0.0
    assert words("", "a b") == Counts(insertions=2, clips=1)
    assert math.isinf(characters("", "a b").rate)


def test_lists_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        words(["a", "b"], ["a"])


def test_the_profile_decides_what_is_a_word():
    assert score("Hello, WORLD!", "hello world", "en").wer == 0.0
    chinese = score("你好世界", "你好世", "zh")
    assert (chinese.words.reference, chinese.wer, chinese.cer) == (4, 0.25, 0.25)
    assert score("DIŞARI", "dışarı", "tr").cer == 0.0


def test_metrics_load_without_network_and_agree(tmp_path):
    code = """
import evaluate
from asrdemo.errors import NotFoundError
wer, cer, per = (evaluate.load(f"evals/metrics/{name}") for name in ("wer", "cer", "per"))
pairs = dict(predictions=["a c", "", "x"], references=["a b", "b", ""])
try:
    per.compute(**pairs)
except NotFoundError:
    print(wer.compute(**pairs), cer.compute(**pairs))
"""
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)}  # no espeak-ng on it
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    refs, hyps = ["a b", "b", ""], ["a c", "", "x"]
    assert out.stdout.split() == [str(words(refs, hyps).rate), str(characters(refs, hyps).rate)]


def test_scoring_needs_no_torch():
    use = "import sys, evals.score; evals.score.words('a', 'b')"
    code = f"{use}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert out.stdout.split() == ["False", "False"], out.stderr
