"""An evaluation that is started on the page outlives the app: the app is killed, started again, and finds it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals import jobs

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(290),
    pytest.mark.slow,
]

ROOT = Path(__file__).resolve().parent.parent
WAIT = 90_000  # ms; a busy machine is slow, not broken
CLIPS = 6
expect = sync_api.expect


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The app's home; a run that is left there is stopped."""
    yield tmp_path
    for job in jobs.jobs(tmp_path):
        jobs.stop(tmp_path, job.id)


@pytest.fixture
def start_app(home: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[bytes], str]]]:
    """Starts `python app.py` on that home, and waits until it answers; all are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "ASRDEMO_HOME": str(home), "GRADIO_SERVER_PORT": str(port)}
        with (home / "app.log").open("ab") as log:
            app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        started.append(app)
        url, end = f"http://127.0.0.1:{port}/", time.monotonic() + WAIT / 1000
        while not _answers(url):
            assert app.poll() is None and time.monotonic() < end, (home / "app.log").read_text()
            time.sleep(0.2)
        return app, url

    yield start
    for app in started:
        app.kill()
        app.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def page() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        yield page
        browser.close()


def test_an_evaluation_outlives_the_app(page, start_app: Callable, home: Path) -> None:
    """With a language model weight of one's own, so that the result tells that it is this run's."""
    app, url = start_app()
    page.goto(f"{url}?tab=analysis&view=run")
    expect(page.locator("#evaluate-status")).to_contain_text("No evaluation has been run")
    page.get_by_label("Clips (0 = all)").fill(str(CLIPS))
    page.locator("#evaluate-alpha input[type=number]").fill("0.8")
    page.locator("#evaluate-alpha input[type=number]").press("Tab")
    page.locator("#evaluate-command button").first.click()
    command = page.locator("#evaluate-command textarea")
    expect(command).to_have_value(re.compile(rf"--lm demo-lm --alpha 0\.8 --beta 0 --limit {CLIPS}$"))
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-status h3").first).to_contain_text("running")
    (job,) = jobs.jobs(home)
    assert command.input_value() == job.command and shlex.split(command.input_value())[4:] == list(job.arguments)
    before = jobs.read(home, job.id).state
    os.kill(app.pid, signal.SIGKILL)
    app.wait()
    assert before == "running" and jobs.read(home, job.id).state in ("running", "complete")

    _, url = start_app()
    page.goto(f"{url}?tab=analysis&view=run")
    expect(page.locator("#evaluate-status h3").first).to_contain_text(re.compile("running|finished"))
    expect(page.locator("#evaluate-status h3").first).to_contain_text("finished", timeout=120_000)
    result = jobs.read(home, job.id).result
    assert len(jobs.jobs(home)) == 1, "it was not started anew"
    expect(page.locator(f'#analysis-bar input[name="results"][value="{result}"]')).to_have_count(1)
    page.locator("#evaluate-status").get_by_role("button", name="See where it fails").click()
    expect(page.locator("#analysis-headline .support")).to_contain_text(f"{CLIPS} clips")
