"""Blind vote: which of two texts is better, asked without saying whose they are."""
