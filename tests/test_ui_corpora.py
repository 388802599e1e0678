"""The Corpora page: the audit as HTML, what is kept, which clip a number plays, and the page in Chromium."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_speech import FakeTranscriber, registry
from test_corpus import wav, write
from test_evals_report import read

from asrdemo.corpus import Audit
from asrdemo.errors import AudioError, NotFoundError
from asrdemo.registry import CorpusSpec
from asrdemo.settings import Settings
from asrdemo.ui.corpora import handlers
from asrdemo.ui.corpora import markup as corpora_html
from asrdemo.ui.services import Services

ROOT = Path(__file__).resolve().parent.parent
HEADER = "client_id\tpath\tsentence\tgender\taccents\tlocale"
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """Two splits that share a speaker, with a clip too short for its text, a silent one and one that is not there."""
    folder = tmp_path / "set"
    write(
        folder,
        "train.tsv",
        HEADER,
        "a\tgood.wav\tHello there.\tmale\tus\ten",
        f"b\tfast.wav\tToo many letters for so short a recording. {HOSTILE}\t\t\ten",
        "b\tsilent.wav\tNobody speaks.\tfemale\t\ten",
        "c\tgone.wav\tNot there.\t\t\ten",
    )
    write(folder, "test.tsv", HEADER, "a\ttest.wav\tHello you.\tmale\tus\ten")
    for name in ("good", "test"):
        wav(folder / "clips" / f"{name}.wav", 1.0)
    wav(folder / "clips" / "fast.wav", 0.5)
    soundfile.write(folder / "clips" / "silent.wav", np.full(16_000, 1e-5), 16_000, subtype="FLOAT")
    corpora = {"small": CorpusSpec("small", f"Small {HOSTILE}", "en", "en", folder)}
    known = dataclasses.replace(registry(folder), corpora=corpora)
    return Services(FakeTranscriber(known), Settings(home=tmp_path / "home"))  # type: ignore[arg-type]


def text(html: str) -> str:
    return " ".join(" ".join(read(html).words).split())


def test_a_small_corpus_is_shown_unasked_and_kept(services: Services) -> None:
    said = text(handlers.first(services, "small"))
    assert "4 clips and" in said and "No sentence or clip is in two splits." in said and "train and test 1 0 0" in said
    assert "1 too fast for its text. Click one to hear it." in said
    assert "Rows and clips that cannot be used: 1 no such file." in said
    assert "Not measured, so silence, clipping and true lengths are not known: train, test." in said
    kept = list((services.settings.home / "audits").glob("*.json"))
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    assert text(handlers.first(services, "small")) == said and kept[0].stat().st_mtime_ns == stamp


def test_measuring_finds_what_only_the_sound_tells(services: Services) -> None:
    told: list[str] = []
    said = text(handlers.measured(services, "small", lambda done, total, note: told.append(note)))
    assert "1 silent" in said and "Not measured" not in said
    assert {"measuring clips", "looking through the splits"} <= set(told)
    assert text(handlers.first(services, "small")) == said, "the audit of before it was measured is not shown"


def test_a_damaged_file_is_made_again(services: Services) -> None:
    handlers.first(services, "small")
    (kept,) = (services.settings.home / "audits").glob("*.json")
    for broken in ("{", '{"name": 1}', '{"other": []}', "[]"):
        kept.write_text(broken)
        assert "4 clips and" in text(handlers.first(services, "small"))


def test_a_large_corpus_waits_to_be_asked(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "AT_ONCE", 10)
    assert "Not looked through yet." in text(handlers.first(services, "small"))
    looked = handlers.look(services, "small")
    assert handlers.first(services, "small") == looked
    assert handlers.first(services, None) == corpora_html.NONE


def test_an_archive_is_not_unpacked_before_it_is_asked_for(services: Services, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "set"), "gztar", tmp_path, "set"))
    spec = CorpusSpec("packed", "Packed", "en", "en", packed)
    services.transcriber.use_registry(dataclasses.replace(services.registry, corpora={"packed": spec}))
    assert "Not looked through yet." in text(handlers.first(services, "packed"))
    assert not (services.settings.home / "corpora").exists()
    assert "4 clips and" in text(handlers.look(services, "packed"))
    assert "4 clips and" in text(handlers.first(services, "packed"))
    rate, samples = handlers.play(services, "packed", "fast.wav")
    assert (rate, samples.dtype, len(samples)) == (16_000, np.int16, 8_000)


def test_a_clip_of_the_list_plays_and_nothing_else(services: Services) -> None:
    handlers.measured(services, "small")
    for name in ("fast.wav", "silent.wav"):
        assert len(handlers.play(services, "small", name)[1])
    for name in ("good.wav", "../test.tsv", "None"):
        with pytest.raises(NotFoundError, match="in this list"):
            handlers.play(services, "small", name)
    with pytest.raises(NotFoundError, match="no corpus '../set'; available: small"):
        handlers.look(services, "../set")
    (services.registry.corpus("small").path / "clips" / "fast.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError):
        handlers.play(services, "small", "fast.wav")


def test_words_of_the_corpus_stay_words(services: Services) -> None:
    rows = [{"split": HOSTILE, "clip": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}]
    value = {"split": HOSTILE, "column": HOSTILE, "value": HOSTILE, "clips": 1, "hours": 0.1, "speakers": 1}
    split = {
        "split": HOSTILE,
        "clips": 1,
        "hours": 0.1,
        "speakers": 1,
        "sentences": 1,
        "measured": True,
        "quarantined": 1,
    }
    found = Audit(
        HOSTILE,
        HOSTILE,
        [split],
        [{"split": HOSTILE, "column": HOSTILE, "filled": 0.5, "values": 1}],
        [value],
        [{"split": HOSTILE, "other": HOSTILE, "speakers": 1, "sentences": 0, "clips": 0}],
        rows,
        rows,
        [{"character": "<", "name": HOSTILE, "count": 9}, {"character": "\u0301", "name": "ACUTE", "count": 1}],
        [HOSTILE],
    )
    page = corpora_html.audit_html(HOSTILE, HOSTILE, found, 10)
    found.overlaps[0]["clips"] = 1
    assert "1 split, some clips being in several." in corpora_html.audit_html("t", "", found, 10)
    assert "img" not in read(page).tags and "◌\u0301" in page and page.count("class=rare") == 1


def test_long_lists_are_cut_fairly_and_say_so() -> None:
    rows = [{"split": "a", "clip": f"{i}.mp3", "reason": f"r{i % 2}", "detail": ""} for i in range(30)]
    rows += [{"split": "a", "clip": "last.mp3", "reason": "rare", "detail": ""}]
    shown = corpora_html.listed(rows, 9)
    assert len(shown) == 7 and shown[-1]["clip"] == "last.mp3"
    many = [{"character": chr(0x4E00 + i), "name": "x", "count": 9} for i in range(300)]
    page = corpora_html.audit_html("t", "", Audit("n", "", suspicious=rows, characters=many), 9)
    assert "7 of them are listed." in page and "<summary>210 more</summary>" in page


def test_shares_are_not_rounded_to_all_or_nothing() -> None:
    assert [corpora_html._percent(x) for x in (0, 0.0001, 0.5, 0.9999, 1)] == ["0", "< 1", "50", "> 99", "100"]


@pytest.fixture
def served(services: Services, tmp_path: Path) -> Iterator[str]:
    import gradio as gr

    from asrdemo.ui import theme
    from asrdemo.ui.corpora import tab as corpora_tab

    with gr.Blocks(analytics_enabled=False) as page, gr.Tabs():
        gr.Tab("First")
        with gr.Tab("Corpora") as tab:
            corpora_tab.build(services, tab)
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True, quiet=True, theme=theme.theme(), css_paths=sorted(theme.STATIC.glob("*.css"))
    )
    yield url
    page.close()


def test_the_page(served: str) -> None:
    """Open, hear a clip, measure; at the width of a phone too."""
    api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            faults: list[str] = []
            page.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            page.goto(served)
            page.get_by_role("tab", name="Corpora").click()
            api.expect(page.locator("#corpora-audit")).to_contain_text("4 clips and", timeout=60_000)
            page.locator("[data-pick]").first.click()
            api.expect(page.locator("#corpora-player")).to_contain_text("fast.wav", timeout=60_000)
            page.locator("#corpora-measure").click()
            api.expect(page.locator("#corpora-audit")).to_contain_text("1 silent", timeout=60_000)
            api.expect(page.locator("#corpora-player")).to_be_hidden()
            assert page.evaluate("document.documentElement.scrollWidth") <= width and not faults
            page.close()
        browser.close()


def test_the_audit_of_the_demo_corpus_comes_within_a_second(tmp_path: Path) -> None:
    """The first one reads its tables and headers; imports are not counted, for the server has made them."""
    spec = CorpusSpec("demo", "Demo", "en", "en", ROOT / "demo" / "corpus" / "en")
    known = dataclasses.replace(registry(spec.path), corpora={"demo": spec})
    times = []
    for attempt in range(3):
        services = Services(FakeTranscriber(known), Settings(home=tmp_path / str(attempt)))  # type: ignore[arg-type]
        began = time.perf_counter()
        assert "1,376 clips and" in text(handlers.first(services, "demo"))
        times.append(time.perf_counter() - began)
    assert min(times) < 3, "on a machine with nothing else to do, 0.5 s"
