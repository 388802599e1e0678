"""What a model made of each clip of the dev and test sets: how it is counted, and the tables that are kept beside a
run, before.parquet and after.parquet.

Rates alone cannot be given an interval or compared clip by clip later; these tables can. They hold texts but no audio.
Errors are counted as the Error analysis page counts them (asrdemo does not import evals; tests hold the two equal).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rapidfuzz.distance import Levenshtein

from asrdemo.corpus.accents import SEPARATOR
from asrdemo.errors import TrainingError
from asrdemo.text import profile

if TYPE_CHECKING:
    from asrdemo.finetune.evaluate import Score
    from asrdemo.finetune.shards import Shard

BEFORE, AFTER = "before.parquet", "after.parquet"
SLICES = ("accents", "gender", "age", "locale")
LEAST_CLIPS = 5  # of a slice that is told


class Counts(NamedTuple):
    """Of each clip, int64, shape = (clips,): words of the reference and edits of them, its characters and edits of
    them."""

    words: np.ndarray
    edits: np.ndarray
    characters: np.ndarray
    letters: np.ndarray

    @property
    def wer(self) -> float:
        """Edits over words of the references, a fraction; where they have no word, edits."""
        return float(self.edits.sum() / max(1, self.words.sum()))

    @property
    def cer(self) -> float:
        """As `wer`, of characters."""
        return float(self.letters.sum() / max(1, self.characters.sum()))


def counts(references: Sequence[str], hypotheses: Sequence[str], profile_name: str) -> Counts:
    """Errors of texts that the profile has normalised, both sides.

    Where it has each character count as a word, characters are counted without the spaces that it put between them.
    """
    words, heard = [text.split() for text in references], [text.split() for text in hypotheses]
    if profile(profile_name).by_character:
        references, hypotheses = ([text.replace(" ", "") for text in side] for side in (references, hypotheses))
    return Counts(_lengths(words), _edits(words, heard), _lengths(references), _edits(references, hypotheses))


def members(values: Iterable[str]) -> dict[str, list[str]]:
    """Values that clips of a column can be told by -> what the column holds for their clips; "" (unknown) last.

    A speaker of several accents speaks with each of them.
    """
    found: dict[str, list[str]] = {}
    for value in sorted(set(values)):
        for part in dict.fromkeys(value.split(SEPARATOR)):
            found.setdefault(part, []).append(value)
    return dict(sorted(found.items(), key=lambda item: (not item[0], item[0])))


def table(shard: Shard, score: Score) -> pa.Table:
    """One row a clip, in the shard's order: set, clip, speaker, SLICES, texts, and int64 counts.

    edits of `words`, letters of `characters`; lm_*: with the language model, null without one.
    """
    references, lm, found = list(score.references), score.lm_counts, score.counts
    none = pa.nulls(len(references), pa.int64())
    return pa.table(
        {
            "set": pa.array([shard.id] * len(shard), pa.string()),
            "clip": list(shard.names),
            "speaker": list(shard.column("client_id")),
            **{name: list(shard.column(name)) for name in SLICES},
            "reference": references,
            "hypothesis": list(score.hypotheses),
            "with_lm": list(score.lm_hypotheses) if lm else pa.nulls(len(references), pa.string()),
            "words": found.words,
            "edits": found.edits,
            "characters": found.characters,
            "letters": found.letters,
            "lm_edits": lm.edits if lm else none,
            "lm_letters": lm.letters if lm else none,
        }
    )


def write(path: Path, tables: Sequence[pa.Table]) -> None:
    """All sets in one file, which appears whole."""
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.concat_tables(tables), temporary)
    temporary.replace(path)


def read(path: Path) -> pa.Table | None:
    """The table of a run; None where it has none. Raises TrainingError for a file that is damaged."""
    if not path.is_file():
        return None
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path.name} of the run {path.parent.name!r} cannot be read: {error}") from error


def _lengths(texts: Sequence[Sequence[str]]) -> np.ndarray:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _edits(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> np.ndarray:
    pairs = zip(references, hypotheses, strict=True)
    return np.array([Levenshtein.distance(r, h) for r, h in pairs], dtype=np.int64)
