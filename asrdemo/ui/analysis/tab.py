"""The Error analysis page: layout and wiring. What happens on an event is in handlers.py.

Every event takes one thing, the page's address, which the browser keeps (static/analysis.js): so each can be called by
a program as well. Parts that are not in view are left as they are; they are made when their tab is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui.analysis import clips_handlers, evaluate_panel, export, findings_html, handlers, markup
from asrdemo.ui.analysis.handlers import Desk, Look
from asrdemo.ui.analysis.state import VIEWS
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, PRIVATE, reporter, told

ADDRESS = "() => window.asrdemoAnalysis.address()"
EVENT: dict[str, Any] = {"api_visibility": "undocumented", "show_progress": "hidden", "js": ADDRESS}
LATE = "(address) => window.asrdemoAnalysis.late(address)"
OPENED = "() => window.asrdemoAnalysis.look('{}')"
SLOW: dict[str, Any] = {"concurrency_id": "analysis", "concurrency_limit": 1}
CHOSEN = "() => window.asrdemoAnalysis.settled(true)"
SETTLED = "() => window.asrdemoAnalysis.settled()"
MARKED = "() => window.asrdemoAnalysis.marked()"
LAST: dict[str, Any] = {"trigger_mode": "always_last"}  # who clicks twice means the second; Gradio would drop it
PROGRESS = gr.Progress()  # a default argument; Gradio hands each call its own
SEARCHING = '<p class="waiting" role="status">Searching every combination of properties…</p>'
WAITING = '<p class="waiting" role="status">Working it out…</p>'
ABOVE = '<p class="waiting">Nothing to show; what to do about it stands above.</p>'
LATER = {"heat": ("where", ""), "worst": ("where", SEARCHING), "gaps": ("where", ""), "formatting": ("errors", WAITING)}
"""What is made after the first paint, the quick ones first: the view it is in, and what stands there until then."""


@dataclass(frozen=True)
class Page:
    """The components that show something; address, done: what to show, and of which address all is there."""

    address: gr.Textbox
    done: gr.Textbox
    bar: gr.HTML
    headline: gr.HTML
    views: gr.Tabs
    tabs: dict[str, gr.Tab]
    lead: gr.HTML
    charts: gr.HTML
    worst: gr.HTML
    heat: gr.HTML
    gaps: gr.HTML
    errors: gr.HTML
    formatting: gr.HTML
    clips: gr.HTML
    detail: gr.HTML
    file: gr.File
    run: evaluate_panel.Panel

    @property
    def shown(self) -> list[Any]:
        """What every change of the filter moves."""
        return [self.headline, self.lead, self.charts, self.errors, self.clips]

    @property
    def late(self) -> list[Any]:
        """What is made after the first paint, see LATER."""
        return [getattr(self, name) for name in LATER]


def build(services: Services, page: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the page and wire it. tab: the one it is in; nothing is computed before it is opened."""
    desk = Desk(services)
    with gr.Column(elem_id="analysis", elem_classes="filtered"):
        parts = _layout(services)
    page.load(None, js=script("analysis.js"))
    _wire(desk, parts, tab)
    _wire_clips(desk, parts)
    evaluate_panel.wire(
        parts.run, services, parts.tabs["run"].select, parts.bar, lambda address: handlers.frame(desk, address),
        parts.address, ADDRESS,
    )  # fmt: skip


def _layout(services: Services) -> Page:
    address, done = gr.Textbox(visible=False, label="address"), gr.Textbox(visible="hidden", label="done")
    bar = gr.HTML("", elem_id="analysis-bar", js_on_load=script("analysis_bar.js"), **PLAIN)
    headline = _part("headline", WAITING)
    tabs = {}
    with gr.Tabs(elem_id="analysis-views", overflow_behavior="wrap") as views:
        with gr.Tab(VIEWS["where"], id="where") as tabs["where"]:
            lead, charts = _part("lead"), _part("charts")
            worst, heat, gaps = _part("worst", SEARCHING), _part("heat"), _part("gaps")
        with gr.Tab(VIEWS["errors"], id="errors") as tabs["errors"]:
            errors, formatting = _part("errors", WAITING), _part("formatting")
        with gr.Tab(VIEWS["clips"], id="clips") as tabs["clips"]:
            table = _part("clips", WAITING)
        with gr.Tab(VIEWS["run"], id="run") as tabs["run"]:
            run = evaluate_panel.build(services)
    detail = _part("detail")
    file = gr.File(visible="hidden", label="saved file")
    return Page(
        address, done, bar, headline, views, tabs, lead, charts, worst, heat, gaps, errors, formatting, table, detail,
        file, run,
    )  # fmt: skip


def _part(name: str, start: str = "") -> gr.HTML:
    return gr.HTML(start, elem_id=f"analysis-{name}", **PLAIN)


def _wire(desk: Desk, p: Page, tab: gr.Tab) -> None:
    """Results, filter and views. Gradio's `on` knows no events of our own names, so each is wired by itself."""

    def show(address: str, request: gr.Request) -> list[Any]:
        return _shown(desk, address, request.session_hash or "")

    def choose(address: str, request: gr.Request) -> list[Any]:
        tabs = gr.Tabs(selected=handlers.viewed(address))
        return [handlers.frame(desk, address), tabs, _detail(desk, address), *show(address, request)]

    def deeper(address: str, request: gr.Request) -> Iterator[list[Any]]:
        yield from _deeper(desk, address, request.session_hash or "")

    def followed(event: Any, js: str = SETTLED, **named: Any) -> None:
        """After the first paint comes what takes longer."""
        late = event.then(None, js=js).then(
            deeper, p.address, [*p.late, p.done], **{**EVENT, **(named or PRIVATE)}, **SLOW
        )
        late.then(None, p.done, js=LATE)

    parts = [*p.shown, *p.late]
    framed = [p.bar, p.views, p.detail, *parts]
    followed(tab.select(choose, p.address, framed, **{**EVENT, **PRIVATE}), CHOSEN)
    followed(p.bar.choose(choose, p.address, framed, api_name="analysis_choose", **LAST, **EVENT), CHOSEN)
    followed(p.bar.show(show, p.address, parts, api_name="analysis_show", **LAST, **EVENT), api_name="analysis_deeper")
    for view, each in p.tabs.items():
        followed(each.select(show, p.address, parts, **{**EVENT, **PRIVATE, "js": OPENED.format(view)}, **LAST))


def _wire_clips(desk: Desk, p: Page) -> None:
    """Hearing and marking a clip, saving files."""

    def hear(address: str) -> str:
        return clips_handlers.detail(desk, handlers.look(desk, address))

    def mark(address: str) -> tuple[str, Any]:
        at = handlers.look(desk, address)
        clips_handlers.mark(desk, at)
        return clips_handlers.detail(desk, at), clips_handlers.table(desk, at) if at.view.view == "clips" else gr.skip()

    def save(address: str, progress: gr.Progress = PROGRESS) -> str:
        return str(export.save(desk, handlers.look(desk, address), reporter(progress)))

    p.bar.hear(told(hear), p.address, p.detail, api_name="analysis_hear", **LAST, **EVENT).then(None, js=SETTLED)
    p.bar.mark(told(mark), p.address, [p.detail, p.clips], **{**EVENT, **PRIVATE}).then(None, js=MARKED)
    saved = p.bar.save(
        told(save), p.address, p.file, api_name="analysis_save", **{**EVENT, "show_progress": "full"}, **SLOW,
        show_progress_on=p.headline,
    )  # fmt: skip
    saved.success(None, p.file, js="(file) => window.asrdemoAnalysis.download(file)")


def _shown(desk: Desk, address: str, visitor: str) -> list[Any]:
    """Values for Page.shown and Page.late: the headline and what is in view; a problem in place of them all.

    What is not in view stays as it is, but for other results or another filter: then it waits until it is opened. And
    all stays where the visitor has gone on meanwhile: what was asked for then is on its way.
    """
    skip = gr.skip()
    try:
        at = handlers.look(desk, address)
        fresh = handlers.went_on(desk, visitor, at.subject)
        view, away = at.view.view, WAITING if fresh else skip
        lead, charts = handlers.where(at) if view == "where" else (away, "" if fresh else skip)
        errors = clips_handlers.errors(at) if view == "errors" else away
        table = clips_handlers.table(desk, at) if view == "clips" else away
        late = [start if fresh and where != view else skip for where, start in LATER.values()]
        values = [handlers.headline(at), lead, charts, errors, table, *late]
    except AsrDemoError as error:
        handlers.went_on(desk, visitor, "")
        problem = markup.problem_html(str(error), filtered=handlers.showable(desk, address))
        return [problem, "", "", ABOVE, ABOVE, *[""] * len(LATER)]
    return [skip] * len(values) if handlers.moved_on(desk, visitor, at) else values


def _deeper(desk: Desk, address: str, visitor: str) -> Iterator[list[Any]]:
    """Values for Page.late and Page.done; nothing any more once the visitor has gone on to another filter. A part that
    cannot be made says so in its place."""
    skips = [gr.skip()] * len(LATER)
    try:
        at = handlers.look(desk, address)
    except AsrDemoError:  # said in the headline already
        yield [*skips, address]
        return
    makes: dict[str, Callable[[Desk, Look], str]] = {
        "heat": handlers.heat, "worst": handlers.worst, "gaps": handlers.gaps, "formatting": clips_handlers.formatting
    }  # fmt: skip
    for place, (name, (where, _)) in enumerate(LATER.items()):
        if where != at.view.view or handlers.moved_on(desk, visitor, at):
            continue
        try:
            made = makes[name](desk, at)
        except AsrDemoError as error:
            made = findings_html.trouble_html(name, str(error))
        if not handlers.moved_on(desk, visitor, at):
            yield [*skips[:place], made, *skips[place + 1 :], gr.skip()]
    yield [*skips, "" if handlers.moved_on(desk, visitor, at) else address]


def _detail(desk: Desk, address: str) -> str:
    """The clip that the address names, if these results have it."""
    try:
        return clips_handlers.detail(desk, handlers.look(desk, address))
    except AsrDemoError:
        return ""
