"""The Error analysis page without Gradio and without a browser: addresses in, HTML out, on the shipped results."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
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
from asrdemo.ui.analysis import clips_handlers, handlers
from asrdemo.ui.analysis import export as analysis_export
from asrdemo.ui.analysis import markup as analysis_html
from asrdemo.ui.analysis import sound as analysis_sound
from asrdemo.ui.analysis.handlers import Desk
from asrdemo.ui.analysis.state import View, read
from asrdemo.ui.services import Services
from evals import clips, filters, headline, marks, simulate, slices, walks
from evals.catalogue import SHIPPED, Catalogue
from evals.scored import Scored, load
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
        f"?tab=analysis&{BOTH}&{SCOTTISH}&seconds.min=2&view=clips&sort=longest&page=3&open=a.mp3&by=snr&by=age"
    )
    assert view.results == ("demo-en-beam", "demo-en-greedy") and view.by == ("snr", "age")
    assert (view.view, view.sort, view.page, view.open) == ("clips", "longest", 3, "a.mp3")
    assert view.query == "accents=Scottish+English&seconds.min=2.0"
    assert filters.parse(view.query) == view.conditions


def test_what_an_address_says_wrongly_of_the_view_is_not_said() -> None:
    assert read("?view=nowhere&sort=up&page=minus&unit=phones&tab=x") == View()
    assert read("") == View() and read("?page=0").page == 1 and read(f"?page={'9' * 40}").page == 1
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
    assert 'value="demo-en-beam" checked' in html and 'value="demo-en-greedy">' in html
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
    assert analysis_charts.ceiling([0.163]) == 0.2 and analysis_charts.ceiling([1.48]) == 1.5
    assert analysis_charts.ceiling([]) == 0.1 and analysis_charts.ceiling([float("nan"), 0.42]) == 0.5


def test_what_takes_longer_is_made_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    at = handlers.look(desk, "")
    worst, gaps = handlers.worst(desk, at), handlers.gaps(desk, at)
    assert "confirmed" in worst and "Does the gap survive?" in gaps and "Scottish English" in gaps
    monkeypatch.setattr(handlers, "_worst", lambda at: pytest.fail("searched again"))
    assert handlers.worst(desk, handlers.look(desk, "")) == worst


def test_nothing_is_searched_for_a_filter_that_was_left(desk: Desk) -> None:
    before, now = (handlers.look(desk, f"?{query}") for query in ("", SCOTTISH))
    assert not handlers.moved_on(desk, "visitor", before), "nothing known of this visitor"
    desk.last.put("visitor", now.subject)
    assert handlers.moved_on(desk, "visitor", before) and not handlers.moved_on(desk, "visitor", now)
    assert not handlers.moved_on(desk, "visitor", handlers.look(desk, f"?{SCOTTISH}&view=clips&page=2"))


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
    last = clips_handlers.table(desk, handlers.look(desk, "?view=clips&page=99"))
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
    assert made.cut and made.seconds == analysis_sound.MOST_SECONDS and len(made.uri) < 900_000
