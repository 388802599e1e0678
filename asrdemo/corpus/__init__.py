"""Corpora: a Common Voice release of any version, Spontaneous Speech, or any set in that layout, as tables of clips.

    open_corpus(path) -> Corpus      a folder or a downloaded .tar.gz
    Corpus.table(split)              one row a clip, known columns, pandas
    audit(corpus) -> Audit           what is in it and what is wrong with it

Modules:
    layout.py      where a release keeps its tables and clips
    tsv.py         tables without quoting, damaged rows set apart
    columns.py     columns of any release -> known columns;  accents.py: codes, names and free text -> names
    reports.py     reported.tsv -> reasons by sentence
    durations.py   clip_durations.tsv, times.txt, audio headers -> seconds
    tar.py         members of an archive that nobody vouches for;  archive.py: an archive that unpacks a clip once
    release.py     Corpus: all of the above
    kept.py        where asrdemo.measure keeps what it measures
    auditing.py    splits, speakers, coverage, overlap, suspicious clips, characters;  audits.py: those that are kept
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from asrdemo.corpus.auditing import Audit, audit
from asrdemo.corpus.release import Corpus, Split, open_corpus

__all__ = ["COLUMNS", "Audit", "Corpus", "Split", "audit", "named_as_released", "open_corpus", "read", "splits"]

COLUMNS = ("client_id", "path", "sentence", "age", "gender", "accents", "variant", "locale", "sentence_domain")
"""Text columns of `read`."""


def splits(folder: Path) -> tuple[str, ...]:
    """Names of the splits in a release folder. Raises NotFoundError when the folder is not there."""
    return open_corpus(folder).splits


def read(folder: Path, split: str) -> pd.DataFrame:
    """One split of a release folder as Corpus.load gives it, with the release's own names.

    A clip named twice is there twice, as training and scoring of single files take every row as it comes.
    """
    return named_as_released(open_corpus(folder).load(split, unique=False))


def named_as_released(split: Split) -> pd.DataFrame:
    """The rows of a split with the release's own names for clip (`path`) and text (`sentence`)."""
    return split.rows.rename(columns={"clip": "path", "reference_raw": "sentence"})
