"""Greedy decoding, joining of spans, options and hotwords."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.decoding import decode, engine_used, engines
from asrdemo.errors import DecodingError
from asrdemo.types import DecoderOptions, Emissions, Vocabulary
from benchmarks.synthetic_emissions import VOCABULARY, emissions_of, noise

SMALL = Vocabulary(("", "a", "b", " ", "<unk>"), 0, frozenset({4}))
GREEDY = DecoderOptions()
BEAM = DecoderOptions(kind="beam")
ENGINES = [
    "pyctcdecode",
    pytest.param(
        "ctc-beam-decoder",
        marks=pytest.mark.skipif(not engines.fast_is_installed(), reason="ctc-beam-decoder is not installed"),
    ),
]


def path_emissions(path: str, vocabulary: Vocabulary = SMALL, sure: float = 0.9, **more: object) -> Emissions:
    """Emissions whose best token is spelled out frame by frame; `_` is the blank, `?` the unknown token."""
    number = {"_": 0, "?": 4} | {t: i for i, t in enumerate(vocabulary.tokens) if len(t) == 1}
    rest = (1 - sure) / (len(vocabulary) - 1)
    p = np.full((len(path), len(vocabulary)), rest)
    p[np.arange(len(path)), [number[c] for c in path]] = sure
    return Emissions(np.log(p).astype(np.float32), vocabulary, 0.02, len(path) * 0.02, **more)  # type: ignore[arg-type]


def collapse(path: list[str]) -> str:
    """The definition of CTC, word by word."""
    return " ".join("".join(k for k, _ in itertools.groupby(path) if k != "_").split())


@settings(deadline=None)
@given(st.text(alphabet="_ab ", max_size=40))
def test_greedy_is_what_ctc_says(path: str) -> None:
    (best,) = decode(path_emissions(path), GREEDY)
    assert best.text == collapse(list(path)) == " ".join(w.text for w in best.words)
    assert best.acoustic_score == pytest.approx(len(path) * np.log(0.9 / (1 - 0.025)), abs=1e-3)
    assert best.lm_score == 0


def test_times_run_from_the_first_to_the_last_frame_of_a_word() -> None:
    (best,) = decode(path_emissions("__aab_ __b_b__ "), GREEDY)
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in best.words] == [
        ("ab", 0.04, 0.10),
        ("bb", 0.18, 0.24),
    ]


def test_special_tokens_are_never_in_a_text() -> None:
    emissions = path_emissions("a??b")
    for options in (GREEDY, BEAM):
        best = decode(emissions, options)[0]
        assert "?" not in best.text and "<" not in best.text
        assert best.text.startswith("a") and best.text.endswith("b")


@pytest.mark.parametrize("engine", ENGINES)
def test_zero_frames_give_one_empty_hypothesis(engine: str) -> None:
    nothing = Emissions(np.zeros((0, 5), np.float32), SMALL, 0.02, 0.0, cuts=(0,))
    for options in (GREEDY, replace(BEAM, engine=engine)):
        (only,) = decode(nothing, options)
        assert (only.text, only.words, only.score) == ("", (), 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_silence_gives_an_empty_text(engine: str) -> None:
    for options in (GREEDY, replace(BEAM, engine=engine, n_best=1)):
        (only,) = decode(path_emissions("_" * 50, sure=0.999), options)
        assert (only.text, only.words) == ("", ())
        assert only.score < 0


@pytest.mark.parametrize("engine", ENGINES)
def test_cuts_end_words_and_shift_times(engine: str) -> None:
    emissions = path_emissions("_ab__ba_", cuts=(4, 4, 0, 8, 99))
    for options in (GREEDY, replace(BEAM, engine=engine)):
        best = decode(emissions, options)[0]
        assert best.text == "ab ba"
        assert [(round(w.start, 3), round(w.end, 3)) for w in best.words] == [(0.02, 0.06), (0.10, 0.14)]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 120), max_size=3))
def test_greedy_joins_what_it_reads_between_cuts(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    whole = replace(emissions_of("the cat sat on the mat", rng, 0.3), cuts=tuple(cuts))
    edges = [0, *sorted(c for c in set(cuts) if 0 < c < len(whole.log_probs)), len(whole.log_probs)]
    parts = [
        decode(replace(whole, log_probs=whole.log_probs[a:b], cuts=()), GREEDY)[0].text
        for a, b in itertools.pairwise(edges)
    ]
    assert decode(whole, GREEDY)[0].text == " ".join(p for p in parts if p)


def test_n_best_over_spans_changes_one_span_at_a_time_cheapest_first() -> None:
    rng = np.random.default_rng(3)
    emissions = emissions_of("some words are hard to hear in a long recording", rng, 0.6)
    cut = len(emissions.log_probs) // 2
    halves = [
        decode(replace(emissions, log_probs=part), replace(BEAM, n_best=10))
        for part in (emissions.log_probs[:cut], emissions.log_probs[cut:])
    ]
    joined = decode(replace(emissions, cuts=(cut,)), replace(BEAM, n_best=8))
    assert joined[0].text == f"{halves[0][0].text} {halves[1][0].text}".strip()
    assert joined[0].score == pytest.approx(halves[0][0].score + halves[1][0].score)
    assert [h.score for h in joined] == sorted((h.score for h in joined), reverse=True)
    assert len({h.text for h in joined}) == len(joined) == 8
    expected = sorted(
        [(a.score + halves[1][0].score, f"{a.text} {halves[1][0].text}") for a in halves[0][1:]]
        + [(halves[0][0].score + b.score, f"{halves[0][0].text} {b.text}") for b in halves[1][1:]],
        reverse=True,
    )
    assert [h.text for h in joined[1:]] == [text for _, text in expected[:7]]


def test_times_stay_inside_the_recording_and_in_order() -> None:
    emissions = replace(emissions_of("a few short words", np.random.default_rng(0)), duration=0.7)
    for options in (GREEDY, BEAM):
        for hypothesis in decode(emissions, options):
            for word in hypothesis.words:
                assert 0 <= word.start <= word.end <= 0.7
                assert 0 <= word.confidence <= 1
            starts = [w.start for w in hypothesis.words]
            assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "best"}, "kind is 'best'; allowed: greedy, beam"),
        ({"engine": "fast"}, "engine is 'fast'; allowed: auto, pyctcdecode, ctc-beam-decoder"),
        ({"beam_width": 0}, "beam_width is 0; expected a whole number from 1 to 1000"),
        ({"beam_width": 10.0}, "beam_width is 10.0; expected a whole number"),
        ({"n_best": 21}, "n_best is 21; expected a whole number from 1 to 20"),
        ({"n_best": True}, "n_best is True"),
        ({"alpha": -0.1}, "alpha is -0.1; expected a number from 0 to 5"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"beta": 11}, "beta is 11; expected a number from -10 to 10"),
        ({"unk_offset": 1}, "unk_offset is 1; expected a number from -100 to 0"),
        ({"hotword_weight": 51.0}, "hotword_weight is 51.0; expected a number from 0 to 50"),
        ({"beam_prune": 0}, "beam_prune is 0; expected a number below 0"),
        ({"token_prune": "low"}, "token_prune is 'low'; expected a number below 0"),
        ({"hotwords": "cat"}, "hotwords is one text, 'cat'; expected a tuple"),
        ({"hotwords": ("cat", " ")}, "hotwords holds an empty entry, ' '"),
        ({"hotwords": ("na\u00efve",)}, "hotwords: 'na\u00efve' has '\u00ef', which the checkpoint's vocabulary"),
        ({"hotwords": ("c4 b2",)}, "has '2', '4', which"),
        ({"hotwords": ("a" * 101,)}, "an entry of 101 characters; expected at most 100"),
        ({"hotwords": ("a",) * 501}, "501 entries; expected at most 500"),
        ({"lm": "demo-lm"}, "lm is 'demo-lm', but that language model was not given"),
    ],
)
def test_options_out_of_range_are_named(change: dict, message: str) -> None:
    emissions = emissions_of("cat", np.random.default_rng(0))
    with pytest.raises(DecodingError) as error:
        decode(emissions, replace(BEAM, **change))
    assert message in str(error.value)


def test_hotwords_that_need_spaces_need_a_vocabulary_with_them() -> None:
    letters = Vocabulary(("", "a", "b"), 0)
    with pytest.raises(DecodingError, match="has a space, which"):
        decode(path_emissions("ab", letters), replace(BEAM, hotwords=("a b",)))


@pytest.mark.parametrize("engine", ENGINES)
def test_hotwords_pull_towards_themselves_with_their_weight(engine: str) -> None:
    emissions = path_emissions("_k_a_t_ ", VOCABULARY, 0.6)
    x = np.array(emissions.log_probs)
    x[1, VOCABULARY.tokens.index("c")] = np.log(0.3)
    emissions = replace(emissions, log_probs=x)
    options = replace(BEAM, engine=engine, hotwords=("  CAT ", "cat"))
    assert decode(emissions, replace(options, hotwords=()))[0].text == "kat"
    assert decode(emissions, replace(options, hotword_weight=0.0))[0].text == "kat"
    best = decode(emissions, replace(options, hotword_weight=5.0))[0]
    assert best.text == "cat"
    assert best.lm_score == pytest.approx(5.0)  # one whole hotword, counted once


def test_emissions_that_do_not_fit_are_refused() -> None:
    good = path_emissions("ab")
    with pytest.raises(DecodingError, match=r"shape \(2, 4\); expected \(frames, 5\)"):
        decode(replace(good, log_probs=good.log_probs[:, :4]), GREEDY)
    for options in (GREEDY, BEAM):
        with pytest.raises(DecodingError, match="no probability in frame 1"):
            decode(replace(good, log_probs=np.where([[False], [True]], np.nan, good.log_probs)), options)
        with pytest.raises(DecodingError, match="no probability in frame 0"):
            decode(replace(good, log_probs=np.where([[True], [False]], -np.inf, good.log_probs)), options)
    with pytest.raises(DecodingError, match="writes 'a' in more than one column"):
        decode(replace(good, vocabulary=Vocabulary(("", "a", "a", " ", "b"), 0)), GREEDY)


def test_engine_used_and_a_missing_fast_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    emissions = noise(20, np.random.default_rng(0))
    assert engine_used(GREEDY, emissions) == "greedy"
    assert engine_used(replace(BEAM, engine="pyctcdecode"), emissions) == "pyctcdecode"
    if engines.fast_is_installed():
        assert engine_used(BEAM, emissions) == "ctc-beam-decoder"
    monkeypatch.setattr(engines, "fast_is_installed", lambda: False)
    assert engine_used(BEAM, emissions) == "pyctcdecode"
    assert decode(emissions, BEAM)
    with pytest.raises(DecodingError, match="not installed here; pip install ctc-beam-decoder==0.2.0"):
        decode(emissions, replace(BEAM, engine="ctc-beam-decoder"))


def test_sentence_pieces_begin_words() -> None:
    pieces = Vocabulary(("", "\u2581he", "llo", "\u2581", "wor", "\u2581a"), 0)
    rng = np.random.default_rng(0)
    scores = rng.normal(-8, 1, (8, 6))
    scores[np.arange(8), [0, 1, 2, 0, 3, 4, 0, 5]] = 0
    emissions = Emissions(scores.astype(np.float32), pieces, 0.02, 0.16)
    assert decode(emissions, GREEDY)[0].text == "hello wor a"
    assert engine_used(BEAM, emissions) == "pyctcdecode"
    assert decode(emissions, BEAM)[0].text == "hello wor a"
