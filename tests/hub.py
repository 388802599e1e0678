"""A small Hugging Face Hub on loopback: the endpoints that huggingface_hub uses to describe and download a model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """repositories: name -> folder. revisions: names under which the one commit may be asked for.

    breaks: file name -> GETs that fail: the first breaks off half-way, the others find the server down.
    down: everything fails. asked: every request, `METHOD path`.
    """

    repositories: dict[str, Path]
    revisions: tuple[str, ...] = ("main", "refs/pr/1", COMMIT)
    breaks: dict[str, int] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    url: str = ""

    def commit(self, repository: str) -> str:
        """The hash of what is in a repository now."""
        return COMMIT

    def find(self, repository: str, revision: str) -> Path | tuple[str, str]:
        """The folder, or the error code and message the Hub would give."""
        if repository not in self.repositories:
            return "RepoNotFound", "Repository not found"
        if revision not in self.revisions:
            return "RevisionNotFound", "Invalid rev id"
        return self.repositories[repository]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.down:
            return self._fail(503, "", "down for maintenance", body)
        if path.startswith("/api/models/") and "/revision/" in path:
            return self._describe(*path.removeprefix("/api/models/").split("/revision/"), body)
        if "/resolve/" in path:
            repository, rest = path[1:].split("/resolve/")
            revision = next((r for r in self.hub.revisions if rest.startswith(r + "/")), rest.split("/")[0])
            return self._file(repository, revision, rest.removeprefix(revision + "/"), body)
        return self._fail(404, "", "no such page", body)

    def _describe(self, repository: str, revision: str, body: bool) -> None:
        found = self.hub.find(repository, revision)
        if not isinstance(found, Path):
            return self._fail(404, *found, body)
        files = [
            {"rfilename": str(p.relative_to(found)), "size": p.stat().st_size, "blobId": "0" * 40}
            for p in sorted(found.rglob("*"))
            if p.is_file()
        ]
        sha = self.hub.commit(repository)
        answer = {"_id": "0", "id": repository, "modelId": repository, "sha": sha, "private": False, "gated": False,
                  "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": files}  # fmt: skip
        return self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, body)

    def _file(self, repository: str, revision: str, name: str, body: bool) -> None:
        found = self.hub.find(repository, revision)
        if not isinstance(found, Path):
            return self._fail(404, *found, body)
        path = found / name
        if not path.is_file():
            return self._fail(404, "EntryNotFound", "Entry not found", body)
        data = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": self.hub.commit(repository),
            "Accept-Ranges": "bytes",
        }
        given = self.headers.get("Range", "")
        if body and self.hub.breaks.get(name, 0) > 0:
            self.hub.breaks[name] -= 1
            if name in self.hub.broken:
                return self._fail(503, "", "down for maintenance", body)
            self.hub.broken.add(name)
            return self._send(200, data[: len(data) // 2], headers, body, announce=len(data))
        if given:
            begin = int(given.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            return self._send(206, data[begin:], headers, body)
        return self._send(200, data, headers, body)

    def _fail(self, status: int, code: str, message: str, body: bool) -> None:
        headers = {"X-Error-Message": message, "X-Request-Id": "1"} | ({"X-Error-Code": code} if code else {})
        self._send(status, message.encode(), headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool, announce: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if announce is None else announce))
        self.end_headers()
        if body:
            self.wfile.write(data)
        if announce is not None:
            self.wfile.flush()
            self.close_connection = True


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve until the block ends; `hub.url` is the endpoint."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
