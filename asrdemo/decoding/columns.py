"""Which columns of the emissions are decoded, and what each of them writes.

Special tokens (`<s>`, `</s>`, `<unk>`, ...) never belong in a text: their columns are dropped and the others
renormalised, alike for every decoder and engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from asrdemo.errors import DecodingError
from asrdemo.types import BLANK, SPACE, Emissions, Vocabulary

PIECE = "\u2581"  # begins a word in sentence-piece vocabularies
CLIP = np.float32(np.log(1e-15))  # the lowest log-probability the search engines tell apart


@dataclass(frozen=True)
class Columns:
    """labels: what each decoded column writes, BLANK for the blank. keep: its column in the emissions."""

    labels: tuple[str, ...]
    keep: tuple[int, ...]
    blank: int

    @cached_property
    def pieces(self) -> bool:
        """Whether words begin at a label with PIECE, as in sentence-piece vocabularies, and not at SPACE."""
        return any(label.startswith(PIECE) for label in self.labels)

    @cached_property
    def space(self) -> int | None:
        """The column of the word delimiter, if there is one."""
        return self.labels.index(SPACE) if SPACE in self.labels else None

    @cached_property
    def separates_words(self) -> bool:
        """Whether a text may hold spaces at all."""
        return self.pieces or self.space is not None

    @cached_property
    def case(self) -> str | None:
        """`upper` or `lower` if all letters are written so, else None."""
        letters = "".join(self.labels)
        if letters == letters.upper() != letters.lower():
            return "upper"
        if letters == letters.lower() != letters.upper():
            return "lower"
        return None

    def in_case(self, case: str | None) -> tuple[str, ...]:
        """Labels written in another case, where that can be undone; else as they are."""
        if case is None or self.case in (None, case):
            return self.labels
        turn, back = (str.lower, str.upper) if case == "lower" else (str.upper, str.lower)
        turned = tuple(turn(label) for label in self.labels)
        undone = len(set(turned)) == len(turned) and all(back(t) == o for t, o in zip(turned, self.labels, strict=True))
        return turned if undone else self.labels


@lru_cache(maxsize=64)
def columns(vocabulary: Vocabulary) -> Columns:
    """The decoded columns of a vocabulary. Raises DecodingError where two of them write the same."""
    if not 0 <= vocabulary.blank < len(vocabulary):
        raise DecodingError(
            f"The vocabulary of {len(vocabulary)} tokens has no column {vocabulary.blank} for the blank."
        )
    keep = tuple(i for i in range(len(vocabulary)) if i == vocabulary.blank or i not in vocabulary.special)
    labels = tuple(BLANK if i == vocabulary.blank else vocabulary.tokens[i] for i in keep)
    if len(set(labels)) < len(labels):
        double = sorted({label for label in labels if labels.count(label) > 1})
        raise DecodingError(f"The vocabulary writes {double[0]!r} in more than one column; expected different tokens.")
    return Columns(labels, keep, keep.index(vocabulary.blank))


def scores(emissions: Emissions) -> np.ndarray:
    """The decoded columns, float32, shape = (frames, len(labels)), not renormalised. Raises DecodingError."""
    given = emissions.log_probs
    if given.ndim != 2 or (len(given) and given.shape[1] != len(emissions.vocabulary)):
        raise DecodingError(
            f"Emissions have shape {given.shape}; expected (frames, {len(emissions.vocabulary)}) for its vocabulary."
        )
    kept = columns(emissions.vocabulary)
    if len(kept.keep) < given.shape[1]:
        given = given[:, list(kept.keep)]
    return np.ascontiguousarray(given, dtype=np.float32)


def normalised(x: np.ndarray) -> np.ndarray:
    """Log-softmax of each row, clipped as both search engines do. Raises DecodingError for rows without a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    bad = np.isnan(log_probs).any(axis=1)
    if bad.any():
        raise DecodingError(f"Emissions hold no probability in frame {int(bad.argmax())} (not a number, or all zero).")
    return np.clip(log_probs, CLIP, 0)


def spans(emissions: Emissions) -> list[tuple[int, int]]:
    """(start, end) frames between the cuts; none is empty, and none is left out."""
    frames = len(emissions.log_probs)
    edges = [0, *sorted({c for c in emissions.cuts if 0 < c < frames}), frames]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]
