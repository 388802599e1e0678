"""asrdemo.files: a file appears whole or stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrdemo.files import write_json, write_text


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, {"name": "ağ", "number": 1})
    for data, error in (({"number": object()}, TypeError), ({"text": "\ud800"}, UnicodeEncodeError)):
        with pytest.raises(error):
            write_json(path, data)
        assert json.loads(path.read_text(encoding="utf-8")) == {"name": "ağ", "number": 1}


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt.part").write_text("half of somethi")
    write_text(tmp_path / "a.txt", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "whole"


def test_each_of_several_writers_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Another's half is neither taken nor renamed."""
    other = tmp_path / "a.json.part"
    other.write_text("half")
    write_json(tmp_path / "a.json", 1, tmp_path / "mine")
    assert other.read_text() == "half" and sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.json.part"]
