"""Common Voice folders of several versions, with the traps their tables hold."""

import math

import pytest

from asrdemo import corpus
from asrdemo.errors import CorpusError, NotFoundError


def write(folder, name, *lines):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_stray_quote_and_na_survive(tmp_path):
    write(
        tmp_path,
        "test.tsv",
        "client_id\tpath\tsentence\taccents\tlocale",
        'a\t1.mp3\tHe said "no\tIndia and South Asia (India, Pakistan, Sri Lanka)\ten',
        "b\t2.mp3\tNA\t\ten",
        'c\t3.mp3\tNULL "quoted"\t\ten',
    )
    clips = corpus.read(tmp_path, "test")
    assert list(clips["sentence"]) == ['He said "no', "NA", 'NULL "quoted"']
    assert clips["accents"].iloc[0].startswith("India and South Asia (India")
    assert clips["gender"].tolist() == ["", "", ""]
    assert clips["file"].iloc[1].endswith("clips/2.mp3")
    assert all(math.isnan(s) for s in clips["seconds"])


def test_old_accent_column_is_renamed(tmp_path):
    write(tmp_path, "validated.tsv", "client_id\tpath\tsentence\taccent", "a\t1.mp3\thello\tus")
    assert corpus.read(tmp_path, "validated")["accents"].tolist() == ["us"]


def test_durations_become_seconds(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello", "2.mp3\tthere")
    write(tmp_path, "clip_durations.tsv", "clip\tduration[ms]", "1.mp3\t1500")
    seconds = corpus.read(tmp_path, "dev")["seconds"]
    assert seconds[0] == 1.5 and math.isnan(seconds[1])


def test_bad_duration_is_named(tmp_path):
    write(tmp_path, "clip_durations.tsv", "clip\tduration[ms]", "1.mp3\tlong")
    with pytest.raises(CorpusError, match="'long' as a duration"):
        corpus.durations(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello")
    write(tmp_path, "odd.tsv", "path\ttext", "1.mp3\thello")
    assert corpus.splits(tmp_path) == ("dev",)
    with pytest.raises(NotFoundError, match="no split 'test'; available: dev"):
        corpus.read(tmp_path, "test")
    with pytest.raises(CorpusError, match="lacks the column.*sentence"):
        corpus.read(tmp_path, "odd")
    with pytest.raises(NotFoundError, match="no corpus folder"):
        corpus.splits(tmp_path / "absent")


def test_ragged_table_is_an_error(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello", "2.mp3\tthere\tmore\tand more")
    with pytest.raises(CorpusError, match="cannot be read"):
        corpus.read(tmp_path, "dev")
