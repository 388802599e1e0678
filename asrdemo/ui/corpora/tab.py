"""The Corpora page: layout and wiring. What happens on an event is in handlers.py."""

from __future__ import annotations

from typing import Any

import gradio as gr

from asrdemo.ui.corpora import handlers, markup
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, PRIVATE, reporter, told

PROGRESS = gr.Progress()  # a default argument; Gradio hands each call its own
ALONE: dict[str, Any] = {"concurrency_id": "corpora", "concurrency_limit": 1}
"""One look through a corpus at a time: it reads every table, and may decode every clip."""


def build(services: Services, tab: gr.Tab) -> None:
    """Lay out the page; a corpus that is known, or small, is shown as soon as the page is opened."""
    corpora = handlers.choices(services)
    with gr.Row(elem_classes="corpora-bar"):
        corpus = gr.Dropdown(
            corpora, value=corpora[0][1] if corpora else None, label="Corpus", container=False, filterable=False,
            show_label=False, scale=4, min_width=200, elem_id="corpora-choice",
        )  # fmt: skip
        look = gr.Button("Audit", variant="primary", scale=1, min_width=90, elem_id="corpora-look")
        measure = gr.Button("Audit every sound", scale=1, min_width=150, elem_id="corpora-measure")
    gr.HTML(
        '<p class="hint">An audit reads the tables: what there is, what is missing, what does not fit. <em>Audit every '
        "sound</em> also decodes all clips for silence, clipping and wrong lengths, which takes minutes for an hour of "
        "clips or two; what is done is kept. The list is that of <code>models.yaml</code>: add yours there.</p>",
        **PLAIN,
    )
    player = gr.Audio(
        interactive=False, label="Clip", elem_id="corpora-player", buttons=[], visible=False,
        waveform_options=gr.WaveformOptions("#9aa9b8", "#2a78b5"),
    )  # fmt: skip
    found = gr.HTML(markup.NONE, js_on_load=script("pick.js"), elem_id="corpora-audit", **PLAIN)
    _wire(services, tab, corpus, look, measure, player, found)


def _wire(
    services: Services,
    tab: gr.Tab,
    corpus: gr.Dropdown,
    look: gr.Button,
    measure: gr.Button,
    player: gr.Audio,
    found: gr.HTML,
) -> None:
    def first(id: str | None) -> tuple[str, Any]:
        return handlers.first(services, id), gr.update(value=None, visible=False)

    def again(id: str, progress: gr.Progress = PROGRESS) -> tuple[str, Any]:
        return handlers.look(services, id, reporter(progress)), gr.update(value=None, visible=False)

    def measured(id: str, progress: gr.Progress = PROGRESS) -> tuple[str, Any]:
        return handlers.measured(services, id, reporter(progress)), gr.update(value=None, visible=False)

    def play(id: str, event: gr.EventData) -> Any:
        name = str((event._data or {}).get("name"))
        sound = handlers.play(services, id, name)
        return gr.update(value=sound, label=name, visible=True, autoplay=True)

    both: dict[str, Any] = {"inputs": corpus, "outputs": [found, player], **PRIVATE, **ALONE}
    tab.select(told(first), show_progress="hidden", **both)
    corpus.change(told(first), show_progress="minimal", **both)
    look.click(told(again), show_progress_on=found, **both)
    measure.click(told(measured), show_progress_on=found, **both)
    found.click(told(play), corpus, player, show_progress="hidden", **PRIVATE)
