"""The Live captions page: layout and wiring. Recording is in static/live.js, the server's part in handlers.py."""

from __future__ import annotations

from typing import Any

import gradio as gr

from asrdemo.ui import decoder_panel
from asrdemo.ui.live import handlers
from asrdemo.ui.services import Services, first_checkpoint
from asrdemo.ui.theme import script
from asrdemo.ui.wiring import PLAIN

PAGE = """
<div class="live" data-state="idle">
  <div class="live-bar">
    <button type="button" class="mic" data-live="toggle" aria-pressed="false">
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d="M12 15a3.5 3.5 0 0 0 3.5-3.5v-5a3.5 3.5 0 0 0-7 0v5A3.5 3.5 0 0 0 12 15z"/>
        <path class="stroke" d="M5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21"/>
      </svg><span data-live="label">Start</span></button>
    <div class="level" aria-hidden="true"><span data-live="level"></span></div>
    <p class="live-status" data-live="status" role="status"></p>
    <button type="button" class="plain" data-live="copy">Copy</button>
    <button type="button" class="plain" data-live="clear">Clear</button>
  </div>
  <div class="captions" data-live="captions" tabindex="0" role="log" aria-live="off" aria-label="Captions">
    <p class="captions-empty" data-live="empty">Press Start and speak. Words appear while you talk and settle at each
      pause.</p>
    <p dir="auto"><span data-live="stable" aria-live="polite"></span> <span class="tentative" data-live="tentative"
      aria-label="Not yet settled, may still change"></span></p>
  </div>
  <p class="hint legend"><span>Settled text</span> <span class="tentative">text that may still change</span></p>
  <dl class="meter">
    <div><dt>Heard</dt><dd data-live="audio">0:00</dd></div>
    <div><dt>Computing for each second of audio</dt><dd data-live="cost">–</dd></div>
    <div class="trace"><dt>The same, over the last steps</dt><dd><svg viewBox="0 0 100 24" preserveAspectRatio="none"
      role="img" aria-label="Computing time for each second of audio, over time"><polyline data-live="spark"
      points=""/></svg></dd></div>
  </dl>
</div>
"""


def build(services: Services) -> None:
    """Lay out the page. The script takes checkpoint and decoder from the component's value."""
    first = first_checkpoint(services.registry)
    kind = services.transcriber.defaults(first).kind
    with gr.Row(elem_id="live-settings"):
        checkpoint = decoder_panel.checkpoint_list(services, first, scale=2, min_width=220)
        decoder = gr.Radio(
            [("Greedy", "greedy"), ("Beam search", "beam")],
            value=kind,
            label="Decoder of settled text",
            scale=2,
            min_width=220,
        )

    def answer(request: object) -> dict[str, Any]:
        return handlers.answer(services, request)

    live = gr.HTML(
        {"checkpoint": first, "kind": kind},
        html_template=PAGE,
        js_on_load=script("live.js"),
        server_functions=[answer],
        elem_id="live",
        **PLAIN,
    )
    choose = "(checkpoint, kind) => ({checkpoint, kind})"
    gr.on([checkpoint.input, decoder.input], None, [checkpoint, decoder], live, js=choose)
