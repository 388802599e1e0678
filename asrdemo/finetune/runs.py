"""Training runs: directories that anyone may watch, and that outlive the page, the app and the machine's next start.

A run is `<home>/runs/<name>/` with recipe.yaml (as given), run.json (who started it, when, how) and what the process
of asrdemo.process and the trainer write. One run at a time trains on a machine; those that come later wait their turn,
each in its own small process, whatever becomes of the app. The trainer says how far it is through `Live`.
"""

from __future__ import annotations

import codecs
import errno
import getpass
import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import IO, Any

import yaml

from asrdemo import process
from asrdemo.errors import ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import records, schema
from asrdemo.finetune.journal import ALERTS, METRICS, SAMPLES
from asrdemo.finetune.live import Live as Live
from asrdemo.process import State

RECIPE, SETTLED, RECORD = "recipe.yaml", "recipe.json", "run.json"
TRAINER = "asrdemo.finetune.train"
_ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_RECIPE = 1 << 20  # bytes; the longest of ours has a few thousand
_MOST_PROCESSES = 64


@dataclass(frozen=True)
class Run:
    """A run as it stands.

    step, steps: of the whole run, steps 0 where only the clock ends it; seconds: at work, in all sittings; sitting: how
    often it was begun or gone on with; log_from: bytes of the log from earlier ones. note: what it does now; error: why
    it failed, or what is damaged. place: in the queue, 1 is next, 0 not told yet; ticket: when it came there, in ns.
    left: seconds to go as told at `updated`, -1 unknown (see `eta`). stopping: it was asked to stop. started, updated:
    UNIX time. parent: the run it is a changed copy of. anyway: it starts even where the look-over forbids to.
    """

    name: str
    folder: Path
    state: State
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    note: str = ""
    error: str = ""
    place: int = 0
    ticket: int = 0
    left: float = -1.0
    updated: float = 0.0
    sitting: int = 1
    log_from: int = 0
    stopping: bool = False
    host: str = ""
    started: float = 0.0
    who: str = ""
    parent: str = ""
    backend: str = "local"
    processes: int = 1
    anyway: bool = False

    @property
    def active(self) -> bool:
        """Whether it trains or waits to."""
        return self.state in ("queued", "running")

    @property
    def command(self) -> str:
        """What to type for another run of this recipe."""
        many = ["--processes", str(self.processes)] if self.processes > 1 else []
        start = ["python", "-m", "asrdemo", "finetune", "start", _shown(self.folder / RECIPE)]
        return self._line([*start, *many, *["--anyway"] * self.anyway])

    @property
    def trainer_command(self) -> str:
        """What to type for the trainer itself, without the queue: as it is, on a cluster or over several machines."""
        record = process.read_json(self.folder / RECORD)
        line = self._line(["python", *_trainer(Path(_shown(self.folder)), record, resume=False)])
        return line.replace("python -m accelerate.commands.launch", "accelerate launch", 1)

    def _line(self, arguments: list[str]) -> str:
        """As for a shell, with the variables it needs."""
        home = self.folder.resolve().parents[1]
        given = _environment(process.read_json(self.folder / RECORD))
        given |= {"ASRDEMO_HOME": str(home)} if home != _ROOT / ".asrdemo" else {}
        return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in given.items()), shlex.join(arguments)])


def start(
    home: Path,
    recipe: Path | str | Mapping[str, Any],
    name: str = "",
    *,
    resume: bool = False,
    processes: int = 1,
    environment: Mapping[str, str] | None = None,
    parent: str = "",
    who: str = "",
    backend: str = "local",
    job: Mapping[str, Any] | None = None,
    anyway: bool = False,
    _trainer: str = TRAINER,
) -> Run:
    """Make a run directory and start its process, which trains as soon as the machine is free.

    recipe: a file, or its content. name: of the run; the recipe's, numbered where that is taken, if left out. resume:
    go on with the run of that name where there is one. environment: beside this process's own; kept in run.json, so
    nothing secret. backend, job: of one that trains elsewhere (asrdemo.finetune.backends); it waits for nothing here,
    and nothing waits for it. anyway: train even where the look-over before it forbids to; kept, so it holds for every
    resume. Raises ConfigError for a recipe or name that is no good, TrainingError where the name is taken.
    """
    if name and resume and (home / "runs" / _safe(name)).is_dir():
        return _go_on(home, name, anyway)
    text, known_as = _checked(recipe)
    if not 1 <= processes <= _MOST_PROCESSES:
        raise ConfigError(f"processes is {processes}; expected 1 to {_MOST_PROCESSES}.")
    record = {
        "started": time.time(), "who": who or _user(), "parent": parent, "backend": backend, "host": process.host(),
        "processes": processes, "environment": dict(environment or {}), "trainer": _trainer, "cwd": str(Path.cwd()),
    } | ({"job": dict(job)} if job else {}) | ({"anyway": True} if anyway else {})  # fmt: skip
    folder, lock = _new_folder(home / "runs", name, known_as, text, record)
    _launch(folder, lock, home, resume=False)
    return read(home, folder.name)


def resume(home: Path, name: str, *, anyway: bool = False) -> Run:
    """Go on from the last checkpoint, or from the start where there is none yet; waits its turn as a new run does.

    anyway: as for `start`, from now on. Raises TrainingError for a run that is complete, BusyError for one that is not
    over, NotFoundError.
    """
    return _go_on(home, name, anyway)


def stop(home: Path, name: str) -> Run:
    """Ask a run to save a checkpoint and end, or take it out of the queue. Asking twice changes nothing."""
    process.ask_to_stop(read(home, name).folder)
    return read(home, name)


def kill(home: Path, name: str) -> Run:
    """End a run at once, with all its processes; what came after the last checkpoint is lost. Raises BusyError where it
    runs on another machine."""
    run = read(home, name)
    process.kill(run.folder)
    if run.active and run.backend == "jobs":  # or it would go on, and cost
        from asrdemo.finetune import backends

        backends.cancel(home, name)
    return read(home, name)


def clone(home: Path, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a run with some keys changed, tables key by key: to look at, and to `start` with `parent=name`.

    Raises NotFoundError, or ConfigError where the outcome is no recipe.
    """
    data = schema.merged(schema.read_yaml(read(home, name).folder / RECIPE), dict(changes))
    data.pop("smoke", None)
    recipes.from_dict(data, f"{name} with changes")
    return data


def read(home: Path, name: str) -> Run:
    """A run as it stands now. Raises NotFoundError; a damaged file is a state, not an error."""
    folder = home / "runs" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise NotFoundError(f"There is no run {name[:100]!r}.")
    said, record = process.read(folder), process.read_json(folder / RECORD)
    state: State = said["state"]
    defaults = {f.name: f.default for f in fields(Run) if f.default is not MISSING}
    known = process.pick(said | record | {"host": said.get("host", "")}, defaults)
    known["stopping"] = state in ("queued", "running") and (folder / process.STOP).exists()
    if not record:
        known["error"] = f"{RECORD} is missing or damaged; clone the run to train again."
        state = state if state in ("queued", "running") else "damaged"
    elif state == "interrupted" and not known["error"]:
        known["error"] = "The process went away without a last word; resume goes on from the last checkpoint."
    if state not in ("queued", "running"):
        known |= {"place": 0, "left": -1.0}
    return Run(name, folder, state, **known)


def recipe_of(folder: Path) -> recipes.Recipe:
    """The recipe of a run: as settled for its base where training began, else as given. Raises ConfigError."""
    path = next((folder / name for name in (SETTLED, RECIPE) if (folder / name).is_file()), folder / RECIPE)
    data = schema.read_yaml(path)  # JSON is YAML too
    data.pop("smoke", None)
    return recipes.from_dict(data, f"{path.name} of the run {folder.name!r}")


def runs(home: Path) -> list[Run]:
    """All runs, newest first."""
    try:
        names = [path.name for path in (home / "runs").iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    return sorted((read(home, name) for name in names), key=lambda run: (run.started, run.name), reverse=True)


def queue(home: Path) -> list[Run]:
    """What trains, then what waits for it in the order of its turn; of all machines that share this home."""
    return sorted(
        (run for run in runs(home) if run.active), key=lambda run: (run.state == "queued", run.place or 1 << 30)
    )


def eta(run: Run) -> float | None:
    """Seconds until it is done, from the pace of this sitting; None where nobody can tell."""
    return max(0.0, run.left - (time.time() - run.updated)) if run.state == "running" and run.left >= 0 else None


def metrics(run: Run, since: int = 0) -> records.Lines:
    """The records that came after `since` (the offset of the call before), 4 MB of them at most."""
    return records.new(run.folder / METRICS, since)


def latest(run: Run) -> dict[str, Any]:
    """The newest value of each metric, wherever in the last records it stands."""
    return {key: value for row in records.last(run.folder / METRICS) for key, value in row.items()}


def samples(run: Run) -> list[dict[str, Any]]:
    """The latest decoded sentences beside their references, oldest first."""
    return records.last(run.folder / SAMPLES)


def alerts(run: Run) -> list[dict[str, Any]]:
    """What the watchdog said, oldest first."""
    return records.last(run.folder / ALERTS)


def log(run: Run, lines: int = 40, end: int | None = None) -> str:
    """The end of what the run printed, or of the first `end` bytes of it."""
    return process.tail(run.folder / process.LOG, lines, end)


def log_size(run: Run) -> int:
    """Bytes printed so far."""
    path = run.folder / process.LOG
    return path.stat().st_size if path.is_file() else 0


def follow(home: Path, name: str, at: int = 0) -> Iterator[str]:
    """Lines of the log behind so many bytes, as they come, until the run is over."""
    path = read(home, name).folder / process.LOG
    decoder, rest = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    while True:
        over = not read(home, name).active  # before its last lines are read
        while chunk := records.part(path, at, records.MOST_TAIL):
            at += len(chunk)
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            yield from map(process.plain, whole)
        if over:
            yield from filter(None, [process.plain(rest)])
            return
        time.sleep(0.2)


def _go_on(home: Path, name: str, anyway: bool = False) -> Run:
    run = read(home, name)
    if run.state == "complete":
        raise TrainingError(f"The run {name!r} is complete; clone it to train on with changes.")
    if not (run.folder / RECIPE).is_file() or not process.read_json(run.folder / RECORD):
        raise TrainingError(f"The run {name!r} has lost its {RECIPE} or {RECORD}; it cannot go on. Start a new one.")
    lock = process.claim(run.folder)
    if anyway and not run.anyway:
        process.write_json(run.folder / RECORD, process.read_json(run.folder / RECORD) | {"anyway": True})
    _launch(run.folder, lock, home, resume=True)
    return read(home, name)


def _launch(folder: Path, lock: IO[bytes], home: Path, resume: bool) -> None:
    """The run's process, at the end of the queue."""
    record, before = process.read_json(folder / RECORD), process.read_json(folder / process.STATUS)
    kept = process.pick(before, {"step": 0, "steps": 0, "seconds": 0.0, "sitting": 0})
    kept["sitting"] += 1
    local = record.get("backend", "local") == "local"
    cwd = Path(process.pick(record, {"cwd": str(_ROOT)})["cwd"])  # where the recipe's relative folders are looked for
    environment = {**_environment(record), "ASRDEMO_HOME": str(home.resolve())}
    process.launch(
        folder,
        [sys.executable, *_trainer(folder.resolve(), record, resume)],
        lock,
        cwd=cwd if cwd.is_dir() else _ROOT,
        environment=environment,
        queued=local,
        keep=kept if local else kept | {"elsewhere": True},
    )


def _trainer(folder: Path, record: Mapping[str, Any], resume: bool) -> list[str]:
    """Arguments of Python for the trainer, in one process or several.

    accelerate's `--multi_gpu` means several processes started by torch.distributed, with or without GPUs; its `--cpu`
    starts one only, unless mpirun is there (1.15).
    """
    known = process.pick(record, {"processes": 1, "trainer": TRAINER, "anyway": False})
    many = [
        "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(known["processes"]),
        "--num_machines", "1", "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no",
    ]  # fmt: skip
    options = [*["--resume"] * resume, *["--anyway"] * known["anyway"]]
    single = ["-m", known["trainer"], str(folder / RECIPE), "--run", str(folder), *options]
    return [*many, *single] if known["processes"] > 1 else single


def _environment(record: Mapping[str, Any]) -> dict[str, str]:
    found = record.get("environment")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _checked(recipe: Path | str | Mapping[str, Any]) -> tuple[str, str]:
    """The recipe's text as given and its name. Raises ConfigError."""
    if isinstance(recipe, Mapping):
        text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
        return text, recipes.from_dict({key: recipe[key] for key in recipe if key != "smoke"}).name
    path = Path(recipe)
    if path.is_file() and path.stat().st_size > _MOST_RECIPE:
        raise ConfigError(f"{path.name} has {path.stat().st_size} bytes; a recipe has {_MOST_RECIPE} at most.")
    name = recipes.load(path).name
    return path.read_text(encoding="utf-8"), name


def _new_folder(parent: Path, name: str, known_as: str, text: str, record: dict[str, Any]) -> tuple[Path, IO[bytes]]:
    """A run directory that appears whole, under a name that nobody else has taken, and the lock of its process."""
    parent.mkdir(parents=True, exist_ok=True)
    made = parent / f".new-{secrets.token_hex(8)}"
    made.mkdir()
    try:
        (made / RECIPE).write_text(text, encoding="utf-8")
        process.write_json(made / RECORD, record)
        lock = process.claim(made)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", known_as).strip("-._")[:50] or "run"
        for wanted in [_safe(name)] if name else (f"{slug}-{n}" if n > 1 else slug for n in range(1, 10_000)):
            try:
                return made.rename(parent / wanted), lock
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
        raise TrainingError(f"There is a run {name or slug!r} already; resume it, or choose another name.")
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _safe(name: str) -> str:
    """A name that is one part of a path. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:100]!r} is no name for a run: expected 64 letters, digits, '.', '_' and '-' at most, the first a "
            "letter or digit."
        )
    return name


def _user() -> str:
    """Who is at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return str(os.getuid())


def _shown(path: Path) -> str:
    """A path as one types it in the project's folder."""
    path = path.resolve()
    return str(path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path)
