"""asrdemo.transcribe: one path for all, kept emissions, defaults, threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeCache, pause, registry, say, spec

from asrdemo.errors import NotFoundError
from asrdemo.registry import LanguageModelSpec, Registry
from asrdemo.transcribe import EmissionStore, Transcriber
from asrdemo.types import SAMPLE_RATE, Clip, DecoderOptions, Emissions, Vocabulary


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


@pytest.fixture
def transcriber(cache: FakeCache) -> Transcriber:
    return Transcriber(registry("fake", "other"), cache=cache)


def clip(text: str, name: str = "clip") -> Clip:
    return Clip(say(text), name)


def test_clips_become_transcripts_in_their_order(transcriber, cache):
    done = transcriber.transcribe([clip("two words", "a.wav"), clip("one", "b.wav"), Clip(pause(1), "c.wav")], "fake")
    assert [t.text for t in done] == ["two words", "one", ""]
    assert [t.clip for t in done] == ["a.wav", "b.wav", "c.wav"]
    assert len(cache.calls) == 1, "one call, so that the model can sort by length"
    assert [w.text for w in done[0].best.words] == ["two", "words"]
    assert done[0].duration == pytest.approx(len(say("two words")) / SAMPLE_RATE)
    assert (done[0].checkpoint, done[0].engine, done[0].device, done[0].precision) == ("fake", "greedy", "cpu", "fp32")


def test_no_clips_load_nothing(transcriber, cache):
    assert transcriber.transcribe([], "fake") == [] and not cache.models


def test_decoding_again_never_runs_the_model(transcriber, cache):
    heard = clip("hear me")
    first = transcriber.transcribe([heard], "fake")[0]
    for changed in (
        DecoderOptions(kind="beam"),
        DecoderOptions(kind="beam", beta=3.0),
        DecoderOptions(kind="beam", hotwords=("hear",)),
    ):
        again = transcriber.transcribe([replace(heard, name="another name")], "fake", changed)[0]
        assert again.text == "hear me" and again.timings.acoustic == 0.0 and again.decoder == changed
        assert again.clip == "another name" and again.engine != "greedy"
    assert first.timings.acoustic > 0
    assert len(cache.calls) == 1


def test_kept_emissions_belong_to_samples_checkpoint_and_precision(transcriber, cache):
    transcriber.transcribe([clip("one")], "fake")
    transcriber.transcribe([clip("two")], "fake")
    transcriber.transcribe([clip("one")], "other")
    assert len(cache.calls) == 3
    cache.models["fake"].fingerprint = "retrained"
    transcriber.model("fake")
    transcriber.transcribe([clip("one")], "fake")
    cache.models["fake"].precision = "bf16"
    transcriber.model("fake")
    transcriber.transcribe([clip("one")], "fake")
    assert len(cache.calls) == 5


def test_only_new_clips_of_a_batch_are_heard(transcriber, cache):
    transcriber.transcribe([clip("one")], "fake")
    done = transcriber.transcribe([clip("two"), clip("one"), clip("two")], "fake")
    assert [t.text for t in done] == ["two", "one", "two"]
    assert cache.calls[1:] == [[clip("two").duration]]
    assert done[0].timings.acoustic > 0 and done[1].timings.acoustic == done[2].timings.acoustic == 0


def test_the_store_is_bounded_and_forgets_the_least_recently_used():
    def emissions(frames: int) -> Emissions:
        return Emissions(np.zeros((frames, 10), np.float32), Vocabulary(("",) * 10, 0), 0.02, 0.0)

    store = EmissionStore(limit=4000)  # one frame takes 40 bytes
    store.put(("a",), emissions(40))
    store.put(("b",), emissions(40))
    assert store.get(("a",)) is not None
    store.put(("c",), emissions(40))
    assert store.get(("b",)) is None and store.get(("a",)) is not None and store.get(("c",)) is not None
    store.put(("a",), emissions(10))
    assert store.bytes == 50 * 40 and len(store) == 2
    store.put(("too large",), emissions(101))
    assert store.get(("too large",)) is None and len(store) == 2


def test_a_transcriber_may_keep_nothing(cache):
    transcriber = Transcriber(registry(), cache=cache, keep_bytes=0)
    for _ in range(2):
        assert transcriber.transcribe([clip("one")], "fake")[0].text == "one"
    assert len(cache.calls) == 2


def test_defaults_come_from_the_checkpoint_and_weights_from_the_language_model():
    own = DecoderOptions(kind="beam", lm="small", alpha=0.9, beta=0.3, beam_width=33)
    models = {
        "small": LanguageModelSpec(id="small", title="", language="en", alpha=0.1, beta=0.2),
        "large": LanguageModelSpec(id="large", title="", language="en", alpha=0.7, beta=2.5),
    }
    transcriber = Transcriber(Registry({"fake": spec(decoder=own)}, models), cache=FakeCache())
    assert transcriber.defaults("fake") == own
    assert transcriber.defaults("fake", lm="large") == replace(own, lm="large", alpha=0.7, beta=2.5)
    assert transcriber.defaults("fake", "greedy") == replace(own, kind="greedy", lm=None)
    assert transcriber.defaults("fake", lm=None) == replace(own, lm=None)
    with pytest.raises(NotFoundError, match="small, large"):
        transcriber.defaults("fake", lm="huge")


def test_unknown_ids_say_what_there_is(transcriber):
    with pytest.raises(NotFoundError, match="fake, other"):
        transcriber.transcribe([clip("a")], "nothing")
    with pytest.raises(NotFoundError, match="language model"):
        transcriber.transcribe([clip("a")], "fake", DecoderOptions(kind="beam", lm="nothing"))


def test_progress_tells_of_hearing_then_decoding(transcriber):
    told: list[tuple[int, int, str]] = []
    transcriber.transcribe([clip("a"), clip("b")], "fake", progress=lambda *a: told.append(a))
    assert told == [(2, 2, "hearing"), (0, 2, "decoding"), (1, 2, "decoding"), (2, 2, "decoding")]


def test_threads_share_one_transcriber(transcriber):
    texts = [f"{a} {b}" for a in ("yes", "no", "go") for b in ("up", "down")]
    start = threading.Barrier(8)

    def work(seed: int) -> bool:
        start.wait()
        order = np.random.default_rng(seed).permutation(texts * 5).tolist()
        return all(transcriber.transcribe([clip(t)], ("fake", "other")[seed % 2])[0].text == t for t in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(transcriber.kept) == 2 * len(texts)
    assert transcriber.kept.bytes == sum(e.log_probs.nbytes for e in transcriber.kept._kept.values())
