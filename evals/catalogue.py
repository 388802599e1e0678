"""The results that pages show: those of the app's home and those that ship with the project, loaded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrdemo.errors import NotFoundError, ResultError
from evals.results import ROWS, RUN, Result, list_results, open_result
from evals.scored import Scored, load

SHIPPED = Path(__file__).parents[1] / "demo"
"""Holds `results/`, made with this project's demo checkpoint; tests/test_demo_results.py makes them again."""

MOST_CLIPS = 4_000_000
"""Clips times results that stay loaded, of all combinations together. A million takes 200 MB, and up to 1 GB once pages
have asked for every column and crossing."""


_MOST_READ = 10_000  # files of results that are not read again; each takes a few kB


class Catalogue:
    """Results by name. Thread-safe: pages of several visitors ask at once.

    homes: folders with `results/`; where two results have the same name, the earlier home's counts.
    """

    def __init__(self, homes: Sequence[Path], most_clips: int = MOST_CLIPS) -> None:
        self._homes, self._most = tuple(homes), most_clips
        self._loaded: OrderedDict[_Key, _Entry] = OrderedDict()
        self._read: dict[Path, tuple[tuple[int, int], Result]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Result]:
        """Every result, unfinished ones too; latest first within a home, the homes in their order."""
        found: dict[str, Result] = {}
        for home in self._homes:
            for result in list_results(home, self._opened):
                found.setdefault(result.name, result)
        return list(found.values())

    def _opened(self, folder: Path) -> Result:
        """The result in a folder; its file is not read again while it stays as it is."""
        try:
            file = (folder / RUN).stat()
        except OSError:  # it has just been deleted; `open_result` says so
            return open_result(folder)
        stamp = file.st_mtime_ns, file.st_size
        known = self._read.get(folder)
        if known is None or known[0] != stamp:
            known = stamp, open_result(folder)
            self._read[folder] = known
            while len(self._read) > _MOST_READ:
                self._read.pop(next(iter(self._read)), None)
        return known[1]

    def complete(self) -> list[Result]:
        """The results that are finished."""
        return [result for result in self.all() if result.complete]

    def get(self, name: str) -> Result:
        """The result of this name, finished or not. Raises NotFoundError with the names there are."""
        return self._named([name])[0]

    def _named(self, names: Sequence[str]) -> list[Result]:
        found = {result.name: result for result in self.all()}
        for name in names:
            if name not in found:
                raise NotFoundError(f"There is no result {name!r}; there are: {', '.join(found) or 'none'}.")
        return [found[name] for name in names]

    def scored(self, names: Sequence[str]) -> Scored:
        """The clips of these results, joined; the first one says what the clips are like. See evals.scored.load.

        Raises NotFoundError, and ResultError for results that are unfinished or cannot be compared.
        """
        results = self._named(names)
        for result in results:
            if not result.complete:
                raise ResultError(f"Result {result.name!r} is not finished; go on with its run first.")
        key = tuple((str(r.folder), _changed(r)) for r in results)
        with self._lock:
            entry = self._loaded.setdefault(key, _Entry())
            self._loaded.move_to_end(key)
        with entry.lock:  # a second visitor waits for the first one's loading rather than load it as well
            if entry.scored is None:
                try:
                    entry.scored = load(results)
                finally:
                    if entry.scored is None:  # tried again by whoever asks next
                        self._forget(key)
        with self._lock:
            while len(self._loaded) > 1 and sum(e.size for e in self._loaded.values()) > self._most:
                self._loaded.popitem(last=False)
        return entry.scored

    def _forget(self, key: _Key) -> None:
        with self._lock:
            self._loaded.pop(key, None)


_Key = tuple[tuple[str, int], ...]


@dataclass(eq=False)
class _Entry:
    """scored: None until it is loaded."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    scored: Scored | None = None

    @property
    def size(self) -> int:
        return len(self.scored) * len(self.scored.runs) if self.scored is not None else 0


def _changed(result: Result) -> int:
    """When its rows were written last."""
    try:
        return (result.folder / ROWS).stat().st_mtime_ns
    except OSError as error:
        raise ResultError(f"Result {result.name!r} has lost its {ROWS} ({error.strerror}). Run it again.") from error
