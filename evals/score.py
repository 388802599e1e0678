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
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from asrdemo import text


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
    return _count(references, hypotheses, by_word=True)


def characters(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> Counts:
    """Pooled character edits; runs of spaces count as one. Raises ValueError as `words` does."""
    return _count(references, hypotheses, by_word=False)


def score(references: str | Sequence[str], hypotheses: str | Sequence[str], profile: str = "default") -> Score:
    """Normalise both sides by the profile (see asrdemo.text), then count words and characters.

    Profiles that write no spaces between words (`zh`) have each character count as a word; their characters are
    counted without the spaces that normalising put there, so WER and CER agree.
    """
    refs = [text.normalise(r, profile) for r in _listed(references)]
    hyps = [text.normalise(h, profile) for h in _listed(hypotheses)]
    word_counts = words(refs, hyps)
    if text.profile(profile).by_character:
        refs, hyps = [r.replace(" ", "") for r in refs], [h.replace(" ", "") for h in hyps]
    return Score(word_counts, characters(refs, hyps))


def _listed(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _count(references: str | Sequence[str], hypotheses: str | Sequence[str], by_word: bool) -> Counts:
    refs = [" ".join(r.split()) for r in _listed(references)]
    hyps = [" ".join(h.split()) for h in _listed(hypotheses)]
    if len(refs) != len(hyps):
        raise ValueError(f"Got {len(refs)} references and {len(hyps)} hypotheses; each reference needs one hypothesis.")
    # jiwer leaves the empty reference to its caller: its hypothesis is insertions, all of it
    inserted = sum(len(h.split()) if by_word else len(h) for r, h in zip(refs, hyps, strict=True) if not r)
    pairs = [(r, h) for r, h in zip(refs, hyps, strict=True) if r]
    counts = Counts(insertions=inserted, clips=len(refs) - len(pairs))
    if not pairs:
        return counts
    import jiwer

    process = jiwer.process_words if by_word else jiwer.process_characters
    out = process([r for r, _ in pairs], [h for _, h in pairs])
    return counts + Counts(out.hits, out.substitutions, out.deletions, out.insertions, len(pairs))
