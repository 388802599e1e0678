"""Error analysis: where a checkpoint fails, and for whom.

The state of the page is its address (state.py): what to show is read from there, and nothing else keeps it.
Evaluations (evaluate_*) run in processes of their own (evals.jobs), which the page only watches.
"""
