"""data.json of a run: what it is made of, and what was left out. Counts are whole; names only the first of each kind,
since a release of a million clips may lose tens of thousands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo.process import read_json

if TYPE_CHECKING:
    from asrdemo.finetune.data import Pool
    from asrdemo.finetune.shards import Shard

FILE = "data.json"
MOST_NAMES = 100  # of each kind that are kept; quarantine.tsv of a shard has all that it dropped
_MOST_BYTES = 1 << 26  # runs of before had every name in it


def describe(clips: Pool, dev: Sequence[Shard], processes: int) -> dict[str, Any]:
    """What a run is made of, for its data.json."""
    return {
        "train": {s.id: {**_size(s), "dropped": {why: _kept(n) for why, n in s.dropped.items()}} for s in clips.shards},
        "dev": {s.id: _size(s) for s in dev},
        "processes": processes,
        "infeasible": _kept(clips.infeasible),
        "unwritable": _kept(clips.unwritable),
    }


def read(folder: Path) -> dict[str, Any]:
    """Of a run directory; {} where there is none."""
    return read_json(folder / FILE, _MOST_BYTES)


def count(said: object) -> int:
    """How many clips a `dropped`, `infeasible` or `unwritable` is about; runs of before list all of them."""
    if isinstance(said, dict):
        said = said.get("clips")
    return said if isinstance(said, int) else len(said) if isinstance(said, list) else 0


def _size(shard: Shard) -> dict[str, Any]:
    return {"clips": len(shard), "hours": round(shard.hours, 3)}


def _kept(names: Sequence[str]) -> dict[str, Any]:
    return {"clips": len(names), "names": list(names[:MOST_NAMES])}
