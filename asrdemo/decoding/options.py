"""Decoder options: the ranges types.DecoderOptions documents, and hotwords written as the vocabulary writes."""

from __future__ import annotations

import unicodedata

from asrdemo.decoding.columns import Columns
from asrdemo.errors import DecodingError
from asrdemo.types import BLANK, DECODER_RANGES, LEAST_PRUNE, DecoderOptions

KINDS = ("greedy", "beam")
ENGINES = ("auto", "pyctcdecode", "ctc-beam-decoder")
MOST_HOTWORDS = 500
LONGEST_HOTWORD = 100  # characters

WHOLE = ("beam_width", "n_best")
BELOW_ZERO = ("beam_prune", "token_prune")


def validate(options: DecoderOptions) -> None:
    """Raises DecodingError naming the field, what it is, and what it may be."""
    for name, choices in (("kind", KINDS), ("engine", ENGINES)):
        if getattr(options, name) not in choices:
            raise DecodingError(f"{name} is {getattr(options, name)!r}; allowed: {', '.join(choices)}.")
    for name, (low, high) in DECODER_RANGES.items():
        value, whole = getattr(options, name), name in WHOLE
        if not _is_number(value) or (whole and not isinstance(value, int)) or not low <= value <= high:
            kind = "whole number" if whole else "number"
            raise DecodingError(f"{name} is {value!r}; expected a {kind} from {low:g} to {high:g}.")
    for name in BELOW_ZERO:
        value = getattr(options, name)
        if not _is_number(value) or not LEAST_PRUNE <= value < 0:
            raise DecodingError(f"{name} is {value!r}; expected a number below 0.")
    if isinstance(options.hotwords, str):
        raise DecodingError(f"hotwords is one text, {options.hotwords!r}; expected a tuple of words or phrases.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
