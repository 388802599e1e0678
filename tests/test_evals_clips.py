"""Clips in an order: whatever it is, those whose number is not known come last."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evals import clips, simulate
from evals.scored import load

NUMBERS = {"unsure": "confidence", "votes": "down_votes", "longest": "seconds", "shortest": "seconds",
           "fastest": "speaking_rate", "noisiest": "snr"}  # fmt: skip


@pytest.mark.parametrize("sort", clips.ORDERS)
def test_unknown_numbers_come_last(tmp_path, sort: str) -> None:
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=30), 0))
    numbers = np.random.default_rng(0).permutation(len(rows))
    for name in dict.fromkeys(NUMBERS.values()):
        at = rows.schema.get_field_index(name)
        values = [None if n % 10 == 0 else int(n) for n in numbers]
        rows = rows.set_column(at, name, pa.array(values, pa.float64()).cast(rows.schema.field(at).type))
    scored = load([simulate.write(tmp_path / "made", rows)])
    order = clips.ordered(scored, np.ones(len(scored), bool), sort)
    assert sorted(order) == list(range(len(scored)))
    assert clips.ordered(scored, np.ones(len(scored), bool), sort, most=9).tolist() == order[:9].tolist()
    if sort in ("worst", "rate"):
        return
    column = scored.column(NUMBERS.get(sort, "confidence")).to_numpy().astype(float)[order]
    if sort == "sure":  # of the clips with errors; those without come after them
        column = column[scored.errors[0][order] > 0]
    known = ~np.isnan(column)
    assert known[: known.sum()].all() and not known[known.sum() :].any()
    rising = np.diff(column[known])
    assert (rising >= 0).all() if sort in ("unsure", "shortest", "noisiest") else (rising <= 0).all()
