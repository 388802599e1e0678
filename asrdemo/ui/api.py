"""The public endpoint `/transcribe`, for gradio_client and other programs. It has no place on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError, NotFoundError
from asrdemo.transcribe import OWN
from asrdemo.ui.services import Services, first_checkpoint
from asrdemo.ui.transcribe import handlers
from asrdemo.ui.transcribe.handlers import Choice, Source
from asrdemo.ui.wiring import MODEL, told

DESCRIPTION = (
    "Transcribe one audio file. Returns the text, and a JSON object with words, times, confidences, scores and "
    "timings. decoder is greedy, beam or default; language_model is an id of the registry, 'default' for the "
    "checkpoint's own, or 'none'; numbers left at null take what suits the checkpoint and language model; hotwords "
    "are separated by commas."
)


def build(services: Services) -> None:
    """Register the endpoint. Hidden components rather than gr.api: they check that the file was really uploaded."""
    first = first_checkpoint(services.registry)
    with gr.Group(visible=False):
        file = gr.File(type="filepath", label="file")
        checkpoint = gr.Textbox(first, label="checkpoint")
        decoder = gr.Textbox("default", label="decoder")
        lm = gr.Textbox("default", label="language_model")
        alpha = gr.Number(None, label="alpha")
        beta = gr.Number(None, label="beta")
        width = gr.Number(None, precision=0, label="beam_width")
        words = gr.Textbox("", label="hotwords")
        weight = gr.Number(None, label="hotword_weight")
        text, result = gr.Textbox(label="text"), gr.JSON(label="result")
        button = gr.Button()

    def transcribe(
        file: str,
        checkpoint: str,
        decoder: str = "default",
        language_model: str = "default",
        alpha: float | None = None,
        beta: float | None = None,
        beam_width: int | None = None,
        hotwords: str = "",
        hotword_weight: float | None = None,
    ) -> tuple[str, dict[str, Any]]:
        if not file:
            raise NotFoundError("No file was given; expected an audio file.")
        given = {"alpha": alpha, "beta": beta, "beam_width": beam_width, "hotword_weight": hotword_weight}
        choice = api_choice(services, checkpoint, decoder, language_model, hotwords, given)
        work = handlers.transcribe(services, [Source(file, Path(file).name)], choice)
        transcript = work.item.transcript if work.item and not work.problem else None
        if transcript is None:
            raise AsrDemoError(work.problem or (work.item.problem if work.item else ""))
        return transcript.text, handlers.as_json(transcript)

    button.click(
        told(transcribe), [file, checkpoint, decoder, lm, alpha, beta, width, words, weight], [text, result],
        api_name="transcribe", api_description=DESCRIPTION, api_visibility="public", **MODEL,
    )  # fmt: skip


def api_choice(
    services: Services, checkpoint: str, decoder: str, lm: str, hotwords: str, given: dict[str, float | None]
) -> Choice:
    """The panel's values for an API call. Raises NotFoundError for what there is not."""
    if decoder not in ("default", "greedy", "beam"):
        raise NotFoundError(f"There is no decoder {decoder!r}; available: default, greedy, beam.")
    kind: Any = None if decoder == "default" else decoder
    own: Any = {"default": OWN, "none": None, "": None}.get(lm, lm)
    choice = Choice.of(checkpoint, services.transcriber.defaults(checkpoint, kind, own))
    values = {**vars(choice), "hotwords": hotwords, **{k: v for k, v in given.items() if v is not None}}
    return Choice(**values)
