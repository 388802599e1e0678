"""The code that talks to the Hub, against a Hub on loopback. In processes of their own: the endpoint and the cache are
read from the environment when huggingface_hub is imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import COMMIT, Hub, serving

ROOT = Path(__file__).resolve().parent.parent

FETCH = """
import json, sys
from asrdemo.acoustic import store
from asrdemo.errors import AsrDemoError
from asrdemo.registry import CheckpointSpec
spec = CheckpointSpec("tiny", "Tiny", "en", "en", **json.loads(sys.argv[1]))
told = []
result = {"before": store.look(spec)}
try:
    result["folder"] = str(store.fetch(spec, lambda done, total, note: told.append((done, total, note))))
    result["again"] = str(store.fetch(spec))
except AsrDemoError as error:
    result["error"], result["message"] = type(error).__name__, str(error)
result |= {"after": store.look(spec), "told": told, "heavy": [m for m in ("torch", "transformers") if m in sys.modules]}
print(json.dumps(result))
"""

LOAD = """
import json, sys
import numpy as np
from asrdemo.acoustic import load
from asrdemo.registry import CheckpointSpec
from asrdemo.types import Clip
model = load(CheckpointSpec("tiny", "Tiny", "en", "en", **json.loads(sys.argv[1])), "cpu", "fp32")
heard = model.emissions([Clip(np.random.default_rng(0).standard_normal(16000).astype(np.float32))])[0]
print(json.dumps({"shape": heard.log_probs.shape, "fingerprint": model.fingerprint}))
"""


@pytest.fixture
def hub(tiny_checkpoint_layer: Path, tmp_path: Path) -> Iterator[Hub]:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"not for us")
    full = tmp_path / "full"
    shutil.copytree(tiny_checkpoint_layer, full)
    (full / "run.py").write_text("raise SystemExit('remote code')")
    (full / "pytorch_model.bin").write_bytes(b"not for us")
    (full / "language_model").mkdir()
    (full / "language_model" / "unigrams.txt").write_text("far too large")
    with serving(Hub({"team/tiny": full, "team/pickled": pickled})) as hub:
        yield hub


def run(code: str, server: Hub, home: Path, **spec: Any) -> dict[str, Any]:
    env = os.environ | {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    env["HF_HUB_OFFLINE"] = spec.pop("offline", "0")
    spec = {"hub": "team/tiny", "revision": "main"} | spec
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(spec)], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", COMMIT])
def test_downloads_data_files_only_and_once(hub: Hub, tmp_path: Path, revision: str) -> None:
    result = run(FETCH, hub, tmp_path / "home", revision=revision)
    assert result["before"][0] == "ready" and "will be downloaded" in result["before"][1]
    assert result["after"] == ["ready", "downloaded before"]
    folder = Path(result["folder"])
    assert result["again"] == result["folder"]
    assert {p.name for p in folder.iterdir()} >= {"config.json", "vocab.json", "model.safetensors"}
    assert not {p.name for p in folder.iterdir()} & {"run.py", "pytorch_model.bin", "language_model"}
    gets = [a for a in hub.asked if a.startswith("GET") and "model.safetensors" in a]
    assert len(gets) == 1, "the second fetch must come from the cache"
    assert result["told"] and all(0 <= done <= total and "team/tiny" in note for done, total, note in result["told"])
    assert result["heavy"] == []


def test_downloaded_checkpoint_works_without_network_afterwards(hub: Hub, tmp_path: Path) -> None:
    folder = Path(run(FETCH, hub, tmp_path / "home")["folder"])
    asked = len(hub.asked)
    heard = run(LOAD, hub, tmp_path / "home", offline="1")
    assert heard["shape"] == [49, 32]
    assert len(hub.asked) == asked
    assert (folder / "model.safetensors").is_symlink(), "the fingerprint takes its hash from the cache's file name"


def test_offline_says_it_needs_the_network(hub: Hub, tmp_path: Path) -> None:
    result = run(FETCH, hub, tmp_path / "home", offline="1")
    assert result["before"][0] == result["after"][0] == "needs the network"
    assert result["error"] == "NeedsNetworkError"
    assert "needs the network" in result["message"] and "HF_HUB_OFFLINE" in result["message"]
    assert hub.asked == []


def test_unreachable_hub_says_it_needs_the_network(hub: Hub, tmp_path: Path) -> None:
    gone = Hub({}, url="http://127.0.0.1:9")  # the discard port: nobody listens
    result = run(FETCH, gone, tmp_path / "home")
    assert result["before"][0] == "needs the network"
    assert result["error"] == "NeedsNetworkError" and "cannot be reached" in result["message"]


def test_a_hub_in_trouble_is_reported(hub: Hub, tmp_path: Path) -> None:
    hub.down = True
    result = run(FETCH, hub, tmp_path / "home")
    assert result["error"] == "NeedsNetworkError" and "503" in result["message"]


def test_broken_download_is_reported_and_resumed(hub: Hub, tmp_path: Path) -> None:
    hub.breaks["model.safetensors"] = 2  # breaks off half-way, and the client's own retry finds the server down
    broken = run(FETCH, hub, tmp_path / "home")
    assert broken["error"] == "NeedsNetworkError" and "503" in broken["message"] and "Try later" in broken["message"]
    assert "downloaded before" not in broken["after"][1]
    size = (hub.repositories["team/tiny"] / "model.safetensors").stat().st_size
    mended = run(FETCH, hub, tmp_path / "home")
    assert (Path(mended["folder"]) / "model.safetensors").stat().st_size == size


def test_pickles_are_refused_before_anything_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    result = run(FETCH, hub, tmp_path / "home", hub="team/pickled")
    assert result["error"] == "CheckpointError"
    assert "pytorch_model.bin" in result["message"] and "Only safetensors" in result["message"]
    assert not any("resolve" in a for a in hub.asked)


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"hub": "team/nobody"}, "no public repository team/nobody"),
        ({"revision": "v9"}, "no revision 'v9'"),
        ({"adapter": "tur"}, "no adapter 'tur'"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path, spec: dict[str, str], message: str) -> None:
    result = run(FETCH, hub, tmp_path / "home", **spec)
    assert result["error"] == "CheckpointError" and message in result["message"]
