"""The Fine-tune page: layout and wiring. Make a recipe (recipe_panel.py), watch its run (runs_panel.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui.finetune import access, handlers, markup, recipe_panel, runs_panel
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.finetune.runs_panel import ADDRESS, named
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, told

OPENING = "(_, text) => [window.asrdemoFinetune.address(true), text]"


@dataclass(frozen=True)
class Page:
    """The components. closed: says to whom the page is closed, in place of `desk`."""

    address: gr.Textbox
    closed: gr.HTML
    desk: gr.Column
    views: gr.Tabs
    runs_tab: gr.Tab
    recipe: recipe_panel.Panel
    runs: runs_panel.Panel


def build(services: Services, page: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the page and wire it. tab: the one it is in; nothing is read before it is opened."""
    desk = Desk(services)
    with gr.Column(elem_id="finetune"):
        parts = _layout(desk)
    page.load(None, js=script("finetune.js"))
    _wire(desk, parts, page, tab)


def _layout(desk: Desk) -> Page:
    address = gr.Textbox(visible=False, label="address")
    closed = gr.HTML("", elem_id="finetune-closed", **PLAIN)
    if access.can_sign_in():
        gr.LoginButton(elem_id="finetune-login")
    with gr.Column(elem_id="finetune-desk") as column, gr.Tabs(elem_id="finetune-views") as views:
        with gr.Tab("Make a recipe", id="recipe"):
            recipe = recipe_panel.build(desk)
        with gr.Tab("Runs", id="runs") as runs_tab:
            runs = runs_panel.build()
    return Page(address, closed, column, views, runs_tab, recipe, runs)


def _wire(desk: Desk, p: Page, page: gr.Blocks, tab: gr.Tab) -> None:
    everything = [p.closed, p.desk, p.views, p.recipe.source, p.recipe.note, *p.recipe.shown, *p.runs.shown]

    def opened(profile: gr.OAuthProfile | None, address: str, text: str) -> list[Any]:
        try:
            access.check(desk.services.settings, profile)
        except access.ClosedError as error:
            why = markup.closed_html(str(error)) + markup.sign_in_note()
            return [why, gr.Column(visible=False), *([gr.skip()] * (len(everything) - 2))]
        made = _recipe(desk, address, text)
        view = gr.Tabs(selected="runs") if named(address) else gr.Tabs(selected="recipe") if made.asked else gr.skip()
        sources = handlers.sources(desk)
        source = gr.Dropdown(choices=sources, value=made.source) if made.text else gr.Dropdown(choices=sources)
        note = made.note if made.text else gr.skip()
        recipe = recipe_panel.values(desk, made.text) if made.text else [gr.skip()] * len(p.recipe.shown)
        return ["", gr.Column(visible=True), view, source, note, *recipe, *runs_panel.values(desk, address, {})]

    def cloned(profile: gr.OAuthProfile | None, address: str) -> list[Any]:
        source = f"run:{named(address)}"
        recipe = recipe_panel.values(desk, handlers.opened(desk, source))
        chosen = gr.Dropdown(choices=handlers.sources(desk), value=source)
        return [gr.Tabs(selected="recipe"), chosen, "", *recipe]

    tab.select(
        told(opened), [p.address, p.recipe.code], everything, js=OPENING,
        api_name="finetune_opened", api_visibility="undocumented", queue=False, show_progress="hidden",
    )  # fmt: skip
    started = recipe_panel.wire(p.recipe, desk)
    started.success(None, p.recipe.made, js="(name) => window.asrdemoFinetune.started(name)")
    clone = runs_panel.wire(p.runs, desk, p.runs_tab, p.address, page)
    clone(
        told(access.guarded(desk.services.settings, cloned)), p.address,
        [p.views, p.recipe.source, p.recipe.note, *p.recipe.shown], js=ADDRESS, api_visibility="private", queue=False,
        show_progress="hidden",
    )  # fmt: skip


@dataclass(frozen=True)
class _Filled:
    """What the recipe is filled in with: text "" leaves it as it is. asked: whether the address names a slice."""

    text: str = ""
    note: str = ""
    source: str | None = None
    asked: bool = False


def _recipe(desk: Desk, address: str, text: str) -> _Filled:
    """A slice's recipe where the address names one, the first recipe where there is none yet."""
    try:
        sliced, note = handlers.from_slice(desk, address)
    except AsrDemoError as error:
        note = markup.problem(f"The recipe could not be filled in from Error analysis. {error}")
        return _Filled(handlers.opened(desk, handlers.FIRST), note, handlers.FIRST, True)
    if sliced:
        return _Filled(sliced, note, None, True)
    return _Filled() if text else _Filled(handlers.opened(desk, handlers.FIRST), "", handlers.FIRST)
