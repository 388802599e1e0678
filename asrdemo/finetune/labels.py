"""Texts -> CTC labels: what the columns of the output stand for, how labels are cased, how many frames they need."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from asrdemo.acoustic import vocabulary as tables
from asrdemo.errors import TrainingError
from asrdemo.text import profile
from asrdemo.types import SPACE, Vocabulary

DELIMITER = "|"  # stands for the space between words, as in every wav2vec2 vocabulary
ROLES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIAL = tuple(ROLES.values())  # the first columns of a new vocabulary; `<pad>` is the CTC blank, id 0

Case = Literal["lower", "upper", "as_is"]


@dataclass(frozen=True)
class Alphabet:
    """What a run writes with.

    vocab: token -> id as in vocab.json, DELIMITER between words. blank: id of the CTC blank, which is the pad token's
    too. roles: special tokens in the vocabulary, by their key in the tokenizer's files. words: the vocabulary as texts
    are written, for decoders. case: of its letters. turkish: a small i with a dot is a capital one with a dot.
    by_character: the spaces of normalised texts part characters, which nobody writes, so they have no label.
    """

    vocab: Mapping[str, int]
    blank: int
    roles: Mapping[str, str]
    words: Vocabulary
    case: Case
    turkish: bool = False
    by_character: bool = False

    @cached_property
    def spelling(self) -> dict[str, int]:
        """What may stand in a text -> id: neither the blank nor special tokens."""
        left_out = self.words.special | {self.blank}
        return {SPACE if t == DELIMITER else t: i for t, i in self.vocab.items() if i not in left_out}

    @cached_property
    def pieces(self) -> re.Pattern[str]:
        """Cuts a text into tokens, the longest that fits first, and unknown characters."""
        return re.compile("|".join([*map(re.escape, sorted(self.spelling, key=len, reverse=True)), "."]), re.DOTALL)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any token or its place."""
        return hashlib.sha256(repr((sorted(self.vocab.items()), self.blank)).encode()).hexdigest()[:16]

    def labels(self, text: str) -> np.ndarray | None:
        """Ids of a normalised text, int64, shape = (tokens,); None when a character is not in the vocabulary."""
        if self.by_character:
            text = text.replace(SPACE, "")
        if self.case == "upper":
            text = (text.replace("i", "\u0130") if self.turkish else text).upper()
        elif self.case == "lower":
            text = text.lower()
        ids = [self.spelling.get(piece) for piece in self.pieces.findall(text)]
        return None if None in ids else np.array(ids, dtype=np.int64)

    def read(self, ids: np.ndarray) -> str:
        """The text that a decoder makes of these labels, not normalised."""
        return " ".join("".join(self.words.tokens[i] for i in ids).split())

    def under(self, profile_name: str) -> Alphabet:
        """The same vocabulary with labels for texts of another normalisation; `words` stays as it is."""
        p = profile(profile_name)
        return dataclasses.replace(self, turkish=p.turkish_i, by_character=p.by_character)


NOTHING = Alphabet({}, 0, {}, Vocabulary((), 0), "as_is")
"""Of a model that does not write."""


def from_texts(texts: Iterable[str], profile_name: str) -> Alphabet:
    """A new vocabulary from normalised texts: special tokens, `|`, then their characters in code point order.

    Raises TrainingError where the texts hold no character.
    """
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    letters = sorted(characters - {SPACE, DELIMITER})
    if not letters:
        raise TrainingError("The training texts hold no character, so no vocabulary can be taken from them.")
    tokens = (*SPECIAL, DELIMITER, *letters)
    return _alphabet(tables.Table(tokens, ROLES, frozenset(SPECIAL), DELIMITER), profile_name, 0)


def from_folder(folder: Path, profile_name: str, size: int, blank: int | None, adapter: str | None) -> Alphabet:
    """The vocabulary of a checkpoint whose output has `size` columns; blank: `pad_token_id` of its configuration.

    Raises CheckpointError where its files do not fit each other, TrainingError where its pad token is not the blank.
    """
    table = tables.table(folder, size, adapter)
    pad = table.roles.get("pad_token")
    if pad is None or table.tokens.index(pad) != blank:
        found = "has no pad token" if pad is None else f"has its pad token {pad!r} in column {table.tokens.index(pad)}"
        raise TrainingError(
            f"The base's vocabulary {found}, but the CTC blank (pad_token_id in config.json) is column {blank}. They "
            "must be the same: correct config.json, or take a new vocabulary (vocabulary: train)."
        )
    return _alphabet(table, profile_name, blank)


def _alphabet(table: tables.Table, profile_name: str, blank: int) -> Alphabet:
    vocab = {DELIMITER if token == table.delimiter else token: i for i, token in enumerate(table.tokens)}
    words, case = tables.spelled(table, profile_name, blank), _case(tables.letters(table, blank))
    return Alphabet(vocab, blank, table.roles, words, case).under(profile_name)


def _case(letters: list[str]) -> Case:
    """`as_is` where there are letters of both cases, or none that have one."""
    if all(t == t.upper() for t in letters) and any(t != t.lower() for t in letters):
        return "upper"
    if all(t == t.lower() for t in letters) and any(t != t.upper() for t in letters):
        return "lower"
    return "as_is"


def frames(samples: int | np.ndarray, config) -> int | np.ndarray:
    """Frames the model makes of so many samples (works on numbers and integer arrays)."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    if getattr(config, "add_adapter", False):
        for _ in range(config.num_adapter_layers):
            samples = (samples - 1) // config.adapter_stride + 1
    return samples


def frames_needed(ids: np.ndarray) -> int:
    """Frames CTC needs for labels of shape (tokens,): one each, and a blank between equal neighbours."""
    return len(ids) + int((ids[1:] == ids[:-1]).sum())
