"""One clip, several lanes: layout and wiring. What happens on an event is in clip_handlers.py."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from asrdemo.ui import decoder_panel, page_html
from asrdemo.ui.compare import clip_handlers, clip_html
from asrdemo.ui.compare.clip_handlers import LEAST, LETTERS, MOST, Comparison, Take
from asrdemo.ui.compare.markup import run_mark
from asrdemo.ui.examples import SHOWN, Example
from asrdemo.ui.services import Services
from asrdemo.ui.shelves import Shelf
from asrdemo.ui.theme import script
from asrdemo.ui.transcribe.handlers import PLAYER_WAV_S, picked
from asrdemo.ui.transcribe.tab import AUDIO_TYPES
from asrdemo.ui.wiring import MODEL, PLAIN, PRIVATE, QUIET, reporter, told

PROGRESS = gr.Progress()  # a default argument; Gradio hands each call its own
START = 2  # lanes at first
VISITS = 1000  # visitors of whom it is remembered what they want to hear


@dataclass(frozen=True)
class Ways:
    """How a clip comes in. shown: the clips on the cards, a state."""

    shown: gr.State
    corpus: gr.Dropdown
    words: gr.Textbox
    others: gr.Button
    cards: gr.HTML
    recorder: gr.Audio
    upload: gr.File


@dataclass(frozen=True)
class LanesPanel:
    """Which lanes. values: checkpoint and reading of each in turn; count: how many are in use, a state."""

    values: list[Any]
    rows: list[gr.Column]
    count: gr.State
    more: gr.Button
    fewer: gr.Button


def build(services: Services, examples: Sequence[Example], own: gr.State) -> None:
    """Lay out and wire. own: titles and ids of the language models that the visitor has built."""
    now = gr.State(Comparison(), time_to_live=3 * 3600)
    ways = _ways(services, examples)
    with gr.Row(elem_classes="compare-desk"):
        with gr.Column(scale=8, min_width=320):
            player = gr.Audio(
                interactive=False, show_label=False, label="The clip", elem_id="compare-player", buttons=[],
                visible=False, waveform_options=gr.WaveformOptions("#9aa9b8", "#2a78b5"),
            )  # fmt: skip
            result = gr.HTML(
                clip_html.EMPTY, js_on_load=script("compare_result.js"), elem_id="compare-result",
                elem_classes="sheet", **PLAIN,
            )  # fmt: skip
        with gr.Column(scale=4, min_width=300, elem_classes="side"):
            panel = _panel(services)
    _wire(services, ways, panel, _wire_panel(services, panel, own), now, result, player)
    _wire_search(services, ways)


def _ways(services: Services, examples: Sequence[Example]) -> Ways:
    with gr.Row(elem_classes=["ways", "compare-ways"], equal_height=True):
        with gr.Column(scale=8, min_width=320, elem_classes="way"):
            gr.HTML(
                '<h2>Choose a clip</h2><p class="hint">Each lane writes down what it heard. What was really said is '
                "known, so mistakes show.</p>",
                **PLAIN,
            )
            corpora = [(spec.title, spec.id) for spec in services.registry.corpora.values()]
            cards = gr.HTML(
                page_html.examples_html(examples), js_on_load=script("pick.js"), elem_id="compare-cards", **PLAIN
            )
            with gr.Row(elem_classes="finder", visible=bool(corpora)):
                corpus = gr.Dropdown(
                    corpora, show_label=False, label="Corpus", container=False, filterable=False, min_width=140,
                    visible=len(corpora) > 1, elem_id="compare-corpus",
                )  # fmt: skip
                words = gr.Textbox(
                    show_label=False, label="Words in the clip", placeholder="Find a clip by its words, press Enter",
                    container=False, max_lines=1, scale=4, min_width=160, elem_id="compare-words",
                )  # fmt: skip
                others = gr.Button("Other clips", size="sm", scale=1, min_width=100, elem_id="compare-others")
        with gr.Column(scale=4, min_width=280, elem_classes="way"):
            gr.HTML('<h2>Or your own voice</h2><p class="hint">Record and stop, or drop an audio file.</p>', **PLAIN)
            recorder = gr.Audio(
                sources=["microphone"], type="filepath", show_label=False, label="Microphone",
                elem_id="compare-recorder", elem_classes="recorder", buttons=[], editable=False,
            )  # fmt: skip
            upload = gr.File(
                file_types=AUDIO_TYPES, type="filepath", show_label=False, label="Audio file",
                elem_id="compare-upload", elem_classes="upload", height=84,
            )  # fmt: skip
    return Ways(gr.State(list(examples)), corpus, words, others, cards, recorder, upload)


def _panel(services: Services) -> LanesPanel:
    lanes = clip_handlers.preset(services)
    readings = clip_handlers.readings(_models(services, []))
    values: list[Any] = []
    rows = []
    gr.HTML(
        '<h2>Lanes</h2><p class="hint">Each lane is one way to turn the clip into text. A change is heard at once.</p>',
        **PLAIN,
    )
    for at, lane in enumerate(lanes):
        with gr.Column(visible=at < START, elem_classes="lane-row") as row:
            gr.HTML(run_mark(at, LETTERS[at]), **PLAIN)
            values.append(
                decoder_panel.checkpoint_list(
                    services,
                    lane.checkpoint,
                    f"Lane {LETTERS[at]}: checkpoint",
                    show_label=False,
                    container=False,
                    elem_id=f"lane-{at}-checkpoint",
                )  # fmt: skip
            )
            values.append(
                gr.Dropdown(
                    readings,
                    value=lane.reading,
                    label=f"Lane {LETTERS[at]}: how its text is found",
                    show_label=False,
                    container=False,
                    filterable=False,
                    elem_id=f"lane-{at}-reading",
                )  # fmt: skip
            )
        rows.append(row)
    with gr.Row(elem_classes="lane-buttons"):
        more = gr.Button("Add a lane", size="sm", elem_id="lane-more", min_width=100)
        fewer = gr.Button("Remove the last", size="sm", elem_id="lane-fewer", min_width=100, interactive=False)
    return LanesPanel(values, rows, gr.State(START), more, fewer)


def _wire(
    services: Services,
    ways: Ways,
    panel: LanesPanel,
    resized: Sequence[gr.events.Dependency],
    now: gr.State,
    result: gr.HTML,
    player: gr.Audio,
) -> None:
    """A clip or another lane -> waiting cards at once, then lane after lane. resized: events that change how many.

    Who chooses something else while lanes run gets that: what runs ends, and does not write to the page any more.
    """
    costs = clip_handlers.Costs()
    latest: Shelf[str] = Shelf(VISITS)

    def show(found: Comparison) -> str:
        titles = [clip_handlers.titles(services, heard.lane) for heard in found.lanes]
        return clip_html.comparison_html(found, clip_handlers.laid(services, found), titles)

    def begin(request: gr.Request, take: Take, count: int, values: Sequence[Any]) -> Comparison:
        begun = clip_handlers.begin(services, take, clip_handlers.chosen(values, count))
        latest.put(str(request.session_hash), begun.serial)
        return begun

    def start(request: gr.Request, take: Take, count: int, values: Sequence[Any]) -> tuple[Any, ...]:
        sound = audio_of(services, take)
        begun = begin(request, take, count, values)
        return begun, show(begun), gr.update(value=sound, visible=True)

    def from_card(
        event: gr.EventData, request: gr.Request, shown: list[Example], count: int, *values: Any
    ) -> tuple[Any, ...]:
        return start(request, clip_handlers.take_of(picked(shown, event._data)), count, values)

    def from_recorder(request: gr.Request, path: str | None, count: int, *values: Any) -> tuple[Any, ...]:
        if path is None:
            return gr.skip(), gr.skip(), gr.skip()
        return start(request, Take(path, "Recording", own=True), count, values)

    def from_upload(request: gr.Request, path: str, count: int, *values: Any) -> tuple[Any, ...]:
        return start(request, Take(path, Path(path).name, own=True), count, values)

    def again(request: gr.Request, before: Comparison, count: int, *values: Any) -> tuple[Any, ...]:
        if before.take is None:
            return gr.skip(), gr.skip()
        begun = begin(request, before.take, count, values)
        return begun, show(begun)

    def run(request: gr.Request, begun: Comparison, progress: gr.Progress = PROGRESS) -> Iterator[str]:
        def wanted() -> bool:
            return latest.get(str(request.session_hash)) in (begun.serial, None)

        for found in clip_handlers.compare(services, begun, costs, reporter(progress), wanted):
            yield show(found)

    common: dict[str, Any] = {
        "outputs": [now, result, player], "show_progress": "hidden", "trigger_mode": "always_last", **PRIVATE
    }  # fmt: skip
    started = [
        ways.cards.click(told(from_card), [ways.shown, panel.count, *panel.values], **common),
        ways.recorder.stop_recording(told(from_recorder), [ways.recorder, panel.count, *panel.values], **common),
        ways.upload.upload(told(from_upload), [ways.upload, panel.count, *panel.values], **common),
    ]
    call: dict[str, Any] = {
        "fn": told(again), "inputs": [now, panel.count, *panel.values], "outputs": [now, result],
        "show_progress": "hidden", "trigger_mode": "always_last", **PRIVATE,
    }  # fmt: skip
    started += [gr.on([value.input for value in panel.values], **call), *(event.success(**call) for event in resized)]
    for event in started:
        event.success(run, now, result, show_progress="hidden", trigger_mode="always_last", **MODEL, **PRIVATE)


def audio_of(services: Services, take: Take) -> bytes | str:
    """What the player plays: the samples that the lanes hear, or the file itself when it is long."""
    from asrdemo.audio import encode_wav

    clip = services.clip(take.path, take.name)
    return take.path if clip.duration > PLAYER_WAV_S else encode_wav(clip)


def _models(services: Services, own: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Titles and ids of language models, as Transcribe lists them."""
    return [(title, id_) for title, id_ in decoder_panel.language_models(services, own) if id_]


def _wire_panel(services: Services, panel: LanesPanel, own: gr.State) -> list[gr.events.Dependency]:
    """More lanes and fewer; returns both events. What the visitor builds joins the list of every lane."""

    def resize(count: int, step: int) -> tuple[Any, ...]:
        count = min(max(count + step, LEAST), MOST)
        rows = [gr.update(visible=at < count) for at in range(MOST)]
        return count, gr.update(interactive=count < MOST), gr.update(interactive=count > LEAST), *rows

    def listed(mine: list[tuple[str, str]]) -> list[Any]:
        return [gr.Dropdown(choices=clip_handlers.readings(_models(services, mine))) for _ in panel.rows]

    own.change(listed, own, panel.values[1::2], **QUIET)
    outputs = [panel.count, panel.more, panel.fewer, *panel.rows]
    return [
        panel.more.click(lambda count: resize(count, 1), panel.count, outputs, **QUIET),
        panel.fewer.click(lambda count: resize(count, -1), panel.count, outputs, **QUIET),
    ]


def _wire_search(services: Services, ways: Ways) -> None:
    """Words, another corpus or "Other clips" -> other cards."""
    opened: Shelf[clip_handlers.Sentences] = Shelf(1)

    def search(corpus: str, words: str) -> tuple[list[Example], str]:
        known = opened.get(corpus)
        if known is None:
            known = clip_handlers.sentences(services, corpus)
            opened.put(corpus, known)
        found = clip_handlers.find(known, words, SHOWN, secrets.randbits(31))
        none = '<p class="hint">No clip has these words. Try fewer, or others.</p>'
        return found, page_html.examples_html(found) if found else none

    gr.on(
        [ways.words.submit, ways.others.click, ways.corpus.input], told(search), [ways.corpus, ways.words],
        [ways.shown, ways.cards], show_progress="minimal", show_progress_on=ways.cards, **PRIVATE,
    )  # fmt: skip
