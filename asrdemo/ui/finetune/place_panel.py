"""Where a run trains: layout and wiring. See places.py.

Starting a job has a button and an endpoint of its own, which take the amount that was said: nothing that starts a run
on this machine can come to cost anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.ui.finetune import places
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.wiring import PLAIN

EVENT: dict[str, Any] = {"api_visibility": "undocumented", "show_progress": "hidden", "queue": False}
ASKING = '<p class="hint">Asking Hugging Face what it costs…</p>'


@dataclass(frozen=True)
class Panel:
    """The components. box: all that a job needs to know; note: what it may cost; dollars: that amount."""

    where: gr.Radio
    box: gr.Column
    flavour: gr.Dropdown
    minutes: gr.Number
    corpora: gr.Textbox
    note: gr.HTML
    dollars: gr.Number

    @property
    def asked(self) -> list[Any]:
        """What a job is asked for with."""
        return [self.flavour, self.minutes, self.corpora]


def build(desk: Desk) -> Panel:
    """Lay out the panel; nobody is asked for a price before it is opened."""
    with gr.Column(elem_id="finetune-place"):
        where = gr.Radio(
            list(places.PLACES), value=places.HERE, label="Where it trains", elem_id="finetune-where",
            visible=places.offered(desk.services.settings),
        )  # fmt: skip
        with gr.Column(visible=False, elem_id="finetune-jobs") as box:
            with gr.Row():
                choices, first = places.flavours()
                flavour = gr.Dropdown(
                    choices, value=first, label="Machine", filterable=False, elem_id="finetune-flavour", min_width=200,
                    scale=3, info="Memory of a GPU, and dollars an hour. The check finds out what fits.",
                )  # fmt: skip
                minutes = gr.Number(
                    None, label="Ended after (minutes)", minimum=0, elem_id="finetune-job-minutes", min_width=150,
                    scale=2, info="If left empty: the recipe's, and 30 to install and score.",
                )  # fmt: skip
            corpora = gr.Textbox(
                "", label="Corpora to mount, if any", max_lines=1, placeholder="hf://buckets/owner/name",
                elem_id="finetune-volume",
                info="What the recipe names is sent to a private repository of the token's owner, up to 4 GB. Put more "
                "into a bucket, name it here, and write $CORPUS_ROOT/... in the recipe.",
            )  # fmt: skip
            note = gr.HTML(ASKING, elem_id="finetune-job-note", **PLAIN)
    dollars = gr.Number(0, visible=False, label="dollars")
    return Panel(where, box, flavour, minutes, corpora, note, dollars)


def wire(
    panel: Panel,
    desk: Desk,
    start: gr.Button,
    rent: gr.Button,
    recipe: list[Any],
    moved: list[Callable[..., Any]],
    open_to: Callable[[Callable[..., list[Any]]], Callable[..., list[Any]]],
) -> None:
    """Wire the panel. start, rent: the buttons for here and for a job; recipe: its text, and whether warnings are
    overruled; moved: events after which another recipe may be there, or a check of it."""

    def placed(profile: gr.OAuthProfile | None, where: str, minutes: float | None) -> list[Any]:
        far = where == places.JOBS
        emptied = gr.skip() if minutes else gr.Number(value=None)  # Gradio begins a number with 0
        return [gr.Column(visible=far), gr.Button(visible=not far), gr.Button(visible=far), emptied]

    def asking(settle: bool) -> Callable[..., list[Any]]:
        def quoted(
            profile: gr.OAuthProfile | None,
            text: str,
            anyway: bool,
            where: str,
            flavour: str | None,
            minutes: float | None,
            corpora: str | None,
        ) -> list[Any]:
            if where != places.JOBS:
                return [gr.skip()] * 5
            now = places.look(desk, text, anyway, places.asked_for(flavour, minutes, corpora), settle=settle)
            label = now.quote.button if now.quote else "Start"
            return [
                gr.Dropdown(choices=now.flavours, value=now.flavour), gr.Number(placeholder=now.minutes), now.note,
                now.quote.dollars if now.quote else 0, gr.Button(label, interactive=now.can_start),
            ]  # fmt: skip

        return open_to(quoted)

    asked = [*recipe, panel.where, *panel.asked]
    answer = [panel.flavour, panel.minutes, panel.note, panel.dollars, rent]
    private = {**EVENT, "api_visibility": "private"}
    chosen = panel.where.input(
        open_to(placed), [panel.where, panel.minutes], [panel.box, start, rent, panel.minutes], **private
    )
    chosen.then(asking(settle=True), asked, answer, **private)
    gr.on(moved, asking(settle=True), asked, answer, trigger_mode="always_last", **private)
    gr.on(
        [panel.flavour.input, panel.minutes.input, panel.corpora.submit, panel.corpora.blur], asking(settle=False),
        asked, answer, trigger_mode="always_last", api_name="finetune_quote", **EVENT,
    )  # fmt: skip
