"""Results that pages show: read once while they stay as they are, and nothing kept of what cannot be loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from asrdemo.errors import NotFoundError, ResultError
from evals import catalogue, results, simulate
from evals.catalogue import Catalogue


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=12), 0))
    for name, corpus in (("one", "here"), ("two", "here"), ("other", "there")):
        pins = {"corpus": {"name": corpus, "split": "test", "fingerprint": corpus}}
        simulate.write(tmp_path / "results" / name, rows, pins)
    return tmp_path


def test_run_json_is_read_again_only_when_it_was_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    opened = results.open_result
    monkeypatch.setattr(catalogue, "open_result", lambda folder: read.append(folder.name) or opened(folder))
    known = Catalogue([home])
    for _ in range(3):
        assert known.scored(["one", "two"]).runs == ("one", "two")
    assert sorted(read) == ["one", "other", "two"]
    path = home / "results" / "two" / results.RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running"}))
    os.utime(path, ns=(1, 1))
    assert {result.name for result in known.complete()} == {"one", "other"}
    path.unlink()
    with pytest.raises(NotFoundError, match="no result 'two'"):
        known.get("two")


def test_what_cannot_be_loaded_leaves_nothing_behind(home: Path) -> None:
    known = Catalogue([home])
    for _ in range(3):
        with pytest.raises(ResultError, match="cannot be compared"):
            known.scored(["one", "other"])
    assert not known._loaded
    assert known.scored(["one"]) is known.scored(["one"])
