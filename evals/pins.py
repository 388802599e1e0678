"""What decides the rows of a run. Two runs with equal pins give equal rows; a run goes on only under its own pins."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import unicodedata
from dataclasses import asdict
from importlib import metadata
from typing import Any

import asrdemo
from asrdemo import text
from asrdemo.decoding import Calibration, Calibrations
from asrdemo.registry import CheckpointSpec
from asrdemo.types import DecoderOptions
from evals.source import Source

Pins = dict[str, Any]

HEARS = ("torch", "transformers", "soundfile", "soxr")
DECODES = ("numpy", "pyctcdecode", "ctc-beam-decoder", "ufal-kenlm")
"""Libraries whose version may change what is heard, and what is made of it."""

_BEAM = ("lm", "alpha", "beta", "unk_offset", "beam_width", "beam_prune", "token_prune", "hotwords", "hotword_weight")


def of_corpus(source: Source) -> Pins:
    """Which clips."""
    known = {"name": source.name, "split": source.split, "fingerprint": source.fingerprint, "limit": source.limit}
    return known | {"clips": source.table.num_rows, "window": source.window}


def of_checkpoint(spec: CheckpointSpec) -> Pins:
    """Which checkpoint, as far as it is known before it is loaded. id: of the registry, or the name of its folder."""
    id = spec.path.name if spec.path is not None and os.sep in spec.id else spec.id
    return {"id": id, "hub": spec.hub, "revision": spec.revision, "adapter": spec.adapter, "language": spec.language}


def of_decoder(options: DecoderOptions) -> Pins:
    """The decoder's options that change its best hypothesis; those of beam search for beam search only."""
    fields = {name: getattr(options, name) for name in _BEAM} if options.kind == "beam" else {}
    if fields:
        fields["hotwords"] = list(options.hotwords)
        fields["lm"] = None if options.lm is None else os.path.basename(options.lm)  # noqa: PTH119 (an id or a path)
    return {"kind": options.kind, **fields}


def of_confidence(calibrations: Calibrations) -> Pins:
    """The maps of the word confidences; both, so that emissions can be decoded the other way."""
    return {"greedy": asdict(calibrations.greedy), "beam": asdict(calibrations.beam)}


def calibrations(pins: Pins) -> Calibrations:
    """The maps that were pinned."""
    kept = pins["confidence"]
    return Calibrations(Calibration(**kept["greedy"]), Calibration(**kept["beam"]))


def of_normaliser(profile: str) -> Pins:
    """How texts are normalised before they are scored."""
    found = {"profile": profile, "version": text.NORMALISER_VERSION, "fingerprint": text.fingerprint(profile)}
    return found | {"unicode": unicodedata.unidata_version}


def of_software() -> Pins:
    """Versions of what makes the rows; null for what is not installed."""
    found: Pins = {"asrdemo": asrdemo.__version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for name in (*HEARS, *DECODES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine(device: str) -> dict[str, Any]:
    """Where a part was made: known, but not pinned."""
    torch = sys.modules.get("torch")  # brought in by the acoustic model, if anything brought it in
    name = torch.cuda.get_device_name() if torch is not None and device.startswith("cuda") else platform.machine()
    return {"platform": platform.platform(), "device": device, "name": name, "cores": os.cpu_count()}


def short(pins: Pins) -> str:
    """Six hex digits that stand for these pins in a name."""
    return hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()[:6]


def over(old: Pins, new: Pins) -> Pins:
    """The old pins with all that the new ones know in their place, two levels deep."""
    return old | {k: {**old.get(k, {}), **v} if isinstance(v, dict) else v for k, v in new.items()}


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """`a.b: was 1, is 2` for each value that differs. What only one side has counts as differing."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{name}: was {old!r}, is {new!r}"]
    return [
        line
        for key in dict.fromkeys([*old, *new])
        for line in differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    ]
