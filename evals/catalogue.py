"""The results that pages show: those of the app's home and those that ship with the project, loaded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from asrdemo.errors import NotFoundError, ResultError
from evals.results import ROWS, Result, list_results
from evals.scored import Scored, load

SHIPPED = Path(__file__).parents[1] / "demo"
"""Holds `results/`, made with this project's demo checkpoint; tests/test_demo_results.py makes them again."""

MOST_CLIPS = 4_000_000
"""Clips times results that stay loaded, of all combinations together; a million takes about 200 MB."""


class Catalogue:
    """Results by name. Thread-safe: pages of several visitors ask at once.

    homes: folders with `results/`; where two results have the same name, the earlier home's counts.
    """

    def __init__(self, homes: Sequence[Path], most_clips: int = MOST_CLIPS) -> None:
        self._homes, self._most = tuple(homes), most_clips
        self._loaded: OrderedDict[tuple[tuple[str, int], ...], Scored] = OrderedDict()
        self._lock = threading.Lock()

    def all(self) -> list[Result]:
        """Every result, unfinished ones too; latest first within a home, the homes in their order."""
        found: dict[str, Result] = {}
        for home in self._homes:
            for result in list_results(home):
                found.setdefault(result.name, result)
        return list(found.values())

    def complete(self) -> list[Result]:
        """The results that are finished."""
        return [result for result in self.all() if result.complete]

    def get(self, name: str) -> Result:
        """The result of this name, finished or not. Raises NotFoundError with the names there are."""
        found = {result.name: result for result in self.all()}
        if name not in found:
            raise NotFoundError(f"There is no result {name!r}; there are: {', '.join(found) or 'none'}.")
        return found[name]

    def scored(self, names: Sequence[str]) -> Scored:
        """The clips of these results, joined; the first one says what the clips are like. See evals.scored.load.

        Raises NotFoundError, and ResultError for results that are unfinished or cannot be compared.
        """
        results = [self.get(name) for name in names]
        for result in results:
            if not result.complete:
                raise ResultError(f"Result {result.name!r} is not finished; go on with its run first.")
        key = tuple((str(r.folder), (r.folder / ROWS).stat().st_mtime_ns) for r in results)
        with self._lock:  # a second visitor waits for the first one's loading rather than load it as well
            if key not in self._loaded:
                self._loaded[key] = load(results)
            self._loaded.move_to_end(key)
            while len(self._loaded) > 1 and sum(map(_size, self._loaded.values())) > self._most:
                self._loaded.popitem(last=False)
            return self._loaded[key]


def _size(scored: Scored) -> int:
    return len(scored) * len(scored.runs)
