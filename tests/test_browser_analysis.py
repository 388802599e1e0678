"""Journeys on the Error analysis page in headless Chromium, on the embedded demo: from a number to hearing the clip."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asrdemo import registry
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.analysis import clips_handlers, handlers
from asrdemo.ui.build import build_ui, launch_options

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"), pytest.mark.timeout(240)]
WAIT = 60_000  # ms; a busy machine is slow, not broken
expect = sync_api.expect
expect.set_options(timeout=WAIT)

HEADLINE = "#analysis-headline .figure.main .number"
PLAYING = "() => { const a = document.querySelector('#analysis-detail audio'); return a && a.currentTime > 0.02; }"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    page = build_ui(Transcriber(registry.read(), settings), settings)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    yield url
    page.close()


LEFT = re.compile("AbortError|Connection errored out|ERR_ABORTED")
"""What Gradio says where a page is left, or loaded anew, while it still asks for something."""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def visit(browser, url: str) -> Callable:
    """Opens an address; at the end nothing may be in the console and nothing asked of other hosts."""

    @contextmanager
    def visiting(query: str = "?tab=analysis", size: tuple[int, int] = (1280, 900), **context) -> Iterator:
        visitor = browser.new_context(viewport={"width": size[0], "height": size[1]}, **context)
        page = visitor.new_page()
        page.set_default_timeout(WAIT)
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else complaints.append(r.url))
        page.goto(f"{url}{query}")
        page.wait_for_selector("#analysis-headline .headline, #analysis-headline .nothing")
        yield page
        visitor.close()
        assert [text for text in complaints if not LEFT.search(text)] == []

    return visiting


def asked(page) -> dict[str, list[str]]:
    """What the address says."""
    pairs = page.evaluate("[...new URLSearchParams(location.search)]")
    return {key: [v for k, v in pairs if k == key] for key, _ in pairs}


def test_from_a_filter_to_a_slice_to_a_clip_to_its_sound(visit: Callable) -> None:
    with visit() as page:
        expect(page.locator("#analysis-lead")).to_contain_text("Scottish English")
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")
        page.locator("#analysis .drop summary", has_text="Accent").click()
        page.locator("#analysis .drop label", has_text="Scottish English").click()
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        assert asked(page)["accents"] == ["Scottish English"]
        expect(page.locator("#analysis .drop", has_text="Accent").first.locator(".count")).to_have_text("1")
        page.locator("#analysis button.line", has_text="2 to 4 s").click()
        expect(page.locator(HEADLINE)).to_have_text("16.7\u00a0%")
        expect(page.locator('#analysis input[name="seconds.min"]')).to_have_value("2.0")
        page.get_by_role("tab", name="Clips", exact=True).click()
        expect(page.locator("#analysis .above .hint")).to_contain_text("1 to 20 of 44")
        page.locator("#analysis .clip-table .hear").first.click()
        page.wait_for_function(PLAYING)
        expect(page.locator("#analysis-detail .steps")).to_be_visible()
        assert asked(page)["open"] and asked(page)["view"] == ["clips"]


def test_from_a_confused_pair_to_hearing_the_word(visit: Callable) -> None:
    with visit("?tab=analysis&view=errors") as page:
        page.locator("#analysis .confusion").first.click()
        button = page.locator("#analysis-places .hear").first
        start, end = (float(button.get_attribute(f"data-{name}")) for name in ("from", "to"))
        button.click()
        page.wait_for_function(PLAYING)
        page.wait_for_function("() => document.querySelector('#analysis-detail audio').paused")
        at = page.evaluate("document.querySelector('#analysis-detail audio').currentTime")
        assert start < end and end - 0.05 <= at <= end + 0.5, "it stops after the word"


def test_an_address_brings_the_page_back(visit: Callable) -> None:
    with visit(
        "?tab=analysis&results=demo-en-beam&results=demo-en-greedy&accents=Scottish+English&view=clips&sort=longest"
    ) as page:
        expect(page.locator(HEADLINE)).to_have_count(2)
        expect(page.locator(HEADLINE).first).to_have_text("16.4\u00a0%")
        expect(page.locator("#analysis select[data-sort]")).to_have_value("longest")
        expect(page.get_by_role("tab", name="Clips", exact=True)).to_have_attribute("aria-selected", "true")
        expect(page.locator('#analysis input[name="accents"][value="Scottish English"]')).to_be_checked()
        before = page.url
        page.reload()
        expect(page.locator(HEADLINE)).to_have_count(2)
        assert page.url == before
        page.get_by_role("tab", name="Checkpoints").click()
        assert "tab=analysis" not in page.url, "other tabs have addresses of their own"


def test_everything_can_be_reached_with_the_keyboard(visit: Callable) -> None:
    with visit() as page:
        finding = page.locator("#analysis .finding").first
        finding.focus()
        page.keyboard.press("Enter")
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        page.locator("#analysis .drop summary", has_text="Gender").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#analysis .drop[open]")).to_have_count(1)
        page.keyboard.press("Escape")
        expect(page.locator("#analysis .drop[open]")).to_have_count(0)
        page.locator("#analysis .chip[data-drop]").focus()
        page.keyboard.press("Enter")
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")


def test_text_is_searched_while_it_is_typed(visit: Callable) -> None:
    with visit("?tab=analysis&view=clips") as page:
        page.locator("#analysis .drop summary", has_text="Text").click()
        page.locator('#analysis input[name="reference.has"]').press_sequentially("spoons", delay=20)
        expect(page.locator("#analysis .above .hint")).to_contain_text("of 4;")
        expect(page.locator('#analysis input[name="reference.has"]')).to_be_focused()


def test_a_clip_can_be_marked(visit: Callable) -> None:
    with visit("?tab=analysis&view=clips") as page:
        page.locator("#analysis .clip-table .hear").nth(2).click()
        page.locator('#analysis [data-mark="bad label"]').click()
        expect(page.locator("#analysis .clip-table .badge")).to_have_text("⚑ bad label")
        page.locator('#analysis-detail [aria-pressed="true"]').click()
        expect(page.locator("#analysis .clip-table .badge")).to_have_count(0)


def test_the_report_downloads_and_opens(visit: Callable, browser, tmp_path: Path) -> None:
    with visit("?tab=analysis&accents=Scottish+English") as page:
        with page.expect_download() as waiting:
            page.locator('#analysis [data-save="report"]').click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        assert path.suffix == ".html" and "filtered" in path.name
        alone = browser.new_page()
        alone.goto(path.as_uri())
        assert "Scottish English" in alone.inner_text("header")
        alone.close()
        with page.expect_download() as waiting:
            page.locator('#analysis [data-save="slices"]').first.click()
        assert waiting.value.suggested_filename.endswith("slices-filtered.csv")


def test_what_is_wrong_is_said_and_led_out_of(visit: Callable) -> None:
    with visit("?tab=analysis&accents=Klingon") as page:
        expect(page.locator("#analysis .nothing")).to_contain_text("No clip fits this filter")
        page.get_by_role("button", name="Show all clips").click()
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")
    with visit("?tab=analysis&results=gone") as page:
        expect(page.locator("#analysis .nothing")).to_contain_text("no result 'gone'")
        page.get_by_role("button", name="Start over").click()
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")


def test_it_fits_a_phone(visit: Callable) -> None:
    for view in ("where", "errors", "errors&said=two&heard=to", "clips", "run"):
        with visit(f"?tab=analysis&view={view}", size=(390, 844), is_mobile=True, color_scheme="dark") as page:
            page.wait_for_timeout(800)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, view


def test_an_evaluation_runs_from_the_page_and_survives_a_reload(visit: Callable) -> None:
    with visit("?tab=analysis&view=run") as page:
        page.get_by_label("Clips (0 = all)").fill("4")
        page.get_by_label("Clips (0 = all)").press("Tab")
        page.locator("#evaluate-start").click()
        expect(page.locator("#evaluate-status h3").first).to_contain_text("running")
        page.reload()
        expect(page.locator("#evaluate-status h3").first).to_contain_text("finished", timeout=120_000)
        page.locator("#evaluate-status").get_by_role("button", name="See where it fails").first.click()
        expect(page.locator("#analysis-headline .support")).to_contain_text("4 clips")
        assert asked(page)["results"][0].startswith("demo-en-demo-corpus-test")


SCOTTISH = "?tab=analysis&accents=Scottish+English"


def test_the_clip_clicked_last_is_the_one_heard_and_a_mark_is_of_the_one_seen(
    visit: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = clips_handlers.detail

    def slow(*at) -> str:
        time.sleep(0.7)
        return detail(*at)

    with visit("?tab=analysis&results=demo-en-beam&view=clips") as page:
        expect(page.locator("#analysis:not(.behind) .clip-table")).to_be_visible()
        monkeypatch.setattr(clips_handlers, "detail", slow)
        rows = page.locator("#analysis .clip-table .hear")
        names = [rows.nth(n).get_attribute("data-hear") for n in range(3)]
        rows.nth(0).click()
        page.wait_for_timeout(150)
        rows.nth(1).click()
        article = page.locator("#analysis-detail .detail")
        expect(article).to_have_attribute("data-clip", names[1])
        assert asked(page)["open"] == [names[1]]
        expect(article).to_be_focused()
        rows.nth(2).click()
        page.locator('#analysis-detail [data-mark="bad label"]').click()  # the third is not there yet
        expect(page.locator("#analysis tr:has(.badge)")).to_have_attribute("data-row", names[1])
        expect(article).to_have_attribute("data-clip", names[2])
        page.keyboard.press("Escape")
        expect(article).to_be_hidden()
        expect(rows.nth(2)).to_be_focused()
        assert "open" not in asked(page)


def test_results_that_are_ticked_quickly_are_those_shown(visit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    headline = handlers.headline

    def slow(at: handlers.Look) -> str:
        time.sleep(0.7)
        return headline(at)

    with visit("?tab=analysis&results=demo-en-beam") as page:
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")
        monkeypatch.setattr(handlers, "headline", slow)
        page.locator("#analysis .drop.results summary").click()
        for name in ("demo-en-greedy", "demo-en-beam"):
            page.locator(f'#analysis input[name="results"][value="{name}"]').click()
            page.wait_for_timeout(150)
        expect(page.locator("#analysis .picked")).to_have_text("demo-en, greedy, on demo-corpus test")
        expect(page.locator(HEADLINE)).not_to_have_text("10.0\u00a0%")
        expect(page.locator(HEADLINE)).to_have_count(1)
        assert asked(page)["results"] == ["demo-en-greedy"]


def test_a_row_shows_the_clips_that_it_counted(visit: Callable) -> None:
    with visit("?tab=analysis&results=demo-en-beam&seconds.min=3") as page:
        row = page.locator("#analysis button.line", has_text="2 to 4 s")
        counted = row.locator(".support").inner_text().split(" ·")[0]
        row.click()
        expect(page.locator("#analysis-headline .support")).to_contain_text(counted)
        assert (asked(page)["seconds.min"], asked(page)["seconds.below"]) == (["3"], ["4.0"])


def test_a_tick_takes_nothing_else_away(visit: Callable) -> None:
    """Neither the order of the results, nor a filter that no field can show, nor the clip that is open."""
    more = "&reference.has=a&reference.has=e&accents.not=Irish+English"
    with visit(f"?tab=analysis&results=demo-en-greedy&results=demo-en-beam&view=clips{more}") as page:
        page.locator("#analysis .clip-table .hear").first.click()
        expect(page.locator("#analysis-detail .detail")).to_be_visible()
        before = asked(page)
        page.locator("#analysis .drop summary", has_text="Gender").click()
        page.locator('#analysis input[name="gender"]').first.click()
        expect(page.locator("#analysis-headline .chip[data-drop]")).to_have_count(4)
        now = asked(page)
        assert now.pop("gender") and now == before
        assert now["results"] == ["demo-en-greedy", "demo-en-beam"] and now["open"]
        page.locator('#analysis-detail [data-mark="interesting"]').click()
        expect(page.locator('#analysis-detail [aria-pressed="true"]')).to_have_text("★ interesting")
        page.locator('#analysis-detail [aria-pressed="true"]').click()
        expect(page.locator('#analysis-detail [aria-pressed="true"]')).to_have_count(0)


def test_figures_of_an_older_filter_do_not_stand_under_a_new_headline(
    visit: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    formatting = clips_handlers.formatting

    def slow(*at) -> str:
        time.sleep(1.0)
        return formatting(*at)

    with visit("?tab=analysis&view=errors") as page:
        panel = page.locator("#analysis-formatting")
        expect(panel).to_contain_text("As written, 36.3")
        page.get_by_role("tab", name="Where it fails", exact=True).click()
        page.locator("#analysis .finding").first.click()
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        expect(page.locator("#analysis.behind")).to_have_count(0)
        monkeypatch.setattr(clips_handlers, "formatting", slow)
        page.get_by_role("tab", name="Which errors", exact=True).click()
        expect(page.locator("#analysis-errors .confusion").first).to_be_visible()
        assert "36.3" not in panel.inner_text()
        expect(panel).to_contain_text("As written")
        expect(page.locator("#analysis.behind")).to_have_count(0)


def test_all_clips_of_a_speaker_are_all(visit: Callable) -> None:
    with visit(f"{SCOTTISH}&view=clips&seconds.min=4") as page:
        page.locator("#analysis .clip-table .hear").first.click()
        page.get_by_role("button", name="All clips of this speaker").click()
        expect(page.locator("#analysis-headline .chip[data-drop]")).to_have_count(1)
        assert set(asked(page)) == {"tab", "results", "view", "open", "client_id"}


def test_a_later_page_of_the_clips_can_be_loaded_anew(visit: Callable) -> None:
    with visit("?tab=analysis&view=clips") as page:
        page.locator("#analysis .pager button", has_text="2").first.click()
        expect(page.locator("#analysis .above .hint")).to_contain_text("21 to 40 of 316")
        assert page.reload().status == 200, "`page` in an address is Gradio's own"
        expect(page.locator("#analysis .above .hint")).to_contain_text("21 to 40 of 316")


def test_back_leads_to_what_was_seen_before(visit: Callable) -> None:
    with visit("?tab=analysis&results=demo-en-beam") as page:
        page.locator("#analysis .finding").first.click()
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        page.get_by_role("tab", name="Clips", exact=True).click()
        page.locator("#analysis .clip-table .hear").first.click()
        expect(page.locator("#analysis-detail .detail")).to_be_visible()
        page.go_back()
        expect(page.locator("#analysis-detail .detail")).to_be_hidden()
        page.go_back()
        expect(page.get_by_role("tab", name="Where it fails", exact=True)).to_have_attribute("aria-selected", "true")
        page.go_back()
        expect(page.locator(HEADLINE)).to_have_text("10.0\u00a0%")
        assert "accents" not in asked(page)
        page.go_forward()
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        page.get_by_role("tab", name="Checkpoints").click()
        page.go_back()
        expect(page.locator(HEADLINE)).to_have_text("16.4\u00a0%")
        assert asked(page)["accents"] == ["Scottish English"]


def test_a_name_shows_one_result_and_a_box_adds_one(visit: Callable) -> None:
    with visit("?tab=analysis&results=demo-en-beam&accents=Scottish+English") as page:
        page.locator("#analysis .drop.results summary").click()
        page.locator('#analysis [data-only="demo-en-greedy"]').click()
        expect(page.locator(HEADLINE)).to_have_text("30.8\u00a0%")
        assert asked(page)["results"] == ["demo-en-greedy"] and "accents" not in asked(page)
        page.locator("#analysis .drop.results summary").click()
        page.locator('#analysis input[name="results"][value="demo-en-beam"]').click()
        expect(page.locator(HEADLINE)).to_have_count(2)
        page.get_by_role("tab", name="Which errors", exact=True).click()
        expect(page.locator("#analysis-errors .hint").first).to_contain_text("greedy")
        page.locator('#analysis [data-first="demo-en-beam"]').click()
        expect(page.locator("#analysis-errors .hint").first).to_contain_text("beam")
        assert asked(page)["results"] == ["demo-en-beam", "demo-en-greedy"]


def test_escape_leaves_what_was_typed_and_the_menu_is_in_view(visit: Callable) -> None:
    with visit("?tab=analysis&results=demo-en-beam", size=(1120, 800)) as page:
        page.locator("#analysis .drop summary", has_text="Text").click()
        box = page.locator("#analysis .drop[open] .panel").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1120
        field = page.locator('#analysis input[name="reference.has"]')
        field.press_sequentially("the", delay=20)
        expect(page.locator("#analysis .chip[data-drop]")).to_have_count(1)
        field.press("Escape")
        expect(field).to_have_value("the")
        page.locator("#analysis .drop summary", has_text="Gender").click()
        page.locator('#analysis input[name="gender"]').first.click()
        expect(page.locator("#analysis .chip[data-drop]")).to_have_count(2)
        assert asked(page)["reference.has"] == ["the"]
