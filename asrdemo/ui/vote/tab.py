"""The blind vote: layout and wiring. What happens on an event is in handlers.py."""

from __future__ import annotations

from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui.compare import clip_tab as compare_clip_tab
from asrdemo.ui.compare import corpus_handlers
from asrdemo.ui.compare.clip_handlers import Comparison
from asrdemo.ui.compare.corpus_handlers import View
from asrdemo.ui.page_html import downloads_html
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.vote import handlers, markup
from asrdemo.ui.vote.handlers import CLIP, CORPUS, Round, Session
from asrdemo.ui.wiring import PLAIN, PRIVATE, told

CALL: dict[str, Any] = {"show_progress": "minimal", **PRIVATE}
SOURCES = [("Clips of the results", CORPUS), ("The clip under One clip", CLIP)]


def build(services: Services, tab: gr.Tab, compared: gr.State) -> None:
    """Lay out and wire. compared: the Comparison of One clip."""
    session = gr.State(Session(), time_to_live=3 * 3600)
    with gr.Row(elem_classes="compare-choice"):
        source = gr.Radio(SOURCES, value=CORPUS, label="Vote on", elem_id="vote-source", scale=3, min_width=280)
        names = gr.Dropdown([], label="Results", filterable=False, elem_id="vote-results", scale=3, min_width=240)
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
        {}, html_template=downloads_html(["votes"]), js_on_load=script("download.js"), elem_id="vote-downloads", **PLAIN
    )

    def opened() -> tuple[Any, ...]:
        choices = handlers.pairs(services)
        value = choices[0][1] if choices else None
        return gr.Dropdown(choices, value=value), markup.standing_html(handlers.standing(services))

    def asked(now: Session, kind: str, chosen: str, found: Comparison) -> tuple[Any, ...]:
        try:
            if kind == CLIP:
                now = handlers.of_clip(services, found, now)
            else:
                now = handlers.of_corpus(services, chosen, now)
            sound = _sound(services, now.now, chosen, found)
        except AsrDemoError as error:
            return now, markup.problem_html(str(error)), gr.update(value=None, visible=False), gr.skip()
        return now, markup.round_html(now), gr.update(value=sound, visible=True), gr.skip()

    def clicked(event: gr.EventData, now: Session, kind: str, chosen: str, found: Comparison) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        if data.get("vote") not in ("first", "second", "tie"):
            return asked(now, kind, chosen, found)
        now = handlers.cast(services, now, data["vote"])
        return now, markup.round_html(now), gr.skip(), markup.standing_html(handlers.standing(services))

    inputs, outputs = [session, source, names, compared], [session, ballot, player, sums]
    tab.select(opened, None, [names, sums], **CALL)
    start.click(told(asked), inputs, outputs, show_progress_on=ballot, **CALL)
    ballot.click(told(clicked), inputs, outputs, show_progress="hidden", **PRIVATE)
    source.change(lambda kind: gr.update(visible=kind == CORPUS), source, names, show_progress="hidden", **PRIVATE)
    downloads.click(told(lambda: handlers.download(services)), None, downloads, show_progress="hidden", **PRIVATE)


def _sound(services: Services, now: Round | None, names: str, found: Comparison) -> bytes | str | None:
    if now is not None and now.position is not None:
        return corpus_handlers.audio(services, View(tuple(names.split(","))), now.position)
    return compare_clip_tab.audio_of(services, found.take) if found.take else None
