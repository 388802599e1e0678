"""What can be rented by the minute from Hugging Face Jobs, and for how much."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class Flavour(NamedTuple):
    """gpus; memory_gb: of one GPU (of the machine where it has none); dollars: an hour."""

    gpus: int
    memory_gb: int
    dollars: float


FLAVOURS = MappingProxyType(
    {
        "cpu-basic": Flavour(0, 16, 0.01),
        "cpu-upgrade": Flavour(0, 32, 0.03),
        "cpu-xl": Flavour(0, 124, 1.00),
        "cpu-performance": Flavour(0, 256, 1.90),
        "t4-small": Flavour(1, 16, 0.40),
        "t4-medium": Flavour(1, 16, 0.60),
        "l4x1": Flavour(1, 24, 0.80),
        "l4x4": Flavour(4, 24, 3.80),
        "a10g-small": Flavour(1, 24, 1.00),
        "a10g-large": Flavour(1, 24, 1.50),
        "a10g-largex2": Flavour(2, 24, 3.00),
        "a10g-largex4": Flavour(4, 24, 5.00),
        "l40sx1": Flavour(1, 48, 1.80),
        "l40sx4": Flavour(4, 48, 8.30),
        "l40sx8": Flavour(8, 48, 23.50),
        "a100-large": Flavour(1, 80, 2.50),
        "a100x4": Flavour(4, 80, 10.00),
        "a100x8": Flavour(8, 80, 20.00),
        "rtx-pro-6000": Flavour(1, 96, 2.75),
        "rtx-pro-6000x2": Flavour(2, 96, 5.50),
        "rtx-pro-6000x4": Flavour(4, 96, 11.00),
        "rtx-pro-6000x8": Flavour(8, 96, 22.00),
        "h200": Flavour(1, 141, 5.00),
        "h200x2": Flavour(2, 141, 10.00),
        "h200x4": Flavour(4, 141, 20.00),
        "h200x8": Flavour(8, 141, 40.00),
    }
)
"""Hugging Face Jobs, https://huggingface.co/docs/hub/jobs-pricing as read on PRICES_READ (hub-docs 0b8c07f)."""
PRICES_READ = "2026-11-21"
