"""The pages. Gradio is imported here and in app.py only.

    build.py                     composes the tabs; what Gradio needs to launch
    transcribe_*, live_*, analysis_*, evaluate_*, compare_*, vote_*, corpora_*, models_*     a page or panel each:
    *_tab.py, *_panel.py         layout and wiring
    *_handlers.py                what happens on an event: plain functions, values in, values out
    services.py, shelves.py      what all visitors share, bounded in number and bytes
    *_html.py, *_charts.py       values -> HTML; every text is escaped there
    static/                      style sheet and scripts

A result lives in the visitor's session as a `Work` (transcribe_handlers.py); audio and live sessions live on bounded
shelves of the process, found again by an id.

The state of Error analysis is its address (analysis_state.py): what to show is read from there, and nothing else keeps
it. Evaluations run in processes of their own (evals.jobs), which a page only watches.
"""
