"""Running an evaluation from the page, without Gradio: what may be started, and what the panel says of a run."""

from __future__ import annotations

import argparse
import fcntl
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asrdemo import registry
from asrdemo.errors import BusyError, ConfigError, DecodingError, NotFoundError
from asrdemo.registry import LanguageModelSpec
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.types import DecoderOptions
from asrdemo.ui.analysis import evaluate_handlers as handlers
from asrdemo.ui.analysis.evaluate_handlers import Ask
from asrdemo.ui.services import Services
from evals import jobs
from evals.cli import options as cli_options
from evals.cli import runs
from evals.results import write_json

ASK = Ask("demo-en", "demo-corpus", "test", "beam", 5, "demo-lm", 0.15000000000000002, -2.5)


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
    for ask in (ASK, replace(ASK, lm=""), replace(ASK, limit=0, decoder="greedy")):
        handlers.start(services, ask)
    base = ["--checkpoint", "demo-en", "--corpus", "demo-corpus", "--split", "test", "--decoder"]
    with_lm = ["--lm", "demo-lm", "--alpha", "0.15", "--beta", "-2.5"]
    assert started[0] == [*base, "beam", *with_lm, "--limit", "5"]
    assert started[1] == [*base, "beam", "--lm", "none", "--limit", "5"]
    assert started[2] == [*base, "greedy"], "a greedy decoder has no use for a language model"


@pytest.mark.parametrize(
    "changed", [{}, {"lm": "", "alpha": 99.0}, {"decoder": "greedy", "lm": "gone"}, {"beta": -1e-7}]
)
def test_the_command_that_is_shown_is_the_run_that_was_asked_for(
    services: Services, started: list[list[str]], changed: dict
) -> None:
    """The command line reads it as the very decoder that the page's values stand for."""
    ask = replace(ASK, **changed)
    handlers.start(services, ask)
    shown = handlers.command(services, ask)
    assert shlex.split(shown) == ["python", "-m", "evals", "run", *started[0]]
    options, lm = read_by_the_command_line(started[0])
    assert (options.kind, options.lm) == (ask.decoder, (ask.lm or None) if ask.decoder == "beam" else None)
    if options.lm:
        assert (options.alpha, options.beta) == pytest.approx((ask.alpha, ask.beta), abs=1e-4)
        assert lm is not None and lm.id == ask.lm


def read_by_the_command_line(arguments: list[str]) -> tuple[DecoderOptions, LanguageModelSpec | None]:
    parser = argparse.ArgumentParser()
    runs.add(parser.add_subparsers())
    args = parser.parse_args(["run", *arguments])
    return cli_options.chosen(args, registry.read(), args.checkpoint)


def test_language_models_to_choose_from_suit_the_checkpoint(services: Services) -> None:
    known = services.registry
    own = replace(known.language_models["demo-lm"], id="own", language="xx")
    tr, en = replace(own, id="tr-lm", language="tr-TR"), replace(own, id="en-lm", language="EN_us")
    demo = known.checkpoint("demo-en")
    demo = replace(demo, decoder=replace(demo.decoder, lm="own"))
    listed = {**known.language_models, "own": own, "tr-lm": tr, "en-lm": en}
    services.transcriber.use_registry(
        replace(known, checkpoints={**known.checkpoints, "demo-en": demo}, language_models=listed).with_language_model(
            replace(en, id="visitors"), listed=False
        )
    )
    named = [id for _, id in handlers.language_models(services, "demo-en")]
    assert named == ["demo-lm", "own", "en-lm"], "the visitor's is not known to the process that runs"
    assert [id for _, id in handlers.language_models(services, "xlsr-53-turkish")] == ["tr-lm"]
    for stranger in ("tr-lm", "visitors"):
        assert handlers.command(services, replace(ASK, lm=stranger)) == ""
        with pytest.raises(NotFoundError, match=f"no language model '{stranger}' for demo-en; .*none, demo-lm, own"):
            handlers.start(services, replace(ASK, lm=stranger))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"checkpoint": "/etc"}, NotFoundError, "no checkpoint '/etc'"),
        ({"checkpoint": "xlsr-53-turkish", "lm": ""}, NotFoundError, "cannot be used now"),
        ({"corpus": "/etc"}, NotFoundError, "no corpus '/etc'"),
        ({"split": "--out"}, NotFoundError, "no split '--out'"),
        ({"decoder": "x"}, ConfigError, "no decoder 'x'"),
        ({"limit": -1}, ConfigError, "expected 0 for all"),
        ({"lm": "/etc"}, NotFoundError, "no language model '/etc' for demo-en; available: none, demo-lm"),
        ({"alpha": 5.5}, DecodingError, "alpha is 5.5; expected a number from 0 to 5"),
        ({"beta": float("nan")}, DecodingError, "beta is nan; expected a number from -10 to 10"),
    ],
)
def test_only_what_the_registry_lists_can_be_started(
    services: Services, started: list[list[str]], change: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        handlers.start(services, replace(ASK, **change))
    assert not started
    shown = handlers.command(services, replace(ASK, **change))
    assert bool(shown) == ("cannot be used now" in says), "that one may be there on another machine"


def test_one_at_a_time(services: Services, running: str) -> None:
    with pytest.raises(BusyError, match="running already"):
        handlers.start(services, ASK)


def test_the_test_split_comes_first(services: Services) -> None:
    assert handlers.splits(services, "demo-corpus")[0] == "test"


def test_nothing_was_run_yet(services: Services) -> None:
    now = handlers.watch(services)
    assert "No evaluation has been run" in now.html and not now.running and not now.resumable


def test_what_did_not_work_is_said_above_the_runs(services: Services, running: str) -> None:
    html = handlers.watch(services, "No <room>.").html
    assert html.index("That did not work:</strong> No &lt;room&gt;.") < html.index("running")
    assert "did not work" not in handlers.watch(services).html


def test_a_run_under_way_shows_how_far_it_is(services: Services, running: str) -> None:
    now = handlers.watch(services)
    assert now.running and not now.resumable and now.id == running
    assert 'aria-valuenow="25"' in now.html and "5 of 20" in now.html and "&lt;clips&gt;" in now.html


def test_a_run_says_once_that_it_is_starting(services: Services, running: str) -> None:
    status = services.settings.home / "jobs" / running / jobs.STATUS
    write_json(status, {"state": "running", "note": "starting"})
    assert '<p class="hint">starting</p>' in handlers.watch(services).html


def test_an_older_run_that_goes_on_is_the_one_that_can_be_stopped(services: Services, running: str) -> None:
    newer = job(services.settings.home, 2, {"state": "complete", "result": "done"})
    now = handlers.watch(services)
    assert now.running and now.id == running != newer
    assert now.html.index("5 of 20") < now.html.index("finished")


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

    handlers.start(services, replace(ASK, limit=3, alpha=0.8, beta=0.3))
    deadline = time.monotonic() + 200
    while (now := handlers.watch(services)).running and time.monotonic() < deadline:
        time.sleep(0.3)
    assert "finished" in now.html, now.html
    made = next(r for r in services.results.complete() if f"results={r.name}&amp;" in now.html)
    pinned = made.info["pins"]["decoder"]
    assert (pinned["lm"], pinned["alpha"], pinned["beta"]) == ("demo-lm", 0.8, 0.3)
    assert "beam with demo-lm (alpha 0.8, beta 0.3), on demo-corpus test, first 3 clips" in now.html
