"""Publishing a run, against a Hub on loopback: what arrives there, and what is said when it does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from asrdemo.errors import TrainingError
from asrdemo.finetune import hub, publish
from tests import fake_runs
from tests.hub_writes import TOKEN, WritableHub, writing

NAME = "team/scots"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with writing(tmp_path / "hub") as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, tiny_checkpoint_layer: Path) -> Path:
    best = tmp_path / "weights"
    best.mkdir()
    for path in tiny_checkpoint_layer.iterdir():
        (best / path.name).write_bytes(path.read_bytes())
    (best / "optimizer.pt").write_bytes(b"pickled")
    (best / "run.py").write_text("raise SystemExit")
    fake_runs.make(tmp_path / "home", best)
    return tmp_path / "home"


def client(server: WritableHub, token: str = TOKEN) -> HfApi:
    return HfApi(server.url, token=token)


def test_everything_arrives_whole_in_one_commit_and_nobody_else_sees_it(home: Path, server: WritableHub) -> None:
    assert publish.publish(home, "scottish", NAME, api=client(server)) == f"{server.url}/{NAME}"
    there, here = server.repositories[NAME], home / "runs" / "scottish"
    assert server.visibility == {NAME: "private"} and [name for name, _ in server.commits] == [NAME]
    names = {path.name for path in there.iterdir()}
    assert {"model.safetensors", "config.json", "vocab.json", "README.md"} <= names
    assert not names & {"optimizer.pt", "run.py"}, "no pickle, no code"
    for path in there.iterdir():
        own = here / "README.md" if path.name == "README.md" else here / "best" / path.name
        assert path.read_bytes() == own.read_bytes(), path.name
    assert not server.errors and "/api/validate-yaml" in str(server.asked), "the Hub looks at the card first"


def test_the_recipe_may_say_where_and_that_it_is_public(home: Path, server: WritableHub, tmp_path: Path) -> None:
    fake_runs.make(home, tmp_path / "weights", "open", publish={"hub": "team/open", "private": False})
    publish.publish(home, "open", api=client(server))
    assert server.visibility == {"team/open": "public"}


def test_what_is_there_is_not_written_over_unless_asked_for(home: Path, server: WritableHub) -> None:
    publish.publish(home, "scottish", NAME, api=client(server))
    with pytest.raises(TrainingError, match=f"already is a repository {NAME}"):
        publish.publish(home, "scottish", NAME, api=client(server))
    assert len(server.commits) == 1
    publish.publish(home, "scottish", NAME, replace=True, api=client(server))
    assert len(server.commits) == 2


def test_a_private_run_does_not_go_to_a_public_repository(home: Path, server: WritableHub) -> None:
    publish.publish(home, "scottish", NAME, private=False, api=client(server))
    with pytest.raises(TrainingError, match=f"{NAME} is public"):
        publish.publish(home, "scottish", NAME, replace=True, api=client(server))
    assert len(server.commits) == 1


@pytest.mark.parametrize(
    ("start", "status", "said"),
    [
        ("/api/repos/create", 403, "creating the repository team/scots: the token may not.*scope 'write'"),
        ("/api/repos/create", 409, "creating the repository team/scots: it exists already"),
        ("/api/models/team/scots/commit", 413, "pushing to team/scots: the Hub says that it is too large"),
        ("/lfs", 403, "pushing to team/scots: the token may not"),
    ],
)
def test_a_refusal_is_told_in_a_sentence(home: Path, server: WritableHub, start: str, status: int, said: str) -> None:
    server.refuses[start] = status
    with pytest.raises(TrainingError, match=said):
        publish.publish(home, "scottish", NAME, api=client(server))
    assert not server.commits


def test_a_wrong_token_is_named(home: Path, server: WritableHub) -> None:
    with pytest.raises(TrainingError, match=r"does not accept the token: set HF_TOKEN, or log in.*scope 'write'"):
        publish.publish(home, "scottish", NAME, api=client(server, "hf_bad"))
    assert not server.repositories


def test_no_network_is_told_in_a_sentence(home: Path, server: WritableHub) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TrainingError, match="the Hub cannot be reached"):
        publish.publish(home, "scottish", NAME, api=HfApi(nobody, token=TOKEN))


def test_offline_means_offline(home: Path, server: WritableHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TrainingError, match="HF_HUB_OFFLINE is set"):
        publish.publish(home, "scottish", NAME, api=client(server))
    assert not server.asked


def test_without_a_token_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(TrainingError, match="no Hugging Face token: set HF_TOKEN"):
        hub.client()


@pytest.mark.parametrize("name", ["scots", "a/b/c", ""])
def test_a_name_that_is_none_is_refused(home: Path, server: WritableHub, name: str) -> None:
    with pytest.raises(TrainingError, match="expected owner/name"):
        publish.publish(home, "scottish", name, api=client(server))
    with pytest.raises(TrainingError, match="creating the repository team/sc ots"):
        publish.publish(home, "scottish", "team/sc ots", api=client(server))


def test_weights_that_are_no_safetensors_stay_here(home: Path, server: WritableHub, tmp_path: Path) -> None:
    (tmp_path / "weights" / "model.safetensors").rename(tmp_path / "weights" / "pytorch_model.bin")
    with pytest.raises(TrainingError, match="no weights as safetensors"):
        publish.publish(home, "scottish", NAME, api=client(server))
    (home / "runs" / "scottish" / "best.json").unlink()
    with pytest.raises(TrainingError, match="no finished weights"):
        publish.publish(home, "scottish", NAME, api=client(server))
    assert not server.repositories and json.loads((home / "runs" / "scottish" / "run.json").read_text())
