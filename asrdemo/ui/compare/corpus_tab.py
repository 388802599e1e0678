"""Whole results against each other: layout and wiring. What happens on an event is in corpus_handlers.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.text import profile
from asrdemo.ui.compare import corpus_handlers, corpus_html, list_html
from asrdemo.ui.compare.corpus_handlers import BY, TABLES, View
from asrdemo.ui.page_html import downloads_html
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, PRIVATE, told
from evals.report.findings import labels

CALL: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "undocumented"}


@dataclass(frozen=True)
class Parts:
    """The components. view, cell: states, what is looked at and which clips are listed; link: the address that the
    visitor came with, once; where: the filter, sent by a script."""

    view: gr.State
    cell: gr.State
    link: gr.Textbox
    where: gr.Textbox
    results: gr.Dropdown
    base: gr.Dropdown
    by: gr.Dropdown
    bar: gr.HTML
    figures: gr.HTML
    player: gr.Audio
    clips: gr.HTML
    downloads: gr.HTML


def build(services: Services, tab: gr.Tab) -> None:
    """Lay out and wire. Results are read when the tab is chosen, so that the first page stays quick."""
    with gr.Column(elem_id="whole-corpus", elem_classes="filtered"):
        parts = _lay_out()
    _wire(services, tab, parts)
    _wire_clips(services, parts)


def _lay_out() -> Parts:
    with gr.Row(elem_classes="compare-choice"):
        results = gr.Dropdown(
            [], multiselect=True, label="Results to compare (2 to 6, of the same clips)",
            max_choices=corpus_handlers.MOST,
            scale=6, min_width=280, elem_id="corpus-results",
        )  # fmt: skip
        base = gr.Dropdown([], label="Baseline", filterable=False, scale=2, min_width=180, elem_id="corpus-base")
        by = gr.Dropdown(
            [(title[:1].upper() + title[1:], name) for name, title in BY.items()], value=View.by, label="Look by",
            filterable=False, scale=2, min_width=180, elem_id="corpus-by",
        )  # fmt: skip
    bar = gr.HTML("", js_on_load=script("compare_bar.js"), elem_id="corpus-bar", **PLAIN)
    figures = gr.HTML(
        corpus_html.LOADING,
        js_on_load=script("compare.js"),
        elem_id="corpus-figures",
        elem_classes="sheet",
        **PLAIN,
    )
    downloads = gr.HTML(
        {},
        html_template=downloads_html(TABLES, "tables"),
        js_on_load=script("download.js"),
        elem_id="corpus-downloads",
        **PLAIN,
    )
    player = gr.Audio(
        interactive=False, show_label=False, label="The clip", elem_id="corpus-player", buttons=[], visible=False,
        autoplay=True, waveform_options=gr.WaveformOptions("#9aa9b8", "#2a78b5"),
    )  # fmt: skip
    clips = gr.HTML("", js_on_load=script("compare.js"), elem_id="corpus-clips", elem_classes="sheet", **PLAIN)
    link, where = gr.Textbox(visible=False, label="address"), gr.Textbox(visible=False, label="filter")
    states = gr.State(View()), gr.State(None)
    return Parts(*states, link, where, results, base, by, bar, figures, player, clips, downloads)


def _wire(services: Services, tab: gr.Tab, p: Parts) -> None:
    """Another choice, another filter, or a click on a figure -> everything anew.

    The filter is kept by the browser (static/compare_link.js), which sends it along; the bar is drawn anew with other
    results only, for somebody may be typing in it.
    """
    outputs = [p.view, p.cell, p.results, p.base, p.by, p.bar, p.figures, p.clips]

    def shown(view: View, before: View | None = None) -> list[Any]:
        asked = view.names
        view, gone = corpus_handlers.there(services, view)
        names = list(view.names)
        same = before is not None and before.names == asked == view.names
        bar = gr.skip() if same else _bar(services, view)
        results = gr.skip() if same else gr.Dropdown(corpus_handlers.choices(services), value=names)
        bases = gr.Dropdown(corpus_handlers.bases(services, view), value=view.base)
        return [view, None, results, bases, view.by, bar, *_html(services, view, gone)]

    def opened(view: View, link: str) -> list[Any]:
        asked = corpus_handlers.of_address(link or "")
        return shown(asked if asked.names else view if view.names else corpus_handlers.preset(services))

    def changed(view: View, names: list[str], base: str, by: str, where: str) -> list[Any]:
        chosen = corpus_handlers.names_of(names)
        kept = where if chosen == view.names else ""  # other results may have other columns
        return shown(View(chosen, base or "", view.against, by, kept), view)

    def clicked(event: gr.EventData, view: View) -> list[Any]:
        cell = corpus_handlers.cell_of(event._data)
        if cell is None:
            return shown(corpus_handlers.asked(view, event._data), view)
        values: list[Any] = [gr.skip()] * len(outputs)
        values[1], values[-1] = cell, _clips(services, view, cell, 0)
        return values

    tab.select(
        told(opened), [p.view, p.link], outputs, api_name="compare_open",
        js="(view) => [view, window.asrdemoCompare.asked()]", **CALL,
    )  # fmt: skip
    gr.on(
        [p.results.input, p.base.input, p.by.input, p.bar.click], told(changed),
        [p.view, p.results, p.base, p.by, p.where], outputs, show_progress_on=p.figures, trigger_mode="always_last",
        api_name="compare_change", js="(...values) => [...values.slice(0, 4), window.asrdemoCompare.filter()]", **CALL,
    )  # fmt: skip
    p.figures.click(told(clicked), p.view, outputs, show_progress_on=p.figures, **{**CALL, **PRIVATE})


def _bar(services: Services, view: View) -> str:
    """The filter bar of these results."""
    labels = [label for label, _ in corpus_handlers.bases(services, view)]
    return corpus_html.bar_html(corpus_handlers.offered(services, view), view, labels)


def _html(services: Services, view: View, gone: tuple[str, ...] = ()) -> tuple[str, str]:
    """Figures and list of clips; where the results cannot be compared, why. gone: results that are not there."""
    note = corpus_html.gone_html(gone)
    if not view.names:
        return note + corpus_html.EMPTY, ""
    try:
        figures = corpus_html.figures_html(corpus_handlers.figures(services, view))
    except AsrDemoError as error:
        return note + corpus_html.unlike_html(corpus_handlers.why_not(services, view, str(error))), ""
    return note + figures, _clips(services, view, None, 0)


def _clips(services: Services, view: View, cell: tuple[int, int] | None, start: int) -> str:
    scored = services.results.scored(view.names)
    name = scored.results[0].info["pins"]["normaliser"].get("profile", "default")
    return list_html.list_html(
        corpus_handlers.clip_list(services, view, cell, start), labels(scored.results), profile(name).by_character
    )


def _wire_clips(services: Services, p: Parts) -> None:
    """Playing a clip of the list, turning its pages, downloads."""

    def clicked(event: gr.EventData, view: View, cell: tuple[int, int] | None) -> tuple[Any, ...]:
        data = event._data if isinstance(event._data, dict) else {}
        if isinstance(start := data.get("start"), int):
            return gr.skip(), _clips(services, view, cell, start)
        position = data.get("play")
        if not isinstance(position, int):
            return gr.skip(), gr.skip()
        return gr.update(value=corpus_handlers.audio(services, view, position), visible=True), gr.skip()

    def download(event: gr.EventData, view: View) -> dict[str, str]:
        return corpus_handlers.download(services, view, str((event._data or {}).get("format")))

    p.clips.click(told(clicked), [p.view, p.cell], [p.player, p.clips], show_progress="hidden", **PRIVATE)
    p.downloads.click(told(download), p.view, p.downloads, show_progress="hidden", **PRIVATE)
