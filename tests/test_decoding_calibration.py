"""The script that fits word confidences, on made-up speech whose mistakes are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrdemo.decoding import Calibration
from asrdemo.types import DecoderOptions
from benchmarks import confidence as script
from benchmarks.synthetic_emissions import emissions_of

SENTENCE = "the quick brown fox jumps over a lazy dog"


def words(seed: int, clips: int = 60) -> script.Words:
    """Greedy words of torn emissions: the more torn a word, the more often it is wrong."""
    rng = np.random.default_rng(seed)
    heard = [emissions_of(SENTENCE, rng, 0.25) for _ in range(clips)]
    return script.decode_words(heard, [SENTENCE.title() + "."] * clips, DecoderOptions(), None, "en")


def test_right_words_come_from_the_alignment() -> None:
    assert script.right_words(["a", "b", "x", "d"], ["a", "b", "c", "d"]) == [True, True, False, True]
    assert script.right_words(["b", "b"], ["b"]).count(True) == 1
    assert script.right_words(["a", ""], ["a", "b"]) == [True, False]
    assert script.right_words(["a"], []) == [False]
    assert script.right_words([], ["a"]) == []


def test_fitting_makes_confidences_honest_on_other_clips() -> None:
    fitted = script.fit(words(1))
    other = words(2)
    assert 0.2 < other.correct.mean() < 0.95
    before, after = script.judge(other, Calibration()), script.judge(other, fitted)
    assert after.ece < 0.05 and after.ece <= before.ece
    assert after.nce > max(before.nce, 0.2)
    assert after.words == len(other.correct) and after.accuracy == pytest.approx(other.correct.mean())


def test_plot_is_small_and_replaces_an_older_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    some = words(3, clips=10)
    path = tmp_path / "docs" / "reliability.png"
    for _ in range(2):
        script.plot({"greedy": (some, script.fit(some)), "beam": (some, Calibration())}, path, "made-up speech")
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert path.stat().st_size < script.MOST_PLOT_BYTES
    assert list(path.parent.iterdir()) == [path]


def test_no_speaker_is_fitted_on_and_judged_on() -> None:
    if not script.SHARED.is_dir():
        pytest.skip("real corpora (../shared/corpora) are not on this machine")
    speaker = {
        path: who
        for corpus, split in (
            ("an4", "dev"),
            ("an4", "test"),
            ("speechocean762", "dev"),
            ("cv-corpus-6.1-sample/en", "validated"),
        )
        for who, path, _ in script.table(corpus, split)
    }
    fit_on, judge_on = script.material()
    one, two = ({speaker[p] for rows in part.values() for p, _ in rows} for part in (fit_on, judge_on))
    assert one and two and not one & two
