"""Paired tests of two runs: MAPSSWE beside NIST's, the speaker-block bootstrap, corrections for many tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrdemo.errors import NotFoundError, ResultError
from evals import simulate
from evals.alignments import aligned
from evals.multiplicity import benjamini_hochberg, holm
from evals.scored import Scored, load
from evals.significance import comparison_table, mapsswe, pairs_table, segments
from evals.simulate import Recipe
from evals.slices import slice_table
from evals.sums import Support


def errors_of(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    """(clip, difference) of each segment."""
    found = segments(aligned(first), aligned(second))
    return list(zip(found.clip.tolist(), found.difference.tolist(), strict=True))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("====", "====", []),
        ("=S==", "====", [1]),
        ("S==S", "====", [1, 1]),  # two good words part two segments
        ("S=S=", "====", [2]),  # one does not
        ("S==S", "=S==", [1]),  # nor do two that only one system got right
        ("S=I=S", "====", [3]),  # nor two with an insertion between them
        ("==I", "==", [1]),  # insertions after the last word count, of either system
        ("==", "==I", [-1]),
        ("I==", "==", [1]),
        ("SD==DS", "======", [2, 2]),
        ("SS==", "SS==", [0]),  # errors of both are a segment without a difference
        ("S", "D", [0]),
        ("II", "", [2]),  # nothing was said
        ("", "", []),
    ],
)
def test_segments(first: str, second: str, expected: list[int]) -> None:
    assert errors_of([first], [second]) == [(0, d) for d in expected]


def test_segments_end_with_the_clip() -> None:
    assert errors_of(["S", "S", "==", "S"], ["=", "=", "==", "="]) == [(0, 1), (1, 1), (3, 1)]


def slow_segments(first: str, second: str) -> list[int]:
    """The same, word by word: which words were right, and what was inserted before each."""

    def walked(ops: str) -> list[tuple[bool, int]]:
        steps, inserted = [], 0
        for op in ops:
            if op == "I":
                inserted += 1
            else:
                steps.append((op == "=", inserted))
                inserted = 0
        return [*steps, (True, inserted)]

    out, run, difference, wrong = [], 0, 0, False
    a, b = walked(first), walked(second)
    for i, ((right_a, inserted_a), (right_b, inserted_b)) in enumerate(zip(a, b, strict=True)):
        if inserted_a or inserted_b:
            run, wrong, difference = 0, True, difference + inserted_a - inserted_b
        if i == len(a) - 1:
            break
        if right_a and right_b:
            run += 1
            if run == 2 and wrong:
                out, wrong, difference = [*out, difference], False, 0
        else:
            run, wrong, difference = 0, True, difference + right_b - right_a
    return [*out, difference] if wrong else out


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    words = draw(st.integers(0, 9))

    def ops() -> str:
        extra = st.text("I", max_size=2)
        return "".join(draw(extra) + draw(st.sampled_from("====SD")) for _ in range(words)) + draw(extra)

    return ops(), ops()


@given(st.lists(pairs(), min_size=1, max_size=8))
def test_segments_equal_the_slow_way(clips: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in clips], [b for _, b in clips]
    assert errors_of(first, second) == [(i, d) for i, (a, b) in enumerate(clips) for d in slow_segments(a, b)]


def made_up_ops(rng: np.random.Generator, words: np.ndarray, error: float) -> list[str]:
    def one(n: int) -> str:
        steps = rng.choice(list("=SD"), n, p=[1 - error, 0.7 * error, 0.3 * error])
        inserted = rng.poisson(0.2 * error, n + 1)
        return "".join("I" * int(i) + str(s) for i, s in zip(inserted, steps, strict=False)) + "I" * int(inserted[-1])

    return [one(int(n)) for n in words]


def nist(first: list[str], second: list[str], folder: Path) -> tuple[int, float, float, float]:
    """Segments, mean, standard deviation and Z of sc_stats for the same alignments."""

    def system(title: str, clips: list[str]) -> str:
        lines = [f'<SYSTEM title="{title}" ref_fname="r" hyp_fname="h" creation_date="" format="2.4" frag_corr="FALSE" '
                 'opt_del="FALSE" weight_ali="FALSE" weight_filename="">', '<SPEAKER id="s">']  # fmt: skip
        for number, ops in enumerate(clips):
            steps, word = [], 0
            for op in ops:
                name = f'"w{word}"'
                steps.append({"=": f"C,{name},{name}", "S": f'S,{name},"x"', "D": f"D,{name},", "I": 'I,,"x"'}[op])
                word += op != "I"
            lines += [f'<PATH id="(s_{number})" word_cnt="{len(ops)}" sequence="{number}">', ":".join(steps), "</PATH>"]
        return "\n".join([*lines, "</SPEAKER>", "</SYSTEM>", ""])

    subprocess.run(
        ["sctk", "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "out"],
        input=system("A", first) + system("B", second),
        cwd=folder,
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    said = (folder / "out.stats.mapsswe").read_text(errors="replace")
    found = re.search(r"# segs: (\d+)\).*mean: +(\S+)\) \(std dev: +(\S+)\) \(Z Stat: +(\S+)\)", said)
    assert found, said[-500:]
    return int(found[1]), float(found[2]), float(found[3]), float(found[4])


@pytest.mark.skipif(shutil.which("sctk") is None, reason="NIST's sctk is not installed (Debian: apt install sctk)")
@pytest.mark.parametrize("seed", range(4))
def test_mapsswe_is_that_of_nist(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 15, 300)
    first, second = made_up_ops(rng, words, 0.15), made_up_ops(rng, words, 0.12 + 0.03 * seed)
    ours, theirs = mapsswe(first, second), nist(first, second, tmp_path)
    assert ours.segments == theirs[0]
    assert (ours.mean, ours.sd, ours.z) == pytest.approx(theirs[1:], abs=0.0006)  # it prints three decimals


def test_mapsswe_recorded() -> None:
    """What sc_stats 1.3 said of made_up_ops, for machines without it."""
    rng = np.random.default_rng(0)
    words = rng.integers(1, 15, 300)
    found = mapsswe(made_up_ops(rng, words, 0.15), made_up_ops(rng, words, 0.12))
    assert (found.segments, round(found.mean, 3), round(found.sd, 3), round(found.z, 3)) == (441, 0.202, 1.275, 3.325)


def test_mapsswe_of_equal_systems_and_of_nothing() -> None:
    same = mapsswe(["=S==D", "=="], ["=S==D", "=="])
    assert (same.segments, same.mean, same.z, same.p) == (2, 0.0, 0.0, 1.0)
    assert mapsswe([], []).segments == 0
    assert mapsswe(["S"], ["="]).p == 1.0  # one segment has no standard deviation


def test_mapsswe_needs_the_same_references() -> None:
    with pytest.raises(ResultError, match="alignments of 1 clips have other references"):
        mapsswe(["==", "="], ["=", "="])
    with pytest.raises(ResultError, match="of 1 and of 2 clips"):
        mapsswe(["=="], ["=", "="])


@given(st.lists(pairs(), min_size=2, max_size=8))
def test_mapsswe_changes_sign_with_the_order(clips: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in clips], [b for _, b in clips]
    one, two = mapsswe(first, second), mapsswe(second, first)
    assert one.z == pytest.approx(-two.z) and one.p == pytest.approx(two.p) and one.segments == two.segments


def test_holm_and_benjamini_hochberg() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, np.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert benjamini_hochberg(p) == pytest.approx([0.02, np.nan, 0.04, 0.04, 0.02], nan_ok=True)
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
    assert len(holm(np.array([]))) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections_keep_order_and_bounds(values: list[float]) -> None:
    p = np.array(values)
    for rule in (holm, benjamini_hochberg):
        adjusted = rule(p)
        assert ((adjusted >= p) & (adjusted <= 1)).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-15).all()
    rejected = benjamini_hochberg(p) <= 0.1  # by the rule as Benjamini & Hochberg state it
    ranked = np.sort(p)
    passing = np.flatnonzero(ranked <= 0.1 * np.arange(1, len(p) + 1) / len(p))
    assert rejected.sum() == (passing[-1] + 1 if len(passing) else 0)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Three runs: the second is better, the third as good as the first."""
    made = simulate.simulate(Recipe(speakers=200, clips_each=5, runs=(1.0, 0.7, 1.0)), 3)
    home = tmp_path_factory.mktemp("results")
    return load([simulate.write(home / f"run{r}", simulate.rows(made, r)) for r in range(3)])


def test_better_run_is_found_better_and_equal_one_is_not(scored: Scored) -> None:
    table = comparison_table(scored, ["gender"])
    better, equal = table.iloc[0], table.iloc[1]
    assert (better["slice"], better["base"], better["run"], equal["run"]) == ("all clips", "run0", "run1", "run2")
    assert better["difference"] == pytest.approx(better["wer"] - better["base_wer"]) and better["difference"] < 0
    assert better["high"] < 0 and better["p_holm"] < 1e-6 and better["mapsswe_holm"] < 1e-6
    assert better["better"] == 1.0 and better["mapsswe_z"] < -5
    assert equal["low"] < 0 < equal["high"] and equal["p"] > 0.05 and equal["mapsswe_p"] > 0.05
    assert len(table) == 2 * (1 + table[table["by"] == "gender"]["slice"].nunique())


def test_what_is_said_of_all_clips_does_not_depend_on_the_slices(scored: Scored) -> None:
    alone = comparison_table(scored, [])
    for by in (["gender"], ["accents", "age"]):
        whole = comparison_table(scored, by).query("by == ''")
        pd.testing.assert_frame_equal(whole, alone, check_dtype=False)
        slices = comparison_table(scored, by).query("by != ''")
        np.testing.assert_allclose(slices["p_holm"], holm(slices["p"].to_numpy()))


def test_every_two_runs_are_compared_once(scored: Scored) -> None:
    table = pairs_table(scored, base="run2")
    assert list(zip(table["base"], table["run"], strict=True)) == [("run2", "run0"), ("run2", "run1"), ("run0", "run1")]
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_numpy()))
    apart = comparison_table(scored, [], matched_pairs=False).query("run == 'run1'").iloc[0]
    for name in ("difference", "low", "high", "p"):
        assert table.iloc[2][name] == pytest.approx(apart[name])


def test_pairing_makes_the_interval_narrow(scored: Scored) -> None:
    """Speakers that are hard for one run are so for the other: the difference varies less than either rate."""
    both = slice_table(scored, []).iloc[:2]
    apart = np.hypot(*(both["high"] - both["low"]))
    row = comparison_table(scored, []).iloc[0]
    assert row["high"] - row["low"] < 0.8 * apart


def test_comparison_turns_with_the_base(scored: Scored) -> None:
    one = comparison_table(scored, ["gender"], base="run0").query("run == 'run1'").set_index("slice")
    two = comparison_table(scored, ["gender"], base="run1").query("run == 'run0'").set_index("slice")
    pd.testing.assert_series_equal(one["difference"], -two["difference"])
    pd.testing.assert_series_equal(one["low"], -two["high"], check_names=False)
    pd.testing.assert_series_equal(one["p"], two["p"])
    pd.testing.assert_series_equal(one["mapsswe_z"], -two["mapsswe_z"])
    with pytest.raises(NotFoundError, match="no run 'other'"):
        comparison_table(scored, base="other")


def test_slices_of_matched_pairs_are_those_of_their_clips(scored: Scored) -> None:
    """Including clips with two accents, and under a filter."""
    mask = scored.words > 4
    table = comparison_table(scored, ["accents"], mask, support=Support(2, 1)).query("run == 'run1'").set_index("slice")
    base, run = (scored.column("ops", r).to_pylist() for r in (0, 1))
    names = scored.column("accents").to_pylist()
    for accent in ("Scottish English", "England English"):
        at = [i for i, name in enumerate(names) if accent in name.split(" | ") and mask[i]]
        alone = mapsswe([run[i] for i in at], [base[i] for i in at])
        assert table.loc[accent, "segments"] == alone.segments
        assert table.loc[accent, "mapsswe_z"] == pytest.approx(alone.z)
    assert any(" | " in name for name in names)


def test_insufficient_slices_are_not_compared(scored: Scored) -> None:
    table = comparison_table(scored, ["accents"])
    lacking = table[table["status"] == "insufficient"]
    assert len(lacking) and lacking[["difference", "p", "p_holm", "mapsswe_z", "segments", "better"]].isna().all(
        axis=None
    )


def test_without_matched_pairs_no_alignment_is_read(scored: Scored) -> None:
    made = simulate.simulate(Recipe(speakers=40, runs=(1.0, 0.8)), 0)
    table = comparison_table(simulate.scored(made), ["gender"], matched_pairs=False)  # has no files at all
    assert "mapsswe_p" not in table and table["p"].notna().any()
