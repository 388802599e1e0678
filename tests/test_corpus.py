"""asrdemo.corpus: releases of every version from a folder, with the traps their tables hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SHARED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrdemo import corpus
from asrdemo.corpus import accents, open_corpus, reports, tsv
from asrdemo.corpus.reports import Report
from asrdemo.errors import CorpusError, NotFoundError


def write(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def wav(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.sin(np.arange(int(16_000 * seconds)) / 5)
    soundfile.write(path, samples, 16_000, format="WAV")


# --- what a row says survives as it stands ----------------------------------------------------------------------------


def test_stray_quotes_and_words_for_missing_survive(tmp_path):
    write(
        tmp_path,
        "test.tsv",
        "client_id\tpath\tsentence\taccents\tlocale",
        'a\t1.mp3\tHe said "no\tIndia and South Asia (India, Pakistan, Sri Lanka)\ten',
        "b\t2.mp3\tNA\t\ten",
        'c\t3.mp3\tNULL "quoted"\t\ten',
        'd\t4.mp3\t"""\t\ten',
        "e\t5.mp3\t n/a \t\ten",
    )
    rows = open_corpus(tmp_path).table("test")
    assert rows["reference_raw"].tolist() == ['He said "no', "NA", 'NULL "quoted"', '"""', " n/a "]
    assert rows["gender"].tolist() == [""] * 5 and rows["up_votes"].isna().all()
    assert rows["file"].iloc[1] == str(tmp_path / "clips" / "2.mp3")
    assert np.isnan(rows["seconds"]).all()


sentences = st.text(st.characters(blacklist_characters="\t\n\r", blacklist_categories=("Cs",)), min_size=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(sentences, min_size=1, max_size=8))
def test_any_sentence_without_tab_or_line_break_is_read_as_it_is(tmp_path, texts):
    write(tmp_path, "dev.tsv", "path\tsentence", *(f"{i}.mp3\t{t}" for i, t in enumerate(texts)))
    assert open_corpus(tmp_path).table("dev")["reference_raw"].tolist() == texts


def test_the_old_function_keeps_the_releases_own_names(tmp_path):
    write(tmp_path, "test.tsv", "client_id\tpath\tsentence", "a\t1.mp3\thello", "a\t1.mp3\tagain")
    rows = corpus.read(tmp_path, "test")
    assert set(corpus.COLUMNS) <= set(rows) and rows["sentence"].tolist() == ["hello", "again"]
    assert corpus.splits(tmp_path) == ("test",)


# --- versions ---------------------------------------------------------------------------------------------------------

OLD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
V5 = OLD + "\tlocale\tsegment"
V8 = V5.replace("accent", "accents")
V13 = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
V17 = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant" \
      "\tlocale\tsegment"  # fmt: skip
VERSIONS = {
    "v1": ("cv-corpus-1_en", OLD, "a\tabc\thi\t2\t0\tfourties\tmale\tus"),
    "v3": ("cv-corpus-3_en", OLD, "a\tcommon_voice_en_1.mp3\thi\t2\t0\tfourties\tmale\tus"),
    "v5": ("cv-corpus-5.1-2020-06-22/en", V5, "a\tx.mp3\thi\t2\t0\tfourties\tmale\tus\ten\t"),
    "v8": ("cv-corpus-8.0-2022-01-19/en", V8, "a\tx.mp3\thi\t2\t0\tfourties\tmale\tUnited States English\ten\t"),
    "v12": ("cv-corpus-12.0-2022-12-07/en", V8, "a\tx.mp3\thi\t2\t0\tfourties\tmale\t\ten\t"),
    "v13": ("cv-corpus-13.0-2023-03-09/en", V13, "a\tx.mp3\thi\t2\t0\tfourties\tmale\tUnited States English\t\ten\t"),
    "v17": (
        "cv-corpus-17.0-2024-03-15/en",
        V17,
        "a\tx.mp3\tid1\thi\tgeneral,finance\t2\t0\tfourties\tmale_masculine\tUnited States English\t\ten\t",
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_same_columns(tmp_path, version):
    folder, header, row = VERSIONS[version]
    write(tmp_path / folder, "validated.tsv", header, row)
    opened = open_corpus(tmp_path / folder.split("/")[0])
    one = opened.table("validated").iloc[0]
    assert opened.language == "en" and one["client_id"] == "a" and one["reference_raw"] == "hi"
    assert one["accents"] == ("" if version == "v12" else "United States English")
    assert (one["gender"], one["age"], one["up_votes"], one["down_votes"]) == ("male_masculine", "fourties", 2, 0)
    assert one["gender_raw"] in ("male", "male_masculine")
    assert one["clip"] == {"v1": "abc.mp3", "v3": "common_voice_en_1.mp3"}.get(version, "x.mp3")
    assert one["locale"] == ("" if version in ("v1", "v3") else "en") and one["variant"] == one["segment"] == ""
    assert (one["sentence_id"], one["sentence_domain"]) == (
        ("id1", "general,finance") if version == "v17" else ("", "")
    )
    assert opened.name == folder.replace("/", "-")


def test_spontaneous_speech_is_one_table_of_several_splits(tmp_path):
    root = write(
        tmp_path / "sps-corpus-3.0-2026-03-09-tr",
        "ss-corpus-tr.tsv",
        "client_id\taudio_id\taudio_file\tduration_ms\tprompt\ttranscription\tvotes\tage\tgender\tsplit\tquality_tags",
        "a\t1\tspontaneous-speech-tr-1.mp3\t4500\tNe?\tBen [disfluency] geldim\t2\ttwenties\tfemale_feminine\ttrain\t",
        "b\t2\tspontaneous-speech-tr-2.mp3\t1200\tNe?\tEvet\t2\t\t\ttest\tshort-audio|speech-rate",
        "c\t3\tspontaneous-speech-tr-3.mp3\t9000\tNe?\t\t0\t\t\tunassigned\t",
    )
    write(root, "ss-reported-audios-tr.tsv", "client_id\taudio_file\treason", "x\ty.mp3\tother")
    opened = open_corpus(root)
    assert opened.splits == ("train", "test", "unassigned") and opened.language == "tr"
    one = opened.table("train").iloc[0]
    assert (one["clip"], one["reference_raw"]) == ("spontaneous-speech-tr-1.mp3", "Ben [disfluency] geldim")
    assert one["seconds"] == 4.5 and one["file"] == str(root / "audios" / one["clip"]) and one["prompt"] == "Ne?"
    assert opened.table("test").iloc[0]["quality_tags"] == "short-audio|speech-rate"
    assert opened.fingerprint("train") != opened.fingerprint("test")


def test_several_languages_in_one_release_ask_for_one(tmp_path):
    for language in ("ar", "tr"):
        write(tmp_path / "cv-corpus-6.1-2020-12-11" / language, "test.tsv", "path\tsentence", f"{language}.mp3\tx")
    with pytest.raises(NotFoundError, match="several corpora.*: ar, tr"):
        open_corpus(tmp_path / "cv-corpus-6.1-2020-12-11")
    assert open_corpus(tmp_path / "cv-corpus-6.1-2020-12-11", "tr").table("test")["clip"].tolist() == ["tr.mp3"]


def test_splits_come_in_their_usual_order_and_other_tables_are_none(tmp_path):
    for name in ("other", "validated", "test", "dev", "train", "invalidated", "mine"):
        write(tmp_path, f"{name}.tsv", "path\tsentence", "1.mp3\tx")
    write(tmp_path, "validated_sentences.tsv", "sentence_id\tsentence\tis_used", "1\tx\t1")
    write(tmp_path, "reported.tsv", "sentence\tsentence_id\tlocale\treason", "x\t1\ten\tgrammar-or-spelling")
    splits = open_corpus(tmp_path).splits
    assert splits == ("train", "dev", "test", "validated", "invalidated", "other", "mine")


# --- accents and gender -----------------------------------------------------------------------------------------------

SOUTH_ASIA = "India and South Asia (India, Pakistan, Sri Lanka)"
CARIBBEAN = "West Indies and Bermuda (Bahamas, Bermuda, Jamaica, Trinidad)"


@pytest.mark.parametrize(
    ("raw", "language", "expected"),
    [
        ("", "en", ""),
        ("  ", "en", ""),
        ("us", "en", "United States English"),
        ("southatlandtic", "en", "South Atlantic (Falkland Islands, Saint Helena)"),  # so spelt
        (SOUTH_ASIA, "en", SOUTH_ASIA),
        (f"England English,{SOUTH_ASIA}", "en", f"England English | {SOUTH_ASIA}"),
        (f"{CARIBBEAN},{SOUTH_ASIA},Welsh English", "en", f"{CARIBBEAN} | {SOUTH_ASIA} | Welsh English"),
        ("slightly slurred, due to age", "en", "slightly slurred, due to age"),  # free text with its own comma
        ("Southern drawl,United States English", "en", "Southern drawl | United States English"),
        ("United States English,United States English", "en", "United States English"),
        ("United States English|wolof", "en", "United States English | wolof"),
        ("us,indian", "en", f"United States English | {SOUTH_ASIA}"),  # codes, as Spontaneous Speech 3 has them
        ("Filipino English of mine", "en", "Filipino English of mine"),  # begins like a known name, is none
        ("central", "ca", "central"),
        ("central", "gl", "Central (gheada)"),
        ("central", "", "central"),  # two languages have it: not guessed
        ("us", "", "United States English"),
        ("110000", "zh-CN", "出生地：11 北京市"),
        ("us", "de", "us"),
        ("Chileno: Chile, Cuyo,México", "es", "Chileno: Chile, Cuyo | México"),
    ],
)
def test_accents(raw, language, expected):
    assert accents.canonical(raw, language) == expected


@pytest.mark.parametrize("language", sorted(accents.languages()))
def test_every_known_accent_stands_for_itself_and_any_two_come_apart(language):
    codes, names = accents.known(language)
    for name in names:
        assert accents.canonical(name, language) == name
        assert accents.canonical(f"{names[0]},{name}", language).split(" | ") == list(dict.fromkeys([names[0], name]))
    assert set(codes.values()) == set(names)


def test_gender_vocabularies_are_one_and_the_raw_word_stays(tmp_path):
    given = ["male", "female", "other", "male_masculine", "non-binary", "do_not_wish_to_say", "intersex", "", "robot"]
    write(tmp_path, "test.tsv", "path\tsentence\tgender", *(f"{i}.mp3\tx\t{g}" for i, g in enumerate(given)))
    rows = open_corpus(tmp_path).table("test")
    assert rows["gender_raw"].tolist() == given
    assert rows["gender"].tolist() == ["male_masculine", "female_feminine", *given[2:7], "", ""]


# --- durations --------------------------------------------------------------------------------------------------------


def test_durations_come_from_the_table_then_from_headers(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello", "2.wav\tthere", "3.mp3\tgone", "4.mp3\tzero")
    write(tmp_path, "clip_durations.tsv", "clip\tduration[ms]", "1.mp3\t1500", "9.mp3\tlong", "4.mp3\t0")
    wav(tmp_path / "clips" / "2.wav", 0.75)
    seconds = open_corpus(tmp_path).table("dev")["seconds"].tolist()
    assert seconds[:2] == [1.5, 0.75] and math.isnan(seconds[2]) and math.isnan(seconds[3])


@pytest.mark.parametrize("lines", [["1.mp3\t1500"], ["clip\tduration[ms]", "1.mp3\t1500"], ["clips/1.mp3 1500"]])
def test_durations_of_versions_14_and_15(tmp_path, lines):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello")
    write(tmp_path, "times.txt", *lines)
    assert open_corpus(tmp_path).table("dev")["seconds"].tolist() == [1.5]


def test_durations_that_are_none_are_named(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello")
    write(tmp_path, "clip_durations.tsv", "clip\tduration[ms]", "1.mp3\tlong")
    with pytest.raises(CorpusError, match="'long' as a duration"):
        open_corpus(tmp_path).table("dev")
    write(tmp_path, "clip_durations.tsv", "clip\tlength", "1.mp3\t3")
    with pytest.raises(CorpusError, match="clip, length; expected clip and duration"):
        open_corpus(tmp_path).table("dev")


# --- what cannot be used is set apart, with a reason ------------------------------------------------------------------


def test_damaged_rows_are_quarantined_and_lose_no_other(tmp_path):
    write(
        tmp_path,
        "dev.tsv",
        "path\tsentence\tage\tgender",
        "1.mp3\tfine\tteens\tmale",
        "2.mp3\ta stray\ttab\tteens\tmale",
        "3.mp3\ta stray",
        "line break\tteens\tmale",
        "\tno name\tteens\tmale",
        "../../etc/passwd\tclimbs\tteens\tmale",
        "/etc/passwd\tabsolute\tteens\tmale",
        "a\\b.mp3\tbackslash\tteens\tmale",
        "1.mp3\tagain\tteens\tmale",
        "4.mp3\tstripped tabs\tteens",
    )
    loaded = open_corpus(tmp_path).load("dev")
    assert loaded.rows["clip"].tolist()[0] == "1.mp3" and "4.mp3" in loaded.rows["clip"].tolist()
    assert loaded.rows.set_index("clip").loc["4.mp3", "gender"] == ""
    reasons = dict(zip(loaded.quarantined["clip"], loaded.quarantined["reason"], strict=True))
    assert "5 fields where 4 are expected" in reasons["2.mp3\ta stray\ttab\tteens\tmale"]
    assert {"", "../../etc/passwd", "/etc/passwd", "a\\b.mp3", "1.mp3"} <= set(reasons)
    assert reasons["1.mp3"] == "dev.tsv: named before" and "not a clip" in reasons["../../etc/passwd"]
    assert not any(".." in file for file in loaded.rows["file"])


def test_short_rows_stand_where_the_file_has_them(tmp_path, monkeypatch):
    """Shards read the table by themselves, and each takes its part of the same order."""
    monkeypatch.setattr(tsv, "_BLOCK", 512)  # many blocks, read by threads
    whole = {i: f"{i}.mp3\tsentence {i}\tteens\tmale" for i in range(900)}
    for i in range(0, 900, 7):
        whole[i] = f"{i}.mp3\tsentence {i}"
    for i in range(5, 900, 50):
        whole[i] += "\tone\ttoo many" if i % 7 else "\tone\ttoo\tmany"
    lines = [line if i % 90 else f"\n{line}" for i, line in whole.items()]  # empty lines are no rows
    write(tmp_path, "dev.tsv", "path\tsentence\tage\tgender", *lines)
    table, damaged = tsv.read(tmp_path / "dev.tsv", repetitive=("age", "gender"))
    bad = range(5, 900, 50)
    assert table.column("path").to_pylist() == [f"{i}.mp3" for i in range(900) if i not in bad]
    assert table.column("gender").to_pylist() == ["male" if i % 7 else "" for i in range(900) if i not in bad]
    assert [start for start, _ in damaged] == [whole[i] for i in bad]


def test_missing_and_empty_clips_are_quarantined_when_asked_for(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.wav\there", "2.mp3\tgone", "3.mp3\tempty", "sub/4.wav\tbelow")
    wav(tmp_path / "clips" / "1.wav")
    wav(tmp_path / "clips" / "sub" / "4.wav")
    (tmp_path / "clips" / "3.mp3").write_bytes(b"")
    opened = open_corpus(tmp_path)
    assert len(opened.table("dev")) == 4
    loaded = opened.load("dev", check_clips=True)
    assert loaded.rows["clip"].tolist() == ["1.wav", "sub/4.wav"]
    assert loaded.quarantined.values.tolist() == [["2.mp3", "no such file"], ["3.mp3", "the file is empty"]]


def test_reported_sentences_are_joined_by_id_or_text(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence_id\tsentence", "1.mp3\ti1\tone", "2.mp3\t\ttwo", "3.mp3\ti3\tthree")
    write(
        tmp_path,
        "reported.tsv",
        "sentence\tsentence_id\tlocale\treason",
        "one\ti1\ten\tgrammar-or-spelling",
        "one\ti1\ten\tdifficult-pronounce",
        "two\ti2\ten\toffensive-language",
        "stray\ttab\ti3\ten\tdifferent-language",
    )
    rows = open_corpus(tmp_path).table("dev")
    assert rows["reported"].tolist() == ["difficult-pronounce | grammar-or-spelling", "offensive-language", ""]


def test_reports_of_one_sentence_are_counted_and_read_once(tmp_path, monkeypatch):
    reads = []
    read = reports.tsv.read
    monkeypatch.setattr(reports.tsv, "read", lambda *args: reads.append(args) or read(*args))
    write(tmp_path, "dev.tsv", "path\tsentence_id\tsentence", "1.mp3\ti1\tone")
    table = ["sentence\tsentence_id\tlocale\treason", "one\ti1\ten\tspelling", "one\ti1\ten\tmy own: 100 %"]
    write(tmp_path, "reported.tsv", *table, "one\ti1\ten\tspelling", "two\t\ten\t", "one\ti9\ten\tother")
    opened = open_corpus(tmp_path)
    assert opened.reports("i1", "one") == (Report("spelling", 2), Report("my own: 100 %", 1))
    assert opened.reports("", "two") == opened.reports("i7", "two") == (Report("", 1),), "by its text"
    assert opened.reports("", "one")[0] == Report("spelling", 2) and len(opened.reports("", "one")) == 3
    assert opened.reports("i7", "never") == opened.reports("", "") == ()
    for _ in range(20):
        open_corpus(tmp_path).reports("i1", "one")
    assert len(reads) == 1

    write(tmp_path, "reported.tsv", *table, "seven\ti7\ten\tnew")
    assert opened.reports("i7", "seven") == (Report("new", 1),), "a changed file is read again"
    (tmp_path / "reported.tsv").unlink()
    assert opened.reports("i7", "seven") == ()
    write(tmp_path, "reported.tsv", "sentence\twhatever", "seven\tx")
    assert opened.reports("", "seven") == ()
    (tmp_path / "reported.tsv").write_bytes(b"sentence\treason\n\xff\tx\n")
    with pytest.raises(CorpusError, match=r"reported\.tsv cannot be read"):
        opened.reports("i7", "seven")


def test_what_is_missing_is_named(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello")
    write(tmp_path, "odd.tsv", "path\ttext", "1.mp3\thello")
    opened = open_corpus(tmp_path)
    assert opened.splits == ("dev",)
    with pytest.raises(NotFoundError, match="no split 'test'; available: dev"):
        opened.table("test")
    with pytest.raises(CorpusError, match="lacks the column.*sentence"):
        opened.table("odd")
    with pytest.raises(NotFoundError, match="no corpus folder"):
        open_corpus(tmp_path / "absent")
    with pytest.raises(CorpusError, match="no table of clips"):
        open_corpus(write(tmp_path / "empty", "notes.txt", "nothing"))
    with pytest.raises(NotFoundError, match="no split"):
        opened.table("../dev")


@pytest.mark.parametrize("content", [b"path\tsentence\n1.mp3\t\xff\xfe\n", b"path\tsentence\tpath\n1.mp3\tx\ty\n"])
def test_tables_that_cannot_be_read_say_so(tmp_path, content):
    (tmp_path / "dev.tsv").write_bytes(content)
    with pytest.raises(CorpusError, match=r"dev\.tsv .*(UTF-8|two columns 'path')"):
        open_corpus(tmp_path).table("dev")


def test_another_table_that_cannot_be_read_costs_nothing(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.mp3\thello")
    (tmp_path / "odd.tsv").write_bytes(b"\xff\xfep\0a\0")
    opened = open_corpus(tmp_path)
    assert opened.splits == ("dev",)
    with pytest.raises(CorpusError, match="odd.tsv does not start with column names in UTF-8"):
        opened.table("odd")


def test_windows_line_ends_byte_order_mark_and_no_rows(tmp_path):
    (tmp_path / "dev.tsv").write_bytes("\ufeffpath\tsentence\tage\r\n1.mp3\tx\tteens\r\n".encode())
    (tmp_path / "test.tsv").write_bytes(b"path\tsentence\n")
    opened = open_corpus(tmp_path)
    assert opened.table("dev")["age"].tolist() == ["teens"]
    assert len(opened.table("test")) == 0 and list(opened.table("test").columns) == list(opened.table("dev").columns)


# --- clips and fingerprints -------------------------------------------------------------------------------------------


def test_audio_is_the_clips_file_and_never_another(tmp_path):
    write(tmp_path, "dev.tsv", "path\tsentence", "1.wav\tx")
    wav(tmp_path / "clips" / "1.wav")
    opened = open_corpus(tmp_path)
    row = next(opened.table("dev").itertuples())
    expected = tmp_path / "clips" / "1.wav"
    assert opened.audio("1.wav") == opened.audio(row) == opened.audio(opened.table("dev").iloc[0]) == expected
    for name in ("2.wav", "../dev.tsv", str(tmp_path / "dev.tsv"), ""):
        with pytest.raises(NotFoundError):
            opened.audio(name)


def test_fingerprints_follow_the_tables(tmp_path):
    one, two = (write(tmp_path / n / "en", "dev.tsv", "path\tsentence", "1.mp3\tx") for n in ("one", "two"))
    before = open_corpus(one).fingerprint("dev")
    assert before == open_corpus(two).fingerprint("dev") and len(before) == 16
    write(two, "clip_durations.tsv", "clip\tduration[ms]", "1.mp3\t1000")
    with_durations = open_corpus(two).fingerprint("dev")
    write(two, "dev.tsv", "path\tsentence", "1.mp3\ty")
    assert len({before, with_durations, open_corpus(two).fingerprint("dev")}) == 3


# --- genuine sets -----------------------------------------------------------------------------------------------------

REAL = {
    "an4": (("train", 848), ("dev", 100), ("test", 130)),
    "speechocean762": (("train", 2180), ("dev", 320)),
    **{f"cv-corpus-6.1-sample/{lang}": (("validated", 100),) for lang in ("en", "tr", "es", "ca", "ar", "zh-CN")},
}


@pytest.mark.parametrize("name", REAL)
def test_real_sets_read_unchanged(name):
    if not (SHARED / name).is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    opened = open_corpus(SHARED / name)
    assert opened.splits == tuple(split for split, _ in REAL[name])
    assert opened.language == (name.split("/")[1] if "/" in name else "en")
    for split, count in REAL[name]:
        loaded = opened.load(split, check_clips=True)
        assert len(loaded.rows) == count and loaded.quarantined.empty
        assert loaded.rows["seconds"].between(0.3, 30).all() and (loaded.rows["reference_raw"] != "").all()


def test_real_accent_codes_become_names():
    if not SHARED.is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    rows = open_corpus(SHARED / "cv-corpus-6.1-sample" / "en").table("validated")
    counts = rows["accents"].value_counts()
    assert (counts["United States English"], counts[SOUTH_ASIA], counts["England English"], counts[""]) == (
        35,
        5,
        4,
        50,
    )
