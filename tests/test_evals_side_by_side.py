"""Texts side by side, and which results may be laid side by side at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evals import simulate, together
from evals.align import align_words
from evals.results import Result, open_result
from evals.scored import load, unlike
from evals.side_by_side import parted, side_by_side

TEXTS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=7).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_nothing_is_lost_and_marks_are_those_of_scoring(texts: list[str]) -> None:
    columns = side_by_side(texts)
    for at, text in enumerate(texts):
        assert [column.words[at] for column in columns if column.words[at] is not None] == text.split()
        marks = "".join(column.marks[at] for column in columns)
        assert sum(mark != "=" for mark in marks) == align_words([texts[0]], [text]).errors[0]
    assert all(any(column.words) for column in columns), "no empty column"


def test_what_several_add_in_one_place_is_aligned_among_itself() -> None:
    columns = side_by_side(["start end", "start one two end", "start two end", "start end"])
    assert [c.words for c in columns] == [
        ("start",) * 4, (None, "one", None, None), (None, "two", "two", None), ("end",) * 4,
    ]  # fmt: skip
    assert columns[0].agreed and not columns[2].agreed
    assert columns[2].marks == ("", "I", "I", "")


def test_of_a_long_text_only_places_that_differ_are_kept() -> None:
    words = [f"w{at}" for at in range(1000)]
    other = [*words[:500], "x", *words[501:900], "y", *words[901:]]
    columns = side_by_side([" ".join(words), " ".join(other)])
    kept = parted(columns, around=2, most=100)
    assert [c.words[0] if c else "…" for c in kept] == [
        "…", "w498", "w499", "w500", "w501", "w502", "…", "w898", "w899", "w900", "w901", "w902", "…"
    ]  # fmt: skip
    assert parted(columns[:50]) == columns[:50]
    unlike = side_by_side([" ".join(words), " ".join("z" + word for word in words)])
    assert sum(c is not None for c in parted(unlike, most=100)) == 100


def result(name: str, corpus: str = "c", fingerprint: str = "1", profile: str = "en", version: str = "2") -> Result:
    pins = {
        "corpus": {"name": corpus, "split": "test", "fingerprint": fingerprint},
        "normaliser": {"profile": profile, "version": version, "fingerprint": profile + version},
    }
    return Result(Path(name), {"state": "complete", "pins": pins})


def test_families_are_of_the_same_clips_and_normaliser() -> None:
    results = [result("a"), result("x", fingerprint="2"), result("b", corpus="same, renamed"), result("y", version="1")]
    assert [[r.name for r in family] for family in together.families(results)] == [["a", "b"], ["x"], ["y"]]
    assert unlike([results[0], results[2]]) == [], "a name alone keeps nothing apart"
    assert unlike([results[0], results[1]]) == [("clips of the corpus", ["1", "2"])]
    assert ("version of the normaliser", ["2", "1"]) in unlike([results[0], results[3]])


def test_the_grid_counts_every_clip_once(tmp_path: Path) -> None:
    made = simulate.simulate(simulate.Recipe(speakers=60, runs=(1.0, 0.7)), 2)
    folders = [simulate.write(tmp_path / str(run), simulate.rows(made, run)) for run in (0, 1)]
    scored = load([open_result(folder) for folder in folders])
    grid = together.error_grid(scored, "0", "1", most=5)
    before, after = scored.errors
    assert grid.clips.sum() == len(scored) and grid.clips.shape == (6, 6)
    assert (grid.better, grid.worse) == ((after < before).sum(), (after > before).sum())
    for cell in ((0, 0), (2, 1), (5, 5)):
        found = together.in_cell(scored, "0", "1", cell, most=5)
        assert len(found) == grid.clips[cell]
        assert (np.diff(scored.words[found].astype(int)) <= 0).all()
        assert (np.minimum(before[found], 5) == cell[0]).all() and (np.minimum(after[found], 5) == cell[1]).all()
    mask = scored.number("seconds") > 4
    assert together.error_grid(scored, "0", "1", mask).clips.sum() == mask.sum()
    changed = together.most_changed(scored, "0", "1", mask, most=7)
    change = np.abs(before.astype(int) - after)
    assert len(changed) == 7 and mask[changed].all() and change[changed].min() >= np.sort(change[mask])[-7]
