"""Corpora: what is there, and what its audit found."""
