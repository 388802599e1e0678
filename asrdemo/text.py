"""Normalisation profiles: how text is written where training labels, scoring and language models share it.

A profile is data; its steps (`STEPS`) run in one order, and `evals.formatting` shows what each does to a WER. What no
profile does: spell out or convert numbers (Arabic-Indic digits stay as they are), convert traditional to simplified
characters, expand abbreviations, or correct spelling.

- Hyphens and dashes separate words (`e-mail` is two), but for `ca`, where they join pronouns to verbs. Apostrophes
  within a word stay, in one shape; at its edges they are quotation marks and go.
- Turkish: `I` is the capital of dotless `ı`, `İ` of `i`, and the stray dot that other software leaves when it lowers
  `İ` goes. The hats of `â î û` stay in `tr`: they tell words apart (kar: snow, kâr: profit) though writers often leave
  them out. `tr-fold` takes them off; the difference between the two says how much of a WER is hats.
- Arabic: optional vowel signs, Koranic marks and tatweel go. Letters stay as written in `ar`; `ar-fold` writes as one
  what everyday spelling mixes: alef with and without hamza, madda or wasla, final ya and alef maqsura, ta marbuta and
  ha. Hamza on waw or ya stays in both.
- Chinese, Japanese and Thai write no spaces between words: each character (with the marks that belong to it, as in
  Thai) counts as a word, Latin letters and digits too, so that it does not matter how `OK` is spaced in them.
- Unicode: NFC everywhere. But for `en`, full-width, half-width and Arabic presentation forms become plain letters, and
  invisible signs (soft hyphen, joiners, direction marks, variation selectors) go without parting a word, as Unicode's
  word boundaries (UAX 29) have it. `en` stays as demo-en was trained: there they become spaces.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache

from asrdemo.errors import ConfigError

NORMALISER_VERSION = "2"  # goes up with any change to what a profile gives; results keep it

_LINES = 16_384  # texts that are normalised as one
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u0060": "'", "\u00b4": "'", "\uff07": "'"})
_TURKISH = str.maketrans({"I": "\u0131", "\u0130": "i"})
_STRAY_DOT = re.compile("i\u0307+")  # what str.lower() makes of a capital dotted i
_ARABIC_OPTIONAL = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0640]")  # vowel signs and tatweel
_HATS = (("\u00e2", "a"), ("\u00ee", "i"), ("\u00fb", "u"))
_ARABIC_VARIANTS = (
    *((alef, "\u0627") for alef in "\u0622\u0623\u0625\u0671"),
    *((ya, "\u064a") for ya in "\u0649\u06cc"),
    ("\u0629", "\u0647"),
    ("\u06a9", "\u0643"),
)
_PRESENTATION = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>")
_ZERO_WIDTH_SPACE = "\u200b"  # invisible, but there to part words
_VARIATION_SELECTORS = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@dataclass(frozen=True)
class Profile:
    """keep: characters besides letters, marks and digits that stay; every other one becomes a space.

    by_character: words are not separated by spaces, so WER is counted over characters.
    plain_forms: letters' width and presentation forms become plain letters, invisible signs go.
    fold: (letter, what it is written as), for spellings that count as the same.
    verbatim: only white space is collapsed, nothing else happens.
    note: what it does, for people.
    """

    name: str
    note: str = ""
    keep: str = "'"
    lower: bool = True
    turkish_i: bool = False
    drop_arabic_vowels: bool = False
    by_character: bool = False
    plain_forms: bool = True
    fold: tuple[tuple[str, str], ...] = ()
    verbatim: bool = False


_TURKISH_NOTE = "Turkish: dotted and dotless i, apostrophes kept"
_ARABIC_NOTE = "Arabic: no vowel signs, no tatweel"
PROFILES = {
    p.name: p
    for p in (
        Profile("default", "Lower case, no punctuation, apostrophes within words kept"),
        Profile("en", "English: as default, invisible signs part words", plain_forms=False),
        Profile("tr", f"{_TURKISH_NOTE}, hats kept", turkish_i=True),
        Profile("tr-fold", f"{_TURKISH_NOTE}, hats taken off (â î û)", turkish_i=True, fold=_HATS),
        Profile("ar", f"{_ARABIC_NOTE}, letters as written", keep="", drop_arabic_vowels=True),
        Profile(
            "ar-fold",
            f"{_ARABIC_NOTE}, one alef, one ya, ta marbuta as ha",
            keep="",
            drop_arabic_vowels=True,
            fold=_ARABIC_VARIANTS,
        ),
        Profile("zh", "Chinese: each character is a word", keep="", by_character=True),
        Profile("ja", "Japanese: each character is a word", keep="", by_character=True),
        Profile("th", "Thai: each character with its marks is a word", keep="", by_character=True),
        Profile("ca", "Catalan: hyphens and the dot of l·l kept within words", keep="'\u00b7-"),
        Profile("raw", "As written; only white space is collapsed", keep="", lower=False, verbatim=True),
    )
}
_LANGUAGES = {"yue": "zh", "nan": "zh", "az": "tr", "crh": "tr"}  # besides those that have a profile of their name


def profile(name: str) -> Profile:
    """The profile of that name. Raises ConfigError with the names there are."""
    if name not in PROFILES:
        raise ConfigError(f"There is no normalisation profile {name!r}; available: {', '.join(PROFILES)}.")
    return PROFILES[name]


def for_language(code: str) -> str:
    """Name of the profile for a BCP 47 code or a Common Voice locale: `zh-CN` -> `zh`, `de` -> `default`."""
    language = re.split("[-_]", code.strip().lower())[0]
    language = _LANGUAGES.get(language, language)
    return language if language in PROFILES and language != "raw" else "default"


def steps_of(name: str) -> tuple[str, ...]:
    """Names of the STEPS that do anything in this profile, in their order."""
    p = profile(name)
    idle = {"case": not (p.lower or p.turkish_i), "marks": not p.drop_arabic_vowels, "spelling": not p.fold}
    return tuple(step for step in STEPS if not p.verbatim and not idle.get(step))


def folded(name: str) -> str | None:
    """The profile that also folds spelling variants, `tr` -> `tr-fold`; None where there is none or this is one."""
    return f"{name}-fold" if f"{name}-fold" in PROFILES else None


def fingerprint(name: str) -> str:
    """16 hex digits that change with the profile's settings or with NORMALISER_VERSION, not with its note."""
    p = profile(name)
    settings = sorted((key, value) for key, value in vars(p).items() if key != "note")
    return hashlib.sha256(repr((NORMALISER_VERSION, settings)).encode()).hexdigest()[:16]


def normalise(text: str, name: str = "default") -> str:
    """Text as the profile writes it: NFC, lower case, no punctuation, single spaces. `raw` only collapses spaces."""
    return normalise_all([text], name)[0]


def normalise_all(texts: Sequence[str], name: str = "default", steps: Collection[str] | None = None) -> list[str]:
    """`normalise` for many texts, several times faster than one by one.

    steps: names from STEPS to run, None for all; white space is collapsed, and characters are parted where the profile
    counts them as words, in any case. Raises ConfigError for an unknown profile.
    """
    p = profile(name)
    chosen = [step for key, step in STEPS.items() if (steps is None or key in steps) and not p.verbatim]
    done: list[str] = []
    for start in range(0, len(texts), _LINES):
        lines = texts[start : start + _LINES]
        joined = "\n".join(lines)
        if joined.count("\n") != len(lines) - 1:
            joined = "\n".join(line.replace("\n", " ") for line in lines)
        for step in chosen:
            joined = step(joined, p)
        if p.by_character:
            joined = joined.translate(_PARTED)
        done += [" ".join(line.split()) for line in joined.split("\n")]
    for mark in p.keep if steps is None or "punctuation" in steps else "":
        done = [_strip(line, p.keep) if mark in line else line for line in done]
    return done


class _Table(dict[int, str]):
    """A table for str.translate that works out each character when it is first met."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__({ord("\n"): "\n"})  # parts the texts
        self.rule = rule

    def __missing__(self, code: int) -> str:
        self[code] = self.rule(chr(code))
        return self[code]


def _plain(c: str) -> str:
    """A character without its width or presentation form; nothing for an invisible one."""
    if unicodedata.decomposition(c).startswith(_PRESENTATION):
        return unicodedata.normalize("NFKC", c)
    if c == _ZERO_WIDTH_SPACE:
        return " "
    return "" if unicodedata.category(c) == "Cf" or _VARIATION_SELECTORS.match(c) else c


_PLAIN = _Table(_plain)
_PARTED = _Table(lambda c: c if unicodedata.category(c)[0] == "M" else " " + c)


@cache
def _worded(keep: str) -> _Table:
    return _Table(lambda c: c if c in keep or unicodedata.category(c)[0] in "LMN" else " ")


def _unicode(text: str, p: Profile) -> str:
    """One spelling in Unicode for each letter (NFC); plain letter forms, no invisible signs."""
    return unicodedata.normalize("NFC", text.translate(_PLAIN) if p.plain_forms else text)


def _apostrophes(text: str, _: Profile) -> str:
    """One apostrophe for all its shapes."""
    return text.translate(_APOSTROPHES)


def _case(text: str, p: Profile) -> str:
    """Lower case, in Turkish with its two letters i."""
    if p.turkish_i:
        text = text.translate(_TURKISH)
    if p.lower:
        text = unicodedata.normalize("NFC", text.lower())
    return _STRAY_DOT.sub("i", text) if p.turkish_i else text


def _marks(text: str, p: Profile) -> str:
    """No Arabic vowel signs, Koranic marks or tatweel."""
    return _ARABIC_OPTIONAL.sub("", text) if p.drop_arabic_vowels else text


def _spelling(text: str, p: Profile) -> str:
    """Spelling variants as one."""
    if not p.fold:
        return text
    folded_text = text.translate({ord(letter): written for letter, written in p.fold})
    return _case(unicodedata.normalize("NFC", folded_text), p)


def _punctuation(text: str, p: Profile) -> str:
    """A space for all but letters, marks, digits and what the profile keeps."""
    return text.translate(_worded(p.keep))


# In the order they run. Each takes many texts, one a line; its docstring says what it does.
STEPS: dict[str, Callable[[str, Profile], str]] = {
    "unicode": _unicode,
    "apostrophes": _apostrophes,
    "case": _case,
    "marks": _marks,
    "spelling": _spelling,
    "punctuation": _punctuation,
}


def _strip(line: str, keep: str) -> str:
    """Quotes and dashes at the edges of words go; within a word they are apostrophes and hyphens."""
    return " ".join(stripped for word in line.split(" ") if (stripped := word.strip(keep)))
