"""A corpus of a recipe -> the clips of it that take part: filters, and so many hours by whole speakers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from asrdemo import corpus, registry
from asrdemo.corpus import accents, durations
from asrdemo.errors import ConfigError, TrainingError
from asrdemo.finetune.recipe import DevCorpus, TrainCorpus, resolve_folder
from asrdemo.types import Progress

Source = TrainCorpus | DevCorpus

TEXT = ("name", "client_id", "accents", "gender", "age", "locale", "sentence")
"""Text columns of a selection: `name` is the clip's file, `sentence` as written; accents and gender in the names of
asrdemo.corpus, "" where the release does not say."""
_RENAMED = {"clip": "name", "reference_raw": "sentence"}
_SHOWN = 24  # names that a message lists
_AT_ONCE = 1_000  # clips whose headers are read before looking whether they are enough


@dataclass(frozen=True)
class Selection:
    """rows: the columns TEXT and `seconds` (float64, NaN where nothing tells), one row a clip, in the table's order.
    left_out: (clip or start of the row, reason) of rows that name no usable clip, or one that was named before."""

    rows: pa.Table
    left_out: tuple[tuple[str, str], ...]


def corpus_of(source: Source, progress: Progress | None = None) -> corpus.Corpus:
    """The corpus that `folder` names: the id of one in models.yaml, a folder or an archive ($NAME: of the environment).

    Raises NotFoundError with the ids there are, ConfigError, CorpusError.
    """
    if not {"/", "$"} & set(source.folder):
        known = registry.read()
        if source.folder in known.corpora or not resolve_folder(source.folder).exists():
            return corpus.open_corpus(known.corpus(source.folder).path, progress=progress)
    return corpus.open_corpus(resolve_folder(source.folder), progress=progress)


def rows(opened: corpus.Corpus, source: Source, seed: int) -> pa.Table:
    """The clips that take part, see Selection.rows. Raises what `choose` raises."""
    return choose(opened, source, seed).rows


def choose(opened: corpus.Corpus, source: Source, seed: int) -> Selection:
    """Apply the source's filters, then draw its fraction and its hours.

    The draw depends on the seed and the clips alone: less of the same seed is always a part of more.
    Raises ConfigError for a name that the corpus does not have, TrainingError where no clip is left, CorpusError,
    NotFoundError.
    """
    loaded = opened.load(source.split)
    frame, left = loaded.rows, {"in the table": len(loaded.rows)}
    for label, keep in _filters(opened, source, frame):
        frame = frame[keep.reindex(frame.index)]
        left[f"after {label}"] = len(frame)
    if not len(frame):
        counts = ", ".join(f"{count:,} {when}" for when, count in left.items())
        raise TrainingError(f"No clip of {source.id!r} ({source.split}) is left: {counts}. Relax its filters.")
    if isinstance(source, TrainCorpus) and source.fraction < 1:
        frame = frame.iloc[np.sort(_order(frame, seed)[: math.ceil(source.fraction * len(frame))])]
    if source.hours > 0:
        frame = _drawn(opened, frame, source.hours * 3600, seed)
    table = pa.Table.from_pandas(frame.rename(columns=_RENAMED)[[*TEXT, "seconds"]], preserve_index=False)
    return Selection(table.replace_schema_metadata(None), tuple(loaded.quarantined.itertuples(index=False, name=None)))


def _filters(opened: corpus.Corpus, source: Source, frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """(what is asked for, which rows have it) of every filter in use."""
    asked = [("accents", source.accents)]
    found: list[tuple[str, pd.Series]] = []
    if isinstance(source, TrainCorpus):
        asked += [("gender", source.genders), ("age", source.ages)]
        if source.min_up_votes > 0:
            found.append((f"min_up_votes {source.min_up_votes}", _votes(frame, "up") >= source.min_up_votes))
        if source.max_down_votes >= 0:
            found.append((f"max_down_votes {source.max_down_votes}", _votes(frame, "down") <= source.max_down_votes))
    for column, names in asked:
        if names:
            having, unknown = _having(frame, column, names)
            if unknown:
                raise _unknown_name(source, column, frame, unknown)
            found.append((f"{column} {', '.join(names)}", having))
    if source.exclude_accents:
        having, unknown = _having(frame, "accents", source.exclude_accents)
        if unknown - _accents_elsewhere(opened, unknown):
            raise _unknown_name(source, "accents", frame, unknown)
        found.append((f"exclude_accents {', '.join(source.exclude_accents)}", ~having))
    return found


def _votes(frame: pd.DataFrame, which: str) -> pd.Series:
    """Votes, 0 where the release does not say."""
    return frame[f"{which}_votes"].fillna(0)


def _having(frame: pd.DataFrame, column: str, names: tuple[str, ...]) -> tuple[pd.Series, set[str]]:
    """Which rows have one of these names, in the release's spelling or in ours, and the names that no row has.

    A speaker of several accents has each of them.
    """
    having, wanted, met = np.zeros(len(frame), bool), set(names), set()
    for spelling in (column, f"{column}_raw"):
        if spelling in frame:
            codes, values = pd.factorize(frame[spelling])
            hits = [wanted & {value, *value.split(accents.SEPARATOR)} for value in values]
            met |= set().union(*hits)
            having |= np.array([bool(hit) for hit in hits], bool)[codes]
    return pd.Series(having, frame.index), wanted - met


def _accents_elsewhere(opened: corpus.Corpus, names: set[str]) -> set[str]:
    """Those of the names that are accents of the language, or of another split: to leave out what is not there is no
    mistake, unlike a misspelt name."""
    codes, known = accents.known(opened.language)
    found = names & {*codes, *known}
    for split in opened.splits:
        if names - found:
            found = names - _having(opened.table(split), "accents", tuple(names - found))[1]
    return found


def _unknown_name(source: Source, column: str, frame: pd.DataFrame, unknown: set[str]) -> ConfigError:
    there = [str(value) for value in frame[column].value_counts().index if value]
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return ConfigError(
        f"No clip of {source.id!r} ({source.split}) has the {column} {', '.join(map(repr, sorted(unknown)))}; there "
        f"are: {', '.join(map(repr, there[:_SHOWN])) or 'none at all'}{more}."
    )


def _order(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Places of the clips, speaker by speaker in random order; a clip of an unknown speaker stands for itself."""
    frame = frame.reset_index(drop=True).sort_values("clip", kind="stable")  # so that the table's order has no say
    speakers = frame["client_id"].astype(str)
    codes, values = pd.factorize(speakers.where(speakers != "", frame["clip"].astype(str)), sort=True)
    place = np.random.default_rng(seed).permutation(len(values))
    return frame.index.to_numpy()[np.argsort(place[codes], kind="stable")]


def _drawn(opened: corpus.Corpus, frame: pd.DataFrame, wanted: float, seed: int) -> pd.DataFrame:
    """Clips of speakers in random order until `wanted` seconds are reached; the last speaker may be cut.

    Lengths that nothing tells are read from the audio's headers, of as many clips as it takes; one without a readable
    header adds nothing, and will be set aside when it is decoded.
    """
    order = _order(frame, seed)
    seconds = frame["seconds"].to_numpy(float, copy=True)[order]
    files, clips = frame["file"].iloc[order], frame["clip"].iloc[order]
    if np.isnan(seconds).any():
        opened.take(clips)
    total, taken = 0.0, 0
    while taken < len(order) and total < wanted:
        chunk = slice(taken, taken + _AT_ONCE)
        silent = np.flatnonzero(np.isnan(seconds[chunk]))
        seconds[chunk][silent] = durations.from_headers(files.iloc[chunk].iloc[silent].tolist())
        sums = total + np.cumsum(np.nan_to_num(seconds[chunk]))
        enough = int(np.searchsorted(sums, wanted)) + 1  # with the clip that reaches it
        taken, total = taken + min(enough, len(sums)), float(sums[min(enough, len(sums)) - 1])
    drawn = frame.assign(seconds=pd.Series(seconds, frame.index[order])).loc[frame.index[order[:taken]]]
    return drawn.sort_index()
