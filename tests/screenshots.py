"""Pictures of the pages for the README: `python -m tests.screenshots`, with Chromium and playwright at hand.

    python -m tests.screenshots              every page but Fine-tune
    python -m tests.screenshots finetune     the loop of Fine-tune, which really trains

Serves the real thing on a free port with a home of its own, clicks through it with a clip of the demo corpus at the
microphone, and writes docs/*.png, each below LIMIT bytes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from asrdemo import registry, settings
from asrdemo.audio import encode_wav, read_clip
from asrdemo.transcribe import Transcriber
from asrdemo.types import Clip
from asrdemo.ui.build import build_ui, launch_options
from asrdemo.ui.examples import Example, examples

DOCS = Path(__file__).resolve().parent.parent / "docs"
LIMIT = 200_000
LIVE_CLIPS = 4
SCOTTISH = 5  # the example that is hardest


def transcribe(page: Page, url: str, card: int) -> None:
    """An example clicked, its player loaded, the mouse out of the way."""
    page.goto(url)
    page.locator("#examples .card").nth(card).click()
    page.wait_for_selector("#result .said", timeout=120_000)
    page.wait_for_function("document.querySelector('#player #duration')?.textContent > '0:00'", timeout=60_000)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1200)


def live(page: Page, url: str, seconds: float) -> None:
    """Captions amid a sentence, after some have settled."""
    page.goto(url)
    page.get_by_role("tab", name="Live captions").click()
    page.locator("[data-live=toggle]").click()
    page.wait_for_selector(".live[data-state=listening]", timeout=120_000)
    page.wait_for_timeout(int(seconds * 1000))
    page.wait_for_function("document.querySelector('[data-live=tentative]').textContent.split(' ').length >= 3")


def analysis(page: Page, url: str) -> None:
    """The shipped result, its late parts there."""
    page.goto(f"{url}?tab=analysis")
    page.wait_for_selector("#analysis .finding", timeout=120_000)
    page.wait_for_timeout(2000)


def compare(page: Page, url: str, card: int) -> None:
    """A clip in two lanes."""
    page.goto(f"{url}?tab=compare")
    page.locator("#compare-cards .card").nth(card).click()
    page.wait_for_selector(".comparison[aria-busy=false]", timeout=120_000)
    page.mouse.move(0, 0)
    page.wait_for_timeout(2000)


def finetune(page: Page, url: str) -> None:
    """From the accent that fails to a checkpoint that has learnt it: the check, and the run."""
    wait = 1_800_000  # ms: it really trains
    page.set_default_timeout(wait)
    page.goto(f"{url}?tab=analysis")
    page.locator("#analysis .finding", has_text="Scottish English").click()
    page.locator("#analysis-lead a", has_text="Fine-tune on this slice").click()
    page.wait_for_function("document.querySelector('#finetune-note')?.innerText.includes('Scottish')")
    page.locator("#finetune-check").click()
    page.locator("#finetune-start:enabled").wait_for()
    page.locator("#finetune-report h3").scroll_into_view_if_needed()
    save(page, "finetune-check")
    page.locator("#finetune-start").click()
    page.locator("#finetune-head h3", has_text="finished").wait_for()
    page.locator("#finetune-register").click()
    page.locator("#finetune-evaluate:visible").wait_for()
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, document.querySelector('#finetune-runs').getBoundingClientRect().top + scrollY - 20)")
    page.wait_for_timeout(1000)
    save(page, "finetune-run")


def microphone(found: list[Example], folder: Path) -> tuple[Path, float]:
    """A few clips in a row as a file for Chromium's fake microphone, and their length in seconds."""
    pause = np.zeros(14_000, np.float32)
    parts = [part for e in found[:LIVE_CLIPS] for part in (read_clip(e.path).samples, pause)]
    clip = Clip(np.concatenate(parts))
    path = folder / "microphone.wav"
    path.write_bytes(encode_wav(clip))
    return path, clip.duration


def save(page: Page, name: str) -> None:
    """Write a picture. Exits when it is too large for the repository."""
    path = DOCS / f"{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes")
    if size > LIMIT:
        sys.exit(f"{path.name} is {size:,} bytes; expected at most {LIMIT:,}. Show less on it.")


def main(what: str = "") -> None:
    """Make the pictures. what: `finetune`, or the number of the example to show."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chosen = replace(settings.read(), home=Path(folder) / "home")
        transcriber = Transcriber(registry.read(chosen.registry, chosen.home), chosen)
        served = build_ui(transcriber, chosen)
        _, url, _ = served.launch(prevent_thread_lock=True, quiet=True, **launch_options(chosen))
        clip, seconds = microphone(examples(transcriber.registry), Path(folder))
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags.append(f"--use-file-for-fake-audio-capture={clip}")
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        DOCS.mkdir(exist_ok=True)
        if what == "finetune":
            finetune(browser.new_page(viewport={"width": 1280, "height": 960}, color_scheme="light"), url)
        else:
            pages(browser, url, int(what or 0), seconds)
        browser.close()
        served.close()


def pages(browser: Browser, url: str, card: int, seconds: float) -> None:
    """All pages but Fine-tune. seconds: of speech at the microphone."""
    desktop = browser.new_page(viewport={"width": 1280, "height": 960}, color_scheme="light")
    transcribe(desktop, url, card)
    save(desktop, "transcribe-desktop")
    analysis(desktop, url)
    save(desktop, "analysis-desktop")
    compare(desktop, url, SCOTTISH)
    save(desktop, "compare-desktop")
    desktop.goto(f"{url}?tab=compare&results=demo-en-beam&results=demo-en-tuned-beam")  # what `finetune` leads to
    desktop.wait_for_selector("#corpus-figures .results")
    desktop.wait_for_timeout(2000)
    save(desktop, "finetune-compare")
    phone = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="light", is_mobile=True)
    transcribe(phone, url, card)
    save(phone, "transcribe-phone")
    talk = browser.new_page(viewport={"width": 1280, "height": 800}, permissions=["microphone"], color_scheme="dark")
    live(talk, url, seconds * 0.6)
    save(talk, "live-desktop")


if __name__ == "__main__":
    main(*sys.argv[1:2])
