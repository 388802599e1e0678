"""Decoder options: the ranges types.DecoderOptions documents, and hotwords written as the vocabulary writes."""

from __future__ import annotations

import math
import unicodedata

from asrdemo.decoding.columns import Columns
from asrdemo.errors import DecodingError
from asrdemo.types import BLANK, DecoderOptions

KINDS = ("greedy", "beam")
ENGINES = ("auto", "pyctcdecode", "ctc-beam-decoder")
MOST_HOTWORDS = 500
LONGEST_HOTWORD = 100  # characters

INTEGERS = {"beam_width": (1, 1000), "n_best": (1, 20)}
NUMBERS = {
    "alpha": (0.0, 5.0),
    "beta": (-10.0, 10.0),
    "unk_offset": (-100.0, 0.0),
    "hotword_weight": (0.0, 50.0),
}
BELOW_ZERO = ("beam_prune", "token_prune")


def validate(options: DecoderOptions) -> None:
    """Raises DecodingError naming the field, what it is, and what it may be."""
    for name, choices in (("kind", KINDS), ("engine", ENGINES)):
        if getattr(options, name) not in choices:
            raise DecodingError(f"{name} is {getattr(options, name)!r}; allowed: {', '.join(choices)}.")
    for name, (least, most) in INTEGERS.items():
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise DecodingError(f"{name} is {value!r}; expected a whole number from {least} to {most}.")
    for name, (low, high) in NUMBERS.items():
        if not _is_number(getattr(options, name)) or not low <= getattr(options, name) <= high:
            raise DecodingError(f"{name} is {getattr(options, name)!r}; expected a number from {low:g} to {high:g}.")
    for name in BELOW_ZERO:
        if not _is_number(getattr(options, name)) or not getattr(options, name) < 0:
            raise DecodingError(f"{name} is {getattr(options, name)!r}; expected a number below 0.")
    if isinstance(options.hotwords, str):
        raise DecodingError(f"hotwords is one text, {options.hotwords!r}; expected a tuple of words or phrases.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def spell(hotwords: tuple[str, ...], columns: Columns) -> tuple[str, ...]:
    """Hotwords as the vocabulary can spell them: single spaces, its case, no doubles.

    Raises DecodingError for an empty or overlong one, for too many, and for characters outside the vocabulary.
    """
    if len(hotwords) > MOST_HOTWORDS:
        raise DecodingError(f"hotwords has {len(hotwords)} entries; expected at most {MOST_HOTWORDS}.")
    letters = {c for label in columns.labels if label != BLANK for c in label}
    spelled = []
    for given in hotwords:
        word = " ".join(unicodedata.normalize("NFC", given).replace("\u2019", "'").split())
        word = {"upper": word.upper(), "lower": word.lower()}.get(columns.case or "", word)
        if not word:
            raise DecodingError(f"hotwords holds an empty entry, {given!r}; expected words or phrases.")
        if len(word) > LONGEST_HOTWORD:
            raise DecodingError(
                f"hotwords holds an entry of {len(word)} characters; expected at most {LONGEST_HOTWORD}."
            )
        strange = sorted(set(word) - letters - ({" "} if columns.separates_words else set()))
        if strange:
            shown = ", ".join("a space" if c == " " else repr(c) for c in strange)
            raise DecodingError(
                f"hotwords: {given!r} has {shown}, which the checkpoint's vocabulary cannot write; "
                f"it has {' '.join(sorted(letters - {' '}))[:200]}."
            )
        spelled.append(word)
    return tuple(dict.fromkeys(spelled))
