"""Our beam search beside plain pyctcdecode, called as its own documentation does: the same texts, times and scores.

Both engines are held to it, on noise, on speech-like emissions and on real ones, with and without language model,
hotwords and odd limits. Emissions have no ties: where scores are equal, pyctcdecode's own order is arbitrary.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.decoding import LanguageModel, build_language_model, decode, engines
from asrdemo.decoding.beam import decode_span, idle_frames
from asrdemo.decoding.columns import columns, normalised
from asrdemo.types import DecoderOptions, Emissions, Vocabulary
from benchmarks.synthetic_emissions import LETTERS, VOCABULARY, emissions_of, noise

SENTENCES = """the cat sat on the mat
a quick brown fox jumps over the lazy dog
she sells sea shells by the sea shore
we call it a bear and it calls us friends
how much wood would a wood chuck chuck
there is no place like home on a rainy day
it's better to be late than never
please call stella and ask her to bring these things""".splitlines()
ENGINES = ["pyctcdecode"] + (["ctc-beam-decoder"] if engines.fast_is_installed() else [])
KEPT = [i for i in range(len(LETTERS)) if i not in VOCABULARY.special]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    return build_language_model(SENTENCES * 3, 3, path, builder="built-in").load()


def plain(emissions: Emissions, options: DecoderOptions, lm: LanguageModel | None) -> list[tuple]:
    """What a user of pyctcdecode gets. Special tokens are left out the same way, there is no other way to."""
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(
        [LETTERS[i] for i in KEPT],
        str(lm.path) if lm else None,
        list(lm.unigrams or ()) if lm else None,
        alpha=float(options.alpha),
        beta=float(options.beta),
        unk_score_offset=float(options.unk_offset),
    )
    beams = decoder.decode_beams(
        emissions.log_probs[:, KEPT],
        beam_width=options.beam_width,
        beam_prune_logp=options.beam_prune,
        token_min_logp=options.token_prune,
        hotwords=list(options.hotwords),
        hotword_weight=options.hotword_weight,
    )
    decoder.cleanup()
    return [(text, [f for _, f in frames], acoustic, score) for text, _, frames, acoustic, score in beams]


def check(emissions: Emissions, options: DecoderOptions, lm: LanguageModel | None = None) -> None:
    expected = plain(emissions, options, lm)
    for engine in ENGINES:
        found = decode(emissions, replace(options, engine=engine), lm)  # type: ignore[arg-type]
        assert [h.text for h in found] == [text for text, *_ in expected[: options.n_best]], engine
        for hypothesis, (_, _, acoustic, score) in zip(found, expected, strict=False):
            assert hypothesis.acoustic_score == pytest.approx(acoustic, abs=1e-3)
            assert hypothesis.score == pytest.approx(score, abs=1e-3)
        assert searched_frames(engine, emissions, options, lm) == [
            frames for _, frames, *_ in expected[: options.n_best]
        ]


def searched_frames(
    engine: str, emissions: Emissions, options: DecoderOptions, lm: LanguageModel | None
) -> list[list[tuple[int, int]]]:
    """Frames of the words of each beam, before words are aligned anew."""
    x = np.ascontiguousarray(emissions.log_probs[:, KEPT])
    beams = decode_span(engine, x, normalised(x), columns(VOCABULARY), options, lm, options.hotwords)
    return [b.frames for b in beams]


limits = st.fixed_dictionaries(
    {
        "beam_width": st.sampled_from([1, 3, 20, 100]),
        "beam_prune": st.sampled_from([-2.0, -10.0, -30.0]),
        "token_prune": st.sampled_from([-0.5, -3.0, -5.0]),
        "hotwords": st.sampled_from([(), ("cat", "sea shells"), ("wood", "stella", "a")]),
        "hotword_weight": st.sampled_from([0.0, 1.0, 10.0]),
        "n_best": st.sampled_from([1, 5, 20]),
    }
)
weights = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.0, 0.5, 2.0]),
        "beta": st.sampled_from([-1.0, 0.0, 1.5]),
        "unk_offset": st.sampled_from([-10.0, -1.0, 0.0]),
    }
)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25), st.sampled_from([1.0, 3.0, 6.0]), limits)
def test_noise(seed: int, frames: int, spread: float, change: dict) -> None:
    check(noise(frames, np.random.default_rng(seed), spread), DecoderOptions(kind="beam", **change))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1.0, 3.0, 6.0]), limits, weights)
def test_noise_with_a_language_model(
    lm: LanguageModel, seed: int, frames: int, spread: float, change: dict, weight: dict
) -> None:
    options = DecoderOptions(kind="beam", **change, **weight)
    check(noise(frames, np.random.default_rng(seed), spread), options, lm)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SENTENCES), st.sampled_from([0.05, 0.2, 0.5]), limits, weights)
def test_speech_like_emissions_with_a_language_model(
    lm: LanguageModel, seed: int, text: str, ambiguous: float, change: dict, weight: dict
) -> None:
    options = DecoderOptions(kind="beam", **change, **weight)
    check(emissions_of(text, np.random.default_rng(seed), ambiguous), options, lm)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SENTENCES), limits)
def test_speech_like_emissions(seed: int, text: str, change: dict) -> None:
    check(emissions_of(text[:25], np.random.default_rng(seed)), DecoderOptions(kind="beam", **change))


def real_emissions(clips: list[Path]) -> list[Emissions]:
    """What the embedded checkpoint hears in real clips."""
    load = pytest.importorskip("asrdemo.acoustic").load
    from asrdemo.audio import read_clip
    from asrdemo.registry import CheckpointSpec

    folder = Path(__file__).resolve().parent.parent / "demo" / "checkpoints" / "demo-en"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the embedded checkpoint is not there")
    spec = CheckpointSpec("demo-en", "demo-en", "en", "en", folder)
    return load(spec, device="cpu", precision="fp32").emissions([read_clip(path) for path in clips])


def test_real_emissions(lm: LanguageModel, real_clips: list[Path]) -> None:
    heard = real_emissions(real_clips[::6])
    kept = [i for i in range(len(heard[0].vocabulary)) if i not in heard[0].vocabulary.special]
    if [heard[0].vocabulary.tokens[i] for i in kept] != [LETTERS[i] for i in KEPT]:
        heard = [_with_letters(e, kept) for e in heard]
    for emissions in heard:
        once = replace(emissions, seconds_per_frame=0.02, cuts=())
        check(replace(once, log_probs=once.log_probs[:120]), DecoderOptions(kind="beam", n_best=1), lm)
        check(replace(once, log_probs=once.log_probs[:40]), DecoderOptions(kind="beam", beam_width=10, n_best=1))


def _with_letters(emissions: Emissions, kept: list[int]) -> Emissions:
    """The same emissions with the columns of VOCABULARY; letters that the checkpoint lacks are impossible."""
    tokens = emissions.vocabulary.tokens
    x = np.full((len(emissions.log_probs), len(LETTERS)), -50.0, np.float32)
    x += np.arange(len(LETTERS), dtype=np.float32) * 0.1
    for i in kept:
        if tokens[i] in LETTERS:
            x[:, LETTERS.index(tokens[i])] = emissions.log_probs[:, i]
    return replace(emissions, log_probs=x, vocabulary=VOCABULARY)


def test_frames_left_out_are_those_that_repeat_the_only_candidate() -> None:
    # columns: blank, a, b
    sure_blank, sure_a, torn = [0.998, 0.001, 0.001], [0.001, 0.998, 0.001], [0.5, 0.499, 0.001]
    frames = [sure_blank, sure_blank, sure_blank, sure_a, sure_a, torn, torn, sure_blank, sure_a]
    x = np.log(np.array(frames, dtype=np.float32))
    repeats, lost = idle_frames(x, -5.0)
    assert repeats.tolist() == [False, True, True, False, True, False, False, False, False]
    assert lost == pytest.approx(3 * np.log(0.998), abs=1e-5)
    assert not idle_frames(x, -50.0)[0].any()  # everything is a candidate


def test_a_word_reaches_to_its_last_frame_though_that_was_left_out() -> None:
    p = np.full((9, 3), 1e-3)
    p[np.arange(9), [0, 0, 1, 1, 1, 2, 2, 0, 0]] = 0.998
    letters = Vocabulary(("", "a", " "), 0)
    emissions = Emissions(np.log(p).astype(np.float32), letters, 0.02, 0.18)
    for engine in ENGINES:
        (word,) = decode(emissions, DecoderOptions(kind="beam", engine=engine))[0].words  # type: ignore[arg-type]
        assert (round(word.start, 3), round(word.end, 3)) == (0.04, 0.10)


def test_upper_case_vocabulary_with_a_lower_case_model(lm: LanguageModel) -> None:
    upper = Vocabulary(tuple(t.upper() for t in LETTERS), 0, VOCABULARY.special)
    for seed in range(5):
        heard = emissions_of(SENTENCES[seed], np.random.default_rng(seed), 0.4)
        options = DecoderOptions(kind="beam", hotwords=("shells",))
        lower, shouted = decode(heard, options, lm), decode(replace(heard, vocabulary=upper), options, lm)
        assert [h.text.upper() for h in lower] == [h.text for h in shouted]
        assert lower[0].score == pytest.approx(shouted[0].score)
        assert [w.confidence for w in lower[0].words] == [w.confidence for w in shouted[0].words]


def test_the_language_model_repairs_words_and_its_score_is_split_off(lm: LanguageModel) -> None:
    heard = emissions_of("the cat sat on the mat", np.random.default_rng(5), 0.5)
    without, best = decode(heard, DecoderOptions(kind="beam"))[0], decode(heard, DecoderOptions(kind="beam"), lm)[0]
    assert without.text != best.text == "the cat sat on the mat"
    assert without.lm_score == 0
    assert best.acoustic_score < without.acoustic_score
    options = DecoderOptions(kind="beam")
    natural = options.alpha * lm.score(best.text) * np.log(10) + options.beta * len(best.words)
    # pyctcdecode adds the bonus once more for the empty word that ends a sentence in a space
    assert best.lm_score - natural == pytest.approx(0, abs=1e-3)


def test_weights_change_without_leaking_into_other_decodings(lm: LanguageModel) -> None:
    heard = emissions_of("she sells sea shells", np.random.default_rng(1), 0.4)
    for engine in ENGINES:
        scores = [
            decode(heard, DecoderOptions(kind="beam", alpha=alpha, engine=engine), lm)[0].lm_score  # type: ignore[arg-type]
            for alpha in (0.5, 0.0, 2.0, 0.5)
        ]
        assert scores[0] == scores[3] and len(set(scores)) == 3
    assert len(engines._decoders) <= engines.KEPT


def test_threads_with_weights_of_their_own_do_not_disturb_each_other(lm: LanguageModel) -> None:
    heard = [emissions_of(text, np.random.default_rng(i), 0.3) for i, text in enumerate(SENTENCES[:4])]
    jobs = [
        (e, DecoderOptions(kind="beam", alpha=alpha, engine=engine, beam_width=20))  # type: ignore[arg-type]
        for e in heard
        for alpha in (0.1, 0.7, 1.5)
        for engine in ENGINES
    ]
    alone = [decode(e, o, lm) for e, o in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: decode(*job, lm), jobs * 2))
    assert together == alone * 2


@pytest.mark.skipif("ctc-beam-decoder" not in ENGINES, reason="ctc-beam-decoder is not installed")
def test_no_progress_bar_of_kenlm_is_seen(lm: LanguageModel, capfd: pytest.CaptureFixture[str]) -> None:
    emissions = emissions_of("the cat sat", np.random.default_rng(5))
    decode(emissions, DecoderOptions("beam", "lm", alpha=0.123, engine="ctc-beam-decoder"), lm)
    assert capfd.readouterr().err == ""


def test_what_others_say_while_a_model_loads_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), engines._without_progress_bar(Path("/some/lm.arpa")):
        os.write(2, b"Reading /some/lm.arpa\nReading another file failed\n----5---10---15--100\n****\n")
        raise ValueError("broken")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "Reading another file failed\nafterwards\n"
