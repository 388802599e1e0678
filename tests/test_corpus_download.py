"""Fetching corpora: Mozilla Data Collective through its SDK against a server on loopback; Hub datasets from Parquet.

The tests of the SDK skip where it is not installed (`pip install datacollective`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from test_corpus_archive import hostile, member

from asrdemo.corpus import collective, hub, open_corpus
from asrdemo.errors import ConfigError, CorpusError, NotFoundError

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("datacollective") is None, reason="datacollective not installed"
)
KEY = "a-key-for-this-test"


@dataclass
class Collective:
    """What the site knows. archive: its one dataset; cut: how many downloads break off half-way."""

    archive: bytes
    filename: str = "cv-corpus-25.0-2026-03-09-tr.tar.gz"
    cut: int = 0
    terms_agreed: bool = True
    url: str = ""
    asked: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    site: Collective

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.site.asked.append(f"GET {self.path} {self.headers.get('Range', '')}".strip())
        if self.path == "/api/datasets/cv-tr":
            return self._json(200, {"id": "cv-tr", "filename": self.site.filename, "checksum": self._checksum()})
        if self.path == "/signed/cv-tr":
            return self._file()
        return self._json(404, {"message": "no such dataset"})

    def do_POST(self) -> None:
        self.site.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._json(401, {"message": "bad key"})
        if not self.site.terms_agreed:
            return self._json(403, {"message": "terms not agreed to"})
        size = len(self.site.archive)
        plan = {"downloadUrl": f"{self.site.url}/signed/cv-tr", "sizeBytes": size, "checksum": self._checksum()}
        return self._json(200, plan)

    def _checksum(self) -> str:
        return hashlib.sha256(self.site.archive).hexdigest()

    def _file(self) -> None:
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = self.site.archive[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.site.cut:
            self.site.cut -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def _json(self, status: int, data: dict) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collective]:
    site = Collective(hostile(tmp_path / "made.tar.gz").read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MDC_API_URL", f"{site.url}/api")
    monkeypatch.setenv("MDC_API_KEY", KEY)
    yield site
    server.shutdown()
    server.server_close()


@needs_sdk
def test_a_release_is_downloaded_once_and_read(site, tmp_path):
    archive = collective.download("cv-tr", tmp_path / "home")
    assert archive == tmp_path / "home" / "downloads" / site.filename
    assert open_corpus(archive, home=tmp_path / "home").table("test")["clip"].tolist() == ["1.mp3"]
    assert collective.download("cv-tr", tmp_path / "home") == archive
    assert sum(a.startswith("GET /signed") for a in site.asked) == 1


@needs_sdk
def test_a_download_that_breaks_off_goes_on(site, tmp_path):
    noise = np.random.default_rng(0).bytes(400_000)  # several of the SDK's blocks
    site.archive = hostile(tmp_path / "big.tar.gz", (member("clips/1.mp3", noise), noise)).read_bytes()
    site.cut = 1
    with pytest.raises(CorpusError, match="Run it again to go on"):
        collective.download("cv-tr", tmp_path)
    archive = collective.download("cv-tr", tmp_path)
    assert archive.read_bytes() == site.archive
    assert int(site.asked[-1].partition("bytes=")[2].rstrip("-")) > 100_000, "not from the start again"


@needs_sdk
def test_what_the_collective_refuses_says_what_to_do(site, tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="no dataset 'cv-xx'"):
        collective.download("cv-xx", tmp_path)
    site.terms_agreed = False
    with pytest.raises(ConfigError, match="terms not agreed to.*Agree to its terms"):
        collective.download("cv-tr", tmp_path)
    monkeypatch.setenv("MDC_API_KEY", "wrong")
    with pytest.raises(ConfigError, match=r"MDC_API_KEY was refused.*Steps: 1\."):
        collective.download("cv-tr", tmp_path)
    monkeypatch.delenv("MDC_API_KEY")
    with pytest.raises(ConfigError, match=r"MDC_API_KEY is not set\. Steps: 1\."):
        collective.download("cv-tr", tmp_path)
    site.filename = "../../escape.tar.gz"
    monkeypatch.setenv("MDC_API_KEY", KEY)
    with pytest.raises(CorpusError, match="no archive with a plain file name"):
        collective.download("cv-tr", tmp_path)
    monkeypatch.setenv("MDC_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(CorpusError, match="cannot be reached"):
        collective.download("cv-tr", tmp_path)
    assert not (tmp_path / "downloads").exists() or not any((tmp_path / "downloads").glob("*.gz"))


def test_without_the_sdk_the_steps_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datacollective", None)
    monkeypatch.setenv("MDC_API_KEY", KEY)
    with pytest.raises(ConfigError, match="not installed. Steps: 1.*pip install 'datacollective.*MDC_API_KEY.*browser"):
        collective.download("cv-tr", tmp_path)


# --- the Hub ----------------------------------------------------------------------------------------------------------


def flac(seconds: float = 0.1) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.sin(np.arange(int(16_000 * seconds)) / 5) / 2, 16_000, format="FLAC")
    return out.getvalue()


def dataset(folder: Path, rows: dict, **features: dict) -> Path:
    """A dataset as the Hub has it: a Parquet file with its features in the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {name: {"dtype": "string", "_type": "Value"} for name in rows} | features
    about = {"huggingface": json.dumps({"info": {"features": told}})}
    pq.write_table(pa.table(rows).replace_schema_metadata(about), folder / "test-00000-of-00001.parquet")
    return folder


AUDIO = {"audio": {"sampling_rate": 16_000, "_type": "Audio"}}


def test_a_hub_dataset_becomes_a_folder_in_common_voice_layout(tmp_path):
    rows = {
        "audio": [{"bytes": flac(), "path": "a/b c.flac"}, {"bytes": flac(0.2), "path": None}],
        "text": ["one\ttwo\nthree", "NA"],
        "speaker_id": ["s1", None],
        "gender": [1, 0],
    }
    gender = {"names": ["male", "female"], "_type": "ClassLabel"}
    folder = dataset(tmp_path / "set", rows, gender=gender, **AUDIO)
    root = hub.fetch(str(folder), "test", tmp_path / "home")
    opened = open_corpus(root, home=tmp_path / "home")
    table = opened.load("test", check_clips=True).rows
    assert table["clip"].tolist() == ["test_0000000_b_c.flac", "test_0000001.flac"]
    assert table["reference_raw"].tolist() == ["one two three", "NA"]
    assert table["client_id"].tolist() == ["s1", ""]
    assert table["gender"].tolist() == ["female_feminine", "male_masculine"]
    assert table["seconds"].tolist() == [0.1, 0.2] and opened.audio(table["clip"][0]).read_bytes() == flac()
    (folder / "test-00000-of-00001.parquet").unlink()
    assert hub.fetch(str(folder), "test", tmp_path / "home") == root, "what is there is not fetched again"


def test_datasets_whose_names_read_alike_stay_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mozilla/cv-en", "mozilla-cv/en"):
        dataset(Path(name), {"audio": [{"bytes": flac(), "path": "a.flac"}], "text": [name]}, **AUDIO)
    found = [hub.fetch(name, "test", tmp_path / "home") for name in ("mozilla/cv-en", "mozilla-cv/en")]
    said = [open_corpus(root).table("test")["reference_raw"].tolist() for root in found]
    assert said == [["mozilla/cv-en"], ["mozilla-cv/en"]]
    alike = [("mozilla/cv", "en", None), ("mozilla/cv", None, "en"), ("mozilla/cv-en", None, None)]
    labels = {hub._label(*asked) for asked in alike}
    assert len(labels) == 3 and all(label.startswith("hub-mozilla-cv-en-") for label in labels)


def test_a_dataset_never_brings_in_other_files_of_this_machine(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(flac())
    own = {"audio": [{"bytes": None, "path": str(tmp_path / "set" / "a.flac")}], "text": ["x"]}
    inside = dataset(tmp_path / "set", own, **AUDIO)
    (inside / "a.flac").write_bytes(flac())
    assert len(open_corpus(hub.fetch(str(inside), "test", tmp_path / "home")).table("test")) == 1
    outside = dataset(tmp_path / "bad", {"audio": [{"bytes": None, "path": str(secret)}], "text": ["x"]}, **AUDIO)
    with pytest.raises(CorpusError, match="not its own; it is refused"):
        hub.fetch(str(outside), "test", tmp_path / "home")


def test_what_the_hub_cannot_give_is_said_plainly(tmp_path):
    silent = dataset(tmp_path / "silent", {"text": ["x"]})
    with pytest.raises(CorpusError, match="has the columns text; expected audio and one of sentence, text"):
        hub.fetch(str(silent), "test", tmp_path / "home")
    spoken = dataset(tmp_path / "spoken", {"audio": [{"bytes": flac(), "path": "a.flac"}], "text": ["x"]}, **AUDIO)
    with pytest.raises(NotFoundError, match="Available splits.*test"):
        hub.fetch(str(spoken), "dev", tmp_path / "home")
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("raise SystemExit('code of a repository ran')")
    with pytest.raises(CorpusError, match="scripts are no longer supported.*holds Parquet"):
        hub.fetch(str(tmp_path / "script"), "test", tmp_path / "home")
    with pytest.raises(CorpusError, match="Hub, which cannot be reached"):  # HF_HUB_OFFLINE is set for all tests
        hub.fetch("nobody/nothing", "test", tmp_path / "home")
