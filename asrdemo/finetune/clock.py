"""How much of a run's budget is used up, and the moving average of its weights."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


class Clock:
    """Wall seconds of training over all sittings of a run, against its budget (and steps, where they are limited).

    Time stands still between two calls of `tick`, and is the first process's in all of them: they must agree on the
    learning rate and on when to evaluate, or they would wait for each other for ever. A budget of 0 is no limit.
    """

    def __init__(self, budget_minutes: float, spent: float = 0.0, max_steps: int = 0):
        self.budget, self.max_steps = budget_minutes * 60, max_steps
        self.spent, self._before, self._started = spent, spent, time.monotonic()

    def tick(self) -> None:
        """Set `spent`: seconds, earlier sittings included."""
        now = torch.tensor(self._before + time.monotonic() - self._started, dtype=torch.float64)
        if torch.distributed.is_initialized():
            now = now.to("cpu" if torch.distributed.get_backend() == "gloo" else "cuda")
            torch.distributed.broadcast(now, src=0)
        self.spent = float(now)

    def progress(self, step: int) -> float:
        """0 at the start, 1 when the budget of minutes or steps is used up."""
        by_time = self.spent / self.budget if self.budget > 0 else 0.0
        return min(1.0, max(by_time, step / self.max_steps if self.max_steps else 0.0))

    def left(self, step: int) -> float:
        """Seconds to go at the pace so far; -1 before there is one."""
        done = self.progress(step)
        return self.spent / done - self.spent if done > 0 else -1.0


class Average:
    """Exponential moving average of the weights (Polyak & Juditsky 1992), a step every EVERY optimiser steps."""

    EVERY = 5

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay**self.EVERY
        self.weights = {name: p.detach().clone() for name, p in model.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move towards the model's weights, faster at first. What is not a floating-point number is copied."""
        self.updates += 1
        keep = min(self.decay, self.updates / (self.updates + 10))
        current = model.state_dict()
        moving = [n for n, w in self.weights.items() if w.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in moving], [current[n] for n in moving], 1 - keep)

    def save(self, path: Path) -> None:
        """Write the average beside a Trainer checkpoint."""
        save_file({n: w.contiguous() for n, w in self.weights.items()}, path, metadata={"updates": str(self.updates)})

    def load(self, path: Path) -> None:
        """Read what `save` wrote; the warm start of the average is over by then."""
        read = load_file(path)
        self.weights = {n: read[n].to(w.device) for n, w in self.weights.items()}
        self.updates = 10_000
