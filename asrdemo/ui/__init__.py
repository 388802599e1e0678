"""The pages. Gradio is imported here and in app.py only.

    build.py                     composes the tabs; what Gradio needs to launch
    *_tab.py, *_panel.py         layout and wiring
    *_handlers.py                what happens on an event: plain functions, values in, values out
    services.py, shelves.py      what all visitors share, bounded in number and bytes
    result_html.py, page_html.py values -> HTML; every text is escaped there
    static/                      style sheet and scripts

A result lives in the visitor's session as a `Work` (transcribe_handlers.py); audio and live sessions live on bounded
shelves of the process, found again by an id.
"""
