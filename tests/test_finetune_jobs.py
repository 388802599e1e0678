"""Runs on Hugging Face Jobs, against a Hub on loopback whose jobs really run (see fake_jobs.py)."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from asrdemo import process, registry
from asrdemo.errors import ConfigError, TrainingError
from asrdemo.finetune import backends, jobs_pack, runs
from asrdemo.finetune import recipe as recipes
from asrdemo.registry import CheckpointSpec, CorpusSpec, Registry
from tests.fake_jobs import models, renting
from tests.hub_writes import TOKEN, WritableHub

TESTS = Path(__file__).resolve().parent
RECIPE: dict[str, Any] = {
    "name": "far away",
    "base": {"checkpoint": "hub:team/base"},
    "train": [{"id": "own", "folder": "talk"}],
    "dev": [{"id": "own", "folder": "talk"}],
    "seed": 6,
    "batches": {"max_minutes": 30.0},
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    with renting(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An app's home, and a models.yaml with a corpus `talk`."""
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(models(tmp_path / "models")))
    found = tmp_path / "home"
    yield found
    for run in runs.runs(found):
        process.kill(run.folder)


def submitted(home: Path, name: str = "", flavour: str = "cpu-basic", **recipe: Any) -> runs.Run:
    return backends.submit(home, RECIPE | recipe, name, flavour=flavour, confirm=1.0)


def waited(home: Path, name: str, until: Callable[[runs.Run], bool], seconds: float = 90) -> runs.Run:
    end = time.monotonic() + seconds
    while not until(run := runs.read(home, name)):
        assert time.monotonic() < end, f"{run}\n{runs.log(run)}"
        time.sleep(0.05)
    return run


def over(run: runs.Run) -> bool:
    return not run.active


def test_a_run_far_away_looks_like_one_here(home: Path, server: WritableHub) -> None:
    run = submitted(home)
    assert (run.name, run.backend, run.state) == ("far-away", "jobs", "running")
    run = waited(home, run.name, over)
    assert (run.state, run.step, run.steps, run.error) == ("complete", 6, 6, ""), runs.log(run)
    assert [row["step"] for row in runs.metrics(run).rows] == [1, 2, 3, 4, 5, 6]
    assert (run.folder / "best" / "model.safetensors").read_bytes() == bytes(range(256)) * 4000
    assert json.loads((run.folder / "best.json").read_text()) == {"step": 6}
    assert [line for line in runs.log(run).splitlines() if line.startswith("step")] == [
        f"step {i}" for i in range(1, 7)
    ]
    assert json.loads((run.folder / "job.json").read_text())["stage"] == "COMPLETED"
    assert not list(run.folder.glob("*.part")) and not server.errors
    assert backends.fetch(home, run.name) == "COMPLETED"
    asked_as_agreed(run, server)
    found_there_what_it_names(run, server)
    for path in home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), f"the token is written down in {path}"


def asked_as_agreed(run: runs.Run, server: WritableHub) -> None:
    (job,) = server.jobs.values()
    given = json.loads((run.folder / "run.json").read_text())["job"]
    assert job.spec["flavor"] == "cpu-basic" and job.spec["timeoutSeconds"] == 3600, "30 minutes and half an hour"
    assert job.spec["labels"] == {"asrdemo": given["label"], "name": "asrdemo-far-away"}
    assert job.spec["secrets"] == {"HF_TOKEN": TOKEN} and TOKEN not in json.dumps(job.spec["command"])
    assert f"huggingface_hub=={huggingface_hub.__version__}" in job.spec["command"]
    assert server.visibility == {given["repository"]: "private"}


def found_there_what_it_names(run: runs.Run, server: WritableHub) -> None:
    (line,) = [line for line in runs.log(run).splitlines() if line.startswith('{"known"')]
    assert json.loads(line)["known"] == {"talk": str(next_to(server, "inputs/corpora/talk")), "far": "None"}
    assert (next_to(server, "recipe.yaml")).read_text() == (run.folder / "recipe.yaml").read_text(), "the same recipe"
    assert next_to(server, "inputs/corpora/talk/a.wav").read_bytes() == b"RIFF"
    assert not next_to(server, "asrdemo/ui").exists() and next_to(server, "requirements.txt").exists()


def next_to(server: WritableHub, name: str) -> Path:
    return server.root.parent / "machine" / "job0" / "project" / name


def test_nothing_starts_without_agreement_to_what_it_costs(home: Path, server: WritableHub) -> None:
    with pytest.raises(ConfigError, match=r"60 minutes on a10g-small may cost up to \$1.50; \$1.00 were agreed"):
        submitted(home, flavour="a10g-small")  # the Hub's own price is higher than the list's
    assert backends.cost("a10g-small", 60) == 1.0
    with pytest.raises(ConfigError, match="no flavour 'h1000'"):
        submitted(home, flavour="h1000")
    assert not server.jobs and not server.repositories and not runs.runs(home)


def test_stopping_it_cancels_the_job(home: Path, server: WritableHub) -> None:
    run = submitted(home, seed=2000)
    waited(home, run.name, lambda r: r.step > 3)
    runs.stop(home, run.name)
    run = waited(home, run.name, over)
    assert run.state == "stopped", f"{run.error}\n{runs.log(run)}"
    assert server.jobs["job0"].stage == "CANCELED" and len(runs.metrics(run).rows) > 3


def test_ending_it_at_once_cancels_the_job_too(home: Path, server: WritableHub) -> None:
    run = submitted(home, seed=2000)
    waited(home, run.name, lambda r: r.step > 0)
    runs.kill(home, run.name)
    assert server.jobs["job0"].stage == "CANCELED" and not process.alive(run.folder)


@pytest.mark.parametrize("noted", [True, False])
def test_whoever_dies_here_the_job_goes_on_and_is_found_again(home: Path, server: WritableHub, noted: bool) -> None:
    """noted: whether it died after it wrote down which job it had started."""
    run = submitted(home, seed=60)
    waited(home, run.name, lambda r: r.step > 3)
    process.kill(run.folder)
    assert runs.read(home, run.name).state == "interrupted" and server.jobs["job0"].stage == "RUNNING"
    if not noted:
        (run.folder / "job.json").unlink()
    runs.resume(home, run.name)
    run = waited(home, run.name, over)
    assert run.state == "complete" and len(server.jobs) == 1, "nobody pays twice"
    told = [line for line in runs.log(run, 500).splitlines() if line.startswith("step ")]
    assert told[-1] == "step 60" and set(told) == {f"step {i}" for i in range(1, 61)}
    assert not noted or len(told) == 60, "no line comes twice"


def test_a_job_that_fails_says_so_and_is_not_started_again(home: Path, server: WritableHub) -> None:
    run = waited(home, submitted(home, language="xx").name, over)
    assert run.state == "failed" and "job0 ended as ERROR (exit 1)" in run.error
    assert "there is no such language" in runs.log(run) and len(runs.metrics(run).rows) == 6
    runs.resume(home, run.name)
    run = waited(home, run.name, over)
    assert run.state == "failed" and len(server.jobs) == 1 and "clone" in run.error


def test_runs_here_do_not_wait_for_one_far_away(home: Path, server: WritableHub) -> None:
    far = submitted(home, seed=2000)
    waited(home, far.name, lambda r: r.step > 0)
    near = runs.start(home, RECIPE, "near", environment={"PYTHONPATH": str(TESTS)}, _trainer="stand_in_trainer")
    assert waited(home, near.name, over).state == "complete" and runs.read(home, far.name).active


def test_a_hub_that_is_down_for_a_while_loses_nothing(home: Path, server: WritableHub) -> None:
    run = submitted(home, seed=40)
    waited(home, run.name, lambda r: r.step > 2)
    server.refuses["/api/jobs"] = 500
    time.sleep(1.0)
    server.refuses.clear()
    run = waited(home, run.name, over)
    assert run.state == "complete" and len(runs.metrics(run).rows) == 40, runs.log(run)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/whoami-v2", 401, "does not accept the token.*scope 'jobs'"),
        ("/api/jobs/hardware", 403, "token may not do that.*scope 'jobs'"),
    ],
)
def test_a_token_that_may_not_is_told_at_once(
    home: Path, server: WritableHub, path: str, status: int, said: str
) -> None:
    server.refuses[path] = status
    with pytest.raises(TrainingError, match=said):
        submitted(home)
    assert not runs.runs(home)


def test_a_refusal_to_start_is_the_runs_error(home: Path, server: WritableHub) -> None:
    server.refuses["/api/jobs/team"] = 402
    run = waited(home, submitted(home).name, over)
    assert run.state == "failed" and "no credit" in run.error


def test_the_job_must_outlive_the_recipe() -> None:
    recipe = recipes.from_dict(RECIPE)
    assert backends.timeout_of(recipe) == 60
    with pytest.raises(ConfigError, match=r"end after 20 minutes and lose the run.*give it 60"):
        backends.timeout_of(recipe, 20)
    endless = recipes.from_dict(RECIPE | {"batches": {"max_minutes": 0.0, "max_steps": 5}})
    with pytest.raises(ConfigError, match="say after how many minutes"):
        backends.timeout_of(endless)


KNOWN = Registry(
    {"far": CheckpointSpec("far", "Far", "en", "en", hub="a/b", revision="main")},
    corpora={"talk": CorpusSpec("talk", "Talk", "en", "en", TESTS / "data")},
)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"train": [{"id": "a", "folder": "/tmp"}]}, "'/tmp' is not there on Hugging Face Jobs"),
        ({"train": [{"id": "a", "folder": "../other"}]}, r"'../other' is not there"),
        ({"train": [{"id": "a", "folder": "nowhere/at/all"}]}, "no folder 'nowhere/at/all' here"),
        ({"train": [{"id": "a", "folder": "$CORPUS_ROOT/cv"}]}, "say what to mount"),
        ({"base": {"checkpoint": "/srv/base"}}, "'/srv/base' is not there"),
    ],
)
def test_what_cannot_travel_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        jobs_pack.luggage(recipes.from_dict(RECIPE | keys), KNOWN, volume=False)


def test_what_is_too_large_belongs_into_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_pack, "MOST_BYTES", 1)
    with pytest.raises(ConfigError, match="private bucket"):
        jobs_pack.luggage(recipes.from_dict(RECIPE), KNOWN, volume=False)


def test_corpora_in_a_bucket_are_mounted(home: Path, server: WritableHub) -> None:
    data = RECIPE | {"train": [{"id": "a", "folder": "$CORPUS_ROOT/cv"}]}
    with pytest.raises(ConfigError, match="corpora is 'my-bucket'"):
        backends.submit(home, data, flavour="cpu-basic", confirm=1.0, corpora="my-bucket")
    run = backends.submit(home, data, flavour="cpu-basic", confirm=1.0, corpora="hf://buckets/team/speech/v25")
    waited(home, run.name, over)
    spec = server.jobs["job0"].spec
    assert spec["environment"]["CORPUS_ROOT"] == "/corpora"
    assert spec["volumes"] == [
        {"type": "bucket", "source": "team/speech", "mountPath": "/corpora", "readOnly": True, "path": "v25"}
    ]


def test_the_same_content_packs_to_the_same_bytes_and_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    found = jobs_pack.luggage(recipes.from_dict(RECIPE), KNOWN, volume=False)
    for name in ("one", "two"):
        jobs_pack.pack(found, "a: 1", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        assert {(info.uid, info.uname, info.mtime, info.mode) for info in archive if info.name != "models.yaml"} == {
            (0, "", 0, 0o644)
        }
        archive.extractall(tmp_path / "there", filter="data")
    assert registry.read(tmp_path / "there" / "models.yaml", tmp_path).corpus("talk").path.is_dir()
