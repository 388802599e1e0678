"""Cutting long recordings: nothing lost, nothing twice, frames where they belong, cuts in pauses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.acoustic.segments import (
    CONTEXT,
    FIRST_PAUSE,
    GRID,
    HOP,
    LONGEST,
    SHORTEST,
    Cutter,
    Windows,
    _surely_whole,
    frame_count,
    is_silent,
    segment,
    windows,
)
from asrdemo.types import SAMPLE_RATE


def sound(pattern: list[tuple[float, float]], seed: int = 0) -> np.ndarray:
    """Noise of given (seconds, amplitude) pieces."""
    rng = np.random.default_rng(seed)
    pieces = [amplitude * rng.standard_normal(int(seconds * SAMPLE_RATE)) for seconds, amplitude in pattern]
    return np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(0, np.float32)


patterns = st.lists(st.tuples(st.floats(0, 15), st.sampled_from([0.0, 1e-5, 1e-3, 0.03, 0.3])), max_size=8)


@settings(deadline=None, max_examples=40)
@given(patterns, st.sampled_from([(320, 400), (480, 1278), (160, 200), (640, 1000)]))
def test_windows_keep_every_frame_once_and_in_place(
    pattern: list[tuple[float, float]], geometry: tuple[int, int]
) -> None:
    stride, receptive = geometry
    samples = sound(pattern)
    expected = 0
    for w in windows(samples, stride, receptive):
        assert w.first == expected and w.last > w.first
        assert w.start == (w.first - w.skip) * stride, (
            "frames stay aligned only if a pass begins at a multiple of the stride"
        )
        assert 0 <= w.start < w.end <= len(samples)
        assert frame_count(w.end - w.start, stride, receptive) >= w.skip + w.last - w.first
        assert w.end - w.start <= LONGEST * HOP + 2 * CONTEXT + receptive + stride, "memory of a pass is bounded"
        expected = w.last
    assert expected == frame_count(len(samples), stride, receptive)


@settings(deadline=None, max_examples=15)
@given(patterns, st.lists(st.integers(100, 60_000), min_size=1, max_size=20))
def test_cuts_do_not_depend_on_how_the_sound_arrives(pattern: list[tuple[float, float]], blocks: list[int]) -> None:
    samples = sound(pattern)
    cutter, found, at = Cutter(), [], 0
    for size in itertools.cycle(blocks):
        if at >= len(samples):
            break
        found += cutter.push(samples[at : at + size])
        at += size
    found += cutter.finish()
    assert found == segment(samples)
    assert [s.start for s in found[1:]] == [s.end for s in found[:-1]], "without gaps"
    assert all(s.end - s.start >= (SHORTEST // 2 - GRID) * HOP for s in found[:-1]), "half a silent stretch at least"


@pytest.mark.parametrize("end", [True, False], ids=["at the end", "within"])
@pytest.mark.parametrize("frames", range(FIRST_PAUSE - 2, FIRST_PAUSE + 3))
def test_the_quick_answer_knows_how_long_a_pause_may_be(frames: int, end: bool) -> None:
    loud = np.full(250 * HOP, 0.3, np.float32)
    samples = np.concatenate([loud, np.zeros(frames * HOP, np.float32), loud[: 0 if end else 50 * HOP]])
    cutter = Cutter()
    assert segment(samples) == [*cutter.push(samples), *cutter.finish()]
    assert _surely_whole(samples) == (frames < FIRST_PAUSE)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from([0.0, 1e-4, 1e-3, 0.016, 0.3])), max_size=5))
def test_the_quick_answer_for_short_clips_is_that_of_the_cutter(pattern: list[tuple[float, float]]) -> None:
    samples = sound(pattern)
    cutter = Cutter()
    assert segment(samples) == [*cutter.push(samples), *cutter.finish()]


@settings(deadline=None, max_examples=15)
@given(patterns, st.integers(100, 60_000), st.sampled_from([(320, 400), (480, 1278)]))
def test_windows_of_a_live_recording_are_those_of_its_file(
    pattern: list[tuple[float, float]], size: int, geometry: tuple[int, int]
) -> None:
    samples, live, found = sound(pattern), Windows(*geometry), []
    for at in range(0, len(samples), size):
        found += live.push(samples[at : at + size])
    assert [*found, *live.finish()] == windows(samples, *geometry)


def test_cuts_fall_into_pauses() -> None:
    samples = sound([(13, 0.1), (1.2, 1e-4), (6, 0.1), (1.2, 1e-4), (7, 0.1)])
    found = segment(samples)
    assert [s.pause for s in found] == [True] * 3
    assert 13.0 < found[0].end / SAMPLE_RATE < 14.2
    assert 20.2 < found[1].end / SAMPLE_RATE < 21.4


@pytest.mark.parametrize("pattern", [[(4, 0.1), (2, 1e-4), (4, 0.1), (1.9, 0.0)], [(1, 0.1), (2.9, 0.0), (8, 0.1)]])
def test_clips_up_to_12_seconds_stay_whole(pattern: list[tuple[float, float]]) -> None:
    """However long their pauses are: half a sentence is heard, and read by a language model, worse than a whole one."""
    assert len(segment(sound(pattern))) == 1
    samples = sound(pattern)
    (window,) = windows(samples, 320, 400)
    assert (window.start, window.end, window.skip) == (0, len(samples), 0)


def test_three_silent_seconds_end_even_the_first_segment() -> None:
    """Live captions commit what was said once nothing follows."""
    samples = sound([(2, 0.1), (6, 1e-4)])
    first = segment(samples)[0]
    assert first.pause and 2 < first.end / SAMPLE_RATE < 5


def test_short_pauses_count_only_later() -> None:
    begin = [(13, 0.1), (0.4, 1e-4)]  # the first cut
    assert len(segment(sound([*begin, (6, 0.1), (0.4, 1e-4), (4, 0.1)]))) == 2
    assert len(segment(sound([*begin, (13, 0.1), (0.4, 1e-4), (4, 0.1)]))) == 3


def test_without_pauses_windows_overlap() -> None:
    samples = sound([(60, 0.1)])
    found = segment(samples)
    assert len(found) >= 3 and not any(s.pause for s in found[:-1])
    assert all(18 <= (s.end - s.start) / SAMPLE_RATE <= 24 for s in found[:-1])
    passes = windows(samples, 320, 400)
    assert all(w.skip == CONTEXT // 320 for w in passes[1:])
    assert not any(w.pause for w in passes[:-1])


@pytest.mark.parametrize(
    "samples, silent",
    [
        (np.zeros(1000), True),
        (np.zeros(0), True),
        (np.full(5000, 1e-5), True),
        (np.r_[np.zeros(900), 0.1], False),
        (np.full(100, 0.01), False),
    ],
)
def test_silence(samples: np.ndarray, silent: bool) -> None:
    assert bool(is_silent(samples.astype(np.float32))) == silent
