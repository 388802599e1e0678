"""Composes the page, and says how Gradio is to launch it."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui import api, decoder_panel, models_tab, page_html, theme
from asrdemo.ui.analysis import tab as analysis_tab
from asrdemo.ui.compare import tab as compare_tab
from asrdemo.ui.corpora import tab as corpora_tab
from asrdemo.ui.examples import examples
from asrdemo.ui.finetune import tab as finetune_tab
from asrdemo.ui.live import tab as live_tab
from asrdemo.ui.services import Services, first_checkpoint
from asrdemo.ui.transcribe import tab as transcribe_tab
from asrdemo.ui.wiring import PLAIN

TITLE = "Speech recognition, heard and measured"
QUEUE_SIZE = 32
log = logging.getLogger(__name__)


def build_ui(transcriber: Transcriber, settings: Settings) -> gr.Blocks:
    """The whole page: one tab for each job."""
    services = Services(transcriber, settings)
    # Uploads and recordings are deleted six hours after they came
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(1800, 6 * 3600)) as page:
        page.load(None, js=theme.script("filter_bar.js"))  # first: the pages' own scripts build on it
        gr.HTML(page_html.HEADER, elem_id="header", **PLAIN)
        own = gr.State([])  # titles and ids of the language models that this visitor has built
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with gr.Tab("Transcribe", id="transcribe"):
                transcribe_tab.build(services, examples(services.registry), page, own)
            with gr.Tab("Live captions", id="live"):
                live_tab.build(services)
            with gr.Tab("Error analysis", id="analysis") as analysis:
                analysis_tab.build(services, page, analysis)
            with gr.Tab("Compare", id="compare"):
                compare_tab.build(services, examples(services.registry), page, own)
            with gr.Tab("Fine-tune", id="finetune") as finetune:
                finetune_tab.build(services, page, finetune)
            with gr.Tab("Corpora", id="corpora") as corpora:
                corpora_tab.build(services, corpora)
            with gr.Tab("Checkpoints", id="checkpoints") as checkpoints:
                models_tab.build(services, page, checkpoints)
        api.build(services)
        decoder_panel.wire_lists(services, page)
    return page.queue(max_size=QUEUE_SIZE, default_concurrency_limit=4)


def launch_options(settings: Settings) -> dict[str, Any]:
    """Arguments for `launch`. On a Space (SPACE_ID is set) everybody is served, else this machine only."""
    host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    return {
        "theme": theme.theme(),
        "css_paths": sorted(theme.STATIC.glob("*.css")),
        "js": theme.script("page.js"),
        "server_name": os.environ.get("GRADIO_SERVER_NAME", host),
        "max_file_size": f"{settings.max_upload_mb}mb",
        "footer_links": ["api"],
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "state_session_capacity": 500,
        "favicon_path": theme.STATIC / "favicon.svg",
    }


def warm_up(transcriber: Transcriber) -> threading.Thread:
    """Load the first checkpoint and hear a little silence in the background, so that the first click is quick."""

    def work() -> None:
        import numpy as np

        from asrdemo.types import SAMPLE_RATE, Clip

        try:
            silence = Clip(np.zeros(SAMPLE_RATE, np.float32), "warm-up")
            transcriber.transcribe([silence], first_checkpoint(transcriber.registry))
        except AsrDemoError as error:
            log.warning("The first checkpoint could not be loaded ahead of time: %s", error)

    thread = threading.Thread(target=work, name="warm-up", daemon=True)
    thread.start()
    return thread
