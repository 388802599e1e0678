"""The report: complete, self-contained, safe, and true to the tables behind it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from asrdemo.errors import ConfigError, ResultError
from evals import simulate
from evals.catalogue import SHIPPED
from evals.report import diff, files
from evals.report.card import model_index
from evals.report.charts import COLOURS, Dot, Line, dots
from evals.report.findings import gather
from evals.report.html import html
from evals.results import open_result

DEMO = Path(__file__).resolve().parent.parent / "demo" / "results" / "demo-en-beam"
HOSTILE = '<script>alert("x")</script> & co'
VOID = {"meta", "br", "path", "circle"}


class Balanced(HTMLParser):
    """Fails on tags that do not pair; gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Balanced:
    found = Balanced()
    found.feed(page)
    assert found.open == []
    return found


def heard(reference: str, ops: str) -> str:
    """A hypothesis that this alignment walks."""
    said = iter(reference.split())
    words = {"=": lambda: next(said), "S": lambda: next(said) + "x", "D": lambda: next(said) and None, "I": lambda: "y"}
    return " ".join(filter(None, [words[op]() for op in ops]))


def pins(run: int) -> dict[str, object]:
    return {
        "checkpoint": {"id": "tiny", "language": "en"},
        "decoder": {"kind": "beam", "lm": "lm"} if run else {"kind": "greedy"},
        "normaliser": {"profile": "en"},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two results; in the first, one accent is far worse, and one clip's words are hostile."""
    home = tmp_path_factory.mktemp("results")
    made = simulate.simulate(simulate.Recipe(speakers=160, gaps={"England English": 2.5}, runs=(1.0, 0.7)), seed=3)
    folders = []
    for run in (0, 1):
        rows = simulate.rows(made, run)
        at = rows.column_names.index("client_id")
        rows = rows.set_column(at, "client_id", pa.array([HOSTILE, *rows["client_id"].to_pylist()[1:]]))
        pairs = zip(rows["reference"].to_pylist(), rows["ops"].to_pylist(), strict=True)
        texts = {"hypothesis": [heard(*pair) for pair in pairs], "reference_raw": rows["reference"].to_pylist()}
        texts["hypothesis_raw"] = texts["hypothesis"]
        for name, column in texts.items():
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(column))
        folder = simulate.write(home / f"run-{run}", rows, pins(run))
        info = json.loads((folder / "run.json").read_text())
        score = {"wer": 0.25, "cer": 0.125, "raw_wer": 0.5}
        (folder / "run.json").write_text(json.dumps(info | {"score": score, "rtfx": 100.0, "quarantined": []}))
        folders.append(folder)
    return folders


def test_report_says_what_the_tables_say(results: list[Path]) -> None:
    found = gather(results, ("accents", "gender*seconds:3"))
    page = html(found)
    said = " ".join(read(page).words)
    row = found.headline.iloc[0]
    assert f"{100 * row['wer']:.1f}\u00a0%" in said and f"{row['speakers']} speakers" in said
    for heading in ("The figures", "Is it better?", "For whom, and when?", "Where is it worst?", "The worst clips"):
        assert heading in said
    assert list(found.worst.answers["sentence"]), "the accent made worse is found"
    assert all(sentence.replace(" %", "\u00a0%") in said for sentence in found.worst.answers["sentence"])
    assert found.scored.results[0].info["pins"]["corpus"]["fingerprint"] in said and "seed 0" in said


def test_it_needs_nothing_else_and_is_small(results: list[Path]) -> None:
    page = html(gather(results))
    assert len(page.encode()) < 5_000_000
    assert not re.search(r"(src|href)=|@import|url\(|https?://", page)
    assert "script" not in read(page).tags


def test_words_of_the_corpus_stay_words() -> None:
    marked = diff.marked(f"a {HOSTILE}", "a b", "=S" + "D" * (len(HOSTILE.split()) - 1))
    assert "<script>" not in marked and "&lt;script&gt;" in marked
    assert diff.marked("one two", "two three", "D=I") == "<del>one</del> two <ins>three</ins>"
    assert diff.marked("", "", "") == ""
    chart = dots(HOSTILE, [Line(HOSTILE, HOSTILE, (Dot(0.1, 0.05, 0.2),)), Line("few", "1 clip", (), HOSTILE)])
    assert "script" not in read(chart).tags


def test_runs_differ_in_shape_as_well_as_colour() -> None:
    runs = tuple("abcd")
    chart = dots("t", [Line("x", "9 clips", tuple(Dot(0.1, 0.05, 0.2, run) for run in range(4)))], [0.1] * 4, runs)
    assert all(colour in chart for colour in COLOURS[:4])
    shapes = re.findall(r'<(circle|path) (?:cx="[^"]*" cy="[^"]*" r|d)="([^"]*)" fill', chart)
    assert len({(kind, re.sub(r"[\d.-]+", "", data)) for kind, data in shapes}) == 4


def test_a_filter_moves_every_number(results: list[Path]) -> None:
    whole, part = gather(results[:1], ("accents",)), gather(results[:1], ("accents",), "gender=female_feminine")
    assert part.headline["clips"].iloc[0] < whole.headline["clips"].iloc[0]
    assert set(part.clips["gender"]) == {"female_feminine"}
    assert part.comparison is None and "Is it better?" not in html(part)
    assert "gender is female / feminine" in html(part) and "female_feminine" not in html(part)
    with pytest.raises(ResultError, match="No clip fits this filter: gender is nobody"):
        gather(results[:1], ("accents",), "gender=nobody")


def test_files(results: list[Path], tmp_path: Path) -> None:
    (page,) = files.write(tmp_path / "a" / "r.html", results, ("accents",))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    (text,) = files.write(tmp_path / "r.md", results, ("accents",))
    assert "| slice | run |" in text.read_text(encoding="utf-8")
    tables = {path.name: path for path in files.write(tmp_path / "r.csv", results, ("accents",))}
    assert {"r-slices.csv", "r-comparison.csv", "r-substitutions.csv", "r-worst_clips.csv"} <= set(tables)
    with tables["r-slices.csv"].open(encoding="utf-8", newline="") as lines:
        assert {row["run"] for row in csv.DictReader(lines)} == {"greedy", "beam with lm"}
    assert not list(tmp_path.rglob("*.partial"))
    with pytest.raises(ConfigError, match=r"\.html, \.md, \.csv"):
        files.write(tmp_path / "r.pdf", results, ("accents",))


def test_model_card_block(results: list[Path]) -> None:
    index = yaml.safe_load(model_index([open_result(results[0])]))["model-index"][0]
    (entry,) = index["results"]
    assert entry["task"]["type"] == "automatic-speech-recognition"
    assert {metric["type"] for metric in entry["metrics"]} == {"wer", "cer"}
    with pytest.raises(ResultError, match="one checkpoint"):
        model_index([])


def test_the_rate_as_written_follows_the_filter() -> None:
    """The demo results know the counts of their raw texts, clip by clip."""
    whole, part = (gather([DEMO], ("accents",), query) for query in ("", "gender=female_feminine"))
    rows = open_result(DEMO).read(["gender", "raw_errors", "raw_words"]).to_pandas()
    for found, chosen in ((whole, rows), (part, rows[rows["gender"] == "female_feminine"])):
        assert found.as_written == (pytest.approx(chosen["raw_errors"].sum() / chosen["raw_words"].sum()),)
        assert f"{100 * found.as_written[0]:.1f}\u00a0%" in html(found)


def test_unknown_speakers_are_said_above_every_interval(results: list[Path], tmp_path: Path) -> None:
    whole = open_result(results[0])
    table = whole.read()
    at = table.schema.get_field_index("client_id")
    blank = table.set_column(at, "client_id", pa.array([""] * len(table)))
    nobody = simulate.write(tmp_path / "nobody", blank, whole.info["pins"])
    for made in (tmp_path / "r.html", tmp_path / "r.md"):
        files.write(made, [nobody], ("gender",))
        assert "does not say who speaks" in made.read_text()


def test_gaps_are_a_sentence_and_a_chart_for_each_column() -> None:
    found = gather([DEMO], ("accents",), references={"gender": "male_masculine"})
    assert [(a.column, a.reference) for a in found.adjusted][:2] == [
        ("accents", "the others"),
        ("gender", "male / masculine"),
    ]
    page = html(found)
    assert page.count("as it is: ") >= 14, "two marks a value, each with its numbers"
    said = " ".join(read(page).words)
    assert "Scottish English: WER 1.96 times" in said and "the gap survives" in said
    assert "No gap is shown for the other 6 values." in said and "WER to that of male / masculine, times" in said
    assert {"column", "to", "verdict"} <= set(found.tables()["adjusted"].columns)


def test_phonemes_are_there_where_espeak_is_and_else_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("espeak-ng"):
        found = gather([DEMO], ("accents",))
        (each,) = found.phonemes
        assert each.interval.low < each.interval.rate < each.interval.high < found.headline["wer"].iloc[0]
        assert "of the phonemes wrong" in html(found) and each.confused["count"].is_monotonic_decreasing
    monkeypatch.setenv("PATH", str(tmp_path))
    without = gather([DEMO], ("accents",))
    assert without.phonemes == () and "apt install espeak-ng" in html(without)


def test_reasons_and_values_are_in_plain_words_short_enough_for_their_place() -> None:
    page = html(gather([SHIPPED / "results" / "demo-en-beam"], by=("age", "gender")))
    assert "too little: 8 of 10 speakers" in page, "the support stands beside it"
    assert not re.search("insufficient|speakers needed|_masculine|fourties", page)
