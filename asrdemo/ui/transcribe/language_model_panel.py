"""The panel that builds a language model from text: layout and wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui import decoder_panel
from asrdemo.ui.decoder_panel import Panel
from asrdemo.ui.services import Services
from asrdemo.ui.transcribe import language_model_handlers
from asrdemo.ui.transcribe.language_model_handlers import Before
from asrdemo.ui.wiring import MODEL, PLAIN, PRIVATE, QUIET, forgiving, reporter


@dataclass(frozen=True)
class Form:
    """The components."""

    text: gr.Textbox
    file: gr.File
    title: gr.Textbox
    order: gr.Slider
    button: gr.Button
    report: gr.HTML
    undo: gr.Button


def _form() -> Form:
    with gr.Accordion("Build a language model", open=False, elem_id="build-lm"):
        gr.HTML(
            '<p class="hint">Text of the kind you expect to hear teaches the decoder which words follow one another. '
            "It takes seconds. The decoder then knows the words of this text only: give it pages, not lines.</p>",
            **PLAIN,
        )
        return Form(
            gr.Textbox(label="Paste text", lines=5, max_lines=12, placeholder="One sentence a line", elem_id="lm-text"),
            gr.File(label="or choose a text file", file_types=[".txt"], type="filepath", elem_id="lm-file", height=110),
            gr.Textbox(label="Name", placeholder="Your text", max_lines=1),
            forgiving(gr.Slider(1, 5, 3, step=1, label="Order", info="How many words are looked at together.")),
            gr.Button("Build", variant="primary", elem_id="lm-build"),
            gr.HTML("", **PLAIN),
            gr.Button("", visible=False, elem_id="lm-back"),
        )


def build(panel: Panel, services: Services, own: gr.State) -> list[gr.events.Dependency]:
    """Lay out and wire. The returned events end once another model is chosen in the decoder panel.

    own: titles and ids of what this visitor has built, the latest first.
    """
    last = gr.State(None)
    form, chosen = _form(), [panel.kind, panel.lm]

    def run(
        pasted: str, path: str | None, name: str, n: float, checkpoint: str, kind: str, lm: str, alpha: float,
        beta: float, mine: list[tuple[str, str]], earlier: Before | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds its progress bar by this default
    ) -> tuple[Any, ...]:  # fmt: skip
        now = language_model_handlers.before(services, kind, lm)
        try:
            built = language_model_handlers.build(
                services, pasted, path, name, int(n), checkpoint, (alpha, beta), now.title, reporter(progress)
            )
        except AsrDemoError as error:
            return language_model_handlers.problem_html(str(error)), *[gr.skip()] * 5
        replaced = earlier if earlier and lm in [id_ for _, id_ in mine] else now
        mine = [(built.title, built.id), *mine]
        choices = gr.Dropdown(choices=decoder_panel.language_models(services, mine), value=built.id)
        return built.report, mine, replaced, gr.Button(f"Back to {replaced.title}", visible=True), "beam", choices

    def back(to: Before) -> tuple[Any, ...]:
        return language_model_handlers.back_html(to), gr.Button(visible=False), to.kind, to.lm

    given = [form.text, form.file, form.title, form.order, panel.checkpoint, *chosen, panel.alpha, panel.beta]
    built = form.button.click(
        run,
        [*given, own, last],
        [form.report, own, last, form.undo, *chosen],
        show_progress_on=form.report,
        **MODEL,
        **PRIVATE,
    )
    return [built, form.undo.click(back, last, [form.report, form.undo, *chosen], **QUIET)]
