"""The corpus side of a run: which clips, in which order, what is known of them. The one place that opens corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.registry import Registry
from asrdemo.text import for_language
from asrdemo.types import Progress
from evals.parts import window_size
from evals.results import CLIP_COLUMNS, SCHEMA, Result

if TYPE_CHECKING:
    from asrdemo.corpus import Corpus

MEASURED = ("loudness", "snr", "bandwidth")


@dataclass(frozen=True, eq=False)
class Source:
    """The clips of a run.

    name: of the corpus. profile: how its sentences are normalised, None where nobody said. table: the columns that
    evals.results.CLIP_COLUMNS names, one row a clip, in the order of the corpus. measured: whether the columns MEASURED
    are known; if not they are null. limit: only so many first rows were taken. quarantined: rows of the corpus that
    name no usable clip. location: where a corpus lies that the registry does not list.
    """

    name: str
    split: str
    fingerprint: str
    profile: str | None
    table: pa.Table
    measured: bool
    limit: int | None
    quarantined: tuple[dict[str, str], ...]
    corpus: Corpus
    location: str | None = None

    @property
    def window(self) -> int:
        """Clips in a window."""
        return window_size(self.table.num_rows)

    @property
    def windows(self) -> int:
        """How many windows the clips fill; at least one, which may be empty."""
        return max(1, -(-self.table.num_rows // self.window))

    def rows(self, window: int) -> pa.Table:
        """The clips of a window."""
        return self.table.slice(window * self.window, self.window)

    def file(self, clip: str) -> Path:
        """The file of a clip. Raises NotFoundError."""
        return self.corpus.audio(clip)

    def take(self, windows: Sequence[int], progress: Progress | None = None) -> None:
        """Have the clips of these windows as files: an archive is read through once for all of them."""
        self.corpus.take((name for w in windows for name in self.rows(w).column("clip").to_pylist()), progress)


def open_source(name: str, split: str, known: Registry, limit: int | None = None) -> Source:
    """The clips of a split. name: id of a corpus of the registry, or a folder or archive.

    limit: take the first rows only. Raises NotFoundError, CorpusError, ConfigError.
    """
    from asrdemo.corpus import open_corpus

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit is {limit}; expected a whole number of at least 1.")
    spec = known.corpora.get(name)
    if spec is None and not Path(name).exists():
        known.corpus(name)  # says which there are
    corpus = open_corpus(spec.path if spec else Path(name))
    loaded = corpus.load(split)
    frame = loaded.rows if limit is None else loaded.rows.head(limit)
    columns = {c: pa.array(frame[c], SCHEMA.field(c).type) for c in CLIP_COLUMNS if c in frame}
    kept = corpus.measurements(split)
    for column in MEASURED:
        values = pa.nulls(len(frame)) if kept is None else kept[column].reindex(frame["clip"]).to_numpy()
        columns[column] = pa.array(values, pa.float32(), from_pandas=True)
    schema = pa.schema([SCHEMA.field(c) for c in CLIP_COLUMNS])
    return Source(
        name=spec.id if spec else corpus.name,
        split=split,
        fingerprint=corpus.fingerprint(split),
        profile=spec.profile if spec else for_language(corpus.language) if corpus.language else None,
        table=pa.table(columns, schema=schema),
        measured=kept is not None,
        limit=limit,
        quarantined=tuple({"clip": c, "reason": r} for c, r in loaded.quarantined.itertuples(index=False)),
        corpus=corpus,
        location=None if spec else str(Path(name).resolve()),
    )


def corpus_of(result: Result, known: Registry) -> Corpus:
    """The corpus that a result heard, to play its clips: the registry's of that id, else from where it was then.

    Raises NotFoundError where it is no longer there.
    """
    from asrdemo.corpus import open_corpus

    name = result.info["pins"]["corpus"]["name"]
    spec, before = known.corpora.get(name), result.info.get("location")
    place = spec.path if spec else Path(before) if before else None
    if place is None or not place.exists():
        raise NotFoundError(
            f"Corpus {name!r} of result {result.name!r} is not on this machine; its clips cannot be played."
        )
    return open_corpus(place)
