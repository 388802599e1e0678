"""Journeys in headless Chromium: what a person does, on the served page, with a microphone that plays a clip.

Most run on a transcriber with known answers (fake_speech.py), so that they test the page and not the model. The last
ones run on the real thing with the embedded demo. Skipped where there is no Chromium or no playwright.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_speech import MENDED, SAID, FakeTranscriber, registry

from asrdemo import registry as real_registry
from asrdemo.errors import NeedsNetworkError
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.build import build_ui, launch_options
from asrdemo.ui.examples import Example, examples

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"), pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parent.parent
WAIT = 60_000  # ms; a busy machine is slow, not broken
sync_api.expect.set_options(timeout=WAIT)


@contextmanager
def serving(transcriber: object, settings: Settings) -> Iterator[str]:
    page = build_ui(transcriber, settings)  # type: ignore[arg-type]
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    try:
        yield url
    finally:
        page.close()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips in Common Voice layout: bursts of noise with pauses, as speech has them."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "clips").mkdir()
    for name, seconds in (("a.wav", 3.0), ("b.wav", 4.0)):
        soundfile.write(folder / "clips" / name, bursts(seconds), 16_000)
    (folder / "test.tsv").write_text(
        "path\tsentence\tgender\taccents\n"
        "a.wav\tPlease call the doctor at nine.\tfemale_feminine\tScottish English\n"
        "b.wav\tAnother sentence.\tmale_masculine\tEngland English\n"
    )
    return folder


def bursts(seconds: float) -> np.ndarray:
    time = np.arange(int(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(2).standard_normal(len(time))
    return (0.2 * noise * (np.sin(2 * np.pi * 1.5 * time) > 0)).astype(np.float32)


@pytest.fixture(scope="module")
def fake(corpus: Path) -> FakeTranscriber:
    return FakeTranscriber(registry(corpus))


@pytest.fixture(scope="module")
def url(fake: FakeTranscriber, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    fake.settings = settings
    with serving(fake, settings) as served:
        yield served


class Watch:
    """What the browser complained about, and what it asked of other hosts."""

    def __init__(self, page, url: str) -> None:
        self.complaints: list[str] = []
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda r: self._outside(r.url, url))

    def _outside(self, asked: str, own: str) -> None:
        if not asked.startswith((own, "data:", "blob:")):
            self.complaints.append(f"asked another host: {asked}")


@pytest.fixture(scope="module")
def start_browser() -> Iterator[Callable]:
    """Starts Chromium with a clip at its microphone; all are closed at the end."""
    with sync_api.sync_playwright() as playwright:
        started = []

        def start(microphone: Path):
            flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
            flags.append(f"--use-file-for-fake-audio-capture={microphone}")
            started.append(playwright.chromium.launch(executable_path=CHROMIUM, args=flags))
            return started[-1]

        yield start
        for browser in started:
            browser.close()


@contextmanager
def visiting(browser, url: str, size: tuple[int, int] = (1280, 900), **context) -> Iterator:
    """A new visitor's page. At the end, nothing may be in the console and nothing asked of other hosts."""
    visitor = browser.new_context(viewport={"width": size[0], "height": size[1]}, permissions=["microphone"], **context)
    page = visitor.new_page()
    page.set_default_timeout(WAIT)
    watch = Watch(page, url)
    page.goto(url)
    page.wait_for_selector("#examples .card")
    page.wait_for_timeout(300)  # load events settle
    yield page
    visitor.close()
    assert watch.complaints == []


@pytest.fixture(scope="module")
def visit(start_browser: Callable, url: str, corpus: Path) -> Callable:
    """Opens the page of the known answers."""
    browser = start_browser(corpus / "clips" / "b.wav")
    return lambda **context: visiting(browser, url, **context)


def said(page) -> str:
    page.wait_for_selector("#result .said")
    return page.inner_text("#result .said")


def expect_text(page, text: str) -> None:
    sync_api.expect(page.locator("#result .said")).to_have_text(text)


def show_decoder(page) -> None:
    page.get_by_role("button", name="Decoder settings").click()
    page.get_by_label("Beam search").first.check()


def test_an_example_is_one_click(visit: Callable) -> None:
    with visit() as page:
        page.get_by_role("button", name=re.compile("Please call the doctor")).click()
        expect_text(page, SAID)
        assert "Scottish, woman" in page.inner_text("#result header")
        assert page.locator("#result .unsure:not([aria-hidden])").all_inner_texts() == ["doctor"], "few marks, not many"
        page.wait_for_selector("#player #waveform")
        page.get_by_role("button", name="Greedy beside beam search").click()
        assert "nine" in page.inner_text("#beside ins") and "nein" in page.inner_text("#beside del")


def test_upload_one_file_then_several(visit: Callable, corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"nothing")
    clips = [str(corpus / "clips" / name) for name in ("a.wav", "b.wav")]
    with visit() as page:
        page.set_input_files("#upload input[type=file]", clips[0])
        expect_text(page, SAID)
        assert page.inner_text("#result h2") == "a.wav"
    with visit() as page:
        page.set_input_files("#upload input[type=file]", [*clips, str(broken)])
        page.wait_for_selector(".files")
        assert "2 of 3 files" in page.inner_text(".files") and "Not read" in page.inner_text(".files")
        page.get_by_role("button", name="b.wav").click()
        sync_api.expect(page.locator("#result h2")).to_have_text("b.wav")
        page.get_by_role("button", name="broken.wav").click()
        sync_api.expect(page.locator("#result .problem")).to_be_visible()
        assert not page.locator("#downloads").is_visible()


def test_a_file_that_is_not_audio_says_so_where_its_text_would_be(visit: Callable, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"nothing")
    with visit() as page:
        page.set_input_files("#upload input[type=file]", str(broken))
        sync_api.expect(page.locator("#result .problem")).to_contain_text("It is not audio")
        assert page.inner_text("#result h2") == "broken.wav"
        nothing_in_red(page)


def nothing_in_red(page) -> None:
    """What goes wrong is said once, in its place: no toast, no pill over the page."""
    page.wait_for_timeout(500)
    assert page.locator(".toast-body").count() == 0
    assert not [pill for pill in page.get_by_text("Error", exact=True).all() if pill.is_visible()]


def test_a_checkpoint_that_needs_the_network_says_so_and_the_way_back_works(
    visit: Callable, fake: FakeTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = fake.transcribe

    def transcribe(clips, checkpoint, *rest):
        if checkpoint == "far":
            raise NeedsNetworkError("Far Turkish needs the network.")
        return hear(clips, checkpoint, *rest)

    monkeypatch.setattr(fake, "transcribe", transcribe)
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        for _ in range(2):
            page.locator("#checkpoint input").click()
            page.get_by_role("option", name="Far Turkish").click()
            sync_api.expect(page.locator("#result .problem")).to_contain_text("needs the network")
            sync_api.expect(page.locator("#detail")).to_be_hidden()
            nothing_in_red(page)
            page.locator("#checkpoint input").click()
            page.get_by_role("option", name="Tiny English").click()
            expect_text(page, SAID)
            page.wait_for_selector("#player #waveform")


def test_the_upload_box_is_free_again_and_every_file_is_listed(visit: Callable, corpus: Path, tmp_path: Path) -> None:
    clips = [tmp_path / f"clip {i}.wav" for i in range(5)]
    for clip in clips:
        shutil.copy(corpus / "clips" / "a.wav", clip)
    with visit() as page:
        page.set_input_files("#upload input[type=file]", [str(clip) for clip in clips])
        sync_api.expect(page.locator(".files tbody tr")).to_have_count(5)
        sync_api.expect(page.locator("#upload")).to_contain_text("Drop File Here")
        sync_api.expect(page.locator(".files")).to_be_in_viewport(ratio=0.5)
        page.set_input_files("#upload input[type=file]", str(clips[3]))
        sync_api.expect(page.locator("#result h2")).to_have_text("clip 3.wav")


def test_a_number_that_is_too_large_is_brought_back(visit: Callable) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        show_decoder(page)
        page.get_by_role("button", name="Other readings").click()
        page.locator("#alpha input[type=number]").fill("99")
        sync_api.expect(page.locator("#readings tbody tr").first).to_contain_text("+5.00")
        page.keyboard.press("Tab")
        sync_api.expect(page.locator("#alpha input[type=number]")).to_have_value("5")
        nothing_in_red(page)


def test_the_microphone_is_heard(visit: Callable, fake: FakeTranscriber, corpus: Path) -> None:
    with visit() as page:
        page.locator("#recorder .record-button").click()
        page.locator("#recorder .stop-button").wait_for()
        page.wait_for_timeout(2500)
        page.locator("#recorder .stop-button").click()
        expect_text(page, SAID)
        assert page.inner_text("#result h2") == "Recording"
    seconds, loudest = fake.lengths["Recording"]
    assert seconds > 1.0 and loudest > 0.05, "the clip itself was recorded, not silence"


def test_a_slider_decodes_again_without_the_model(visit: Callable, fake: FakeTranscriber) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        show_decoder(page)
        expect_text(page, MENDED)
        heard = list(fake.heard)
        page.locator("#alpha input[type=range]").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("document.querySelector('#result .timing').innerText.includes('kept')")
        page.get_by_role("button", name="Other readings").click()
        sync_api.expect(page.locator("#readings tbody tr").first).to_contain_text("+0.85")
        assert fake.heard == heard
        page.locator("#hotwords textarea, #hotwords input").first.fill("nine, Nina")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#result header")).to_contain_text("2 hotwords")


@pytest.mark.parametrize("format", ["txt", "srt", "vtt", "tsv", "json", "textgrid", "ctm"])
def test_download(result_page, format: str) -> None:
    downloaded(result_page, format)


def test_the_same_file_can_be_downloaded_twice(visit: Callable) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        for _ in range(2):
            downloaded(page, "srt")


def downloaded(page, format: str) -> None:
    with page.expect_download(timeout=WAIT) as waiting:
        page.locator(f"#downloads [data-format={format}]").click()
    file = waiting.value
    assert file.suggested_filename.lower().endswith(f".{format}")
    assert "doctor" in Path(file.path()).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def result_page(visit: Callable) -> Iterator:
    """A page with a result, opened once for all formats."""
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        yield page


def test_a_word_plays_from_where_it_is(visit: Callable) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        page.wait_for_selector("#player button[aria-label=Play]")
        page.wait_for_function("document.querySelector('#player #duration').textContent !== '0:00'")
        word = page.locator("#result .w", has_text="doctor")
        start = float(word.get_attribute("data-start"))
        word.click()
        page.wait_for_function("document.querySelector('#result .w.heard')")
        assert page.inner_text("#result .w.heard") in ("doctor", "at", "nein")
        sync_api.expect(page.locator("[data-testid=subtitle-display]")).to_have_text(re.compile("doctor|at|nein"))
        assert cursor(page) >= start - 0.05
        page.locator("#player button[aria-label=Pause]").click()
        page.locator("#result .w").first.focus()
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.textContent") == "nein"
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent") == "call"


def cursor(page) -> float:
    """Where the player's cursor stands, in seconds."""
    return page.evaluate(
        """() => { const host = document.querySelector('#player #waveform > div');
          const left = parseFloat(host.shadowRoot.querySelector("[part~='cursor']").style.left) / 100;
          return left * Number(document.querySelector('#result .result').dataset.duration); }"""
    )


def test_a_language_model_is_built_and_used(visit: Callable) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        show_decoder(page)
        expect_text(page, MENDED)
        page.locator("#alpha input[type=number]").fill("1.3")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Build a language model").click()
        page.locator("#lm-build").click()
        sync_api.expect(page.locator("#settings .built .problem")).to_contain_text("There is no text yet")
        nothing_in_red(page)
        page.locator("#lm-text textarea").fill("please call the doctor at nine\ncall the doctor\n" * 3)
        page.locator("#lm-build").click()
        sync_api.expect(page.locator("#settings .built")).to_contain_text("in place of Tiny 3-gram")
        sync_api.expect(page.locator("#settings .built")).to_contain_text("Built from 27 words")
        sync_api.expect(page.locator("#result header")).to_contain_text("Your text, 27 words")
        sync_api.expect(page.locator("#lm input")).to_have_value("Your text, 27 words (yours)")
        assert page.input_value("#alpha input[type=number]") == "1.3", "the weights stay the visitor's"
        page.get_by_role("button", name="Back to Tiny 3-gram").click()
        sync_api.expect(page.locator("#result header")).to_contain_text("with Tiny 3-gram")
        assert page.input_value("#alpha input[type=number]") == "1.3"
    with visit() as page:
        show_decoder(page)
        page.locator("#lm input").click()
        assert "yours" not in " ".join(page.locator("ul.options li").all_inner_texts()), (
            "another visitor's stays theirs"
        )


def test_a_chosen_language_model_decodes_with_its_own_weights(visit: Callable) -> None:
    with visit() as page:
        page.locator("#examples .card").first.click()
        expect_text(page, SAID)
        show_decoder(page)
        expect_text(page, MENDED)
        page.get_by_role("button", name="Other readings").click()
        choose(page, "No language model")
        sync_api.expect(page.locator("#result header")).to_contain_text("no language model")
        page.locator("#alpha input[type=number]").fill("1.3")
        page.keyboard.press("Tab")
        choose(page, "Tiny 3-gram")
        sync_api.expect(page.locator("#alpha input[type=number]")).to_have_value("0.7")
        sync_api.expect(page.locator("#result header")).to_contain_text("Tiny 3-gram")
        sync_api.expect(page.locator("#readings tbody tr").first).to_contain_text("+0.70")


def choose(page, name: str) -> None:
    page.locator("#lm input").click()
    page.get_by_role("option", name=name).click()


def test_settings_survive_a_reload(visit: Callable) -> None:
    with visit() as page:
        show_decoder(page)
        page.wait_for_timeout(1000)  # the decoder itself is kept; then the weight has to change what is kept
        kept = page.evaluate("localStorage.getItem('asrdemo-settings')")
        page.locator("#alpha input[type=number]").fill("1.3")
        page.keyboard.press("Tab")
        page.wait_for_function("kept => localStorage.getItem('asrdemo-settings') !== kept", arg=kept)
        page.wait_for_timeout(1000)
        later = page.context.new_page()
        later.goto(page.url)
        later.get_by_role("button", name="Decoder settings").click(timeout=WAIT)
        sync_api.expect(later.locator("#alpha input[type=number]")).to_have_value("1.3")
        sync_api.expect(later.get_by_label("Beam search").first).to_be_checked()


def test_light_and_dark_are_remembered(visit: Callable) -> None:
    with visit(color_scheme="light") as page:
        assert not page.evaluate("document.body.classList.contains('dark')")
        page.locator("#theme-switch").click()
        assert page.evaluate("document.body.classList.contains('dark')")
        later = page.context.new_page()  # a reload amid the load events would show as a broken connection
        later.goto(page.url)
        later.wait_for_function("document.body.classList.contains('dark')", timeout=WAIT)


def test_nothing_sticks_out_on_a_phone(visit: Callable) -> None:
    with visit(size=(390, 844), is_mobile=True, has_touch=True) as page:
        page.locator("#examples .card").first.tap()
        expect_text(page, SAID)
        page.wait_for_timeout(800)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sync_api.expect(page.locator("#result .said")).to_be_in_viewport(ratio=1)
        assert box(page, "#result")["y"] >= 0, "the card's edge and head are in view too"
        button = box(page, "#recorder .record-button")
        outer = box(page, "#recorder")
        assert outer["y"] <= button["y"] and button["y"] + button["height"] <= outer["y"] + outer["height"] + 1
        for tab in ("Live captions", "Checkpoints"):
            page.get_by_role("tab", name=tab).tap()
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
            if tab == "Live captions":
                assert abs(middle(page, "[data-live=clear]") - middle(page, "[data-live=toggle]")) < 8, "one row"
        note = page.locator("#registry section").first.locator("tbody tr").nth(1).locator("td").last.bounding_box()
        assert note and note["width"] > 200, "notes have room to be read"


def test_file_names_are_whole_on_a_phone(visit: Callable, corpus: Path, tmp_path: Path) -> None:
    clips = [tmp_path / f"synthetic_clip_0000{i}.wav" for i in range(2)]
    for clip in clips:
        shutil.copy(corpus / "clips" / "a.wav", clip)
    with visit(size=(390, 844), is_mobile=True, has_touch=True) as page:
        page.set_input_files("#upload input[type=file]", [str(clip) for clip in clips])
        page.wait_for_selector(".files")
        assert box(page, ".files [data-pick]")["height"] < 30, "on one line"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def box(page, selector: str) -> dict[str, float]:
    found = page.locator(selector).first.bounding_box()
    assert found
    return found


def middle(page, selector: str) -> float:
    return box(page, selector)["y"] + box(page, selector)["height"] / 2


def test_checkpoints_say_what_can_be_used(visit: Callable) -> None:
    with visit() as page:
        page.get_by_role("tab", name="Checkpoints").click()
        rows = page.locator("#registry section").first.locator("tbody tr").all_inner_texts()
        assert "ready" in rows[0] and "needs the network" in rows[1] and "on <the> Hub" in rows[1]


# The real thing: the embedded checkpoint, a synthetic clip it has never heard, real decoding


@pytest.fixture(scope="module")
def real(start_browser: Callable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Callable, Example]]:
    listed = real_registry.read()
    found = examples(listed)
    if not found:
        pytest.skip("the demo corpus is not installed")
    from asrdemo.audio import encode_wav, read_clip

    settings = Settings(home=tmp_path_factory.mktemp("real-home"))
    microphone = tmp_path_factory.mktemp("microphone") / "clip.wav"
    clip = read_clip(found[0].path)
    pause = np.zeros(24_000, np.float32)  # Chromium plays the file in a loop
    microphone.write_bytes(encode_wav(type(clip)(np.concatenate([pause[:8000], clip.samples, pause]))))
    transcriber = Transcriber(listed, settings)
    with serving(transcriber, settings) as served:
        browser = start_browser(microphone)
        yield lambda: visiting(browser, served), found[0]


def overlap(text: str, sentence: str) -> float:
    """Share of the sentence's words that are in the text."""
    wanted = re.findall(r"[\w']+", sentence.lower())
    return sum(word in text.lower().split() for word in wanted) / len(wanted)


def test_real_example_to_text(real: tuple[Callable, Example]) -> None:
    visit, example = real
    with visit() as page:
        page.locator("#examples .card").first.click()
        assert overlap(said(page), example.sentence) >= 0.6


def test_real_microphone_to_text(real: tuple[Callable, Example]) -> None:
    visit, example = real
    with visit() as page:
        page.locator("#recorder .record-button").click()
        page.locator("#recorder .stop-button").wait_for()
        page.wait_for_timeout(int(2 * example.seconds * 1000) + 3000)
        page.locator("#recorder .stop-button").click()
        assert overlap(said(page), example.sentence) >= 0.5


def test_real_live_captions(real: tuple[Callable, Example]) -> None:
    visit, example = real
    with visit() as page:
        page.get_by_role("tab", name="Live captions").click()
        toggle = page.locator("[data-live=toggle]")
        toggle.click()
        page.wait_for_selector(".live[data-state=listening]")
        page.wait_for_function("document.querySelector('[data-live=tentative]').textContent.length > 3")
        page.wait_for_function("document.querySelector('[data-live=stable]').textContent.length > 3")
        page.wait_for_timeout(int(example.seconds * 1000) + 2500)
        toggle.click()
        page.wait_for_selector(".live[data-state=idle]")
        assert "final text" in page.inner_text("[data-live=status]")
        assert page.inner_text("[data-live=tentative]") == ""
        assert overlap(page.inner_text("[data-live=stable]"), example.sentence) >= 0.5
        assert re.fullmatch(r"0\.\d+ s", page.inner_text("[data-live=cost]"))
        page.locator("[data-live=clear]").click()
        assert page.inner_text("[data-live=stable]") == ""
