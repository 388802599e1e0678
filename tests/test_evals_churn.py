"""What changed from one run to another."""

from __future__ import annotations

import numpy as np
import pytest

from asrdemo.errors import ResultError
from evals import simulate
from evals.alignments import aligned
from evals.churn import changed, churn_table, words_changed
from evals.scored import Scored, load
from evals.simulate import Recipe


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    made = simulate.simulate(Recipe(speakers=120, clips_each=4, runs=(1.0, 0.7)), 3)
    home = tmp_path_factory.mktemp("results")
    return load([simulate.write(home / f"run{r}", simulate.rows(made, r)) for r in range(2)])


def test_words_changed() -> None:
    found = words_changed(aligned(["=S=D", "", "I=", "SS"]), aligned(["==SDI", "II", "=", "S="]))
    assert found["words_fixed"].tolist() == [1, 0, 0, 1]
    assert found["words_broken"].tolist() == [1, 0, 0, 0]
    assert found["words_wrong"].tolist() == [1, 0, 0, 1]
    with pytest.raises(ResultError, match="other references"):
        words_changed(aligned(["=="]), aligned(["="]))


def test_table_counts_what_the_alignments_say(scored: Scored) -> None:
    base, run = (scored.column("ops", r).to_pylist() for r in range(2))
    names = [name.split(" | ") for name in scored.column("accents").to_pylist()]
    mask = scored.number("seconds") > 3
    table = churn_table(scored, ["accents"], mask).set_index("slice")
    at = [i for i, name in enumerate(names) if "Scottish English" in name and mask[i]]
    row = table.loc["Scottish English"]
    clean = [[set(ops[i]) <= {"="} for i in at] for ops in (base, run)]
    assert row["clips"] == len(at)
    assert row["clips_fixed"] == sum(b and not a for a, b in zip(*clean, strict=True))
    assert row["clips_broken"] == sum(a and not b for a, b in zip(*clean, strict=True))
    words = [(a, b) for i in at for a, b in zip(base[i].replace("I", ""), run[i].replace("I", ""), strict=True)]
    assert row["words"] == len(words)
    assert row["words_fixed"] == sum(a != "=" and b == "=" for a, b in words)
    assert row["words_broken"] == sum(a == "=" and b != "=" for a, b in words)
    assert row["words_wrong"] == sum(a != "=" and b != "=" for a, b in words)
    assert row["insertions"] == sum(run[i].count("I") - base[i].count("I") for i in at)


def test_changes_balance_the_errors(scored: Scored) -> None:
    row = churn_table(scored, []).iloc[0]
    assert (row["slice"], row["base"], row["run"]) == ("all clips", "run0", "run1")
    gained = row["words_broken"] - row["words_fixed"] + row["insertions"]
    assert gained == scored.errors[1].sum() - scored.errors[0].sum()


def test_the_other_way_round(scored: Scored) -> None:
    one, two = churn_table(scored, ["gender"], base=0), churn_table(scored, ["gender"], base=1)
    for a, b in (("clips_fixed", "clips_broken"), ("words_fixed", "words_broken"), ("clips_better", "clips_worse")):
        assert (one[a] == two[b]).all() and (one[b] == two[a]).all()
    assert (one["insertions"] == -two["insertions"]).all()


def test_changed_clips_are_masks(scored: Scored) -> None:
    kinds = changed(scored, "run0", "run1")
    assert all(mask.dtype == bool and len(mask) == len(scored) for mask in kinds.values())
    assert not (kinds["fixed"] & kinds["broken"]).any()
    assert (kinds["better"] >= kinds["fixed"]).all() and (kinds["worse"] >= kinds["broken"]).all()
    assert np.count_nonzero(kinds["fixed"]) > 0
