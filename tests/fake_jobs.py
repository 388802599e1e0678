"""A Hub on loopback whose jobs really run: the job's own command, in a folder of its own, with a stand-in for uv
(nothing is installed) and for the trainer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from asrdemo.finetune import backends, hub
from tests.hub_writes import TOKEN, Job, WritableHub, writing

TESTS = Path(__file__).resolve().parent
UV = f"""#!/bin/sh
while [ "$1" != python ]; do shift; done
shift
[ "$1" = -m ] && set -- "$@" --trainer stand_in_job_trainer --every 0.2
exec {sys.executable} "$@"
"""


def models(place: Path) -> Path:
    """A models.yaml with a corpus `talk` of one file, and a checkpoint of the Hub."""
    (place / "clips").mkdir(parents=True)
    (place / "clips" / "a.wav").write_bytes(b"RIFF")
    (place / "models.yaml").write_text(
        "checkpoints:\n  - {id: far, title: Far, language: en, hub: team/base, revision: main}\n"
        "corpora:\n  - {id: talk, title: Talk, language: en, profile: en, path: clips}\n"
    )
    return place / "models.yaml"


class Machine:
    """Where jobs run. running: their processes."""

    def __init__(self, hub: WritableHub, place: Path) -> None:
        self.hub, self.place, self.running = hub, place, dict[str, subprocess.Popen[str]]()
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "uv").write_text(UV)
        (place / "bin" / "uv").chmod(stat.S_IRWXU)

    def run(self, job: Job) -> None:
        home = self.place / job.id
        home.mkdir()
        env = {
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": str(TESTS),
            "HF_ENDPOINT": self.hub.url, "HF_HUB_DISABLE_XET": "1", **job.spec["environment"], **job.spec["secrets"],
        }  # fmt: skip
        with subprocess.Popen(
            job.spec["command"], env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            self.running[job.id] = process
            job.stage = "RUNNING"
            job.log.extend(line.rstrip("\n") for line in process.stdout or [])
        job.stage = job.stage if job.stage == "CANCELED" else "ERROR" if process.returncode else "COMPLETED"
        job.message = f"exit {process.returncode}" if process.returncode else ""

    def cancel(self, job: Job) -> None:
        end = time.monotonic() + 10
        while job.id not in self.running and time.monotonic() < end:  # it was asked for, and is about to start
            time.sleep(0.02)
        if self.running[job.id].poll() is None:
            os.killpg(self.running[job.id].pid, signal.SIGKILL)


@contextmanager
def renting(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """A Hub that runs jobs below `place`; processes started here, and the client of this one, talk to it."""
    with writing(place / "hub") as found:
        machine = Machine(found, place / "machine")
        found.on_job, found.on_cancel = machine.run, machine.cancel
        given = {"HF_ENDPOINT": found.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        for name, value in (given | {"HF_HOME": str(place / "cache"), "NO_PROXY": "127.0.0.1"}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(hub, "client", lambda: HfApi(found.url, token=TOKEN))
        monkeypatch.setattr(backends, "EVERY_S", 0.2)
        yield found
        for job in found.jobs.values():
            machine.cancel(job)
