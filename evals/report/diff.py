"""A reference and what was heard, word by word, as HTML."""

from __future__ import annotations

import unicodedata
from html import escape


def marked(reference: str, hypothesis: str, ops: str, joined: bool = False) -> str:
    """Words of both, in the order of the alignment: `<del>` said only, `<ins>` heard only, plain where both agree.

    What differs without a break is one of each. joined: the texts have characters instead of words, which are written
    without spaces.
    """
    said, heard = iter(reference.split()), iter(hypothesis.split())
    space = "" if joined else " "
    parts: list[str] = []
    gone: list[str] = []
    new: list[str] = []

    def flush() -> None:
        for tag, run in (("del", gone), ("ins", new)):
            if run:
                parts.append(f"<{tag}>{escape(space.join(run))}</{tag}>")
            run.clear()

    for op in ops:
        if op == "=":
            flush()
            parts.append(escape(next(said)))
            next(heard)
        if op in "SD":
            gone.append(next(said))
        if op in "SI":
            new.append(next(heard))
    flush()
    return space.join(parts)


def direction(text: str) -> str:
    """`rtl` or `ltr`, by the first letter that has a direction. A marked text goes as its reference does: by itself it
    would go as the first word that it lacks or adds."""
    strong = (unicodedata.bidirectional(letter) for letter in text)
    return next(("ltr" if kind == "L" else "rtl" for kind in strong if kind in ("L", "R", "AL")), "ltr")
