"""evals.sclite: our alignments are sclite's, step by step, on real hypotheses and on made-up ones."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from conftest import SHARED

from asrdemo.errors import NotFoundError, ToolError
from asrdemo.text import normalise_all
from evals import sclite
from evals.align import align_words

installed = pytest.mark.skipif(not (shutil.which("sclite") or shutil.which("sctk")), reason="sclite is not installed")


def made_up(count: int, letters: str, seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    sides = [[" ".join(rng.choices(letters, k=rng.randint(0, 9))) for _ in range(count)] for _ in range(2)]
    return sides[0], sides[1]


@installed
@pytest.mark.parametrize("letters", ["ab", "abcd", "abcdefgh"])
def test_with_its_costs_every_step_is_the_same(letters):
    refs, hyps = made_up(3000, letters, seed=len(letters))
    assert align_words(refs, hyps, costs="sclite").ops == sclite.ops(refs, hyps)


@installed
def test_real_hypotheses_have_its_counts_and_those_of_jiwer():
    if not SHARED.is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    from asrdemo import audio, corpus, registry
    from asrdemo.transcribe import Transcriber

    rows = corpus.read(SHARED / "an4", "test").iloc[::8]
    transcriber = Transcriber(registry.read())
    clips = [audio.read_clip(Path(f)) for f in rows["file"]]
    heard = transcriber.transcribe(clips, "demo-en", transcriber.defaults("demo-en", "greedy"))
    refs = normalise_all([str(s) for s in rows["sentence"]], "en")
    found = sclite.parity({"reference": refs, "hypothesis": normalise_all([t.text for t in heard], "en")})
    ours, _, theirs, jiwer = found["table"]
    assert found["clips"] == found["same_counts"] == found["same_steps"] == len(rows) > 12
    assert {k: v for k, v in ours.items() if k != "scorer"} == {k: v for k, v in theirs.items() if k != "scorer"}
    assert ours["errors"] == jiwer["errors"] > 0


@installed
def test_words_that_mean_something_to_sclite_are_only_words():
    refs = ["{ a / b } (c) @ %uh d- e* A a;b ß", "W0 W1 w0", "你 好", ""]
    hyps = ["{ a / x } @ (c) %um d e A a ss", "W1 W0 w0", "你", "\u2028 \\ <b>"]
    found = sclite.parity({"reference": refs, "hypothesis": hyps})
    assert found["same_steps"] == 4
    assert found["table"][0]["words"] == 18


@installed
def test_parity_shows_what_differs_and_counts_empty_references():
    found = sclite.parity({"reference": ["e b b g f d", "", "a"], "hypothesis": ["f d c c h", "x y", "a"]})
    assert (found["clips"], found["same_counts"], found["same_steps_with_its_costs"]) == (3, 2, 3)
    assert [d["row"] for d in found["different"]] == [0]
    assert [row["errors"] for row in found["table"]] == [8, 9, 9, 8]


@installed
def test_no_rows():
    found = sclite.parity({"reference": [], "hypothesis": []})
    assert found["clips"] == 0 and found["table"][2]["wer"] is None


def test_without_sclite_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="apt install sctk"):
        sclite.parity({"reference": ["a"], "hypothesis": ["a"]})


def test_an_sclite_that_fails_is_reported(monkeypatch, tmp_path):
    program = tmp_path / "sclite"
    program.write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"0 of 1 clips \(exit 3\): out of memory"):
        sclite.ops(["a"], ["a"])
