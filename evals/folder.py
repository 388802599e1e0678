"""A result's folder through its life: begun under pins, gone on with under the same ones, closed, merged.

run.json: `format`, `name`, `state` (running, complete), `started`, `finished` (UTC), `command`; `pins`, which decide
the rows (see evals.pins); `quarantined` (clip, reason); once complete also the totals (see evals.parts.Totals). No
step draws random numbers, so `seed` is null. `location`: folder or archive of a corpus that the registry does not list.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from asrdemo.errors import NotFoundError, ResultError
from evals import parts, pins, results
from evals.pins import Pins
from evals.results import RUN, Result, open_result, write_json

_SHOWN = 8  # differences named in a message
_LOCK = "lock"  # file held by the process that closes the result; gone once it is complete


def begun(folder: Path) -> Result | None:
    """The result in this folder, or None where there is none yet. Raises ResultError for a broken one."""
    try:
        return open_result(folder)
    except NotFoundError:
        return None


def begin(
    folder: Path, decided: Pins, quarantined: Iterable[dict[str, str]] = (), location: str | None = None
) -> Result:
    """A new result under these pins; the one that another process began in the meantime, if so."""
    info = {
        "started": _now(),
        "finished": None,
        "command": ["python -m evals" if "evals" in sys.argv[0] else Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": None,
        "location": location,
        "pins": decided,
        "quarantined": list(quarantined),
    }
    return results.begin(folder, info)


def refuse(result: Result, now: Pins) -> None:
    """Raises ResultError, naming what differs, where the result was begun under other pins than these."""
    found = pins.differences(result.info["pins"], now)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ResultError(
            f"Result {result.name!r} was begun with other settings - {'; '.join(found[:_SHOWN])}{more}. "
            "Give them as they were, or another --out."
        )


def close(folder: Path, windows: int, shard: tuple[int, int] = (1, 1)) -> Result:
    """Put the rows together if every window is there; else the result as it is, unless this was all of it.

    Raises ResultError where windows are missing that no other shard will bring.
    """
    open_result(folder)  # where there is none, no lock is made
    with _locked(folder):
        return _close(folder, windows, shard)


def _close(folder: Path, windows: int, shard: tuple[int, int] = (1, 1)) -> Result:
    result = open_result(folder)
    if result.complete:  # by another process; this one may have written a part since
        parts.sweep(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        return result
    if shard[1] > 1 and parts.missing(folder, windows):
        return result
    rescored = "rescored" in result.info["pins"]  # then only clips that were heard are decoded
    totals = parts.assemble(folder, windows, None if rescored else result.info["pins"]["corpus"]["clips"])
    if rescored:
        totals["rtfx"] = None  # no model ran
    totals["quarantined"] = result.info["quarantined"] + totals["quarantined"]
    write_json(folder / RUN, {**result.info, "state": "complete", "finished": _now(), **totals})
    (folder / _LOCK).unlink(missing_ok=True)
    return open_result(folder)


def merge(folders: Sequence[Path], out: Path) -> Result:
    """One result from shards that ran in folders of their own; in order of the corpus, as if nothing had been parted.

    A single folder may be its own `out`: it is put together if all its windows are there.
    Raises ResultError where pins differ, windows are missing, or there is nothing to merge.
    """
    shards = [open_result(folder) for folder in folders]
    first = shards[0]
    for other in shards[1:]:
        refuse(first, other.info["pins"])
    whole = next((s for s in shards if s.complete), None)
    if whole is not None:
        raise ResultError(f"Result {whole.name!r} is complete already; there is nothing to merge.")
    corpus = first.info["pins"]["corpus"]
    target = begin(out, first.info["pins"], first.info["quarantined"], first.info.get("location"))
    refuse(target, first.info["pins"])
    with _locked(out):
        if not open_result(out).complete:
            parts.gather([s.folder for s in shards], out)
        return _close(out, max(1, -(-corpus["clips"] // corpus["window"])))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process closes this result, and keep the others waiting meanwhile."""
    try:
        import fcntl
    except ImportError:  # Windows: closing twice does no harm, but one of the two may fail
        yield
        return
    with (folder / _LOCK).open("w") as handle:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
