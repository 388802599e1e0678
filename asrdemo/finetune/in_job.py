"""Inside a job on another machine: trains, and pushes what the run writes to a private repository as it goes.

    python -m asrdemo.finetune.in_job RECIPE --run DIR --repository OWNER/NAME

The token comes from HF_TOKEN. Whoever submitted the job reads the repository; see asrdemo.finetune.backends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asrdemo import process
from asrdemo.errors import TrainingError
from asrdemo.finetune import hub, journal, plots, provenance, runs, scores

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RESULTS = (
    process.STATUS, "recipe.json", "vocab.json", "data.json", provenance.FILE, "before.json", scores.BEFORE,
    "after.json", scores.AFTER, journal.METRICS, journal.SAMPLES, journal.ALERTS, journal.TABLE, plots.FILE,
    "best.json",
)  # fmt: skip
"""What is pushed, beside best/."""
WEIGHTS = ("*.safetensors", "*.json")
PUSHED = "run"  # folder in the repository
EVERY_S = 60.0
_TRIES = 5


class Pushed:
    """Pushes what has changed since the last time."""

    def __init__(self, api: HfApi, repository: str, folder: Path) -> None:
        self._api, self._repository, self._folder = api, repository, folder
        self._seen: dict[str, tuple[int, int]] = {}

    def push(self) -> bool:
        """One commit; False where nothing was new. Raises TrainingError."""
        from huggingface_hub import CommitOperationAdd

        marks = {name: mark for name in self._names() if (mark := _mark(self._folder / name))}
        changed = [name for name, mark in marks.items() if mark != self._seen.get(name)]
        if not changed:
            return False
        operations = [CommitOperationAdd(f"{PUSHED}/{name}", (self._folder / name).read_bytes()) for name in changed]
        with hub.talking(f"pushing to {self._repository}"):
            self._api.create_commit(self._repository, operations, commit_message="As far as the run is")
        self._seen |= marks
        return True

    def _names(self) -> list[str]:
        best = [path for pattern in WEIGHTS for path in (self._folder / "best").glob(pattern)]
        return [*RESULTS, *(f"best/{path.name}" for path in sorted(best))]


def _mark(path: Path) -> tuple[int, int] | None:
    """Changes with the file; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def train(pushed: Pushed, command: list[str], every: float = EVERY_S) -> int:
    """Run the trainer to its end, pushing meanwhile; its exit status, or 1 where its results could not be pushed."""
    worker = subprocess.Popen([sys.executable, *command])
    while True:
        try:
            status = worker.wait(timeout=every)
        except subprocess.TimeoutExpired:
            status = None
        try:
            pushed.push()
        except TrainingError as error:  # the network may come back
            print(f"not pushed: {error}", flush=True)
            if status is not None and not _insist(pushed, every):
                return status or 1
        if status is not None:
            return status


def _insist(pushed: Pushed, every: float) -> bool:
    """The last results are worth waiting for."""
    for attempt in range(_TRIES):
        time.sleep(every * (attempt + 1) / 2)
        try:
            pushed.push()
            return True
        except TrainingError as error:
            print(f"not pushed: {error}", flush=True)
    return False


def processes() -> int:
    """One for each GPU."""
    import torch

    return max(1, torch.cuda.device_count())


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.in_job", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--repository", required=True)
    parser.add_argument("--trainer", default=runs.TRAINER, help=argparse.SUPPRESS)
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between pushes")
    args = parser.parse_args(argv)
    hub.quiet()
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / runs.RECIPE).write_bytes(args.recipe.read_bytes())
    command = runs._trainer(args.run, {"processes": processes(), "trainer": args.trainer}, resume=False)
    try:
        return train(Pushed(hub.client(), args.repository, args.run), command, args.every)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
