"""asrdemo.live: the same text whatever the blocks, nothing for silence, stable text only grows, bounded cost."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from fakes import FakeCache, pause, registry, say, spec
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.errors import AudioError
from asrdemo.live import Intake, LiveSession
from asrdemo.transcribe import Transcriber
from asrdemo.types import SAMPLE_RATE, Clip, DecoderOptions
from evals.score import characters

SENTENCES = [
    "good morning to you all",
    "the second one is a little longer than that",
    "yes",
    "and so we come to an end",
]
TALK = np.concatenate([np.concatenate([say(s + " "), pause(0.8)]) for s in SENTENCES * 3])
LONGEST_WINDOW = 30.0  # seconds; no model run hears more at once


def session(cache: FakeCache | None = None, **options: object) -> LiveSession:
    return LiveSession(Transcriber(registry(), cache=cache or FakeCache()), "fake", **options)


def feed(live: LiveSession, audio: np.ndarray, sizes, rate: int | None = None) -> str:
    """Push audio in blocks of these sizes (repeated as needed); checks that stable text only grows."""
    at, stable, sizes = 0, "", list(sizes)
    for turn in range(10**6):
        if at >= len(audio):
            break
        block = audio[at : at + sizes[turn % len(sizes)]]
        said = live.push(block if rate is None else (rate, block))
        assert said.stable.startswith(stable)
        stable, at = said.stable, at + len(block)
    final = live.finish().text
    assert final.startswith(stable)
    return final


def test_a_talk_is_heard_word_for_word():
    assert feed(session(), TALK, [1600]) == " ".join(SENTENCES * 3)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=8).map(lambda sizes: [*sizes, 4000]))
def test_block_sizes_do_not_matter(sizes):
    assert feed(session(), TALK, sizes) == " ".join(SENTENCES * 3)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_intake_equals_resampling_in_one_go(rate):
    audio = np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype(np.float32)
    intake, out, at = Intake(), [], 0
    for size in np.random.default_rng(1).integers(1, 5000, 10_000):
        out.append(intake.push((rate, audio[at : at + size])))
        at += size
        if at >= len(audio):
            break
    got = np.concatenate([*out, intake.finish()])
    np.testing.assert_allclose(got, soxr.resample(audio, rate, SAMPLE_RATE), atol=1e-6)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_microphone_rates_and_types(rate, dtype):
    audio = soxr.resample(TALK, SAMPLE_RATE, rate)
    if dtype is np.int16:
        audio = np.clip(audio * 32768, -32768, 32767).astype(np.int16)
    texts = {feed(session(), audio, sizes, rate) for sizes in ([rate // 2], [1024], [333, 7001])}
    assert texts == {" ".join(SENTENCES * 3)}


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_every_sample_type_keeps_its_level(dtype):
    wave = np.array([0.0, 0.5, -0.5])
    if np.dtype(dtype).kind in "iu":
        half = 2 ** (8 * np.dtype(dtype).itemsize - 1)
        wave = wave * half + (half if np.dtype(dtype).kind == "u" else 0)
    np.testing.assert_allclose(Intake().push(wave.astype(dtype)), [0, 0.5, -0.5], atol=0.01)


def test_channels_are_mixed_and_a_change_of_rate_is_survived():
    intake = Intake()
    np.testing.assert_allclose(intake.push(np.array([[0.2, 0.4], [0.0, 1.0]], np.float32)), [0.3, 0.5], atol=1e-6)
    total = sum(len(intake.push((rate, np.zeros(rate, np.float32)))) for rate in (48_000, 44_100, 16_000))
    assert total + len(intake.finish()) == 3 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.array([0.0, np.nan]), "not numbers"),
        ((3, np.zeros(10)), "3 Hz"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (np.array(["a"]), "integers or floats"),
    ],
)
def test_blocks_that_are_not_audio_are_refused(audio, message):
    with pytest.raises(AudioError, match=message):
        session().push(audio)


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_produces_nothing_and_runs_nothing(level):
    cache = FakeCache()
    live = session(cache)
    noise = (np.random.default_rng(0).normal(0, 1, 60 * SAMPLE_RATE) * level).astype(np.float32)
    for block in np.array_split(noise, 120):
        said = live.push(block)
        assert (said.stable, said.tentative) == ("", "")
    assert live.finish().text == "" and cache.calls == []
    assert live.finish().duration == pytest.approx(60)


def test_tentative_text_comes_early_and_becomes_stable():
    live = session()
    seen = [live.push(block) for block in np.array_split(np.concatenate([say("hello there"), pause(8)]), 100)]
    assert seen[-1].stable == "hello there" and seen[-1].tentative == ""
    first = next(said for said in seen if said.tentative)
    assert "hello there".startswith(first.tentative) and first.audio_seconds < 1.2
    assert all(not said.tentative for said in seen if said.stable)


def test_words_carry_the_time_of_the_recording():
    talk = np.concatenate(
        [pause(2), say("one two three four five six seven eight nine ten eleven"), pause(9), say("late")]
    )
    live = session()
    feed(live, talk, [4000])
    words = live.finish().best.words
    assert words[0].start == pytest.approx(2.0, abs=0.05)
    assert words[-1].text == "late" and words[-1].end == pytest.approx(len(talk) / SAMPLE_RATE, abs=0.1)
    assert all(a.end <= b.start for a, b in zip(words, words[1:], strict=False))


def test_speech_without_a_pause_stays_bounded():
    """Ten minutes without a breath: cost per second and memory stay as they were at the start."""
    cache = FakeCache()
    live = session(cache)
    breathless = say("abcdefghij ", frames=2)[: SAMPLE_RATE // 2]
    for count in range(1200):
        live.push(breathless)
        assert live._tape.end - live._tape.start <= LONGEST_WINDOW * SAMPLE_RATE
        if count == 99:
            early = sum(map(sum, cache.calls))
    late = sum(map(sum, cache.calls)) - early
    assert max(map(max, cache.calls)) <= LONGEST_WINDOW
    assert late / 1100 == pytest.approx(early / 100, rel=0.35)
    assert live.finish().text


def test_words_across_a_cut_without_a_pause_stay_whole():
    """Nobody draws breath for two minutes: every word is committed once, in one piece."""
    sentence = "the quick brown fox jumps over the lazy dog "
    text = sentence * round(120 / (len(say(sentence)) / SAMPLE_RATE))
    cache = FakeCache()
    assert feed(session(cache), say(text), [8000]) == text.strip()
    assert len(cache.calls) > 4 and max(map(max, cache.calls)) <= LONGEST_WINDOW


def babble(rng: np.random.Generator) -> np.ndarray:
    """A minute that a network hears something in: bursts with pauses, then half a minute without any."""
    parts = []
    for length in [*rng.uniform(0.5, 7, 7), 30.0]:
        noise = rng.normal(0, rng.uniform(0.03, 0.2), round(length * SAMPLE_RATE))
        tone = np.sin(np.cumsum(rng.uniform(0.02, 0.3, len(noise) // 800 + 1).repeat(800))[: len(noise)])
        parts += [noise * (0.6 + 0.4 * tone), np.zeros(round(rng.uniform(0.1, 1.5) * SAMPLE_RATE))]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("kind", ["greedy", "beam"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_session_ends_in_what_the_file_gives(norm, kind, request):
    """With a real network: the same words as decoding the recording as a file."""
    from asrdemo.acoustic import ModelCache
    from asrdemo.registry import Registry

    checkpoint = spec("tiny", path=request.getfixturevalue(f"tiny_checkpoint_{norm}"))
    transcriber = Transcriber(Registry({"tiny": checkpoint}), cache=ModelCache(1, "cpu", "fp32"))
    options = DecoderOptions(kind=kind, beam_width=10)
    rng = np.random.default_rng(7)
    recording = babble(rng)
    live = LiveSession(transcriber, "tiny", options)
    text = feed(live, recording, rng.integers(100, 20_000, 50))
    file = transcriber.transcribe([Clip(recording)], "tiny", options)[0]
    counts = characters(file.text, text)  # a random network rarely draws a line between words
    assert counts.reference >= 200 and counts.rate <= 0.02
    if kind == "greedy":
        assert text == file.text
        assert [w.start for w in live.finish().best.words] == pytest.approx([w.start for w in file.best.words])


def test_a_finished_session_takes_no_more():
    live = session()
    live.push(say("yes"))
    assert live.finish() == live.finish() and live.finish().text == "yes"
    with pytest.raises(AudioError, match="has ended"):
        live.push(say("no"))
