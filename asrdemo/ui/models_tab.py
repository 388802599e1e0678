"""The Checkpoints page: what models.yaml lists, and what of it can be used now."""

from __future__ import annotations

import gradio as gr

from asrdemo.ui import page_html
from asrdemo.ui.services import Services, availability
from asrdemo.ui.wiring import PLAIN, QUIET

ABOUT_CHECKPOINTS = (
    "What hears speech and writes letters. Those that need the network are fetched from the Hugging Face Hub at first "
    "use, which may take minutes."
)
ABOUT_MODELS = "What beam search knows about words and their order. Build your own from text on the Transcribe page."
ABOUT_CORPORA = "Recordings with the text that was read, to measure by."


def build(services: Services, page: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the page; the tables are made when it is loaded, and whenever `tab`, which it is in, is opened."""
    tables = gr.HTML(tables_html(services), elem_id="registry", **PLAIN)
    for event in (page.load, tab.select):
        event(lambda: tables_html(services), None, tables, **QUIET)


def tables_html(services: Services) -> str:
    """Checkpoints, language models and corpora of the registry."""
    registry, state = services.registry, page_html.availability_html
    found = sorted(((s, availability(s)) for s in registry.checkpoints.values()), key=lambda pair: not pair[1][0])
    checkpoints = [(s.id, s.title, s.language, state(*at_hand), s.note) for s, at_hand in found]
    models = [
        (s.id, s.title, s.language, state(*_local(s.path is not None)), s.note)
        for s in registry.language_models.values()
    ]
    corpora = [(s.id, s.title, s.language, state(True, "on this machine"), s.note) for s in registry.corpora.values()]
    return (
        page_html.registry_html("Checkpoints", ABOUT_CHECKPOINTS, checkpoints)
        + page_html.registry_html("Language models", ABOUT_MODELS, models)
        + page_html.registry_html("Corpora", ABOUT_CORPORA, corpora)
    )


def _local(here: bool) -> tuple[bool, str]:
    return here, "on this machine" if here else "on the Hugging Face Hub"
