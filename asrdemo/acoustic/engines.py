"""Models that `Network` does not compute, behind the same call: transformers' own forward, one recording at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_READ_DIRECTLY = ("wavlm",)  # their attention takes the weights out of its linear layers, which int8 ones hide


class OneByOne(nn.Module):
    """Any model of transformers that hears raw samples. Never pads, so no recording can change another's text."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.int8 = getattr(model.config, "model_type", None) not in _READ_DIRECTLY

    def cast(self, dtype: torch.dtype) -> OneByOne:
        """A copy in that type."""
        return copy.deepcopy(self).to(dtype)

    def forward(self, waves: Sequence[Tensor], rows: int | None = None) -> list[Tensor]:
        """As Network.forward; rows is of no use here."""
        dtype = next(p.dtype for p in self.model.parameters() if p.is_floating_point())
        return [F.log_softmax(self.model(wave[None].to(dtype)).logits[0].float(), dim=-1) for wave in waves]
