"""Measurements side by side with what a user would take instead; each prints ratios and their spread.

`python -m benchmarks [NAME...]` runs every module here that has `report(options) -> str` (Markdown), and writes what
it returns, with date, machine and command, into benchmarks/RESULTS.md.
"""
