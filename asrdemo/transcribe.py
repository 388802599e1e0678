"""Clips -> transcripts: the one path behind the pages, the API, the command line, evaluation and benchmarks.

Nothing heavy is imported with this module; the acoustic model and the decoders come in with the first clip.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.settings import Settings
from asrdemo.types import Clip, DecoderOptions, Emissions, Hypothesis, Progress, Timings, Transcript

if TYPE_CHECKING:
    from asrdemo.acoustic import AcousticModel, ModelCache

KEEP_BYTES = 256 * 2**20  # emissions kept for decoding again: about ten hours of audio over 32 tokens

OWN = "(the checkpoint's own)"  # no registry id can look like this

Kind = Literal["greedy", "beam"]


@dataclass(frozen=True)
class Identity:
    """What a loaded checkpoint turned out to be; enough to find its emissions without loading it again."""

    fingerprint: str
    precision: str
    device: str


class EmissionStore:
    """Emissions of the last clips, least recently used out first, at most `limit` bytes. Thread-safe."""

    def __init__(self, limit: int = KEEP_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[tuple[str, ...], Emissions] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...]) -> Emissions | None:
        """The emissions kept under this key, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, ...], emissions: Emissions) -> None:
        """Keep these emissions; what alone exceeds the limit is not kept."""
        size = emissions.log_probs.nbytes
        if size > self.limit:
            return
        with self._lock:
            replaced = self._kept.pop(key, None)
            self.bytes += size - (replaced.log_probs.nbytes if replaced else 0)
            self._kept[key] = emissions
            while self.bytes > self.limit:
                _, dropped = self._kept.popitem(last=False)
                self.bytes -= dropped.log_probs.nbytes

    def __len__(self) -> int:
        return len(self._kept)


class Transcriber:
    """Clips in, transcripts out. One instance serves a whole process: its methods may be called from any thread.

    The emissions of the last clips are kept, so that another decoder, language model weight or hotword decodes
    again without running the acoustic model (`Timings.acoustic` is then 0).
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings | None = None,
        cache: ModelCache | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.registry = registry
        self.settings = settings or Settings()
        self.kept = EmissionStore(keep_bytes)
        self._cache = cache
        self._identities: dict[CheckpointSpec, Identity] = {}
        self._lock = threading.Lock()

    @property
    def cache(self) -> ModelCache:
        """The loaded checkpoints; made at first use, because it brings torch in."""
        with self._lock:
            if self._cache is None:
                from asrdemo.acoustic import ModelCache

                self._cache = ModelCache(self.settings.max_checkpoints, self.settings.device, self.settings.precision)
            return self._cache

    def use_registry(self, registry: Registry) -> None:
        """Go on with another registry, for instance one that gained a language model. Kept emissions stay valid."""
        self.registry = registry

    def defaults(self, checkpoint: str, kind: Kind | None = None, lm: str | None = OWN) -> DecoderOptions:
        """Options to start from: the checkpoint's, with the weights that suit the language model.

        kind: `greedy` or `beam`; None takes the checkpoint's own. lm: a registry id, None for no language model,
        OWN for the checkpoint's. A greedy decoder never has one. Raises NotFoundError for unknown ids.
        """
        options = self.registry.checkpoint(checkpoint).decoder
        chosen = options.lm if lm == OWN else lm
        kind = kind or options.kind
        if kind == "greedy" or chosen is None:
            return replace(options, kind=kind, lm=None)
        if chosen == options.lm:
            return replace(options, kind=kind)
        spec = self.registry.language_model(chosen)
        return replace(options, kind=kind, lm=chosen, alpha=spec.alpha, beta=spec.beta)

    def transcribe(
        self,
        clips: Sequence[Clip],
        checkpoint: str,
        options: DecoderOptions | None = None,
        progress: Progress | None = None,
    ) -> list[Transcript]:
        """One transcript for each clip, in their order.

        checkpoint: an id of the registry. options: None takes the checkpoint's defaults. progress: told about
        loading, then acoustic seconds, then decoded clips. Raises NotFoundError, CheckpointError, DecodingError.

        Timings: `load` is what this call waited for the checkpoint, the same in each transcript; `acoustic` is
        shared among the clips that needed it by their length; `decode` is each clip's own.
        """
        if not clips:
            return []
        options = options or self.defaults(checkpoint)
        self._check(options)
        emissions, identity, load, acoustic = self._emissions(clips, checkpoint, progress)
        transcripts = []
        for done, (clip, heard, seconds) in enumerate(zip(clips, emissions, acoustic, strict=True)):
            if progress:
                progress(done, len(clips), "decoding")
            began = time.perf_counter()
            hypotheses, engine = self.decode(heard, checkpoint, options)
            timings = Timings(load, seconds, time.perf_counter() - began)
            transcripts.append(
                Transcript(
                    clip.name,
                    clip.duration,
                    hypotheses,
                    checkpoint,
                    options,
                    timings,
                    identity.device,
                    identity.precision,
                    engine,
                )
            )
        if progress:
            progress(len(clips), len(clips), "decoding")
        return transcripts

    def emissions(self, clips: Sequence[Clip], checkpoint: str, progress: Progress | None = None) -> list[Emissions]:
        """What the checkpoint hears in each clip, in their order; kept ones are not computed again."""
        return self._emissions(clips, checkpoint, progress)[0] if clips else []

    def model(self, checkpoint: str, progress: Progress | None = None) -> AcousticModel:
        """The loaded checkpoint. Raises NotFoundError, CheckpointError."""
        spec = self.registry.checkpoint(checkpoint)
        model = self.cache.get(spec, progress)
        self._identities[spec] = Identity(model.fingerprint, model.precision, str(model.device))
        return model

    def identity(self, checkpoint: str) -> Identity | None:
        """What the checkpoint turned out to be, or None while it has not been loaded."""
        return self._identities.get(self.registry.checkpoint(checkpoint))

    def decode(
        self, emissions: Emissions, checkpoint: str, options: DecoderOptions
    ) -> tuple[tuple[Hypothesis, ...], str]:
        """Hypotheses, best first, and the engine that found them. Raises DecodingError, LanguageModelError.

        checkpoint: whose emissions these are; word confidences are calibrated for it.
        """
        from asrdemo import decoding

        lm = None
        if options.lm is not None and options.kind == "beam":
            lm = decoding.open_language_model(self.registry.language_model(options.lm))
        calibrations = decoding.calibrations(self.registry.checkpoint(checkpoint).path)
        return decoding.decode(emissions, options, lm, calibrations), decoding.engine_used(options, emissions, lm)

    def _check(self, options: DecoderOptions) -> None:
        """Find out what is wrong with the options before the model is loaded and run."""
        from asrdemo import decoding

        decoding.validate(options)
        if options.lm is not None:
            self.registry.language_model(options.lm)

    def _emissions(
        self, clips: Sequence[Clip], checkpoint: str, progress: Progress | None
    ) -> tuple[list[Emissions], Identity, float, list[float]]:
        """Emissions, the checkpoint's identity, seconds spent on loading, and acoustic seconds of each clip."""
        spec = self.registry.checkpoint(checkpoint)
        hashes = [hashlib.sha256(np.ascontiguousarray(clip.samples).data).hexdigest() for clip in clips]
        identity = self._identities.get(spec)
        found = {h: kept for h in hashes if identity and (kept := self.kept.get(_key(h, identity)))}
        missing = {h: clip for h, clip in zip(hashes, clips, strict=True) if h not in found}
        load = wall = 0.0
        if missing or identity is None:
            began = time.perf_counter()
            model = self.model(checkpoint, progress)
            load, identity = time.perf_counter() - began, self._identities[spec]
            began = time.perf_counter()
            fresh = model.emissions(list(missing.values()), progress)
            wall = time.perf_counter() - began
            for h, heard in zip(missing, fresh, strict=True):
                found[h] = heard
                self.kept.put(_key(h, identity), heard)
        audio = sum(clip.duration for clip in missing.values()) or 1.0
        spent = {h: wall * clip.duration / audio for h, clip in missing.items()}
        acoustic = [spent.pop(h, 0.0) for h in hashes]  # a clip given twice is heard, and charged, once
        return [found[h] for h in hashes], identity, load, acoustic


def _key(content: str, identity: Identity) -> tuple[str, ...]:
    return content, identity.fingerprint, identity.precision
