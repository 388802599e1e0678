"""A Hub on loopback that can be written to, and that runs jobs: what huggingface_hub 2.4 asks for to create a
repository, to commit to it, to read it back, and to start, watch and cancel a job."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub import Hub, _Handler

TOKEN = "hf_good"
LARGE = (".safetensors", ".gz", ".parquet")
HARDWARE = [
    {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None,
     "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"},
    {"name": "a10g-small", "prettyName": "A10G", "cpu": "4 vCPU", "ram": "15 GB", "accelerator": None,
     "unitCostMicroUSD": 25000, "unitCostUSD": 0.025, "unitLabel": "minute"},
]  # fmt: skip


@dataclass
class Job:
    """A job: what was asked for, its stage, and the lines of its log."""

    id: str
    spec: dict[str, Any]
    stage: str = "SCHEDULING"
    message: str = ""
    log: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        shown = {k: self.spec.get(k) for k in ("dockerImage", "command", "environment", "flavor", "labels", "volumes")}
        owner = {"id": "0", "name": "team", "type": "user"}
        return {"id": self.id, "status": {"stage": self.stage, "message": self.message}, "owner": owner, **shown}


@dataclass
class WritableHub(Hub):
    """A Hub whose repositories lie under `root`.

    refuses: path -> status that everything under it answers. heads: commits so far. visibility: as created. jobs: by
    id. on_job: called with a new job, in a thread of its own; on_cancel: with one that is cancelled. snapshots: what
    each commit holds.
    """

    root: Path = Path()
    refuses: dict[str, int] = field(default_factory=dict)
    commits: list[tuple[str, list[str]]] = field(default_factory=list)
    visibility: dict[str, str | None] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    snapshots: dict[str, Path] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    on_job: Callable[[Job], None] = lambda job: None
    on_cancel: Callable[[Job], None] = lambda job: None
    errors: list[str] = field(default_factory=list)

    def find(self, repository: str, revision: str) -> Path | tuple[str, str]:
        return self.snapshots.get(revision) or super().find(repository, revision)

    def commit(self, repository: str, ahead: int = 0) -> str:
        count = ahead + sum(name == repository for name, _ in self.commits)
        return hashlib.sha1(f"{repository} {count}".encode()).hexdigest()


class _Writable(_Handler):
    hub: WritableHub

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        refused = self._refused(path)
        if refused:
            return self._fail(refused, "", "refused", body)
        if path == "/api/whoami-v2":
            return self._json({"type": "user", "id": "0", "name": "team"})
        if path.startswith("/api/models/") and "/tree/" in path:
            return self._tree(*path.removeprefix("/api/models/").split("/tree/"))
        if path.startswith("/api/models/") and "/revision/" not in path:
            return self._describe(path.removeprefix("/api/models/"), "main", body)
        if path.startswith("/api/jobs"):
            return self._jobs(path, body)
        return super()._answer(body)

    def _describe(self, repository: str, revision: str, body: bool) -> None:
        if repository not in self.hub.repositories:
            return self._fail(404, "RepoNotFound", "Repository not found", body)
        private = self.hub.visibility.get(repository) == "private"
        sha = self.hub.commit(repository)
        return self._json({"_id": "0", "id": repository, "sha": sha, "private": private, "siblings": []})

    def _refused(self, path: str) -> int:
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.down:
            return 503
        if not path.startswith("/lfs/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401
        return next((status for start, status in self.hub.refuses.items() if path.startswith(start)), 0)

    def _tree(self, repository: str, revision: str) -> None:
        folder = self.hub.snapshots.get(revision) or self.hub.repositories[repository]
        self._json([self._entry(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()])

    @staticmethod
    def _entry(path: Path, folder: Path) -> dict[str, Any]:
        """Regular files go by git's hash of a blob, large ones by that of their content."""
        data = path.read_bytes()
        entry = {"type": "file", "path": str(path.relative_to(folder)), "size": len(data)}
        entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        if path.name.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def _file(self, repository: str, revision: str, name: str, body: bool) -> None:
        super()._file(repository, revision if revision in self.hub.snapshots else "main", name, body)

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        refused = self._refused(path)
        if refused:
            return self._fail(refused, "", "refused", True)
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(data))
        if path.endswith("/preupload/main"):
            mode = {True: "lfs", False: "regular"}
            files = json.loads(data)["files"]
            return self._json(
                {"files": [{"path": f["path"], "uploadMode": mode[f["path"].endswith(LARGE)], "shouldIgnore": False}
                           for f in files]}
            )  # fmt: skip
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{self.hub.url}/lfs/{o['oid']}"}}}
                for o in json.loads(data)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if path.endswith("/commit/main"):
            return self._commit(path.removeprefix("/api/models/").removesuffix("/commit/main"), data)
        if path.startswith("/api/jobs/"):
            return self._job(path, data)
        return self._fail(404, "", "no such page", True)

    def do_PUT(self) -> None:
        length = self.headers.get("Content-Length")
        data = self.rfile.read(int(length)) if length else self._chunks()
        if refused := self._refused(self.path):
            self._fail(refused, "", "refused", True)
            return
        oid = self.path.removeprefix("/lfs/")
        if hashlib.sha256(data).hexdigest() != oid:
            self.hub.errors.append(f"{oid} arrived broken")
        self.hub.large[oid] = data
        self._send(200, b"", {}, True)

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'team'}/{asked['name']}"
        if name in self.hub.repositories:
            return self._json({"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, 409)
        folder = self.hub.root / name
        folder.mkdir(parents=True)
        self.hub.repositories[name] = folder
        self.hub.visibility[name] = asked.get("visibility")
        return self._json({"url": f"{self.hub.url}/{name}"})

    def _commit(self, repository: str, data: bytes) -> None:
        before, names = self.hub.repositories[repository], []
        folder = before.with_name(f"{before.name.split('@')[0]}@{len(self.hub.commits) + 1}")  # a commit never changes
        shutil.copytree(before, folder)
        for line in map(json.loads, data.splitlines()):
            if line["key"] == "header":
                continue
            value = line["value"]
            content = base64.b64decode(value["content"]) if line["key"] == "file" else self.hub.large[value["oid"]]
            target = folder / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            names.append(value["path"])
        sha = self.hub.commit(repository, 1)
        self.hub.snapshots[sha] = self.hub.repositories[repository] = folder
        self.hub.commits.append((repository, names))  # last: from now on it is the newest
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repository}/commit/{sha}"})

    def _jobs(self, path: str, body: bool) -> None:
        if path == "/api/jobs/hardware":
            return self._json(HARDWARE)
        parts = path.removeprefix("/api/jobs/").split("/")
        if len(parts) == 1:
            wanted = dict(one.split("=", 1) for one in parse_qs(urlsplit(self.path).query).get("label", []))
            found = [j for j in self.hub.jobs.values() if wanted.items() <= j.spec.get("labels", {}).items()]
            return self._json([job.as_json() for job in found])
        job = self.hub.jobs.get(parts[1])
        if job is None:
            return self._fail(404, "", "no such job", body)
        if parts[2:] == ["logs"]:
            lines = [{"data": line, "timestamp": "2026-11-21T10:00:00Z"} for line in ["===== Job started", *job.log]]
            text = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
            return self._send(200, text.encode(), {"Content-Type": "text/event-stream"}, body)
        return self._json(job.as_json())

    def _job(self, path: str, data: bytes) -> None:
        parts = path.removeprefix("/api/jobs/").split("/")
        if parts[2:] == ["cancel"]:
            self.hub.jobs[parts[1]].stage = "CANCELED"
            self.hub.on_cancel(self.hub.jobs[parts[1]])
            return self._json({})
        job = Job(f"job{len(self.hub.jobs)}", json.loads(data))
        self.hub.jobs[job.id] = job
        threading.Thread(target=self.hub.on_job, args=(job,), daemon=True).start()
        return self._json(job.as_json())

    def _json(self, answer: object, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"}, self.command != "HEAD")


@contextmanager
def writing(root: Path) -> Iterator[WritableHub]:
    """Serve until the block ends."""
    hub = WritableHub({}, root=root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Writable,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
