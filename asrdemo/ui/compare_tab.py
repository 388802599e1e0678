"""The Compare page: one clip through several lanes, whole results against each other, and a blind vote."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from asrdemo.ui import compare_clip_tab, compare_corpus_tab, vote_tab
from asrdemo.ui.examples import Example
from asrdemo.ui.services import Services
from asrdemo.ui.theme import script


def build(services: Services, examples: Sequence[Example], page: gr.Blocks) -> None:
    """Lay out the three parts and wire them."""
    with gr.Tabs(elem_id="compare-parts"):
        with gr.Tab("One clip", id="compare-clip"):
            compared = compare_clip_tab.build(services, examples)
        with gr.Tab("Whole corpus", id="compare-corpus") as corpus:
            compare_corpus_tab.build(services, corpus)
        with gr.Tab("Blind vote", id="compare-vote") as vote:
            vote_tab.build(services, vote, compared)
    page.load(None, js=script("compare_link.js"))
