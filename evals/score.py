"""Reference and hypothesis -> error counts -> WER and CER.

Rates come from pooled counts: the sum of the edits over the sum of the reference words, never a mean of clip
rates. What an empty text means is fixed here, once:

>>> words("", "").rate                  # nothing said, nothing heard: no error
0.0
>>> words("", "hello").rate             # nothing said, something heard: insertions over no words
inf
>>> words(["", "yes"], ["hello", "yes"]).rate   # pooled, its insertion counts against the other clips' words
1.0
>>> words("yes", "").rate               # everything deleted
1.0

Which of the alignments with the fewest edits is counted: see evals.align. Characters are counted by the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from asrdemo import text
from evals.align import Alignments, align_words

KINDS = ("hits", "substitutions", "deletions", "insertions")


class Rows(Protocol):
    """Scored rows, a column by its name: a pandas DataFrame, a pyarrow Table, or a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...


def texts(rows: Rows, name: str) -> list[str]:
    """A column of texts as a list. Raises KeyError where there is no such column."""
    column = rows[name]
    return column.to_pylist() if hasattr(column, "to_pylist") else list(column)


@dataclass(frozen=True)
class Counts:
    """Edits that turn the references into the hypotheses, over words or characters; `a + b` pools.

    hits + substitutions + deletions is the number of reference units (`reference`).
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    clips: int = 0

    @property
    def reference(self) -> int:
        """Units (words or characters) in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """errors / reference: 0 is perfect, above 1 is possible. 0 / 0 is 0.0, anything else / 0 is inf."""
        if self.reference:
            return self.errors / self.reference
        return math.inf if self.errors else 0.0

    @classmethod
    def of(cls, found: Alignments) -> Counts:
        """Pooled counts of alignments."""
        return _pooled(found.hits, found.substitutions, found.deletions, found.insertions)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.clips + other.clips,
        )


@dataclass(frozen=True)
class Score:
    """Pooled word and character counts of the same pairs. wer, cer: fractions, not percent."""

    words: Counts = field(default_factory=Counts)
    characters: Counts = field(default_factory=Counts)

    @property
    def wer(self) -> float:
        """Word error rate; for profiles written without spaces it is counted over characters."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character error rate, spaces between words included."""
        return self.characters.rate

    def __add__(self, other: Score) -> Score:
        return Score(self.words + other.words, self.characters + other.characters)


def words(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> Counts:
    """Pooled word edits of one pair or of many. Words are what spaces separate; nothing is normalised.

    Raises ValueError, quoting both lengths, when the two lists do not pair up.
    """
    return Counts.of(align_words(_listed(references), _listed(hypotheses)))


def characters(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> Counts:
    """Pooled character edits; runs of spaces count as one. Raises ValueError as `words` does."""
    refs = [" ".join(r.split()) for r in _listed(references)]
    return _pooled(*character_counts(refs, [" ".join(h.split()) for h in _listed(hypotheses)]))


def score(references: str | Sequence[str], hypotheses: str | Sequence[str], profile: str = "default") -> Score:
    """Normalise both sides by the profile (see asrdemo.text), then count words and characters.

    Profiles that write no spaces between words (`zh`) have each character count as a word; their characters are
    counted without the spaces that normalising put there, so WER and CER agree (in Thai, but for marks: a word is a
    character with its marks, CER counts each).
    """
    refs = text.normalise_all(_listed(references), profile)
    hyps = text.normalise_all(_listed(hypotheses), profile)
    return Score(words(refs, hyps), characters(spelled(refs, profile), spelled(hyps, profile)))


def score_pairs(
    references_raw: Sequence[str], hypotheses_raw: Sequence[str], profile: str = "default"
) -> dict[str, list[str] | np.ndarray]:
    """The scoring columns of a result, a row a pair: texts and `ops` as lists, counts as int32 arrays.

    reference, hypothesis: normalised by the profile. hits, substitutions, deletions, insertions and ops: words, one
    alignment (see evals.align). char_*: characters, spaces between words included. raw_words, raw_errors: the texts as
    they came, parted by white space (by characters, where the profile counts those as words).
    Raises ValueError as `words` does, and ConfigError for an unknown profile.
    """
    refs, hyps = text.normalise_all(references_raw, profile), text.normalise_all(hypotheses_raw, profile)
    found = align_words(refs, hyps)
    char_counts = character_counts(spelled(refs, profile), spelled(hyps, profile))
    raw = align_words(
        text.normalise_all(references_raw, profile, steps=()), text.normalise_all(hypotheses_raw, profile, steps=())
    )
    return {
        "reference": refs,
        "hypothesis": hyps,
        "hits": found.hits,
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
        **{f"char_{kind}": counts for kind, counts in zip(KINDS, char_counts, strict=True)},
        "raw_words": raw.reference,
        "raw_errors": raw.errors,
        "ops": found.ops,
    }


def spelled(normalised: list[str], profile: str) -> list[str]:
    """Normalised texts as their characters are counted: without the spaces that `by_character` profiles put there."""
    return [t.replace(" ", "") for t in normalised] if text.profile(profile).by_character else normalised


def character_counts(
    references: Sequence[str], hypotheses: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hits, substitutions, deletions, insertions of the characters of each pair, int32, shape = (pairs,).

    Those of `evals.align.align_characters`, in a fraction of its time: no alignment is built. Let an edit cost more
    than all substitutions that a pair can hold; then the least cost tells the edits and, of them, the substitutions,
    and the lengths tell the rest. Raises ValueError as `words` does.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    if len(references) != len(hypotheses):
        raise ValueError(
            f"Got {len(references)} references and {len(hypotheses)} hypotheses; each reference needs one hypothesis."
        )
    n = np.fromiter(map(len, references), np.int64, len(references))
    m = np.fromiter(map(len, hypotheses), np.int64, len(hypotheses))
    edit = int(np.minimum(n, m).max(initial=0)) + 1
    costs = {"weights": (edit, edit, edit + 1)}
    found = cpdist(references, hypotheses, scorer=Levenshtein.distance, scorer_kwargs=costs, dtype=np.int64)
    edits, substitutions = np.divmod(found, edit)
    deletions = (edits - substitutions + n - m) // 2
    insertions = edits - substitutions - deletions
    hits, substitutions, deletions, insertions = (
        each.astype(np.int32) for each in (n - substitutions - deletions, substitutions, deletions, insertions)
    )
    return hits, substitutions, deletions, insertions


def _listed(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _pooled(hits: np.ndarray, substitutions: np.ndarray, deletions: np.ndarray, insertions: np.ndarray) -> Counts:
    return Counts(int(hits.sum()), int(substitutions.sum()), int(deletions.sum()), int(insertions.sum()), len(hits))
