"""`python -m asrdemo finetune` where it is not about one run's way through the queue (test_finetune_runs.py): what
becomes of a run, runs that cost money, and sweeps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from asrdemo import process, registry
from asrdemo.cli import main
from asrdemo.finetune import flavours, hub, runs, sweep
from tests import fake_runs
from tests.fake_jobs import models, renting
from tests.hub_writes import TOKEN, WritableHub, writing

TESTS = Path(__file__).resolve().parent
SMALL: dict[str, Any] = {
    "name": "small",
    "base": {"checkpoint": "demo-en"},
    "train": [{"id": "own", "folder": "nowhere"}],
    "dev": [{"id": "own", "folder": "nowhere"}],
}
FAR: dict[str, Any] = SMALL | {  # the stand-in trains for as many steps as the seed says
    "name": "far away",
    "base": {"checkpoint": "hub:team/base"},
    "train": [{"id": "own", "folder": "talk"}],
    "dev": [{"id": "own", "folder": "talk"}],
    "batches": {"max_minutes": 30.0},
    "seed": 2000,
    "smoke": {"seed": 3},
}
Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An app's home, with recipe.yaml in it and the trainer that does not train."""
    found = tmp_path / "home"
    found.mkdir()
    (found / "recipe.yaml").write_text(json.dumps(SMALL))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("ASRDEMO_HOME", str(found))
    yield found
    for run in runs.runs(found):
        process.kill(run.folder)


def waited(home: Path, name: str, until: Callable[[runs.Run], bool], seconds: float = 60) -> runs.Run:
    """The run as soon as `until` holds of it."""
    end = time.monotonic() + seconds
    while not until(run := runs.read(home, name)):
        assert time.monotonic() < end, f"{run}\n{runs.log(run)}"
        time.sleep(0.02)
    return run


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    """Run a command: its exit code and what it printed to either end."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["finetune", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


# What becomes of a run


def test_a_run_is_offered_and_taken_back(home: Path, ran: Ran, tiny_checkpoint_layer: Path) -> None:
    fake_runs.make(home, tiny_checkpoint_layer)
    assert ran("register", "scottish", "--id", "mine")[:2] == (0, "mine\n")
    assert ran("register", "scottish")[1] == "scots\n", "the recipe's own id"
    assert {"mine", "scots"} < set(registry.read().checkpoints)
    code, out, _ = ran("unregister", "mine")
    assert code == 0 and out.startswith("mine: in no list") and "mine" not in registry.read().checkpoints
    code, out, err = ran("unregister", "mine")
    assert (code, out) == (1, "") and "no registered checkpoint 'mine'; there are: scots" in err


def test_a_run_is_published_privately_unless_told_otherwise(
    home: Path, ran: Ran, tiny_checkpoint_layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runs.make(home, tiny_checkpoint_layer)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with writing(tmp_path / "hub") as server:
        monkeypatch.setattr(hub, "client", lambda: HfApi(server.url, token=TOKEN))
        assert ran("publish", "scottish", "--to", "team/scots")[:2] == (0, f"{server.url}/team/scots\n")
        assert ran("publish", "scottish", "--to", "team/open", "--public")[0] == 0
        assert server.visibility == {"team/scots": "private", "team/open": "public"}
        code, _, err = ran("publish", "scottish", "--to", "team/scots")
        assert code == 1 and "already is a repository team/scots" in err
        assert ran("publish", "scottish", "--to", "team/scots", "--replace")[0] == 0 and len(server.commits) == 3
    code, _, err = ran("publish", "scottish")
    assert code == 1 and "expected owner/name" in err


# Hugging Face Jobs


@pytest.fixture
def server(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """A Hub whose jobs really run, and far.yaml in the home."""
    (home / "far.yaml").write_text(json.dumps(FAR))
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(models(tmp_path / "models")))
    with renting(tmp_path, monkeypatch) as found:
        yield found


def rent(home: Path, flavour: str) -> list[object]:
    """`start` of far.yaml as a job."""
    return ["start", home / "far.yaml", "--on", "jobs", "--flavour", flavour, "--detach"]


def test_a_job_starts_only_once_its_price_is_confirmed(home: Path, server: WritableHub, ran: Ran) -> None:
    start = rent(home, "a10g-small")
    code, out, _ = ran(*start)
    assert code == 1 and "60 minutes on a10g-small cost $1.00 at most" in out and "add: --confirm 1.00" in out
    code, out, _ = ran(*start, "--job-minutes", 90, "--json")
    assert code == 1
    assert json.loads(out) == {"flavour": "a10g-small", "minutes": 90.0, "dollars": 1.5, "started": False}
    code, _, err = ran(*start, "--confirm", 1)
    assert code == 1 and "$1.00 were agreed to. Confirm 1.50 to start" in err, "the Hub's own price counts too"
    assert not runs.runs(home) and not server.jobs and not server.repositories
    code, out, _ = ran(*start, "--smoke", "--confirm", 1.5, "--name", "mine")
    assert code == 0 and out.startswith("mine: started")
    run = waited(home, "mine", lambda r: not r.active)
    assert (run.state, run.step, len(server.jobs)) == ("complete", 3, 1)
    shutil.rmtree(run.folder / "best")
    (run.folder / ".fetched" / "seen.json").unlink()
    code, out, _ = ran("fetch", "mine")
    assert code == 0 and out.startswith("mine: the job is COMPLETED; what it has pushed so far is in ")
    assert (run.folder / "best" / "model.safetensors").is_file()
    assert ran("stop", "mine", "--now") == (0, "mine: complete\n", ""), "nothing is left to cancel"


@pytest.mark.parametrize("watched", [True, False])
def test_ending_a_job_at_once_cancels_it_whoever_watches(
    home: Path, server: WritableHub, ran: Ran, watched: bool
) -> None:
    assert ran(*rent(home, "cpu-basic"), "--confirm", 1)[0] == 0
    run = waited(home, "far-away", lambda r: r.step > 0)
    if not watched:
        process.kill(run.folder)
        code, out, _ = ran("stop", "far-away")
        assert code == 0 and "nobody watches its job" in out and server.jobs["job0"].stage == "RUNNING"
    assert ran("stop", "far-away", "--now")[:2] == (0, "far-away: interrupted; its job is cancelled\n")
    assert server.jobs["job0"].stage == "CANCELED" and not process.alive(run.folder)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--on jobs", "Say which machine to rent with --flavour; `finetune flavours` lists them"),
        ("--on jobs --flavour h1000", "no flavour 'h1000'"),
        ("--on jobs --flavour l4x1 --processes 2", "--processes means nothing with --on jobs"),
        ("--on jobs --flavour l4x1 --job-minutes 10", "would end after 10 minutes and lose the run"),
        ("--flavour l4x1 --confirm 5", "--flavour, --confirm means nothing without --on jobs: add --on jobs"),
    ],
)
def test_options_that_mean_nothing_are_refused(home: Path, ran: Ran, options: str, says: str) -> None:
    code, out, err = ran("start", home / "recipe.yaml", *options.split())
    assert (code, out) == (1, "") and says in err and not runs.runs(home)


def test_a_run_on_this_machine_is_not_fetched(home: Path, ran: Ran, tiny_checkpoint_layer: Path) -> None:
    fake_runs.make(home, tiny_checkpoint_layer)
    code, _, err = ran("fetch", "scottish")
    assert code == 1 and "'scottish' is on this machine" in err


def test_flavours_are_listed_with_memory_and_price(home: Path, ran: Ran) -> None:
    code, out, _ = ran("flavours")
    (line,) = [line.split() for line in out.splitlines() if line.startswith("a100x4 ")]
    assert code == 0 and line == ["a100x4", "4", "80", "10.00"] and flavours.PRICES_READ in out
    told = {row["flavour"]: row for row in json.loads(ran("flavours", "--json")[1])}
    assert set(told) == set(flavours.FLAVOURS) and told["l4x1"]["dollars"] == 0.8


# Sweeps


def test_a_sweep_is_watched_to_its_end_and_then_told(home: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPS", "2")
    given = ("sweep", home / "recipe.yaml", "--hours", 1, 0.2, "--trainer", "stand_in_trainer")
    code, out, err = ran(*given)
    assert code == 0 and out.count("ends at step 2") == 2
    assert "small: 2 runs, one after another, 60 minutes each at most." in err
    assert err.index("== small-12min") < err.index("== small-1h") < err.index("small-1h: complete at step 2")
    rows = out.splitlines()[-2:]
    assert (
        rows[0].split() == ["12", "min", "–", "small-12min", "complete", "–", "–", "–", "–"] and "small-1h" in rows[1]
    )
    finished(runs.read(home, "small-1h").folder)
    table = ran("curve")[1].splitlines()
    assert table[0].split("  ")[0] == "asked" and "WER before %" in table[0] and "with LM after %" in table[0]
    assert "50 min, 300 clips" in table[2] and "45.0 (" in table[2] and "25.0 (" in table[2] and " 24 " in table[2]
    told = json.loads(ran("curve", "small", "--json")[1])
    assert [point["hours_asked"] for point in told] == [0.2, 1.0] and told[0]["sets"] == {}
    exam = told[1]["sets"]["exam"]
    assert (exam["clips"], exam["speakers"], exam["wer"]["before"]["rate"], exam["wer"]["after"]["rate"]) == (
        24, 8, 0.45, 0.25
    )  # fmt: skip
    assert exam["lm_wer"]["after"]["rate"] == 0.1 and 0.1 < exam["wer"]["after"]["low"] < 0.25
    code, _, err = ran("curve", "other")
    assert code == 1 and "no sweep 'other'; there are: small" in err


def finished(folder: Path) -> None:
    """What a trainer leaves: of ten words 4.5 wrong before and 2.5 after."""
    process.write_json(folder / "data.json", {"train": {"own": {"hours": 0.8333, "clips": 300}}})
    for when, wrong in (("before", 4), ("after", 2)):
        heard = [(f"s{s}", "", 10, wrong + s % 2) for s in range(8) for _ in range(3)]
        sweep_scores = fake_runs.table({"exam": heard})
        fake_runs.scores.write(folder / f"{when}.parquet", [sweep_scores])
        process.write_json(folder / f"{when}.json", {})


def test_a_sweep_left_alone_waits_in_the_queue(home: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran("curve")[2].startswith("error: There is no sweep yet; `finetune sweep RECIPE")
    monkeypatch.setenv("STEPS", "9999")
    given = ("sweep", home / "recipe.yaml", "--minutes", 3, "--trainer", "stand_in_trainer", "--detach")
    told = json.loads(ran(*given, "--hours", 1, 2, "--json")[1])
    assert [run["name"] for run in told] == ["small-1h", "small-2h"] and runs.read(home, "small-2h").active
    code, out, _ = ran(*given, "--name", "small", "--hours", 5)
    assert (
        code == 0
        and out.startswith("small: 1 run, one after another, 3 minutes each")
        and "finetune curve small" in out
    )
    assert [point.part.hours for point in sweep.points(runs.runs(home), "small")] == [1.0, 2.0, 5.0]
    code, _, err = ran(*given, "--hours", 1, 0)
    assert code == 1 and "each above 0" in err


def test_ctrl_c_takes_the_whole_sweep_back(home: Path) -> None:
    command = ["sweep", str(home / "recipe.yaml"), "--hours", "1", "2", "3", "--trainer", "stand_in_trainer"]
    with subprocess.Popen(
        [sys.executable, "-m", "asrdemo", "finetune", *command], cwd=TESTS.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"STEPS": "9999"},
    ) as terminal:  # fmt: skip
        assert terminal.stdout and terminal.stdout.readline() == "begins at step 0 as process 0\n"
        waited(home, "small-1h", lambda run: run.step > 0)
        terminal.send_signal(signal.SIGINT)
        out, err = terminal.communicate(timeout=60)
    assert terminal.returncode == 130 and "Traceback" not in err, err
    assert {run.name: run.state for run in runs.runs(home)} == dict.fromkeys(
        ("small-1h", "small-2h", "small-3h"), "stopped"
    )
    assert out.count("begins at step") == 0, "none of the others began"
