"""The Transcribe page: layout and wiring. What happens on an event is in handlers.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.ui import decoder_panel, page_html, result_html
from asrdemo.ui.decoder_panel import Panel
from asrdemo.ui.examples import Example
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.transcribe import handlers, language_model_panel
from asrdemo.ui.transcribe.handlers import Choice, Source, Work
from asrdemo.ui.wiring import MODEL, PLAIN, PRIVATE, QUIET, reporter, told

AUDIO_TYPES = [".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm"]
SEEK = "() => ({__type__: 'update', playback_position: window.asrdemoSeek})"
PROGRESS = gr.Progress()  # a default argument; Gradio hands each call its own


@dataclass(frozen=True)
class Ways:
    """The three ways in."""

    cards: gr.HTML
    recorder: gr.Audio
    upload: gr.File


@dataclass(frozen=True)
class Results:
    """What shows a result."""

    result: gr.HTML
    files: gr.HTML
    detail: gr.Column
    player: gr.Audio
    downloads: gr.HTML
    readings: gr.HTML
    beside: gr.HTML


def build(services: Services, examples: Sequence[Example], page: gr.Blocks, own: gr.State) -> None:
    """Lay out the page and wire it. own: titles and ids of the language models that the visitor builds here."""
    work = gr.State(Work(), time_to_live=3 * 3600)
    ways = _ways(examples)
    with gr.Row(elem_id="desk"):
        with gr.Column(scale=8, min_width=320, elem_id="results"):
            results = _results()
        with gr.Column(scale=4, min_width=300, elem_id="settings"):
            panel = decoder_panel.build(services)
            built = language_model_panel.build(panel, services, own)
    weighed = decoder_panel.wire(panel, services)
    _wire_sources(services, examples, ways, panel, work, results)
    adopted = _wire_settings(services, panel, built, weighed, work, results)
    decoder_panel.wire_memory(panel, services, page, [weighed, adopted, *built])
    _wire_results(services, work, results)


def _ways(examples: Sequence[Example]) -> Ways:
    with gr.Row(elem_id="ways", elem_classes="ways", equal_height=True):
        with gr.Column(scale=6, min_width=320, elem_classes="way"):
            gr.HTML("<h2>Try an example (synthetic speech)</h2>", **PLAIN)
            cards = gr.HTML(
                page_html.examples_html(examples), js_on_load=script("pick.js"), elem_id="examples", **PLAIN
            )
        with gr.Column(scale=3, min_width=240, elem_classes="way"):
            gr.HTML('<h2>Speak</h2><p class="hint">Record, then stop: the text comes by itself.</p>', **PLAIN)
            recorder = gr.Audio(
                sources=["microphone"], type="filepath", show_label=False, label="Microphone", elem_id="recorder",
                elem_classes="recorder", buttons=[], editable=False,
            )  # fmt: skip
        with gr.Column(scale=3, min_width=240, elem_classes="way"):
            gr.HTML('<h2>Upload</h2><p class="hint">One file or several: wav, mp3, flac, ogg, m4a …</p>', **PLAIN)
            upload = gr.File(
                file_count="multiple", file_types=AUDIO_TYPES, type="filepath", show_label=False, label="Audio files",
                elem_id="upload", elem_classes="upload", height=112,
            )  # fmt: skip
    return Ways(cards, recorder, upload)


def _results() -> Results:
    files = gr.HTML("", js_on_load=script("pick.js"), elem_id="files", **PLAIN)
    result = gr.HTML(result_html.EMPTY, js_on_load=script("words.js"), elem_id="result", min_height=150, **PLAIN)
    with gr.Column(visible=False, elem_id="detail") as detail:
        player = gr.Audio(
            interactive=False, show_label=False, label="Clip", elem_id="player", buttons=[],
            waveform_options=gr.WaveformOptions(waveform_color="#9aa9b8", waveform_progress_color="#2a78b5"),
        )  # fmt: skip
        downloads = gr.HTML(
            {},
            html_template=page_html.downloads_html(handlers.FORMATS),
            js_on_load=script("download.js"),
            elem_id="downloads",
            **PLAIN,
        )
        with gr.Accordion("Greedy beside beam search", open=False, elem_id="beside"):
            beside = gr.HTML("", **PLAIN)
        with gr.Accordion("Other readings (N-best)", open=False, elem_id="readings"):
            readings = gr.HTML("", **PLAIN)
    return Results(result, files, detail, player, downloads, readings, beside)


def _outputs(work: gr.State, r: Results) -> list[Any]:
    return [work, r.result, r.files, r.readings, r.beside, r.detail, r.player]


def _shown(services: Services, work: Work, new_audio: bool = True) -> tuple[Any, ...]:
    """Values for `_outputs`. The audio goes to the browser only when it is another clip's."""
    v = handlers.view(services, work)
    audio: dict[str, Any] = {"value": v.audio} if new_audio else {}
    waves = gr.WaveformOptions(
        waveform_color="#9aa9b8", waveform_progress_color="#2a78b5", show_recording_waveform=v.waveform
    )
    player = gr.Audio(subtitles=v.subtitles, waveform_options=waves, **audio)
    return work, v.result, v.files, v.readings, v.beside, gr.update(visible=v.has_text), player


def _wire_sources(
    services: Services, examples: Sequence[Example], ways: Ways, panel: Panel, work: gr.State, r: Results
) -> None:
    """An example, a recording or files -> a result, with no further click."""

    def run(sources: Sequence[Source], progress: gr.Progress, choice: Choice) -> tuple[Any, ...]:
        return _shown(services, handlers.transcribe(services, sources, choice, reporter(progress)))

    def from_example(event: gr.EventData, progress: gr.Progress = PROGRESS, *values: Any) -> tuple[Any, ...]:
        return run([handlers.example(handlers.picked(examples, event._data))], progress, Choice(*values))

    def from_recorder(path: str | None, progress: gr.Progress = PROGRESS, *values: Any) -> tuple[Any, ...]:
        if path is None:
            return tuple(gr.skip() for _ in _outputs(work, r))
        return run([Source(path, "Recording")], progress, Choice(*values))

    def from_files(paths: list[str] | None, progress: gr.Progress = PROGRESS, *values: Any) -> tuple[Any, ...]:
        return run(handlers.uploaded(paths or []), progress, Choice(*values))

    common: dict[str, Any] = {"outputs": _outputs(work, r), "show_progress_on": r.result, **MODEL, **PRIVATE}
    ways.cards.click(told(from_example), panel.values, **common)
    ways.recorder.stop_recording(told(from_recorder), [ways.recorder, *panel.values], **common)
    heard = ways.upload.upload(told(from_files), [ways.upload, *panel.values], **common)
    heard.then(None, None, ways.upload, js="() => null")  # the results name the files; the box is free for the next


def _wire_settings(
    services: Services, panel: Panel, built: Sequence[Any], weighed: Any, work: gr.State, r: Results
) -> gr.events.Dependency:
    """Another setting decodes again from what the model heard; another checkpoint hears the clips anew.

    A language model or checkpoint first brings its own weights (`weighed`, the returned event): decoding waits for
    them, or the text would be that of the old ones.
    """

    def again(now: Work, progress: gr.Progress = PROGRESS, *values: Any) -> tuple[Any, ...]:
        choice = Choice(*values)
        if handlers.is_current(services, now, choice):
            return tuple(gr.skip() for _ in _outputs(work, r))
        # A player that was taken away with a problem comes back empty
        return _shown(
            services, handlers.decode_again(services, now, choice, reporter(progress)), new_audio=bool(now.problem)
        )

    def adopt(checkpoint: str) -> list[Any]:
        choice = decoder_panel.defaults(services, checkpoint)
        return [getattr(choice, name) for name in decoder_panel.NAMES[1:]]

    call: dict[str, Any] = {
        "fn": told(again), "inputs": [work, *panel.values], "outputs": _outputs(work, r), **MODEL, **PRIVATE,
    }  # fmt: skip
    at_once = [slider.input for slider in panel.sliders] + [
        panel.kind.input,
        panel.hotwords.submit,
        panel.hotwords.blur,
    ]
    gr.on(at_once, **call, show_progress="hidden", trigger_mode="always_last")
    weighed.success(**call, show_progress="hidden")
    for event in built:
        event.success(**call, show_progress_on=r.result)
    adopted = panel.checkpoint.input(told(adopt), panel.checkpoint, panel.values[1:], **QUIET)
    adopted.success(**call, show_progress_on=r.result)
    return adopted


def _wire_results(services: Services, work: gr.State, r: Results) -> None:
    """Choosing a file, hearing a word, downloading."""

    def choose(event: gr.EventData, now: Work) -> tuple[Any, ...]:
        return _shown(services, handlers.select(services, now, handlers.number(event._data)))

    def download(event: gr.EventData, now: Work) -> dict[str, str]:
        return handlers.download(now, str((event._data or {}).get("format")))

    r.files.click(
        told(choose), work, _outputs(work, r), show_progress="minimal", show_progress_on=r.result, **MODEL, **PRIVATE
    )
    r.result.click(None, None, r.player, js=SEEK)
    r.downloads.click(told(download), work, r.downloads, **QUIET)
