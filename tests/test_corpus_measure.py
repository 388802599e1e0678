"""asrdemo.measure: every clip once, kept, resumed after a kill; broken clips named and left out."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_corpus import wav, write

from asrdemo import measure as measuring
from asrdemo.corpus import Corpus, kept, open_corpus
from asrdemo.errors import Cancelled
from asrdemo.measure import derived, measure

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Nine tones of different loudness, one of them no audio and one missing; parts of two clips."""
    monkeypatch.setattr(measuring, "PART", 2)
    clips = tmp_path / "set" / "clips"
    rows = [f"{i}.wav\tabcd efgh" for i in range(9)]
    write(tmp_path / "set", "test.tsv", "path\tsentence", *rows)
    write(tmp_path / "set", "clip_durations.tsv", "clip\tduration[ms]", *(f"{i}.wav\t1000" for i in range(9)))
    for i in range(9):
        wav(clips / f"{i}.wav", 0.5 + i / 10)
    (clips / "3.wav").write_text("this is no audio")
    (clips / "4.wav").unlink()
    return open_corpus(tmp_path / "set", home=tmp_path / "home")


def test_measurements_are_made_once_and_kept(small, monkeypatch):
    assert small.measurements("test") is None
    told = []
    found = measure(small, "test", workers=1, progress=lambda done, total, note: told.append((done, total)))
    assert told[-1] == (9, 9) and len(told) == 5 and list(found.index) == [f"{i}.wav" for i in range(9)]
    assert found["seconds"].dropna().tolist() == pytest.approx([0.5, 0.6, 0.7, 1.0, 1.1, 1.2, 1.3])
    assert "not recognised" in found["error"]["3.wav"] or "audio" in found["error"]["3.wav"]
    assert "no file 4.wav" in found["error"]["4.wav"] and (found["error"] == "").sum() == 7
    assert not any(str(small.root) in error for error in found["error"]), "no paths of the machine in messages"
    assert found.loc["3.wav"].drop("error").isna().all()
    monkeypatch.setattr(measuring, "measure_part", lambda *_: pytest.fail("measured twice"))
    assert measure(small, "test").equals(found) and small.measurements("test").equals(found)


def test_two_processes_measure_alike(small, tmp_path):
    alone = measure(small, "test", workers=1)
    other = open_corpus(small.root, home=tmp_path / "other")
    assert measure(other, "test", workers=2).equals(alone)


def test_stopped_measuring_goes_on_where_it_was(small, monkeypatch):
    def stop(done: int, total: int, note: str) -> None:
        if done >= 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        measure(small, "test", workers=1, progress=stop)
    assert small.measurements("test") is None
    made, part = [], measuring.measure_part
    monkeypatch.setattr(
        measuring, "measure_part", lambda target, clips: made.append(target.name) or part(target, clips)
    )
    assert len(measure(small, "test", workers=1)) == 9
    assert made == [f"part-{i:05d}.parquet" for i in (2, 3, 4)]
    assert not (kept.folder(small.home, small.name, "test", small.fingerprint("test")) / "parts").exists()


PROGRAM = """
import sys, time
from pathlib import Path
from asrdemo import measure as measuring
from asrdemo.corpus import open_corpus
measuring.PART = 2
slow = measuring.measure_part
measuring.measure_part = lambda *a: (time.sleep(0.2), slow(*a))[1]
measuring.measure(open_corpus(sys.argv[1], home=Path(sys.argv[2])), "test", workers=1)
"""


def test_killed_measuring_goes_on_and_gives_the_same(small, tmp_path):
    arguments = [sys.executable, "-c", PROGRAM, str(small.root), str(small.home)]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = kept.folder(small.home, small.name, "test", small.fingerprint("test")) / "parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("part-*.parquet"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= len(list(parts.glob("part-*.parquet"))) < 5, "killed in the middle"
    resumed = measure(small, "test", workers=1)
    assert resumed.equals(measure(open_corpus(small.root, home=tmp_path / "fresh"), "test", workers=1))


def test_clips_that_could_not_be_decoded_are_quarantined(small):
    assert list(small.load("test", check_clips=True).quarantined["reason"]) == ["no such file"]
    measure(small, "test", workers=1)
    bad = small.load("test", check_clips=True).quarantined.set_index("clip")["reason"]
    assert bad["4.wav"] == "no such file" and len(bad) == 2 and "3.wav" in bad["3.wav"]


def test_a_changed_table_is_measured_anew(small):
    measure(small, "test", workers=1)
    write(small.root, "test.tsv", "path\tsentence", "0.wav\tother")
    assert small.measurements("test") is None and len(measure(small, "test", workers=1)) == 1


def test_derived_columns_follow_the_split(small):
    before = derived(small, "test")
    assert before["speaking_rate"].tolist() == [8.0] * 9 and before["loudness"].isna().all()
    measure(small, "test", workers=1)
    after = derived(small, "test").set_index("clip")
    assert after["speaking_rate"]["0.wav"] == 16.0 and after["speaking_rate"]["3.wav"] == 8.0
    assert after["loudness"]["0.wav"] == pytest.approx(-23.0, abs=0.1) and np.isnan(after["loudness"]["4.wav"])
    assert after.index.tolist() == small.table("test")["clip"].tolist()


def test_measured_lengths_fill_in_for_a_release_without_durations(tmp_path, monkeypatch):
    from asrdemo.corpus import release

    monkeypatch.setattr(release, "HEADERS_AT_ONCE", 0)
    write(tmp_path, "dev.tsv", "path\tsentence", "1.wav\tx")
    wav(tmp_path / "clips" / "1.wav", 0.7)
    opened = open_corpus(tmp_path, home=tmp_path / "home")
    assert opened.table("dev")["seconds"].isna().all()
    measure(opened, "dev", workers=1)
    assert opened.table("dev")["seconds"].tolist() == [pytest.approx(0.7)]


def test_real_clips_measure_as_they_sound(real_clips, tmp_path):
    rows = [f"{path.name}\tx" for path in real_clips]
    write(tmp_path, "test.tsv", "path\tsentence", *rows)
    (tmp_path / "clips").mkdir()
    for path in real_clips:
        (tmp_path / "clips" / path.name).symlink_to(path)
    found = measure(open_corpus(tmp_path, home=tmp_path / "home"), "test", workers=1)
    assert (found["error"] == "").all()
    assert found["seconds"].tolist() == pytest.approx([soundfile.info(p).duration for p in real_clips], abs=0.1)
    assert found["loudness"].between(-60, -5).all() and found["snr"].between(5, 80).all()
    assert found["bandwidth"].between(3000, 8000).all() and found["silence"].between(0, 0.9).all()
