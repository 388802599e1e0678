"""Evaluations that run in a process of their own: started from a page, watched by any, gone on with after a stop.

A job is a folder `<home>/jobs/<id>/` with `job.json` (what was asked), `status.json` (how far it is) and `log.txt`; the
process itself writes the status and holds a lock beside it for as long as it lives, so whoever reads the folder knows
the state: a page that was closed or an app that was started again finds its jobs, and no number of a process that is
long gone is ever trusted. Of the jobs that are over, whatever became of them, the newest ones stay, KEPT in all with
the one that starts; results are kept elsewhere and stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from asrdemo.errors import AsrDemoError, BusyError, NotFoundError, ResultError
from asrdemo.types import Progress
from evals.results import write_json

State = Literal["running", "complete", "failed", "stopped"]
JOB, STATUS, LOG, LOCK = "job.json", "status.json", "log.txt", "status.lock"
KEPT = 50  # jobs whose folders stay
_EVERY_S = 0.5  # how often a process writes how far it is, at most
_START_S = 30.0  # how long a process may take until it holds its lock; a busy machine imports slowly


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
    job = read(home, id)
    if job.state == "running":
        with suppress(ProcessLookupError, KeyError):  # it has just ended, or not begun
            os.killpg(_json(job.folder / STATUS)["pid"], signal.SIGINT)


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
    running = _held(folder)  # before the status: what is not running has said its last word by then
    record, said = _json(folder / JOB), _json(folder / STATUS)
    if not {"arguments", "started"} <= record.keys():
        return Job(id, folder, (), "failed", error=f"{JOB} is damaged; start the evaluation again.")
    state: State = said.get("state", "running")
    if state == "running" and not running:
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
    """For the process of a job: says in a file how far it is, and holds the lock beside it while it lives."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock: IO[bytes] = path.with_suffix(".lock").open("ab")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # A shell that starts an app in the background has it ignore SIGINT, and so its children
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.write("running")

    def __enter__(self) -> Status:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Says how it ended where it did not end well: also by a fault of ours, or for want of memory or disk."""
        if isinstance(error, KeyboardInterrupt):
            self.write("stopped")
        elif error is not None:
            told = str(error) if isinstance(error, AsrDemoError) else f"{type(error).__name__}: {error}"
            self.write("failed", error=told)

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
        """The state, and what else is known; of what is over, also the progress last told."""
        before = {} if state == "running" else _json(self._path)
        write_json(self._path, {**before, "state": state, "pid": os.getpid(), **more})


def _launch(home: Path, folder: Path, arguments: tuple[str, ...], started: float) -> Job:
    command = [sys.executable, "-m", "evals", "run", *arguments, "--status", str((folder / STATUS).resolve())]
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "ASRDEMO_HOME": str(home.resolve())}
    with _one_at_a_time(home):
        _prune(home, folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATUS).unlink(missing_ok=True)
        write_json(folder / JOB, {"arguments": list(arguments), "started": started})
        with (folder / LOG).open("ab") as out:
            process = subprocess.Popen(  # a session of its own: it outlives the page, and the app
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=root, env=environment,
                start_new_session=True,
            )  # fmt: skip
        _CHILDREN.append(process)
        end = time.monotonic() + _START_S
        while process.poll() is None and not (folder / STATUS).exists():
            if time.monotonic() > end:
                process.kill()
                raise ResultError("The evaluation did not start in time: this machine is too busy. Try again.")
            time.sleep(0.02)
        if not (folder / STATUS).exists():
            said = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            write_json(folder / STATUS, {"state": "failed", "error": said or "It ended before it began."})
    return read(home, folder.name)


def _prune(home: Path, folder: Path) -> None:
    """Make room for the job in `folder`, which may be an old one that goes on. Only while no job can start."""
    over = [job for job in jobs(home) if job.state != "running" and job.folder != folder]
    for job in over[KEPT - 1 :]:
        shutil.rmtree(job.folder, ignore_errors=True)  # what cannot be deleted keeps no evaluation from starting


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Also of several apps with one home. Raises BusyError where a job is running."""
    (home / "jobs").mkdir(parents=True, exist_ok=True)
    with (home / "jobs" / LOCK).open("ab") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        running = [job for job in jobs(home) if job.state == "running"]
        if running:
            raise BusyError(f"An evaluation is running already ({running[0].command}). Stop it, or wait for it.")
        yield


_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Those that this process started; asked after, so that they do not stay as zombies."""


def _held(folder: Path) -> bool:
    """Whether the job's process lives. Shared with others who ask, not with the process."""
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _json(path: Path) -> dict[str, Any]:
    """What a file says; nothing, if it is not there or was cut short by a power failure."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
