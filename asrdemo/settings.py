"""Limits and places that an operator may set through the environment (ASRDEMO_*), read once at start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from asrdemo.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent  # where app.py and models.yaml lie


@dataclass(frozen=True)
class Settings:
    """home: runs, results and downloads. The limits keep one visitor from filling the machine."""

    home: Path = ROOT / ".asrdemo"
    registry: Path = ROOT / "models.yaml"
    max_upload_mb: int = 200
    max_duration_s: int = 3600 * 2
    max_checkpoints: int = 2  # kept in memory; the least recently used leaves
    max_text_mb: int = 20  # language model text
    device: str = "auto"  # auto, cpu, cuda
    precision: str = "auto"  # auto, fp32, bf16, int8
    ffmpeg_timeout_s: int = 120
    finetune: str = "on"  # on, off, demo: the recipes under recipes/ only, for a few minutes


def _number(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is {text!r}; expected a whole number of at least 1.")
    return int(text)


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = os.environ.get(name, default)
    if text not in allowed:
        raise ConfigError(f"{name} is {text!r}; allowed: {', '.join(allowed)}.")
    return text


def read() -> Settings:
    """Settings from the environment. Raises ConfigError with the variable's name and what it may be."""
    d = Settings()
    return Settings(
        home=Path(os.environ.get("ASRDEMO_HOME", d.home)),
        registry=Path(os.environ.get("ASRDEMO_REGISTRY", d.registry)),
        max_upload_mb=_number("ASRDEMO_MAX_UPLOAD_MB", d.max_upload_mb),
        max_duration_s=_number("ASRDEMO_MAX_DURATION_S", d.max_duration_s),
        max_checkpoints=_number("ASRDEMO_MAX_CHECKPOINTS", d.max_checkpoints),
        max_text_mb=_number("ASRDEMO_MAX_TEXT_MB", d.max_text_mb),
        device=_choice("ASRDEMO_DEVICE", d.device, ("auto", "cpu", "cuda")),
        precision=_choice("ASRDEMO_PRECISION", d.precision, ("auto", "fp32", "bf16", "int8")),
        ffmpeg_timeout_s=_number("ASRDEMO_FFMPEG_TIMEOUT_S", d.ffmpeg_timeout_s),
        finetune=_choice("ASRDEMO_FINETUNE", d.finetune, ("on", "off", "demo")),
    )
