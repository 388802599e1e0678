"""The Fine-tune page without a browser: recipes, who may start them, what is shown of runs, and the wiring."""

from __future__ import annotations

import functools
import inspect
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from gradio_client import Client
from gradio_client.exceptions import AppError

from asrdemo import process, registry
from asrdemo.corpus import open_corpus
from asrdemo.errors import BusyError, ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import precheck, runs, select
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.precheck_report import Estimates, Histogram, Report, Row
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.analysis import handlers as analysis_handlers
from asrdemo.ui.analysis.handlers import Desk as AnalysisDesk
from asrdemo.ui.build import build_ui, launch_options
from asrdemo.ui.finetune import access, form, handlers, outcome, run_handlers, runs_panel, scores_html
from asrdemo.ui.finetune.form import Form
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.finetune.history import MOST_KEPT, History, thinned
from asrdemo.ui.services import Services
from evals import jobs
from evals.catalogue import SHIPPED
from evals.results import open_result

TESTS = Path(__file__).resolve().parent
SLICE = "?tab=finetune&checkpoint=demo-en&corpus=demo-corpus&accents=Scottish+English"
MOST_SENT = 200_000  # bytes of one answer


def make_desk(home: Path, **limits: Any) -> Desk:
    settings = Settings(home=home, **limits)
    return Desk(Services(Transcriber(registry.read(), settings), settings))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield make_desk(tmp_path)
    for run in runs.runs(tmp_path):
        process.kill(run.folder)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """What prechecks say from now on; fine, unless a test adds rows."""
    rows = [Row("size", "ok", "939 clips.")]
    lengths = Histogram((0.0, 2.0, 4.0), (3, 5), (0.1, 0.2))
    costs = Estimates("cpu", "bf16", 50, 12.0, 0.1, 0.3, step_seconds=1.2, memory_gib=0.8, steps=200, minutes=5.0)
    monkeypatch.setattr(precheck, "precheck", lambda *_: Report(tuple(rows), costs, lengths))
    return rows


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are those of a trainer that does not train."""
    own = functools.partial(runs.start, _trainer="stand_in_trainer", environment={"PYTHONPATH": str(TESTS)})
    monkeypatch.setattr(handlers.runs, "start", own)


def quiet(done: int, total: int, note: str) -> None:
    """A progress bar that nobody sees."""


def made_run(home: Path, name: str = "made", state: str = "complete", **said: Any) -> Path:
    """The directory of a run that no process ever worked in."""
    folder, lock = runs._new_folder(
        home / "runs", name, "", handlers.opened(make_desk(home), handlers.FIRST), {"started": 1e9, "who": "ann"}
    )
    lock.close()
    process.write_json(folder / process.STATUS, {"state": state, "step": 40, "seconds": 90.0, **said})
    return folder


def lines(path: Path, *records: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


# The recipe: text and form


def test_the_form_reads_the_shipped_recipe_and_says_all_there_is_to_its_clips(desk: Desk) -> None:
    now = handlers.show(desk, handlers.opened(desk, handlers.FIRST))
    assert now.form is not None and now.plain
    assert (now.form.base, now.form.accents, now.form.keep) == ("demo-en", ("Scottish English",), 150.0)
    assert dict(now.offer.accents)["Scottish English"] > 100 and "valid recipe" in now.verdict


def test_a_change_in_the_form_changes_its_keys_and_nothing_else(desk: Desk) -> None:
    text = handlers.opened(desk, handlers.FIRST)
    before = form.parse(text)[1]
    said = form.read(before)
    after = form.parse(handlers.edited(desk, text, replace(said, minutes=1.5, mode="head", name="mine")))[1]
    batches = replace(before.batches, max_minutes=1.5)
    assert after == replace(before, name="mine", mode="head", batches=batches)
    assert handlers.edited(desk, text, said) == text, "comments stay where nothing changed"


def test_a_recipe_that_the_form_cannot_say_is_left_as_it_is(desk: Desk) -> None:
    data, recipe = form.parse(handlers.opened(desk, handlers.FIRST))
    data["train"][1]["hours"] = 0.25
    text = form.dump(data)
    now = handlers.show(desk, text)
    assert now.form is not None and not now.plain
    after = form.parse(handlers.edited(desk, text, replace(now.form, minutes=2)))[1]
    assert after.train[1].hours == 0.25 and after.batches.max_minutes == 2


def test_a_slice_of_error_analysis_becomes_a_recipe(desk: Desk) -> None:
    text, note = handlers.from_slice(desk, SLICE + "&seconds.min=2&accents=Scottish+English")
    recipe = form.parse(text)[1]
    learn, others = recipe.train
    assert learn.accents == others.exclude_accents == ("Scottish English",) and (learn.weight, others.weight) == (
        1,
        1.5,
    )
    assert [(d.accents, d.exclude_accents) for d in recipe.dev] == [(learn.accents, ()), ((), learn.accents)]
    assert (recipe.base.checkpoint, learn.folder, recipe.test[0].split) == ("demo-en", "demo-corpus", "test")
    assert "Scottish English" in note and "clip length" in note, "what a recipe cannot filter by is said"
    assert "&id001" not in text and handlers.show(desk, text).plain


def test_a_slice_that_cannot_be_trained_on_says_so(desk: Desk) -> None:
    text, note = handlers.from_slice(desk, SLICE.replace("Scottish", "Martian"))
    assert "no clip of Martian English" in note and form.parse(text)[1].train[0].accents == ()
    assert handlers.from_slice(desk, "?tab=finetune&run=x") == ("", "")
    with pytest.raises(NotFoundError, match="no corpus 'gone'"):
        handlers.from_slice(desk, SLICE.replace("demo-corpus", "gone"))
    with pytest.raises(NotFoundError, match="no checkpoint 'gone'"):
        handlers.from_slice(desk, SLICE.replace("demo-en", "gone"))


def test_every_bad_slice_of_error_analysis_leads_to_a_recipe(desk: Desk) -> None:
    analysis = AnalysisDesk(desk.services)
    lead, _ = analysis_handlers.where(analysis_handlers.look(analysis, "?accents=Scottish+English"))
    worst = analysis_handlers.worst(analysis, analysis_handlers.look(analysis, ""))
    assert "data-finetune" not in analysis_handlers.where(analysis_handlers.look(analysis, ""))[0], "nothing is chosen"
    links = [unescape(link) for link in re.findall(r'data-finetune href="([^"]+)"', lead + worst)]
    assert len(links) == 1 + worst.count("<li>") > 1
    for link in links:
        assert handlers.show(desk, handlers.from_slice(desk, link)[0]).form is not None
    assert form.parse(handlers.from_slice(desk, links[0])[0])[1].train[0].accents == ("Scottish English",)


@pytest.mark.parametrize("more", ["", "&gender=male_masculine", "&gender=male_masculine&age=thirties"])
def test_what_is_learnt_and_the_others_are_all_clips_each_once(desk: Desk, more: str) -> None:
    recipe = form.parse(handlers.from_slice(desk, SLICE + more)[0])[1]
    corpus = open_corpus(registry.read().corpus("demo-corpus").path)
    named = [name for part in recipe.train for name in select.rows(corpus, part, 1)["name"].to_pylist()]
    assert sorted(named) == sorted(corpus.table("train")["clip"])


def test_nothing_is_kept_of_the_others_if_nobody_wants_it(desk: Desk) -> None:
    text = handlers.from_slice(desk, SLICE)[0]
    said = form.read(form.parse(text)[1])
    assert [p.id for p in form.parse(handlers.edited(desk, text, replace(said, keep=0)))[1].train] == [
        "scottish-english"
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("\nsede: 1", "unknown key 'sede'; allowed: name, train"),
        ("\nseed: [", "Line 2"),
        ("\nbatches: {max_minutes: soon}", "batches.max_minutes is 'soon'; expected float"),
        ("\nmode: best", "mode is 'best'; allowed: full, head"),
    ],
)
def test_mistakes_are_told_in_place(desk: Desk, wrong: str, says: str) -> None:
    keep = "" if wrong.endswith("[") else handlers.from_slice(desk, SLICE)[0]
    text = "\n".join(line for line in keep.splitlines() if not line.startswith("batches"))
    now = handlers.show(desk, text + wrong)
    assert now.form is None and not now.can_start
    assert says in now.verdict.replace("&#x27;", "'") and "the recipe:" not in now.verdict


def test_the_form_waits_until_the_text_is_a_recipe_again(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="Mend the YAML first"):
        handlers.edited(desk, "name: [", Form())


# Check and start


def test_only_what_was_checked_as_it_is_can_be_started(desk: Desk, found: list[Row], trained: None) -> None:
    text = handlers.opened(desk, handlers.FIRST)
    with pytest.raises(ConfigError, match="Check this recipe first"):
        handlers.start(desk, text, anyway=True)
    handlers.check(desk, text, quiet)
    assert handlers.show(desk, text).can_start
    changed = text.replace("seed: 1", "seed: 2")
    assert not handlers.show(desk, changed).can_start
    with pytest.raises(ConfigError, match="Check this recipe first"):
        handlers.start(desk, changed, anyway=True)
    name = handlers.start(desk, text, anyway=False, parent="earlier", who="ann")
    run = runs.read(desk.services.settings.home, name)
    assert (run.who, run.parent) == ("ann", "earlier")
    assert json.loads((run.folder / handlers.PRECHECK).read_text())["rows"][0]["check"] == "size"


def test_warnings_may_be_overruled_and_blocks_may_not(desk: Desk, found: list[Row], trained: None) -> None:
    text = handlers.opened(desk, handlers.FIRST)
    found.append(Row("warm-up", "warn", "Too <long>.", "Set it.", ("a.mp3",), {"optimiser": {"warmup_steps": 2}}))
    handlers.check(desk, text, quiet)
    now = handlers.show(desk, text)
    assert (now.can_start, now.may_anyway, handlers.show(desk, text, anyway=True).can_start) == (False, True, True)
    assert "▲" in now.report and "warning" in now.report and "Too &lt;long&gt;" in now.report and "a.mp3" in now.report
    with pytest.raises(ConfigError, match="has warnings"):
        handlers.start(desk, text, anyway=False)
    mended = handlers.mended(desk, text, 1)
    assert form.parse(mended)[1].optimiser.warmup_steps == 2 and not handlers.show(desk, mended).can_start
    found.append(Row("base", "block", "It cannot."))
    handlers.check(desk, text, quiet)
    now = handlers.show(desk, text, anyway=True)
    assert not now.can_start and not now.may_anyway and "1 thing must be mended first" in now.report
    with pytest.raises(ConfigError, match="must be mended"):
        handlers.start(desk, text, anyway=True)
    assert runs.runs(desk.services.settings.home) == []


def test_a_clone_starts_from_what_the_run_was_made_of(desk: Desk) -> None:
    made_run(desk.services.settings.home)
    assert ("Run: made", "run:made") in handlers.sources(desk)
    text = handlers.opened(desk, "run:made")
    assert form.parse(text)[1] == form.parse(handlers.opened(desk, handlers.FIRST))[1]
    assert handlers.parent_of("run:made") == "made" and handlers.parent_of(handlers.FIRST) == ""
    for wrong in ("recipe:../models.yaml", "run:../x", "", "recipe:"):
        with pytest.raises((NotFoundError, ConfigError)):
            handlers.opened(desk, wrong)


# Who may


def person(name: str, *organisations: str) -> gr.OAuthProfile:
    orgs = [{"preferred_username": each} for each in organisations]
    return gr.OAuthProfile({"name": name, "preferred_username": name, "profile": "", "picture": "", "orgs": orgs})


def test_a_space_is_open_to_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    access.check(settings, None)
    monkeypatch.setenv("SPACE_ID", "speech-lab/demo")
    for open_to in (person("Speech-Lab"), person("ann", "others", "speech-lab")):
        access.check(settings, open_to)
    for closed_to in (None, person("ann"), person("ann", "speech-labs"), person("", "")):
        with pytest.raises(access.ClosedError, match="only speech-lab .* can start"):
            access.check(settings, closed_to)
    with pytest.raises(access.ClosedError, match="ASRDEMO_FINETUNE=off"):
        access.check(replace(settings, finetune="off"), person("speech-lab"))


def test_a_sign_in_counts_for_nothing_off_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    with pytest.raises(access.ClosedError, match="turned off here"):
        access.check(Settings(home=tmp_path, finetune="off"), person("root"))


def test_a_demo_runs_the_shipped_recipes_for_a_few_minutes(tmp_path: Path, found: list[Row], trained: None) -> None:
    desk = make_desk(tmp_path, finetune="demo")
    text = handlers.opened(desk, handlers.FIRST)
    own = form.dump(form.parse(text)[0] | {"seed": 2})
    with pytest.raises(access.ClosedError, match="trains demo-en-tuned as they are"):
        handlers.check(desk, own, quiet)
    with pytest.raises(access.ClosedError):
        handlers.start(desk, own, anyway=True)
    assert "This is a demo" in handlers.show(desk, own).verdict
    long = handlers.edited(desk, text, replace(form.read(form.parse(text)[1]), minutes=600, name="long"))
    handlers.check(desk, long, quiet)
    run = runs.read(tmp_path, handlers.start(desk, long, anyway=False))
    process.kill(run.folder)
    assert recipes.load(run.folder / runs.RECIPE).batches.max_minutes == access.DEMO_MINUTES


def test_strangers_neither_block_nor_fill_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "DEMO_KEPT", 2)
    desk = make_desk(tmp_path, finetune="demo")
    for number in range(4):
        made_run(tmp_path, f"over{number}", started=1e9 + number)
    access.make_room(replace(desk.services.settings, finetune="on"))
    assert len(runs.runs(tmp_path)) == 4, "on a machine of one's own nothing leaves"
    access.make_room(desk.services.settings)
    assert len(runs.runs(tmp_path)) == 2
    monkeypatch.setattr(access, "DEMO_QUEUE", 0)
    with pytest.raises(BusyError, match="this is a demo"):
        access.make_room(desk.services.settings)


# Runs


def test_no_run_yet(desk: Desk) -> None:
    now = run_handlers.watch(desk)
    assert "No run yet" in now.listed and not now.live and not now.run


def test_a_finished_run_shows_curves_slices_and_sentences(desk: Desk) -> None:
    folder = made_run(desk.services.settings.home)
    lines(
        folder / "metrics.jsonl",
        {"step": 0, "eval_scottish_wer": 0.41, "eval_scottish_loss": 0.5, "eval_blank_share": 0.3},
        {"step": 5, "loss": 1.5, "memory_gb": 1.25},
        {"step": 40, "eval_scottish_wer": 0.16, "eval_scottish_lm_wer": 0.1, "loss": float("nan")},
    )
    lines(folder / "alerts.jsonl", {"step": 9, "sentence": "The <loss> fell.", "action": "warn"})
    sample = {"reference": "call me at nine", "hypothesis": "call <me> at nine"}
    lines(folder / "samples.jsonl", {"step": 40, "samples": {"scottish": [sample]}, "slices": {}})
    process.write_json(folder / "data.json", {"dev": {"scottish": {"clips": 22}}})
    for name, rate in (("before", 0.4), ("after", 0.17)):
        slices = {"accents": {"Scottish English": [46, rate], "England English": [60, 0.08]}}
        process.write_json(folder / f"{name}.json", {"test": {"clips": 106, "wer": rate, "slices": slices}})
    (folder / "best").mkdir()
    (folder / "best" / "config.json").write_text("{}")
    now = run_handlers.watch(desk)
    assert now.run == "made" and now.can_clone and now.can_register and not now.can_stop and not now.can_resume
    assert "scottish (22 clips)" in now.curves and "16.0 %" in now.curves and "scottish with LM" in now.curves
    assert "WER, %" in now.curves and "nats a label" in now.curves and "nan" not in now.curves
    assert "▼ 23.0 better" in now.scores and "= the same" in now.scores and "106" in now.scores
    assert "<del>me</del> <ins>&lt;me&gt;</ins>" in now.samples
    assert "The &lt;loss&gt; fell." in now.head and "▲ warning" in now.head and "1.2 GB" in now.head
    assert now.command.endswith("recipe.yaml") and "finetune start" in now.command


def test_runs_that_did_not_end_well_say_why_and_can_go_on(desk: Desk) -> None:
    home = desk.services.settings.home
    made_run(home, "bad", "failed", error="No <room> on the disk.")
    made_run(home, "gone", "running")
    now = run_handlers.watch(desk, "bad")
    assert "No &lt;room&gt;" in now.head and now.can_resume and not now.can_stop
    assert "went away" in run_handlers.watch(desk, "gone").head
    assert "no run &#x27;missing&#x27;" in run_handlers.watch(desk, "missing").head
    assert run_handlers.watch(desk, "../runs/bad").run != "../runs/bad"


def test_a_live_run_is_found_stopped_and_gone_on_with(desk: Desk, found: list[Row], trained: None) -> None:
    text = handlers.opened(desk, handlers.FIRST)
    handlers.check(desk, text, quiet)
    name = handlers.start(desk, text, anyway=False)
    other = make_desk(desk.services.settings.home)  # somebody else, or after the app was started anew
    now = run_handlers.watch(other)
    assert (now.run, now.live, now.can_stop) == (name, True, True)
    run_handlers.stop(other, name)
    for _ in runs.follow(other.services.settings.home, name):
        pass
    now = run_handlers.watch(desk, name)
    assert now.can_resume and "stopped" in now.head and not now.live
    run_handlers.resume(desk, name)
    assert run_handlers.watch(desk, name).live
    with pytest.raises(NotFoundError):
        run_handlers.stop(desk, "other")


def test_a_long_run_is_read_once_and_little_is_sent(desk: Desk) -> None:
    folder = made_run(desk.services.settings.home)
    steps = range(0, 500_000, 25)
    lines(folder / "metrics.jsonl", *({"step": s, "loss": 2.0 + s % 7, "learning_rate": 1e-4} for s in steps))
    lines(folder / "metrics.jsonl", *({"step": s, "eval_a_wer": 0.3, "eval_b_wer": 0.2} for s in steps[::20]))
    lines(folder / "samples.jsonl", {"step": 1, "samples": {"a": [{"reference": "x " * 9000, "hypothesis": "y"}] * 50}})
    (folder / process.LOG).write_text("line <of> log\n" * 50_000)
    first = runs_panel.values(desk, "?run=made", {})
    sent = [part for part in first if isinstance(part, str)]
    assert sum(len(part.encode()) for part in sent) < MOST_SENT
    history = desk.histories.get(next(iter(desk.histories._kept)))
    assert history is not None and history.offset == (folder / "metrics.jsonl").stat().st_size
    assert len(history.loss) <= MOST_KEPT and history.loss[-1][0] == steps[-1]
    again = runs_panel.values(desk, "?run=made", first[-1])
    assert [part for part in again[:-1] if part != gr.skip()] == [], "nothing is sent that the browser has"


def test_a_run_that_begins_anew_has_only_its_new_curve(desk: Desk) -> None:
    folder = made_run(desk.services.settings.home)
    lines(folder / "metrics.jsonl", {"step": 5, "loss": 1.0}, {"step": 10, "loss": 0.5})
    run = runs.read(desk.services.settings.home, "made")
    history = History().read(run)
    assert history.loss == [(5, 1.0), (10, 0.5)]
    (folder / "metrics.jsonl").write_text('{"step": 5, "loss": 1.125}\n')
    assert history.read(run).loss == [(5, 1.125)]


def test_thinning_keeps_the_end_and_the_mean() -> None:
    points = [(float(i), float(i % 2)) for i in range(1001)]
    few = thinned(points, 100)
    assert len(few) <= 100 and few[-1] == points[-1] and all(abs(v - 0.5) < 0.1 for _, v in few[:-1])
    assert thinned(points[:50], 100) == points[:50]


def test_a_slice_of_a_part_is_shown_and_one_of_all_is_not() -> None:
    part, whole = (
        {"t": {"clips": 12, "wer": 0.3, "slices": {"accents": {"Scottish English": [n, 0.4]}}}} for n in (6, 12)
    )
    assert "Scottish" in scores_html.under_way_html(part, {}, None, 0)
    assert "Scottish" not in scores_html.under_way_html(whole, {}, None, 0)


def test_registering_puts_a_run_into_the_lists(
    desk: Desk, tiny_checkpoint_layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made_run(desk.services.settings.home)
    shutil.copytree(tiny_checkpoint_layer, folder / "best")
    process.write_json(folder / "best.json", {"step": 40, "eval_selection": 0.2})
    id = run_handlers.register(desk, "made")
    assert id in desk.services.registry.checkpoints
    now = run_handlers.watch(desk)
    assert not now.can_register and id in now.head
    # Evaluated as its base was, in one click; then the two are compared
    asked: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda home, arguments: asked.append(list(arguments)))
    assert now.can_evaluate and "tab=compare" not in now.head
    outcome.evaluate(desk, "made")
    base = open_result(SHIPPED / "results" / "demo-en-beam")
    given = dict(zip(asked[0][::2], asked[0][1::2], strict=True))
    decoder = base.info["pins"]["decoder"]
    assert given == {
        "--checkpoint": id, "--corpus": "demo-corpus", "--split": "test", "--decoder": decoder["kind"],
        "--lm": decoder["lm"], "--alpha": "0.5", "--beta": "0",
    }  # fmt: skip
    own = desk.services.settings.home / "results" / "own"
    shutil.copytree(base.folder, own)
    info = json.loads((own / "run.json").read_text())
    info["pins"]["checkpoint"]["id"] = id
    (own / "run.json").write_text(json.dumps(info))
    now = run_handlers.watch(desk)
    assert not now.can_evaluate
    assert "?tab=compare&amp;results=demo-en-beam&amp;results=own" in now.head
    with pytest.raises(TrainingError, match="compare them"):
        outcome.evaluate(desk, "made")


# The wiring


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, gr.Blocks, Path]]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    blocks = build_ui(Transcriber(registry.read(), settings), settings)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    client = Client(url, verbose=False)
    yield client, blocks, home
    client.close()
    blocks.close()


def events(blocks: gr.Blocks) -> list[Callable[..., Any]]:
    """The page's own functions, private ones too."""
    found = [f.fn for f in blocks.fns.values() if f.fn and f.fn.__module__.startswith("asrdemo.ui.finetune")]
    return [fn for fn in found if inspect.signature(fn).parameters]


def test_every_event_is_closed_to_strangers(page: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    _, blocks, home = page
    monkeypatch.setenv("SPACE_ID", "speech-lab/demo")
    asked = 0
    for fn in events(blocks):
        some = [p for p in inspect.signature(fn).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        arguments = [None] + [""] * sum(p.default is p.empty for p in some[1:])
        if fn.__name__ == "opened" and len(arguments) == 3:
            shown = fn(*arguments)
            assert "only speech-lab" in shown[0] and all(part == gr.skip() for part in shown[2:])
        else:
            with pytest.raises(gr.Error, match="only speech-lab"):
                fn(*arguments)
        asked += 1
    assert asked >= 15 and not (home / "runs").exists() and not (home / "shards").exists()


@pytest.mark.parametrize("event", [
    "start", "check", "stop", "resume", "register", "card", "look", "open", "form", "evaluate", "start_job", "quote",
])  # fmt: skip
def test_a_program_is_a_stranger_too(page: tuple, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    client, blocks, _ = page
    monkeypatch.setenv("SPACE_ID", "speech-lab/demo")
    given: dict[str, list[Any]] = {
        "start": ["name: x", True, None], "check": ["name: x", True], "open": [handlers.FIRST],
        "form": ["name: x", True, "n", "demo-en", "demo-corpus", [], [], [], 50, 5, "full"],
        "start_job": ["name: x", True, None, "t4-small", 5, "", 1.0],
        "quote": ["name: x", True, "jobs", "t4-small", 5, ""],
    }  # fmt: skip
    with pytest.raises(AppError, match="only speech-lab"):
        client.predict(*given.get(event, ["?run=x"]), api_name=f"/finetune_{event}")


def test_values_arrive_in_their_places(page: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form's fields through the wire: each lands in its own key."""
    client, *_ = page
    text = client.predict(SLICE, "", api_name="/finetune_opened")
    text = next(part for part in text if isinstance(part, str) and part.startswith("name:"))
    fields = ["mine", "demo-en", "demo-corpus", ["England English"], ["female_feminine"], [], 25, 2.5, "lora"]
    answer = client.predict(text, False, *fields, api_name="/finetune_form")
    made = yaml.safe_load(answer[0])
    assert (made["name"], made["mode"], made["batches"]["max_minutes"]) == ("mine", "lora", 2.5)
    assert made["train"][0]["accents"] == ["England English"] and made["train"][0]["genders"] == ["female_feminine"]
    assert {part["weight"] for part in made["train"][1:]} == {0.25}


def test_a_stop_reaches_the_run_it_names(page: tuple) -> None:
    client, _, home = page
    made_run(home, "here", "stopped")
    answer = client.predict("?run=here", api_name="/finetune_stop")
    assert "here" in answer[1] and "That did not work" not in answer[1]
    answer = client.predict("?run=elsewhere", api_name="/finetune_stop")
    assert re.search("That did not work:</strong> There is no run", answer[1])
