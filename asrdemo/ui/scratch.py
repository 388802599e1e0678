"""A folder on disk that is gone when its process is, however that process ended."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path


class Scratch:
    """A folder of this process under `parent`, made when it is first asked for.

    It is removed when this object or the process ends; what a killed process could not remove, the next one does when
    it starts. A lock on a file inside tells folders in use from those left over.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._lock = threading.Lock()
        if parent.is_dir():
            _sweep(parent)

    def folder(self) -> Path:
        """The folder; made at the first call."""
        with self._lock:
            if self._folder is None:
                self._parent.mkdir(parents=True, exist_ok=True)
                # made elsewhere and moved in once it is locked, so that no other process takes it for left over
                with tempfile.TemporaryDirectory(dir=self._parent.parent) as place:
                    fresh = Path(place) / self._parent.name
                    fresh.mkdir()
                    handle = os.open(fresh / "lock", os.O_CREAT | os.O_RDWR)
                    _lock(handle)
                    self._folder = fresh.rename(self._parent / Path(place).name)
                weakref.finalize(self, _remove, self._folder, handle)
            return self._folder


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that have gone."""
    for folder in parent.iterdir():
        try:
            handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
        except OSError:  # not ours, or another process is removing it
            continue
        if _lock(handle):
            _remove(folder, handle)
        else:
            os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; False where another holds it, or files cannot be locked."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # Windows, or a file system without locks: then nothing is swept
        return False
    return True


def _remove(folder: Path, handle: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(handle)
