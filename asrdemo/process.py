"""Work in a process of its own: it outlives whoever started it and is found again by anyone who reads its folder.

    status.json   how far it is, written by the working process alone
    log.txt       what it printed
    *.lock        held as long as it lives: launch.lock from its birth (handed over by whoever starts it), status.lock
                  once it is at work, also where somebody started it by hand or a launcher stands between

No number of a process that is long gone is ever trusted: only a lock says that something lives. Asking to stop is a
file too, so that it reaches a process in another container or on another machine that shares the folder.

    python -m asrdemo.process FOLDER -- COMMAND...

waits until nothing that came earlier works beside FOLDER on this machine, and becomes COMMAND.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from asrdemo.errors import AsrDemoError, BusyError, ToolError
from asrdemo.files import write_json as write_json

State = Literal["queued", "running", "complete", "failed", "stopped", "interrupted", "damaged"]
"""stopped: it was asked to and said so. interrupted: it went away without a last word. damaged: its file is no use."""
STATUS, LOG, STOP, LAUNCHED, WORKING = "status.json", "log.txt", "stop", "launch.lock", "status.lock"
MOST_TEXT = 2000  # characters of a sentence or a log line that are kept
_MOST_JSON = 1 << 20  # bytes of a file like status.json; ours are far smaller
_ROOT = Path(__file__).resolve().parent.parent
_EVERY_S = 0.5  # how often a process says how far it is, at most, and looks whether it is its turn
_ENDING_S = 15.0  # a process that has said its last word may take so long until it is gone
_LOCK_VARIABLE = "ASRDEMO_LAUNCH_LOCK"  # the number of the open file that holds launch.lock
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\S\t ]|[\x00-\x08\x0e-\x1f\x7f]")


def claim(folder: Path) -> IO[bytes]:
    """The lock that a process of this folder is born with: for `launch`, taken before the folder is where others see
    it. Raises BusyError while its process lives."""
    patience = 0.0 if read(folder)["state"] in ("queued", "running") else _ENDING_S
    with suppress(BlockingIOError):
        lock = _take(folder / LAUNCHED, patience)
        try:
            _take(folder / WORKING, patience).close()  # it is the process itself that takes this one
        except BlockingIOError:
            lock.close()
            raise
        return lock
    raise BusyError(f"{folder.name!r} is running already. Stop it, or wait for it.")


def launch(
    folder: Path,
    command: Sequence[str],
    lock: IO[bytes],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    queued: bool = False,
    keep: Mapping[str, Any] | None = None,
) -> None:
    """Start a command that writes `Status(folder)`; with `queued`, as soon as it is its turn (see the module).

    lock: of `claim`; closed here. keep: what its status says from the first. Raises ToolError where the command cannot
    be started.
    """
    folder = folder.resolve()
    with lock:
        (folder / STOP).unlink(missing_ok=True)
        size = (folder / LOG).stat().st_size if (folder / LOG).exists() else 0
        said = {**(keep or {}), "log_from": size, "host": host(), "ticket": time.time_ns(), "updated": time.time()}
        write_json(folder / STATUS, {**said, "state": "queued" if queued else "running", "note": "starting"})
        waits = [sys.executable, "-m", "asrdemo.process", str(folder), "--"] if queued else []
        given = {**os.environ, **(environment or {})}
        given["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), given.get("PYTHONPATH"))))
        given |= {"PYTHONUNBUFFERED": "1", _LOCK_VARIABLE: str(lock.fileno())}
        try:
            with (folder / LOG).open("ab") as out:
                process = subprocess.Popen(
                    [*waits, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, env=given,
                    start_new_session=True, pass_fds=(lock.fileno(),),
                )  # fmt: skip
        except OSError as error:
            told = f"{Path(command[0]).name} cannot be started in {cwd.name!r}: {error.strerror}."
            write_json(folder / STATUS, {**said, "state": "failed", "error": told})
            raise ToolError(told) from error
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay as a zombie


def alive(folder: Path) -> bool:
    """Whether the folder's process lives."""
    return _held(folder / LAUNCHED) or _held(folder / WORKING)


def read(folder: Path) -> dict[str, Any]:
    """What status.json says, with the `state` that holds now; never raises for what a file holds."""
    living = alive(folder)  # before the status: what is not alive has said its last word by then
    missing = not (folder / STATUS).exists()  # before it is read, or one that just appears would seem damaged
    said = read_json(folder / STATUS)
    state = said.get("state")
    if state not in ("queued", "running", "complete", "failed", "stopped"):
        state = ("queued" if missing else "running") if living else ("interrupted" if missing else "damaged")
        said["error"] = "" if living or missing else f"{STATUS} is damaged; resume goes on from the last checkpoint."
    elif state in ("queued", "running") and not living:
        state = "interrupted"
    return {**said, "state": state}


def ask_to_stop(folder: Path) -> None:
    """Ask the process to end at the next good moment; nothing happens to one that is not alive."""
    if alive(folder):
        (folder / STOP).touch()


def kill(folder: Path) -> None:
    """End the process and all it started, at once. Raises BusyError where it lives on another machine.

    The numbers in its status count only if that process has one of the folder's locks open.
    """
    import psutil

    locks = {str((folder / name).resolve()) for name in (LAUNCHED, WORKING)}
    end = time.monotonic() + _ENDING_S
    while alive(folder):
        said = read_json(folder / STATUS)
        if said.get("host", host()) != host() or time.monotonic() > end:
            raise BusyError(f"{folder.name!r} runs on {said.get('host', 'another machine')!r}; end it there.")
        for number in set(pick(said, {"pid": 0, "launcher": 0}).values()) - {0, os.getpid()}:
            with suppress(psutil.Error):  # it has just ended
                process = psutil.Process(number)
                if locks & {file.path for file in process.open_files()}:
                    for one in (process, *process.children(recursive=True)):
                        one.kill()
        time.sleep(0.02)


class Status:
    """For the working process: says in its folder how far it is, and holds the lock while it lives.

    A context. It ends as `complete`; as `stopped` after KeyboardInterrupt, or once `stop_asked` was true; as `failed`
    with a sentence after any other error, which is not held back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mutex, self._last, self._phase = threading.Lock(), 0.0, ""
        self._state: State = "running"
        self._stopping = False
        self._told: dict[str, Any] = {}
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Status:
        """Raises BusyError where another process is at work in this folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = _take(self.folder / WORKING, 2.0)
        except BlockingIOError as error:
            raise BusyError(f"Another process is at work in {self.folder.name!r}. Wait for it, or stop it.") from error
        if not _adopt_launch_lock(self.folder / LAUNCHED) and not _held(self.folder / LAUNCHED):
            (self.folder / STOP).unlink(missing_ok=True)  # started by hand: what was asked of another is over
        gone = ("error", "left", "place")
        self._told = {k: v for k, v in read_json(self.folder / STATUS).items() if k not in gone}
        self.write("running", note="starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SystemExit) and not error.code:
            error = None
        with suppress(OSError):  # a full disk must not hide what went wrong; it reads as interrupted then
            if isinstance(error, KeyboardInterrupt):
                self.write("stopped", note="")
            elif error is not None:
                self.write("failed", error=_sentence(error), note="")
            elif self._state == "running":
                self.write("stopped" if self._stopping else "complete", note="")
        if self._lock is not None:
            self._lock.close()

    @property
    def stop_asked(self) -> bool:
        """Whether somebody wants the work to end early. Whoever asks and hears yes is expected to end it."""
        self._stopping = self._stopping or (self.folder / STOP).exists()
        return self._stopping

    def tell(self, phase: str, **more: Any) -> None:
        """Say how far it is: at once where the phase changes, otherwise twice a second at most. A full disk is no
        reason to end."""
        now = time.monotonic()
        with self._mutex:
            self._told |= more
            if phase == self._phase and now - self._last < _EVERY_S:
                return
            self._phase, self._last = phase, now
        with suppress(OSError):
            self.write("running")

    def write(self, state: State, **more: Any) -> None:
        """The state, and what else is known; what was told before stays."""
        with self._mutex:
            self._state = state
            self._told |= {key: value[:MOST_TEXT] if isinstance(value, str) else value for key, value in more.items()}
            now = {"state": state, "pid": os.getpid(), "host": host(), "updated": time.time()}
            write_json(self.folder / STATUS, {**self._told, **now})


def read_json(path: Path, most: int = _MOST_JSON) -> dict[str, Any]:
    """What a file of at most so many bytes says; nothing, if it is larger, is not there, was cut short by a power
    failure or is no such file."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(most))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def pick(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """For each key the value in `data` if it is of the same type as the default and finite, else the default; whole
    numbers may stand for fractions, texts are cut to MOST_TEXT."""
    out = dict(defaults)
    for key, default in defaults.items():
        value = data.get(key, default)
        if type(default) is float and type(value) is int:
            value = min(float(min(value, 2**62)), 2.0**62)
        if type(value) is type(default) and not (isinstance(value, float) and not math.isfinite(value)):
            out[key] = value[:MOST_TEXT] if isinstance(value, str) else value
    return out


def tail(path: Path, lines: int = 40, end: int | None = None) -> str:
    """The end of a log, or of its first `end` bytes: control characters and what a progress bar wrote over left out."""
    try:
        with path.open("rb") as file:
            size = min(file.seek(0, os.SEEK_END), sys.maxsize if end is None else end)
            start = max(0, size - max(1 << 16, 200 * lines))
            file.seek(start)
            text = file.read(size - start).decode("utf-8", errors="replace")
    except OSError:
        return ""
    found = text.rstrip("\n").split("\n")[1 if start else 0 :]
    return "\n".join(map(plain, found[-lines:])) if lines > 0 else ""


def plain(line: str) -> str:
    """A line of a log as a reader would see it in a terminal."""
    return _CONTROL.sub("", line.rstrip("\r\n").rpartition("\r")[2])[:MOST_TEXT]


def host() -> str:
    """This machine's name, as status files have it."""
    return socket.gethostname()


def _sentence(error: BaseException) -> str:
    """What to say of an error: ours as they are, of others the kind and the first line."""
    if isinstance(error, AsrDemoError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


_OPEN: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()
_ADOPTED: list[IO[bytes]] = []  # held until the process is gone: the memory it takes is free only then


def _close_in_child() -> None:
    """A forked worker that outlives its parent must not seem to be it."""
    for lock in list(_OPEN):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)


def _take(path: Path, patience: float) -> IO[bytes]:
    """The lock. Raises BlockingIOError where another process holds it for longer than so many seconds."""
    lock = path.open("ab")
    end = time.monotonic() + max(patience, 0.2)  # whoever asks holds it too, for an instant
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                lock.close()
                raise
            time.sleep(0.01)
        else:
            _OPEN.add(lock)
            return lock


def _held(path: Path) -> bool:
    """Whether a process holds the lock. Shared with others who ask, not with the holder."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _adopt_launch_lock(path: Path) -> bool:
    """Whether this process was born with the lock; its children are not to have it."""
    try:
        number = int(os.environ.pop(_LOCK_VARIABLE, "-1"))
        if not os.path.samestat(os.fstat(number), path.stat()):
            return False  # a launcher's: the number means another file here
        os.set_inheritable(number, False)
        lock = os.fdopen(number, "ab")
    except (ValueError, OverflowError, OSError):
        return False
    _OPEN.add(lock)
    _ADOPTED.append(lock)
    return True


def ahead(folder: Path) -> list[str]:
    """Names of the folders beside this one whose processes go first on this machine: at work, or waiting for longer."""
    mine = read_json(folder / STATUS)
    own = (pick(mine, {"ticket": 0})["ticket"], folder.name)
    waiting, working = [], []
    for other in folder.parent.iterdir():
        if other.name == folder.name or other.name.startswith(".") or not alive(other):
            continue
        said = read_json(other / STATUS)
        if said.get("host", host()) != host():
            continue  # a folder that several machines share
        if said.get("elsewhere") is True:
            continue  # it only watches what another machine does
        if said.get("state") != "queued":
            working.append(other.name)  # also one that is just ending: its memory is not free yet
        elif (their := (pick(said, {"ticket": 0})["ticket"], other.name)) < own:
            waiting.append(their)
    return [*working, *(name for _, name in sorted(waiting))]


@contextmanager
def deciding(parent: Path) -> Iterator[None]:
    """Only one process at a time decides which of the folders in `parent` may begin to work."""
    with (parent / ".queue.lock").open("ab") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        yield


def _wait(folder: Path) -> bool:
    """Until it is this folder's turn; False if it was taken back."""
    said = read_json(folder / STATUS) | {"pid": os.getpid(), "launcher": os.getpid(), "host": host()}

    def write(**more: Any) -> None:
        said.update(more, updated=time.time())
        write_json(folder / STATUS, said)

    told: list[str] = []
    while not (folder / STOP).exists():
        with deciding(folder.parent):
            others = ahead(folder)
            if not others:
                write(state="running", note="starting", place=0)
                return True
        if others != told:
            told = others
            write(place=len(others), note=f"waits for {others[0]}")
        time.sleep(_EVERY_S)
    write(state="stopped", note="taken back before it began", place=0)
    return False


def main(argv: Sequence[str]) -> None:
    """`FOLDER -- COMMAND...`: wait for the turn, then become the command."""
    folder, command = Path(argv[0]), list(argv[2:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: (folder / STOP).touch())
    if _wait(folder):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
