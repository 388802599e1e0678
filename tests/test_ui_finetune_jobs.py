"""Hugging Face Jobs on the Fine-tune page: what a job may cost is said, agreed to and refused, against a Hub on
loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from gradio_client import Client
from huggingface_hub import HfApi

from asrdemo import process, registry
from asrdemo.errors import ConfigError
from asrdemo.finetune import backends, hub, precheck, runs
from asrdemo.finetune.flavours import FLAVOURS, PRICES_READ
from asrdemo.finetune.precheck_cost import offers
from asrdemo.finetune.precheck_report import Estimates, Report, Row
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.build import build_ui, launch_options
from asrdemo.ui.finetune import handlers, places, run_handlers
from asrdemo.ui.finetune.access import ClosedError
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.finetune.places import Job
from asrdemo.ui.services import Services
from tests.fake_jobs import models, renting
from tests.hub_writes import HARDWARE, WritableHub

RECIPE: dict[str, Any] = {
    "name": "far away",
    "base": {"checkpoint": "far"},
    "train": [{"id": "own", "folder": "talk"}],
    "dev": [{"id": "own", "folder": "talk"}],
    "batches": {"max_minutes": 30.0},
}
TEXT = yaml.safe_dump(RECIPE)
NEEDED = 20 * 10**9  # bytes on the GPU: more than a T4 has, less than an L4


def quiet(done: int, total: int, note: str) -> None:
    """A progress bar that nobody sees."""


def changed(**keys: Any) -> str:
    return yaml.safe_dump(RECIPE | keys)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    with renting(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    listed = models(tmp_path / "models")
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(listed))  # for the process of a run
    found = Settings(home=tmp_path / "home", registry=listed)
    yield found
    for run in runs.runs(found.home):
        process.kill(run.folder)


def make_desk(settings: Settings) -> Desk:
    return Desk(Services(Transcriber(registry.read(settings.registry, settings.home), settings), settings))


@pytest.fixture
def desk(settings: Settings) -> Desk:
    return make_desk(settings)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """What checks say from now on; fine, unless a test adds rows."""
    rows = [Row("size", "ok", "939 clips.")]
    costs = Estimates("cpu", "bf16", 50, 12.0, 0.1, 0.3, memory_gib=0.8, jobs=offers(NEEDED, 30))
    monkeypatch.setattr(precheck, "precheck", lambda *_: Report(tuple(rows), costs))
    return rows


# What it may cost


def test_one_sentence_says_what_it_may_cost_and_who_pays(desk: Desk, server: WritableHub) -> None:
    now = places.look(desk, TEXT, False, Job())
    assert now.flavour == "t4-small" and now.minutes == "60", "30 of the recipe, and half an hour"
    said = f"At most $0.40: 60 minutes on t4-small, billed to team by Hugging Face; prices read on {PRICES_READ}."
    assert now.quote and now.quote.said == said and said in now.note
    assert now.quote.button == "Start for at most $0.40" and not now.can_start, "it was not checked yet"
    longer = places.look(desk, TEXT, False, Job("l4x1", 90)).quote
    assert longer and longer.said.startswith("At most $1.20: 90 minutes on l4x1,")


def test_where_the_hub_asks_for_more_its_price_counts(desk: Desk, server: WritableHub) -> None:
    places.look(desk, TEXT, False, Job("t4-small"))  # of which the Hub says nothing
    now = places.look(desk, TEXT, False, Job("a10g-small")).quote
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert backends.cost("a10g-small", 60) == 1.0
    longer = places.look(desk, TEXT, False, Job("a10g-small", 120)).quote
    assert longer and longer.dollars == 3.0
    assert now and now.dollars == 1.5 and now.said.endswith(f"prices read on {today}.")


def test_the_hub_is_not_asked_again_for_what_it_has_said(desk: Desk, server: WritableHub) -> None:
    for _ in range(3):
        places.look(desk, TEXT, False, Job())
    assert [path for path in server.asked if "whoami" in path] == ["GET /api/whoami-v2"]
    assert [path for path in server.asked if "hardware" in path] == ["GET /api/jobs/hardware"]


def test_the_cheapest_machine_that_it_fits_on_is_proposed(desk: Desk, server: WritableHub, found: list[Row]) -> None:
    handlers.check(desk, TEXT, quiet)
    now = places.look(desk, TEXT, False, Job("t4-small"), settle=True)
    fitting = [name for name, f in FLAVOURS.items() if f.gpus == 1 and 0.9e9 * f.memory_gb >= NEEDED]
    assert now.flavour == min(fitting, key=lambda name: FLAVOURS[name].dollars) == "l4x1" and now.can_start
    labels = {name: label for label, name in now.flavours}
    assert list(labels)[0] == "t4-small" and set(labels) == set(FLAVOURS), "the cheapest GPU first"
    assert labels["t4-small"] == "t4-small · 16 GB · $0.40/h · ✕ too small"
    assert labels["a100x4"] == "a100x4 · 4 × 80 GB · $10.00/h · ✓ fits"
    assert places.look(desk, TEXT, False, Job("a100-large"), settle=True).flavour == "a100-large", "it fits there"
    own = places.look(desk, TEXT, False, Job("t4-small"))
    assert own.flavour == "t4-small" and "does not fit there" in own.note, "who insists may, and is told"


@pytest.mark.parametrize(
    ("keys", "job", "said"),
    [
        ({"train": [{"id": "a", "folder": "$CORPUS_ROOT/cv"}]}, Job(), "say what to mount there"),
        ({"train": [{"id": "a", "folder": "/srv/cv"}]}, Job(), "is not there on Hugging Face Jobs"),
        ({}, Job(corpora="my bucket"), "expected hf://buckets/owner/name"),
        ({}, Job(minutes=20), "would end after 20 minutes and lose the run"),
        ({"batches": {"max_minutes": 0.0, "max_steps": 9}}, Job(), "say after how many minutes"),
        ({"seed": "none"}, Job(), "seed is"),
    ],
)
def test_what_cannot_be_a_job_is_told_before_anybody_clicks(
    desk: Desk, server: WritableHub, keys: dict[str, Any], job: Job, said: str
) -> None:
    now = places.look(desk, changed(**keys), True, job)
    assert said in now.note and "✕" in now.note and now.quote is None and not now.can_start


def test_large_corpora_are_mounted_and_steps_need_minutes(desk: Desk, server: WritableHub) -> None:
    mounted = changed(train=[{"id": "a", "folder": "$CORPUS_ROOT/cv"}])
    assert places.look(desk, mounted, False, Job(corpora="hf://buckets/team/speech/v25")).quote
    steps = changed(batches={"max_minutes": 0.0, "max_steps": 9})
    now = places.look(desk, steps, False, Job(minutes=45))
    assert now.quote and now.quote.minutes == 45 and now.minutes == ""


# Whose token, and where


def test_without_a_token_a_sentence_says_which(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    now = places.look(desk, TEXT, False, Job())
    assert "need a token with the scopes `jobs` and `write` in HF_TOKEN" in now.note and now.quote is None
    assert now.flavours and now.flavour, "the machines are there to look at"


@pytest.mark.parametrize(
    ("path", "said"),
    [("/api/whoami-v2", "does not accept the token"), ("/api/jobs/hardware", "does not accept the token")],
)
def test_a_token_that_may_not_is_told(desk: Desk, server: WritableHub, path: str, said: str) -> None:
    server.refuses[path] = 401
    now = places.look(desk, TEXT, False, Job())
    assert said in now.note and "jobs" in now.note and now.quote is None


def test_without_a_network_a_sentence_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "client", lambda: HfApi("http://127.0.0.1:9", token="hf_x"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    now = places.look(desk, TEXT, False, Job())
    assert "the Hub cannot be reached" in now.note and now.quote is None


def test_a_demo_neither_offers_nor_starts_jobs(settings: Settings, server: WritableHub, found: list[Row]) -> None:
    demo = make_desk(Settings(home=settings.home, registry=settings.registry, finetune="demo"))
    demo.reports.put(handlers.key(handlers.form.parse(TEXT)[1]), Report(tuple(found)).as_dict())
    assert not places.offered(demo.services.settings) and places.offered(settings)
    now = places.look(demo, TEXT, True, Job())
    assert "This is a demo" in now.note and now.quote is None
    with pytest.raises(ClosedError, match="This is a demo"):
        places.start(demo, TEXT, True, Job("t4-small"), 99)
    assert not server.jobs and not runs.runs(settings.home)


@pytest.mark.parametrize("name, value", [("GRADIO_SERVER_NAME", "0.0.0.0"), ("GRADIO_SHARE", "True")])
def test_an_app_that_others_reach_spends_nothing(
    desk: Desk, server: WritableHub, found: list[Row], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    desk.reports.put(handlers.key(handlers.form.parse(TEXT)[1]), Report(tuple(found)).as_dict())
    monkeypatch.setenv(name, value)
    assert not places.offered(desk.services.settings)
    with pytest.raises(ClosedError, match="reached from other machines"):
        places.start(desk, TEXT, True, Job("t4-small"), 99)
    folder, lock = runs._new_folder(
        desk.services.settings.home / "runs", "far", "", TEXT, {"backend": "jobs", "job": {}}
    )
    lock.close()
    process.write_json(folder / process.STATUS, {"state": "stopped"})
    with pytest.raises(ClosedError, match="reached from other machines"):  # going on may rent what was not rented yet
        run_handlers.resume(desk, "far")
    monkeypatch.setenv("SPACE_ID", "speech-lab/demo")  # where sign-in tells who may
    assert places.offered(desk.services.settings) and not server.jobs


# Start


def test_a_click_starts_the_job_for_the_amount_that_was_said(desk: Desk, server: WritableHub, found: list[Row]) -> None:
    handlers.check(desk, TEXT, quiet)
    job = Job("a10g-small", 45, "hf://buckets/team/speech")
    now = places.look(desk, TEXT, False, job)
    assert now.quote and now.can_start
    name = places.start(desk, TEXT, False, job, now.quote.dollars, parent="earlier", who="ann")
    run = runs.read(desk.services.settings.home, name)
    assert (run.backend, run.parent, run.who) == ("jobs", "earlier", "ann")
    given = json.loads((run.folder / "run.json").read_text())["job"]
    assert (given["dollars"], given["minutes"], given["namespace"]) == (now.quote.dollars, 45, "team")
    assert json.loads((run.folder / handlers.PRECHECK).read_text())["rows"][0]["check"] == "size"
    end = time.monotonic() + 60
    while not server.jobs:
        assert time.monotonic() < end and runs.read(desk.services.settings.home, name).active, runs.log(run)
        time.sleep(0.05)
    spec = server.jobs["job0"].spec
    assert (spec["flavor"], spec["timeoutSeconds"], spec["volumes"][0]["source"]) == ("a10g-small", 2700, "team/speech")


def test_a_price_that_has_risen_is_refused_and_then_said(
    desk: Desk, server: WritableHub, found: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers.check(desk, TEXT, quiet)
    job = Job("a10g-small")
    seen = places.look(desk, TEXT, False, job).quote
    assert seen
    monkeypatch.setitem(HARDWARE[1], "unitCostUSD", 0.05)
    with pytest.raises(ConfigError, match=r"may cost up to \$3.00; \$1.50 were agreed to"):
        places.start(desk, TEXT, False, job, seen.dollars)
    assert not server.jobs and not runs.runs(desk.services.settings.home)
    again = places.look(desk, TEXT, False, job).quote
    assert again and again.dollars == 3.0


def test_only_what_was_checked_as_it_is_becomes_a_job(desk: Desk, server: WritableHub, found: list[Row]) -> None:
    with pytest.raises(ConfigError, match="Check this recipe first"):
        places.start(desk, TEXT, True, Job("t4-small"), 99)
    found.append(Row("warm-up", "warn", "Too long."))
    handlers.check(desk, TEXT, quiet)
    assert not places.look(desk, TEXT, False, Job()).can_start and places.look(desk, TEXT, True, Job()).can_start
    with pytest.raises(ConfigError, match="has warnings"):
        places.start(desk, TEXT, False, Job("t4-small"), 99)
    found.append(Row("labels", "block", "It cannot."))
    handlers.check(desk, TEXT, quiet)
    assert not places.look(desk, TEXT, True, Job()).can_start
    with pytest.raises(ConfigError, match="must be mended"):
        places.start(desk, TEXT, True, Job("t4-small"), 99)
    assert not server.jobs and not runs.runs(desk.services.settings.home)


def test_a_machine_that_is_too_small_here_does_not_count_there(
    desk: Desk, server: WritableHub, found: list[Row]
) -> None:
    found += [Row("memory", "block", "It does not fit."), Row("warm-up", "warn", "Too long.")]
    handlers.check(desk, TEXT, quiet)
    here = handlers.show(desk, TEXT, anyway=True)
    assert not here.can_start and here.may_anyway, "the warning can be overruled for elsewhere"
    assert not places.look(desk, TEXT, False, Job()).can_start
    there = places.look(desk, TEXT, True, Job())
    assert there.can_start and "does not count there" in there.note
    with pytest.raises(ConfigError, match="must be mended"):
        handlers.start(desk, TEXT, anyway=True)


def test_a_warning_about_here_can_be_overruled_here(desk: Desk, found: list[Row]) -> None:
    found.append(Row("memory", "warn", "It is halved by itself."))
    handlers.check(desk, TEXT, quiet)
    assert handlers.show(desk, TEXT).may_anyway and handlers.show(desk, TEXT, anyway=True).can_start


# The wiring


def test_values_arrive_in_their_places(
    settings: Settings, server: WritableHub, found: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the wire: what is said, then exactly that passed on."""
    asked: list[dict[str, Any]] = []

    def refused(home: Path, recipe: Any, name: str = "", **given: Any) -> runs.Run:
        asked.append({"seed": recipe["seed"], **given})
        raise ConfigError("60 minutes may cost up to $9.00 <now>.")

    monkeypatch.setattr(backends, "submit", refused)
    text = changed(seed=7)
    blocks = build_ui(Transcriber(registry.read(settings.registry, settings.home), settings), settings)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    client = Client(url, verbose=False)
    try:
        client.predict(text, False, api_name="/finetune_check")
        fields = ["l4x1", 90, "hf://buckets/team/speech"]
        answer = client.predict(text, False, places.JOBS, *fields, api_name="/finetune_quote")
        flavour, minutes, note, dollars = answer  # buttons do not come this way
        assert "At most $1.20: 90 minutes on l4x1, billed to team" in note and dollars == 1.2
        assert flavour["value"] == "l4x1" and minutes["placeholder"] == "60"
        answer = client.predict(text, False, handlers.FIRST, *fields, dollars, api_name="/finetune_start_job")
        assert answer[0] == "" and any("$9.00 &lt;now&gt;" in part for part in answer if isinstance(part, str))
        (given,) = asked
        assert (given["seed"], given["parent"]) == (7, "")
        assert (given["flavour"], given["minutes"], given["corpora"]) == tuple(fields) and given["confirm"] == 1.2
        where = next(each for each in blocks.blocks.values() if getattr(each, "elem_id", "") == "finetune-where")
        assert isinstance(where, gr.Radio) and where.visible and where.value == places.HERE
    finally:
        client.close()
        blocks.close()


def test_a_demo_page_does_not_show_the_choice(settings: Settings) -> None:
    demo = Settings(home=settings.home, registry=settings.registry, finetune="demo")
    blocks = build_ui(Transcriber(registry.read(settings.registry, settings.home), demo), demo)
    where = next(each for each in blocks.blocks.values() if getattr(each, "elem_id", "") == "finetune-where")
    assert isinstance(where, gr.Radio) and not where.visible
