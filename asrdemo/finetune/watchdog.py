"""Watches a run for the ways CTC training is known to fail, and names the cause in a sentence. No torch: numbers in,
alerts out; the loop does what the alert says."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from asrdemo.finetune import recipe as recipes

SKIPPED = 3  # steps in a row without finite gradients: the weights are beyond help
SCALES = 20  # such steps in a row under fp16, whose scaler finds its scale, at first 2**16, by halving until it fits
BLANK = 0.995  # share of frames that are blank where nothing is heard any more
SPIKE = 10.0  # times the median gradient norm
SPIKES, RECENT = 5, 50  # so many spikes among so many steps
STUCK = 5  # evaluations without a better WER
WORSE = 3  # evaluations of rising dev loss while the training loss falls
KEPT = ("skipped", "overflowed", "rates", "awake", "losses", "said")  # and norms: what a checkpoint tells of a watchdog


@dataclass(frozen=True)
class Alert:
    """kind: a key of recipe.Watchdog. sentence: the cause and what to do. action: stop or warn."""

    step: int
    kind: str
    sentence: str
    action: Literal["stop", "warn"]


@dataclass
class Watchdog:
    """What has been seen so far. patient_until: the step before which silence is normal: a healthy run may hear nothing
    through warm-up and well beyond (one published run shows WER 1.0 at step 400). scaled: the loss is scaled, as in
    fp16. measure: what tells that a run gets better, lower being better.

    skipped, overflowed: steps in a row that were left out; the second, to find the scale. rates: the measure at each
    evaluation; awake: how many of them came when silence was not normal any more. said: kinds of alerts so far, each of
    which comes once a run.
    """

    actions: recipes.Watchdog
    learning_rate: float
    patient_until: int
    scaled: bool = False
    measure: Literal["WER", "loss"] = "WER"
    norms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    skipped: int = 0
    overflowed: int = 0
    rates: list[float] = field(default_factory=list)
    awake: int = 0
    losses: list[tuple[float, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, for JSON: a run is watched as one, however often it is interrupted."""
        return {name: getattr(self, name) for name in KEPT} | {"norms": list(self.norms)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, earlier."""
        for name in KEPT:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.norms.extend(state.get("norms", ()))

    def verdict(self, patience: int) -> str:
        """Why the run should end early, "" where it should not. patience: see recipe.Evaluation."""
        worst = next((kind for kind in self.said if getattr(self.actions, kind, "warn") == "stop"), "")
        tried = 0 < patience <= self.awake and len(self.rates) > patience
        if not worst and tried and min(self.rates[-patience:]) >= min(self.rates[:-patience]):
            return f"no better {self.measure} in {patience} evaluations"
        return worst

    def stepped(self, step: int, loss: float, grad_norm: float) -> list[Alert]:
        """After the gradients of a step. A step that is not finite must not be applied."""
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return self._not_finite(step, loss)
        self.skipped = self.overflowed = 0
        high = len(self.norms) == RECENT and sum(n > SPIKE * median(self.norms) for n in self.norms) >= SPIKES
        self.norms.append(grad_norm)
        if not high:
            return []
        return self._once(
            step, "spikes",
            f"The gradient norm was over {SPIKE:g} times its usual {median(self.norms):.2g} in {SPIKES} of the last "
            f"{RECENT} steps: some clips are wrong, or the rate of {self.learning_rate:g} is too high. Halve it, or "
            "look at the clips that precheck lists.",
        )  # fmt: skip

    def evaluated(
        self, step: int, rate: float, blank_share: float, train_loss: float, dev_loss: float, letters: int | None = None
    ) -> list[Alert]:
        """After an evaluation on dev. rate: the measure, a WER as a fraction. blank_share: of all frames. losses: per
        label. letters: different ones in all that was written, None where nothing is."""
        self.rates.append(rate)
        self.awake += step >= self.patient_until
        self.losses.append((train_loss, dev_loss))
        found = []
        silent, recited = blank_share >= BLANK, letters is not None and letters <= 1
        if step >= self.patient_until and (silent or recited):
            seen = (
                f"{100 * blank_share:.1f} % of the frames are blank"
                if silent
                else "A single letter is written"
                if letters
                else "Nothing is written"
            )
            found += self._once(
                step, "collapse",
                f"{seen} after {step} steps: the model has collapsed{' to silence' if silent else ''}. Start again "
                f"with a rate below {self.learning_rate:g}, a longer warm-up or another seed.",
            )  # fmt: skip
        recent = self.rates[-STUCK - 1 :]
        if self.awake >= STUCK and len(recent) > STUCK and min(recent[1:]) >= recent[0] * 0.995:
            best = f"{100 * min(self.rates):.1f} %" if self.measure == "WER" else f"{min(self.rates):.3f}"
            found += self._once(
                step, "plateau",
                f"The {self.measure} on dev has not improved in {STUCK} evaluations (best {best}): more of the same "
                "will not help. Use other data, a higher rate, or stop here.",
            )  # fmt: skip
        last = self.losses[-WORSE - 1 :]
        pairs = list(zip(last, last[1:], strict=False))
        if len(last) > WORSE and all(b[1] > a[1] and b[0] < a[0] for a, b in pairs):
            found += self._once(
                step, "overfit",
                f"The training loss falls but the dev loss has risen {WORSE} times in a row ({last[0][1]:.3f} to "
                f"{last[-1][1]:.3f}): the run learns its clips by heart. Use more clips, augmentation or dropout.",
            )  # fmt: skip
        return found

    def _not_finite(self, step: int, loss: float) -> list[Alert]:
        """A finite loss with gradients that are not is how fp16 begins, and every now and then goes on."""
        what = "loss" if not math.isfinite(loss) else "gradient"
        normal = self.scaled and what == "gradient"
        self.skipped, self.overflowed = self.skipped + (not normal), self.overflowed + normal
        if self.skipped < SKIPPED and self.overflowed < SCALES:
            sentence = f"The {what} of step {step} is not a number; the step was left out."
            return [] if normal else self._once(step, "skipped", sentence, "warn")
        count = max(self.skipped, self.overflowed)
        return self._once(
            step, "not_finite",
            f"The {what} was not a number {count} steps in a row: the rate of {self.learning_rate:g} is too high, or "
            "fp16 overflows. Lower the rate, or use bf16 or fp32.",
        )  # fmt: skip

    def _once(self, step: int, kind: str, sentence: str, action: Literal["stop", "warn"] | None = None) -> list[Alert]:
        """Said once a run: the same sentence at every step helps nobody."""
        if kind in self.said:
            return []
        self.said.append(kind)
        return [Alert(step, kind, sentence, action or getattr(self.actions, kind))]
