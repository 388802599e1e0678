"""What people say of clips: "bad label", "interesting". Kept in the app's home, one file for each corpus and split.

A mark is of a clip, not of a result: it shows wherever the clip does, in every evaluation of the same corpus.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.errors import ConfigError, ResultError
from evals.results import Result, write_json

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("bad label", "interesting")
MOST = 20_000  # of one corpus; a file of 2 MB


def marks(home: Path, result: Result) -> dict[str, str]:
    """Clip -> one of KINDS, of the corpus and split that a result heard."""
    return {clip: each["mark"] for clip, each in _read(_path(home, result)).items()}


def mark(home: Path, result: Result, clip: str, kind: str) -> None:
    """Mark a clip, or take its mark away with the kind "". Raises ConfigError, and ResultError for too many."""
    if kind and kind not in KINDS:
        raise ConfigError(f"There is no mark {kind!r}; there are: {', '.join(KINDS)}.")
    path = _path(home, result)
    with _writing(path):
        kept = _read(path)
        kept.pop(clip, None)
        if kind:
            if len(kept) >= MOST:
                raise ResultError(f"{MOST:,} clips of this corpus are marked, which is all that is kept. Remove some.")
            kept[clip] = {"mark": kind, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        write_json(path, kept)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """One writer at a time, also of several apps with one home."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def table(home: Path, result: Result) -> pd.DataFrame:
    """The marks with what was said and heard there. Columns: clip, mark, at, reference_raw, hypothesis_raw."""
    import pandas as pd

    kept = _read(_path(home, result))
    among = pc.field("clip").isin(pa.array(list(kept), pa.string()))
    heard = result.read(["clip", "reference_raw", "hypothesis_raw"], filters=among)
    said = pd.DataFrame([{"clip": clip, **each} for clip, each in kept.items()], columns=["clip", "mark", "at"])
    return said.merge(heard.to_pandas(), on="clip", how="left")


def _path(home: Path, result: Result) -> Path:
    corpus = result.info["pins"]["corpus"]
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in f"{corpus['name']}-{corpus['split']}")
    return home / "marks" / f"{name}-{corpus['fingerprint'][:16]}.json"


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        listed = found.values() if isinstance(found, dict) else [found]
        if not all(isinstance(each, dict) and each.get("mark") in KINDS for each in listed):
            raise ValueError("it does not list clips with their marks")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ResultError(f"The marks in {path.name} cannot be read: {error}. Mend or remove that file.") from error
    kept: dict[str, dict[str, str]] = found
    return kept
