"""What the watchdog says, and that it holds its tongue while a run is healthy."""

from __future__ import annotations

import math

import numpy as np

from asrdemo.finetune.recipe import Watchdog as Actions
from asrdemo.finetune.watchdog import RECENT, SKIPPED, STUCK, WORSE, Watchdog


def dog(**actions) -> Watchdog:
    return Watchdog(Actions(**actions), learning_rate=3e-4, patient_until=400)


def kinds(alerts) -> list[tuple[str, str]]:
    return [(a.kind, a.action) for a in alerts]


def test_a_healthy_run_raises_nothing():
    watch, rng = dog(), np.random.default_rng(0)
    for step in range(1, 1200):
        assert not watch.stepped(step, 3 * math.exp(-step / 300), float(rng.lognormal(0, 0.5)))
        if step % 100 == 0:  # silent at 400 steps, as a published healthy run was
            wer = 1.0 if step < 400 else 1.0 * math.exp(-(step - 300) / 400)
            assert not watch.evaluated(step, wer, 0.999 if step < 400 else 0.7, 3 - step / 500, 3 - step / 600)


def test_nan_is_skipped_then_stops():
    watch = dog()
    assert kinds(watch.stepped(1, math.nan, math.nan)) == [("skipped", "warn")]
    assert not watch.stepped(2, 1.0, 1.0)  # a finite step: the count starts again
    found = [watch.stepped(3 + i, 1.0, math.inf) for i in range(SKIPPED)]
    assert kinds(found[-1]) == [("not_finite", "stop")] and "0.0003" in found[-1][0].sentence
    assert kinds(dog(not_finite="warn").stepped(1, math.inf, 1.0)) == [("skipped", "warn")]


def test_silence_after_the_patience_is_a_collapse():
    watch = dog()
    assert not watch.evaluated(200, 1.0, 1.0, 2.9, 2.9)
    assert kinds(watch.evaluated(500, 1.0, 1.0, 2.9, 2.9)) == [("collapse", "stop")]
    assert not watch.evaluated(600, 1.0, 1.0, 2.9, 2.9), "said once"


def test_repeated_spikes_are_told_and_single_ones_are_not():
    watch = dog()
    found = [watch.stepped(i, 1.0, 100.0 if i in (60, 70) else 1.0) for i in range(1, 200)]
    assert not any(found)
    found = [a for i in range(200, 200 + RECENT) for a in watch.stepped(i, 1.0, 100.0 if i % 5 == 0 else 1.0)]
    assert kinds(found) == [("spikes", "warn")]


def test_a_plateau_and_over_fitting_are_told_apart():
    stuck = dog()
    found = [stuck.evaluated(500 + i, 0.3, 0.7, 1.0, 1.0) for i in range(STUCK + 1)]
    assert kinds(found[-1]) == [("plateau", "warn")] and not any(found[:-1])
    learnt = dog(overfit="stop")
    found = [learnt.evaluated(500 + i, 0.3 - i / 100, 0.7, 1.0 - i / 10, 1.0 + i / 10) for i in range(WORSE + 1)]
    assert kinds(found[-1]) == [("overfit", "stop")] and not any(found[:-1])
