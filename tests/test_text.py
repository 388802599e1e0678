"""Normalisation: what training labels, scoring and language models share."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrdemo.errors import ConfigError
from asrdemo.text import PROFILES, normalise


@pytest.mark.parametrize(
    ("text", "profile", "expected"),
    [
        ("Don’t “STOP”, it's 5 o'clock -- 'quoted'!", "en", "don't stop it's 5 o'clock quoted"),
        ("IĞDIR'da İzmir", "tr", "ığdır'da izmir"),
        ("İyi", "tr", "iyi"),
        ("kâr, hâlâ", "tr", "kâr hâlâ"),
        ("مُحَمَّدٌ، نعم؟", "ar", "محمد نعم"),
        ("你好，世界。 OK", "zh", "你 好 世 界 o k"),
        ("La col·lecció, se'n va", "ca", "la col·lecció se'n va"),
        ("- Vine-hi - digué -", "ca", "vine-hi digué"),
        ("Añо\tdos\n tres", "default", "añо dos tres"),
        ("  Keep  EVERYTHING! ", "raw", "Keep EVERYTHING!"),
        ("...", "en", ""),
    ],
)
def test_profiles(text: str, profile: str, expected: str) -> None:
    assert normalise(text, profile) == unicodedata.normalize("NFC", expected)


@pytest.mark.parametrize("profile", sorted(PROFILES))
@given(text=st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(profile: str, text: str) -> None:
    once = normalise(text, profile)
    assert normalise(once, profile) == once


@given(text=st.text(max_size=60))
def test_composed_and_decomposed_text_agree(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text), "en") == normalise(unicodedata.normalize("NFC", text), "en")


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no normalisation profile 'xx'; available: default, en"):
        normalise("a", "xx")
