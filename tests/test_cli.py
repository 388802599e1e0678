"""asrdemo.cli: what it prints and writes, its exit codes, and that no bad file takes others with it."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import FakeCache, FakeModel, pause, say

from asrdemo import acoustic, export
from asrdemo.cli import main, parser
from asrdemo.errors import AudioError
from asrdemo.transcribe import Transcriber

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCache:
    """A models.yaml with one fake checkpoint and one corpus."""
    checkpoint(tmp_path / "checkpoint")
    corpus(tmp_path / "corpus", {"a.wav": "One two.", "b.wav": "three"})
    (tmp_path / "models.yaml").write_text(
        "checkpoints: [{id: fake, title: Fake, language: en, profile: en, path: checkpoint}]\n"
        "corpora: [{id: small, title: Small, language: en, profile: en, path: corpus}]\n"
    )
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(tmp_path / "models.yaml"))
    fake = FakeCache()
    monkeypatch.setattr(acoustic, "ModelCache", lambda *_: fake)
    return fake


def checkpoint(folder: Path) -> None:
    """As much of one as the registry asks for."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.json"):
        (folder / name).write_text("{}")


def wav(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate([say(text), pause(0.2)]), 16_000)
    return path


def corpus(folder: Path, sentences: dict[str, str], spoken: dict[str, str] | None = None) -> Path:
    """A release in Common Voice layout whose clips say their sentences, or what `spoken` says instead."""
    for name, sentence in sentences.items():
        wav(folder / "clips" / name, (spoken or {}).get(name, sentence.lower().strip(".")))
    rows = [f"{name}\t{sentence}" for name, sentence in sentences.items()]
    (folder / "test.tsv").write_text("\n".join(["path\tsentence", *rows]) + "\n")
    return folder / "test.tsv"


def run(*args: object) -> int:
    return main([str(a) for a in args])


def test_one_file_prints_its_text(cache, tmp_path, capsys):
    assert run("transcribe", wav(tmp_path / "x.wav", "hello there")) == 0
    captured = capsys.readouterr()
    assert captured.out == "hello there\n"
    assert "1 clip," in captured.err and "RTFx" in captured.err


def test_bad_files_are_reported_and_lose_no_other(cache, tmp_path, capsys):
    good, also = wav(tmp_path / "good.wav", "good"), wav(tmp_path / "also.wav", "also")
    (tmp_path / "bad.wav").write_text("this is no audio")
    assert run("transcribe", good, tmp_path / "bad.wav", tmp_path / "nothing.wav", also) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"{good}\tgood", f"{also}\talso"]
    assert "bad.wav: it is not audio" in captured.err, "the name is said once"
    assert [line.split(":")[1].strip() for line in captured.err.splitlines() if line.startswith("error")] == [
        str(tmp_path / "bad.wav"),
        str(tmp_path / "nothing.wav"),
    ]
    assert cache.calls == [[pytest.approx(s) for s in (soundfile.info(good).duration, soundfile.info(also).duration)]]


def test_a_clip_that_breaks_its_batch_is_lost_alone(cache, tmp_path, capsys, monkeypatch):
    files = [wav(tmp_path / f"{name}.wav", name) for name in ("one", "unlucky", "three")]
    unlucky = soundfile.info(files[1]).duration
    heard = FakeModel.emissions

    def emissions(self, clips, progress=None):
        if any(clip.duration == unlucky for clip in clips):
            raise AudioError("This clip breaks the model.")
        return heard(self, clips, progress)

    monkeypatch.setattr(FakeModel, "emissions", emissions)
    assert run("transcribe", *files) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"{files[0]}\tone", f"{files[2]}\tthree"]
    assert f"error: {files[1]}: This clip breaks the model." in captured.err


@pytest.mark.parametrize("format", export.FORMATS)
def test_formats_go_to_a_folder_and_one_file_to_the_terminal(cache, tmp_path, capsys, format):
    files = [wav(tmp_path / "a" / "x.wav", "first"), wav(tmp_path / "b" / "x.wav", "second")]
    assert run("transcribe", *files, "--format", format, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out == ""
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 2, "two clips of one name are two files"
    contents = [path.read_text() for path in written]
    assert any("first" in c for c in contents) and any("second" in c for c in contents)
    assert run("transcribe", files[0], "--format", format) == 0
    assert "first" in capsys.readouterr().out


def test_out_must_be_a_folder(cache, tmp_path, capsys):
    audio = wav(tmp_path / "x.wav", "x")
    assert run("transcribe", audio, "--out", audio) == 1
    assert f"error: --out {audio}: expected a folder" in capsys.readouterr().err


def test_several_subtitles_need_a_folder(cache, tmp_path, capsys):
    assert run("transcribe", tmp_path / "a.wav", tmp_path / "b.wav", "--format", "srt") == 1
    assert "needs --out" in capsys.readouterr().err and not cache.calls


def test_references_give_pooled_rates(cache, tmp_path, capsys):
    one = corpus(
        tmp_path / "one",
        {"a.wav": "One two, three four.", "b.wav": "five"},
        {"a.wav": "one too three four five", "b.wav": "five"},
    )
    two = corpus(tmp_path / "two", {"a.wav": "yes"})
    assert run("transcribe", "--references", one, "--references", two, "--json") == 0
    out = json.loads(capsys.readouterr().out)
    assert [t["reference"] for t in out["transcripts"]] == ["One two, three four.", "five", "yes"]
    assert [t["text"] for t in out["transcripts"]] == ["one too three four five", "five", "yes"]
    first = out["scores"]["one/test"]
    assert (first["clips"], first["words"], first["substitutions"], first["insertions"]) == (2, 5, 1, 1)
    assert first["wer"] == 0.4 and out["scores"]["two/test"]["wer"] == 0.0
    assert run("transcribe", "--references", one) == 0
    table = capsys.readouterr().out.splitlines()[-2:]
    assert table[1].split()[:4] == ["one/test", "2", "5", "40.00"]


def test_references_meet_copies_by_name_and_refuse_strangers(cache, tmp_path, capsys):
    table = corpus(tmp_path / "one", {"a.wav": "yes"})
    assert run("transcribe", wav(tmp_path / "copy" / "a.wav", "yes"), "--references", table) == 0
    capsys.readouterr()
    assert run("transcribe", wav(tmp_path / "z.wav", "yes"), "--references", table) == 1
    assert "None of the files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decoder", "greedy", "--lm", "x"], "--lm needs beam search"),
        (["--decoder", "greedy", "--alpha", "1", "--beam-width", "9"], "--alpha, --beam-width needs beam search"),
        (["--lm", "nothing"], "no language model 'nothing'"),
        (["--checkpoint", "nothing"], "available: fake"),
        (["--checkpoint", "path/to/nothing"], "There is no checkpoint folder 'path/to/nothing'"),
        (["--beam-width", "0"], "beam_width is 0"),
        (["--references", "table.csv"], "ending in .tsv"),
    ],
)
def test_options_that_cannot_work_say_why(cache, tmp_path, capsys, options, message):
    assert run("transcribe", wav(tmp_path / "x.wav", "x"), *options) == 1
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == "" and not cache.calls


def test_beam_options_choose_beam_search(cache, tmp_path, capsys):
    file = wav(tmp_path / "x.wav", "say my name")
    assert run("transcribe", file, "--hotwords", "name, my  name", "--n-best", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)["transcripts"][0]
    assert found["text"] == "say my name" and found["decoder"]["kind"] == "beam"
    assert found["decoder"]["hotwords"] == ["name", "my name"] and found["decoder"]["n_best"] == 3


def test_a_model_built_here_can_be_used(cache, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("say my name\nsay it again\nmy name is long\n" * 5)
    built = ["lm", "build", "--text", tmp_path / "text.txt", "--order", 2, "--out", tmp_path / "mine.arpa"]
    assert run(*built, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["order"] == 2 and row["sentences"] == 15 and row["vocabulary"] == 7
    with (tmp_path / "models.yaml").open("a") as models:
        models.write(
            "language_models: [{id: mine, title: Mine, language: en, path: mine.arpa, unigrams: mine.unigrams.txt}]\n"
        )
    assert run("transcribe", wav(tmp_path / "x.wav", "say my name"), "--lm", "mine") == 0
    assert capsys.readouterr().out == "say my name\n"
    assert run("lm", "build", "--text", tmp_path / "none.txt", "--out", tmp_path / "x.arpa") == 1
    assert "none.txt" in capsys.readouterr().err


def test_lists(cache, capsys):
    for name, id in (("checkpoints", "fake"), ("corpora", "small")):
        assert run(name, "--json") == 0
        assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [id]
        assert run(name) == 0
        assert id in capsys.readouterr().out


def test_finetune_leaves_no_run_where_the_recipe_is_missing(tmp_path, capsys, monkeypatch):
    """Runs have tests of their own: test_finetune_runs.py."""
    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))
    assert run("finetune", "start", tmp_path / "mine.yaml") == 1
    assert "There is no recipe" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_ctrl_c_and_our_errors_end_without_a_traceback(cache, tmp_path, capsys, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Transcriber, "transcribe", stop)
    assert run("transcribe", wav(tmp_path / "x.wav", "x")) == 130
    assert capsys.readouterr().err == "stopped\n"
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(tmp_path / "nothing.yaml"))
    assert run("checkpoints") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """`python -m asrdemo checkpoints | head -0`: nothing on stderr."""
    checkpoint(tmp_path / "c")
    rows = "\n".join(f"  - {{id: c{i}, title: {'long ' * 50}, language: en, profile: en, path: c}}" for i in range(400))
    (tmp_path / "models.yaml").write_text(f"checkpoints:\n{rows}\n")
    command = [sys.executable, "-m", "asrdemo", "checkpoints"]
    environment = {"ASRDEMO_REGISTRY": str(tmp_path / "models.yaml"), "PATH": "", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 141


def commands(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [a for a in top._actions if isinstance(a, argparse._SubParsersAction)]
    inner = [c for action in below for parser in action.choices.values() for c in commands(parser)]
    return inner or [top]


@pytest.mark.parametrize("command", commands(parser()), ids=lambda c: c.prog)
def test_every_command_has_help_and_an_example_that_parses(command):
    example = (command.epilog or "").removeprefix("Example: ")
    assert example.startswith("python -m asrdemo ")
    assert callable(parser().parse_args(shlex.split(example)[3:]).run)
    assert all(action.help for action in command._actions)


def test_a_folder_and_a_file_serve_like_ids(cache, tmp_path, capsys):
    checkpoint(tmp_path / "my-run")
    (tmp_path / "text.txt").write_text("the cat sat\nthe dog ran\na cat ran\n")
    assert run("lm", "build", "--text", tmp_path / "text.txt", "--order", 2, "--out", tmp_path / "my.arpa") == 0
    capsys.readouterr()
    audio, options = wav(tmp_path / "x.wav", "the cat ran"), ["--lm", tmp_path / "my.arpa", "--json"]
    assert run("transcribe", audio, "--checkpoint", tmp_path / "my-run", *options) == 0
    found = json.loads(capsys.readouterr().out)["transcripts"][0]
    assert found["text"] == "the cat ran"
    assert run("transcribe", audio, "--lm", tmp_path / "other.arpa") == 1
    assert "There is no language model" in capsys.readouterr().err
