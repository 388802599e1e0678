"""Hear, compare, inspect and fine-tune CTC speech recognition checkpoints.

Imports go one way; a module may import from those to its right, never back
(tests/test_layers.py holds this):

    app, evals.cli -> ui, cli -> evals, finetune -> transcribe, live, measure
        -> acoustic, decoding, audio, sound, export -> corpus, registry, text, entries, process
        -> settings, types, files -> errors

`audio`, `acoustic` and `decoding` never import one another: they meet in
`transcribe`. Gradio is imported in app.py and asrdemo/ui only.
"""

__version__ = "0.1.0"
