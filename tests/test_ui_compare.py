"""The Compare page's handlers and what they show, without Gradio and without a model."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from fake_speech import MENDED, SAID, FakeTranscriber, registry
from fakes import FakeModel
from test_ui_html import HOSTILE, Reader

from asrdemo.errors import AsrDemoError, CheckpointError, ConfigError, NotFoundError, ResultError
from asrdemo.registry import LanguageModelSpec
from asrdemo.settings import Settings
from asrdemo.ui.compare import clip_handlers, corpus_handlers
from asrdemo.ui.compare import clip_html as compare_clip_html
from asrdemo.ui.compare import corpus_html as compare_corpus_html
from asrdemo.ui.compare import list_html as compare_list_html
from asrdemo.ui.compare.clip_handlers import Comparison, Costs, Heard, Lane, Take
from asrdemo.ui.compare.corpus_handlers import View
from asrdemo.ui.compare.markup import direction, interlinear, marked, marked_pair
from asrdemo.ui.services import Services
from evals import simulate
from evals.catalogue import Catalogue
from evals.side_by_side import side_by_side

BOTH = [Lane("tiny"), Lane("tiny", "beam:tiny-lm")]
SHIPPED = View(("demo-en-greedy", "demo-en-beam")).settled()


class Failing(FakeTranscriber):
    """As where there is no network: one checkpoint cannot be had."""

    def transcribe(self, clips, checkpoint, options=None, progress=None):  # type: ignore[no-untyped-def]
        if checkpoint == "far":
            raise CheckpointError("Far Turkish needs the network <now>.")
        return super().transcribe(clips, checkpoint, options, progress)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    settings = Settings(home=tmp_path / "home")
    return Services(Failing(registry(), settings), settings)  # type: ignore[arg-type]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    path = tmp_path / "take.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32), 16_000)
    return Take(str(path), "a <clip>", "Please call the doctor at nine.", "en")


def run(services: Services, take: Take, lanes: list[Lane], costs: Costs | None = None) -> list[Comparison]:
    begun = clip_handlers.begin(services, take, lanes)
    return list(clip_handlers.compare(services, begun, costs or Costs()))


def shown(services: Services, found: Comparison) -> str:
    titles = [(HOSTILE, lane.lane.reading) for lane in found.lanes]
    html = compare_clip_html.comparison_html(found, clip_handlers.laid(services, found), titles)
    assert not Reader(html).find("img")
    return html


def test_lanes_follow_one_another_and_the_model_hears_the_clip_once(services: Services, take: Take) -> None:
    steps = run(services, take, BOTH)
    assert [[bool(lane.transcript) for lane in step.lanes] for step in steps] == [[True, False], [True, True]]
    assert services.transcriber.heard == ["a <clip>"]  # type: ignore[attr-defined]
    greedy, beam = steps[-1].lanes
    assert greedy.transcript and beam.transcript and (greedy.transcript.text, beam.transcript.text) == (SAID, MENDED)
    assert beam.transcript.timings.acoustic == 0 and beam.acoustic == greedy.acoustic == 0.2
    assert beam.speed == pytest.approx(2.0 / 0.201)
    assert beam.confidence == pytest.approx(np.mean([0.98, 0.95, 0.97, 0.41, 0.93, 0.72]))


def test_a_second_visitor_sees_the_time_that_the_first_one_paid(services: Services, take: Take) -> None:
    costs = Costs()
    run(services, take, BOTH, costs)
    assert run(services, take, BOTH, costs)[-1].lanes[0].speed is not None
    assert run(services, take, BOTH)[-1].lanes[0].speed is None, "nobody timed it"


def test_a_lane_that_fails_says_why_and_the_others_go_on(services: Services, take: Take) -> None:
    found = run(services, take, [Lane("far"), BOTH[0], Lane("gone"), BOTH[1]])[-1]
    assert [bool(lane.problem) for lane in found.lanes] == [True, False, True, False] and found.done
    html = shown(services, found)
    assert "Far Turkish needs the network &lt;now&gt;." in html and "gone" in found.lanes[2].problem
    laid = clip_handlers.laid(services, found)
    assert laid and laid.lanes == (1, 3)
    assert "<strong>D</strong> makes the fewest errors here: 0 of 6 words wrong; B 1." in html


class Starved(FakeTranscriber):
    """As where memory runs out for one of the checkpoints."""

    def transcribe(self, clips, checkpoint, options=None, progress=None):  # type: ignore[no-untyped-def]
        if checkpoint == "far":
            raise MemoryError
        return super().transcribe(clips, checkpoint, options, progress)


def test_of_six_lanes_one_that_runs_out_of_memory_takes_none_with_it(services: Services, take: Take) -> None:
    services.transcriber = Starved(services.registry, services.settings)
    found = run(services, take, [*BOTH, Lane("far"), BOTH[0], Lane("tiny", "beam"), BOTH[1]])[-1]
    assert [bool(lane.transcript) for lane in found.lanes] == [True, True, False, True, True, True]
    assert "not enough memory" in shown(services, found)


def test_what_is_not_wanted_any_more_ends_without_a_word(services: Services, take: Take) -> None:
    """The visitor has chosen another clip while lane B was heard: nothing of the first one is shown after that."""
    begun = clip_handlers.begin(services, take, [*BOTH, BOTH[0]])
    wanted = True
    steps = clip_handlers.compare(services, begun, Costs(), wanted=lambda: wanted)
    assert next(steps).lanes[0].transcript
    wanted = False
    assert list(steps) == [] and len(services.transcriber.calls) == 1  # type: ignore[attr-defined]
    assert begun.serial != clip_handlers.begin(services, take, BOTH).serial


def long(services: Services, take: Take, words: int) -> Comparison:
    """Six lanes of a long recording; each hears another word now and then."""
    found = run(services, replace(take, reference=""), [*BOTH, BOTH[0], Lane("tiny", "beam"), *BOTH])[-1]
    lanes = []
    for at, lane in enumerate(found.lanes):
        text = " ".join(f"lane{at}" if word % (97 + at) == 0 else f"word{word % 50}" for word in range(words))
        assert lane.transcript
        best = replace(lane.transcript.best, text=text)
        lanes.append(replace(lane, transcript=replace(lane.transcript, hypotheses=(best,))))
    return replace(found, lanes=tuple(lanes))


@pytest.mark.parametrize(("words", "says"), [(2000, "left out (…)"), (40_000, "not laid side by side")])
def test_of_a_long_recording_a_page_stays_small(services: Services, take: Take, words: int, says: str) -> None:
    found = long(services, take, words)
    html = shown(services, found)
    assert len(html) < 250_000 and says in html and f"The first {compare_clip_html.MOST_WORDS} of" in html
    first = replace(found, lanes=(found.lanes[0], Heard(BOTH[0])))
    assert clip_handlers.laid(services, first) is None, "laid out once, when all are done"
    assert len(shown(services, first)) < 20_000


def test_lanes_are_scored_against_what_was_read(services: Services, take: Take) -> None:
    laid = clip_handlers.laid(services, run(services, take, BOTH)[-1])
    assert laid and [s.words.errors for s in laid.scores] == [1, 0] and laid.scores[0].wer == pytest.approx(1 / 6)
    assert [c.words for c in laid.columns if not c.agreed] == [("nine", "nein", "nine")]


def test_without_a_reference_lanes_are_held_against_the_first(services: Services, take: Take) -> None:
    found = run(services, replace(take, reference=""), BOTH)[-1]
    laid = clip_handlers.laid(services, found)
    html = shown(services, found)
    assert laid and not laid.scores and "The lanes part in 1 place." in html
    assert "in lane A, not here" in html and "What was read" not in html
    alike = shown(services, run(services, take, [BOTH[0], BOTH[0]])[-1])
    assert "All lanes agree on every word: 1 of 6 words wrong." in alike


def test_while_lanes_wait_the_page_says_so(services: Services, take: Take) -> None:
    begun = clip_handlers.begin(services, take, BOTH)
    html = shown(services, begun)
    assert "Lane A is listening" in html and html.count("waiting for its turn") == 2 and 'aria-busy="true"' in html
    assert "The same clip" in compare_clip_html.comparison_html(Comparison(), None, [])
    nobody = shown(services, Comparison(take, (Heard(Lane("far"), problem=HOSTILE),)))
    assert "No lane could hear" in nobody


def test_lanes_of_the_panel(services: Services) -> None:
    lanes = clip_handlers.preset(services)
    assert len(lanes) == 6 and lanes[:2] == BOTH and Lane("far") in lanes
    values = [value for lane in lanes for value in (lane.checkpoint, lane.reading)]
    assert clip_handlers.chosen(values, 3) == lanes[:3]
    assert ("Beam search + Tiny 3-gram", "beam:tiny-lm") in clip_handlers.readings([("Tiny 3-gram", "tiny-lm")])
    options = Lane("tiny", "beam").options(services)
    assert (options.kind, options.lm) == ("beam", None)
    assert Lane("tiny", "beam:tiny-lm").options(services).alpha == 0.7
    with pytest.raises(NotFoundError):
        Lane("tiny", "beam:gone").options(services)


OWN = LanguageModelSpec("yours-secret", "My <notes>, 200 words", "en", path=Path("model.arpa"), alpha=0.4, beta=1.0)


def test_a_visitors_own_language_model_makes_a_lane_and_its_id_stays_a_secret(services: Services, take: Take) -> None:
    services.transcriber.use_registry(services.registry.with_language_model(OWN, listed=False))
    lane = Lane("tiny", "beam:yours-secret")
    assert lane.options(services).lm == "yours-secret" and lane.options(services).alpha == 0.4
    title = clip_handlers.titles(services, lane)
    assert title == ("Tiny English", "Beam search + My <notes>, 200 words")
    found = run(services, take, [BOTH[0], lane])[-1]
    html = compare_clip_html.comparison_html(found, clip_handlers.laid(services, found), [title, title])
    assert "My &lt;notes&gt;" in html and "secret" not in html
    services.transcriber.use_registry(services.registry.without_unlisted("yours-secret"))
    assert clip_handlers.titles(services, lane)[1] == "A language model that is gone"
    gone = run(services, take, [BOTH[0], lane])[-1]
    assert gone.lanes[0].transcript and gone.lanes[1].problem, "the other lane goes on"


def test_memory_is_that_of_the_loaded_checkpoint_and_outlives_it(services: Services, take: Take) -> None:
    class Cache:
        held = ["tiny"]

        def loaded(self) -> list[str]:
            return self.held

        def get(self, spec, progress=None):  # type: ignore[no-untyped-def]
            model = FakeModel(spec)
            model.bytes = 13_112_576
            return model

    services.transcriber._cache = Cache()  # type: ignore[assignment]
    costs = Costs()
    first = run(services, take, BOTH, costs)[-1]
    assert [lane.memory for lane in first.lanes] == [13_112_576] * 2
    assert "13 MB" in shown(services, first) and "13,112,576 bytes of weights in fp32 on cpu" in shown(services, first)
    Cache.held = []
    assert run(services, take, BOTH, costs)[-1].lanes[0].memory == 13_112_576, "another checkpoint took its place"
    assert run(services, take, BOTH)[-1].lanes[0].memory is None, "nobody has seen it loaded"


def test_clips_are_found_by_their_words(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    (folder / "clips").mkdir(parents=True)
    for name in "abc":
        soundfile.write(folder / "clips" / f"{name}.wav", np.zeros(16_000, np.float32), 16_000)
    rows = [("a", "One (two) three"), ("b", "two four"), ("c", "five")]
    table = "".join(f"{n}.wav\t{s}\tfemale_feminine\tScottish English\n" for n, s in rows)
    (folder / "test.tsv").write_text("path\tsentence\tgender\taccents\n" + table)
    settings = Settings(home=tmp_path / "home")
    known = clip_handlers.sentences(Services(FakeTranscriber(registry(folder)), settings), "clips")
    found = clip_handlers.find(known, "TWO", 6, 1)
    assert {e.path.name for e in found} == {"a.wav", "b.wav"} and found[0].voice == "Scottish, woman"
    assert [e.path.name for e in clip_handlers.find(known, "(two", 6, 1)] == ["a.wav"]
    assert clip_handlers.find(known, "none of these", 6, 1) == [] and len(clip_handlers.find(known, "", 2, 1)) == 2
    example = clip_handlers.take_of(clip_handlers.find(known, "five", 1, 0)[0])
    assert example.reference == "five" and not example.own


def test_marks_are_more_than_colour_and_nothing_gets_out() -> None:
    columns = side_by_side(["one two three", f"one {HOSTILE.split()[0]} three four"])
    html = marked(columns, 1, False, "the script")
    reader = Reader(html)
    assert [t for t, _ in reader.tags if t in ("del", "ins")] == ["del", "ins", "ins"]
    assert "in the script, not here: " in reader.text and "here, not in the script: " in reader.text
    below = Reader(interlinear(columns, ["read", "A"]))
    assert "≠" in below.text and "+" in below.text and not below.find("img")
    assert marked(side_by_side(["你 好", "你 们 好"]), 1, True, "x").startswith("你<ins")


def test_a_pair_is_marked_by_the_alignment_that_was_counted() -> None:
    html = marked_pair("a b <c>", "a x y <c>", "=SI=", False)
    assert Reader(html).text.startswith("a in the script, not here: b here, not in the script: x y")
    assert html.endswith("&lt;c&gt;")
    assert "nothing was heard" in marked_pair("", "", "", False) and "struck" not in marked_pair("a", "a", "=", False)
    assert marked_pair("a", "<b>", "", False) == "&lt;b&gt;", "rows whose alignment is missing show what was heard"


def test_direction_is_that_of_the_reference() -> None:
    assert direction("12 مرحبا hello") == "rtl" and direction("hello مرحبا") == "ltr" and direction("") == "ltr"


def test_the_page_is_full_at_first_start(services: Services) -> None:
    view = corpus_handlers.preset(services)
    assert view == SHIPPED and view.base == "demo-en-greedy" and view.against == "demo-en-beam"
    found = corpus_handlers.figures(services, view)
    html = compare_corpus_html.figures_html(found)
    assert "<strong>beam with demo-lm</strong> makes fewer mistakes: 10.0 % of words wrong, 30.8 %" in html
    assert found.clips == 316 and found.grid.clips.sum() == 316 and "▼" in html and "fewer errors" in html
    assert len(html) < 200_000 and Reader(html).find("svg")
    assert found is corpus_handlers.figures(services, view), "asked again, it is at hand"


def test_a_slice_moves_every_number(services: Services) -> None:
    where = "accents=Scottish+English"
    view = replace(SHIPPED, where=where)
    found = corpus_handlers.figures(services, view)
    assert found.clips == found.grid.clips.sum() == 64 and found.speakers == 16
    said = compare_corpus_html.figures_html(found)
    assert f'data-drop="{where}"' in said and "accent: Scottish English" in said
    assert all(a != b for a, b in zip(found.speeds, corpus_handlers.figures(services, SHIPPED).speeds, strict=True))
    changed = found.changed[found.changed["by"] == ""].iloc[0]
    assert changed["clips"] == 64 and changed["clips_fixed"] == 20
    assert corpus_handlers.clip_list(services, view, None).total <= 64
    with pytest.raises(ResultError, match="No clip fits"):
        corpus_handlers.figures(services, replace(SHIPPED, where="accents=Martian"))


def test_too_little_speech_gives_no_number(services: Services) -> None:
    found = corpus_handlers.figures(services, replace(SHIPPED, where="seconds.min=8.0"))
    html = compare_corpus_html.figures_html(found)
    assert "Too little speech for a verdict: 2 of the 10 speakers needed" in html and "nan" not in html


def test_an_equal_result_is_no_winner(services: Services, tmp_path: Path) -> None:
    made = simulate.simulate(simulate.Recipe(speakers=40, runs=(1.0, 1.0)), 4)
    for at in (0, 1):
        simulate.write(tmp_path / "made" / "results" / f"<{at}>", simulate.rows(made, at))
    services.results = Catalogue([tmp_path / "made"])
    found = corpus_handlers.figures(services, corpus_handlers.preset(services))
    html = compare_corpus_html.figures_html(found)
    assert "lie too close to tell" in html and "≈" in html and "<0>" not in html
    assert "do not say how long they took" in html


def test_clips_of_a_cell_are_the_clips_that_were_counted(services: Services) -> None:
    grid = corpus_handlers.figures(services, SHIPPED).grid.clips
    found = corpus_handlers.clip_list(services, SHIPPED, (1, 0))
    assert found.total == grid[1, 0] and all(row.errors == (1, 0) for row in found.rows)
    assert found.title == "1 word error in greedy, 0 word errors in beam with demo-lm"
    beyond = corpus_handlers.clip_list(services, SHIPPED, (1, 0), 10_000)
    assert beyond.start + len(beyond.rows) == found.total
    html = compare_list_html.list_html(found, SHIPPED.names, False)
    assert f"1 to 6 of {found.total}" in html and "✓ no error" in html
    none = corpus_handlers.clip_list(services, SHIPPED, (0, 9))
    assert none.rows == () and "There is none" in compare_list_html.list_html(none, SHIPPED.names, False)


def test_a_clip_of_the_list_can_be_heard(tmp_path: Path) -> None:
    from asrdemo import registry as real

    settings = Settings(home=tmp_path)
    known = Services(FakeTranscriber(real.read(home=tmp_path), settings), settings)
    sound = corpus_handlers.audio(known, SHIPPED, 0)
    assert isinstance(sound, bytes) and sound[:4] == b"RIFF"
    with pytest.raises(NotFoundError):
        corpus_handlers.audio(known, SHIPPED, 316)


def test_audio_that_is_elsewhere_is_an_error_of_ours(services: Services) -> None:
    with pytest.raises(NotFoundError, match="not on this machine"):
        corpus_handlers.audio(services, SHIPPED, 0)


def test_results_that_cannot_be_compared_say_what_differs(services: Services, tmp_path: Path) -> None:
    made = simulate.rows(simulate.simulate(simulate.Recipe(speakers=20), 1))
    other = {"corpus": {"name": "other", "split": "test", "fingerprint": "1" * 64}}
    simulate.write(services.settings.home / "results" / "elsewhere", made, other)
    view = View(("demo-en-greedy", "elsewhere")).settled()
    with pytest.raises(ResultError) as refused:
        corpus_handlers.figures(services, view)
    found = corpus_handlers.why_not(services, view, str(refused.value))
    assert found.possible == (("demo-en-greedy", "demo-en-beam"), ("demo-en-greedy", "demo-en-tuned-beam"))
    html = compare_corpus_html.unlike_html(found)
    assert "measured on different clips" in html and "demo-en-greedy with demo-en-beam" in html
    mended = corpus_handlers.asked(view, {"pair": ["demo-en-greedy", "demo-en-beam"]})
    assert mended.names == SHIPPED.names and corpus_handlers.figures(services, mended)
    few = View(("demo-en-greedy",)).settled()
    with pytest.raises(ResultError, match="1 chosen"):
        corpus_handlers.figures(services, few)
    assert "Nothing to compare" in compare_corpus_html.unlike_html(corpus_handlers.why_not(services, few, HOSTILE))


def test_results_that_are_gone_are_named_and_the_others_shown(services: Services) -> None:
    """As of a link to a result that was deleted since."""
    one = View(("gone", "demo-en-beam")).settled()
    view, gone = corpus_handlers.there(services, one)
    assert (view.names, view.base, gone) == (("demo-en-beam",), "demo-en-beam", ("gone",))
    found = corpus_handlers.why_not(services, view, "1 chosen")
    assert found.possible == (("demo-en-beam", "demo-en-greedy"), ("demo-en-beam", "demo-en-tuned-beam"))
    mended = corpus_handlers.asked(view, {"pair": list(found.possible[0])})
    assert corpus_handlers.figures(services, mended).clips == 316
    both, gone = corpus_handlers.there(services, View((HOSTILE, *SHIPPED.names), by="gender"))
    assert both.names == SHIPPED.names and not Reader(compare_corpus_html.gone_html(gone)).find("img")
    none, _ = corpus_handlers.there(services, View(("gone",), by="gender"))
    assert none == replace(SHIPPED, by="gender")


def made_up(services: Services, folder: Path, tables: list[pa.Table]) -> View:
    for at, table in enumerate(tables):
        simulate.write(folder / "results" / f"r{at}", table)
    services.results = Catalogue([folder])
    return View(tuple(f"r{at}" for at in range(len(tables)))).settled()


def column(table: pa.Table, name: str, values: list[str]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, pa.string()))


def sentence(services: Services, view: View) -> str:
    return Reader(compare_corpus_html._sentence(corpus_handlers.figures(services, view))).text


def test_the_verdict_is_the_same_whatever_is_looked_by(services: Services, tmp_path: Path) -> None:
    """p is .0065 here: alone it counts as real, among the slices of an accent it would not."""
    made = simulate.simulate(simulate.Recipe(speakers=120, runs=(1.0, 0.93)), 10)
    view = made_up(services, tmp_path, [simulate.rows(made, run) for run in (0, 1)])
    said = {sentence(services, replace(view, by=by)) for by in ("gender", "accents", "age", "accents*seconds")}
    assert len(said) == 1 and "more than chance" in said.pop()


def test_who_leads_is_tested_against_the_next_best(services: Services, tmp_path: Path) -> None:
    """Two results are better than the baseline, and as good as each other: neither is named the winner."""
    made = simulate.simulate(simulate.Recipe(speakers=100, runs=(1.0, 0.7, 0.7)), 7)
    view = made_up(services, tmp_path, [simulate.rows(made, run) for run in range(3)])
    for base in view.names:
        said = sentence(services, replace(view, base=base))
        assert "Of 3 results," in said and "lead, too close to tell" in said and "r0" not in said
    html = compare_corpus_html.figures_html(corpus_handlers.figures(services, view))
    assert html.count('<span class="better">') >= 2, "both are better than the baseline"
    clear = simulate.simulate(simulate.Recipe(speakers=100, runs=(1.0, 0.8, 0.5)), 7)
    services.results = Catalogue([])
    view = made_up(services, tmp_path / "clear", [simulate.rows(clear, run) for run in range(3)])
    assert "r2 makes fewer mistakes" in sentence(services, view)


def test_a_sign_never_stands_beside_an_interval_that_holds_none(services: Services) -> None:
    row = corpus_handlers.figures(services, SHIPPED).pairs.iloc[0]
    assert "fewer errors" in compare_corpus_html._difference(row)
    doubtful = row.copy()
    doubtful["high"] = 0.005
    assert "≈" in compare_corpus_html._difference(doubtful)


def test_where_no_speaker_is_known_that_is_said_beside_the_verdict(services: Services, tmp_path: Path) -> None:
    made = simulate.simulate(simulate.Recipe(speakers=40, runs=(1.0, 0.8)), 4)
    tables = [simulate.rows(made, run) for run in (0, 1)]
    view = made_up(services, tmp_path, [column(table, "client_id", [""] * len(table)) for table in tables])
    html = compare_corpus_html.figures_html(corpus_handlers.figures(services, view))
    assert "does not say who speaks" in html and f"{len(tables[0])} clips, heard by every result" in html


def test_every_clip_that_is_not_in_all_results_is_counted(services: Services, tmp_path: Path) -> None:
    made = simulate.simulate(simulate.Recipe(speakers=60, runs=(1.0, 0.8)), 4)
    first, second = (simulate.rows(made, run) for run in (0, 1))
    view = made_up(services, tmp_path, [first.slice(0, 200), second.slice(100, 200)])
    html = compare_corpus_html.figures_html(corpus_handlers.figures(services, view))
    assert "100 clips of" in html and "200 clips are not in all results" in html


def test_slices_of_the_same_name_are_two_rows(services: Services, tmp_path: Path) -> None:
    """Somebody may have written "accent not stated" where the accent belongs."""
    made = simulate.simulate(simulate.Recipe(speakers=120, runs=(1.0, 0.8)), 4)
    tables = [simulate.rows(made, run) for run in (0, 1)]
    accents = ["accent not stated" if a == "Canadian English" else a for a in tables[0]["accents"].to_pylist()]
    view = made_up(services, tmp_path, [column(table, "accents", accents) for table in tables])
    html = compare_corpus_html.figures_html(corpus_handlers.figures(services, view))
    matrix = html[html.index('class="matrix"') : html.index('class="changes"')]
    assert matrix.count("accent not stated") == 2


def test_every_part_of_the_filter_bar_moves_the_comparison(services: Services) -> None:
    """What the form can say is what evals.filters reads, over every number and the list of clips."""
    bar = compare_corpus_html.bar_html(corpus_handlers.offered(services, SHIPPED), SHIPPED)
    whole = corpus_handlers.figures(services, SHIPPED)
    for where in ("gender=female_feminine", "age=twenties", "seconds.min=3&seconds.below=5", "reference.has=the",
                  "wrong=demo-en-greedy&correct=demo-en-beam", "hypothesis.has=the"):  # fmt: skip
        view = replace(SHIPPED, where=where)
        found = corpus_handlers.figures(services, view)
        mask = corpus_handlers.masked(services.results.scored(SHIPPED.names), view)
        assert mask is not None and 0 < found.clips == mask.sum() == found.grid.clips.sum() < whole.clips, where
        assert found.changed[found.changed["by"] == ""]["clips"].iloc[0] == found.clips, where
        assert all(f'name="{pair.split("=")[0]}"' in bar for pair in where.split("&")), where
    every = corpus_handlers.figures(services, replace(SHIPPED, where="wrong=demo-en-greedy&correct=demo-en-beam"))
    assert (every.grid.worse, every.grid.same) == (0, 0), "each of these clips was mended"


def test_the_filter_bar_keeps_what_the_address_says_and_lets_nothing_out(services: Services) -> None:
    view = replace(SHIPPED, where=f'reference.has={HOSTILE}"')
    html = compare_corpus_html.bar_html(corpus_handlers.offered(services, view), view)
    reader = Reader(re.sub(r"<input[^>]*>", "", html))  # fields have no end
    [form] = reader.find("form")
    assert form["data-filter"] == view.where and not reader.find("img")
    assert compare_corpus_html.bar_html(corpus_handlers.offered(services, View(("gone", "x"))), view) == ""


@pytest.mark.parametrize(
    ("where", "says"),
    [("accents=Martian", "No clip fits"), ("seconds.min=x", "expected a number"), ("wrong=gone", "no run"),
     ("mood=sad", "no column")],
)  # fmt: skip
def test_a_filter_that_leaves_nothing_can_be_taken_away(services: Services, where: str, says: str) -> None:
    view = replace(SHIPPED, where=where)
    with pytest.raises(AsrDemoError, match=says) as refused:
        corpus_handlers.figures(services, view)
    html = compare_corpus_html.unlike_html(corpus_handlers.why_not(services, view, str(refused.value)))
    assert "data-clear" in html and "with demo-en" not in html


def test_an_address_brings_the_view_back() -> None:
    view = replace(SHIPPED, by="gender", where="accents=Scottish+English&seconds.min=2.0")
    assert corpus_handlers.of_address(corpus_handlers.address(view)) == view
    assert corpus_handlers.of_address("") == View() and corpus_handlers.of_address("by=%00&results=a").by == "accents"


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "x",
        {},
        {"x": "1", "y": 2},
        {"where": "accents=x"},
        {"against": "gone"},
        {"pair": "x"},
        {"pair": [1, 2]},
        {"pair": ["x"]},
    ],
)
def test_whatever_a_script_sends_the_view_stays(sent: object) -> None:
    assert corpus_handlers.asked(SHIPPED, sent) == SHIPPED and corpus_handlers.cell_of(sent) is None


def test_tables_can_be_downloaded(services: Services) -> None:
    for table in corpus_handlers.TABLES:
        file = corpus_handlers.download(services, SHIPPED, table)
        assert file["name"] == f"{table}.csv" and b"demo-en-beam" in base64.b64decode(file["data"])
    with pytest.raises(NotFoundError):
        corpus_handlers.download(services, SHIPPED, "secrets")
    with pytest.raises(ConfigError):
        corpus_handlers.figures(services, replace(SHIPPED, by="client_id"))


def test_silence_is_shown_as_such(services: Services, take: Take) -> None:
    found = run(services, take, BOTH)[-1]
    first = found.lanes[0]
    assert first.transcript
    nothing = replace(first.transcript, hypotheses=(replace(first.transcript.best, text="", words=()),))
    silent = replace(found, lanes=(replace(first, transcript=nothing), found.lanes[1]))
    assert "No words were recognised" in shown(services, silent) and silent.lanes[0].confidence is None


def test_results_are_called_by_what_tells_them_apart(services: Services) -> None:
    html = compare_corpus_html.figures_html(corpus_handlers.figures(services, SHIPPED))
    seen = re.sub(r"<[^>]+>", " ", html)
    assert "beam with demo-lm" in seen and "demo-en-beam" not in seen, "names of folders are for the address"
    assert 'title="demo-en-beam"' in html
    assert [value for _, value in corpus_handlers.bases(services, SHIPPED)] == list(SHIPPED.names)
    bar = compare_corpus_html.bar_html(corpus_handlers.offered(services, SHIPPED), SHIPPED, ["greedy", "beam"])
    assert "Has errors in greedy" in bar and 'value="demo-en-greedy"' in bar
