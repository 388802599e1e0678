"""Word confidence: the alignment behind it, the map on top, and the figures that judge it."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.decoding import Calibration, Calibrations, calibrations, confidence, decode
from asrdemo.decoding.columns import Columns, columns, normalised
from asrdemo.decoding.greedy import runs
from asrdemo.decoding.greedy import words as words_of
from asrdemo.errors import DecodingError
from asrdemo.types import DecoderOptions, Vocabulary
from benchmarks.synthetic_emissions import emissions_of

LETTERS = Columns(("", "a", "b", "c", " "), (0, 1, 2, 3, 4), 0)


def best_path(x: np.ndarray, labels: list[int]) -> list[int] | None:
    """By trying every path of the labels with blanks between, and blanks or spaces around."""
    best, found = -np.inf, None
    for path in itertools.product([0, 4, *sorted(set(labels))], repeat=len(x)):
        runs = [k for k, _ in itertools.groupby(path) if k != 0]
        inner = [k for k in runs if k != 4]
        spaces_inside = any(k == 4 for k in itertools.dropwhile(lambda k: k == 4, runs[: len(runs) - _trailing(runs)]))
        if inner == labels and not spaces_inside:
            score = float(x[np.arange(len(x)), path].sum())
            if score > best:
                best, found = score, list(path)
    return found


def _trailing(runs: list[int]) -> int:
    return len(list(itertools.takewhile(lambda k: k == 4, reversed(runs))))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_alignment_is_the_best_path(seed: int, frames: int, labels: list[int]) -> None:
    x = normalised(np.random.default_rng(seed).normal(0, 2, (frames + 4, 5)).astype(np.float32))
    word = "".join(LETTERS.labels[i] for i in labels)
    neighbour = (("abc", 0, frames + 4), 0, frames + 4)  # a longer one in the batch must not disturb
    found = confidence.align(x, LETTERS, [(((word, 2, 2 + frames), 2, 2 + frames), labels), (neighbour, [1, 2, 3])])[0]
    window = x[2 : 2 + frames]
    path = best_path(window, labels)
    if path is None:
        assert found.log_probs == pytest.approx([float(window[:, label].max()) for label in labels])
        assert (found.start, found.end) == (2, 2 + frames)
        return
    expected = []
    for label, run in itertools.groupby(range(frames), key=lambda t: path[t]):
        part = list(run)
        if label in (1, 2, 3):
            expected.append(max(float(window[t, label]) for t in part))
    assert found.log_probs == pytest.approx(expected)
    sounding = [t for t in range(frames) if path[t] in (1, 2, 3)]
    assert (found.start, found.end) == (2 + sounding[0], 3 + sounding[-1])


def heard_and_path(text: str, ambiguous: float = 0.0) -> tuple:
    heard = emissions_of(text, np.random.default_rng(0), ambiguous)
    kept = columns(heard.vocabulary)
    x = normalised(heard.log_probs[:, list(kept.keep)])
    return heard, kept, x, runs(x, kept.blank)


def test_looking_up_the_greedy_path_and_aligning_give_the_same() -> None:
    heard, kept, x, path = heard_and_path("we call it a bear", 0.3)
    words = words_of(path, kept)
    reported = [(w.text, w.start - 1, w.end + 1) for w in words]  # a little off, as a search may be
    (looked_up,) = confidence.place(x, path, kept, [reported])
    assert [(w.text, w.start, w.end) for w in looked_up] == [(w.text, w.start, w.end) for w in words]
    for word, spoken, before, after in zip(words, reported, [None, *words], [*words[1:], None], strict=False):
        low, high = before.end if before else 0, after.start if after else len(x)
        labels = [kept.labels.index(c) for c in word.text]
        (aligned,) = confidence.align(x, kept, [((spoken, low, high), labels)])
        assert (aligned.start, aligned.end) == (word.start, word.end)
        assert aligned.log_probs == pytest.approx(word.log_probs)


def test_a_word_that_was_not_heard_is_not_trusted() -> None:
    heard, kept, x, path = heard_and_path("cat")
    (word,) = words_of(path, kept)
    a, b = word.start, word.end
    (right,), (wrong,), (empty,), (endless,) = confidence.place(
        x, path, kept, [[("cat", a, b)], [("cot", a, b)], [("cat", 0, 0)], [("cat" * 200, 0, len(x))]]
    )
    assert confidence.raw(right.log_probs, "mean") > 0.8 > 0.2 > confidence.raw(wrong.log_probs, "mean")
    assert confidence.raw((), "mean") == 0
    assert (right.start, right.end) == (wrong.start, wrong.end) == (a, b)
    assert 0 <= confidence.raw(empty.log_probs, "mean") < 0.8
    assert len(endless.log_probs) == 600  # no word, and too long to align: still an answer


def test_words_never_overlap() -> None:
    _, kept, x, path = heard_and_path("so it is so", 0.5)
    n = len(x)
    (placed,) = confidence.place(x, path, kept, [[("so", 0, n // 2), ("it", n // 2 - 3, n // 2), ("so", n // 2, n)]])
    for one, two in itertools.pairwise(placed):
        assert one.start <= one.end <= two.start <= two.end


def test_aggregates() -> None:
    logs = (math.log(0.9), math.log(0.4))
    assert confidence.raw(logs, "mean") == pytest.approx(0.6)
    assert confidence.raw(logs, "min") == pytest.approx(0.4)
    assert confidence.raw(logs, "product") == pytest.approx(0.36)
    assert Calibration()(logs) == pytest.approx(0.6)
    assert Calibration("min", 2.0, 1.0)(logs) == pytest.approx(1 / (1 + math.exp(-(2 * math.log(0.4 / 0.6) + 1))))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.01, 5), st.floats(-5, 5))
def test_the_map_keeps_the_order_and_stays_in_range(values: list[float], slope: float, offset: float) -> None:
    r = np.sort(np.array(values))
    p = Calibration("mean", slope, offset).calibrate(r)
    assert (np.diff(p) >= -1e-12).all() and (p >= 0).all() and (p <= 1).all()


def sample(slope: float, offset: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw confidences and whether the words were right, drawn from a known map."""
    rng = np.random.default_rng(seed)
    r = rng.beta(4, 1, n)
    p = 1 / (1 + np.exp(-(slope * np.log(r / (1 - r)) + offset)))
    return r, rng.random(n) < p


@pytest.mark.parametrize("slope", [0.01, 60.0, 1e6])
def test_steep_maps_stay_in_range(slope: float) -> None:
    """exp() overflows beyond 709."""
    calibration = Calibration(slope=slope)
    assert 0 <= calibration([-50.0]) < 0.5 < calibration([0.0]) <= 1


def test_fitting_finds_the_map_and_mends_the_calibration() -> None:
    r, correct = sample(0.6, -1.0, 8000, seed=0)
    slope, offset = confidence.fit(r, correct)
    assert (slope, offset) == (pytest.approx(0.6, abs=0.06), pytest.approx(-1.0, abs=0.12))
    r, correct = sample(0.6, -1.0, 8000, seed=1)
    p = Calibration("mean", slope, offset).calibrate(r)
    assert confidence.calibration_error(p, correct) < 0.025 < 0.2 < confidence.calibration_error(r, correct)
    assert confidence.cross_entropy(p, correct) > max(0, confidence.cross_entropy(r, correct))


def test_fitting_needs_both_kinds_and_survives_clean_separation() -> None:
    r = np.array([0.1, 0.2, 0.8, 0.9])
    with pytest.raises(DecodingError, match="4 right and 0 wrong"):
        confidence.fit(r, np.ones(4))
    slope, offset = confidence.fit(r, np.array([0, 0, 1, 1]))
    assert 0 < slope < 100 and math.isfinite(offset)
    assert confidence.fit(r, np.array([1, 1, 0, 0]))[0] > 0  # a map that turned the order round is refused


def test_figures_on_cases_with_known_answers() -> None:
    right = np.array([1, 1, 1, 0], dtype=bool)
    assert confidence.calibration_error(np.full(4, 0.75), right, bins=1) == pytest.approx(0)
    assert confidence.calibration_error(np.full(4, 0.25), right, bins=1) == pytest.approx(0.5)
    assert confidence.cross_entropy(np.full(4, 0.75), right) == pytest.approx(0)
    assert confidence.cross_entropy(np.array([1, 1, 1, 0.0]), right) == pytest.approx(1, abs=1e-4)
    assert math.isnan(confidence.cross_entropy(np.full(4, 0.5), np.ones(4)))
    assert confidence.reliability(np.array([0.05, 0.95, 1.0]), np.array([0, 1, 0])) == [
        (pytest.approx(0.05), 0.0, 1),
        (pytest.approx(0.975), 0.5, 2),
    ]


def test_maps_are_read_from_beside_the_checkpoint(tmp_path: Path) -> None:
    assert calibrations(None) == calibrations(tmp_path) == Calibrations()
    own = Calibrations(Calibration("min", 0.5, -0.25), Calibration("product", 2.0, 1.0), "on dev")
    own.write(tmp_path / confidence.FILE)
    assert calibrations(tmp_path) == own
    heard = emissions_of("it is", np.random.default_rng(0), 0.5)
    plain, mapped = (decode(heard, DecoderOptions(), None, c)[0] for c in (None, own))
    assert plain.text == mapped.text and [w.confidence for w in plain.words] != [w.confidence for w in mapped.words]


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", json.dumps({"greedy": {"slope": -1}, "beam": {}}), json.dumps({"greedy": {"a": 1}, "beam": {}})],
)
def test_broken_maps_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / confidence.FILE).write_text(content)
    with pytest.raises(DecodingError, match="calibration|cannot be read"):
        calibrations(tmp_path)


def test_multi_letter_labels_are_spelled_longest_first() -> None:
    kept = columns(Vocabulary(("", "s", "c", "h", "sch", "a", " "), 0))
    assert confidence._Speller(kept)("schach") == [4, 5, 2, 3]
    assert confidence._Speller(kept)("xa") == []
