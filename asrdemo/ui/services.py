"""What the handlers of all tabs share: the transcriber, read clips, language models of visitors, live sessions."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrdemo.errors import NotFoundError
from asrdemo.settings import Settings
from asrdemo.types import Clip
from asrdemo.ui.shelves import Shelf

if TYPE_CHECKING:
    from asrdemo.live import LiveSession
    from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
    from asrdemo.transcribe import Transcriber

CLIP_BYTES = 256 * 2**20  # samples kept for decoding again: a good hour at 16 kHz float32
VISITOR_MODELS = 24
LIVE_SESSIONS = 8
LIVE_IDLE_S = 120.0


@dataclass(frozen=True)
class LiveEntry:
    """A live session of one visitor; its lock keeps two requests of the same page apart."""

    session: LiveSession
    lock: threading.Lock = field(default_factory=threading.Lock)


def availability(spec: CheckpointSpec) -> tuple[bool, str]:
    """Whether a checkpoint can be used now, and why or why not, for people. Loads nothing."""
    from asrdemo.acoustic import look

    found = look(spec)
    return found.state == "ready", found.reason


def first_checkpoint(registry: Registry) -> str:
    """The id of the first checkpoint that can be used now, else of the first of all. Raises NotFoundError."""
    specs = list(registry.checkpoints.values())
    if not specs:
        raise NotFoundError("models.yaml lists no checkpoint; expected at least one under `checkpoints`.")
    return next((spec.id for spec in specs if availability(spec)[0]), specs[0].id)


class Services:
    """Made once a process. Whatever visitors leave here is bounded: see the constants above."""

    def __init__(self, transcriber: Transcriber, settings: Settings) -> None:
        self.transcriber = transcriber
        self.settings = settings
        self.live: Shelf[LiveEntry] = Shelf(LIVE_SESSIONS, LIVE_IDLE_S)
        self._clips: Shelf[Clip] = Shelf(CLIP_BYTES, size=lambda clip: clip.samples.nbytes)
        self._models: Shelf[LanguageModelSpec] = Shelf(VISITOR_MODELS, on_drop=self._forget)
        self._lock = threading.Lock()

    @property
    def registry(self) -> Registry:
        """Checkpoints, language models (those of visitors included) and corpora."""
        return self.transcriber.registry

    def clip(self, path: str, name: str) -> Clip:
        """The audio file at this path, read once while it stays on the shelf. Raises AudioError, NotFoundError."""
        kept = self._clips.get(path)
        if kept is not None:
            return replace(kept, name=name)
        from asrdemo.audio import read_clip

        clip = read_clip(Path(path), name=name, settings=self.settings)
        self._clips.put(path, clip)
        return clip

    def add_language_model(self, spec: LanguageModelSpec) -> None:
        """Let a visitor's language model be used under its id, which only this visitor knows."""
        with self._lock:
            self.transcriber.use_registry(self.registry.with_language_model(spec))
        self._models.put(spec.id, spec)

    def models_folder(self) -> Path:
        """Where language models of visitors are built."""
        return self.settings.home / "visitors" / "language-models"

    def _forget(self, key: str, spec: LanguageModelSpec) -> None:
        with self._lock:
            left = {id_: kept for id_, kept in self.registry.language_models.items() if id_ != key}
            self.transcriber.use_registry(replace(self.registry, language_models=left))
        if spec.path and self.models_folder() in spec.path.parents:
            shutil.rmtree(spec.path.parent, ignore_errors=True)
