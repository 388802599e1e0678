"""The Compare page: one clip through several lanes, whole results against each other, and a blind vote."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from asrdemo.ui.compare import clip_tab, corpus_tab
from asrdemo.ui.examples import Example
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script
from asrdemo.ui.vote import tab as vote_tab


def build(services: Services, examples: Sequence[Example], page: gr.Blocks, own: gr.State) -> None:
    """Lay out the three parts and wire them. own: titles and ids of the language models that the visitor has built."""
    with gr.Tabs(elem_id="compare-parts"):
        with gr.Tab("One clip", id="compare-clip"):
            clip_tab.build(services, examples, own)
        with gr.Tab("Whole corpus", id="compare-corpus") as corpus:
            corpus_tab.build(services, corpus)
        with gr.Tab("Blind vote", id="compare-vote") as vote:
            vote_tab.build(services, vote)
    page.load(None, js=script("compare_link.js"))
