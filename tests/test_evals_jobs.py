"""evals.jobs: evaluations that outlive the page and the app; evals.catalogue: the results that pages choose from."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asrdemo.errors import BusyError, NotFoundError, ResultError
from evals import jobs, simulate
from evals.catalogue import Catalogue
from evals.cli import main, runs
from evals.results import write_json

ROOT = Path(__file__).resolve().parent.parent
RUN = ["--checkpoint", "demo-en", "--corpus", "demo-corpus", "--split", "test", "--decoder", "greedy"]


def waited(home: Path, id: str, until, seconds: float = 240) -> jobs.Job:
    """The job as soon as `until` holds of it."""
    end = time.monotonic() + seconds
    while not until(job := jobs.read(home, id)):
        assert time.monotonic() < end, f"{job}\n{jobs.log(job)}"
        time.sleep(0.05)
    return job


def test_a_job_is_stopped_killed_and_gone_on_with_to_a_whole_result(tmp_path):
    job = jobs.start(tmp_path, [*RUN, "--workers", "1"])
    with pytest.raises(BusyError, match="running already"):
        jobs.start(tmp_path, RUN)
    with pytest.raises(BusyError):
        jobs.resume(tmp_path, job.id)
    heard = waited(tmp_path, job.id, lambda j: j.note == "clips" and j.done > 0 or j.state != "running")
    assert (heard.state, heard.total) == ("running", 316)
    jobs.stop(tmp_path, job.id)
    assert waited(tmp_path, job.id, lambda j: j.state != "running").state == "stopped"

    jobs.resume(tmp_path, job.id)
    waited(tmp_path, job.id, lambda j: j.total > 0 or j.state != "running")
    os.killpg(json.loads((tmp_path / "jobs" / job.id / jobs.STATUS).read_text())["pid"], signal.SIGKILL)
    assert waited(tmp_path, job.id, lambda j: j.state != "running").state == "stopped", "it cannot say so itself"

    jobs.resume(tmp_path, job.id)
    done = waited(tmp_path, job.id, lambda j: j.state != "running")
    assert done.state == "complete", jobs.log(done)
    found = Catalogue([tmp_path]).get(done.result)
    assert found.complete and found.info["clips"] == 316
    assert [j.id for j in jobs.jobs(tmp_path)] == [job.id]


def test_a_job_that_fails_says_why(tmp_path):
    job = jobs.start(tmp_path, ["--checkpoint", "demo-en", "--corpus", "demo-corpus", "--split", "nowhere"])
    failed = waited(tmp_path, job.id, lambda j: j.state != "running")
    assert failed.state == "failed" and "nowhere" in failed.error
    assert failed.error in jobs.log(failed) and "Traceback" not in jobs.log(failed)
    assert failed.command.startswith("python -m evals run --checkpoint demo-en")


def test_an_app_in_the_background_of_a_script_can_stop_its_jobs(tmp_path):
    """A shell has such an app, and what it starts, ignore SIGINT."""
    code = f"from evals import jobs; from pathlib import Path; print(jobs.start(Path({str(tmp_path)!r}), {RUN!r}).id)"
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {code}"
    id = subprocess.run([sys.executable, "-c", ignoring], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    waited(tmp_path, id, lambda j: j.note == "clips" or j.state != "running")
    jobs.stop(tmp_path, id)
    assert waited(tmp_path, id, lambda j: j.state != "running").state == "stopped", "and it outlived that app"


def test_of_two_that_start_at_once_one_runs_and_says_what_kept_it_from_beginning(tmp_path):
    def start() -> jobs.Job | BusyError:
        try:
            return jobs.start(tmp_path, ["--no-such-option"])
        except BusyError as error:
            return error

    with ThreadPoolExecutor() as both:
        told = list(both.map(lambda _: start(), range(2)))
    assert sorted(type(one).__name__ for one in told) == ["BusyError", "Job"]
    (job,) = jobs.jobs(tmp_path)
    failed = waited(tmp_path, job.id, lambda j: j.state != "running")
    assert failed.state == "failed" and failed.error in jobs.log(failed)
    assert "--checkpoint" in failed.error, "the last line that it printed"


def test_whoever_keeps_a_status_is_interrupted_whatever_it_is_at(tmp_path):
    folder = tmp_path / "jobs" / "by-hand"
    folder.mkdir(parents=True)
    write_json(folder / jobs.JOB, {"arguments": RUN, "started": 1.0})
    code = (
        "import sys, time; from pathlib import Path; from evals.jobs import Status\n"
        "with Status(Path(sys.argv[1])) as status:\n"
        "    status.progress()(3, 9, 'clips'); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        waited(tmp_path, "by-hand", lambda j: j.done == 3)
        with pytest.raises(BusyError):
            jobs.start(tmp_path, RUN)
        jobs.stop(tmp_path, "by-hand")
        process.wait(20)
    stopped = jobs.read(tmp_path, "by-hand")
    assert (stopped.state, stopped.done, stopped.total, stopped.error) == ("stopped", 3, 9, "")


@pytest.mark.parametrize(("rank", "speaks"), [("0", True), ("1", False)])
def test_of_the_processes_of_a_launcher_the_first_keeps_the_status(tmp_path, monkeypatch, rank, speaks):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = []
    monkeypatch.setattr(runs, "_run", lambda args, share, *told: asked.append(share) or 0)
    kept = signal.getsignal(signal.SIGINT)
    try:
        assert main(["run", *RUN, "--status", str(tmp_path / "told")]) == 0
    finally:
        signal.signal(signal.SIGINT, kept)
    assert asked == [(int(rank) + 1, 2)]
    assert (tmp_path / "told" / jobs.STATUS).exists() == speaks


def test_only_its_lock_says_that_a_job_lives(tmp_path):
    folder = tmp_path / "jobs" / "old"
    folder.mkdir(parents=True)
    write_json(folder / jobs.JOB, {"arguments": RUN, "started": 1.0})
    write_json(folder / jobs.STATUS, {"state": "running", "pid": os.getpid(), "done": 3, "total": 9})
    old = jobs.read(tmp_path, "old")
    assert (old.state, old.done) == ("stopped", 3)
    jobs.stop(tmp_path, "old")  # or this test would end here
    for name in ("", "..", "none", "old/../old"):
        with pytest.raises(NotFoundError):
            jobs.read(tmp_path, name)


def test_a_damaged_job_keeps_no_other_back(tmp_path):
    (tmp_path / "jobs" / "cut").mkdir(parents=True)
    (tmp_path / "jobs" / "cut" / jobs.JOB).write_text("")
    (job,) = jobs.jobs(tmp_path)
    assert job.state == "failed" and "damaged" in job.error


def over(home: Path, name: str, state: str = "complete") -> Path:
    """The folder of a job that is no longer running, as its process would leave it."""
    folder = home / "jobs" / name
    folder.mkdir(parents=True)
    write_json(folder / jobs.JOB, {"arguments": RUN, "started": 1.0})
    write_json(folder / jobs.STATUS, {"state": state, "result": "kept"})
    return folder


def test_of_the_jobs_that_are_over_the_newest_stay(tmp_path):
    """Whatever became of them; the one that is gone on with stays however old it is, and so do results."""
    names = [f"2026-{i:03d}" for i in range(jobs.KEPT + 5)]
    for i, name in enumerate(names):
        over(tmp_path, name, ("complete", "failed", "stopped", "running")[i % 4])  # the last: killed, without a word
    result = tmp_path / "results" / "kept"
    result.mkdir(parents=True)
    jobs.resume(tmp_path, names[1])
    jobs.stop(tmp_path, names[1])
    assert [j.id for j in jobs.jobs(tmp_path)] == [*reversed(names[6:]), names[1]]
    assert len(jobs.jobs(tmp_path)) == jobs.KEPT and result.is_dir()
    waited(tmp_path, names[1], lambda j: j.state != "running")


def test_a_job_that_runs_is_never_pruned(tmp_path):
    """Its folder is the oldest of too many, and its process lives."""
    folder = over(tmp_path, "2025", "running")
    for i in range(jobs.KEPT + 5):
        over(tmp_path, f"2026-{i:03d}")
    with (folder / jobs.LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            jobs.start(tmp_path, RUN)
        assert len(jobs.jobs(tmp_path)) == jobs.KEPT + 6, "nothing is pruned where nothing starts"
        jobs._prune(tmp_path, tmp_path / "jobs" / "new")
        assert jobs.read(tmp_path, "2025").state == "running"
    assert len(jobs.jobs(tmp_path)) == jobs.KEPT


def test_results_of_all_homes_are_loaded_once_and_left_out_again(tmp_path):
    made = simulate.simulate(simulate.Recipe(speakers=20), 0)
    for home, name in (("a", "one"), ("a", "two"), ("b", "two"), ("b", "three")):
        simulate.write(tmp_path / home / "results" / name, simulate.rows(made))
    both = Catalogue([tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert sorted(r.name for r in both.all()) == ["one", "three", "two"]
    assert both.get("two").folder.parent.parent.name == "a"
    with pytest.raises(NotFoundError, match="four.*one"):
        both.get("four")
    assert both.scored(["one", "two"]) is both.scored(["one", "two"])
    assert both.scored(["two"]).runs == ("two",)

    few = Catalogue([tmp_path / "a"], most_clips=1)
    first = few.scored(["one"])
    few.scored(["two"])
    assert few.scored(["one"]) is not first, "the least recently used one leaves"

    info = json.loads((tmp_path / "a" / "results" / "one" / "run.json").read_text())
    write_json(tmp_path / "a" / "results" / "one" / "run.json", {**info, "state": "running"})
    assert [r.name for r in few.complete()] == ["two"]
    with pytest.raises(ResultError, match="not finished"):
        few.scored(["one"])
    (tmp_path / "a" / "results" / "two" / "rows.parquet").unlink()
    with pytest.raises(ResultError, match="lost its rows"):
        few.scored(["two"])
