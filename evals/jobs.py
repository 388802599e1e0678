"""Evaluations that run in a process of their own: started from a page, watched by any, gone on with after a stop.

A job is a folder `<home>/jobs/<id>/` with `job.json` (what was asked) and what asrdemo.process keeps there: a page that
was closed or an app that was started again finds its jobs. One runs at a time. Of the jobs that are over, whatever
became of them, the newest ones stay, KEPT in all with the one that starts; results are kept elsewhere and stay.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from asrdemo import process
from asrdemo.errors import BusyError, NotFoundError
from asrdemo.files import write_json
from asrdemo.types import Progress

State = Literal["running", "complete", "failed", "stopped"]
JOB, STATUS, LOG, LOCK = "job.json", process.STATUS, process.LOG, process.WORKING
KEPT = 50  # jobs whose folders stay
_ROOT = Path(__file__).resolve().parents[1]
_LOOK_S = 0.2  # how often a job looks whether it is to stop
_HERE: dict[process.State, State] = {
    "queued": "running", "running": "running", "complete": "complete", "failed": "failed", "stopped": "stopped",
    "interrupted": "stopped", "damaged": "stopped",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """arguments: of `python -m evals run`. state: stopped is also what went away without a last word; `resume` goes on.

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
        return command_line(self.arguments)


def command_line(arguments: Sequence[str]) -> str:
    """What to type for a run with these arguments, quoted for a shell."""
    return shlex.join(["python", "-m", "evals", "run", *arguments])


def start(home: Path, arguments: Sequence[str]) -> Job:
    """Start `python -m evals run ARGUMENTS`; the oldest jobs beyond KEPT leave, never one that runs.

    Raises BusyError while another job runs: they would slow each other.
    """
    folder = home / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    return _launch(home, folder, tuple(arguments), time.time())


def resume(home: Path, id: str) -> Job:
    """Go on with a job that stopped or failed; what it had done is not done again. Raises as `start` does."""
    job = read(home, id)
    return _launch(home, job.folder, job.arguments, job.started)


def stop(home: Path, id: str) -> None:
    """Ask a job to stop, as Ctrl-C would; nothing happens to one that is not running."""
    process.ask_to_stop(read(home, id).folder)


def jobs(home: Path) -> list[Job]:
    """All jobs, latest first."""
    found = []
    for path in sorted((home / "jobs").glob(f"*/{JOB}"), reverse=True):
        with suppress(NotFoundError):  # it has just been pruned
            found.append(read(home, path.parent.name))
    return found


def read(home: Path, id: str) -> Job:
    """A job as it stands now. Raises NotFoundError."""
    folder = home / "jobs" / id
    if not id or Path(id).name != id or not (folder / JOB).is_file():
        raise NotFoundError(f"There is no evaluation {id!r}.")
    said = process.read(folder)
    asked = process.pick(process.read_json(folder / JOB), {"arguments": [], "started": 0.0})
    if not asked["arguments"]:
        return Job(id, folder, (), "failed", error=f"{JOB} is damaged; start the evaluation again.")
    state = _HERE[said["state"]]
    told = process.pick(said, {"done": 0, "total": 0, "note": "", "result": "", "error": ""})
    if state == "stopped" and "ticket" in said and "pid" not in said:  # it was launched, and never got to its Status
        state, told["error"] = "failed", process.tail(folder / LOG, 1) or "It ended before it began."
    return Job(id, folder, tuple(asked["arguments"]), state, started=asked["started"], **told)


def log(job: Job, lines: int = 40) -> str:
    """The end of what the process printed."""
    return process.tail(job.folder / LOG, lines)


class Status(process.Status):
    """For the process of a job. Whoever asks it to stop interrupts it as Ctrl-C would, whatever it is at: the next
    clips may be minutes away."""

    def __enter__(self) -> Status:
        super().__enter__()
        # A shell that starts an app in the background has it ignore SIGINT, and so its children
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        super().__exit__(kind, error, trace)

    def progress(self, also: Progress | None = None) -> Progress:
        """A callable for `evaluate`; tells `also` too."""

        def report(done: int, total: int, note: str) -> None:
            if also is not None:
                also(done, total, note)
            self.tell(note, done=done, total=total, note=note)

        return report

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            if self.stop_asked:
                os.kill(os.getpid(), signal.SIGINT)
                return


def _launch(home: Path, folder: Path, arguments: tuple[str, ...], started: float) -> Job:
    command = [sys.executable, "-m", "evals", "run", *arguments, "--status", str(folder.resolve())]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with process.deciding(folder.parent):  # also among several apps with one home
        running = [job for job in jobs(home) if job.state == "running"]
        if running:
            raise BusyError(f"An evaluation is running already ({running[0].command}). Stop it, or wait for it.")
        _prune(home, folder)
        folder.mkdir(exist_ok=True)
        lock = process.claim(folder)
        write_json(folder / JOB, {"arguments": list(arguments), "started": started})
        process.launch(folder, command, lock, cwd=_ROOT, environment={"ASRDEMO_HOME": str(home.resolve())})
    return read(home, folder.name)


def _prune(home: Path, folder: Path) -> None:
    """Make room for the job in `folder`, which may be an old one that goes on. Only while no job can start."""
    over = [job for job in jobs(home) if job.state != "running" and job.folder != folder]
    for job in over[KEPT - 1 :]:
        shutil.rmtree(job.folder, ignore_errors=True)  # what cannot be deleted keeps no evaluation from starting
