"""Where two word sequences differ, for marking on the page. Scoring has its own alignment (evals.score)."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal

Mark = Literal["same", "delete", "insert"]


def differences(before: str, after: str) -> list[tuple[Mark, str]]:
    """Runs of words that turn `before` into `after`, in reading order; a replacement is a delete, then an insert.

    >>> differences("call me at nine", "call me at five now")
    [('same', 'call me at'), ('delete', 'nine'), ('insert', 'five now')]
    """
    old, new = before.split(), after.split()
    runs: list[tuple[Mark, str]] = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            runs.append(("same", " ".join(old[i:j])))
            continue
        if j > i:
            runs.append(("delete", " ".join(old[i:j])))
        if m > k:
            runs.append(("insert", " ".join(new[k:m])))
    return runs
