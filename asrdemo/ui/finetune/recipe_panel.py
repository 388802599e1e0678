"""Making, checking and starting a recipe: layout and wiring. See handlers.py.

The text is the recipe. Typing in it moves the form, and a change in the form rewrites the text; `input` events only,
so that the two do not answer each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.ui import decoder_panel, words
from asrdemo.ui.finetune import access, handlers, markup, place_panel, places
from asrdemo.ui.finetune.form import COLUMNS, Form, Offer
from asrdemo.ui.finetune.handlers import Desk, Shown
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN, reporter, told

PROGRESS = gr.Progress()  # a default argument; Gradio hands each call its own
MOST_KEPT = 300.0  # percent
FIELDS = ("name", "base", "corpus", "accents", "genders", "ages", "keep", "minutes", "mode")
EVENT: dict[str, Any] = {"api_visibility": "undocumented", "show_progress": "hidden", "queue": False}
CHECKING: dict[str, Any] = {
    "api_visibility": "undocumented",
    "concurrency_id": "finetune-check",
    "concurrency_limit": 1,
}
"""One check at a time: it prepares audio and runs the longest batch."""
_MODES = [("All weights", "full"), ("Output layer only", "head"), ("LoRA", "lora"), ("Adapters (MMS)", "adapter")]
_LABELS = {"accents": "Accents to learn", "genders": "Genders", "ages": "Ages"}


@dataclass(frozen=True)
class Panel:
    """The components. fields: of a Form, by name; made: the name of the run just started. place: where it trains, with
    `rent` in place of `start` for elsewhere."""

    source: gr.Dropdown
    note: gr.HTML
    fields: dict[str, Any]
    form_note: gr.HTML
    code: gr.Code
    verdict: gr.HTML
    check: gr.Button
    start: gr.Button
    anyway: gr.Checkbox
    report: gr.HTML
    made: gr.Textbox
    place: place_panel.Panel
    rent: gr.Button

    @property
    def shown(self) -> list[Any]:
        """What `values` gives: all that follows from the text."""
        return [self.code, *self.fields.values(), self.form_note, self.verdict, self.report, self.anyway, self.start]


def build(desk: Desk) -> Panel:
    """Lay out the panel; `wire` makes it work, and the page's opening fills it in."""
    with gr.Row(elem_id="finetune-recipe"):
        with gr.Column(scale=5, min_width=300, elem_classes="side"):
            source = gr.Dropdown(
                handlers.sources(desk), value=None, label="Start from", filterable=False, elem_id="finetune-source",
                info="A recipe, or an earlier run to change. Error analysis starts one from a slice.",
            )  # fmt: skip
            note = gr.HTML("", elem_id="finetune-note", **PLAIN)
            fields, form_note = _form(desk)
        with gr.Column(scale=6, min_width=300):
            code = gr.Code(
                "", language="yaml", label="The recipe", lines=18, max_lines=30, wrap_lines=True, buttons=["copy"],
                interactive=True, elem_id="finetune-yaml",
            )  # fmt: skip
            verdict = gr.HTML("", elem_id="finetune-verdict", **PLAIN)
            place = place_panel.build(desk)
            with gr.Row(elem_id="finetune-go"):
                check = gr.Button("Check", elem_id="finetune-check", min_width=120)
                start = gr.Button(
                    "Start", variant="primary", interactive=False, elem_id="finetune-start", min_width=120
                )
                rent = gr.Button(
                    "Start", variant="primary", interactive=False, visible=False, elem_id="finetune-rent", min_width=120
                )
            anyway = gr.Checkbox(label="Start although there are warnings", visible=False, elem_id="finetune-anyway")
            report = gr.HTML(
                markup.UNCHECKED, elem_id="finetune-report", js_on_load=script("finetune_report.js"), **PLAIN
            )
    made = gr.Textbox(visible=False, label="run")
    return Panel(source, note, fields, form_note, code, verdict, check, start, anyway, report, made, place, rent)


def _form(desk: Desk) -> tuple[dict[str, Any], gr.HTML]:
    checkpoints = decoder_panel.checkpoints(desk.services)
    corpora = [(spec.title, spec.id) for spec in desk.services.registry.corpora.values()]
    fields: dict[str, Any] = {
        "name": gr.Textbox(label="Name", max_lines=1, elem_id="finetune-name"),
        "base": gr.Dropdown(
            checkpoints, value=None, label="Base checkpoint", allow_custom_value=True, elem_id="finetune-base",
            info="One of the list, a folder, or hub:owner/name.",
        ),
        "corpus": gr.Dropdown(
            corpora, value=None, label="Corpus", allow_custom_value=True, elem_id="finetune-corpus",
            info="One of the list, or a folder in Common Voice layout.",
        ),
    }  # fmt: skip
    form_note = gr.HTML("", elem_id="finetune-form-note", **PLAIN)
    for name in COLUMNS:
        fields[name] = gr.Dropdown([], multiselect=True, label=_LABELS[name], elem_id=f"finetune-{name}")
    fields["keep"] = gr.Slider(
        0, MOST_KEPT, Form.keep, step=10, label="How much of the others to hear, %", elem_id="finetune-keep",
        info="How often a clip of all others comes up beside each of these, so that they are not forgotten.",
    )  # fmt: skip
    with gr.Row():
        fields["minutes"] = gr.Number(5, label="Minutes (0: no limit)", elem_id="finetune-minutes", min_width=110)
        fields["mode"] = gr.Dropdown(_MODES, value="full", label="What trains", filterable=False, min_width=150)
    return fields, form_note


def values(desk: Desk, text: str, anyway: bool = False, *, typed: str = "", problem: str = "") -> list[Any]:
    """For Panel.shown. typed: `code` or `form` where the visitor is typing there, which is then left alone. problem:
    why what was just asked for did not work."""
    now = handlers.show(desk, text, anyway)
    skip = gr.skip()
    fields = [skip] * len(FIELDS) if typed == "form" or now.form is None else _field_values(now)
    verdict = markup.verdict_wrong(problem) if problem and typed == "form" else now.verdict
    report = (markup.problem(problem) if typed != "form" else "") + (now.report or markup.UNCHECKED)
    return [
        skip if typed == "code" else text, *fields, markup.form_note(now.plain), verdict, report,
        gr.Checkbox(visible=now.may_anyway), gr.Button(interactive=now.can_start),
    ]  # fmt: skip


def _field_values(now: Shown) -> list[Any]:
    said = now.form or Form()
    return [
        gr.Dropdown(choices=_choices(now.offer, name, said), value=list(getattr(said, name))) if name in COLUMNS
        else getattr(said, name)
        for name in FIELDS
    ]  # fmt: skip


def _choices(offer: Offer, name: str, said: Form) -> list[tuple[str, str]]:
    there = [(f"{words.value(v) or 'not stated'} ({clips:,})", v) for v, clips in getattr(offer, name)]
    known = {value for _, value in there}
    return there + [(value, value) for value in getattr(said, name) if value not in known]


def wire(panel: Panel, desk: Desk) -> Any:
    """Wire the panel; returns the event after a run was started, whose name is in Panel.made then."""
    _wire_editing(panel, desk)

    def check(profile: gr.OAuthProfile | None, text: str, anyway: bool, progress: gr.Progress = PROGRESS) -> list[Any]:
        try:
            handlers.check(desk, text, reporter(progress))
        except AsrDemoError as error:
            return values(desk, text, anyway, typed="code", problem=str(error))
        return values(desk, text, anyway, typed="code")

    def started(text: str, anyway: bool, make: Callable[[], str]) -> list[Any]:
        try:
            made = make()
        except AsrDemoError as error:
            return ["", *values(desk, text, anyway, typed="code", problem=str(error))]
        return [made, *values(desk, text, anyway, typed="code")]

    def start(profile: gr.OAuthProfile | None, text: str, anyway: bool, source: str | None) -> list[Any]:
        parent = handlers.parent_of(source or "")
        return started(text, anyway, lambda: handlers.start(desk, text, anyway, parent, _who(profile)))

    def rent(
        profile: gr.OAuthProfile | None,
        text: str,
        anyway: bool,
        source: str | None,
        flavour: str | None,
        minutes: float | None,
        corpora: str | None,
        dollars: float | None,
    ) -> list[Any]:
        """dollars: what the visitor has agreed to by clicking on the button that said it."""
        job = places.asked_for(flavour, minutes, corpora)
        parent = handlers.parent_of(source or "")
        return started(text, anyway, lambda: places.start(desk, text, anyway, job, dollars or 0, parent, _who(profile)))

    panel.check.click(
        lambda: markup.CHECKING, None, panel.report, queue=False, show_progress="hidden", api_visibility="private"
    )
    panel.check.click(
        _open_to(desk, check), [panel.code, panel.anyway], panel.shown, api_name="finetune_check",
        show_progress_on=panel.report, **CHECKING,
    )  # fmt: skip
    far = panel.place
    place_panel.wire(
        far, desk, panel.start, panel.rent, [panel.code, panel.anyway],
        [panel.verdict.change, panel.report.change, panel.anyway.input], lambda handler: _open_to(desk, handler),
    )  # fmt: skip
    rented = panel.rent.click(
        _open_to(desk, rent), [panel.code, panel.anyway, panel.source, *far.asked, far.dollars],
        [panel.made, *panel.shown], api_name="finetune_start_job", **EVENT,
    )  # fmt: skip
    rented.success(None, panel.made, js="(name) => window.asrdemoFinetune.started(name)")
    return panel.start.click(
        _open_to(desk, start), [panel.code, panel.anyway, panel.source], [panel.made, *panel.shown],
        api_name="finetune_start", **EVENT,
    )  # fmt: skip


def _who(profile: gr.OAuthProfile | None) -> str:
    """Who asks, where there is a sign-in that can be trusted."""
    return profile.username if profile and access.space_owner() else ""


def _open_to(desk: Desk, handler: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The handler, for those to whom the page is open."""
    return told(access.guarded(desk.services.settings, handler))


def _wire_editing(panel: Panel, desk: Desk) -> None:
    """Text and form, one state."""

    def answer(make: Callable[[], list[Any]]) -> list[Any]:
        """What goes wrong is said below the text, where somebody is typing."""
        try:
            return make()
        except AsrDemoError as error:
            skips = [gr.skip()] * len(panel.shown)
            skips[panel.shown.index(panel.verdict)] = markup.verdict_wrong(str(error))
            return skips

    def opened(profile: gr.OAuthProfile | None, source: str) -> list[Any]:
        return [*answer(lambda: values(desk, handlers.opened(desk, source))), ""]

    def typed(profile: gr.OAuthProfile | None, text: str, anyway: bool) -> list[Any]:
        return values(desk, text, anyway, typed="code")

    def formed(profile: gr.OAuthProfile | None, text: str, anyway: bool, *fields: Any) -> list[Any]:
        def make() -> list[Any]:
            asked = handlers.as_form(dict(zip(FIELDS, fields, strict=True)))
            return values(desk, handlers.edited(desk, text, asked), anyway, typed="form")

        return answer(make)

    def moved(profile: gr.OAuthProfile | None, text: str, anyway: bool, *fields: Any) -> list[Any]:
        """Another corpus has other accents, and another base may have brought a language."""

        def make() -> list[Any]:
            asked = handlers.as_form(dict(zip(FIELDS, fields, strict=True)))
            return values(desk, handlers.edited(desk, text, asked), anyway)

        return answer(make)

    def mended(profile: gr.OAuthProfile | None, event: gr.EventData, text: str, anyway: bool) -> list[Any]:
        number = int((event._data or {}).get("fix", -1))
        return answer(lambda: values(desk, handlers.mended(desk, text, number), anyway))

    text = [panel.code, panel.anyway]
    panel.source.input(
        _open_to(desk, opened), panel.source, [*panel.shown, panel.note], api_name="finetune_open", **EVENT
    )
    panel.code.input(
        _open_to(desk, typed), text, panel.shown, trigger_mode="always_last", api_name="finetune_typed", **EVENT
    )
    panel.anyway.input(_open_to(desk, typed), text, panel.shown, **{**EVENT, "api_visibility": "private"})
    fields = list(panel.fields.values())
    others = [panel.fields[name] for name in FIELDS if name not in ("corpus", "base", "keep")]
    slid = [panel.fields["keep"].release, panel.fields["name"].blur, *(each.input for each in others)]
    gr.on(
        slid,
        _open_to(desk, formed),
        [*text, *fields],
        panel.shown,
        trigger_mode="always_last",
        api_name="finetune_form",
        **EVENT,
    )
    chosen = [panel.fields[name].input for name in ("corpus", "base")]
    gr.on(chosen, _open_to(desk, moved), [*text, *fields], panel.shown, trigger_mode="always_last", **EVENT)
    panel.report.fix(_open_to(desk, mended), text, panel.shown, **{**EVENT, "api_visibility": "private"})
