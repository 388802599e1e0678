"""Building a language model from text and opening it, with KenLM as the judge of the file."""

from __future__ import annotations

import gzip
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrdemo.decoding import build_language_model, language_model, lm_build, open_language_model
from asrdemo.decoding.arpa import read_unigrams, write_arpa
from asrdemo.decoding.kneser_ney import estimate, number
from asrdemo.decoding.language_model import load
from asrdemo.errors import Cancelled, ConfigError, LanguageModelError
from asrdemo.registry import LanguageModelSpec

TEXT = ["The cat sat on the mat.", "The dog sat down!", "A cat ran, and a dog ran too.", "The mat was red."] * 3


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked models go to a folder of the test's own."""
    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))


def words_of(text: str) -> set[str]:
    return set(text.split())


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_kenlm_loads_every_order(tmp_path: Path, order: int, name: str) -> None:
    built = build_language_model(TEXT, order, tmp_path / name, builder="built-in")
    model = built.load()
    assert (built.order, model.order) == (order, max(order, 2))  # a unigram model carries one idle bigram
    assert len(built.counts) == order
    assert built.sentences == 12
    assert set(model.unigrams or ()) == words_of("the cat sat on mat dog down a ran and too was red")
    assert model.case == "lower"
    assert built.unigrams == tmp_path / "lm.unigrams.txt"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == [name, "lm.unigrams.txt"]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6), min_size=1, max_size=25))
def test_probabilities_of_all_words_sum_to_one(tmp_path: Path, order: int, text: list[list[str]]) -> None:
    counted = number(" ".join(s) for s in text)
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(counted, order), path)
    model = load(path).kenlm
    import kenlm

    vocabulary = [*counted.words[2:], "never-seen"]  # </s>, the words, and <unk>; never <s>
    for context in ([], ["a"], ["a", "b"], ["g", "c", "d", "never-seen"]):
        state, after = kenlm.State(), kenlm.State()
        model.BeginSentenceWrite(state)
        for word in context:
            model.BaseScore(state, word, after)
            state, after = after, kenlm.State()
        total = sum(10 ** model.BaseScore(state, word, kenlm.State()) for word in vocabulary)
        assert total == pytest.approx(1, abs=2e-4)  # six decimals in the file


def test_a_better_order_fits_better_and_other_text_fits_worse(tmp_path: Path) -> None:
    one, three = (build_language_model(TEXT, n, tmp_path / f"{n}.arpa", builder="built-in") for n in (1, 3))
    assert three.perplexity(TEXT).with_unknown < one.perplexity(TEXT).with_unknown
    odd = three.perplexity("Red mat the on. Zebras ran.")
    assert odd.with_unknown > 2 * three.perplexity(TEXT).with_unknown
    assert (odd.words, odd.sentences, odd.unknown) == (6, 2, 1)
    assert odd.without_unknown < odd.with_unknown


def test_text_comes_as_string_file_or_lines(tmp_path: Path) -> None:
    text = "\n".join(TEXT)
    (tmp_path / "text.txt").write_text("\ufeff" + text, encoding="utf-8")
    written = []
    for i, source in enumerate((text, tmp_path / "text.txt", iter(TEXT))):
        written.append(build_language_model(source, 3, tmp_path / f"{i}.arpa", builder="built-in").path.read_bytes())
    assert written[0] == written[1] == written[2]
    assert b"<s> the cat" in written[0]


def test_sentences_on_one_line_are_split_and_profiles_normalise(tmp_path: Path) -> None:
    assert lm_build.read_sentences("One two. Three, four! \u201cFive\u201d", "en") == ["one two", "three four", "five"]
    assert lm_build.read_sentences("IŞIK İyi", "tr") == ["\u0131\u015f\u0131k iyi"]
    assert lm_build.read_sentences("Keep  It. As Is", "raw") == ["Keep It. As Is"]
    with pytest.raises(ConfigError, match="no normalisation profile 'klingon'"):
        build_language_model(TEXT, 2, tmp_path / "lm.arpa", profile="klingon")


def test_order_shrinks_to_the_longest_sentence(tmp_path: Path) -> None:
    built = build_language_model(["yes", "no"], 5, tmp_path / "lm.arpa", builder="built-in")
    assert built.order == 3 and built.load().order == 3
    assert "fixed discounts" in built.note


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty: no word is left"),
        ("  \n ... !!\n", "empty: no word is left"),
        ("hello", "holds 1 different word .*at least two"),
        ("hello hello\nHello!", "holds 1 different word"),
        ("some text\0and more text", "binary data"),
        ("\x01\x02\x03\x04 words here", "binary data"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file"),
        ("caf\u00e9 au lait".encode("latin-1"), r"not UTF-8 text \(byte 3 is 0xe9\)"),
        ("two words".encode("utf-16"), "UTF-16"),
    ],
)
def test_bad_text_gets_a_reason_and_leaves_nothing(tmp_path: Path, text: str | bytes, reason: str) -> None:
    source: str | Path = tmp_path / "text"
    if isinstance(text, bytes):
        (tmp_path / "text").write_bytes(text)
    else:
        source = text
    with pytest.raises(LanguageModelError, match=reason):
        build_language_model(source, 3, tmp_path / "out" / "lm.arpa")
    assert not list((tmp_path / "out").glob("*"))


def test_limits_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRDEMO_MAX_TEXT_MB", "1")
    (tmp_path / "big.txt").write_text("word other\n" * 100_000)
    for text in ("word other\n" * 100_000, tmp_path / "big.txt", iter(["word other"] * 100_000)):
        with pytest.raises(LanguageModelError, match="larger than 1 MB.*ASRDEMO_MAX_TEXT_MB"):
            build_language_model(text, 2, tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match="order is 6; expected 1 to 5"):
        build_language_model(TEXT, 6, tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match=r"'lm.bin'; expected a name in .arpa"):
        build_language_model(TEXT, 2, tmp_path / "lm.bin")
    with pytest.raises(LanguageModelError, match="no text file missing.txt"):
        build_language_model(tmp_path / "missing.txt", 2, tmp_path / "lm.arpa")


def test_progress_is_told_and_may_cancel(tmp_path: Path) -> None:
    notes: list[str] = []
    build_language_model(TEXT, 3, tmp_path / "lm.arpa", progress=lambda *x: notes.append(x[2]), builder="built-in")
    assert notes == [
        "normalising text",
        "counting 2-grams",
        "counting 3-grams",
        "writing 1-grams",
        "writing 2-grams",
        "writing 3-grams",
    ]

    def cancel(done: int, total: int, note: str) -> None:
        if note == "writing 2-grams":
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        build_language_model(TEXT, 3, tmp_path / "new" / "lm.arpa", progress=cancel, builder="built-in")
    assert not list((tmp_path / "new").iterdir())


def fake_lmplz(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    program = folder / "bin" / "lmplz"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport json, sys\nargv = sys.argv\n{body}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_lmplz_is_used_where_it_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arpa(estimate(number(["from lmplz"]), 2), tmp_path / "given.arpa")
    body = f"""open({str(tmp_path / "argv.json")!r}, 'w').write(json.dumps(argv))
text = open(argv[argv.index('--text') + 1]).read()
assert text.startswith('the cat sat on the mat\\n'), text
open(argv[argv.index('--arpa') + 1], 'w').write(open({str(tmp_path / "given.arpa")!r}).read())"""
    fake_lmplz(tmp_path, monkeypatch, body)
    built = build_language_model(TEXT, 2, tmp_path / "lm.arpa.gz")
    assert built.builder == "lmplz"
    assert read_unigrams(built.path) == ("from", "lmplz")
    argv = (tmp_path / "argv.json").read_text()
    assert '"--order", "2"' in argv and '"--memory", "1G"' in argv and '"--discount_fallback"' in argv


def test_a_failing_lmplz_is_told_and_worked_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_lmplz(tmp_path, monkeypatch, "sys.exit('out of luck')")
    built = build_language_model(TEXT, 2, tmp_path / "lm.arpa")
    assert built.builder == "built-in" and "lmplz failed" in built.note and "out of luck" in built.note
    with pytest.raises(LanguageModelError, match="status 1: out of luck"):
        build_language_model(TEXT, 2, tmp_path / "lm.arpa", builder="lmplz")
    monkeypatch.setattr(lm_build, "LMPLZ_TIMEOUT", 0.2)
    (tmp_path / "bin" / "lmplz").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(5)\n")
    with pytest.raises(LanguageModelError, match="did not finish"):
        build_language_model(TEXT, 2, tmp_path / "lm.arpa", builder="lmplz")


def test_asking_for_an_absent_lmplz_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LanguageModelError, match="not on the PATH"):
        build_language_model(TEXT, 2, tmp_path / "lm.arpa", builder="lmplz")


@pytest.fixture
def built(tmp_path: Path) -> lm_build.BuiltLanguageModel:
    return build_language_model(TEXT, 3, tmp_path / "lm.arpa.gz", builder="built-in")


def test_opened_once_and_again_after_a_change(built: lm_build.BuiltLanguageModel) -> None:
    spec = built.spec("session-lm", language="en")
    first = open_language_model(spec)
    assert open_language_model(spec) is first
    assert first.id == "session-lm" and len(first.fingerprint) == 16
    build_language_model([*TEXT, "Something new."], 3, built.path, builder="built-in")
    second = open_language_model(spec)
    assert second.fingerprint != first.fingerprint and "something" in (second.unigrams or ())


def test_unpacked_again_where_somebody_cleaned_up(built: lm_build.BuiltLanguageModel) -> None:
    """ctc-beam-decoder reads the unpacked file whenever a weight changes."""
    spec = built.spec("gone")
    first = open_language_model(spec)
    first.path.unlink()
    assert open_language_model(spec).path.is_file()


def test_few_models_stay_open(tmp_path: Path) -> None:
    for i in range(language_model.KEPT + 2):
        built = build_language_model([f"a word {i}"], 2, tmp_path / f"{i}.arpa", builder="built-in")
        open_language_model(built.spec(f"lm-{i}"))
    assert len(language_model._opened) <= language_model.KEPT


def spec_of(path: Path, unigrams: Path | None = None) -> LanguageModelSpec:
    return LanguageModelSpec("x", "x", "en", path, None, None, None, unigrams, 0.5, 1.5, "")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.arpa", b"hello", "no ARPA file"),
        ("a.arpa", b"", "no ARPA file"),
        ("a.arpa", b"\\data\\\nngram 1=999999999999\nngram 2=5\n\n", "announces 1,000,000,000,004 n-grams"),
        ("a.arpa", b"\\data\\\nngram 1=3\nngram 7=5\n\n", r"expected 'ngram 2="),
        ("a.arpa", b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n\n\\end\\\n", "has order 1; KenLM reads orders 2 to 6"),
        ("a.arpa", b"\\data\\\nngram 1=2\nngram 2=1\n\n\\1-grams:\n-1\ta\t0\n-1\tb\t0\n", "KenLM cannot read a.arpa"),
        ("a.arpa", b"\\data\\\nngram 1=2\nngram 2=1\n\n\\1-grams:\nno tab here\n" + b"x" * 99, "no tab"),
        ("a.arpa.gz", b"\x1f\x8b broken", "cannot be unpacked"),
        ("a.arpa.gz", gzip.compress(b"\\data\\\nngram 1=5\n" * 50, mtime=0)[:-20], "cannot be unpacked"),
        ("a.bin", b"\\data\\\n", "no KenLM binary"),
        ("a.bin", b"mmap lm http://kheafield.com/code format version 5\n\0", "KenLM cannot read a.bin"),
        ("a.zip", b"PK", "no language model by its name"),
    ],
)
def test_broken_models_get_a_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LanguageModelError, match=reason):
        open_language_model(spec_of(tmp_path / name))


def test_missing_files_and_bad_word_lists(tmp_path: Path, built: lm_build.BuiltLanguageModel) -> None:
    with pytest.raises(LanguageModelError, match="no language model file none.arpa"):
        open_language_model(spec_of(tmp_path / "none.arpa"))
    (tmp_path / "words.txt").write_text(" \n")
    with pytest.raises(LanguageModelError, match="words.txt is empty"):
        open_language_model(spec_of(built.path, tmp_path / "words.txt"))
    (tmp_path / "words.txt").write_text("zebra lion")
    with pytest.raises(LanguageModelError, match="None of the 2 listed words"):
        open_language_model(spec_of(built.path, tmp_path / "words.txt"))


def test_words_come_from_the_arpa_file_where_no_list_is_named(built: lm_build.BuiltLanguageModel) -> None:
    listed, read = open_language_model(spec_of(built.path, built.unigrams)), open_language_model(spec_of(built.path))
    assert set(listed.unigrams or ()) == set(read.unigrams or ())


def test_a_model_on_the_hub_says_that_it_needs_the_network() -> None:
    spec = LanguageModelSpec("far", "far", "en", None, "someone/some-model", None, "lm.arpa", None, 0.5, 1.5, "")
    with pytest.raises(LanguageModelError, match="'far' needs the network: someone/some-model/lm.arpa"):
        open_language_model(spec)


def test_the_demo_model_is_built_from_a_table_and_our_own_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from demo import build_lm
    from demo.everyday import reserved

    for split, text in (("train", 'The "odd" quokka slept.'), ("dev", "The odd quokka woke.")):
        (tmp_path / f"{split}.tsv").write_text(f"client_id\tpath\tsentence\nx\ta.mp3\t{text}\n", encoding="utf-8")
    out = tmp_path / "demo-lm.arpa.gz"
    options = ["--corpus", str(tmp_path), "--out", str(out), "--everyday", "50", "--spelled", "20"]
    assert build_lm.main(options) == 0
    said = capsys.readouterr().out
    assert "71 sentences" in said and "dev: perplexity" in said and "1 of 4 words unknown" in said
    assert {"quokka", "odd"} <= set(load(out).unigrams or ())
    first = out.read_bytes()
    assert build_lm.main(options) == 0
    assert out.read_bytes() == first  # the same seed and tables give the same file
    assert not any(reserved(t) for t in build_lm.more_everyday(200, np.random.default_rng(1)))
