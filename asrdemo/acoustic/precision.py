"""Which number format a checkpoint runs in, chosen by timing it on this machine.

fp32 is what the weights were trained in. bf16 halves memory traffic and is 3 to 4 times as fast on processors with
bfloat16 units, and slower than fp32 on those without. int8 (dynamic, linear layers only) helps where bf16 does not.
The choice is made once in the life of a process for each checkpoint and device, so that the same recording keeps its
text.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from asrdemo.errors import CheckpointError
from asrdemo.types import SAMPLE_RATE

PRECISIONS = ("auto", "fp32", "bf16", "int8")
WORTH = 1.1  # a lower precision must be this many times as fast as fp32 to be taken
PLENTY = 1.5  # bf16 this many times as fast as fp32: int8 is not tried (it would leave the convolutions in fp32)
PROBE_SECONDS = 3.0


class Engine(Protocol):
    """What computes log-probabilities: Network, or a model of transformers behind the same call.

    int8: whether its linear layers may be replaced by int8 ones.
    """

    int8: bool

    def __call__(self, waves: Sequence[Tensor], rows: int | None = None) -> list[Tensor]: ...

    def cast(self, dtype: torch.dtype) -> Engine: ...

    def to(self, device: torch.device) -> Engine: ...


@dataclass(frozen=True)
class PrecisionReport:
    """How the precision was chosen. seconds: wall seconds for the probe in each precision tried; notes: the reasons."""

    chosen: str
    forced: bool
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose(
    engine: Engine, device: torch.device, wanted: str = "auto", rows: int | None = None
) -> tuple[Engine, PrecisionReport]:
    """The engine in the wanted precision, or for `auto` in the fastest one, and how that was found.

    engine: in float32, on the device. rows: see Network.forward. Raises CheckpointError for a precision that cannot
    be had.
    """
    if wanted not in PRECISIONS:
        raise CheckpointError(f"There is no precision {wanted!r}; allowed: {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return _converted(engine, wanted, device), PrecisionReport(wanted, True)
    waves = [torch.from_numpy(babble()).to(device)] * (8 if device.type == "cuda" else 1)
    plain, plain_time = _timed(engine, waves, rows)
    seconds, notes = {"fp32": plain_time}, []
    best: tuple[str, Engine] = ("fp32", engine)
    half = engine.cast(torch.bfloat16)
    heard, seconds["bf16"] = _timed(half, waves, rows)
    gain = plain_time / seconds["bf16"]
    notes.append(f"bf16 is {gain:.1f} times as fast, {_agreement(plain, heard):.1%} of the probe's frames agree")
    if gain >= WORTH:
        best = ("bf16", half)
    if device.type != "cpu":
        notes.append("int8 is for CPUs")
    elif gain >= PLENTY:
        notes.append("int8 not tried: bf16 is fast here")
    else:
        small = _quantised(engine)
        if small is None:
            notes.append("int8 not tried: this torch has no dynamic quantisation, or the model cannot have it")
        else:
            heard, seconds["int8"] = _timed(small, waves, rows)
            keeps = _greedy(heard) == _greedy(plain)
            effect = "keeps" if keeps else "changes"
            notes.append(f"int8 is {plain_time / seconds['int8']:.1f} times as fast and {effect} the text")
            if keeps and seconds["int8"] * WORTH <= seconds[best[0]]:
                best = ("int8", small)
    return best[1], PrecisionReport(best[0], False, seconds, tuple(notes))


def _converted(engine: Engine, precision: str, device: torch.device) -> Engine:
    if precision == "fp32":
        return engine
    if precision == "bf16":
        return engine.cast(torch.bfloat16)
    small = _quantised(engine) if device.type == "cpu" else None
    if small is None:
        raise CheckpointError(
            "int8 needs a CPU, a torch with torch.ao.quantization, and a checkpoint that is no WavLM; use fp32 or bf16."
        )
    return small


def _quantised(engine: Engine) -> Engine | None:
    """A copy with int8 linear layers, or None where torch (it plans to drop this) or the model cannot have them."""
    try:
        from torch.ao.quantization import quantize_dynamic
    except ImportError:
        return None
    if not isinstance(engine, nn.Module) or not engine.int8 or torch.backends.quantized.engine == "none":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize_dynamic(copy.deepcopy(engine), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-any-return]


def _timed(engine: Engine, waves: list[Tensor], rows: int | None) -> tuple[Tensor, float]:
    """The first output and the best wall time of a few runs, after one to warm up (skipped where one is slow)."""
    times: list[float] = []
    heard = torch.empty(0)
    with torch.inference_mode():
        while len(times) < 3:
            began = time.perf_counter()
            heard = engine(waves, rows=rows)[0]
            if heard.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
            if times[0] > 2 and len(times) == 2:
                break
    return heard.cpu(), min(times[1:])


def _greedy(heard: Tensor) -> list[int]:
    """Best token of each frame, repeats collapsed; blanks stay, they part repeated letters."""
    return torch.unique_consecutive(heard.argmax(-1)).tolist()  # type: ignore[no-any-return]


def _agreement(one: Tensor, other: Tensor) -> float:
    return float((one.argmax(-1) == other.argmax(-1)).float().mean()) if len(one) else 1.0


def babble(seconds: float = PROBE_SECONDS) -> np.ndarray:
    """A voice-like sound that is always the same: pulses through changing resonances, with pauses. float32, 16 kHz."""
    rng = np.random.default_rng(7)
    n = int(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    source = np.diff(np.floor(np.cumsum(pitch) / SAMPLE_RATE), prepend=0.0) + 0.01 * rng.standard_normal(n)
    sound = np.zeros(n)
    for begin in range(0, n, SAMPLE_RATE // 5):  # five syllables a second, each with two resonances of its own
        piece = source[begin : begin + SAMPLE_RATE // 5]
        length = np.arange(400) / SAMPLE_RATE
        for formant in (rng.uniform(300, 900), rng.uniform(1000, 2600)):
            ring = np.exp(-length * 400) * np.sin(2 * np.pi * formant * length)
            sound[begin : begin + len(piece)] += np.convolve(piece, ring)[: len(piece)] * rng.uniform(0.2, 1)
    return ((sound - sound.mean()) / sound.std()).astype(np.float32)
