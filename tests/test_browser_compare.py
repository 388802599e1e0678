"""Journeys through the Compare page in headless Chromium, on the real app with the embedded demo."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_speech import FakeTranscriber
from test_browser import CHROMIUM, WAIT, Watch, serving, start_browser, sync_api  # noqa: F401

from asrdemo import registry
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.examples import examples
from evals import simulate

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"), pytest.mark.timeout(240)]
expect = sync_api.expect


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    made = simulate.rows(simulate.simulate(simulate.Recipe(speakers=20), 1))
    simulate.write(home / "results" / "made-up", made)
    settings = Settings(home=home)
    with serving(Transcriber(registry.read(home=home), settings), settings) as served:
        yield served


@pytest.fixture(scope="module")
def visit(start_browser: Callable, url: str) -> Callable:  # noqa: F811
    browser = start_browser(examples(registry.read())[0].path)

    def open_page(query: str = "", size: tuple[int, int] = (1280, 900), **context):  # type: ignore[no-untyped-def]
        visitor = browser.new_context(viewport={"width": size[0], "height": size[1]}, **context)
        page = visitor.new_page()
        page.set_default_timeout(WAIT)
        page.watch = Watch(page, url)
        page.goto(f"{url}?tab=compare{query}")
        page.wait_for_selector("#compare-parts [role=tab]")
        return page

    return open_page


def close(page) -> None:  # type: ignore[no-untyped-def]
    complaints = page.watch.complaints
    page.context.close()
    assert complaints == []


def part(page, name: str) -> None:  # type: ignore[no-untyped-def]
    page.locator("#compare-parts").get_by_role("tab", name=name).click()


def test_one_click_compares_two_lanes_and_a_third_joins(visit: Callable) -> None:
    page = visit()
    page.locator("#compare-cards .card").last.click()
    expect(page.locator(".comparison[aria-busy=false] .lane-card")).to_have_count(2)
    expect(page.locator(".comparison .verdict")).to_contain_text("errors")
    expect(page.locator("#compare-player audio, #compare-player #waveform").first).to_be_attached()
    assert page.locator(".by-word .stack.parts").count() > 0, "this clip is known to be misheard"
    page.click("#lane-more")
    expect(page.locator(".comparison[aria-busy=false] .lane-card")).to_have_count(3)
    page.click("#lane-more")
    expect(page.locator(".comparison[aria-busy=false] .lane-card")).to_have_count(4)
    page.click("#lane-more")
    expect(page.locator(".comparison[aria-busy=false] .lane-card .problem")).to_contain_text("network")
    page.click("#lane-fewer")
    expect(page.locator(".comparison[aria-busy=false] .lane-card")).to_have_count(4)
    page.locator("#compare-words textarea, #compare-words input").first.fill("hedgehog")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-cards .card").first).to_contain_text("hedgehog")
    close(page)


class Slow(FakeTranscriber):
    """Takes its time, so that a visitor can change their mind."""

    def transcribe(self, clips, checkpoint, options=None, progress=None):  # type: ignore[no-untyped-def]
        time.sleep(1.0)
        return super().transcribe(clips, checkpoint, options, progress)


def test_who_changes_their_mind_while_lanes_run_gets_what_was_chosen_last(
    start_browser: Callable,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The player, the texts and the panel are of one clip and the same lanes."""
    settings = Settings(home=tmp_path)
    transcriber = Slow(registry.read(home=tmp_path), settings)
    browser = start_browser(examples(registry.read())[0].path)
    with serving(transcriber, settings) as url:
        page = browser.new_context().new_page()
        page.set_default_timeout(WAIT)
        page.watch = Watch(page, url)
        page.goto(f"{url}?tab=compare")
        cards = page.locator("#compare-cards .card")
        wanted = cards.nth(1).locator(".words").inner_text()
        cards.nth(0).click()
        expect(page.locator(".comparison[aria-busy=true]")).to_have_count(1)
        cards.nth(1).click()
        expect(page.locator(".script-line q")).to_have_text(wanted)
        page.locator("#lane-1-reading input").click()
        page.get_by_role("option", name="Beam search, no language model").click()
        expect(page.locator(".comparison[aria-busy=false]")).to_have_count(1)
        page.wait_for_timeout(2500)
        expect(page.locator(".comparison[aria-busy=false]")).to_have_count(1)
        expect(page.locator(".script-line q")).to_have_text(wanted)
        expect(page.locator(".lane-card").nth(1)).to_contain_text("Beam search, no language model")
        close(page)


def test_corpus_slice_clips_and_hearing_one(visit: Callable) -> None:
    page = visit()
    part(page, "Whole corpus")
    expect(page.locator(".corpora .verdict")).to_contain_text("beam with demo-lm makes fewer mistakes")
    page.locator(".matrix button", has_text="Scottish").click()
    expect(page.locator(".corpora header")).to_contain_text("64 clips of 16 speakers")
    page.wait_for_url("**where=accents**")
    page.locator(".corpora .chip[data-drop]").click()
    expect(page.locator(".corpora header")).to_contain_text("316 clips")
    page.locator(".bubble.better").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("JSON.parse(document.activeElement.dataset.send).x") == 2
    page.keyboard.press("Enter")
    expect(page.locator("#corpus-clips h3")).to_contain_text("2 word errors in greedy")
    page.locator("#corpus-clips .play").first.click()
    page.wait_for_function("document.querySelector('#corpus-player #duration')?.textContent > '0:00'")
    with page.expect_download() as download:
        page.locator("#corpus-downloads [data-format=slices]").click()
    assert "Scottish English" in Path(download.value.path()).read_text()
    close(page)


def test_the_filter_bar_moves_the_comparison_and_is_in_the_address(visit: Callable) -> None:
    page = visit()
    part(page, "Whole corpus")
    header, bar = page.locator(".corpora header"), page.locator("#corpus-bar")
    expect(header).to_contain_text("316 clips")
    bar.locator(".drop summary", has_text="Accent").click()
    bar.locator("label", has_text="Scottish English").click()
    expect(header).to_contain_text("64 clips of 16 speakers")
    expect(page.locator(".results td.big").first).to_have_text("46.1 %")
    bar.locator("label", has_text="Lancashire English").click()
    expect(header).to_contain_text("104 clips")
    expect(bar.locator(".drop", has_text="Accent").first.locator(".count")).to_have_text("2")
    page.locator("#corpus-figures .chip[data-drop]", has_text="Lancashire").click()
    expect(header).to_contain_text("64 clips")
    expect(bar.locator('input[value="Lancashire English"]')).not_to_be_checked()
    bar.locator(".drop summary", has_text="Text").click()
    bar.locator('input[name="reference.has"]').press_sequentially("garden", delay=20)
    expect(header).to_contain_text("what was said contains")
    expect(bar.locator('input[name="reference.has"]')).to_be_focused()
    shown = header.inner_text()
    page.wait_for_url("**reference.has**")
    page.reload()
    expect(header).to_have_text(" ".join(shown.split()), use_inner_text=True)
    expect(bar.locator('input[name="reference.has"]')).to_have_value("garden")
    expect(bar.locator('input[value="Scottish English"]')).to_be_checked()
    bar.locator(".drop summary", has_text="Clip length").click()
    bar.locator('input[name="seconds.min"]').fill("999")
    expect(page.locator(".unlike")).to_contain_text("No clip fits this filter")
    page.locator(".unlike [data-clear]").click()
    expect(header).to_contain_text("316 clips")
    expect(bar.locator('input[name="seconds.min"]')).to_have_value("")
    close(page)


def test_a_visitors_own_language_model_is_a_lane_for_that_visitor_only(visit: Callable) -> None:
    page, other = visit(), visit()
    page.get_by_role("tab", name="Transcribe").click()
    page.get_by_role("button", name="Build a language model").click()
    page.locator("#lm-text textarea").fill("two spoons of sugar\nin his coffee\n" * 3)
    page.locator("#lm-build").click()
    expect(page.locator("#settings .built")).to_contain_text("is used by the decoder now")
    page.get_by_role("tab", name="Compare").click()
    for visitor, count in ((page, 1), (other, 0)):
        visitor.locator("#lane-1-reading input").click()
        expect(visitor.get_by_role("option", name="Beam search + Demo English 3-gram")).to_be_visible()
        expect(visitor.get_by_role("option", name="(yours)")).to_have_count(count)
    page.get_by_role("option", name="(yours)").click()
    page.locator("#compare-cards .card").last.click()
    expect(page.locator(".comparison[aria-busy=false] .lane-card").nth(1)).to_contain_text("Your text, 21 words")
    expect(page.locator(".lane-card .figures").nth(1)).to_contain_text("Memory")
    expect(page.locator(".lane-card .figures").nth(1)).to_contain_text("MB")
    assert "yours-" not in page.inner_text("#compare-result")
    close(other)
    close(page)


def test_an_address_opens_the_comparison_it_names(visit: Callable) -> None:
    page = visit("&results=demo-en-beam&results=demo-en-greedy&by=gender&where=accents%3DScottish%2BEnglish")
    expect(page.locator(".corpora header")).to_contain_text("64 clips of 16 speakers")
    expect(page.locator(".matrix thead")).to_contain_text("Gender")
    expect(page.locator(".results tr").nth(1)).to_contain_text("baseline")
    close(page)
    page = visit("&part=vote")
    expect(page.locator(".standing")).to_contain_text("voted")
    part(page, "One clip")
    page.wait_for_url("**part=clip")
    close(page)


def test_what_cannot_be_compared_says_so_and_shows_a_way_out(visit: Callable) -> None:
    page = visit("&results=demo-en-greedy&results=made-up")
    expect(page.locator(".unlike")).to_contain_text("measured on different clips")
    expect(page.locator("#corpus-downloads")).to_be_hidden()
    page.locator(".unlike .chip", has_text="demo-en-greedy with demo-en-beam").click()
    expect(page.locator(".corpora .verdict")).to_contain_text("beam with demo-lm makes fewer mistakes")
    close(page)


def test_a_link_to_a_result_that_is_gone_still_leads_somewhere(visit: Callable) -> None:
    page = visit("&results=gone&results=demo-en-beam")
    expect(page.locator("#corpus-figures")).to_contain_text("Not here (any more): gone")
    page.locator(".unlike .chip", has_text="demo-en-beam with demo-en-greedy").click()
    expect(page.locator(".corpora header")).to_contain_text("316 clips")
    page.locator("#corpus-by input").click()
    page.get_by_role("option", name="Gender", exact=True).click()
    expect(page.locator(".matrix thead")).to_contain_text("Gender")
    close(page)


def test_a_blind_vote_reveals_and_counts(visit: Callable) -> None:
    page = visit()
    part(page, "Blind vote")
    expect(page.locator(".standing")).to_contain_text("Nobody has voted yet")
    page.click("#vote-start")
    expect(page.locator(".ballot .vote")).to_have_count(3)
    assert "demo-en" not in page.inner_text(".ballot")
    page.locator(".vote", has_text="A is better").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".ballot")).to_contain_text("demo-en, beam + demo-lm")
    expect(page.locator(".standing")).to_contain_text("1 vote in 1 visit")
    expect(page.locator(".vote.next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".ballot .votes .vote").first).to_be_focused()
    page.evaluate("document.querySelectorAll('.ballot .vote').forEach((button) => button.click())")
    expect(page.locator(".standing")).to_contain_text("2 votes in 1 visit")
    page.wait_for_timeout(1500)
    expect(page.locator(".standing")).to_contain_text("2 votes in 1 visit")
    with page.expect_download() as download:
        page.locator("#vote-downloads [data-format=votes]").click()
    assert "demo-en, beam + demo-lm" in Path(download.value.path()).read_text()
    close(page)


def test_on_a_phone_nothing_is_cut_off(visit: Callable) -> None:
    page = visit(size=(390, 844), color_scheme="dark")
    for name, ready in (("One clip", "#compare-result"), ("Whole corpus", ".corpora"), ("Blind vote", ".standing")):
        part(page, name)
        page.wait_for_selector(ready)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    close(page)
