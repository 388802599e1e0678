"""What a model made of each clip of the dev and test sets, kept beside a run: before.parquet and after.parquet.

Rates alone cannot be given an interval or compared clip by clip later; these tables can. They hold texts but no audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rapidfuzz.distance import Levenshtein

from asrdemo.errors import TrainingError

if TYPE_CHECKING:
    from asrdemo.finetune.evaluate import Score
    from asrdemo.finetune.shards import Shard

BEFORE, AFTER = "before.parquet", "after.parquet"
SLICES = ("accents", "gender", "age", "locale")


def table(shard: Shard, score: Score) -> pa.Table:
    """One row a clip, in the shard's order: set, clip, speaker, SLICES, texts, and int64 counts.

    edits of `words`, letters of `characters`; lm_*: with the language model, null without one.
    """
    references = list(score.references)
    words = [text.split() for text in references]
    none = pa.nulls(len(references), pa.int64())
    lm = list(score.lm_hypotheses)
    return pa.table(
        {
            "set": pa.array([shard.id] * len(shard), pa.string()),
            "clip": list(shard.names),
            "speaker": list(shard.column("client_id")),
            **{name: list(shard.column(name)) for name in SLICES},
            "reference": references,
            "hypothesis": list(score.hypotheses),
            "with_lm": lm or pa.nulls(len(references), pa.string()),
            "words": [len(text) for text in words],
            "edits": _edits(words, [text.split() for text in score.hypotheses]),
            "characters": [len(text) for text in references],
            "letters": _edits(references, score.hypotheses),
            "lm_edits": _edits(words, [text.split() for text in lm]) if lm else none,
            "lm_letters": _edits(references, lm) if lm else none,
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


def _edits(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> np.ndarray:
    pairs = zip(references, hypotheses, strict=True)
    return np.array([Levenshtein.distance(r, h) for r, h in pairs], dtype=np.int64)
