"""What the handlers of all tabs share: the transcriber, read clips, language models of visitors, live sessions."""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo import registry
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.settings import Settings
from asrdemo.types import Clip
from asrdemo.ui.scratch import Scratch
from asrdemo.ui.shelves import Shelf
from evals.catalogue import SHIPPED, Catalogue

if TYPE_CHECKING:
    from asrdemo.live import LiveSession
    from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
    from asrdemo.transcribe import Transcriber

CLIP_BYTES = 256 * 2**20  # samples kept for decoding again: a good hour at 16 kHz float32
VISITOR_MODELS = 24
VISITOR_MODEL_BYTES = 2 * 2**30  # on disk, of all visitors together
LIVE_SESSIONS = 8
LIVE_IDLE_S = 120.0
log = logging.getLogger(__name__)


@dataclass
class LiveEntry:
    """A live session of one visitor; its lock keeps two requests of the same page apart.

    turn, answer: number of the last block that was heard, and what was answered, in case that answer got lost.
    """

    session: LiveSession
    lock: threading.Lock = field(default_factory=threading.Lock)
    turn: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kept:
    """A visitor's language model. size: how many of VISITOR_MODELS it counts for; more than one if it is large."""

    spec: LanguageModelSpec
    size: float


def availability(spec: CheckpointSpec) -> tuple[bool, str]:
    """Whether a checkpoint can be used now, and why or why not, for people. Loads nothing."""
    from asrdemo.acoustic import look

    found = look(spec)
    return found.state == "ready", found.reason


def first_checkpoint(known: Registry) -> str:
    """The id of the first checkpoint that can be used now, else of the first of all. Raises NotFoundError."""
    specs = list(known.checkpoints.values())
    if not specs:
        raise NotFoundError("models.yaml lists no checkpoint; expected at least one under `checkpoints`.")
    return next((spec.id for spec in specs if availability(spec)[0]), specs[0].id)


class Services:
    """Made once a process. Whatever visitors leave here is bounded: see the constants above."""

    def __init__(self, transcriber: Transcriber, settings: Settings) -> None:
        self.transcriber = transcriber
        self.settings = settings
        self.live: Shelf[LiveEntry] = Shelf(LIVE_SESSIONS, LIVE_IDLE_S)
        self.results = Catalogue([settings.home, SHIPPED])
        self._clips: Shelf[Clip] = Shelf(CLIP_BYTES, size=lambda clip: clip.samples.nbytes)
        self._models: Shelf[_Kept] = Shelf(VISITOR_MODELS, size=lambda kept: kept.size, on_drop=self._forget)
        self._scratch = Scratch(settings.home / "visitors" / "language-models")
        self._lock = threading.Lock()
        self._registered: tuple[object, ...] = ()  # what is there already is looked at when first asked for

    @property
    def registry(self) -> Registry:
        """Checkpoints, language models (those of visitors included) and corpora.

        A checkpoint that was registered or taken back a moment ago, by whatever process, is noticed here.
        """
        if registry.state(self.settings.home) != self._registered:
            self._look_again()
        return self.transcriber.registry

    def _look_again(self) -> None:
        """Adopt the checkpoints that are registered now. A broken one must not take the page from everybody."""
        with self._lock:
            self._registered = registry.state(self.settings.home)  # first: what comes meanwhile is found next time
            try:
                self.transcriber.use_registry(registry.with_registered(self.transcriber.registry, self.settings.home))
            except ConfigError as error:
                log.warning("The checkpoints trained here cannot be listed anew: %s", error)

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
            self.transcriber.use_registry(self.transcriber.registry.with_language_model(spec, listed=False))
        size = sum(file.stat().st_size for file in (spec.path, spec.unigrams) if isinstance(file, Path))
        self._models.put(spec.id, _Kept(spec, max(1.0, VISITOR_MODELS * size / VISITOR_MODEL_BYTES)))

    def models_folder(self) -> Path:
        """Where this process builds language models of visitors; gone with it."""
        return self._scratch.folder()

    def _forget(self, key: str, kept: _Kept) -> None:
        with self._lock:
            self.transcriber.use_registry(self.transcriber.registry.without_unlisted(key))
        if kept.spec.path and self.models_folder() in kept.spec.path.parents:
            shutil.rmtree(kept.spec.path.parent, ignore_errors=True)
