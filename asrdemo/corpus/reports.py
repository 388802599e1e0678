"""What people reported of sentences: reported.tsv of a release (v5 on), looked up by sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from asrdemo.corpus import tsv

FILE = "reported.tsv"
KEPT = 4  # releases whose reports stay in memory; 100,000 reports take about 25 MB


@dataclass(frozen=True)
class Report:
    """reason: as the release writes it, "" where it gives none. count: how often it was given, at least 1."""

    reason: str
    count: int


@dataclass(frozen=True, eq=False)
class Reports:
    """The reports of a release. ids, sentences: by sentence id and by text; the reason given most often first."""

    ids: Mapping[str, tuple[Report, ...]]
    sentences: Mapping[str, tuple[Report, ...]]

    def of(self, sentence_id: str, sentence: str) -> tuple[Report, ...]:
        """Those of a sentence, () for none. By its id, else by its text: older releases have no ids."""
        return self.ids.get(sentence_id) or self.sentences.get(sentence, ())


def read(root: Path) -> Reports:
    """The reports of a release, none where it has no such file; kept for as long as the file stays as it is.

    Raises CorpusError for a file that cannot be read as a table.
    """
    path = root / FILE
    if not path.is_file():
        return Reports({}, {})
    found = path.stat()
    return _read(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=KEPT)
def _read(path: Path, size: int, changed: int) -> Reports:
    """size and time of change are there so that a changed file is read again."""
    if "reason" not in tsv.header(path):
        return Reports({}, {})
    rows, _ = tsv.read(path, ("sentence", "sentence_id", "reason"))
    return Reports(_by("sentence_id", rows), _by("sentence", rows))


def _by(key: str, rows: pa.Table) -> dict[str, tuple[Report, ...]]:
    if key not in rows.column_names:
        return {}
    counted = rows.group_by([key, "reason"]).aggregate([([], "count_all")])
    found: dict[str, list[Report]] = {}
    for text, reason, count in zip(*(counted[n].to_pylist() for n in (key, "reason", "count_all")), strict=True):
        if text:
            found.setdefault(text, []).append(Report(reason, count))
    alike: dict[tuple[Report, ...], tuple[Report, ...]] = {}  # most sentences have one report of a few kinds
    ordered = ((text, tuple(sorted(each, key=lambda r: (-r.count, r.reason)))) for text, each in found.items())
    return {text: alike.setdefault(each, each) for text, each in ordered}
