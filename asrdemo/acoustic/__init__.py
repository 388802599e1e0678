"""Clips -> emissions: the only core package that knows torch and transformers' models.

    store        where a checkpoint's files come from: a folder, or the Hub through its cache
    loading      files -> AcousticModel, with a clear refusal of what cannot recognise speech
    network      the forward pass of a wav2vec2, arranged for speed and exactness; engines: any other model
    precision    fp32, bf16 or int8, chosen by timing
    segments     where long recordings are cut
    model, cache AcousticModel; those in memory

Importing this package brings in neither torch nor transformers; loading a checkpoint does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrdemo.acoustic.cache import ModelCache
from asrdemo.acoustic.store import Availability, availability, look
from asrdemo.registry import CheckpointSpec
from asrdemo.types import Progress

if TYPE_CHECKING:
    from asrdemo.acoustic.model import AcousticModel

__all__ = ["AcousticModel", "Availability", "ModelCache", "availability", "load", "look"]


def load(
    spec: CheckpointSpec, device: str = "auto", precision: str = "auto", progress: Progress | None = None
) -> AcousticModel:
    """The checkpoint, ready to use; see asrdemo.acoustic.loading.load."""
    from asrdemo.acoustic.loading import load as load_now

    return load_now(spec, device, precision, progress)


def __getattr__(name: str) -> object:
    if name == "AcousticModel":
        from asrdemo.acoustic.model import AcousticModel

        return AcousticModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
