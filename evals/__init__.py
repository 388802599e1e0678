"""Measuring what a checkpoint hears: references and hypotheses -> counts -> rates.

Nothing in this package but `run` imports torch or transformers: scoring and slicing only read text and tables.
"""
