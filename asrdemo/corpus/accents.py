"""Accents as speakers gave them -> canonical names.

Releases up to 7 hold one code (`us`). Later ones hold display names joined by commas, and the names contain commas
themselves ("India and South Asia (India, Pakistan, Sri Lanka)"), beside free text that users typed. Known names are
therefore matched longest first, and the rest is split only at a comma with no space after it, which is how the
releases join. accents.tsv lists the platform's predefined accents (`LEGACY_ACCENTS` of common-voice's
web/src/stores/demographics.ts).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

SEPARATOR = " | "
"""Between the names of a speaker with several accents."""

_TABLE = Path(__file__).with_name("accents.tsv")


def canonical(raw: str, language: str = "") -> str:
    """The accents of one field, joined by SEPARATOR; "" for none.

    language: Common Voice locale (`en`, `ga-IE`), whose codes and names are known; with "", names of all languages
    are, and codes that mean one accent only. What is not known is free text and kept, with its spaces tidied.
    """
    if not raw.strip():
        return ""
    found = []
    for part in raw.split("|"):
        found += _split(part.strip(), language)
    return SEPARATOR.join(dict.fromkeys(name for name in found if name))


def _split(text: str, language: str) -> list[str]:
    codes, names = known(language)
    found = []
    while text:
        name = next((n for n in names if text.startswith(n) and text[len(n) : len(n) + 1] in ("", ",")), None)
        if name is not None:
            found.append(name)
            text = text[len(name) :]
        else:
            end = _next_join(text)
            piece = " ".join(text[:end].split())
            found.append(codes.get(piece, piece))
            text = text[end:]
        text = text.removeprefix(",").strip()
    return found


def _next_join(text: str) -> int:
    """Position of the first comma that joins two accents: one with no space after it."""
    at = text.find(",")
    while at >= 0 and text[at + 1 : at + 2].isspace():
        at = text.find(",", at + 1)
    return len(text) if at < 0 else at


@cache
def known(language: str = "") -> tuple[dict[str, str], tuple[str, ...]]:
    """(names by code, names longest first) of a language, nothing where it has none predefined; "" takes them all."""
    rows = [line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    own = [row for row in rows if not language or row[0] == language]
    by_code: dict[str, set[str]] = {}
    for _, code, name in own:
        by_code.setdefault(code, set()).add(name)
    codes = {code: names.pop() for code, names in by_code.items() if len(names) == 1}
    return codes, tuple(sorted({row[2] for row in own}, key=lambda name: (-len(name), name)))


@cache
def languages() -> frozenset[str]:
    """Locales that have predefined accents."""
    return frozenset(line.split("\t")[0] for line in _TABLE.read_text(encoding="utf-8").splitlines()[1:])
