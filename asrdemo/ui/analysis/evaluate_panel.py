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
from asrdemo.ui.wiring import PLAIN, QUIET

EVERY_S = 1.5


@dataclass(frozen=True)
class Panel:
    """The components. ask: those of an Ask, in its order. searching, weighing: what only beam search and only a
    language model have a use for. command: what to type for the same. shown: what the state of the run sets."""

    ask: list[Any]
    searching: gr.Column
    weighing: gr.Column
    command: gr.Textbox
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
    corpus_id = corpora[0][1] if corpora else None
    own = decoder_panel.defaults(services, first_checkpoint(services.registry))
    with gr.Row(elem_id="evaluate"):
        with gr.Column(scale=4, min_width=300):
            checkpoint = decoder_panel.checkpoint_list(services, own.checkpoint)
            corpus = gr.Dropdown(corpora, value=corpus_id, label="Corpus", filterable=False)
            with gr.Row():
                split = gr.Dropdown(_splits(services, corpus_id), label="Split", filterable=False, min_width=120)
                limit = gr.Number(0, label="Clips (0 = all)", precision=0, minimum=0, min_width=120)
            decoder = gr.Radio(
                [("Greedy", "greedy"), ("Beam search", "beam")], value=own.kind, label="Decoder",
                info="Beam search weighs several readings and can use a language model.",
            )  # fmt: skip
            with gr.Column(visible=own.kind == "beam") as searching:
                lm = gr.Dropdown(
                    _models(services, own.checkpoint), value=own.lm, label="Language model", filterable=False,
                    info="Those listed for the checkpoint's language.", elem_id="evaluate-lm",
                )  # fmt: skip
                with gr.Column(visible=bool(own.lm)) as weighing:
                    alpha, beta = decoder_panel.lm_weights(own.alpha, own.beta, "evaluate-")
            start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
            with gr.Accordion("The same on the command line", open=False, elem_id="evaluate-command"):
                command = gr.Textbox(label="Command", lines=2, max_lines=6, interactive=False, buttons=["copy"])
        with gr.Column(scale=6, min_width=320):
            status = gr.HTML("", elem_id="evaluate-status", **PLAIN)
            with gr.Row():
                stop = gr.Button("Stop", visible=False, elem_id="evaluate-stop")
                resume = gr.Button("Go on", visible=False, elem_id="evaluate-resume")
    timer, job = gr.Timer(EVERY_S, active=False), gr.State("")
    ask: list[Any] = [checkpoint, corpus, split, decoder, limit, lm, alpha, beta]
    return Panel(ask, searching, weighing, command, start, stop, resume, status, timer, job)


def _models(services: Services, checkpoint: str) -> list[tuple[str, str]]:
    return [decoder_panel.NO_LM, *evaluate_handlers.language_models(services, checkpoint)]


def _splits(services: Services, corpus: str | None) -> list[str]:
    try:
        return evaluate_handlers.splits(services, corpus) if corpus else []
    except AsrDemoError:  # not on this machine now; starting says so
        return []


def wire(panel: Panel, services: Services, opened: Callable[..., Any], bar: gr.HTML, frame: Callable[[str], str],
         address: gr.Textbox, js: str) -> None:  # fmt: skip
    """opened: the event of the panel's tab. bar, frame, address, js: of the page, whose list of results gets longer."""

    def state(problem: str = "") -> list[Any]:
        now = evaluate_handlers.watch(services, problem)
        return [
            now.html, gr.Button(interactive=not now.running), gr.Button(visible=now.running),
            gr.Button(visible=now.resumable), gr.Timer(active=now.running), now.id,
        ]  # fmt: skip

    def tried(act: Callable[..., object]) -> Callable[..., list[Any]]:
        """What goes wrong is said where the run is shown."""

        def attempt(*values: Any) -> list[Any]:
            try:
                act(services, *values)
            except AsrDemoError as error:
                return state(str(error))
            return state()

        return attempt

    def start(services: Services, *values: Any) -> None:
        evaluate_handlers.start(services, _ask(*values))

    def look(address: str) -> list[Any]:
        now = state()
        finished = not evaluate_handlers.watch(services).running
        return [*now, frame(address) if finished else gr.skip()]

    _wire_choices(panel, services, opened)
    # With the bar: a run may have ended while the rest of the page was made
    opened(look, address, [*panel.shown, bar], js=js, **QUIET)
    panel.start.click(
        tried(start), panel.ask, panel.shown, **{**QUIET, "show_progress": "minimal"}, show_progress_on=panel.status
    )
    panel.stop.click(tried(evaluate_handlers.stop), panel.job, panel.shown, **QUIET)
    panel.resume.click(tried(evaluate_handlers.resume), panel.job, panel.shown, **QUIET)
    panel.timer.tick(look, address, [*panel.shown, bar], js=js, **QUIET)


def _ask(checkpoint: str, corpus: str, split: str, decoder: str, limit: float | None, *lm: Any) -> Ask:
    return Ask(checkpoint, corpus, split, decoder, int(limit or 0), *lm)


def _wire_choices(panel: Panel, services: Services, opened: Callable[..., Any]) -> None:
    """What a choice does to the others: a corpus brings its splits, a checkpoint its decoder, a model its weights; and
    all of them the command line, once they suit one another again."""
    checkpoint, corpus, split, decoder, limit, lm, alpha, beta = panel.ask

    def divided(corpus: str) -> Any:
        names = _splits(services, corpus)
        return gr.Dropdown(names, value=names[0] if names else None)

    def suited(checkpoint: str) -> list[Any]:
        own = decoder_panel.defaults(services, checkpoint)
        return [own.kind, gr.Dropdown(_models(services, checkpoint), value=own.lm), own.alpha, own.beta]

    def weighed(checkpoint: str, lm: str) -> list[float]:
        options = services.transcriber.defaults(checkpoint, "beam", lm or None)
        return [options.alpha, options.beta]

    def searches(decoder: str) -> Any:
        return gr.Column(visible=decoder == "beam")

    def weighs(lm: str) -> Any:
        return gr.Column(visible=bool(lm))

    def typed(*values: Any) -> str:
        return evaluate_handlers.command(services, _ask(*values))

    shown: dict[str, Any] = {"fn": typed, "inputs": panel.ask, "outputs": panel.command, **QUIET}
    corpus.input(divided, corpus, split, **QUIET).then(**shown)
    checkpoint.input(suited, checkpoint, [decoder, lm, alpha, beta], **QUIET).then(**shown)
    lm.input(weighed, [checkpoint, lm], [alpha, beta], **QUIET).then(**shown)
    # Not `change`: Gradio sets the answer of `suited` one by one, and for a moment the language model is no choice
    weights = [alpha.input, alpha.release, beta.input, beta.release]
    moved = [split.input, decoder.input, limit.input, *weights]
    gr.on(moved, trigger_mode="always_last", **shown)
    decoder.change(searches, decoder, panel.searching, **QUIET)
    lm.change(weighs, lm, panel.weighing, **QUIET)
    opened(**shown)
