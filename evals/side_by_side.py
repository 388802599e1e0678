"""Several texts of one clip laid side by side, word under word, so that one sees where they part.

The first text leads: the script that was read, or one of the readings. The others are aligned to it as scoring does
(evals.align), and what they add in the same place is aligned among itself, the longest leading there.

>>> laid = side_by_side(["the cat sat", "the bat sat", "a cat sat down"])
>>> [column.words for column in laid]
[('the', 'the', 'a'), ('cat', 'bat', 'cat'), ('sat', 'sat', 'sat'), (None, None, 'down')]
>>> [column.marks for column in laid]
[('=', '=', 'S'), ('=', 'S', '='), ('=', '=', '='), ('', '', 'I')]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.align import align


@dataclass(frozen=True)
class Column:
    """What stands in one place. words: of each text, None where it has none."""

    words: tuple[str | None, ...]

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """Each text against the first: `=` alike, `S` another word, `D` none, `I` one too many, "" none in either."""
        first = self.words[0]
        return tuple(_mark(first, word) for word in self.words)

    @property
    def agreed(self) -> bool:
        """Whether all texts have the same word."""
        return len(set(self.words)) == 1


def side_by_side(texts: Sequence[str]) -> list[Column]:
    """The texts, normalised already, in columns. Raises ValueError as evals.align.align does for a very long pair."""
    return [Column(words) for words in _columns([text.split() for text in texts])]


def parted(columns: Sequence[Column], around: int = 3, most: int = 200) -> list[Column | None]:
    """Columns where the texts part, and so many before and after each, at most `most`; None stands for what is left
    out between them. All of a short text."""
    if len(columns) <= most // 2:
        return list(columns)
    apart = [at for at, column in enumerate(columns) if not column.agreed]
    near = sorted(
        {at for mid in apart[:most] for at in range(mid - around, mid + around + 1) if 0 <= at < len(columns)}
    )
    found: list[Column | None] = []
    last = -1
    for at in near[:most]:
        if at > last + 1:
            found.append(None)
        found.append(columns[at])
        last = at
    return [*found, None] if last + 1 < len(columns) else found


def _columns(texts: Sequence[Sequence[str]]) -> list[tuple[str | None, ...]]:
    first, others = texts[0], texts[1:]
    beside: list[list[str | None]] = [[word] + [None] * len(others) for word in first]
    gaps: list[list[list[str]]] = [[[] for _ in texts] for _ in range(len(first) + 1)]
    for at, (text, ops) in enumerate(zip(others, align([first] * len(others), others).ops, strict=True), 1):
        place, words = 0, iter(text)
        for op in ops:
            if op == "I":
                gaps[place][at].append(next(words))
                continue
            if op != "D":
                beside[place][at] = next(words)
            place += 1
    columns = []
    for gap, words_here in zip(gaps, [*beside, None], strict=True):
        columns += _added(gap)
        if words_here is not None:
            columns.append(tuple(words_here))
    return columns


def _added(gap: Sequence[Sequence[str]]) -> list[tuple[str | None, ...]]:
    """Columns of what texts add in one place; there is always one text that adds nothing, so this comes to an end."""
    adding = sorted((at for at, words in enumerate(gap) if words), key=lambda at: -len(gap[at]))
    if not adding:
        return []
    columns = []
    for words in _columns([gap[at] for at in adding]):
        here = dict(zip(adding, words, strict=True))
        columns.append(tuple(here.get(at) for at in range(len(gap))))
    return columns


def _mark(first: str | None, word: str | None) -> str:
    if word == first:
        return "" if word is None else "="
    if word is None:
        return "D"
    return "I" if first is None else "S"
