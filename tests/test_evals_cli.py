"""`python -m evals`: the commands end to end, with a checkpoint of random weights on made-up clips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrdemo.decoding import build_language_model
from evals.cli import main
from evals.results import open_result
from tests import fake_corpus

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASRDEMO_PRECISION", "fp32")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "talk"
    for split in ("test", "dev"):
        fake_corpus.make(folder, fake_corpus.sentences(20), split)
    return folder


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_is_quick_and_brings_in_nothing_heavy():
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "evals", "--help"], cwd=ROOT, capture_output=True, text=True)
        best = min(best, time.perf_counter() - began)
        assert done.returncode == 0 and all(c in done.stdout for c in ("run", "merge", "rescore", "sweep", "list"))
        if best < 1:
            break
    code = "import sys; from evals.cli import parser; parser(); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not {"torch", "transformers", "pandas", "plotly", "pyarrow", "scipy", "gradio"} & set(loaded)
    assert best < 1 or os.getloadavg()[0] > 2 * (os.cpu_count() or 1), f"{best:.2f} s"


def test_every_command_has_help_with_an_example(capsys):
    for name in ("run", "merge", "rescore", "sweep", "list"):
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0 and f"Example: python -m evals {name}" in capsys.readouterr().out


def test_run_list_rescore_sweep(home, corpus, tiny_checkpoint_layer, capsys, tmp_path):
    asked = ("run", "--checkpoint", tiny_checkpoint_layer, "--corpus", corpus, "--workers", 1)
    code, out, err = call(capsys, *asked, "--split", "dev", "--limit", 9, "--keep-emissions", "--json")
    assert code == 0, err
    info = json.loads(out)
    assert info["state"] == "complete" and info["clips"] == 9 and info["pins"]["corpus"]["limit"] == 9
    assert Path(info["folder"]).parent == home / "results" and "/" not in info["command"][0]
    assert info["pins"]["checkpoint"]["id"] == tiny_checkpoint_layer.name, "no path of the machine"
    assert len(info["pins"]["checkpoint"]["fingerprint"]) == 16 and info["pins"]["acoustic"]["precision"] == "fp32"
    name = info["name"]
    code, out, _ = call(capsys, "list", "--json")
    assert code == 0 and [r["result"] for r in json.loads(out)] == [name]
    code, out, err = call(capsys, "list")
    assert name in out and "wer %" in out

    lm = tmp_path / "talk.arpa"
    build_language_model(list(fake_corpus.SENTENCES), 2, lm, profile="en")
    code, out, err = call(capsys, "rescore", name, "--lm", lm, "--alpha", 0.5, "--beta", -1, "--workers", 1, "--json")
    assert code == 0, err
    decoder = json.loads(out)["pins"]["decoder"]
    assert (decoder["kind"], decoder["lm"], decoder["alpha"], decoder["beta"]) == ("beam", "talk.arpa", 0.5, -1.0)

    grid = ("--alpha", "0:1:1", "--beta", "-1:1:2", "--beam-width", "5", "--workers", 1)
    code, out, err = call(capsys, "sweep", name, "--lm", lm, *grid, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [(p["alpha"], p["beta"]) for p in found["points"]] == [(0, -1), (0, 1), (1, -1), (1, 1)]
    assert found["best"]["wer"] == pytest.approx(min(p["wer"] for p in found["points"]), abs=1e-4)
    assert not found["default"] and not (home / "decoder-defaults.yaml").exists(), "the registry knows neither of them"
    assert (Path(found["folder"]) / "surface.html").is_file()


def test_shards_in_other_folders_merge(home, corpus, tiny_checkpoint_layer, capsys, tmp_path):
    asked = ("run", "--checkpoint", tiny_checkpoint_layer, "--corpus", corpus, "--workers", 1, "--decoder", "greedy")
    for number in (1, 2):
        code, out, err = call(capsys, *asked, "--shard", f"{number}/2", "--out", tmp_path / f"part-{number}")
        assert code == 0 and out == "" and f"shard {number}/2" in err
    code, out, err = call(capsys, "merge", tmp_path / "part-1", tmp_path / "part-2", "--out", tmp_path / "whole")
    assert code == 0 and "complete" in out, err
    assert call(capsys, *asked, "--out", tmp_path / "plain")[0] == 0
    one, other = (open_result(tmp_path / n) for n in ("whole", "plain"))
    assert fake_corpus.comparable(one) == fake_corpus.comparable(other) and one.read().num_rows == 20
    code, _, err = call(capsys, "merge", tmp_path / "part-1", tmp_path / "part-2")
    assert code == 1 and "--out is missing" in err


def test_what_is_wrong_is_said_in_one_line(home, corpus, capsys):
    asked = ("run", "--checkpoint", "demo-en", "--corpus")
    for argv, why in (
        ((*asked, "nowhere"), "no corpus 'nowhere'; available: demo-corpus"),
        ((*asked, corpus, "--split", "train"), "no split 'train'; available: dev, test"),
        ((*asked, corpus, "--decoder", "greedy", "--alpha", 1), "--alpha needs beam search"),
        ((*asked, corpus, "--lm", "none-such"), "no language model 'none-such'"),
        ((*asked, corpus, "--alpha", 77), "alpha is 77"),
        ((*asked, corpus, "--limit", 0), "--limit is 0"),
        ((*asked, corpus, "--profile", "klingon"), "no normalisation profile 'klingon'"),
        ((*asked, corpus, "--workers", 0), "0 workers"),
        (("run", "--checkpoint", "demo-fr", "--corpus", corpus), "no checkpoint 'demo-fr'"),
        (("rescore", "nothing"), "no result in 'nothing'"),
        (("sweep", "nothing", "--alpha", "0:1:1"), "no result in 'nothing'"),
        (("merge", "nothing"), "no result in 'nothing'"),
    ):
        code, out, err = call(capsys, *argv)
        assert (code, out) == (1, "") and err.startswith("error: ") and why in err and err.count("\n") == 1, err
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, asked), str(corpus), "--shard", "3/2"])
    assert stopped.value.code == 2 and "expected i/n" in capsys.readouterr().err


def test_a_sweep_of_a_listed_checkpoint_sets_its_default(home, corpus, capsys, monkeypatch):
    """The result is made up from the fake checkpoint; only its id is that of the registry's first one."""
    from tests import fakes

    result = fake_corpus.run(
        fake_corpus.request(corpus, "dev", fakes.spec("demo-en"), keep_emissions=True), home / "results" / "made-up"
    )
    assert result.complete
    grid = ("--alpha", "0.5,1", "--beta", "-2:0:2", "--beam-width", "10", "--lm", "demo-lm", "--workers", 1)
    code, out, err = call(capsys, "sweep", "made-up", *grid, "--dry")
    assert code == 0 and "keeps what it has" in err and not (home / "decoder-defaults.yaml").exists()
    code, out, err = call(capsys, "sweep", "made-up", *grid)
    assert code == 0 and "id: demo-en" in out and "the registry now uses this for demo-en" in err
    from asrdemo import registry

    tuned = registry.read().checkpoint("demo-en").decoder
    assert (tuned.kind, tuned.lm, tuned.beam_width) == ("beam", "demo-lm", 10)


def test_torchrun_shares_out_the_work(home, corpus, tiny_checkpoint_layer, tmp_path):
    """Two processes, one result; whoever is last puts it together."""
    out = tmp_path / "out"
    env = {
        **os.environ,
        "ASRDEMO_HOME": str(home),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29511",
        "WORLD_SIZE": "2",
    }
    asked = {"--checkpoint": tiny_checkpoint_layer, "--corpus": corpus, "--workers": 1, "--out": out}
    command = [sys.executable, "-m", "evals", "run", *(str(word) for pair in asked.items() for word in pair)]
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env={**env, "RANK": str(r), "LOCAL_RANK": str(r)}, stderr=subprocess.PIPE)
        for r in range(2)
    ]
    for rank in ranks:
        assert rank.wait(timeout=280) == 0, rank.stderr.read().decode() if rank.stderr else ""
    result = open_result(out)
    assert result.complete and result.read(["clip"]).num_rows == 20
