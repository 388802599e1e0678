"""Watching runs: layout and wiring. See run_handlers.py.

The browser asks how it goes every two seconds, only while something runs and the list is in view
(static/finetune_runs.js); what has not changed since is not sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui import decoder_panel
from asrdemo.ui.finetune import access, outcome, run_handlers
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, told

ADDRESS = "() => window.asrdemoFinetune.address()"
WITH_SEEN = "(_, seen) => [window.asrdemoFinetune.address(), seen]"
EVENT: dict[str, Any] = {"api_visibility": "undocumented", "show_progress": "hidden", "queue": False, "js": WITH_SEEN}
PARTS = ("listed", "head", "curves", "scores", "samples", "log", "command")
ACTS = {
    "stop": "can_stop",
    "resume": "can_resume",
    "clone": "can_clone",
    "register": "can_register",
    "evaluate": "can_evaluate",
    "card": "has_card",
}
"""Buttons, and what of a Watch says whether each makes sense."""

Seen = dict[str, str]


@dataclass(frozen=True)
class Panel:
    """The components. seen: fingerprints of what the browser has; text: of a card to save."""

    listed: gr.HTML
    parts: list[Any]
    buttons: dict[str, gr.Button]
    seen: gr.State
    text: gr.JSON

    @property
    def shown(self) -> list[Any]:
        return [*self.parts, *self.buttons.values(), self.seen]


def build() -> Panel:
    """Lay out the panel; nothing is read before it is opened."""
    with gr.Row(elem_id="finetune-runs"):
        with gr.Column(scale=4, min_width=300):
            listed = gr.HTML("", elem_id="finetune-list", js_on_load=script("finetune_runs.js"), **PLAIN)
        with gr.Column(scale=7, min_width=320):
            head = gr.HTML("", elem_id="finetune-head", **PLAIN)
            with gr.Row(elem_id="finetune-acts"):
                buttons = {
                    "stop": _button("Stop", "stop"),
                    "resume": _button("Go on", "resume"),
                    "register": _button("Use it in every tab", "register"),
                    "evaluate": _button("Evaluate beside its base", "evaluate"),
                    "clone": _button("Clone with changes", "clone"),
                    "card": _button("Download model card", "card"),
                }
    curves = gr.HTML("", elem_id="finetune-curves", **PLAIN)
    scores = gr.HTML("", elem_id="finetune-scores", **PLAIN)
    samples = gr.HTML("", elem_id="finetune-samples", **PLAIN)
    with gr.Accordion("What it printed", open=False, elem_id="finetune-log"):
        log = gr.HTML("", **PLAIN)
    with gr.Accordion("The same on the command line", open=False, elem_id="finetune-command"):
        command = gr.Textbox(label="Command", lines=2, max_lines=6, interactive=False, buttons=["copy"])
    text = gr.JSON(visible=False, label="file")
    ordered = {name: buttons[name] for name in ACTS}
    return Panel(listed, [listed, head, curves, scores, samples, log, command], ordered, gr.State({}), text)


def _button(label: str, name: str, **more: Any) -> gr.Button:
    return gr.Button(label, visible=False, min_width=110, elem_id=f"finetune-{name}", **more)


def values(desk: Desk, address: str, seen: Seen, problem: str = "") -> list[Any]:
    """For Panel.shown: what has changed since `seen`."""
    now = run_handlers.watch(desk, named(address), problem)
    marks = {part: hashlib.sha256(getattr(now, part).encode()).hexdigest()[:12] for part in PARTS}
    parts = [gr.skip() if seen.get(part) == marks[part] else getattr(now, part) for part in PARTS]
    looks: dict[str, Literal["primary", "secondary"]] = {
        name: "primary" if name == now.next else "secondary" for name in ACTS
    }
    states = {name: f"{getattr(now, flag)} {looks[name]}" for name, flag in ACTS.items()}
    buttons = [
        gr.skip() if seen.get(name) == states[name] else gr.Button(visible=getattr(now, flag), variant=looks[name])
        for name, flag in ACTS.items()
    ]
    return [*parts, *buttons, marks | states]


def named(address: str) -> str:
    """The run that an address opens, "" for none."""
    return parse_qs(address.removeprefix("?")).get("run", [""])[0]


def wire(panel: Panel, desk: Desk, tab: gr.Tab, address: gr.Textbox, page: gr.Blocks) -> Any:
    """Wire the panel. tab: the view it is in. Returns the click on `clone`, to be wired by the page."""
    inputs = [address, panel.seen]

    def open_to(handler: Callable[..., Any]) -> Callable[..., Any]:
        return told(access.guarded(desk.services.settings, handler))

    def look(profile: gr.OAuthProfile | None, address: str, seen: Seen) -> list[Any]:
        return values(desk, address, seen or {})

    def tried(act: Callable[[Desk, str], object]) -> Callable[..., list[Any]]:
        """What goes wrong is said where the run is shown."""

        def attempt(profile: gr.OAuthProfile | None, address: str, seen: Seen) -> list[Any]:
            try:
                act(desk, named(address))
            except AsrDemoError as error:
                return values(desk, address, seen or {}, str(error))
            return values(desk, address, seen or {})

        return open_to(attempt)

    def card(profile: gr.OAuthProfile | None, address: str) -> dict[str, str]:
        name = named(address)
        return {"name": f"{name}.md", "text": run_handlers.card(desk, name)}

    tab.select(open_to(look), inputs, panel.shown, **{**EVENT, "api_visibility": "private"})
    panel.listed.open(open_to(look), inputs, panel.shown, api_name="finetune_look", **EVENT)
    panel.listed.look(open_to(look), inputs, panel.shown, **{**EVENT, "api_visibility": "private"})
    acts: dict[str, Callable[[Desk, str], object]] = {
        "stop": run_handlers.stop, "resume": run_handlers.resume, "register": run_handlers.register,
        "evaluate": outcome.evaluate,
    }  # fmt: skip
    done = {
        name: panel.buttons[name].click(tried(act), inputs, panel.shown, api_name=f"finetune_{name}", **EVENT)
        for name, act in acts.items()
    }
    lists = [b for b in page.blocks.values() if isinstance(b, gr.Dropdown) and decoder_panel.LISTED in b.elem_classes]
    fresh = lambda: [gr.update(choices=decoder_panel.checkpoints(desk.services)) for _ in lists]  # noqa: E731
    done["register"].success(fresh, None, lists, api_visibility="private", queue=False, show_progress="hidden")
    saved = panel.buttons["card"].click(
        open_to(card), address, panel.text, api_name="finetune_card", **{**EVENT, "js": ADDRESS}
    )
    saved.success(None, panel.text, js="(file) => window.asrdemoFinetune.save(file)")
    return panel.buttons["clone"].click
