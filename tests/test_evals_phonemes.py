"""evals.phonemes: one espeak-ng for many texts, PER, and clear errors where it is missing or hangs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asrdemo.errors import NotFoundError, ToolError
from evals import confusions
from evals.phonemes import align_phonemes, phonemes, phonemise, voice_for

installed = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@installed
def test_phonemes_of_words():
    assert phonemise(["the cat", "", "cat", "the cat"]) == [
        ["ð", "ə", "k", "æ", "t"],
        [],
        ["k", "æ", "t"],
        ["ð", "ə", "k", "æ", "t"],
    ]


@installed
def test_spellings_of_one_sound_are_no_error_and_misheard_sounds_are():
    assert phonemes(["their 4 cats", "write"], ["there four cats", "right"]).rate == 0.0
    misheard = phonemes("the cat sat", "the bat sat")
    assert (misheard.reference, misheard.substitutions, misheard.errors, misheard.clips) == (8, 1, 1, 1)


@installed
def test_empty_texts():
    assert phonemes(["", "cat", ""], ["cat", "", ""]).errors == 6
    assert phonemes([], []).rate == 0.0


@installed
def test_lines_stay_with_their_texts_when_one_is_long_or_has_no_sound():
    long = " ".join(["hello world this is long"] * 120)  # espeak-ng breaks it into clauses, a line each
    found = phonemise(["the cat", "'", long, "[[f]] \n cat", "-v fr", "sat"])
    assert found[0] == ["ð", "ə", "k", "æ", "t"] and found[5] == ["s", "æ", "t"]
    assert found[1] == []
    assert len(found[2]) > 120 * 15
    assert found[3][-3:] == ["k", "æ", "t"]


@installed
def test_a_word_read_in_another_language_leaves_no_mark():
    assert not any("(" in p for p in phonemise(["the weekend"], "fr")[0])


@installed
def test_confusion_pairs_of_phonemes():
    refs, hyps, found = align_phonemes(["the cat", "a cat"], ["the bat", "a bat"])
    table = confusions.substitutions(confusions.read(refs, hyps, found.ops))
    assert table.loc[0].tolist() == ["k", "b", 2, 2, [0, 1]]
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        align_phonemes(["a", "b"], ["a"])


@installed
def test_voice_of_a_language():
    assert [voice_for(code) for code in ("en", "tr", "sv-SE")] == ["en-us", "tr", "sv"]
    assert all(phonemise(["a"], voice_for(code))[0] for code in ("en", "tr", "sv-SE"))


@installed
def test_unknown_voice():
    with pytest.raises(NotFoundError, match="no voice 'xx-zz'; `espeak-ng --voices`"):
        phonemise(["a"], "xx-zz")


def test_without_espeak_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="apt install espeak-ng"):
        phonemise(["a"])
    assert phonemise(["", " "]) == [[], []]


def test_an_espeak_that_hangs_or_fails_is_reported(monkeypatch, tmp_path):
    fake(tmp_path, monkeypatch, "exec sleep 30")
    with pytest.raises(ToolError, match=r"did not end within 0.2 s for 1 texts"):
        phonemise(["a"], timeout_s=0.2)
    fake(tmp_path, monkeypatch, "echo no memory >&2; exit 2")
    with pytest.raises(ToolError, match=r"failed \(exit 2\): no memory"):
        phonemise(["a"])


def test_all_texts_go_to_one_process(monkeypatch, tmp_path):
    fake(tmp_path, monkeypatch, f"echo run >> {tmp_path}/runs; cat")
    assert phonemise(["a_b", "c", "a_b"]) == [["a", "b"], ["c"], ["a", "b"]]
    assert (tmp_path / "runs").read_text() == "run\n"
