"""Normalisation profiles: how text is written where training labels, scoring and language models share it.

A profile is data, not code. It never changes numbers, and never strips marks a language needs (Arabic letters
keep theirs unless they are optional vowel signs, Turkish keeps its dotless i).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from asrdemo.errors import ConfigError

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u0060": "'", "\u00b4": "'", "\uff07": "'"})
_TURKISH = str.maketrans({"I": "\u0131", "\u0130": "i"})
_ARABIC_OPTIONAL = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0640]")  # vowel signs and tatweel


@dataclass(frozen=True)
class Profile:
    """keep: characters besides letters, marks and digits that stay; every other one becomes a space.

    by_character: words are not separated by spaces, so WER is counted over characters.
    """

    name: str
    keep: str = "'"
    lower: bool = True
    turkish_i: bool = False
    drop_arabic_vowels: bool = False
    by_character: bool = False


PROFILES = {
    p.name: p
    for p in (
        Profile("default"),
        Profile("en"),
        Profile("tr", turkish_i=True),
        Profile("ar", keep="", drop_arabic_vowels=True),
        Profile("zh", keep="", by_character=True),
        Profile("ca", keep="'\u00b7-"),
        Profile("raw", keep="", lower=False),
    )
}


def profile(name: str) -> Profile:
    """The profile of that name. Raises ConfigError with the names there are."""
    if name not in PROFILES:
        raise ConfigError(f"There is no normalisation profile {name!r}; available: {', '.join(PROFILES)}.")
    return PROFILES[name]


def normalise(text: str, name: str = "default") -> str:
    """Text as the profile writes it: NFC, lower case, no punctuation, single spaces. `raw` only collapses spaces."""
    p = profile(name)
    if p.name == "raw":
        return " ".join(text.split())
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    if p.turkish_i:
        text = text.translate(_TURKISH)
    if p.lower:
        text = unicodedata.normalize("NFC", text.lower())
    if p.drop_arabic_vowels:
        text = _ARABIC_OPTIONAL.sub("", text)
    kept = "".join(c if c in p.keep or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    words = (w.strip(p.keep) for w in kept.split())  # quotes and dashes; within a word they are apostrophes and hyphens
    text = " ".join(w for w in words if w)
    return " ".join(c for c in text if c != " ") if p.by_character else text
