"""Evaluations that run in a process of their own: started from a page, watched by any, gone on with after a stop.

A job is a folder `<home>/jobs/<id>/` with `job.json` (what was asked, the process), `status.json` (how far it is;
written by the process itself, see `python -m evals run --status`) and `log.txt`. Nothing else is kept: whoever reads
the folder knows the state, so a page that was closed or an app that was started again finds its jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asrdemo.errors import BusyError, NotFoundError
from asrdemo.types import Progress
from evals.results import write_json

State = Literal["running", "complete", "failed", "stopped"]
JOB, STATUS, LOG = "job.json", "status.json", "log.txt"
_STARTING = threading.Lock()
_EVERY_S = 0.5  # how often a process writes how far it is, at most


@dataclass(frozen=True)
class Job:
    """arguments: of `python -m evals run`. state: stopped is what went away without a last word; `resume` goes on.

    done, total, note: the progress last told. result: name of the finished result, else "". error: why it failed.
    started: UNIX time.
    """

    id: str
    folder: Path
    arguments: tuple[str, ...]
    state: State
    done: int = 0
    total: int = 0
    note: str = ""
    result: str = ""
    error: str = ""
    started: float = 0.0

    @property
    def command(self) -> str:
        """What to type for the same run."""
        import shlex

        return shlex.join(["python", "-m", "evals", "run", *self.arguments])


def start(home: Path, arguments: Sequence[str]) -> Job:
    """Start `python -m evals run ARGUMENTS`. Raises BusyError while another job runs: they would slow each other."""
    folder = home / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    return _launch(home, folder, tuple(arguments), time.time())


def resume(home: Path, id: str) -> Job:
    """Go on with a job that stopped or failed; what it had done is not done again. Raises as `start` does."""
    job = read(home, id)
    return _launch(home, job.folder, job.arguments, job.started)


def stop(home: Path, id: str) -> None:
    """Ask a job to stop, as Ctrl-C would; nothing happens to one that is not running."""
    job = read(home, id)
    if job.state == "running":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_record(job.folder)["pid"], signal.SIGINT)


def jobs(home: Path) -> list[Job]:
    """All jobs, latest first."""
    folders = sorted((home / "jobs").glob(f"*/{JOB}"), reverse=True)
    return [read(home, path.parent.name) for path in folders]


def read(home: Path, id: str) -> Job:
    """A job as it stands now. Raises NotFoundError."""
    folder = home / "jobs" / id
    if not id or Path(id).name != id or not (folder / JOB).is_file():
        raise NotFoundError(f"There is no evaluation {id!r}.")
    record, said = _record(folder), _json(folder / STATUS)
    state: State = said.get("state", "running")
    if state == "running" and not _alive(record):
        state = "stopped"
    told = {name: said[name] for name in ("done", "total", "note", "result", "error") if name in said}
    return Job(id, folder, tuple(record["arguments"]), state, started=record["started"], **told)


def log(job: Job, lines: int = 40) -> str:
    """The end of what the process printed."""
    try:
        text = (job.folder / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class Status:
    """Writes how far a run is, for whoever watches the file."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, 0.0

    def progress(self, also: Progress | None = None) -> Progress:
        """A callable for `evaluate`; tells `also` too."""

        def report(done: int, total: int, note: str) -> None:
            if also is not None:
                also(done, total, note)
            now = time.monotonic()
            if now - self._last >= _EVERY_S or done == total:
                self._last = now
                self.write("running", done=done, total=total, note=note)

        return report

    def write(self, state: State, **more: Any) -> None:
        """The state, and what else is known."""
        write_json(self._path, {**(_json(self._path) if state != "running" else {}), "state": state, **more})


def _launch(home: Path, folder: Path, arguments: tuple[str, ...], started: float) -> Job:
    command = [sys.executable, "-m", "evals", "run", *arguments, "--status", str(folder / STATUS)]
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "ASRDEMO_HOME": str(home.resolve())}
    with _STARTING:
        running = [job for job in jobs(home) if job.state == "running"]
        if running:
            raise BusyError(f"An evaluation is running already ({running[0].command}). Stop it, or wait for it.")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATUS).unlink(missing_ok=True)
        with (folder / LOG).open("ab") as out:
            process = subprocess.Popen(  # a session of its own: it outlives the page, and the app
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=root, env=environment,
                start_new_session=True,
            )  # fmt: skip
        _CHILDREN[process.pid] = process
        record = {"arguments": list(arguments), "started": started, "pid": process.pid, "born": _born(process.pid)}
        write_json(folder / JOB, record)
    return read(home, folder.name)


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Those that this process started; asked after, so that they do not stay as zombies."""


def _record(folder: Path) -> dict[str, Any]:
    return _json(folder / JOB)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _alive(record: dict[str, Any]) -> bool:
    """Whether the process is there, and is not another one that got its number later."""
    child = _CHILDREN.get(record["pid"])
    if child is not None:
        return child.poll() is None
    return record["born"] is not None and _born(record["pid"]) == record["born"]


def _born(pid: int) -> float | None:
    """When a process began, None where it is gone or a zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
