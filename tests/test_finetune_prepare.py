"""asrdemo.finetune.select and prepare: which clips take part, and shards that survive whatever happens to them."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from conftest import ROOT, SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo import audio, corpus
from asrdemo.errors import Cancelled, ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import parts, prepare, select, shards
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.recipe import DevCorpus, TrainCorpus

RECIPE = recipes.Recipe("t", (TrainCorpus("c", "unused"),), (), clips=recipes.Clips(0.3, 4.0))
HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale"


def release(folder: Path, rows: list[dict], split: str = "train") -> Path:
    """A table in Common Voice layout. rows: client_id, path ... with defaults, and `ms` for the durations table."""
    usual = {"client_id": "s", "sentence": "Hello, you!", "up_votes": 2, "down_votes": 0, "locale": "en"}
    folder.mkdir(parents=True, exist_ok=True)
    full = [usual | {"path": f"{i}.wav"} | row for i, row in enumerate(rows)]
    lines = [HEADER, *("\t".join(str(row.get(c, "")) for c in HEADER.split("\t")) for row in full)]
    (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    if any("ms" in row for row in rows):
        lengths = [f"{row['path']}\t{row['ms']}" for row in full if "ms" in row]
        (folder / "clip_durations.tsv").write_text("\n".join(["clip\tduration[ms]", *lengths]) + "\n")
    return folder


def with_audio(folder: Path, count: int, seconds: float = 0.4) -> Path:
    """A corpus of so many clips of noise, each with other samples."""
    release(folder, [{"client_id": f"s{i % 7}", "sentence": f"Clip {i}."} for i in range(count)])
    (folder / "clips").mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        noise = rng.integers(-3000, 3000, int(seconds * 16000), dtype=np.int16)
        soundfile.write(folder / "clips" / f"{i}.wav", noise, 16000)
    return folder


def source(folder: Path, **changes) -> TrainCorpus:
    return TrainCorpus("c", str(folder), **changes)


def chosen(folder: Path, seed: int = 1, **changes) -> list[str]:
    return select.rows(corpus.open_corpus(folder), source(folder, **changes), seed).column("name").to_pylist()


def files(shard_folder: Path) -> dict[str, bytes]:
    """All of a shard but the lock."""
    return {p.name: p.read_bytes() for p in shard_folder.iterdir() if p.name != "lock"}


@pytest.fixture
def folder(tmp_path):
    """Clips of several kinds: good ones at two rates and channel counts, too short, too long, broken, without text."""
    kinds = [(1, 16000, 1), (2, 48000, 1), (3, 16000, 2), (0.1, 16000, 1), (5, 16000, 1), None, (1, 16000, 1)]
    rows = [{"client_id": f"s{i}", "accents": "us"} for i in range(8)]
    rows[6]["sentence"] = "..."
    release(tmp_path / "c", [*rows, {"path": "0.wav", "sentence": "again"}])
    (tmp_path / "c" / "clips").mkdir()
    rng = np.random.default_rng(0)
    for i, kind in enumerate(kinds):
        if kind:
            seconds, rate, channels = kind
            soundfile.write(
                tmp_path / "c" / "clips" / f"{i}.wav", rng.normal(0, 0.1, (int(seconds * rate), channels)), rate
            )
    (tmp_path / "c" / "clips" / "5.wav").write_bytes(b"this is not audio")
    return tmp_path / "c"


# Which clips take part


PEOPLE = [
    {"client_id": "a", "accents": "us", "gender": "female", "age": "teens"},
    {"client_id": "b", "accents": "indian", "gender": "male", "age": "fourties"},
    {"client_id": "c", "accents": "England English,United States English", "gender": "male"},
    {"client_id": "d", "down_votes": 3},
    {"client_id": "e", "up_votes": 9},
]


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({}, "01234"),
        ({"accents": ("us",)}, "0"),
        ({"accents": ("United States English",)}, "02"),
        ({"accents": ("",)}, "34"),
        ({"exclude_accents": ("United States English",)}, "134"),
        ({"exclude_accents": ("Scottish English",)}, "01234"),  # an accent of English that nobody here has
        ({"genders": ("male",), "exclude_accents": ("England English",)}, "1"),
        ({"genders": ("male_masculine",), "ages": ("fourties",)}, "1"),
        ({"min_up_votes": 3}, "4"),
        ({"max_down_votes": 0}, "0124"),
    ],
)
def test_filters_take_names_as_the_release_or_the_page_writes_them(tmp_path, filters, expected):
    release(tmp_path / "cv-en", PEOPLE)
    assert chosen(tmp_path / "cv-en", **filters) == [f"{i}.wav" for i in expected]


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"accents": ("Klingon",)}, "'Klingon'; there are: .*'United States English'"),
        ({"exclude_accents": ("Klingon",)}, "accents 'Klingon'"),
        ({"genders": ("m",)}, "gender 'm'; there are: 'male_masculine', 'female_feminine'"),
        ({"ages": ("forties",)}, "age 'forties'; there are: .*'fourties'"),
    ],
)
def test_a_name_that_the_corpus_does_not_have_is_an_error_with_those_it_has(tmp_path, filters, message):
    release(tmp_path / "cv-en", PEOPLE)
    with pytest.raises(ConfigError, match=message):
        chosen(tmp_path / "cv-en", **filters)


def test_filters_that_leave_nothing_say_which_one_did(tmp_path):
    release(tmp_path / "cv-en", PEOPLE)
    with pytest.raises(TrainingError, match="5 in the table, 1 after min_up_votes 3, 0 after accents us"):
        chosen(tmp_path / "cv-en", min_up_votes=3, accents=("us",))


@settings(max_examples=30, deadline=None)
@given(
    clips=st.lists(st.tuples(st.sampled_from("abcdé "), st.integers(300, 15_000)), min_size=1, max_size=40),
    wanted=st.floats(0.5, 200),
    seed=st.integers(0, 99),
)
def test_hours_are_met_within_a_clip_by_whole_speakers(clips, wanted, seed):
    with tempfile.TemporaryDirectory() as scratch:
        folder = release(Path(scratch), [{"client_id": who.strip(), "ms": ms} for who, ms in clips])
        names = chosen(folder, seed, hours=wanted / 3600)
        less = chosen(folder, seed, hours=wanted / 7200)
    taken = [int(name.removesuffix(".wav")) for name in names]
    assert taken == sorted(set(taken)), "no clip twice, in the table's order"
    assert set(less) <= set(names), "a sweep's smaller steps are parts of the larger ones"
    total = sum(clips[i][1] for i in taken) / 1000
    if len(taken) < len(clips):
        assert wanted <= total + 1e-6 and total - max(clips[i][1] for i in taken) / 1000 < wanted
    cut = {who for i, (who, _) in enumerate(clips) if i not in taken} & {clips[i][0] for i in taken} - {" "}
    assert len(cut) <= 1, "only the last speaker may be cut"


def test_the_draw_changes_with_the_seed_only(tmp_path):
    rows = [{"client_id": f"s{i // 3}", "path": f"{i}.wav", "ms": 1000} for i in range(60)]
    first = chosen(release(tmp_path / "a", rows), hours=10 / 3600)
    assert set(first) == set(chosen(release(tmp_path / "b", rows[::-1]), hours=10 / 3600)), "not with the table's order"
    assert first != chosen(tmp_path / "a", seed=2, hours=10 / 3600)


def test_audio_that_was_freed_after_it_was_prepared_is_not_missed(tmp_path):
    folder = with_audio(tmp_path / "c", 6, 0.5)
    source, recipe = TrainCorpus("c", str(folder)), recipes.Recipe(name="x", train=(), dev=())
    made = prepare.prepare(source, recipe, tmp_path / "shards", workers=1)
    for clip in sorted((folder / "clips").iterdir()):
        clip.unlink()
        assert prepare.prepare(source, recipe, tmp_path / "shards", workers=1).folder == made.folder


def test_a_fraction_is_of_the_clips_and_part_of_a_larger_one(tmp_path):
    folder = with_audio(tmp_path / "c", 30, 0.5)
    some, more = chosen(folder, fraction=0.25), chosen(folder, fraction=0.5)
    assert len(some) == 8 and len(more) == 15 and set(some) < set(more) and some != chosen(folder)[:8]
    assert set(chosen(folder, fraction=0.5, hours=2 / 3600)) < set(more), "hours of that fraction"


def test_hours_without_a_table_of_lengths_are_read_from_the_audio(tmp_path, monkeypatch):
    monkeypatch.setattr("asrdemo.corpus.release.HEADERS_AT_ONCE", 0)
    assert len(chosen(with_audio(tmp_path / "c", 30, 0.5), hours=5 / 3600)) == 10


def test_a_folder_may_be_an_id_of_the_registry(tmp_path, monkeypatch):
    release(tmp_path / "speech", PEOPLE)
    checkpoint = tmp_path / "m"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text("{}")
    listed = f"corpora:\n  - {{id: mine, title: M, language: en, profile: en, path: {tmp_path / 'speech'}}}\n"
    listed += f"checkpoints:\n  - {{id: m, title: M, language: en, path: {checkpoint}}}\n"
    (tmp_path / "models.yaml").write_text(listed)
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(tmp_path / "models.yaml"))
    assert select.corpus_of(TrainCorpus("c", "mine")).root == tmp_path / "speech"
    monkeypatch.setenv("CORPORA", str(tmp_path))
    assert select.corpus_of(TrainCorpus("c", "$CORPORA/speech")).root == tmp_path / "speech"
    with pytest.raises(NotFoundError, match="'yours'.*mine"):
        select.corpus_of(TrainCorpus("c", "yours"))


# What a shard holds


def test_shard_holds_what_is_usable_and_names_the_rest(folder, tmp_path):
    shard = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    assert shard.names == ("0.wav", "1.wav", "2.wav") and set(shard.texts) == {"hello you"}
    assert np.allclose(shard.lengths / 16000, [1, 2, 3], atol=0.01)
    assert shard.hours == pytest.approx(6 / 3600, rel=0.01)
    assert shard.dropped == {
        "train.tsv: named before": ["0.wav"],
        "shorter than 0.3 s": ["3.wav"],
        "longer than 4.0 s": ["4.wav"],
        "cannot be decoded": ["5.wav"],
        "empty text": ["6.wav"],
        "no such file": ["7.wav"],
    }
    assert shard.samples(2).dtype == np.float32 and len(shard.samples(2)) == 48000
    assert shard.column("client_id")[1:] == ("s1", "s2") and shard.column("sentence")[0] == "Hello, you!"
    assert np.asarray(shard.column("client_id")).tolist() == ["s0", "s1", "s2"]
    assert shard.column("accents")[0] == "United States English"
    assert [p.name for p in (tmp_path / "shards").iterdir()] == [shard.folder.name]
    listed = (shard.folder / "quarantine.tsv").read_text()
    assert "5.wav\tcannot be decoded\t5.wav is not" in listed and "7.wav\tno such file\tNo such file" in listed


def test_sixteen_bit_audio_comes_back_sample_by_sample(folder, tmp_path):
    shard = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    said, _ = soundfile.read(folder / "clips" / "0.wav", dtype="float32")
    assert np.array_equal(shard.samples(0), said)


def test_dev_sets_keep_long_clips(folder, tmp_path):
    shard = prepare.prepare(DevCorpus("c", str(folder), "train"), RECIPE, tmp_path / "shards")
    assert "4.wav" in shard.names


def test_pretraining_needs_no_text(folder, tmp_path):
    recipe = dataclasses.replace(RECIPE, mode="pretrain")
    shard = prepare.prepare(source(folder), recipe, tmp_path / "shards")
    assert "6.wav" in shard.names and "" in shard.texts and "empty text" not in shard.dropped


def test_real_speech(tmp_path):
    if not (SHARED / "an4").is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    told = []
    shard = prepare.prepare(DevCorpus("an4", str(SHARED / "an4"), "test"), RECIPE, tmp_path, lambda *a: told.append(a))
    assert len(shard) == len(corpus.read(SHARED / "an4", "test")) and not shard.dropped
    for i in (0, 77, len(shard) - 1):
        clip = audio.read_clip(SHARED / "an4" / "clips" / shard.names[i])
        assert np.abs(shard.samples(i) - clip.samples).max() <= 1 / 32768
    assert told[-1] == (len(shard), len(shard), "preparing an4, test")


def test_a_shard_travels_by_name(folder, tmp_path):
    shard = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    packed = pickle.dumps(shard)
    assert len(packed) < 1000 and np.array_equal(pickle.loads(packed).samples(1), shard.samples(1))
    with pytest.raises(TrainingError, match="'shoe_size'; there are .*client_id"):
        shard.column("shoe_size")


# Made once


def test_a_shard_is_made_once(folder, tmp_path, monkeypatch):
    home = tmp_path / "shards"
    first = prepare.prepare(source(folder), RECIPE, home)
    monkeypatch.setattr(parts, "make", lambda task: pytest.fail("decoded again"))
    assert prepare.prepare(source(folder), RECIPE, home).folder == first.folder
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    other = prepare.prepare(dataclasses.replace(source(moved), id="other"), RECIPE, home)
    assert other.folder == first.folder and other.id == "other", "shared whatever the path and the recipe's name for it"


@pytest.mark.parametrize(
    "changes, recipe",
    [
        ({"accents": ("us",)}, {"normalisation": "raw"}),
        ({}, {"clips": recipes.Clips(0.3, 6.0)}),
        ({"hours": 3 / 3600}, {}),
    ],
)
def test_what_decides_the_clips_makes_another_shard(folder, tmp_path, changes, recipe):
    first = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    other = prepare.prepare(source(folder, **changes), dataclasses.replace(RECIPE, **recipe), tmp_path / "shards")
    assert other.key != first.key and len(list((tmp_path / "shards").iterdir())) == 2


def test_a_changed_table_makes_another_shard(folder, tmp_path):
    first = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    release(folder, [{"sentence": "New text."}])
    assert prepare.prepare(source(folder), RECIPE, tmp_path / "shards").texts == ("new text",)
    assert len(prepare.load(first.folder, "c")) == 3


def telephone(folder: Path, target: Path) -> Path:
    """The same corpus, every clip a tenth as loud: files of equal names and sizes."""
    shutil.copytree(folder, target)
    for file in (target / "clips").iterdir():
        samples, rate = soundfile.read(file)
        soundfile.write(file, samples / 10, rate)
    return target


def test_other_audio_under_the_same_names_makes_another_shard(tmp_path):
    clean = with_audio(tmp_path / "clean", 3)
    dull = telephone(clean, tmp_path / "telephone")
    loud, soft = (prepare.prepare(source(f), RECIPE, tmp_path / "shards", workers=1) for f in (clean, dull))
    assert loud.key != soft.key and np.abs(loud.samples(1)).max() > 5 * np.abs(soft.samples(1)).max()


def test_a_mended_clip_is_taken_in_while_a_run_still_reads(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("asrdemo.corpus.release.SAMPLED", 1)
    before = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    heard = before.samples(2)
    shutil.copy(folder / "clips" / "0.wav", folder / "clips" / "5.wav")
    after = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    assert after.folder == before.folder and after.names == ("0.wav", "1.wav", "2.wav", "5.wav")
    assert np.array_equal(before.samples(2), heard) and np.array_equal(after.samples(2), heard)


def test_a_clip_that_was_recorded_again_is_heard_and_only_its_part_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("asrdemo.corpus.release.SAMPLED", 1)
    monkeypatch.setattr(parts, "CLIPS", 10)
    folder = with_audio(tmp_path / "c", 30)
    before = prepare.prepare(source(folder), RECIPE, tmp_path / "shards", workers=1)
    again = folder / "clips" / "15.wav"
    shutil.copyfile(folder / "clips" / "3.wav", again)  # of the same size
    after = prepare.prepare(source(folder), RECIPE, tmp_path / "shards", workers=1)
    assert np.array_equal(after.samples(15), after.samples(3))
    assert not np.array_equal(before.samples(15), after.samples(3))
    assert [p.split(".")[1] for p in after.parts] == ["0", "1", "0"]
    for file in (folder / "clips").iterdir():  # prepared audio stays when the clips have to go
        if file.name != "0.wav":
            file.unlink()
    assert prepare.prepare(source(folder), RECIPE, tmp_path / "shards").parts == after.parts


def test_copies_with_times_of_their_own_take_turns(tmp_path, monkeypatch):
    folder = with_audio(tmp_path / "c", 5)
    for file in (folder / "clips").iterdir():
        os.utime(file, (10**9, 10**9))
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)  # written now
    first, second = (prepare.prepare(source(f), RECIPE, tmp_path / "shards", workers=1) for f in (folder, copy))
    assert second.folder == first.folder
    monkeypatch.setattr(parts, "make", lambda task: pytest.fail("decoded again"))
    for f in (folder, copy, folder):
        assert prepare.prepare(source(f), RECIPE, tmp_path / "shards", workers=1).parts == second.parts


def test_of_an_archive_nothing_is_taken_out_again_to_find_its_shard(tmp_path, monkeypatch):
    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as packed:
        packed.add(with_audio(tmp_path / "c", 4), "cv-corpus-1/en")
    first = prepare.prepare(source(tmp_path / "c.tar.gz"), RECIPE, tmp_path / "shards", workers=1)
    shutil.rmtree(next((tmp_path / "home" / "corpora").glob("*/cv-corpus-1/en/clips")))
    monkeypatch.setattr(parts, "make", lambda task: pytest.fail("decoded again"))
    moved = (tmp_path / "c.tar.gz").rename(tmp_path / "d.tar.gz")
    assert prepare.prepare(source(moved), RECIPE, tmp_path / "shards", workers=1).folder == first.folder


def test_hours_of_a_dev_set_are_drawn_as_those_of_training_are(tmp_path):
    rows = [{"client_id": f"s{i // 3}", "path": f"{i}.wav", "ms": 1000} for i in range(60)]
    opened = corpus.open_corpus(release(tmp_path / "c", rows))
    drawn = select.rows(opened, DevCorpus("c", "c", "train", hours=10 / 3600), 1).column("name").to_pylist()
    assert len(drawn) == 10 and drawn == chosen(tmp_path / "c", hours=10 / 3600)


# What can go wrong


def test_damage_is_told_never_read(folder, tmp_path):
    shard = prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    part, index = shard.folder / shard.parts[0], shard.folder / shards.INDEX
    content, told = part.read_bytes(), f"damaged.*Delete the folder {shard.folder}"
    at = int(shard.index.column("offset")[1].as_py()) + 100
    part.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(TrainingError, match=told):
        prepare.load(shard.folder, "c").samples(1)
    assert len(prepare.load(shard.folder, "c").samples(0)) == 16000
    part.write_bytes(content[:-1])
    with pytest.raises(TrainingError, match=told):
        prepare.prepare(source(folder), RECIPE, tmp_path / "shards")
    part.unlink()
    with pytest.raises(TrainingError, match="is missing.*Delete the folder"):
        prepare.load(shard.folder, "c")
    index.write_bytes(index.read_bytes()[:-9])
    with pytest.raises(TrainingError, match=told):
        prepare.load(shard.folder, "c")


def test_nothing_usable_is_an_error_that_says_why(folder, tmp_path):
    recipe = dataclasses.replace(RECIPE, clips=recipes.Clips(3.5, 4.0))
    with pytest.raises(TrainingError, match=r"no usable clip \(.*4 shorter than 3.5 s.*quarantine.tsv"):
        prepare.prepare(source(folder), recipe, tmp_path / "shards")


def test_more_than_half_broken_stops_and_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "CLIPS", 10)
    folder = with_audio(tmp_path / "c", 40)
    for i in range(25):
        (folder / "clips" / f"{i}.wav").rename(tmp_path / f"{i}.wav")
    with pytest.raises(TrainingError, match=r"More than half.*2[1-5] of 40 .* such as 0.wav \(No such file"):
        prepare.prepare(source(folder), RECIPE, tmp_path / "shards", workers=1)
    for i in range(25):
        (tmp_path / f"{i}.wav").rename(folder / "clips" / f"{i}.wav")
    assert len(prepare.prepare(source(folder), RECIPE, tmp_path / "shards", workers=1)) == 40


def test_too_little_room_is_told_before_anything_is_decoded(tmp_path, monkeypatch):
    folder = release(tmp_path / "c", [{"ms": 3_600_000 // 4}] * 1 + [{"ms": 900_000} for _ in range(79)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    monkeypatch.setattr(parts, "make", lambda task: pytest.fail("decoded"))
    with pytest.raises(TrainingError, match=r"about 2.3 GB, 1.0 GB are free"):
        prepare.prepare(source(folder), RECIPE, tmp_path / "shards")


def test_stopped_by_the_user_it_keeps_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "CLIPS", 10)
    folder = with_audio(tmp_path / "c", 60)

    def stop(done, total, note):
        if done >= 30:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        prepare.prepare(source(folder), RECIPE, tmp_path / "shards", stop, workers=2)
    left = next((tmp_path / "shards").iterdir())
    kept = {p.name: p.stat().st_mtime_ns for p in left.glob("part-*")}
    assert len(kept) >= 3 and not list(left.glob(".*")) and not psutil.Process().children()
    prepare.prepare(source(folder), RECIPE, tmp_path / "shards", workers=2)
    assert kept == {name: (left / name).stat().st_mtime_ns for name in kept}, "not made again"


def test_a_worker_that_dies_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "CLIPS", 10)
    folder = with_audio(tmp_path / "c", 200)

    def kill(done, total, note):
        for worker in psutil.Process().children():
            worker.kill()

    with pytest.raises(TrainingError, match="was killed.*clips from .* What is finished is kept"):
        prepare.prepare(source(folder), RECIPE, tmp_path / "shards", kill, workers=2)


PROGRAM = """
import sys
from pathlib import Path
from asrdemo.finetune import parts, prepare, recipe as r
parts.CLIPS = int(sys.argv[3])
recipe = r.Recipe("t", (r.TrainCorpus("c", "unused"),), (), clips=r.Clips(0.3, 4.0))
told = lambda *args: print(*args, sep="|", flush=True)
shard = prepare.prepare(r.TrainCorpus("c", sys.argv[1]), recipe, Path(sys.argv[2]), told, workers=2)
print("made", len(shard))
"""


def start(folder: Path, home: Path, clips: int = 20) -> subprocess.Popen:
    arguments = [sys.executable, "-c", PROGRAM, str(folder), str(home), str(clips)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    folder, home = with_audio(tmp_path / "c", 300), tmp_path / "killed"
    (folder / "clips" / "33.wav").write_bytes(b"broken")
    monkeypatch.setattr(parts, "CLIPS", 10)
    whole = prepare.prepare(source(folder), RECIPE, tmp_path / "whole", workers=2)
    rng, kills = np.random.default_rng(5), 0
    while kills < 4:
        running = start(folder, home, 10)
        for line in running.stdout:  # somewhere after it began to decode
            if "preparing" in line and rng.random() < 0.3:
                break
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL or kills > 1, "too quick to be killed"
        kills += 1
    last = start(folder, home, 10)
    assert last.communicate()[0].endswith("made 299\n")
    assert files(home / whole.folder.name) == files(whole.folder)


def test_two_processes_share_the_work_of_one(tmp_path):
    folder, home = with_audio(tmp_path / "c", 400), tmp_path / "shards"
    both = [start(folder, home) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert all(text.endswith("made 400\n") for text in told)
    decoded = [text for text in told if "preparing" in text]
    assert len(decoded) == 1, "the other waited, or came when all was done"
    assert {p.stem.split(".")[1] for p in next(home.iterdir()).glob("part-*")} == {"0"}


def test_one_that_waits_says_so(tmp_path, monkeypatch):
    folder, home, notes = with_audio(tmp_path / "c", 20), tmp_path / "shards", []
    shard = prepare.prepare(source(folder), RECIPE, home)
    (shard.folder / shards.INDEX).unlink()
    with (shard.folder / "lock").open("w") as held:
        assert prepare._locked(held)

        def told(done, total, note):
            notes.append(note)
            held.close()

        assert len(prepare.prepare(source(folder), RECIPE, home, told)) == 20
    assert notes[0] == "waiting for another process that prepares c, train" and "preparing" in notes[1]


def peak_memory(process: subprocess.Popen) -> float:
    """Most MB that a process and its children held at once while it ran."""
    most, one = 0, psutil.Process(process.pid)
    while process.poll() is None:
        tree = [one, *one.children(recursive=True)]
        held = 0
        for each in tree:
            try:
                held += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        most = max(most, held)
        time.sleep(0.05)
    return most / 1e6


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    few, many = (with_audio(tmp_path / f"c{count}", count, 2.0) for count in (200, 2000))
    small, large = (peak_memory(start(folder, tmp_path / "shards", 100)) for folder in (few, many))
    assert large < small + 50, f"{small:.0f} MB for 13 MB of audio, {large:.0f} MB for 128 MB"
