"""The blind vote: layout and wiring. What happens on an event is in handlers.py."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui.page_html import downloads_html
from asrdemo.ui.services import Services
from asrdemo.ui.shelves import Shelf
from asrdemo.ui.theme import script
from asrdemo.ui.vote import handlers, markup
from asrdemo.ui.vote.handlers import Session
from asrdemo.ui.wiring import PLAIN, PRIVATE, told
from evals.votes import CHOICES, Ballots

CALL: dict[str, Any] = {"show_progress": "minimal", **PRIVATE}
SAVED = 4  # files just saved, which Gradio copies before the next ones come
DOWNLOAD = "(file) => Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name}).click()"


def build(services: Services, tab: gr.Tab) -> None:
    """Lay out and wire."""
    ballots = Ballots(services.settings.home)
    session = gr.State(Session(), time_to_live=3 * 3600)
    with gr.Row(elem_classes="compare-choice"):
        names = gr.Dropdown([], label="Clips of", filterable=False, elem_id="vote-results", scale=4, min_width=240)
        start = gr.Button("Start", variant="primary", elem_id="vote-start", scale=1, min_width=120)
    player = gr.Audio(
        interactive=False, show_label=False, label="The clip", elem_id="vote-player", buttons=[], visible=False,
        waveform_options=gr.WaveformOptions("#9aa9b8", "#2a78b5"),
    )  # fmt: skip
    ballot = gr.HTML(
        markup.EMPTY, js_on_load=script("compare.js"), elem_id="vote-ballot", elem_classes="sheet", **PLAIN
    )
    sums = gr.HTML("", elem_id="vote-sums", elem_classes="sheet", **PLAIN)
    downloads = gr.HTML(
        downloads_html(["votes"], "the votes"), js_on_load=script("download.js"), elem_id="vote-downloads", **PLAIN
    )
    file = gr.File(visible="hidden", label="saved votes")

    def standing() -> str:
        return markup.standings_html(ballots.standings())

    def opened() -> tuple[Any, ...]:
        choices = handlers.pairs(services)
        return gr.Dropdown(choices, value=choices[0][1] if choices else None), standing()

    def asked(now: Session, chosen: str) -> tuple[Any, ...]:
        try:
            now = handlers.ask(services, chosen or "", now)
            sound = handlers.audio(services, now.now) if now.now else None
        except AsrDemoError as error:
            return now, markup.problem_html(str(error)), gr.update(value=None, visible=False), gr.skip()
        return now, markup.round_html(now), gr.update(value=sound, visible=True), gr.skip()

    def clicked(event: gr.EventData, now: Session, chosen: str) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        if data.get("vote") not in CHOICES:
            return asked(now, chosen)
        if now.now is None:
            return now, markup.problem_html(handlers.IDLE), gr.update(value=None, visible=False), gr.skip()
        now = handlers.cast(ballots, now, data["vote"])
        return now, markup.round_html(now), gr.skip(), standing()

    saved: Shelf[TemporaryDirectory[str]] = Shelf(SAVED, on_drop=lambda _, folder: folder.cleanup())

    def save() -> str:
        folder = TemporaryDirectory(prefix="asrdemo-votes-")
        saved.put(folder.name, folder)
        path = Path(folder.name) / "votes.csv"
        ballots.save(path)
        return str(path)

    inputs, outputs = [session, names], [session, ballot, player, sums]
    tab.select(told(opened), None, [names, sums], **CALL)
    start.click(told(asked), inputs, outputs, show_progress_on=ballot, **CALL)
    ballot.click(told(clicked), inputs, outputs, show_progress="hidden", **PRIVATE)
    downloads.click(told(save), None, file, show_progress="hidden", **PRIVATE).success(None, file, js=DOWNLOAD)
