"""What a run began with and ran on, kept as provenance.json: the model card may be written elsewhere and later."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import asrdemo

if TYPE_CHECKING:
    from asrdemo.finetune.base import Start

FILE = "provenance.json"
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "numpy", "pyarrow", "soundfile", "soxr", "rapidfuzz")
_MOST_NAMES = 12


def describe(start: Start, precision: str, processes: int) -> dict[str, Any]:
    """Plain data. Nothing in it names the machine or its user: the card is made to be published."""
    import torch

    weights = list(start.model.parameters())
    return {
        "base": {
            "fingerprint": start.fingerprint,
            "kind": start.kind,
            "parameters": sum(w.numel() for w in weights),
            "trained": sum(w.numel() for w in weights if w.requires_grad),
            "new_weights": list(start.new_weights[:_MOST_NAMES]),
            "new_weights_count": len(start.new_weights),
        },
        "precision": precision,
        "processes": processes,
        "device": _device(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"asrdemo": asrdemo.__version__, "python": platform.python_version()} | _versions(),
    }


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return "CPU"
    count, properties = torch.cuda.device_count(), torch.cuda.get_device_properties(0)
    return f"{count} x {properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def _cpu() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
