"""evals.score: counts against a plain edit distance, empty texts, pooling, profiles, the offline metrics."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evals.score
from evals.score import Counts, characters, score, words

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
    assert spelled.errors == sum(edit_distance(list(r), list(h)) for r, h in pairs)


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
wer, cer = evaluate.load("evals/metrics/wer"), evaluate.load("evals/metrics/cer")
pairs = dict(predictions=["a c", "", "x"], references=["a b", "b", ""])
print(wer.compute(**pairs), cer.compute(**pairs))
"""
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    refs, hyps = ["a b", "b", ""], ["a c", "", "x"]
    assert out.stdout.split() == [str(words(refs, hyps).rate), str(characters(refs, hyps).rate)]


def test_scoring_needs_no_torch():
    use = "import sys, evals.score; evals.score.words('a', 'b')"
    code = f"{use}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert out.stdout.split() == ["False", "False"], out.stderr
