"""Example clips for the first click: a few voices of a small corpus in the repository."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asrdemo.registry import Registry

SHOWN = 6
_GENDER = {"female_feminine": "woman", "female": "woman", "male_masculine": "man", "male": "man"}


@dataclass(frozen=True)
class Example:
    """A clip a visitor can hear at once. voice: who speaks, as far as known; seconds: 0 if unknown."""

    path: Path
    sentence: str
    voice: str
    seconds: float = 0.0
    language: str = "en"


def examples(registry: Registry, count: int = SHOWN) -> list[Example]:
    """Up to `count` clips of the first corpus that has a test split: those its examples.txt lists, in that order.

    Where there is no such list, one of each voice before a second of any. Reads small tables without pandas, so that
    the first page stays quick. Empty when no corpus is there.
    """
    for corpus in registry.corpora.values():
        found = _of_corpus(corpus.path, corpus.language)
        if found:
            return _listed(corpus.path, found)[:count] or _varied(found, count)
    return []


def _of_corpus(folder: Path, language: str) -> list[Example]:
    seconds = {row["clip"]: float(row["duration[ms]"]) / 1000 for row in _rows(folder / "clip_durations.tsv")}
    return [
        Example(file, row["sentence"], _voice(row), seconds.get(row["path"], 0.0), language)
        for row in _rows(folder / "test.tsv")
        if (file := folder / "clips" / row["path"]).is_file() and 2.0 <= seconds.get(row["path"], 3.0) <= 8.0
    ]


def _listed(folder: Path, found: list[Example]) -> list[Example]:
    by_name = {example.path.name: example for example in found}
    return [by_name[row["path"]] for row in _rows(folder / "examples.txt") if row["path"] in by_name]


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _voice(row: dict[str, str]) -> str:
    accent = (row.get("accents") or row.get("accent") or "").split(" (")[0].strip()
    accent = accent.removesuffix(" English")  # cards are narrow
    return ", ".join(part for part in (accent, _GENDER.get(row.get("gender") or "", "")) if part)


def _varied(found: list[Example], count: int) -> list[Example]:
    """One of each voice in turn, medium lengths first within a voice."""
    groups: dict[str, list[Example]] = {}
    for example in sorted(found, key=lambda e: (abs(e.seconds - 4.0), e.path.name)):
        groups.setdefault(example.voice, []).append(example)
    queues = [groups[voice] for voice in sorted(groups)]
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return turns[:count]
