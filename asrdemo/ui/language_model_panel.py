"""The panel that builds a language model from text: layout and wiring."""

from __future__ import annotations

from typing import Any

import gradio as gr

from asrdemo.ui import decoder_panel, language_model_handlers
from asrdemo.ui.decoder_panel import Panel
from asrdemo.ui.services import Services
from asrdemo.ui.wiring import MODEL, PLAIN, PRIVATE, reporter, told


def build(panel: Panel, services: Services) -> gr.events.Dependency:
    """Lay out and wire. The returned event ends once the new model is chosen in the decoder panel."""
    own = gr.State([])
    with gr.Accordion("Build a language model", open=False, elem_id="build-lm"):
        gr.HTML(
            '<p class="hint">Text of the kind you expect to hear teaches the decoder which words follow one another. '
            "It takes seconds.</p>",
            **PLAIN,
        )
        text = gr.Textbox(
            label="Paste text", lines=5, max_lines=12, placeholder="One sentence a line", elem_id="lm-text",
        )  # fmt: skip
        file = gr.File(
            label="or choose a text file", file_types=[".txt"], type="filepath", elem_id="lm-file", height=110
        )
        title = gr.Textbox(label="Name", placeholder="Your text", max_lines=1)
        order = gr.Slider(1, 5, 3, step=1, label="Order", info="How many words are looked at together.")
        button = gr.Button("Build", variant="primary", elem_id="lm-build")
        report = gr.HTML("", **PLAIN)

    def run(
        pasted: str, path: str | None, name: str, n: float, checkpoint: str, mine: list[tuple[str, str]],
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds its progress bar by this default
    ) -> tuple[Any, ...]:  # fmt: skip
        built = language_model_handlers.build(services, pasted, path, name, int(n), checkpoint, reporter(progress))
        mine = [(built.title, built.id), *mine]
        options = services.transcriber.defaults(checkpoint, "beam", built.id)
        choices = gr.Dropdown(choices=decoder_panel.language_models(services, mine), value=built.id)
        return built.report, mine, choices, "beam", options.alpha, options.beta

    return button.click(
        told(run),
        [text, file, title, order, panel.checkpoint, own],
        [report, own, panel.lm, panel.kind, panel.alpha, panel.beta],
        show_progress_on=report,
        **MODEL,
        **PRIVATE,
    )
