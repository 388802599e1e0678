"""Checkpoint list and decoder settings: layout, and what keeps their values together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import gradio as gr

from asrdemo.types import DECODER_RANGES
from asrdemo.ui.services import Services, availability, first_checkpoint
from asrdemo.ui.transcribe.handlers import Choice
from asrdemo.ui.wiring import PRIVATE, QUIET, forgiving, told

NO_LM = ("No language model", "")
NAMES = tuple(f.name for f in fields(Choice))
LISTED = "checkpoint-list"  # class of every list that offers the checkpoints


@dataclass(frozen=True)
class Panel:
    """The components. values: those of a Choice, in its order; beam_only: what greedy decoding has no use for."""

    values: list[Any]
    beam_only: gr.Column

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(name)
        return self.values[NAMES.index(name)]

    @property
    def sliders(self) -> list[gr.Slider]:
        """Every slider; moving one decodes again."""
        return [c for c in self.values if isinstance(c, gr.Slider)]


def checkpoints(services: Services) -> list[tuple[str, str]]:
    """Titles and ids for the list; what cannot be used without the network says so, and comes last."""
    here, elsewhere = [], []
    for spec in services.registry.checkpoints.values():
        if availability(spec)[0]:
            here.append((spec.title, spec.id))
        else:
            elsewhere.append((f"{spec.title} (needs the network)", spec.id))
    return here + elsewhere


def checkpoint_list(services: Services, value: str, label: str = "Checkpoint", **more: Any) -> gr.Dropdown:
    """A list of the checkpoints, as short or long as it is now: `wire_lists` sees to that."""
    return gr.Dropdown(checkpoints(services), value=value, label=label, filterable=False, elem_classes=LISTED, **more)


def wire_lists(services: Services, page: gr.Blocks) -> None:
    """Whenever the page is loaded, its lists offer what is registered by then. One whose choice has gone goes back to
    the first; the others' are left alone, since `wire_memory` may set them at the same moment. Call it when the whole
    page is laid out."""
    lists = [block for block in page.blocks.values() if isinstance(block, gr.Dropdown) and LISTED in block.elem_classes]

    def fresh(*chosen: str | None) -> list[dict[str, Any]]:
        offered = checkpoints(services)
        known, first = {id_ for _, id_ in offered}, first_checkpoint(services.registry)
        same, reset = gr.update(choices=offered), gr.update(choices=offered, value=first)
        return [same if id_ in known else reset for id_ in chosen]

    page.load(fresh, lists, lists, **QUIET)


def language_models(services: Services, own: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Titles and ids for the list: the visitor's own first, then the registry's."""
    listed = [(s.title, s.id) for s in services.registry.language_models.values()]
    kept = [(title, id_) for title, id_ in own or [] if id_ in services.registry.unlisted]
    return [NO_LM, *((f"{title} (yours)", id_) for title, id_ in kept), *listed]


def defaults(services: Services, checkpoint: str) -> Choice:
    """The panel's values that suit a checkpoint. Those of beam search are there even where greedy is the default."""
    beam = Choice.of(checkpoint, services.transcriber.defaults(checkpoint, "beam"))
    return replace(beam, kind=services.transcriber.defaults(checkpoint).kind)


def restored(services: Services, saved: object) -> Choice:
    """The choice kept in the visitor's browser, as far as it still makes sense here."""
    start = defaults(services, first_checkpoint(services.registry))
    if not isinstance(saved, dict) or saved.get("checkpoint") not in services.registry.checkpoints:
        return start
    start = defaults(services, saved["checkpoint"])
    kept = {n: saved[n] for n in NAMES if n in saved and isinstance(saved[n], type(getattr(start, n)) | int | float)}
    if kept.get("kind") not in ("greedy", "beam"):
        kept.pop("kind", None)
    if kept.get("lm") and kept["lm"] not in [id_ for _, id_ in language_models(services)]:
        kept["lm"] = start.lm
    if kept.keys() & {"hotwords", "lm"} and not all(isinstance(kept.get(n, ""), str) for n in ("hotwords", "lm")):
        return start
    return Choice(**{**{n: getattr(start, n) for n in NAMES}, **kept})


def build(services: Services) -> Panel:
    """Lay out the list and the collapsed panel."""
    start = defaults(services, first_checkpoint(services.registry))
    checkpoint = checkpoint_list(services, start.checkpoint, elem_id="checkpoint")
    with gr.Accordion("Decoder settings", open=False, elem_id="decoder"):
        kind = gr.Radio(
            [("Greedy", "greedy"), ("Beam search", "beam")], value=start.kind, label="Decoder", elem_id="kind",
            info="Beam search weighs several readings and can use a language model. Changes show at once.",
        )  # fmt: skip
        with gr.Column(visible=start.kind == "beam", elem_id="beam-only") as beam_only:
            lm = gr.Dropdown(language_models(services), value=start.lm, label="Language model", elem_id="lm")
            alpha, beta = lm_weights(start.alpha, start.beta)
            words = gr.Textbox(
                start.hotwords, label="Hotwords", placeholder="Ankara, Kadıköy", elem_id="hotwords",
                info="Names and terms to favour, separated by commas. Press Enter.",
            )  # fmt: skip
            weight = gr.Slider(
                *DECODER_RANGES["hotword_weight"], start.hotword_weight, step=0.5, label="Hotword weight"
            )
            with gr.Accordion("Search", open=False):
                width = gr.Slider(*DECODER_RANGES["beam_width"], start.beam_width, step=1, label="Beam width")
                unk = gr.Slider(
                    *DECODER_RANGES["unk_offset"], start.unk_offset, step=0.5, label="Offset for unknown words"
                )
                prune = gr.Slider(-50, -0.5, start.beam_prune, step=0.5, label="Drop readings this far below the best")
                token = gr.Slider(
                    -20, -0.5, start.token_prune, step=0.5, label="Skip letters below this log-probability"
                )
    sliders = [forgiving(slider) for slider in (weight, width, unk, prune, token)]
    values: list[Any] = [checkpoint, kind, lm, alpha, beta, words, *sliders]
    return Panel(values, beam_only)


def lm_weights(alpha: float, beta: float, prefix: str = "") -> tuple[gr.Slider, gr.Slider]:
    """Sliders for the weights of a language model. prefix: of their elem_id."""

    def slider(name: str, value: float, step: float, label: str) -> gr.Slider:
        return forgiving(gr.Slider(*DECODER_RANGES[name], value, step=step, label=label, elem_id=prefix + name))

    return (
        slider("alpha", alpha, 0.05, "Language model weight (alpha)"),
        slider("beta", beta, 0.1, "Bonus for each word (beta)"),
    )


def wire(panel: Panel, services: Services) -> gr.events.Dependency:
    """What the panel does to itself: a decoder or language model brings the settings that suit it.

    The returned event ends once the weights of a newly chosen language model are in place.
    """

    def show_beam(kind: str) -> dict[str, Any]:
        return gr.update(visible=kind == "beam")

    def weights(checkpoint: str, lm: str) -> tuple[float, float]:
        options = services.transcriber.defaults(checkpoint, "beam", lm or None)
        return options.alpha, options.beta

    panel.kind.change(show_beam, panel.kind, panel.beam_only, **QUIET)
    return panel.lm.input(told(weights), [panel.checkpoint, panel.lm], [panel.alpha, panel.beta], **QUIET)


def wire_memory(
    panel: Panel, services: Services, page: gr.Blocks, settled: Sequence[gr.events.Dependency] = ()
) -> None:
    """Keep the settings in the visitor's browser, and bring them back when the page is loaded again.

    settled: events that set values of the panel; what they set is kept too.
    """
    # The key only lets Gradio write the entry; nothing in it is secret, and it must outlive a restart
    memory = gr.BrowserState({}, storage_key="asrdemo-settings", secret="asrdemo")

    def restore(saved: object) -> list[Any]:
        choice = restored(services, saved)
        return [getattr(choice, name) for name in NAMES]

    page.load(restore, memory, panel.values, **PRIVATE, show_progress="hidden")
    as_dict = f"(...v) => Object.fromEntries({list(NAMES)}.map((name, i) => [name, v[i]]))"
    gr.on([c.input for c in panel.values], None, panel.values, memory, js=as_dict)
    for event in settled:
        event.then(None, panel.values, memory, js=as_dict)
