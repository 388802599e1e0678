"""Compare: lanes on one clip (clip_*), results on a corpus (corpus_*, list_html, charts)."""
