"""Run a new evaluation from the Error analysis page: layout and wiring. See evaluate_handlers.py.

A timer asks how the run goes, and only while one runs. The run itself knows nothing of the page: reload it, close it,
restart the app, and the panel finds the run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui import decoder_panel
from asrdemo.ui.analysis import evaluate_handlers
from asrdemo.ui.analysis.evaluate_handlers import Ask
from asrdemo.ui.services import Services, first_checkpoint
from asrdemo.ui.wiring import PLAIN, QUIET, told

EVERY_S = 1.5


@dataclass(frozen=True)
class Panel:
    """The components. ask: those of an Ask, in its order. shown: what the state of the run sets."""

    ask: list[Any]
    start: gr.Button
    stop: gr.Button
    resume: gr.Button
    status: gr.HTML
    timer: gr.Timer
    job: gr.State

    @property
    def shown(self) -> list[Any]:
        return [self.status, self.start, self.stop, self.resume, self.timer, self.job]


def build(services: Services) -> Panel:
    """Lay out the panel; `wire` makes it work."""
    corpora = [(spec.title, spec.id) for spec in services.registry.corpora.values()]
    first = corpora[0][1] if corpora else None
    with gr.Row(elem_id="evaluate"):
        with gr.Column(scale=4, min_width=300):
            checkpoint = gr.Dropdown(
                decoder_panel.checkpoints(services), value=first_checkpoint(services.registry), label="Checkpoint",
                filterable=False,
            )  # fmt: skip
            corpus = gr.Dropdown(corpora, value=first, label="Corpus", filterable=False)
            with gr.Row():
                split = gr.Dropdown(_splits(services, first), label="Split", filterable=False, min_width=120)
                limit = gr.Number(0, label="Clips (0 = all)", precision=0, minimum=0, min_width=120)
            decoder = gr.Radio(
                [("Greedy", "greedy"), ("Beam search", "beam")], value="beam", label="Decoder",
                info="Beam search with the checkpoint's own language model and weights.",
            )  # fmt: skip
            start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
        with gr.Column(scale=6, min_width=320):
            status = gr.HTML("", elem_id="evaluate-status", **PLAIN)
            with gr.Row():
                stop = gr.Button("Stop", visible=False, elem_id="evaluate-stop")
                resume = gr.Button("Go on", visible=False, elem_id="evaluate-resume")
    timer, job = gr.Timer(EVERY_S, active=False), gr.State("")
    return Panel([checkpoint, corpus, split, decoder, limit], start, stop, resume, status, timer, job)


def _splits(services: Services, corpus: str | None) -> list[str]:
    try:
        return evaluate_handlers.splits(services, corpus) if corpus else []
    except AsrDemoError:  # not on this machine now; choosing it says so
        return []


def wire(panel: Panel, services: Services, opened: Callable[..., Any], bar: gr.HTML, frame: Callable[[str], str],
         address: gr.Textbox, js: str) -> None:  # fmt: skip
    """opened: the event of the panel's tab. bar, frame, address, js: of the page, whose list of results gets longer."""

    def state() -> list[Any]:
        now = evaluate_handlers.watch(services)
        return [
            now.html, gr.Button(interactive=not now.running), gr.Button(visible=now.running),
            gr.Button(visible=now.resumable), gr.Timer(active=now.running), now.id,
        ]  # fmt: skip

    def start(*values: Any) -> list[Any]:
        checkpoint, corpus, split, decoder, limit = values
        evaluate_handlers.start(services, Ask(checkpoint, corpus, split, decoder, int(limit or 0)))
        return state()

    def stop(job: str) -> list[Any]:
        evaluate_handlers.stop(services, job)
        return state()

    def resume(job: str) -> list[Any]:
        evaluate_handlers.resume(services, job)
        return state()

    def look(address: str) -> list[Any]:
        now = state()
        finished = not evaluate_handlers.watch(services).running
        return [*now, frame(address) if finished else gr.skip()]

    def choose(corpus: str) -> Any:
        names = evaluate_handlers.splits(services, corpus)
        return gr.Dropdown(names, value=names[0])

    opened(state, None, panel.shown, **QUIET)
    panel.start.click(
        told(start), panel.ask, panel.shown, **{**QUIET, "show_progress": "minimal"}, show_progress_on=panel.status
    )
    panel.stop.click(told(stop), panel.job, panel.shown, **QUIET)
    panel.resume.click(told(resume), panel.job, panel.shown, **QUIET)
    panel.timer.tick(look, address, [*panel.shown, bar], js=js, **QUIET)
    panel.ask[1].input(told(choose), panel.ask[1], panel.ask[2], **QUIET)
