"""asrdemo.finetune.runs and asrdemo.process: runs that wait their turn, outlive the app, and are gone on with."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from asrdemo import process
from asrdemo.cli import main
from asrdemo.errors import BusyError, ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs

TESTS = Path(__file__).resolve().parent
RECIPE: dict[str, Any] = {
    "name": "a small run",
    "base": {"checkpoint": "demo-en"},
    "train": [{"id": "own", "folder": "nowhere"}],
    "dev": [{"id": "own", "folder": "nowhere"}],
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An app's home; nothing that began there goes on after the test."""
    yield tmp_path
    for run in runs.runs(tmp_path):
        process.kill(run.folder)


def start(home: Path, name: str = "", **variables: object) -> runs.Run:
    """A run of the stand-in trainer (see there for the variables)."""
    environment = {key: str(value) for key, value in variables.items()} | {"PYTHONPATH": str(TESTS)}
    return runs.start(home, RECIPE, name, environment=environment, _trainer="stand_in_trainer")


def by_hand(home: Path, name: str, **record: object) -> Path:
    """The directory of a run that no process ever worked in."""
    folder, lock = runs._new_folder(home / "runs", name, "", json.dumps(RECIPE), {"started": 1.0, **record})
    lock.close()
    return folder


def waited(home: Path, name: str, until: Callable[[runs.Run], bool], seconds: float = 60) -> runs.Run:
    """The run as soon as `until` holds of it."""
    end = time.monotonic() + seconds
    while not until(run := runs.read(home, name)):
        assert time.monotonic() < end, f"{run}\n{runs.log(run)}"
        time.sleep(0.01)
    return run


def over(run: runs.Run) -> bool:
    return not run.active


def pid(run: runs.Run) -> int:
    return json.loads((run.folder / process.STATUS).read_text())["pid"]


def test_a_run_trains_in_its_own_directory_to_the_end(home, capsys):
    run = start(home)
    assert (run.name, run.state) == ("a-small-run", "queued"), "it is there at once"
    seen, rows, at = [], [], 0
    while (run := runs.read(home, run.name)).active or not rows:
        new = runs.metrics(run, at)
        rows, at = rows + new.rows, new.offset
        seen.append((run.state, run.note.partition(":")[0]))
        time.sleep(0.005)
    rows += runs.metrics(run, at).rows
    assert [row["step"] for row in rows] == list(range(1, 21)), "each record once, as they come"
    assert list(dict.fromkeys(seen)) == [
        ("queued", "starting"), ("running", "starting"), ("running", "preparing audio"), ("running", "training"),
        *([("complete", "")] if ("complete", "") in seen else []),
    ]  # fmt: skip
    assert (run.state, run.step, run.steps, run.error, run.sitting) == ("complete", 20, 20, "", 1)
    assert run.seconds > 0.3 and run.who and runs.eta(run) is None and runs.latest(run)["loss"] == 1 / 20
    assert recipes.load(run.folder / runs.RECIPE) == recipes.from_dict(RECIPE)
    with pytest.raises(TrainingError, match="complete; clone"):
        runs.resume(home, run.name)
    second = start(home, PACE=0, STEPS=1)
    assert second.name == "a-small-run-2" and [r.name for r in runs.runs(home)] == [second.name, run.name]
    with pytest.raises(TrainingError, match="already; resume it, or choose another name"):
        start(home, run.name)
    assert not [path for path in (home / "runs").iterdir() if path.name.startswith(".new")]


def test_a_run_says_how_long_it_will_take(home):
    run = start(home, STEPS=100, PACE=0.05)
    run = waited(home, run.name, lambda r: r.step >= 20)
    left = runs.eta(run)
    assert left is not None and 2 < left < 30, "80 steps of a twentieth of a second"


def test_two_apps_start_at_once_and_one_run_waits_for_the_other(home):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_finetune_runs as t; from pathlib import Path;"
        "t.start(Path(sys.argv[2]), STEPS=50000)"
    )
    apps = [subprocess.Popen([sys.executable, "-c", code, TESTS, home], cwd=TESTS.parent) for _ in range(2)]
    assert [app.wait(60) for app in apps] == [0, 0]
    assert {run.name for run in runs.runs(home)} == {"a-small-run", "a-small-run-2"}
    first, second = (run.name for run in runs.queue(home))
    waiting = waited(home, second, lambda run: run.place == 1)
    assert (waiting.state, waiting.note) == ("queued", f"waits for {first}")
    before = waited(home, first, lambda run: run.step > 0)
    waited(home, first, lambda run: run.step > before.step)
    assert runs.read(home, second).state == "queued", "for as long as the other trains"
    runs.stop(home, first)
    assert waited(home, second, lambda run: run.step > 0).state == "running"
    assert runs.read(home, first).state == "stopped"


def test_a_queue_keeps_its_order_and_gives_back_what_is_taken_out(home):
    names = [start(home, name, STEPS=5000 if name == "first" else 5).name for name in ("first", "b", "a", "c")]
    for name, place in (("b", 1), ("a", 2), ("c", 3)):
        waited(home, name, lambda run, n=place: run.place == n)
    assert [run.name for run in runs.queue(home)] == names
    runs.stop(home, "a")
    assert waited(home, "a", over).state == "stopped" and runs.read(home, "a").note.startswith("taken back")
    assert waited(home, "c", lambda run: run.place == 2).state == "queued"
    os.kill(pid(waited(home, "first", lambda run: run.step > 0)), signal.SIGKILL)
    done = [waited(home, name, over) for name in names]
    assert [run.state for run in done] == ["interrupted", "complete", "stopped", "complete"]
    assert done[1].updated < done[3].updated
    assert runs.resume(home, "a").active and waited(home, "a", over).state == "complete"


def test_the_app_is_killed_and_the_run_goes_on(home):
    """Also where a shell had the app ignore SIGINT; the next app finds it, and stops it."""
    code = (
        "import sys, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path.insert(0, sys.argv[1]);"
        "import test_finetune_runs as t; from pathlib import Path; t.start(Path(sys.argv[2]), STEPS=5000);"
        "print('started', flush=True); time.sleep(60)"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", code, TESTS, home], cwd=TESTS.parent, stdout=subprocess.PIPE, start_new_session=True
    )
    assert app.stdout and app.stdout.readline() == b"started\n"
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    (run,) = runs.runs(home)
    before = waited(home, run.name, lambda r: r.step > 0)
    assert waited(home, run.name, lambda r: r.step > before.step).state == "running"
    with pytest.raises(BusyError, match="running already"):
        runs.resume(home, run.name)
    os.kill(pid(run := runs.read(home, run.name)), signal.SIGINT)
    assert waited(home, run.name, over).state == "stopped"


@pytest.mark.slow
def test_killed_at_twenty_moments_a_run_goes_on_and_nothing_is_half_written(home):
    draw = random.Random(5)
    start(home, "tough", STEPS=600, PACE=0.01)
    for _ in range(20):
        moment = draw.random()
        if moment > 0.3:
            begun = runs.read(home, "tough").sitting
            waited(home, "tough", lambda r, n=begun: not r.active or (r.sitting == n and r.note == "training"))
        time.sleep(moment * 0.4)
        run = runs.kill(home, "tough")
        assert run.state == "interrupted", run
        for path in [run.folder / name for name in (process.STATUS, runs.RECORD)]:
            assert json.loads(path.read_text()), path
        assert "without a last word" in run.error and runs.metrics(run).offset >= 0
        runs.resume(home, "tough")
    done = waited(home, "tough", over)
    assert (done.state, done.step, done.sitting) == ("complete", 600, 21), runs.log(done)
    steps = {json.loads(p.read_text())["step"] for p in done.folder.glob("checkpoint-*/state.json")}
    assert steps == set(range(5, 601, 5))
    assert {row["step"] for row in runs.metrics(done).rows} == set(range(1, 601)), "some twice, none lost"
    assert not list(done.folder.glob("*.part"))


def test_stop_saves_a_checkpoint_and_resume_does_the_rest(home):
    run = start(home, STEPS=60)
    waited(home, run.name, lambda r: r.step > 2)
    assert runs.stop(home, run.name).stopping and runs.stop(home, run.name).sitting == 1
    stopped = waited(home, run.name, over)
    assert (stopped.state, stopped.stopping) == ("stopped", False) and stopped.step < 60
    assert (stopped.folder / f"checkpoint-{stopped.step}").is_dir()
    runs.stop(home, run.name)  # nothing happens to what is over
    again = runs.resume(home, run.name)
    assert (again.sitting, again.step) == (2, stopped.step)
    done = waited(home, run.name, over)
    assert (done.state, done.step) == ("complete", 60) and done.seconds > stopped.seconds
    assert f"begins at step {stopped.step} " in runs.log(done)
    at = done.log_from
    assert list(runs.follow(home, run.name, at)) == [f"begins at step {stopped.step} as process 0", "ends at step 60"]


def test_a_run_that_is_still_importing_stops_too(home):
    run = start(home)
    waited(home, run.name, lambda r: r.state == "running")
    runs.stop(home, run.name)
    stopped = waited(home, run.name, over)
    assert (stopped.state, stopped.error) == ("stopped", "") and stopped.step < 20


def test_the_second_signal_kills(home):
    run = start(home, STEPS=5000, ENDS="deaf")
    waited(home, run.name, lambda r: r.step > 0)
    os.kill(pid(run), signal.SIGTERM)
    step = runs.read(home, run.name).step
    assert waited(home, run.name, lambda r: r.step > step).state == "running", "the first only asks"
    os.kill(pid(run), signal.SIGTERM)
    assert waited(home, run.name, over).state == "interrupted"


@pytest.mark.parametrize(
    ("ends", "said"),
    [("fail", "The loss is not a number since step 3. Lower the rate."), ("crash", "RuntimeError: CUDA error: out")],
)
def test_a_run_that_fails_says_why_in_a_sentence(home, ends, said):
    run = start(home, ENDS=ends)
    failed = waited(home, run.name, over)
    assert failed.state == "failed" and failed.error.startswith(said) and "\n" not in failed.error
    assert failed.step == 3


def test_a_forked_child_that_stays_behind_does_not_seem_to_be_the_run(home):
    """As a worker of a data loader whose trainer was killed: the next in line must not wait for it."""
    run = start(home, STEPS=5000, FORKS=1)
    child = waited(home, run.name, lambda r: r.step > 0)
    (orphan,) = psutil.Process(pid(child)).children()
    os.kill(pid(run), signal.SIGKILL)
    assert waited(home, run.name, over, 5).state == "interrupted"
    assert orphan.is_running()
    orphan.kill()


def test_only_one_trainer_works_in_a_directory(home):
    run = start(home, STEPS=5000)
    waited(home, run.name, lambda r: r.step > 0)
    with pytest.raises(BusyError, match="at work in"), runs.Live(run.folder):
        pass
    assert runs.read(home, run.name).state == "running", "and it is none the worse"


def test_a_trainer_started_by_hand_is_a_run_too(home):
    """In this process: what `python -m asrdemo.finetune.train` does without the queue."""
    folder = home / "runs" / "by-hand"
    before = signal.getsignal(signal.SIGTERM)
    with runs.Live(folder) as live:
        live.progress(3, 10)
        run = runs.read(home, "by-hand")
        assert (run.state, run.step) == ("running", 3) and "run.json" in run.error
        assert process.ahead(home / "runs" / "next") == ["by-hand"]
        assert not live.stop_asked
        runs.stop(home, "by-hand")
        assert live.stop_asked
    assert process.read(folder)["state"] == "stopped" and signal.getsignal(signal.SIGTERM) is before
    with runs.Live(folder) as live:
        assert not live.stop_asked, "that was asked of the one before"
    assert process.read(folder)["state"] == "complete"


def test_other_processes_of_a_distributed_run_write_nothing(home, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with runs.Live(home / "runs" / "r") as live:
        live.progress(1, 2)
        live.report(1, 2, "preparing")
        assert not live.stop_asked
        signal.raise_signal(signal.SIGTERM)
        assert live.stop_asked
    assert not (home / "runs").exists()


@pytest.mark.slow
def test_two_processes_are_one_run(home):
    run = runs.start(
        home, RECIPE, processes=2, environment={"PYTHONPATH": str(TESTS), "STEPS": "100000"},
        _trainer="stand_in_trainer",
    )  # fmt: skip
    run = waited(home, run.name, lambda r: r.step > 0 and "process 1" in runs.log(r), 240)
    command = f"-m stand_in_trainer {run.folder / 'recipe.yaml'} --run {run.folder}"
    family = [p for p in psutil.process_iter(["cmdline"]) if command in shlex.join(p.info["cmdline"] or [])]
    assert len(family) == 3, "the launcher and its two"
    assert run.trainer_command.endswith(command) and " accelerate launch --multi_gpu --num_processes 2 " in (
        run.trainer_command
    )
    assert runs.kill(home, run.name).state == "interrupted"
    psutil.wait_procs(family, 10)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    runs.resume(home, run.name)
    waited(home, run.name, lambda r: r.note == "training", 240)
    runs.stop(home, run.name)
    assert waited(home, run.name, over).state == "stopped" and "Traceback" not in runs.log(run)


DAMAGES = {
    "empty": b"", "cut": b"{", "list": b"[1]", "bytes": b"\xff\xfe", "odd": b'{"state": "odd"}', "deep": b"[" * 100_000,
    "gone": None,
}  # fmt: skip


def damage(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", [process.STATUS, runs.RECORD, runs.RECIPE])
def test_a_damaged_file_is_a_state_and_keeps_no_other_run_back(home, name, content):
    made = by_hand(home, "hurt")
    process.write_json(made / process.STATUS, {"state": "stopped", "step": 7})
    damage(made, name, content)
    (run,) = runs.runs(home)
    expected = {process.STATUS: "damaged" if content is not None else "interrupted", runs.RECIPE: "stopped"}
    if name == runs.RECORD and content == b'{"state": "odd"}':
        assert run.state == "stopped" and run.started == 0
    else:
        assert run.state == expected.get(name, "damaged") and (run.error or name == runs.RECIPE)
    assert runs.queue(home) == [] and runs.samples(run) == [] and runs.log(run) == ""
    if name == runs.RECIPE and content != DAMAGES["deep"]:
        with pytest.raises(ConfigError):
            runs.clone(home, "hurt", {})


def test_wrong_types_and_endless_texts_are_left_out(home):
    folder = by_hand(home, "odd", started="x", who="w" * 10_000, processes=1.5)
    said = {"state": "failed", "step": "many", "steps": True, "seconds": 10**400, "left": float("nan"), "error": ["x"]}
    process.write_json(folder / process.STATUS, said)
    run = runs.read(home, "odd")
    assert (run.state, run.step, run.steps, run.error, run.started, run.processes) == ("failed", 0, 0, "", 0, 1)
    assert len(run.who) == process.MOST_TEXT and run.seconds < 1e20 and runs.eta(run) is None
    (folder / process.LOG).write_bytes(b"x" * 3_000_000 + b"\n\x1b[31mred\x1b[0m\r 50%\r100%\x07\n" + b"\xff" * 9000)
    first, second = runs.log(run, 2).split("\n")
    assert first == "100%" and len(second) == process.MOST_TEXT
    assert all(len(line) <= process.MOST_TEXT for line in runs.log(run, 10).split("\n"))


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp", ".hidden", "a\nb", "-x", "x" * 65, "é", "a b", "a\0"])
def test_names_that_are_no_part_of_a_path_are_refused(home, name):
    with pytest.raises(ConfigError, match="no name for a run"):
        start(home, name)
    for ask in (runs.read, runs.stop, runs.kill, runs.resume):
        with pytest.raises(NotFoundError, match="There is no run"):
            ask(home, name)
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())


def test_a_recipe_that_is_no_good_leaves_no_run_behind(home):
    for recipe in ({"name": "x"}, home / "none.yaml", {**RECIPE, "base": None}):
        with pytest.raises(ConfigError):
            runs.start(home, recipe)
    with pytest.raises(ConfigError, match="processes is 0"):
        runs.start(home, RECIPE, processes=0)
    assert runs.runs(home) == [] and not (home / "runs").exists()


def test_a_changed_copy_remembers_where_it_came_from(home):
    run = start(home, STEPS=1)
    changed = runs.clone(home, run.name, {"batches": {"max_minutes": 3}, "seed": 8})
    assert changed == {**RECIPE, "batches": {"max_minutes": 3}, "seed": 8}
    with pytest.raises(ConfigError, match="max_minuets"):
        runs.clone(home, run.name, {"batches": {"max_minuets": 3}})
    copy = runs.start(home, changed, parent=run.name, who="ada", _trainer="stand_in_trainer")
    assert (copy.parent, copy.who) == (run.name, "ada")


def test_a_run_that_starts_anyway_does_so_every_time(home, monkeypatch):
    commands: list[list[str]] = []
    monkeypatch.setattr(
        process, "launch", lambda folder, command, lock, **more: (lock.close(), commands.append(command))
    )
    asked = runs.start(home, RECIPE, "asked", anyway=True)
    assert asked.anyway and asked.command.endswith("/recipe.yaml --anyway")
    runs.resume(home, "asked")
    by_hand(home, "blocked")
    runs.resume(home, "blocked")
    runs.resume(home, "blocked", anyway=True)
    assert runs.resume(home, "blocked").trainer_command.endswith(" --anyway")
    wanted = [["--anyway"], ["--resume", "--anyway"], ["--resume"], ["--resume", "--anyway"], ["--resume", "--anyway"]]
    assert [[word for word in command if word in ("--resume", "--anyway")] for command in commands] == wanted


def test_many_may_watch_while_a_run_begins_trains_and_ends(home):
    """Whoever looks holds the lock for an instant: it must neither keep a run from starting nor seem to be one."""
    faults: list[str] = []
    finished = threading.Event()
    order = ["queued", "running", "complete"]

    def watch() -> None:
        at, state, step = 0, 0, 0
        while not finished.is_set():
            for run in runs.runs(home):
                new = runs.metrics(run, at)
                at = new.offset
                if run.state not in order or order.index(run.state) < state or run.step < step:
                    faults.append(f"{run} after {order[state]} {step}")
                    return
                state, step = order.index(run.state), run.step

    watchers = [threading.Thread(target=watch) for _ in range(6)]
    for watcher in watchers:
        watcher.start()
    try:
        run = start(home, STEPS=50, PACE=0.005)
        done = waited(home, run.name, over)
    finally:
        finished.set()
        for watcher in watchers:
            watcher.join()
    assert done.state == "complete" and not faults


def test_live_records_are_read_as_they_grow(home):
    folder = by_hand(home, "r")
    run, path = runs.read(home, "r"), folder / "metrics.jsonl"
    assert runs.metrics(run) == ([], 0, True)
    path.write_bytes(b'{"step": 1}\n{"st')
    first = runs.metrics(run)
    assert first == ([{"step": 1}], 12, True)
    assert runs.metrics(run, first.offset) == ([], 12, False), "half a line is none yet"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\nnot json\n[3]\n{"step": 4}\n')
    assert [row["step"] for row in runs.metrics(run, 12).rows] == [2, 4]
    path.write_bytes(b'{"step": 1}\n')  # gone on from a checkpoint
    assert runs.metrics(run, 40) == ([{"step": 1}], 12, True)
    path.write_bytes(b'{"step": 10, "loss": 3}\n' + b'{"step": 11, "loss": 2}\n' * 4)
    assert runs.metrics(run, 12).fresh, "longer again, but other lines"
    (folder / "samples.jsonl").write_text("".join(f'{{"step": {i}, "text": "{"x" * 100}"}}\n' for i in range(9000)))
    assert runs.samples(run)[-1]["step"] == 8999 and 1000 < len(runs.samples(run)) < 9000, "the end of a long file"


def test_a_log_is_followed_line_by_line(home):
    folder = home / "runs" / "r"
    lines = ["one", "zwölf", "", "end"]

    def write() -> None:
        with runs.Live(folder), (folder / process.LOG).open("ab", buffering=0) as out:
            begun.set()
            for byte in "\n".join(lines).encode():
                out.write(bytes([byte]))
                time.sleep(0.02)

    begun = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    assert list(runs.follow(home, "r")) == lines
    writer.join()


def test_machines_that_share_a_home_do_not_wait_for_each_other(home):
    folder = home / "runs" / "far"
    folder.mkdir(parents=True)
    process.write_json(folder / process.STATUS, {"state": "running", "host": "elsewhere", "pid": os.getpid()})
    with (folder / process.WORKING).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert process.read(folder)["state"] == "running" and process.ahead(home / "runs" / "near") == []
        with pytest.raises(BusyError, match="runs on 'elsewhere'"):
            runs.kill(home, "far")
    assert process.read(folder)["state"] == "interrupted"
    runs.kill(home, "far")  # its number is somebody else's by now: this test goes on


def cli(home: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "asrdemo", "finetune", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ASRDEMO_HOME": str(home), "PYTHONPATH": str(TESTS), "STEPS": "5000"},
    )  # fmt: skip


def test_ctrl_c_in_the_terminal_saves_and_ends(home):
    (home / "r.yaml").write_text(json.dumps(RECIPE))
    terminal = cli(home, "start", home / "r.yaml", "--name", "mine", "--trainer", "stand_in_trainer")
    assert terminal.stdout and terminal.stdout.readline() == "begins at step 0 as process 0\n"
    waited(home, "mine", lambda run: run.step > 0)
    terminal.send_signal(signal.SIGINT)
    out, err = terminal.communicate(timeout=60)
    run = runs.read(home, "mine")
    assert terminal.returncode == 130 and run.state == "stopped"
    assert out == f"ends at step {run.step}\n" and "Ctrl-C again" in err and "Traceback" not in err


def test_the_command_line_starts_watches_and_stops(home, monkeypatch, capsys):
    monkeypatch.setenv("ASRDEMO_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("STEPS", "5000")
    (home / "r.yaml").write_text(json.dumps({**RECIPE, "smoke": {"seed": 77}}))

    def ran(*arguments: object) -> tuple[int, str]:
        code = main(["finetune", *map(str, arguments)])
        return code, capsys.readouterr().out

    assert main(["finetune", "status"]) == 1 and "There are no runs yet" in capsys.readouterr().err
    given = ("start", home / "r.yaml", "--smoke", "--minutes", 2, "--trainer", "stand_in_trainer", "--detach")
    code, out = ran(*given, "--json")
    told = json.loads(out)
    assert code == 0 and told["name"] == "a-small-run"
    made = recipes.load(home / "runs" / "a-small-run" / runs.RECIPE)
    assert (made.seed, made.batches.max_minutes) == (77, 2.0)
    waited(home, "a-small-run", lambda run: run.step > 5)
    (Path(told["folder"]) / "alerts.jsonl").write_text('{"step": 3, "kind": "spike", "sentence": "It leapt."}\n')
    with (Path(told["folder"]) / "metrics.jsonl").open("a") as out_file:
        out_file.write('{"step": 4, "eval_own_wer": 0.25, "grad_norm": NaN}\n')
    code, out = ran("status")
    assert code == 0 and "own 25.00 %" in out and "step 3: It leapt." in out and "of 5000" in out and " left" in out
    status = json.loads(ran("status", "a-small-run", "--json")[1])
    assert status["state"] == "running" and status["latest"]["grad_norm"] is None and status["alerts"][0]["step"] == 3
    assert "a-small-run" in ran("list")[1] and json.loads(ran("list", "--json")[1])[0]["name"] == "a-small-run"
    assert "begins at step 0" in ran("logs")[1]
    assert ran("stop", "a-small-run")[1].removeprefix("a-small-run: ") in ("stops after its next step\n", "stopped\n")
    waited(home, "a-small-run", over)
    assert ran("resume", "a-small-run", "--detach")[0] == 0
    assert ran("stop", "a-small-run", "--now")[1] == "a-small-run: interrupted\n"
    monkeypatch.setenv("STEPS", "1")
    code, out = ran("start", home / "r.yaml", "--name", "short", "--trainer", "stand_in_trainer")
    assert code == 0 and out.startswith("begins at step 0") and runs.read(home, "short").state == "complete"
    monkeypatch.setenv("ENDS", "fail")
    monkeypatch.setenv("STEPS", "9")
    assert main(["finetune", *map(str, given[:-1])]) == 1
    assert "is failed: The loss is not a number" in capsys.readouterr().err
