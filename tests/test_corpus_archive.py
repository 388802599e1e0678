"""asrdemo.corpus.archive and tar: a downloaded release reads like its folder, once, and a hostile one is refused."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import types
from pathlib import Path

import pytest
from test_corpus import wav, write

from asrdemo.corpus import archive, open_corpus, tar
from asrdemo.errors import CorpusError, NotFoundError

RELEASE = "cv-corpus-17.0-2024-03-15"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release folder of one language with three clips."""
    root = tmp_path / RELEASE / "tr"
    rows = [f"{name}\tcommon_voice_tr_{i}.wav\tcümle {i}\ttr" for i, name in enumerate("aab")]
    write(root, "test.tsv", "client_id\tpath\tsentence\tlocale", *rows)
    write(root, "clip_durations.tsv", "clip\tduration[ms]", *(f"common_voice_tr_{i}.wav\t{500 + i}" for i in range(3)))
    for i in range(3):
        wav(root / "clips" / f"common_voice_tr_{i}.wav", 0.5 + i / 10)
    return root


def packed(folder: Path, name: str = f"{RELEASE}-tr.tar.gz") -> Path:
    """The release as Mozilla packs it."""
    path = folder.parents[1] / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w", format=tarfile.GNU_FORMAT) as out:
        out.add(folder.parent, RELEASE)
    return path


@pytest.mark.parametrize("name", [f"{RELEASE}-tr.tar.gz", "mine.tgz", "mine.tar"])
def test_an_archive_reads_like_its_folder(folder, tmp_path, name):
    packing, plain = open_corpus(packed(folder, name), home=tmp_path / "home"), open_corpus(folder, home=tmp_path)
    assert packing.name == archive.stem(Path(name)) and packing.language == "tr" and packing.splits == ("test",)
    ours, theirs = packing.table("test"), plain.table("test")
    assert ours.drop(columns="file").equals(theirs.drop(columns="file"))
    assert packing.fingerprint("test") == plain.fingerprint("test")
    for clip in ours["clip"]:
        assert packing.audio(clip).read_bytes() == plain.audio(clip).read_bytes()
    assert packing.load("test", check_clips=True).quarantined.empty


def test_a_large_archive_gives_a_clip_when_asked_and_never_twice(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 0)
    path, passes = packed(folder), []
    reading = archive._reading
    monkeypatch.setattr(archive, "_reading", lambda p: passes.append(p) or reading(p))
    opened = open_corpus(path, home=tmp_path / "home")
    clips = opened.table("test")["clip"].tolist()
    assert not opened.clips.exists() and len(passes) == 1
    told = []
    opened.take(clips[:2], lambda done, total, note: told.append((done, total)))
    assert sorted(p.name for p in opened.clips.iterdir()) == clips[:2] and len(passes) == 2 and told[-1] == (2, 2)
    stamps = {p: p.stat().st_mtime_ns for p in opened.clips.iterdir()}
    opened.take(clips[:2])
    assert opened.audio(clips[0]).is_file() and len(passes) == 2, "what is out is not taken out again"
    opened.take(clips)
    assert len(passes) == 3 and all(p.stat().st_mtime_ns == at for p, at in stamps.items())
    again = open_corpus(path, home=tmp_path / "home")
    again.take(clips)
    moved = path.rename(tmp_path / "renamed.tar.gz")
    assert len(passes) == 3 and again.fingerprint("test") == opened.fingerprint("test")
    assert open_corpus(moved, home=tmp_path / "home").audio(clips[2]).is_file() and len(passes) == 3


def test_clips_that_the_archive_lacks_are_quarantined(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 0)
    (folder / "clips" / "common_voice_tr_1.wav").unlink()
    (folder / "clips" / "common_voice_tr_2.wav").write_bytes(b"")
    opened = open_corpus(packed(folder), home=tmp_path / "home")
    bad = opened.load("test", check_clips=True).quarantined
    assert bad["reason"].tolist() == ["no such file", "the file is empty"]
    opened.take(["common_voice_tr_0.wav", "common_voice_tr_1.wav"])  # the missing one costs no other
    assert opened.audio("common_voice_tr_0.wav").is_file()
    with pytest.raises(NotFoundError, match=r"has no clip 'common_voice_tr_1\.wav'"):
        opened.audio("common_voice_tr_1.wav")


def test_a_clip_that_the_archive_lacks_is_looked_for_once(folder, tmp_path, monkeypatch):
    """The index of a large release has millions of names: not to be read again for each clip that is not there."""
    monkeypatch.setattr(archive, "SMALL", 0)
    opened, looked = open_corpus(packed(folder), home=tmp_path / "home"), []
    sizes = archive.Archive.sizes
    monkeypatch.setattr(archive.Archive, "sizes", lambda self, names: looked.append(len(names)) or sizes(self, names))
    opened.take(["gone.wav", "common_voice_tr_0.wav", "lost.wav"])
    for clip in ("gone.wav", "lost.wav", "gone.wav"):
        with pytest.raises(NotFoundError, match="has no clip"):
            opened.audio(clip)
    assert looked == [3]


def test_an_archive_cannot_plant_its_own_index(folder, tmp_path):
    (folder / "index.parquet").write_bytes(b"planted")
    (folder.parents[1] / RELEASE / "index.parquet").write_bytes(b"planted")
    opened = open_corpus(packed(folder), home=tmp_path / "home")
    assert opened.load("test", check_clips=True).quarantined.empty
    assert b"planted" not in b"".join(p.read_bytes() for p in (tmp_path / "home").rglob("*") if p.is_file())


def test_a_full_disk_is_said_before_it_is_full(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 0)
    opened = open_corpus(packed(folder), home=tmp_path / "home")
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(CorpusError, match="0.0 GB are free. Make room, or set ASRDEMO_HOME"):
        opened.take(["common_voice_tr_0.wav"])


def test_no_archive_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no archive 'x.tar.gz'"):
        open_corpus(tmp_path / "x.tar.gz")
    (tmp_path / "x.tar.gz").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(CorpusError, match="damaged or not a tar archive"):
        open_corpus(tmp_path / "x.tar.gz", home=tmp_path / "home")


def hostile(path: Path, *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
    """An archive with a good table first and then these members."""
    table = b"path\tsentence\n1.mp3\tx\n"
    with tarfile.open(path, "w:gz", format=format) as out:
        for info, data in ((member("test.tsv", table), table), *members):
            out.addfile(info, io.BytesIO(data))
    return path


def member(name: str, data: bytes = b"", type: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), type, linkname
    return info


HOSTILE = {
    "climbs": (member("../../escape.txt", b"x"), "leads out"),
    "climbs inside": (member("clips/../../../escape.txt", b"x"), "leads out"),
    "absolute": (member("/tmp/escape.txt", b"x"), "leads out"),
    "drive": (member("C:escape.txt", b"x"), "leads out"),
    "backslash": (member("..\\escape.txt", b"x"), "name that no release uses"),
    "control character": (member("clips/a\nb.mp3", b"x"), "name that no release uses"),
    "folder that climbs": (member("../escape", type=tarfile.DIRTYPE), "leads out"),
    "symbolic link": (member("clips", type=tarfile.SYMTYPE, linkname="/etc"), "a symbolic link"),
    "hard link": (member("clips/1.mp3", type=tarfile.LNKTYPE, linkname="../../etc/passwd"), "a hard link"),
    "device": (member("clips/1.mp3", type=tarfile.CHRTYPE), "a device"),
    "pipe": (member("clips/1.mp3", type=tarfile.FIFOTYPE), "a pipe"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_no_release_holds_is_refused(tmp_path, case, format):
    info, message = HOSTILE[case]
    path = hostile(tmp_path / "bad.tar.gz", (info, b"x" * info.size), format=format)
    with pytest.raises(CorpusError, match=message):
        open_corpus(path, home=tmp_path / "home")
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == [path], "nothing is left behind, inside or outside"


def test_archives_that_expand_beyond_measure_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_SLACK", 1 << 20)
    zeros = bytes(20 << 20)
    path = hostile(tmp_path / "bomb.tar.gz", (member("clips/1.wav", zeros), zeros))
    with pytest.raises(CorpusError, match="expands more than 50-fold"):
        open_corpus(path, home=tmp_path / "home")
    assert not any(p.is_file() for p in (tmp_path / "home").rglob("*"))


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header as nobody's software writes it."""
    block = bytearray(512)
    block[:100], block[124:136], block[156:157] = name.ljust(100, b"\0"), size.ljust(12, b"\0"), kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (header(b"clips/1.mp3", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "at most"),
        (header(b"clips/1.mp3", b"-0000000010"), "size reads"),
        (header(b"clips/1.mp3", b"99999999999"), "size reads"),
        (header(b"@LongLink", b"77777777777", b"L"), "extended header"),
        (header(b"pax", b"77777777777", b"x"), "extended header"),
        (header(b"pax", b"00000000004", b"x") + b"junk".ljust(512, b"\0"), "pax header"),
        (header(b"clips/1.mp3", b"00000001000"), "middle of a file"),
        (header(b"clips/1.mp3", b"0", b"Z"), "unknown kind"),
        (b"\1" * 512, "damaged or not a tar"),
        (b"\1" * 100, "damaged or not a tar"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, block, message):
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(block))
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "bad.tar.gz", home=tmp_path / "home")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_length_and_script_are_read_as_tarfile_wrote_them(format):
    names = ["a", "clips/" + "x" * 90, "r" * 60 + "/clips/" + "y" * 80, "./dot/slash.tsv", "çüş/日本.tsv"]
    names += [] if format == tarfile.USTAR_FORMAT else ["deep/" * 40 + "long.mp3"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as out:
        for i, name in enumerate(names):
            out.addfile(member(name, bytes(i * 300)), io.BytesIO(bytes(i * 300)))
    reader = tar.Reader(io.BytesIO(buffer.getvalue()), "x")
    found = [(m.name, m.size) for m in reader.members()]
    assert found == [(n.removeprefix("./"), i * 300) for i, n in enumerate(names)]


def test_cut_and_damaged_downloads_never_pass_for_whole(folder, tmp_path):
    whole = packed(folder).read_bytes()
    rng = random.Random(0)  # flips begin at byte 100: before, the archive's own name may be anything
    for trial in range(40):
        broken = bytearray(whole)
        if trial % 2:
            del broken[rng.randrange(20, len(broken) - 8) :]
        else:
            broken[rng.randrange(100, len(broken))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"broken{trial}.tar.gz"
        path.write_bytes(broken)
        with pytest.raises(CorpusError, match="Download it again|refused|damaged|at most"):
            open_corpus(path, home=tmp_path / "home")
    assert not list((tmp_path / "home").rglob("*.tsv"))


def test_training_takes_its_clips_out_of_an_archive(tmp_path, monkeypatch):
    from asrdemo.finetune import prepare
    from asrdemo.finetune import recipe as recipes

    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))
    release = tmp_path / "cv-corpus-1" / "en"
    write(release, "train.tsv", "path\tsentence", "1.wav\tHello there.", "2.wav\tAnd again.")
    for name in ("1.wav", "2.wav"):
        wav(release / "clips" / name, 1.0)
    packed = tmp_path / "cv.tar.gz"
    with tarfile.open(packed, "w:gz", format=tarfile.GNU_FORMAT) as out:
        out.add(release.parent, release.parent.name)
    monkeypatch.setattr("asrdemo.corpus.archive.SMALL", 0)  # so only tables are out before clips are asked for
    recipe = recipes.Recipe(name="x", language="en", normalisation="en", train=(), dev=())
    shard = prepare.prepare(recipes.TrainCorpus("c", str(packed)), recipe, tmp_path / "shards")
    assert shard.names == ("1.wav", "2.wav") and shard.texts == ("hello there", "and again")
    folder = prepare.prepare(recipes.TrainCorpus("c", str(release)), recipe, tmp_path / "shards")
    assert folder.names == shard.names and len(list((tmp_path / "shards").glob("train-*"))) == 1, (
        "the same tables, one shard"
    )
