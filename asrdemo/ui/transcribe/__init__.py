"""Transcribe: audio in, text out, with the panel that takes a language model of the visitor."""
