"""Running an evaluation from the page, without Gradio: what may be started, and what the panel says of a run."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asrdemo import registry
from asrdemo.errors import BusyError, ConfigError, NotFoundError
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.analysis import evaluate_handlers as handlers
from asrdemo.ui.analysis.evaluate_handlers import Ask
from asrdemo.ui.services import Services
from evals import jobs
from evals.results import write_json

ASK = Ask("demo-en", "demo-corpus", "test", "beam", 5)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    settings = Settings(home=tmp_path)
    return Services(Transcriber(registry.read(), settings), settings)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be started."""
    asked: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda home, arguments: asked.append(list(arguments)))
    return asked


def job(home: Path, number: int, status: dict) -> str:
    """A job's folder as the process would leave it."""
    folder = home / "jobs" / f"2026010{number}-000000-aaaa"
    folder.mkdir(parents=True)
    arguments = ["--checkpoint", "demo-en", "--corpus", "demo-corpus", "--split", "test", "--decoder", "beam"]
    write_json(folder / jobs.JOB, {"arguments": arguments, "started": 1e9 + number})
    write_json(folder / jobs.STATUS, status)
    return folder.name


@pytest.fixture
def running(services: Services) -> Iterator[str]:
    """A job whose lock this test holds, as its process would."""
    name = job(services.settings.home, 1, {"state": "running", "done": 5, "total": 20, "note": "<clips>"})
    with (services.settings.home / "jobs" / name / jobs.LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield name


def test_what_is_asked_becomes_a_command(services: Services, started: list[list[str]]) -> None:
    handlers.start(services, ASK)
    handlers.start(services, replace(ASK, limit=0, decoder="greedy"))
    base = ["--checkpoint", "demo-en", "--corpus", "demo-corpus", "--split", "test", "--decoder"]
    assert started == [[*base, "beam", "--limit", "5"], [*base, "greedy"]]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"checkpoint": "/etc"}, NotFoundError, "no checkpoint '/etc'"),
        ({"checkpoint": "xlsr-53-turkish"}, NotFoundError, "cannot be used now"),
        ({"corpus": "/etc"}, NotFoundError, "no corpus '/etc'"),
        ({"split": "--out"}, NotFoundError, "no split '--out'"),
        ({"decoder": "x"}, ConfigError, "no decoder 'x'"),
        ({"limit": -1}, ConfigError, "expected 0 for all"),
    ],
)
def test_only_what_the_registry_lists_can_be_started(
    services: Services, started: list[list[str]], change: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        handlers.start(services, replace(ASK, **change))
    assert not started


def test_one_at_a_time(services: Services, running: str) -> None:
    with pytest.raises(BusyError, match="running already"):
        handlers.start(services, ASK)


def test_the_test_split_comes_first(services: Services) -> None:
    assert handlers.splits(services, "demo-corpus")[0] == "test"


def test_nothing_was_run_yet(services: Services) -> None:
    now = handlers.watch(services)
    assert "No evaluation has been run" in now.html and not now.running and not now.resumable


def test_a_run_under_way_shows_how_far_it_is(services: Services, running: str) -> None:
    now = handlers.watch(services)
    assert now.running and not now.resumable and now.id == running
    assert 'aria-valuenow="25"' in now.html and "5 of 20" in now.html and "&lt;clips&gt;" in now.html


def test_one_that_went_away_can_go_on(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    name = job(services.settings.home, 1, {"state": "running", "done": 5, "total": 20})
    now = handlers.watch(services)
    assert "stopped" in now.html and now.resumable and not now.running
    asked = []
    monkeypatch.setattr(jobs, "resume", lambda home, id: asked.append(id))
    handlers.resume(services, now.id)
    assert asked == [name]


def test_a_finished_one_leads_to_its_result_and_a_failed_one_says_why(services: Services) -> None:
    job(services.settings.home, 1, {"state": "complete", "result": "my-result"})
    failed = job(services.settings.home, 2, {"state": "failed", "error": "No <room> on the disk."})
    (services.settings.home / "jobs" / failed / jobs.LOG).write_text("line <1>\n")
    now = handlers.watch(services)
    assert "It failed:" in now.html and "No &lt;room&gt;" in now.html and "line &lt;1&gt;" in now.html and now.resumable
    assert 'data-go="results=my-result&amp;view=where" data-event="choose"' in now.html, "the one before"
    assert "demo-en, beam, on demo-corpus test" in now.html


@pytest.mark.slow
def test_a_real_run_ends_in_the_list_of_results(services: Services) -> None:
    import time

    handlers.start(services, replace(ASK, limit=3))
    deadline = time.monotonic() + 200
    while (now := handlers.watch(services)).running and time.monotonic() < deadline:
        time.sleep(0.3)
    assert "finished" in now.html, now.html
    names = [result.name for result in services.results.complete()]
    assert any(f"results={name}&amp;" in now.html for name in names)
