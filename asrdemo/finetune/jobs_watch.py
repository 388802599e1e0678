"""The process of a run on Hugging Face Jobs: sends it off, then copies log and results until it is over.

    python -m asrdemo.finetune.jobs_watch RECIPE --run DIR [--resume]

Started by `runs` in the place of a trainer; see asrdemo.finetune.backends. Which job it is stands in job.json, and the
job has a label that is only this run's: a process that dies at any moment never leads to a second job.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from asrdemo import process, registry
from asrdemo.errors import AsrDemoError, ConfigError, TrainingError
from asrdemo.finetune import hub, in_job, jobs_pack, runs

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo, Volume

MODULE = "asrdemo.finetune.jobs_watch"
JOB = "job.json"
IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # what huggingface_hub starts uv scripts with
PROJECT = "project.tar.gz"
MOUNT = "/corpora"
OVER = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
_LOST = 40  # looks in a row without an answer after which nobody waits any more: ten minutes
_TRIES = 4  # to bring the last results
_FETCHED = ".fetched"
_VOLUME = re.compile(r"hf://(bucket|dataset)s/([\w.-]+/[\w.-]+)(?:/(.+))?")
_BOOT = """\
import subprocess, sys, tarfile
from huggingface_hub import hf_hub_download
with tarfile.open(hf_hub_download(sys.argv[1], "project.tar.gz")) as archive:
    archive.extractall("project", filter="data")
command = ["uv", "run", "--no-project", "--with-requirements", "requirements.txt", "python", "-m"]
sys.exit(subprocess.call([*command, "asrdemo.finetune.in_job", *sys.argv[2:]], cwd="project"))
"""


@dataclass
class Job:
    """A job that was started. lines: of its log that are copied."""

    id: str
    namespace: str
    repository: str
    url: str = ""
    stage: str = "SCHEDULING"
    lines: int = 0


def find(folder: Path, api: HfApi) -> Job | None:
    """The job of a run: as it is written down, or, where the process died before that, by its label."""
    said, given = process.read_json(folder / JOB), process.read_json(folder / runs.RECORD).get("job", {})
    if said.get("id") and given:
        more = process.pick(said, {"url": "", "stage": "SCHEDULING", "lines": 0})
        return Job(str(said["id"]), given["namespace"], given["repository"], **more)
    with hub.talking("looking for the job", "jobs"):
        for one in api.list_jobs(labels={"asrdemo": given["label"]}, namespace=given["namespace"]) if given else ():
            return Job(one.id, given["namespace"], given["repository"], one.url)
    return None


def stage_of(found: JobInfo) -> str:
    """How far the Hub says it is: one of OVER, SCHEDULING, RUNNING. A member of an enum in some versions."""
    return str(getattr(found.status.stage, "value", found.status.stage))


def _note(folder: Path, job: Job) -> None:
    process.write_json(folder / JOB, {"id": job.id, "url": job.url, "stage": job.stage, "lines": job.lines})


def volumes(corpora: str) -> list[Volume]:
    """What is mounted at MOUNT. Raises ConfigError."""
    from huggingface_hub import Volume

    if not corpora:
        return []
    found = _VOLUME.fullmatch(corpora)
    if not found:
        raise ConfigError(f"corpora is {corpora!r}; expected hf://buckets/owner/name or hf://datasets/owner/name.")
    return [Volume(type=found[1], source=found[2], mount_path=MOUNT, path=found[3], read_only=True)]


class Watcher:
    """The process of such a run: sends it off, then copies what comes until it is over."""

    def __init__(self, folder: Path, api: HfApi, status: process.Status) -> None:
        self.folder, self.api, self.status = folder, api, status
        self.given: dict[str, Any] = process.read_json(folder / runs.RECORD)["job"]
        self.every = float(self.given["every"])
        self._stop, self._lost, self._message = False, 0, ""
        self._reader: threading.Thread | None = None

    def run(self) -> None:
        """Until the job is over. Raises TrainingError where it failed."""
        self.status.tell("sending", note="sending it to Hugging Face Jobs")
        self.job = find(self.folder, self.api) or self._started()
        _note(self.folder, self.job)
        print(f"job {self.job.id}: {self.job.url}", flush=True)
        while self._look() not in OVER:
            self._read_log()
            self._cancel_if_asked()
            with suppress(TrainingError):  # nothing was pushed yet, or the network fails: the next look tries again
                bring(self.api, self.job.repository, self.folder)
            self._tell()
            time.sleep(self.every)
        if self._reader:
            self._reader.join(timeout=30)
        self._print_log()  # what came after the stream had ended
        self._bring_last()
        self._tell()
        self._settle()

    def _bring_last(self) -> None:
        """Without the last results the run is not complete. Raises TrainingError."""
        for left in reversed(range(_TRIES)):
            try:
                bring(self.api, self.job.repository, self.folder)
                return
            except TrainingError:
                if not left:
                    raise
                time.sleep(self.every)

    def _started(self) -> Job:
        """Send code and inputs, then start the job."""
        self._send()
        if self.status.stop_asked:
            raise KeyboardInterrupt  # nothing has been paid for yet
        import huggingface_hub

        given = self.given
        arguments = [jobs_pack.RECIPE, "--run", f"runs/{self.folder.name}", "--repository", given["repository"]]
        client = f"huggingface_hub=={huggingface_hub.__version__}"
        with hub.talking("starting the job", "jobs"):
            made = self.api.run_job(
                image=IMAGE,
                command=["uv", "run", "--with", client, "python", "-c", _BOOT, given["repository"], *arguments],
                env={jobs_pack.VARIABLE: MOUNT, "PYTHONUNBUFFERED": "1"},
                secrets={"HF_TOKEN": self.api.token},
                flavor=given["flavour"],
                timeout=int(60 * given["minutes"]),
                labels={"asrdemo": given["label"], "name": f"asrdemo-{given['name']}"},
                volumes=volumes(given["corpora"]),
                namespace=given["namespace"],
            )
        return Job(made.id, given["namespace"], given["repository"], made.url)

    def _send(self) -> None:
        from huggingface_hub import CommitOperationAdd

        text = (self.folder / runs.RECIPE).read_text(encoding="utf-8")
        found = jobs_pack.luggage(
            runs.recipe_of(self.folder), registry.read(home=self.folder.parents[1]), bool(self.given["corpora"])
        )
        target = self.given["repository"]
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            archive = Path(place) / PROJECT
            jobs_pack.pack(found, text, archive)
            with hub.talking(f"sending the run to {target}"):
                self.api.create_repo(target, private=True, exist_ok=True)
                self.api.create_commit(target, [CommitOperationAdd(PROJECT, archive)], commit_message="What it needs")

    def _look(self) -> str:
        """The stage. A network that fails for a while changes nothing: the job goes on."""
        try:
            with hub.talking("asking for the job", "jobs"):
                found = self.api.inspect_job(job_id=self.job.id, namespace=self.job.namespace)
            self.job.stage, self._message, self._lost = stage_of(found), found.status.message or "", 0
        except TrainingError as error:
            self._lost += 1
            print(f"not asked: {error}", flush=True)
            if self._lost >= _LOST:
                raise TrainingError(f"{error} The job may well go on: resume the run to find it again.") from error
        return self.job.stage

    def _read_log(self) -> None:
        """Have the job's log printed, in a thread of its own, from where an earlier one ended."""
        if self.job.stage == "SCHEDULING" or (self._reader and self._reader.is_alive()):
            return
        self._reader = threading.Thread(target=self._print_log, daemon=True)
        self._reader.start()

    def _print_log(self) -> None:
        try:
            with hub.talking("reading the log", "jobs"):
                told = self.api.fetch_job_logs(job_id=self.job.id, namespace=self.job.namespace, follow=True)
                for number, line in enumerate(told):
                    if number >= self.job.lines:
                        print(line, flush=True)
                        self.job.lines = number + 1
        except TrainingError as error:  # the next look tries again
            print(f"not read: {error}", flush=True)

    def _tell(self) -> None:
        """How far it is: as the trainer says, once it does."""
        _note(self.folder, self.job)
        said = process.read_json(self.folder / _FETCHED / in_job.PUSHED / process.STATUS)
        known = process.pick(said, {"step": 0, "steps": 0, "seconds": 0.0, "left": -1.0, "note": ""})
        note = known.pop("note") or "starting"
        stage = "waits for a machine" if self.job.stage == "SCHEDULING" else note
        self.status.tell(stage, note=f"{stage}, on Hugging Face Jobs", **known)

    def _cancel_if_asked(self) -> None:
        if self.status.stop_asked and not self._stop:
            with hub.talking(f"cancelling the job {self.job.id}", "jobs"):
                self.api.cancel_job(job_id=self.job.id, namespace=self.job.namespace)
            self._stop = True

    def _settle(self) -> None:
        """What became of it, as the run's last word."""
        if self.job.stage == "COMPLETED":
            return
        if self.job.stage == "CANCELED" and (self._stop or self.status.stop_asked):
            raise KeyboardInterrupt
        what = "was cancelled on the Hub" if self.job.stage == "CANCELED" else f"ended as {self.job.stage}"
        why = f" ({self._message})" if self._message else ""
        raise TrainingError(
            f"The job {self.job.id} {what}{why}; the log says why. What it had pushed is here. To train again, clone "
            "the run and submit it anew."
        )


def bring(api: HfApi, repository: str, folder: Path) -> None:
    """Copy what was pushed into the run directory, of one commit and only what is new, best.json last.

    Raises TrainingError. Not snapshot_download: where the Hub does not answer, that takes an old file for the new one.
    """
    from huggingface_hub.hf_api import RepoFile

    seen_at = folder / _FETCHED / "seen.json"
    seen = process.read_json(seen_at)
    with hub.talking(f"reading {repository}", "read"):
        commit = api.model_info(repository).sha
        there = {
            file.path: file.blob_id
            for file in api.list_repo_tree(repository, recursive=True, revision=commit)
            if isinstance(file, RepoFile) and _wanted(file.path)
        }
        for path in sorted(there, key=lambda path: (path.endswith("/best.json"), path)):
            if seen.get(path) != there[path]:
                got = api.hf_hub_download(
                    repository, path, revision=commit, local_dir=folder / _FETCHED, force_download=True
                )
                if Path(path).name != process.STATUS:  # this run's own is written here
                    _place(Path(got), folder / Path(path).relative_to(in_job.PUSHED))
                seen[path] = there[path]
                process.write_json(seen_at, seen)


def _wanted(path: str) -> bool:
    """Whether this is a result: nothing else of the repository is ever taken."""
    within = PurePosixPath(path)
    if within.parts[:1] != (in_job.PUSHED,):
        return False
    name = within.relative_to(in_job.PUSHED)
    weights = name.parent == PurePosixPath("best") and any(name.match(pattern) for pattern in in_job.WEIGHTS)
    return str(name) in in_job.RESULTS or weights


def _place(source: Path, target: Path) -> None:
    """Whole or not at all."""
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.move(source, part)
    part.replace(target)


def main(argv: list[str] | None = None) -> int:
    """Of the run's process, with the arguments of a trainer."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--resume", action="store_true", help="the job is found again in any case")
    parser.add_argument(
        "--anyway", action="store_true", help="means nothing here: the job looks the recipe over itself"
    )
    args = parser.parse_args(argv)
    hub.quiet()
    try:
        with process.Status(args.run) as status:
            Watcher(args.run, hub.client(), status).run()
    except KeyboardInterrupt:
        print("stopped", flush=True)
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
