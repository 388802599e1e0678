"""The Error analysis page without Gradio and without a browser: addresses in, HTML out, on the shipped results."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asrdemo import registry
from asrdemo.errors import ConfigError, NotFoundError, ResultError
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.types import Clip
from asrdemo.ui import filter_bar
from asrdemo.ui import words as analysis_words
from asrdemo.ui.analysis import charts as analysis_charts
from asrdemo.ui.analysis import clips_handlers, clips_html, findings_html, handlers, tab
from asrdemo.ui.analysis import export as analysis_export
from asrdemo.ui.analysis import markup as analysis_html
from asrdemo.ui.analysis import sound as analysis_sound
from asrdemo.ui.analysis.handlers import Desk
from asrdemo.ui.analysis.state import View, read
from asrdemo.ui.services import Services
from evals import clips, confusions, filters, groups, headline, marks, simulate, slices, walks
from evals.catalogue import SHIPPED, Catalogue
from evals.cli import main as evals_main
from evals.report import charts as report_charts
from evals.report import diff
from evals.report.findings import gather
from evals.results import Result
from evals.score import score_pairs
from evals.scored import Scored, load
from evals.sums import Support
from evals.wording import percent

BOTH = "results=demo-en-beam&results=demo-en-greedy"
SCOTTISH = "accents=Scottish+English"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    return Desk(Services(Transcriber(registry.read(), settings), settings))


@pytest.fixture(scope="module")
def scored() -> Scored:
    return load([SHIPPED / "results" / "demo-en-beam", SHIPPED / "results" / "demo-en-greedy"])


def texts(html: str) -> str:
    """What is read: without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# --- the address


def test_an_address_says_everything() -> None:
    view = read(
        f"?tab=analysis&{BOTH}&{SCOTTISH}&seconds.min=2&view=clips&sort=longest&leaf=3&open=a.mp3&by=snr&by=age"
    )
    assert view.results == ("demo-en-beam", "demo-en-greedy") and view.by == ("snr", "age")
    assert (view.view, view.sort, view.page, view.open) == ("clips", "longest", 3, "a.mp3")
    assert view.query == "accents=Scottish+English&seconds.min=2.0"
    assert filters.parse(view.query) == view.conditions


def test_what_an_address_says_wrongly_of_the_view_is_not_said() -> None:
    assert read("?view=nowhere&sort=up&leaf=minus&unit=phones&tab=x") == View()
    assert read("") == View() and read("?leaf=0").page == 1 and read(f"?leaf={'9' * 40}").page == 1
    assert len(read("?" + "&".join(f"results=r{i}" for i in range(50))).results) == 6


def test_an_address_with_a_bad_filter_is_an_error_in_words(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="seconds.min is 'x'"):
        read("?seconds.min=x")
    assert "demo-en-beam" in handlers.frame(desk, "?seconds.min=x")


def test_a_pair_may_have_nothing_on_one_side() -> None:
    assert not read("?view=errors").pair
    left_out = read("?said=the")
    assert left_out.pair and left_out.said == "the" and left_out.heard is None


# --- results and filters


def test_the_page_opens_with_the_shipped_result(desk: Desk) -> None:
    at = handlers.look(desk, "")
    assert at.scored.runs == ("demo-en-beam",) and at.mask is None
    html = handlers.frame(desk, "")
    assert 'value="demo-en-beam" checked' in html and 'value="demo-en-greedy" aria-label' in html
    for name in ("accents", "gender", "age"):
        assert f'name="{name}"' in html
    for name in ("seconds.min", "seconds.below", "snr.min", "reference.has", "wrong", "correct"):
        assert f'name="{name}"' in html
    assert "sentence_domain" not in html, "it has one value: nothing to choose"


def test_no_result_at_all(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    services = Services(Transcriber(registry.read(), settings), settings)
    services.results = Catalogue([tmp_path])
    empty = Desk(services)
    assert "Choose a result" in handlers.frame(empty, "")
    with pytest.raises(NotFoundError, match="Run one in the last tab"):
        handlers.look(empty, "")


def test_results_that_are_not_there_or_leave_no_clip(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no result 'gone'"):
        handlers.look(desk, "?results=gone")
    with pytest.raises(ResultError, match="No clip fits"):
        handlers.look(desk, "?accents=Klingon")
    assert 'value="gone"' not in handlers.frame(desk, "?results=gone")


def test_a_filter_moves_every_number(desk: Desk, scored: Scored) -> None:
    whole, some = (handlers.headline(handlers.look(desk, f"?{q}")) for q in ("", SCOTTISH))
    table = slices.slice_table(scored, ("accents",))
    row = table[(table["slice"] == "Scottish English") & (table["run"] == "demo-en-beam")].iloc[0]
    said = texts(some)
    assert (
        f"{100 * row['wer']:.1f}" in said and f"{row['clips']} clips" in said and f"{row['speakers']} speakers" in said
    )
    figures = [re.findall(r'class="number">([^<]+)', html) for html in (whole, some)]
    assert len(figures[0]) == 4 and all(a != b for a, b in zip(*figures, strict=True)), "WER, CER, raw and speed"
    assert "accent: Scottish English" in said and 'data-drop="accents=Scottish+English"' in some


def test_several_results_stand_side_by_side(desk: Desk) -> None:
    at = handlers.look(desk, f"?{BOTH}")
    html = handlers.headline(at)
    assert html.count('class="figure main"') == 2 and "2 results on demo-corpus test" in html
    assert at.labels == ("beam with demo-lm", "greedy")


def test_too_little_is_said_and_counted(desk: Desk) -> None:
    html = handlers.headline(handlers.look(desk, f"?{SCOTTISH}&age=sixties"))
    assert "Too little to give a rate: 1 of the 10 speakers needed" in html and "errors in" in html


def test_texts_are_escaped() -> None:
    bad = '<img src=x onerror="1">'
    html = filter_bar.chips_html(filters.parse(f"accents={bad}")) + analysis_html.problem_html(bad)
    html += analysis_html.bar_html([analysis_html.Choice(bad, bad, 1, 0.1)], [bad], [filter_bar.Menu(bad, ((bad, 1),))])
    assert "<img" not in html and 'onerror="' not in html.replace("&quot;", "'")


# --- where it fails


def test_the_hardest_accent_is_named_first_unprompted(desk: Desk) -> None:
    lead, charts = handlers.where(handlers.look(desk, ""))
    assert texts(lead).startswith("Clearly worse than the rest: Scottish English: 16")
    by_accent = charts[charts.index("By accent") :]
    assert by_accent.index("Scottish English") < by_accent.index("Lancashire English")


def test_a_row_is_a_button_that_adds_its_filter(desk: Desk, scored: Scored) -> None:
    _, charts = handlers.where(handlers.look(desk, f"?{BOTH}"))
    wheres = re.findall(r'class="line" data-where="([^"]+)"', charts)
    assert "accents=Scottish+English" in wheres and any(
        w.startswith("seconds.min=2.0&amp;seconds.below") for w in wheres
    )
    for each in wheres:
        assert filters.mask(scored, filters.parse(each.replace("&amp;", "&"))).any()


def test_insufficient_slices_say_why_and_come_last(desk: Desk) -> None:
    _, charts = handlers.where(handlers.look(desk, ""))
    by_age = charts[charts.index("By age") : charts.index("By clip length")]
    assert "too little: 8 of the 10 speakers needed" in by_age
    assert by_age.index("line little") > by_age.rindex('class="line" ')


def test_further_columns_can_be_charted(desk: Desk) -> None:
    assert "By speaking rate" not in handlers.where(handlers.look(desk, ""))[1]
    shown = handlers.where(handlers.look(desk, "?by=speaking_rate&by=nothing"))[1]
    assert "By speaking rate" in shown and 'data-toggle="by=speaking_rate" aria-pressed="true"' in shown


def test_slices_of_values_sort_by_wer_and_bins_keep_their_order(desk: Desk) -> None:
    _, charts = handlers.where(handlers.look(desk, ""))
    lengths = charts[charts.index("By clip length") :]
    assert [lengths.index(label) for label in ("under 2 s", "2 to 4 s", "4 to 6 s")] == sorted(
        lengths.index(label) for label in ("under 2 s", "2 to 4 s", "4 to 6 s")
    )


def test_the_axis_ends_at_a_round_number() -> None:
    assert report_charts.ceiling([0.163]) == 0.2 and report_charts.ceiling([1.48]) == 1.5
    assert report_charts.ceiling([]) == 0.1 and report_charts.ceiling([float("nan"), 0.42]) == 0.5


def test_what_takes_longer_is_made_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    at = handlers.look(desk, "")
    worst, gaps = handlers.worst(desk, at), handlers.gaps(desk, at)
    assert "confirmed" in worst and "Does the gap survive?" in gaps and "Scottish English" in gaps
    monkeypatch.setattr(handlers, "_worst", lambda at: pytest.fail("searched again"))
    assert handlers.worst(desk, handlers.look(desk, "")) == worst


def test_a_second_tour_of_the_views_reads_no_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [
        f"?{BOTH}&view={view}{more}" for view in ("where", "errors", "clips") for more in ("", "&age=thirties")
    ]

    def tour() -> list[list]:
        return [tab._shown(desk, each, "") + list(tab._deeper(desk, each, "")) for each in addresses]

    first = tour()
    monkeypatch.setattr(Result, "read", lambda *_, **__: pytest.fail("read again"))
    assert tour() == first


def test_nothing_is_searched_for_a_filter_that_was_left(desk: Desk) -> None:
    before, now = (handlers.look(desk, f"?{query}") for query in ("", SCOTTISH))
    assert not handlers.moved_on(desk, "visitor", before), "nothing known of this visitor"
    desk.last.put("visitor", now.subject)
    assert handlers.moved_on(desk, "visitor", before) and not handlers.moved_on(desk, "visitor", now)
    assert not handlers.moved_on(desk, "visitor", handlers.look(desk, f"?{SCOTTISH}&view=clips&leaf=2"))


def test_the_heat_map_has_figures_in_its_cells(desk: Desk) -> None:
    html = handlers.heat(desk, handlers.look(desk, ""))
    assert "data-where=" in html and re.search(r"<b>\d+", html)
    chosen = handlers.heat(desk, handlers.look(desk, "?heat=gender*seconds"))
    assert '<option value="gender" selected' in chosen and '<option value="seconds" selected' in chosen
    assert "<table" in chosen and handlers.heat(desk, handlers.look(desk, "?heat=gender*gender"))


# --- errors


def test_confused_pairs_lead_to_the_place_where_to_listen(desk: Desk) -> None:
    html = clips_handlers.errors(handlers.look(desk, "?view=errors"))
    first = re.search(r'class="confusion" data-go="([^"]+)"', html)
    assert first
    pair = dict(parse_qsl(first[1].replace("&amp;", "&"), keep_blank_values=True))
    at = handlers.look(desk, f"?view=errors&said={pair['said']}&heard={pair['heard']}")
    places = clips_handlers.places(at)
    assert f"<del>{pair['said']}</del>" in places and "data-hear=" in places
    clip, start, end = re.search(r'data-hear="([^"]+)" data-from="([\d.]+)" data-to="([\d.]+)"', places).groups()
    row = clips.page(at.scored, np.array([clips.find(at.scored, clip)])).iloc[0]
    number = row["hypothesis"].split().index(pair["heard"])
    assert float(start) <= row["word_starts"][number] < row["word_ends"][number] <= float(end)


def test_letters_lead_to_the_word_they_are_in(scored: Scored) -> None:
    steps = walks.steps(scored, 0, "characters")
    wrong = np.flatnonzero(steps.op == ord("S"))[0]
    said, heard = (str(steps.vocabulary[side[wrong]]) for side in (steps.reference, steps.hypothesis))
    place = walks.places(scored, 0, "characters", None, said, heard, 1)[0]
    row = clips.page(scored, np.array([place.clip])).iloc[0]
    assert said in row["reference"].split()[place.said_at] and heard in row["hypothesis"].split()[place.heard_at]


def test_what_is_left_out_and_added_can_be_chosen_too(desk: Desk) -> None:
    html = clips_handlers.errors(handlers.look(desk, "?view=errors&unit=characters"))
    assert "letter" in texts(html).lower()
    for address in ("?view=errors&said=the", "?view=errors&heard=a"):
        assert "data-hear=" in clips_handlers.places(handlers.look(desk, address))
    nowhere = clips_handlers.places(handlers.look(desk, "?view=errors&said=zzz&heard=yyy"))
    assert "Nowhere among these clips" in nowhere


def test_the_errors_follow_the_filter(desk: Desk) -> None:
    counts = [
        clips_handlers.missed(clips_handlers.chosen_steps(handlers.look(desk, a)))["count"].sum()
        for a in ("", f"?{SCOTTISH}")
    ]
    assert counts == [3049, 660]


def test_formatting_is_kept_apart_from_recognition(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    html = texts(clips_handlers.formatting(desk, handlers.look(desk, "?view=errors")))
    assert "As written, 36.3" in html and "really misheard" in html and "spread evenly" not in html
    monkeypatch.setattr(clips_handlers, "FORMATTED", 100)
    other = Desk(desk.services)
    assert "spread evenly" in clips_handlers.formatting(other, handlers.look(other, "?view=errors"))


# --- clips


def test_the_table_is_sorted_and_paged_on_the_server(desk: Desk, scored: Scored) -> None:
    html = clips_handlers.table(desk, handlers.look(desk, "?view=clips"))
    assert html.count("<tr data-row=") == 20 and "1 to 20 of 316" in html
    last = clips_handlers.table(desk, handlers.look(desk, "?view=clips&leaf=99"))
    assert "301 to 316 of 316" in last
    everyone = np.ones(len(scored), bool)
    order = clips.ordered(scored, everyone)
    assert (np.diff(scored.errors[0][order]) <= 0).all()
    for sort in clips.ORDERS:
        whole = clips.ordered(scored, everyone, sort)
        assert sorted(whole) == list(range(len(scored)))
        assert (clips.ordered(scored, everyone, sort, most=37) == whole[:37]).all(), sort
    longest = clips.ordered(scored, everyone, "longest")
    assert (np.diff(scored.number("seconds")[longest]) <= 0).all()


def test_a_clip_is_found_by_its_name(scored: Scored) -> None:
    names = clips.page(scored, np.arange(len(scored)), ["clip"])["clip"]
    assert [clips.find(scored, name) for name in names[:5]] == [0, 1, 2, 3, 4]
    assert clips.find(scored, "nothing.mp3") is None


def test_a_clip_can_be_seen_and_heard(desk: Desk) -> None:
    at = handlers.look(desk, "?view=clips")
    name = clips.page(at.scored, clips.ordered(at.scored, at.inside, most=1))["clip"][0]
    html = clips_handlers.detail(desk, handlers.look(desk, f"?{BOTH}&open={name}"))
    assert 'src="data:audio/mpeg;base64,' in html and 'src="data:image/png;base64,' in html and "<path d=" in html
    assert html.count('class="steps"') == 2, "one alignment a run"
    assert len(html.encode()) < 300_000
    assert clips_handlers.detail(desk, at) == ""
    with pytest.raises(NotFoundError, match="no clip 'x.mp3'"):
        clips_handlers.detail(desk, handlers.look(desk, "?open=x.mp3"))


def test_a_clip_whose_corpus_is_gone_says_so(tmp_path: Path) -> None:
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=30, wer=0.0, noise=0.0), 1))
    rows = rows.set_column(rows.schema.get_field_index("hypothesis"), "hypothesis", rows["reference"])
    simulate.write(tmp_path / "results" / "made", rows)
    settings = Settings(home=tmp_path)
    desk = Desk(Services(Transcriber(registry.read(), settings), settings))
    html = clips_handlers.detail(desk, handlers.look(desk, "?results=made&open=clip_00000000.mp3"))
    assert "not on this machine" in html and "<audio" not in html and "reports of" not in html
    assert "WER" in texts(handlers.headline(handlers.look(desk, "?results=made")))


def test_an_open_clip_shows_what_was_reported_of_its_sentence(tmp_path: Path) -> None:
    """Beside the votes; a sentence that nobody reported says nothing, and a file that is spoilt says so."""
    known = registry.read()
    folder = shutil.copytree(known.corpus("demo-corpus").path, tmp_path / "en")
    corpora = {"demo-corpus": replace(known.corpus("demo-corpus"), path=folder)}
    settings = Settings(home=tmp_path)
    desk = Desk(Services(Transcriber(replace(known, corpora=corpora), settings), settings))
    at = handlers.look(desk, "?view=clips")
    rows = clips.page(at.scored, np.arange(len(at.scored)))
    first = rows.iloc[0]
    other = rows[rows["reference_raw"] != first["reference_raw"]].iloc[0]

    def facts(clip: str) -> str:
        return texts(clips_handlers.detail(desk, handlers.look(desk, f"?open={clip}")))

    assert "reports" not in facts(first["clip"]), "the corpus has no such file"
    reasons = ["difficult-pronounce", "<i>mine</i>", "difficult-pronounce", "x" * 500]
    lines = [f"{first['reference_raw']}\t{first['sentence_id']}\ten\t{reason}" for reason in reasons]
    (folder / "reported.tsv").write_text("\n".join(["sentence\tsentence_id\tlocale\treason", *lines, ""]))
    said = facts(first["clip"])
    shown = f"reports of the sentence difficult to pronounce (2), &lt;i&gt;mine&lt;/i&gt; (1), {'x' * 100}… (1)"
    assert shown in said and said.index("votes") < said.index("reports")
    assert "reports" not in facts(other["clip"])
    (folder / "reported.tsv").write_bytes(b"sentence\treason\n\xff\tx\n")
    assert "reports of the sentence reported.tsv cannot be read" in facts(other["clip"])


def test_a_mark_is_kept_shown_and_exported(desk: Desk) -> None:
    at = handlers.look(desk, "")
    name = clips.page(at.scored, clips.ordered(at.scored, at.inside, most=1))["clip"][0]
    clips_handlers.mark(desk, handlers.look(desk, f"?open={name}&mark=bad+label"))
    assert "bad label" in clips_handlers.table(desk, at)
    assert 'data-mark="" aria-pressed="true"' in clips_handlers.detail(desk, handlers.look(desk, f"?open={name}"))
    saved = analysis_export.save(desk, handlers.look(desk, "?results=demo-en-greedy&what=marks"))
    rows = list(csv.DictReader(saved.open(encoding="utf-8")))
    assert [(r["clip"], r["mark"]) for r in rows] == [(name, "bad label")] and rows[0]["reference_raw"]
    clips_handlers.mark(desk, handlers.look(desk, f"?open={name}&mark="))
    assert marks.marks(desk.services.settings.home, at.result) == {}
    with pytest.raises(ConfigError, match="no mark 'odd'"):
        clips_handlers.mark(desk, handlers.look(desk, f"?open={name}&mark=odd"))
    with pytest.raises(NotFoundError, match="Open a clip first"):
        clips_handlers.mark(desk, handlers.look(desk, "?open=gone.mp3&mark=interesting"))


def test_marks_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(marks, "MOST", 1)
    result = handlers.look(desk, "").result
    marks.mark(tmp_path, result, "a.mp3", "interesting")
    marks.mark(tmp_path, result, "a.mp3", "bad label")
    with pytest.raises(ResultError, match="all that is kept"):
        marks.mark(tmp_path, result, "b.mp3", "interesting")
    assert marks.table(tmp_path, result)["clip"].tolist() == ["a.mp3"]


# --- what is saved


@pytest.mark.parametrize("what", analysis_export.FILES)
def test_everything_can_be_saved(desk: Desk, what: str) -> None:
    path = analysis_export.save(desk, handlers.look(desk, f"?{SCOTTISH}&what={what}"))
    assert path.stat().st_size > 5 and path.name.endswith(f"filtered.{analysis_export.FILES[what]}")
    if what == "rows-parquet":
        table = pq.read_table(path)
        assert table.num_rows == 64 and set(table["accents"].to_pylist()) == {"Scottish English"}
    if what == "rows-csv":
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        assert len(rows) == 64 and len(rows[0]["word_starts"].split()) == len(rows[0]["hypothesis"].split())
    if what == "report":
        assert "Scottish English" in path.read_text(encoding="utf-8")


def test_what_is_saved_is_that_of_the_filter_and_has_a_name_that_files_can_have(desk: Desk, tmp_path: Path) -> None:
    at = handlers.look(desk, "")
    rows = clips.page(at.scored, np.arange(len(at.scored)), ["clip", "accents"])
    scots = rows["accents"] == "Scottish English"
    inside, outside = rows["clip"][scots].iloc[0], rows["clip"][~scots].iloc[0]
    for name in (inside, outside):
        clips_handlers.mark(desk, handlers.look(desk, f"?open={name}&mark=interesting"))
    saved = analysis_export.save(desk, handlers.look(desk, f"?{SCOTTISH}&what=marks"))
    assert [row["clip"] for row in csv.DictReader(saved.open(encoding="utf-8"))] == [inside]
    for name in (inside, outside):
        clips_handlers.mark(desk, handlers.look(desk, f"?open={name}&mark="))
    long = "ñ" * 120
    shutil.copytree(SHIPPED / "results" / "demo-en-beam", tmp_path / "results" / long)
    settings = Settings(home=tmp_path)
    other = Desk(Services(Transcriber(registry.read(), settings), settings))
    for what in ("substitutions", "deletions", "insertions"):
        saved = analysis_export.save(other, handlers.look(other, f"?results={long}&{SCOTTISH}&what={what}"))
        head = saved.read_text(encoding="utf-8").splitlines()[0]
        assert saved.name.endswith("filtered.csv") and "examples" not in head and head.endswith("count,clips")


def test_only_what_there_is_can_be_saved(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="cannot be saved"):
        analysis_export.save(desk, handlers.look(desk, "?what=../../etc"))


# --- figures


def test_the_headline_is_that_of_the_slice_table(scored: Scored) -> None:
    for mask in (None, filters.mask(scored, filters.parse(SCOTTISH))):
        rows = slices.slice_table(scored, (), mask).to_dict("records")
        for each, row in zip(headline.headlines(scored, mask), rows, strict=True):
            assert (each.wer.value, each.wer.low, each.wer.high) == pytest.approx((row["wer"], row["low"], row["high"]))
            assert each.cer.value == pytest.approx(row["cer"]) and each.cer.low < each.cer.value < each.cer.high
            assert each.errors == each.substitutions + each.deletions + each.insertions


def test_the_headline_is_that_of_the_run(scored: Scored) -> None:
    for each, result in zip(headline.headlines(scored), scored.results, strict=True):
        score = result.info["score"]
        assert (each.wer.value, each.cer.value, each.raw) == pytest.approx(
            (score["wer"], score["cer"], score["raw_wer"])
        )
        assert each.hours == pytest.approx(result.info["audio_hours"], rel=1e-4)
        assert each.rtfx == pytest.approx(result.info["rtfx"], rel=0.35), "without loading, and what overlapped"


# --- made-up corpora that are not as one wishes them


def made_up(home: Path, name: str, columns: dict[str, list], pins: dict | None = None, **recipe: int) -> Desk:
    """A desk with one result under a home, in which some columns are as given."""
    rows = simulate.rows(simulate.simulate(simulate.Recipe(**{"speakers": 40, **recipe}), 1))
    for column, values in columns.items():
        at = rows.schema.get_field_index(column)
        given = (values * len(rows))[: len(rows)]
        rows = rows.set_column(at, column, pa.array(given, rows.schema.field(at).type))
    simulate.write(home / "results" / name, rows, pins)
    settings = Settings(home=home)
    return Desk(Services(Transcriber(registry.read(), settings), settings))


TEXTS = {"reference": ["a b c"], "hypothesis": ["a b x"], "ops": ["==S"], "reference_raw": ["a"],
         "hypothesis_raw": ["b"]}  # fmt: skip


def test_a_corpus_of_many_accents_is_shown_and_every_one_can_be_chosen(tmp_path: Path) -> None:
    names = [f"Accent {number:04}" for number in range(400)]
    desk = made_up(tmp_path, "many", {"accents": names}, speakers=200, clips_each=4)
    lead, charts = handlers.where(handlers.look(desk, "?results=many"))
    others = charts[: charts.index(">others<")].rpartition('class="line')[0]
    assert others.endswith("<div "), "no button: no filter says `others`"
    bar = handlers.frame(desk, "?results=many")
    assert "and 300 rarer ones" in bar and bar.count('name="accents"') == 100
    rare = next(name for name in names if f'value="{name}"' not in bar)
    bar = handlers.frame(desk, f"?results=many&accents={rare.replace(' ', '+')}")
    assert f'value="{rare}"' in bar and "and 299 rarer ones" in bar


def test_a_part_that_cannot_be_made_says_so_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MOST_SLICES", 50)
    columns = {"accents": [f"A{i}" for i in range(7)], "sentence_domain": [f"topic {i}" for i in range(11)]}
    desk = made_up(tmp_path, "many", columns, speakers=120, clips_each=4)
    *parts, last = tab._deeper(desk, "?results=many&heat=accents*sentence_domain", "")
    heat, worst, gaps = (next(v for v in (each[at] for each in parts) if isinstance(v, str)) for at in range(3))
    assert "more than 50" in heat and '<option value="sentence_domain" selected' in heat, "so it can be mended"
    assert "Where does it fail?" in worst and "Does the gap survive?" in gaps
    assert last[-1] == "?results=many&heat=accents*sentence_domain"


def test_a_slice_of_one_voice_has_no_interval(tmp_path: Path) -> None:
    desk = made_up(tmp_path, "dom", {"gender": ["male_masculine", "female_feminine"]}, speakers=40)
    at = handlers.look(desk, "?results=dom")
    rows = handlers.slice_rows(at).to_dict("records")
    chart = analysis_charts.Chart("gender", [{**r, "low": np.nan, "high": np.nan} for r in rows if r["by"] == "gender"],
                                  at.scored.runs, at.labels, [0.1])  # fmt: skip
    html = analysis_charts.charts_html([chart])
    assert "nan" not in html and 'class="interval"' not in html
    assert "no interval" in texts(html) and "too few speakers for an interval" in html


def test_gaps_hold_noise_alike_where_a_clip_lacks_it(tmp_path: Path) -> None:
    for name, snr, alike in (("some", [None, *range(1, 50)], "clip length, speaking rate and SNR"),
                             ("none", [None], "clip length and speaking rate")):  # fmt: skip
        desk = made_up(tmp_path / name, name, {"snr": snr}, speakers=200)
        said = handlers.gaps(desk, handlers.look(desk, f"?results={name}"))
        assert f"only like with like: {alike}." in said and "noise" not in said


def test_a_result_made_by_hand_can_be_reported_and_an_odd_one_breaks_nothing(tmp_path: Path) -> None:
    desk = made_up(tmp_path, "by-hand", TEXTS, {"normaliser": {"profile": "en"}})
    assert handlers.look(desk, "?results=by-hand").labels == ("by-hand",)
    saved = analysis_export.save(desk, handlers.look(desk, "?results=by-hand&what=report"))
    assert "How well does by-hand hear made-up" in saved.read_text(encoding="utf-8")
    pins = '"pins": {"corpus": {"name": "a", "split": "b", "fingerprint": "c"}, "normaliser": {"profile": "en"}'
    more = ('}, "score": null', '}, "clips": "9"', ', "decoder": null}')
    for odd in ('"pins": {}', '"pins": 3', *(pins + each for each in more)):
        (tmp_path / "results" / "odd").mkdir(exist_ok=True)
        (tmp_path / "results" / "odd" / "run.json").write_text(f'{{"format": 1, "state": "complete", {odd}}}')
        bar = handlers.frame(desk, "")
        assert "by-hand" in bar and "odd" not in bar, odd


def test_the_figures_are_those_of_the_command_line_and_of_the_report(tmp_path: Path, capsys) -> None:
    """Also of a corpus with few speakers, which as a whole is never too little."""
    desk = made_up(tmp_path, "few", TEXTS, {"checkpoint": {"id": "x", "language": "zz"}}, speakers=6)
    at = handlers.look(desk, "?results=few&by=snr&what=report")
    wer = percent(headline.headlines(at.scored, at.mask)[0].wer.value)
    report = analysis_export.save(desk, at).read_text(encoding="utf-8")
    assert "too little to say" not in report and wer.replace(" ", "\u00a0") in report
    assert evals_main(["slices", str(tmp_path / "results" / "few"), "--by", "gender", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "ok"


def test_the_search_is_the_same_on_the_page_and_in_its_report(desk: Desk) -> None:
    found = handlers.worst_found(desk, handlers.look(desk, f"?{SCOTTISH}&by=words"))
    again = gather([SHIPPED / "results" / "demo-en-beam"], ("accents",), SCOTTISH).worst
    assert (found.note, found.searched) == (again.note, again.searched)
    assert found.table["where"].tolist() == again.table["where"].tolist()


def test_several_results_are_told_apart_in_every_part(desk: Desk) -> None:
    at = handlers.look(desk, f"?{BOTH}")
    for html in (handlers.heat(desk, at), handlers.worst(desk, at), handlers.gaps(desk, at),
                 clips_handlers.formatting(desk, at)):  # fmt: skip
        assert "beam with demo-lm" in texts(html)
    assert "(beam" not in handlers.worst(desk, handlers.look(desk, ""))


def test_what_is_not_in_view_does_not_stay_when_the_filter_changes(desk: Desk) -> None:
    def moved(address: str) -> list[bool]:
        return [isinstance(value, str) for value in tab._shown(desk, address, "someone")]

    assert moved("?view=errors") == [True] * 8 + [False], "nothing is known of this visitor yet"
    assert moved("?view=where") == [True, True, True, *[False] * 6], "other views of the same stay"
    assert moved(f"?view=where&{SCOTTISH}") == [True] * 5 + [False] * 3 + [True], "formatting, of the view left behind"
    values = tab._shown(desk, "?view=clips", "someone")
    assert "Searching" in values[6] and "Working it out" in values[3] and "<table" in values[4]


def test_an_answer_that_comes_too_late_moves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(at: handlers.Look) -> str:
        desk.last.put("hasty", "something else")
        return "old"

    monkeypatch.setattr(handlers, "headline", slow)
    assert "old" not in tab._shown(desk, "", "hasty")
    assert "old" in tab._shown(desk, "", "")
    assert list(tab._deeper(desk, "", "hasty"))[-1][-1] == "", "and what is behind stays dimmed"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("seconds.has=x", "holds numbers, not texts"), ("up_votes.has=1", "holds numbers, not texts"),
        ("word_starts.has=a", "holds numbers, not texts"), ("word_starts.min=1", "a number for each word"),
        ("word_starts.unknown=", "a number for each word"), ("word_confidences.below=2", "a number for each word"),
        ("accents=\ud800", "No clip fits"), ("open=\ud800&accents=Klingon", "No clip fits"),
        ("&".join(["reference.has=e"] * 20_000), "20,000 conditions; at most 200"),
    ],
)  # fmt: skip
def test_an_address_that_asks_for_nonsense_is_answered_in_words(desk: Desk, query: str, said: str) -> None:
    html = tab._shown(desk, f"?{query}", "")[0]
    assert "Nothing to show" in html and said in html and len(html) < 2000
    assert "demo-en-beam" in handlers.frame(desk, f"?{query}")


def test_links_that_others_passed_on_open(desk: Desk) -> None:
    at = handlers.look(desk, f"?{SCOTTISH}&fbclid=abc&utm_source=mail&gclid=1")
    assert at.view.query == SCOTTISH
    with pytest.raises(NotFoundError, match="no column 'accent'"):
        handlers.look(desk, "?accent=Scottish+English")


def test_thai_is_counted_in_characters_as_its_speakers_see_them(tmp_path: Path) -> None:
    """A consonant with its vowel is one; the unit that an English result left in the address changes nothing."""
    scores = score_pairs(["สวัสดีที่นี่ครับ"], ["สวัสดีที่นีครับ"], "th")
    columns = {name: [scores[name][0]] for name in ("reference", "hypothesis", "ops")}
    desk = made_up(tmp_path, "th", columns, {"normaliser": {"profile": "th"}}, speakers=20)
    for unit in ("words", "characters"):
        at = handlers.look(desk, f"?results=th&view=errors&unit={unit}")
        pair = confusions.substitutions(clips_handlers.chosen_steps(at), 1, 0).iloc[0]
        place = walks.places(at.scored, 0, unit, None, pair["reference"], pair["hypothesis"], 1)[0]
        assert columns["reference"][0].split()[place.said_at] == pair["reference"] == "นี่"
    assert handlers._in_units(at, {"reason": Support(5, 100).lacking(9, 8)})["reason"].endswith("100 characters needed")


def test_words_that_were_always_heard_are_not_among_those_missed(desk: Desk) -> None:
    html = clips_handlers.errors(handlers.look(desk, "?view=errors&correct=demo-en-beam"))
    assert "missed most often" not in html
    assert "missed most often" in clips_handlers.errors(handlers.look(desk, "?view=errors"))


# --- small things


def test_words_for_people() -> None:
    said = [
        analysis_words.condition(c) for c in filters.parse("gender.not=male_masculine&seconds.min=2&accents=&wrong=a")
    ]
    assert said == [
        "gender not: male / masculine",
        "clip length at least 2 s",
        "accent: not stated",
        "with errors in a",
    ]
    assert analysis_words.percent(float("nan")) == "–" and percent(0.1)
    assert analysis_words.hours(0.5) == "30 minutes" and analysis_words.hours(12) == "12.0 hours"


def test_pictures_of_any_clip() -> None:
    for length in (0, 1, 400, 16_000, 3_000_000):
        clip = Clip(np.random.default_rng(0).standard_normal(length).astype(np.float32) * 0.1)
        assert analysis_sound.spectrogram(clip.samples).startswith(b"\x89PNG")
        assert analysis_sound.waveform(clip).startswith("M") or length == 0


def test_a_long_clip_sends_only_its_beginning(tmp_path: Path) -> None:
    from asrdemo.audio import encode_wav

    clip = Clip(np.zeros(16_000 * 40, np.float32))
    file = tmp_path / "long.wav"
    file.write_bytes(encode_wav(clip))
    made = analysis_sound.sound(file, clip)
    small = tmp_path / "long.oga"  # not of a kind that is sent as it is, however small
    small.write_bytes(b"x")
    assert len(analysis_sound.sound(small, clip).uri) < 900_000
    assert made.cut and made.seconds == analysis_sound.MOST_SECONDS and len(made.uri) < 900_000


# --- other languages, other clips


def test_the_page_of_the_clips_is_not_called_page(desk: Desk) -> None:
    html = clips_handlers.table(desk, handlers.look(desk, "?view=clips&leaf=2"))
    assert "21 to 40" in html and "leaf=3" in html
    assert "page=" not in html.replace("aria-current=", ""), "Gradio fails on an address with `page`"


def test_the_result_shown_comes_first_and_one_of_other_clips_can_only_be_alone() -> None:
    choices = [analysis_html.Choice(name, f"about {name}", 9, 0.1, name != "far") for name in ("far", "near", "mine")]
    html = analysis_html.bar_html(choices, ["mine"], ())
    assert re.findall(r'data-only="(\w+)"', html) == ["mine", "near", "far"]
    boxes = dict(re.findall(r'value="(\w+)"([^>]*)>', html))
    assert "disabled" in boxes["far"] and "disabled" not in boxes["near"] and "checked" in boxes["mine"]
    assert "other clips" in texts(html)


ARABIC = {"clip": "a.mp3", "reference": "هذا كتاب", "hypothesis": "hi هذا", "ops": "I=D", "wer": 1.0, "errors": 2,
          "words": 2, "seconds": 1.0, "accents": "", "gender": "", "age": ""}  # fmt: skip


def test_a_marked_text_goes_as_its_reference_does() -> None:
    pages = clips_html.Pages(1, 20, 1)
    html = clips_html.table_html([ARABIC], pages, "worst", {}, "")
    assert '<p dir="rtl" class="diff"><ins>hi</ins>' in html, "dir=auto would go as the first word, which was added"
    assert '<p dir="rtl"' in clips_html.places_html("", [(ARABIC | {"word_starts": [], "word_ends": []}, 1, 2)], 9)
    assert diff.direction("12 هذا") == "rtl" and diff.direction("她") == diff.direction("") == "ltr"


def test_characters_are_counted_and_written_as_characters(scored: Scored) -> None:
    assert diff.marked("她 也 认 为", "p a 为", "SSD=", joined=True) == "<del>她也认</del><ins>pa</ins>为"
    row = ARABIC | {"reference": "她 也 认 为", "hypothesis": "p a 为", "ops": "SSD="}
    html = clips_html.table_html([row], clips_html.Pages(1, 20, 1), "worst", {}, "", joined=True)
    assert "joined" in html and ">CER " in html and ">WER " not in html
    shown = analysis_html.headline_html(headline.headlines(scored)[:1], ["x"], "x", (), unit="character")
    said = texts(shown)
    assert "of 100 characters" in said and "3,049 characters" in said and said.count("CER") == 2, "and as written"
    assert "Words wrong" not in said and "WER" not in said and "wrong character" in said


def test_a_finding_says_the_figure_of_the_charts_and_one_that_turned_round_is_left_out() -> None:
    row = {"slice": "Scottish English", "where": "accents=x", "confirmed": True, "all_wer": 0.164, "all_rest": 0.083,
           "wer": 0.18, "rest": 0.077, "low": 0.04, "high": 0.16, "difference": 0.1, "speakers": 8}  # fmt: skip
    others = [
        row | {"slice": "turned", "confirmed": False, "difference": -0.09},
        row | {"slice": "maybe", "confirmed": False},
    ]
    said = texts(findings_html.worst_html([row, *others], "note"))
    assert "Scottish English : 16 % of the words are wrong, 8 % elsewhere" in said.replace("\u00a0", " ")
    assert "8 speakers not used to find it: 18 % against 8 %" in said.replace("\u00a0", " ")
    assert "maybe" in said and "turned" not in said


def test_a_map_of_few_cells_is_folded_away_unless_asked_for(desk: Desk) -> None:
    few = "?results=demo-en-beam&accents=Scottish+English&gender=female_feminine"
    assert "<details" in handlers.heat(desk, handlers.look(desk, few))
    assert "<details" not in handlers.heat(desk, handlers.look(desk, f"{few}&heat=age*seconds"))
    shares = []
    for wanted in ("", "&heat=accents*seconds"):
        html = handlers.heat(desk, handlers.look(desk, f"?results=demo-en-beam{wanted}"))
        filled, empty = html.count("<td style="), html.count('<td class="little"')
        shares.append(filled / (filled + empty))
    assert "<details" not in html and shares[0] > shares[1], "the pair that shows most"


def test_where_nothing_fits_every_view_says_so_and_one_way_leads_out(desk: Desk) -> None:
    nothing = tab._shown(desk, "?results=demo-en-beam&accents=Klingon&view=clips", "")
    assert all("Nothing to show" in nothing[at] for at in (0, 3, 4)), "headline, errors, clips"
    assert "data-clear" in nothing[0] and "data-reset" not in nothing[0]
    gone = tab._shown(desk, "?results=gone&accents=Klingon", "")[0]
    assert "data-reset" in gone and "data-clear" not in gone, "with no result no filter helps"
