"""The pages. Gradio is imported here and in app.py only.

    build.py                     composes the tabs; what Gradio needs to launch
    transcribe/, live/, analysis/, compare/, vote/, finetune/, corpora/, models_tab.py     a page each:
    *tab.py, *panel.py           layout and wiring
    *handlers.py                 what happens on an event: plain functions, values in, values out
    *markup.py, *_html.py, *charts.py     values -> HTML; every text is escaped there
    services.py, shelves.py      what all visitors share, bounded in number and bytes
    words.py, page_html.py, result_html.py, decoder_panel.py, filter_bar.py     what several pages show alike
    static/                      style sheet and scripts

A result lives in the visitor's session as a `Work` (transcribe/handlers.py); audio and live sessions live on bounded
shelves of the process, found again by an id.
"""
