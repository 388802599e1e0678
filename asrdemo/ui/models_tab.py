"""The Checkpoints page: what models.yaml lists, and what of it can be used now."""

from __future__ import annotations

import gradio as gr

from asrdemo.ui import page_html
from asrdemo.ui.services import Services, availability
from asrdemo.ui.wiring import PLAIN, QUIET

ABOUT_CHECKPOINTS = (
    "Acoustic models. Those on the Hugging Face Hub are downloaded at first use, and only as safetensors."
)
ABOUT_MODELS = "N-gram language models for beam search. More can be built from text on the Transcribe page."
ABOUT_CORPORA = "Speech with reference texts, in Common Voice layout."


def build(services: Services, page: gr.Blocks) -> None:
    """Lay out the page; the tables are made when it is loaded."""
    tables = gr.HTML(tables_html(services), elem_id="registry", **PLAIN)
    page.load(lambda: tables_html(services), None, tables, **QUIET)


def tables_html(services: Services) -> str:
    """Checkpoints, language models and corpora of the registry."""
    registry, state = services.registry, page_html.availability_html
    checkpoints = [(s.id, s.title, s.language, state(*availability(s)), s.note) for s in registry.checkpoints.values()]
    models = [
        (s.id, s.title, s.language, state(*_local(s.path is not None)), s.note)
        for s in registry.language_models.values()
    ]
    corpora = [(s.id, s.title, s.language, state(True, "in a local folder"), s.note) for s in registry.corpora.values()]
    return (
        page_html.registry_html("Checkpoints", ABOUT_CHECKPOINTS, checkpoints)
        + page_html.registry_html("Language models", ABOUT_MODELS, models)
        + page_html.registry_html("Corpora", ABOUT_CORPORA, corpora)
    )


def _local(here: bool) -> tuple[bool, str]:
    return here, "a local file" if here else "on the Hugging Face Hub"
