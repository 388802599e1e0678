"""Normalisation: what training labels, scoring and language models share."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo import text as module
from asrdemo.errors import ConfigError
from asrdemo.text import PROFILES, STEPS, fingerprint, folded, for_language, normalise, normalise_all, steps_of

SCRIPTS = st.text(
    st.one_of(
        st.sampled_from(
            "aI\u0130\u0307i\u00e2\u0302'\u2019-\u00ad\u200b\u200c\ufe0f\n\x1c \uff21\u0623\u0629\ufefb\u0e35\u0e01"
        ),
        st.characters(),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "profile", "expected"),
    [
        ("Don’t “STOP”, it's 5 o'clock -- 'quoted'!", "en", "don't stop it's 5 o'clock quoted"),
        ("IĞDIR'da İzmir", "tr", "ığdır'da izmir"),
        ("İyi", "tr", "iyi"),
        ("kâr, hâlâ", "tr", "kâr hâlâ"),
        ("KÂR, hâlâ Îmân SÛR", "tr-fold", "kar hala iman sur"),
        ("i\u0307zmir i\u0307yi", "tr", "izmir iyi"),  # İ lowered by software that knows no Turkish
        ("I\u0307zmir", "tr", "izmir"),
        ("مُحَمَّدٌ، نعم؟", "ar", "محمد نعم"),
        ("أحمد إلى آخر ٱلكتاب، المدرسة على", "ar", "أحمد إلى آخر ٱلكتاب المدرسة على"),
        ("أحمد إلى آخر ٱلكتاب، المدرسة على", "ar-fold", "احمد الي اخر الكتاب المدرسه علي"),
        ("ســـلام ٣ و 3", "ar", "سلام ٣ و 3"),
        ("\ufefb \ufeb3\ufefc\ufee1", "ar", "لا سلام"),  # letters in their joined shapes
        ("مسؤول شيء قائم", "ar-fold", "مسؤول شيء قائم"),
        ("你好，世界。 OK", "zh", "你 好 世 界 o k"),
        ("ＯＫ１２３　你好", "zh", "o k 1 2 3 你 好"),
        ("ｶﾞｯｺｳ、学校だ。", "ja", "ガ ッ コ ウ 学 校 だ"),
        ("กิน ข้าว ๑๒", "th", "กิ น ข้ า ว ๑ ๒"),
        ("co\u00adoperate می\u200cخواهم a\u200bb ❤\ufe0f", "default", "cooperate میخواهم a b"),
        ("co\u00adoperate", "en", "co operate"),
        ("straße ΣΑΣ", "default", "straße σας"),
        ("`quoted` l`ami", "default", "quoted l'ami"),
        ("e-mail 3,5 km²", "default", "e mail 3 5 km²"),
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
@settings(max_examples=200, deadline=None)
@given(text=SCRIPTS)
def test_normalising_twice_changes_nothing_more(profile: str, text: str) -> None:
    once = normalise(text, profile)
    assert normalise(once, profile) == once


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_composed_and_decomposed_text_agree(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text), "en") == normalise(unicodedata.normalize("NFC", text), "en")


def as_demo_en_was_trained(text: str) -> str:
    """The profile `en` when demo-en was trained and demo-lm built; both depend on it."""
    quotes = dict.fromkeys(map(ord, "\u2019\u2018\u02bc`\u00b4\uff07"), "'")
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(quotes).lower())
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join(w for w in (w.strip("'") for w in kept.split()) if w)


@settings(max_examples=300, deadline=None)
@given(SCRIPTS)
def test_english_stays_as_demo_en_was_trained(text: str) -> None:
    assert normalise(text, "en") == as_demo_en_was_trained(text)


def test_english_stays_so_for_every_character() -> None:
    lines = [
        " ".join(f"a{chr(c)}b {chr(c)}" for c in range(start, start + 0x400)) for start in range(0, 0x110000, 0x400)
    ]
    lines = random.Random(0).sample(lines, 100) + lines[:64]
    assert normalise_all(lines, "en") == [as_demo_en_was_trained(line) for line in lines]


@pytest.mark.parametrize("profile", sorted(PROFILES))
@settings(max_examples=50, deadline=None)
@given(texts=st.lists(SCRIPTS, max_size=5))
def test_many_texts_are_normalised_as_each_alone(profile: str, texts: list[str]) -> None:
    assert normalise_all(texts, profile) == [normalise(t, profile) for t in texts]


def test_more_texts_than_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINES", 2)
    assert normalise_all(["A", "B\nC", "", "D", "E!"], "en") == ["a", "b c", "", "d", "e"]


@pytest.mark.parametrize("profile", sorted(PROFILES))
@settings(max_examples=50, deadline=None)
@given(text=SCRIPTS)
def test_all_steps_of_a_profile_are_the_profile(profile: str, text: str) -> None:
    assert normalise_all([text], profile, steps_of(profile)) == [normalise(text, profile)]
    if not PROFILES[profile].by_character:
        assert normalise_all([text], profile, ()) == [" ".join(text.split())]


def test_steps() -> None:
    assert steps_of("raw") == ()
    assert steps_of("en") == ("unicode", "apostrophes", "case", "punctuation")
    assert steps_of("ar-fold") == tuple(STEPS)
    assert normalise_all(["Don’t STOP."], "en", ("unicode", "apostrophes")) == ["Don't STOP."]
    assert normalise_all(["你好 OK。"], "zh", ()) == ["你 好 O K 。"]


def test_profile_of_a_language() -> None:
    expected = {"en": "en", "zh-CN": "zh", "zh_TW": "zh", "yue": "zh", "az": "tr", "de": "default", "ja": "ja"}
    expected |= {"raw": "default", "": "default"}
    assert {code: for_language(code) for code in expected} == expected
    assert (folded("tr"), folded("tr-fold"), folded("en")) == ("tr-fold", None, None)


def test_fingerprints_tell_profiles_and_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = {name: fingerprint(name) for name in PROFILES}
    assert len(set(prints.values())) == len(PROFILES)
    assert all(re.fullmatch("[0-9a-f]{16}", p) for p in prints.values())
    monkeypatch.setattr(module, "NORMALISER_VERSION", "next")
    assert fingerprint("en") != prints["en"]


def test_every_profile_says_what_it_does() -> None:
    assert all(p.note and p.name == name for name, p in PROFILES.items())


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no normalisation profile 'xx'; available: default, en"):
        normalise("a", "xx")
