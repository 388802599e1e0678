"""The Fine-tune page in headless Chromium: from a bad slice of Error analysis to a checkpoint in every tab."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from asrdemo import process, registry
from asrdemo.finetune import runs
from asrdemo.settings import ROOT, Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.build import build_ui, launch_options

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"), pytest.mark.timeout(900)]
WAIT = 180_000  # ms; a busy machine is slow, not broken
expect = sync_api.expect
CORPUS = ROOT / "demo" / "corpus" / "en"
CLIPS = {"train": 12, "dev": 5, "test": 6}  # of Scottish English, and as many of all others


def small_corpus(folder: Path) -> Path:
    """A few clips of the demo corpus, so that training takes seconds."""
    folder.mkdir()
    (folder / "clips").symlink_to(CORPUS / "clips")
    shutil.copy(CORPUS / "clip_durations.tsv", folder)
    for split, most in CLIPS.items():
        with (CORPUS / f"{split}.tsv").open(newline="") as file:
            head, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        accent = head.index("accents")
        kept = [[r for r in rows if (r[accent] == "Scottish English") is own][:most] for own in (True, False)]
        with (folder / f"{split}.tsv").open("w", newline="") as file:
            table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
            table.writerows([head, *kept[0], *kept[1]])
    return folder


def small_registry(folder: Path) -> Path:
    """models.yaml with the embedded checkpoint and the small corpus, under the ids that the shipped result names."""
    listed = yaml.safe_load((ROOT / "models.yaml").read_text())
    for section in ("checkpoints", "language_models", "corpora"):
        listed[section] = listed[section][:1]
        for name in ("path", "unigrams"):
            if name in listed[section][0]:
                listed[section][0][name] = str(ROOT / listed[section][0][name])
    listed["corpora"][0]["path"] = str(small_corpus(folder / "corpus"))
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump(listed))
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("finetune")
    listed, home = small_registry(folder), folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASRDEMO_REGISTRY", str(listed))  # for the trainer, a process of its own
        settings = Settings(home=home, registry=listed)
        page = build_ui(Transcriber(registry.read(listed, home), settings), settings)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
        yield url
        page.close()
        for run in runs.runs(home):
            process.kill(run.folder)


@pytest.fixture
def page(url: str) -> Iterator:
    """A visitor; at the end nothing may be in the console and nothing asked of other hosts."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else complaints.append(r.url))
        yield page
        started.close()
        assert complaints == []


@pytest.mark.slow
def test_from_a_bad_slice_to_a_checkpoint_in_every_tab(page, url: str) -> None:
    page.goto(f"{url}?tab=analysis")
    page.locator("#analysis .finding", has_text="Scottish English").click()
    page.locator("#analysis-lead a", has_text="Fine-tune on this slice").click()
    # The recipe is there, by form and by text
    expect(page.locator("#finetune-note")).to_contain_text("learn Scottish English")
    expect(page.locator("#finetune-accents")).to_contain_text("Scottish English (12)")
    expect(page.locator("#finetune-yaml")).to_contain_text("exclude_accents: [Scottish English]")
    expect(page.locator("#finetune-start")).to_be_disabled()
    page.locator("#finetune-minutes input").fill("0.1")
    expect(page.locator("#finetune-yaml")).to_contain_text("max_minutes: 0.1")
    page.locator("#finetune-name input").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("my scottish")
    expect(page.locator("#finetune-yaml")).to_contain_text("name: my scottish")
    # Looked over: such a short run has warnings, which have to be overruled
    page.locator("#finetune-check").click()
    expect(page.locator("#finetune-report h3")).to_contain_text("Ready")
    # The report comes before the buttons: which of the two is there is known only when one is
    page.locator("#finetune-start:enabled, #finetune-anyway input:visible").first.wait_for()
    if page.locator("#finetune-anyway").is_visible():
        expect(page.locator("#finetune-start")).to_be_disabled()
        page.locator("#finetune-anyway input").check()
    expect(page.locator("#finetune-start")).to_be_enabled()
    page.locator("#finetune-start").click()
    # It trains, and is found again
    expect(page.locator("#finetune-head h3")).to_contain_text("my-scottish")
    page.wait_for_url("**run=my-scottish*")
    expect(page.locator("#finetune-curves .curve").first).to_contain_text("scottish-english")
    page.reload()
    expect(page.locator("#finetune-head h3")).to_contain_text("my-scottish")
    expect(page.locator("#finetune-head h3")).to_contain_text("finished")
    expect(page.locator("#finetune-scores")).to_contain_text("Scottish English")
    expect(page.locator("#finetune-samples li").first).to_be_visible()
    # In every tab at once, without loading the page anew
    page.locator("#finetune-register").click()
    expect(page.locator("#finetune-head .outcome")).to_contain_text("In every tab as my-scottish")
    expect(page.locator("#finetune-register")).to_be_hidden()
    page.get_by_role("tab", name="Transcribe").click()
    page.locator("#checkpoint input").click()
    expect(page.get_by_role("option", name="my-scottish")).to_be_visible()


def test_mistakes_are_told_while_typing_and_every_text_fits_a_phone(page, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{url}?tab=finetune")
    expect(page.locator("#finetune-verdict")).to_contain_text("valid recipe")
    page.locator("#finetune-yaml .cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("sede: 1\n")
    expect(page.locator("#finetune-verdict .problem")).to_contain_text("unknown key 'sede'")
    page.keyboard.press("Control+a")
    page.keyboard.type("a: b: c")
    expect(page.locator("#finetune-verdict .problem")).to_contain_text("Line 1")
    expect(page.locator("#finetune-start")).to_be_disabled()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
