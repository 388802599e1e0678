"""What is in a corpus, and what is wrong with it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from asrdemo import text
from asrdemo.corpus.columns import TEXT
from asrdemo.corpus.release import Corpus
from asrdemo.types import Progress

COVERED = (*(name for name in TEXT if name not in ("clip", "accents_raw", "gender_raw")), "up_votes", "seconds")
"""Columns whose coverage is told. "" and missing count as not filled."""

COUNTED = ("gender", "age", "accents", "variant", "sentence_domain", "reported")
"""Columns whose values are counted, with hours and speakers."""

FASTEST = 30.0  # characters a second that nobody reads aloud; Spontaneous Speech's own `speech-rate` flag begins here
FASTEST_BY_CHARACTER = 12.0  # in scripts where a character is a syllable or more
SILENT_DB = -60.0  # dBFS
CLIPPED = 0.001  # share of samples at full scale
MISMATCH = 0.25  # seconds between the declared and the measured length; mp3 padding alone makes up to 0.1
_CHUNK = 1 << 16  # sentences whose characters are counted at a time


@dataclass(frozen=True)
class Audit:
    """All lists hold one dict a row, ready for a table.

    splits: split, clips, hours, unknown_length, speakers, sentences, measured, quarantined.
    coverage: split, column, filled (0 to 1), values (distinct).
    values: split, column, value, clips, hours, speakers, for columns that are filled anywhere in the split.
    overlaps: split, other, speakers, sentences (as written), clips (in both).
    suspicious: split, clip, reason, detail. quarantined: split, clip, reason.
    characters: character, name, count; over the sentences of all splits, a clip in several counted in each.
    notes: what to know to read this.
    """

    name: str
    language: str
    splits: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    overlaps: list[dict[str, Any]] = field(default_factory=list)
    suspicious: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    characters: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def audit(
    corpus: Corpus, profile: str | None = None, splits: Sequence[str] = (), progress: Progress | None = None
) -> Audit:
    """Look through the splits of a corpus, by default all of them.

    profile: of asrdemo.text, for lengths of sentences; by default that of the corpus' language.
    Silence, clipping and the true lengths are known for splits that asrdemo.measure went through; missing and empty
    files are found without. Raises what Corpus.load raises.
    """
    profile = profile or text.for_language(corpus.language)
    out = Audit(corpus.name, corpus.language)
    seen: dict[str, dict[str, pd.Index]] = {}
    counts: dict[str, int] = {}
    chosen = tuple(splits) or corpus.splits
    for i, split in enumerate(chosen):
        loaded = corpus.load(split, check_clips=True)
        rows, measured = loaded.rows, corpus.measurements(split)
        bad = loaded.quarantined
        left_out = [{"split": split, "clip": c, "reason": r} for c, r in zip(bad["clip"], bad["reason"], strict=True)]
        out.quarantined.extend(left_out)
        out.splits.append(_summary(split, rows) | {"measured": measured is not None, "quarantined": len(left_out)})
        out.coverage.extend(_coverage(split, rows))
        out.values.extend(_values(split, rows))
        out.suspicious.extend(_suspicious(split, rows, measured, profile))
        seen[split] = {name: pd.Index(rows[name].unique()) for name in ("client_id", "reference_raw", "clip")}
        _count(rows["reference_raw"], counts)
        if progress:
            progress(i + 1, len(chosen), "looking through the splits")
    out.overlaps.extend(_overlap(a, b, seen) for a, b in combinations(chosen, 2))
    out.characters.extend(_characters(counts))
    heard = [row["split"] for row in out.splits if row["measured"]]
    if heard:
        out.notes.append(f"Every clip was decoded, and its sound looked at: {', '.join(heard)}.")
    unmeasured = [row["split"] for row in out.splits if not row["measured"]]
    if unmeasured:
        out.notes.append(f"Not measured, so silence, clipping and true lengths are not known: {', '.join(unmeasured)}.")
    if any(row["unknown_length"] for row in out.splits):
        out.notes.append("Clips of unknown length are not in the hours; measuring finds their lengths.")
    if {"validated", "train"} <= set(chosen):
        out.notes.append("validated holds the clips of train, dev and test by design.")
    return out


def _summary(split: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "split": split,
        "clips": len(rows),
        "hours": _hours(rows["seconds"]),
        "unknown_length": int(rows["seconds"].isna().sum()),
        "speakers": _distinct(rows["client_id"]),
        "sentences": _distinct(rows["reference_raw"]),
    }


def _hours(seconds: pd.Series) -> float:
    return round(float(seconds.sum()) / 3600, 3)


def _distinct(column: pd.Series) -> int:
    """Distinct values, the blank one left out."""
    return int(column[column != ""].nunique())


def _coverage(split: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    filled = {name: rows[name].notna() & (rows[name] != "") for name in COVERED}
    return [
        {
            "split": split,
            "column": name,
            "filled": round(float(is_filled.mean()), 4) if len(rows) else 0.0,
            "values": int(rows[name][is_filled].nunique()),
        }
        for name, is_filled in filled.items()
    ]


def _values(split: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    out = []
    for name in COUNTED:
        if not _distinct(rows[name]):
            continue
        groups = rows.groupby(name, observed=True)
        table = pd.DataFrame(
            {"clips": groups.size(), "seconds": groups["seconds"].sum(), "speakers": groups["client_id"].nunique()}
        )
        for value, row in table.sort_values("clips", ascending=False, kind="stable").iterrows():
            told = {"split": split, "column": name, "value": value, "clips": int(row["clips"])}
            out.append(told | {"hours": round(row["seconds"] / 3600, 3), "speakers": int(row["speakers"])})
    return out


def _suspicious(split: str, rows: pd.DataFrame, measured: pd.DataFrame | None, profile: str) -> list[dict[str, Any]]:
    letters = np.array([len(t.replace(" ", "")) for t in text.normalise_all(rows["reference_raw"].tolist(), profile)])
    declared = rows["seconds"].to_numpy()
    seconds = declared
    checks: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        ("no text", letters == 0, lambda i: repr(rows["reference_raw"].iloc[i]))
    ]
    if measured is not None:
        found = measured.reindex(rows["clip"])
        lengths, loudness, clipped = (found[name].to_numpy() for name in ("seconds", "loudness", "clipped"))
        seconds = np.where(np.isnan(lengths), declared, lengths)
        checks += [
            ("silent", loudness < SILENT_DB, lambda i: f"{loudness[i]:.0f} dBFS"),
            ("clipped", clipped > CLIPPED, lambda i: f"{100 * clipped[i]:.2f} % of samples at full scale"),
            (
                "duration mismatch",
                np.abs(lengths - declared) > MISMATCH,
                lambda i: f"declared {declared[i]:.2f} s, measured {lengths[i]:.2f} s",
            ),
        ]
    fastest = FASTEST_BY_CHARACTER if text.profile(profile).by_character else FASTEST
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = letters / seconds
    checks.insert(0, ("too fast for its text", rate > fastest, lambda i: f"{rate[i]:.0f} characters a second"))
    return [
        {"split": split, "clip": rows["clip"].iloc[i], "reason": reason, "detail": detail(i)}
        for reason, bad, detail in checks
        for i in np.flatnonzero(bad)
    ]


def _overlap(a: str, b: str, seen: dict[str, dict[str, pd.Index]]) -> dict[str, Any]:
    def both(name: str) -> int:
        shared = seen[a][name].intersection(seen[b][name])
        return int((shared != "").sum())

    shared = {"speakers": both("client_id"), "sentences": both("reference_raw"), "clips": both("clip")}
    return {"split": a, "other": b, **shared}


def _count(sentences: pd.Series, counts: dict[str, int]) -> None:
    """Add the characters of these sentences."""
    for at in range(0, len(sentences), _CHUNK):
        joined = "".join(sentences.iloc[at : at + _CHUNK])
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
            counts[chr(code)] = counts.get(chr(code), 0) + int(count)


def _characters(counts: dict[str, int]) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"character": c, "name": unicodedata.name(c, f"U+{ord(c):04X}"), "count": n} for c, n in ordered]
