"""The Fine-tune page.

    access.py      who may start, stop and register, checked within every event
    form.py        the recipe: YAML is the truth, the short form reads it and writes into it
    handlers.py    making and checking a recipe; run_handlers.py: watching runs and what one may do with them
    places.py      where a run trains: what a job on Hugging Face Jobs may cost, and starting it for just that
    outcome.py     the checkpoint of a run: evaluated beside its base, and compared with it
    history.py     the metrics of a run, read as they come and thinned
    markup.py, run_html.py, scores_html.py, charts.py, sweep_html.py     values -> HTML
    tab.py, recipe_panel.py, place_panel.py, runs_panel.py     layout and wiring

The page keeps nothing of a run: everything is read from its directory, so that anybody finds it again at any time.
"""
