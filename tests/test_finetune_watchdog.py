"""What the watchdog says, and that it holds its tongue while a run is healthy."""

from __future__ import annotations

import json
import math

import numpy as np

from asrdemo.finetune.recipe import Watchdog as Actions
from asrdemo.finetune.watchdog import RECENT, SCALES, SKIPPED, STUCK, WORSE, Watchdog


def dog(patient_until: int = 400, scaled: bool = False, measure="WER", **actions) -> Watchdog:
    return Watchdog(Actions(**actions), 3e-4, patient_until, scaled, measure)


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


def test_overflowing_gradients_are_how_fp16_begins():
    watch = dog(scaled=True)
    found = [watch.stepped(1 + i, 3.0, math.inf) for i in range(SCALES - 1)]
    assert not any(found) and not watch.verdict(0)
    assert kinds(watch.stepped(SCALES, 3.0, math.inf)) == [("not_finite", "stop")], "there is no smaller scale"
    watch = dog(scaled=True)
    found = [watch.stepped(1 + i, math.nan, math.nan) for i in range(SKIPPED)]
    assert kinds(found[0]) == [("skipped", "warn")] and watch.verdict(0) == "not_finite", "a loss is never scaled"


def test_patience_waits_as_long_as_a_healthy_run_may_hear_nothing():
    """The published log of XLSR-53: WER 1.00 at step 400, 0.59 at 800."""
    watch = dog(patient_until=1500)
    for step, wer in ((100, 1.0), (200, 1.0), (300, 1.0), (400, 1.0), (800, 0.59), (1600, 0.5), (2000, 0.5)):
        watch.evaluated(step, wer, 0.9, 3.0, 3.0)
        assert not watch.verdict(3), step
    watch.evaluated(2400, 0.5, 0.9, 3.0, 3.0)
    assert not watch.verdict(3), "1600 was better than all before"
    watch.evaluated(2800, 0.5, 0.9, 3.0, 3.0)
    assert watch.verdict(3) == "no better WER in 3 evaluations" and not watch.verdict(0)


def test_a_run_in_two_sittings_is_watched_as_one():
    def watched(sittings: int) -> tuple[list, list[str]]:
        watch, found, ends = dog(0, overfit="stop"), [], []
        for sitting in range(2):
            if sitting and sittings == 2:
                watch, before = dog(0, overfit="stop"), watch
                watch.restore(json.loads(json.dumps(before.state())))
            for i in range(40 * sitting, 40 * sitting + 40):
                found += watch.stepped(i, 1.0, 100.0 if i % 5 == 0 and i > 30 else 1.0)
                if i % 12 == 0:
                    found += watch.evaluated(i, 0.3, 0.5, 1.0 - i / 100, 1.0 + i / 100)
                    ends.append(watch.verdict(3))
        return found, ends

    alerts, ends = watched(1)
    assert {kind for kind, _ in kinds(alerts)} == {"plateau", "overfit", "spikes"} and ends[-1] == "overfit"
    assert watched(2) == (alerts, ends)


def test_a_run_without_texts_is_not_told_of_words():
    watch = dog(0, measure="loss")
    found = [a for i in range(STUCK + 1) for a in watch.evaluated(i, 2.31, 0.0, 1.0, 1.0)]
    assert kinds(found) == [("plateau", "warn")] and "best 2.310" in found[0].sentence
    assert "WER" not in found[0].sentence and watch.verdict(3) == "no better loss in 3 evaluations"
