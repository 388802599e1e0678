"""A shipped result is what running it again gives: the page shows nothing that this project cannot make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from evals.catalogue import SHIPPED
from evals.results import SCHEMA, TIMINGS, list_results, open_result

ROOT = Path(__file__).resolve().parent.parent
NAMES = [result.name for result in list_results(SHIPPED)]
TOLERANCE = {"acoustic_score": 2e-3, "lm_score": 2e-2}
"""Sums over a clip; the rest is near 1. Machines add up floats in another order."""


def test_they_are_there_and_complete() -> None:
    assert NAMES == ["demo-en-beam", "demo-en-greedy", "demo-en-tuned-beam"], "the page opens with the first"
    for result in list_results(SHIPPED):
        assert result.complete and result.read(["clip"]).num_rows == result.info["clips"]
        assert not result.info["quarantined"] and result.info["location"] is None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_running_it_again_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    shipped = open_result(SHIPPED / "results" / name)
    command = list(shipped.info["command"][1:])
    command[command.index("--out") + 1] = str(tmp_path / name)
    environment = {**os.environ, "ASRDEMO_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    program = [sys.executable, "-m", "evals", *command]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    again = open_result(tmp_path / name)
    for pin in ("corpus", "decoder", "normaliser", "checkpoint"):
        assert again.info["pins"][pin] == shipped.info["pins"][pin], pin
    old, new = shipped.read(), again.read()
    for field in SCHEMA:
        if field.name not in TIMINGS:
            assert_alike(field, old[field.name].to_pylist(), new[field.name].to_pylist())


def assert_alike(field: pa.Field, old: list, new: list) -> None:
    """Texts and counts are equal, numbers nearly."""
    if pa.types.is_list(field.type):
        assert [len(each) for each in new] == [len(each) for each in old], field.name
        old, new = ([number for each in side for number in each] for side in (old, new))
    elif not pa.types.is_floating(field.type):
        assert new == old, field.name
        return
    assert [n is None for n in new] == [n is None for n in old], field.name
    known = [(a, b) for a, b in zip(old, new, strict=True) if a is not None]
    near = pytest.approx([a for a, _ in known], rel=1e-4, abs=TOLERANCE.get(field.name, 1e-3))
    assert [b for _, b in known] == near, field.name
