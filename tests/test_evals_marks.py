"""Marks of clips: kept whole by several apps at once, and a file that was spoilt is told in words."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from asrdemo.errors import ResultError
from evals import marks
from evals.catalogue import SHIPPED
from evals.results import Result, open_result


@pytest.fixture(scope="module")
def result() -> Result:
    return open_result(SHIPPED / "results" / "demo-en-beam")


def mark_many(home: Path, result: Result, who: str) -> None:
    for number in range(25):
        marks.mark(home, result, f"{who}-{number}.mp3", "interesting")


def test_no_mark_is_lost_where_two_apps_share_a_home(tmp_path: Path, result: Result) -> None:
    several = multiprocessing.get_context("fork")
    apps = [several.Process(target=mark_many, args=(tmp_path, result, who)) for who in "ab"]
    for app in apps:
        app.start()
    for app in apps:
        app.join()
    assert len(marks.marks(tmp_path, result)) == 50


@pytest.mark.parametrize("text", ["[]", "{", '{"a.mp3": 3}', '{"a.mp3": {"at": "x"}}', '{"a.mp3": {"mark": "odd"}}'])
def test_a_spoilt_file_is_told_and_not_written_over(tmp_path: Path, result: Result, text: str) -> None:
    marks.mark(tmp_path, result, "a.mp3", "interesting")
    [file] = (tmp_path / "marks").glob("*.json")
    file.write_text(text)
    for ask in (marks.marks, marks.table, lambda *at: marks.mark(*at, "b.mp3", "interesting")):
        with pytest.raises(ResultError, match="cannot be read: .*Mend or remove that file"):
            ask(tmp_path, result)
    assert file.read_text() == text
