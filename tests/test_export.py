"""Exports, each read back by a parser that is not ours."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import srt
import webvtt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from praatio import textgrid

from asrdemo.errors import AsrDemoError, NotFoundError
from asrdemo.export import FORMATS, export, export_many, file_name
from asrdemo.types import DecoderOptions, Hypothesis, Timings, Transcript, Word

ROUNDING = 0.0006  # s: times are whole milliseconds


def make(words: list[Word], duration: float = 60.0, clip: str = "talk.wav") -> Transcript:
    best = Hypothesis(" ".join(word.text for word in words), tuple(words), -3.5, 1.25)
    options = DecoderOptions(kind="beam", lm="demo-lm", hotwords=("Zürich",))
    other = Hypothesis("something else", (Word("something", 0.0, 0.5, 0.25),), -5.0, 0.5)
    return Transcript(clip, duration, (best, other), "demo-en", options, Timings(1.0, 0.5, 0.25), engine="pyctcdecode")


def spoken(text: str, start: float = 0.0, length: float = 0.3, gap: float = 0.1) -> list[Word]:
    words = text.split()
    return [
        Word(word, start + i * (length + gap), start + i * (length + gap) + length, (i % 11) / 10)
        for i, word in enumerate(words)
    ]


def vtt_cues(data: bytes) -> list[tuple[float, float, str]]:
    captions = webvtt.from_buffer(io.BytesIO(data), format="vtt").captions
    return [(c.start_in_seconds, c.end_in_seconds, html.unescape(c.raw_text)) for c in captions]


def seconds_of(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def vtt_times(data: bytes) -> list[tuple[float, float]]:
    captions = webvtt.from_buffer(io.BytesIO(data), format="vtt").captions
    return [(seconds_of(c.start), seconds_of(c.end)) for c in captions]


def srt_cues(data: bytes) -> list[tuple[float, float, str]]:
    return [(c.start.total_seconds(), c.end.total_seconds(), c.content) for c in srt.parse(data.decode())]


def ctm_rows(data: bytes) -> list[tuple[str, str, float, float, str, float]]:
    """The strict reading of sclite's manual: six fields, times and confidence as numbers, sorted by time."""
    rows = []
    for line in data.decode().splitlines():
        file, channel, start, length, word, confidence = line.split(" ")
        rows.append((file, channel, float(start), float(length), word, float(confidence)))
    assert rows == sorted(rows, key=lambda row: row[:3])
    return rows


def grid(data: bytes, folder: Path) -> textgrid.Textgrid:
    path = folder / "out.TextGrid"
    path.write_bytes(data)
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True)


TEN = make(spoken("enter seven four two one please and go to start"), duration=5.0)


def test_txt() -> None:
    assert export(TEN, "txt") == b"enter seven four two one please and go to start\n"


def test_srt_by_the_srt_package() -> None:
    cues = srt_cues(export(TEN, "srt"))
    assert " ".join(" ".join(text.split()) for _, _, text in cues) == TEN.text
    assert cues[0][0] == pytest.approx(0.0) and cues[-1][1] == pytest.approx(3.9, abs=ROUNDING)


def test_vtt_by_webvtt_py() -> None:
    data = export(TEN, "vtt")
    assert " ".join(" ".join(text.split()) for _, _, text in vtt_cues(data)) == TEN.text
    assert vtt_times(data)[-1][1] == pytest.approx(3.9, abs=ROUNDING)


def test_tsv_by_pandas_and_csv() -> None:
    data = export(TEN, "tsv")
    table = pandas.read_csv(io.BytesIO(data), sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    assert list(table.columns) == ["start", "end", "text"]
    assert table["start"].dtype == "int64" and table["end"].iloc[-1] == 3900
    assert " ".join(table["text"]) == TEN.text
    rows = list(csv.reader(io.StringIO(data.decode()), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == len(table) + 1 and all(len(row) == 3 for row in rows)


def test_json_has_everything() -> None:
    found = json.loads(export(TEN, "json"))
    assert found["text"] == TEN.text and found["duration"] == 5.0 and found["checkpoint"] == "demo-en"
    assert [w["confidence"] for w in found["words"]] == [w.confidence for w in TEN.best.words]
    assert [h["scores"] for h in found["hypotheses"]] == [
        {"acoustic": -3.5, "lm": 1.25, "total": -2.25},
        {"acoustic": -5.0, "lm": 0.5, "total": -4.5},
    ]
    assert found["hypotheses"][1]["words"][0]["text"] == "something"
    assert found["decoder"]["hotwords"] == ["Zürich"] and found["decoder"]["alpha"] == 0.5
    assert found["timings"] == {"load": 1.0, "acoustic": 0.5, "decode": 0.25, "rtfx": pytest.approx(5 / 0.75)}
    assert (found["engine"], found["device"], found["precision"]) == ("pyctcdecode", "cpu", "fp32")


def test_json_has_no_noise_behind_its_numbers() -> None:
    word = Word("a", 0.1 + 0.2, np.float32(1.1), np.float32(0.7))  # type: ignore[arg-type]
    found = json.loads(export(replace(make([word]), duration=2.0000625), "json"))
    assert found["words"] == [{"text": "a", "start": 0.3, "end": 1.1, "confidence": 0.7}]
    assert found["duration"] == 2.0, "whole milliseconds"


def test_json_turns_what_json_lacks_into_null() -> None:
    word = Word("a", np.float32(0.5), np.float64(0.75), float("nan"))  # type: ignore[arg-type]
    found = json.loads(export(make([word]), "json"), parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    assert found["words"] == [{"text": "a", "start": 0.5, "end": 0.75, "confidence": None}]


def test_textgrid_by_praatio(tmp_path: Path) -> None:
    data = export(make(spoken('say "hi" now', start=0.5), duration=3.25), "TextGrid")
    assert b'text = """hi"""' in data  # as Praat's manual says; praatio reads a single quote as well
    found = grid(data, tmp_path)
    tier = found.getTier("words")
    assert found.tierNames == ("words",) and (found.minTimestamp, found.maxTimestamp) == (0, 3.25)
    assert [e.label for e in tier.entries] == ["", "say", "", '"hi"', "", "now", ""]
    assert tier.entries[0].start == 0 and tier.entries[-1].end == 3.25
    assert all(a.end == b.start for a, b in zip(tier.entries, tier.entries[1:], strict=False))


def test_ctm_fields() -> None:
    rows = ctm_rows(export(replace(TEN, clip="my talk é.flac"), "ctm"))
    assert [row[4] for row in rows] == TEN.text.split()
    assert {row[:2] for row in rows} == {("my_talk_é", "1")}
    for row, word in zip(rows, TEN.best.words, strict=True):
        assert row[2:4] == pytest.approx((word.start, word.end - word.start), abs=2 * ROUNDING)
        assert row[5] == pytest.approx(word.confidence, abs=1e-4)


def sclite() -> list[str] | None:
    if shutil.which("sclite"):
        return ["sclite"]
    return ["sctk", "sclite"] if shutil.which("sctk") else None


@pytest.mark.skipif(sclite() is None, reason="sclite (Debian: sctk) is not installed")
def test_ctm_by_sclite(tmp_path: Path) -> None:
    (tmp_path / "hyp.ctm").write_bytes(export(TEN, "ctm"))
    text = TEN.text.replace("seven", "eleven")  # one substitution, to see that it really compares
    (tmp_path / "ref.stm").write_text(f"talk 1 speaker 0.0 5.0 {text}\n")
    command = [*(sclite() or []), "-r", "ref.stm", "stm", "-h", "hyp.ctm", "ctm", "-o", "rsum", "stdout"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout
    row = next(line for line in out.splitlines() if line.strip().startswith("| Sum")).replace("|", " ").split()
    assert row[1:9] == ["1", "10", "9", "1", "0", "0", "1", "1"], out  # sentences, words, right, sub, del, ins, err
    assert row[9] != "", "the confidences were read (NCE)"


# Subtitles people can read


def test_cues_are_short_and_break_at_pauses() -> None:
    words = spoken("one two three four") + spoken("after a pause " + "and then on and on it went " * 12, start=5.0)
    transcript = make(words, duration=60.0)
    cues = srt_cues(export(transcript, "srt"))
    assert cues[0][2] == "one two three four" and cues[1][0] == pytest.approx(5.0)
    for start, end, text in cues:
        lines = text.split("\n")
        assert end - start <= 7.0 + ROUNDING and len(lines) <= 2 and all(len(line) <= 42 for line in lines)
    assert all(a[1] <= b[0] for a, b in zip(cues, cues[1:], strict=False))
    assert len(cues) < 20  # readable, not one word a cue


def test_a_short_cue_stays_a_second_but_not_into_the_next() -> None:
    words = [Word("yes", 1.0, 1.2, 1.0), Word("no", 1.8, 2.0, 1.0), Word("bye", 9.6, 9.7, 1.0)]
    cues = srt_cues(export(make(words, duration=10.0), "srt"))
    assert [(c[0], c[1]) for c in cues] == [(1.0, 1.8), (1.8, 2.8), (9.6, 10.0)]
    assert export(make(words, duration=10.0), "tsv").decode().splitlines()[1:] == [
        "1000\t1200\tyes", "1800\t2000\tno", "9600\t9700\tbye",
    ]  # fmt: skip


def test_text_without_spaces_is_cut_into_lines() -> None:
    text = "春眠不觉晓处处闻啼鸟" * 8  # 80 characters, 160 columns
    cues = srt_cues(export(make([Word(text, 0.0, 16.0, 1.0)]), "srt"))
    assert "".join("".join(c[2].split()) for c in cues) == text
    assert all(len(line) <= 21 for c in cues for line in c[2].split("\n"))
    assert all(c[1] - c[0] <= 7.0 for c in cues)


# Edges


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_transcript_is_a_valid_file(format: str, tmp_path: Path) -> None:
    data = export(make([], duration=2.5), format)
    if format == "textgrid":
        assert [tuple(e) for e in grid(data, tmp_path).getTier("words").entries] == [(0, 2.5, "")]
    elif format == "json":
        assert json.loads(data)["words"] == []
    else:
        expected = {"vtt": b"WEBVTT\n\n", "tsv": b"start\tend\ttext\n"}
        assert data == expected.get(format, b"")
        if format == "vtt":
            assert vtt_cues(data) == []


def test_a_textgrid_of_no_length_can_be_read(tmp_path: Path) -> None:
    assert grid(export(make([], duration=0.0), "textgrid"), tmp_path).maxTimestamp > 0


def test_arrows_and_tags_in_the_text() -> None:
    transcript = make([Word("-->", 0.0, 0.4, 1.0), Word("<b>&amp;", 0.5, 0.9, 1.0), Word("x-->y", 1.0, 1.4, 1.0)])
    vtt = export(transcript, "vtt")
    assert [text for _, _, text in vtt_cues(vtt)] == ["--> <b>&amp; x-->y"]
    assert vtt.decode().count("-->") == 1 and "<b>" not in vtt.decode()
    assert [text for _, _, text in srt_cues(export(transcript, "srt"))] == ["→ <b>&amp; x→y"]
    assert export(transcript, "tsv").decode().endswith("\t--> <b>&amp; x-->y\n")


def test_right_to_left_text_keeps_its_order(tmp_path: Path) -> None:
    words = spoken("مرحبا بكم في البرنامج")
    transcript = make(words)
    assert srt_cues(export(transcript, "srt"))[0][2] == transcript.text
    assert vtt_cues(export(transcript, "vtt"))[0][2] == transcript.text
    assert [row[4] for row in ctm_rows(export(transcript, "ctm"))] == [w.text for w in words]
    labels = [e.label for e in grid(export(transcript, "textgrid"), tmp_path).getTier("words").entries if e.label]
    assert labels == [w.text for w in words]


def test_overlapping_backward_and_empty_words_are_put_apart(tmp_path: Path) -> None:
    words = [Word("a", 1.0, 2.0, 0.5), Word("b", 1.5, 1.5, 2.0), Word("c", 0.2, 0.1, -1.0), Word("d", 9.9, 99.0, 1.0)]
    transcript = make(words, duration=10.0)
    rows = ctm_rows(export(transcript, "ctm"))
    assert [row[4] for row in rows] == ["a", "b", "c", "d"] and [row[5] for row in rows] == [0.5, 1.0, 0.0, 1.0]
    assert all(row[3] > 0 for row in rows) and rows[-1][2] + rows[-1][3] == pytest.approx(10.0)
    tier = grid(export(transcript, "textgrid"), tmp_path).getTier("words")
    assert [e.label for e in tier.entries if e.label] == ["a", "b", "c", "d"] and tier.maxTimestamp == 10.0


WORDS = st.lists(
    st.builds(
        Word,
        text=st.one_of(
            st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=12),
            st.sampled_from(
                ["-->", "&", "<c>", '"', "'", ";;", "NA", "7", "00:00:01,000", "WEBVTT", "\\", "\t", "", "x" * 90]
            ),
            st.text(max_size=4),
        ),
        start=st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 30),
        end=st.floats(allow_nan=True) | st.floats(0, 31),
        confidence=st.floats(0, 1) | st.just(math.nan),
    ),
    max_size=30,
)


def kept(words: list[Word]) -> list[str]:
    """Words as a text file can hold them: no controls, no lone surrogates, not empty."""
    plain = (
        " ".join("".join(c for c in w.text if c.isspace() or c.isprintable() or ord(c) > 159).split()) for w in words
    )
    return [text for text in plain if text]


def squeezed(text: str) -> str:
    """Without white space and arrows, which subtitles may change."""
    return "".join(text.split()).replace("-->", "").replace("→", "")


@settings(max_examples=150, deadline=None)
@given(words=WORDS, duration=st.floats(0, 30))
@example(words=[Word("a", 5.0, 5.0, 1.0)] * 30, duration=0.0)
def test_any_words_come_back_from_every_format(
    words: list[Word], duration: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = [w for w in words if not any(0xD800 <= ord(c) < 0xE000 for c in w.text)]
    transcript, texts = make(words, duration), kept(words)
    every = squeezed("".join(texts))
    for cues in (srt_cues(export(transcript, "srt")), vtt_cues(export(transcript, "vtt"))):
        assert squeezed("".join(text for *_, text in cues)) == every
    times = [c[:2] for c in srt_cues(export(transcript, "srt"))]
    assert all(a < b for a, b in times) and all(a[1] <= b[0] for a, b in zip(times, times[1:], strict=False))
    rows = list(
        csv.reader(
            io.StringIO(export(transcript, "tsv").decode(), newline="\n"), delimiter="\t", quoting=csv.QUOTE_NONE
        )
    )
    assert squeezed("".join(row[2] for row in rows[1:])) == every and all(len(row) == 3 for row in rows)
    ctm = ctm_rows(export(transcript, "ctm"))
    assert [row[4] for row in ctm] == [text.replace(" ", "_") for text in texts]
    assert all(row[3] > 0 and 0 <= row[5] <= 1 for row in ctm)
    json.loads(export(transcript, "json"))
    tier = grid(export(transcript, "textgrid"), tmp_path_factory.mktemp("grid")).getTier("words")
    assert [e.label for e in tier.entries if e.label] == [text.strip() for text in texts]
    assert tier.entries[0].start == 0 and tier.maxTimestamp >= duration
    assert all(a.end == b.start for a, b in zip(tier.entries, tier.entries[1:], strict=False))


@settings(max_examples=60, deadline=None)
@given(gaps=st.lists(st.tuples(st.floats(0, 2), st.floats(0.02, 2)), min_size=1, max_size=25))
def test_sound_times_come_back_within_rounding(
    gaps: list[tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    at, words = 0.0, []
    for i, (gap, length) in enumerate(gaps):
        words.append(Word(f"w{i}", at + gap, at + gap + length, 0.5))
        at += gap + length
    transcript = make(words, duration=at + 1)
    found = [(row[2], row[2] + row[3]) for row in ctm_rows(export(transcript, "ctm"))]
    tier = grid(export(transcript, "textgrid"), tmp_path_factory.mktemp("grid")).getTier("words")
    for times in (found, [(e.start, e.end) for e in tier.entries if e.label]):
        assert np.allclose(times, [(w.start, w.end) for w in words], atol=ROUNDING)
    by_text = {w.text: w for w in words}
    for start, end, text in srt_cues(export(transcript, "srt")):
        shown = text.split()
        assert start == pytest.approx(by_text[shown[0]].start, abs=ROUNDING)
        assert end >= by_text[shown[-1]].end - ROUNDING


# Names and several files


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("talk.wav", "talk.srt"),
        ("/srv/secret/a b.mp3", "a b.srt"),
        ("..\\..\\evil.flac", "evil.srt"),
        ("talk v1.2", "talk v1.2.srt"),
        ("CON.wav", "CON_.srt"),
        ('a<b>:"c|?*.wav', "a_b___c___.srt"),
        ("..", "transcript.srt"),
        ("", "transcript.srt"),
        ("naïve 日本.ogg", "naïve 日本.srt"),
        ("x" * 300 + ".wav", "x" * 120 + ".srt"),
        ("a\nb\x00.wav", "a b_.srt"),
    ],
)
def test_file_names_are_safe(clip: str, expected: str) -> None:
    assert file_name(replace(TEN, clip=clip), "srt") == expected


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_clip_name_gives_a_usable_file_name(clip: str) -> None:
    name = file_name(replace(TEN, clip=clip), "textgrid")
    assert name.endswith(".TextGrid") and "/" not in name and "\\" not in name and name.isprintable()
    assert len(name.encode()) <= 140 and not name.startswith(".")
    assert all(len(line.split(" ")) == 6 for line in export(replace(TEN, clip=clip), "ctm").decode().splitlines())


def test_one_transcript_is_a_file_and_several_are_a_zip() -> None:
    assert export_many([TEN], "SRT") == ("talk.srt", export(TEN, "srt"))
    others = [TEN, replace(TEN, clip="b/talk.mp3"), replace(TEN, clip="TALK.flac"), replace(TEN, clip="talk-2.wav")]
    name, data = export_many(others, "ctm")
    assert name == "transcripts-ctm.zip" and data == export_many(others, "ctm")[1]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len({n.casefold() for n in names}) == 4 and names[:2] == ["talk.ctm", "talk-2.ctm"]
        for entry in names:  # merged for sclite, the files stay apart
            assert archive.read(entry).decode().split(" ")[0] == entry.removesuffix(".ctm")


def test_wrong_requests_say_what_there_is() -> None:
    with pytest.raises(NotFoundError, match="'docx'; available: txt, srt, vtt, tsv, json, textgrid, ctm"):
        export(TEN, "docx")
    with pytest.raises(NotFoundError):
        export_many([TEN, TEN], "docx")
    with pytest.raises(AsrDemoError, match="no transcript"):
        export_many([], "srt")
