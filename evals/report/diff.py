"""A reference and what was heard, word by word, as HTML."""

from __future__ import annotations

from html import escape


def marked(reference: str, hypothesis: str, ops: str) -> str:
    """Words of both, in the order of the alignment: `<del>` said only, `<ins>` heard only, plain where both agree."""
    said, heard = iter(reference.split()), iter(hypothesis.split())
    parts = []
    for op in ops:
        if op == "=":
            parts.append(escape(next(said)))
            next(heard)
        if op in "SD":
            parts.append(f"<del>{escape(next(said))}</del>")
        if op in "SI":
            parts.append(f"<ins>{escape(next(heard))}</ins>")
    return " ".join(parts)
