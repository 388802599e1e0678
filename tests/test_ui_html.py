"""Renderers of the page: what they mark, and that nothing from outside reaches the page as markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrdemo.types import DecoderOptions, Hypothesis, Timings, Transcript, Word
from asrdemo.ui import page_html, result_html
from asrdemo.ui.differences import differences
from asrdemo.ui.examples import Example
from asrdemo.ui.transcribe import language_model_handlers
from asrdemo.ui.transcribe.handlers import Item, Source

HOSTILE = '<img src=x onerror="alert(1)">&\'"`${x}{{y}}'
TEXTS = st.lists(st.sampled_from(["one", "two", "three", "<b>", "&amp;", '"']), max_size=8).map(" ".join)


class Reader(HTMLParser):
    """Collects tags, attributes and text; fails on tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "img", "path", "rect", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(*confidences: float) -> tuple[Word, ...]:
    return tuple(Word(f"word{i}", i * 0.5, i * 0.5 + 0.4, c) for i, c in enumerate(confidences))


def transcript(spoken: tuple[Word, ...], **changes: object) -> Transcript:
    best = Hypothesis(" ".join(w.text for w in spoken), spoken, -3.0, 1.0)
    values: dict = {
        "clip": "clip.wav",
        "duration": 4.25,
        "hypotheses": (best,),
        "checkpoint": "tiny",
        "decoder": DecoderOptions(),
        "timings": Timings(1.5, 0.25, 0.002),
    }
    return Transcript(**{**values, **changes})


def test_only_the_least_certain_words_are_marked() -> None:
    assert result_html.unsure(words(0.9, 0.7, 0.61)) == set()
    assert result_html.unsure(words(0.9, 0.1, 0.2)) == {1}, "one may always be marked, the least certain"
    assert len(result_html.unsure(words(*[0.1] * 40))) == 6, "15 % of forty, however doubtful all are"
    assert result_html.unsure(()) == set()


@given(st.lists(st.floats(0, 1), max_size=60))
def test_marks_stay_few(confidences: list[float]) -> None:
    marked = result_html.unsure(words(*confidences))
    assert len(marked) <= max(1, 0.15 * len(confidences))
    assert all(confidences[i] < result_html.UNSURE_BELOW for i in marked)


def test_a_word_is_a_button_with_its_time_and_says_when_it_is_uncertain() -> None:
    page = Reader(result_html.words_html(words(0.99, 0.3)))
    sure, doubtful = page.find("button")
    assert sure["tabindex"] == "0" and doubtful["tabindex"] == "-1", "one stop in the tab order"
    assert "unsure" not in sure["class"] and "unsure" in doubtful["class"]
    assert doubtful["aria-label"] == "word1, uncertain, 30 %"
    assert (doubtful["data-start"], doubtful["data-end"]) == ("0.500", "0.900")


def test_result_says_what_was_heard_by_what_and_where_the_time_went() -> None:
    page = Reader(result_html.result_html(transcript(words(0.9, 0.9)), "Tiny English", "en", "word0 other"))
    assert "clip.wav" in page.text and "4.2 s · Tiny English · greedy" in page.text
    for part in ("1.50 s", "0.25 s", "2.0 ms", "17", "fp32", "cpu"):
        assert part in page.text, part
    assert page.find("del")[0]["title"] == "in the script, not in the text"
    assert any(attrs.get("lang") == "en" for _, attrs in page.tags)


def test_kept_emissions_and_a_loaded_checkpoint_are_told_apart_from_work() -> None:
    text = Reader(result_html.timing_html(transcript(words(0.9), timings=Timings(0.0, 0.0, 0.001)))).text
    assert "in memory" in text and "kept" in text


def test_the_marks_do_not_promise_to_find_every_error() -> None:
    assert "words without a mark can be wrong too" in result_html.result_html(transcript(words(0.9, 0.3)), "Tiny")


def test_silence_says_so() -> None:
    assert "No words were recognised" in result_html.result_html(transcript(()), "Tiny")


def test_beam_search_names_its_language_model_and_hotwords() -> None:
    options = DecoderOptions(kind="beam", lm="x", hotwords=("a", "b"))
    text = Reader(result_html.result_html(transcript(words(0.9), decoder=options), "Tiny", lm_title="News 3-gram")).text
    assert "beam search with News 3-gram, 2 hotwords" in text


@given(TEXTS, TEXTS)
def test_differences_spell_both_texts(before: str, after: str) -> None:
    runs = differences(before, after)
    assert " ".join(t for m, t in runs if m != "insert").split() == before.split()
    assert " ".join(t for m, t in runs if m != "delete").split() == after.split()


@given(TEXTS, TEXTS)
def test_beside_keeps_each_text_whole(greedy: str, beam: str) -> None:
    page = Reader(result_html.beside_html(greedy, beam))
    assert len(page.find("section")) == 2
    assert ("Both agree" in page.text) == (greedy.split() == beam.split())


def test_readings_show_both_scores_and_their_sum() -> None:
    readings = (Hypothesis("a b", (), -2.0, 0.5), Hypothesis("a c", (), -2.5, -0.25))
    page = Reader(result_html.n_best_html(readings))
    for number in ("-2.00", "+0.50", "-1.50", "-2.50", "-0.25", "-2.75"):
        assert number in page.text, number
    assert page.find("ins") and page.find("del")
    assert "Greedy decoding gives one reading" in result_html.n_best_html(readings[:1])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (187.4, "3:07"), (3765, "1:02:45")]
)
def test_clock(seconds: float, text: str) -> None:
    assert result_html.clock(seconds) == text


def test_nothing_from_outside_becomes_markup() -> None:
    spoken = (Word(HOSTILE, 0.0, 1.0, 0.1),)
    said = transcript(spoken, clip=HOSTILE)
    item, bad = Item(Source("p", HOSTILE), said), Item(Source("p", HOSTILE), problem=HOSTILE)
    pages = [
        result_html.result_html(said, HOSTILE, "en", HOSTILE, HOSTILE),
        result_html.n_best_html((*said.hypotheses, Hypothesis(HOSTILE + " x", (), 0.0))),
        result_html.beside_html(HOSTILE, HOSTILE + " x"),
        page_html.files_html([item, bad], 0),
        page_html.problem_html(HOSTILE, HOSTILE),
        page_html.problem_html(HOSTILE, f"{HOSTILE} is {HOSTILE}", kept=True),
        language_model_handlers.problem_html(HOSTILE),
        language_model_handlers.back_html(language_model_handlers.Before("beam", "x", HOSTILE)),
        result_html.result_html(said, "Tiny", voice=HOSTILE),
        page_html.examples_html([Example(Path("x"), HOSTILE, HOSTILE)]),
        page_html.registry_html("T", "A", [(HOSTILE, HOSTILE, HOSTILE, "", HOSTILE)]),
        page_html.availability_html(False, HOSTILE),
    ]
    for html in pages:
        page = Reader(html)
        assert not page.find("img")
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_the_list_of_files_appears_with_the_second() -> None:
    good, bad = Item(Source("a", "a.wav"), transcript(words(0.9))), Item(Source("b", "b.wav"), problem="It is empty.")
    assert page_html.files_html([good], 0) == ""
    page = Reader(page_html.files_html([good, bad], 1))
    assert "1 of 2 files transcribed" in page.text and "Not read. It is empty." in page.text
    assert [b["aria-pressed"] for b in page.find("button")] == ["false", "true"]


def test_without_examples_the_page_says_what_to_do() -> None:
    assert "No example clips" in page_html.examples_html([])


def test_availability_is_a_sign_and_words() -> None:
    assert "✓" in page_html.availability_html(True, "") and "ready" in page_html.availability_html(True, "")
    assert "needs the network" in page_html.availability_html(False, "")
