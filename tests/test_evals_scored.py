"""Rows of several results, joined by clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from asrdemo.errors import NotFoundError, ResultError
from evals import scored as scored_module
from evals import simulate
from evals.scored import Category, load, size
from evals.simulate import Recipe, rows, write
from evals.simulate import simulate as simulated

MADE = simulated(Recipe(speakers=40, runs=(1.0, 0.6)), 0)
TABLES = [rows(MADE, run) for run in range(2)]


def changed(table: pa.Table, name: str, values: object) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def test_one_result(tmp_path: Path) -> None:
    scored = load([write(tmp_path / "a", TABLES[0])])
    assert scored.runs == ("a",) and len(scored) == TABLES[0].num_rows and scored.left_out == (0,)
    assert scored.errors.sum() == MADE.errors[0].sum()
    assert scored.words.sum() == MADE.words.sum() and scored.words.dtype == np.int16
    assert scored.characters.sum() == 5 * MADE.words.sum()
    assert scored.speakers == 40 and (np.diff(scored.speaker) >= 0).all()
    assert scored.column("clip").to_pylist() == TABLES[0]["clip"].take(pa.array(scored.orders[0])).to_pylist()


def test_a_clip_twice_or_another_text_of_the_same_length_is_refused(tmp_path: Path) -> None:
    """In whichever of the results; texts that a program left out are no other texts."""
    one = write(tmp_path / "a", TABLES[0])
    twice = write(tmp_path / "b", pa.concat_tables([TABLES[1], TABLES[1].slice(0, 5)]))
    for folders in ([one, twice], [twice, one]):
        with pytest.raises(ResultError, match="'b' has a clip more than once"):
            load(folders)
    texts = TABLES[1]["reference"].to_pylist()
    said = [text.replace("a", "z") if at == 7 else text for at, text in enumerate(texts)]
    with pytest.raises(ResultError, match=r"References of 1 clips differ .* 'z"):
        load([one, write(tmp_path / "c", changed(TABLES[1], "reference", said))])
    assert load([one, write(tmp_path / "d", changed(TABLES[1], "reference", [""] * len(texts)))])


def test_results_are_joined_by_clip_whatever_their_order(tmp_path: Path) -> None:
    """The second result lacks some clips, has one of its own, and lists them in another order."""
    rng = np.random.default_rng(1)
    kept = rng.permutation(TABLES[1].num_rows)[20:]
    other = pa.concat_tables([TABLES[1].take(kept), changed(TABLES[1].slice(0, 1), "clip", ["extra.mp3"])])
    scored = load([write(tmp_path / "a", TABLES[0]), write(tmp_path / "b", other)])
    assert len(scored) == TABLES[0].num_rows - 20 and scored.left_out == (20, 1) and scored.lacking == 21
    clips = scored.column("clip").to_pylist()
    assert clips == scored.column("clip", 1).to_pylist()
    at = [int(clip[5:13]) for clip in clips]
    assert (scored.errors == MADE.errors[:, at]).all()
    assert (scored.speaker[np.argsort(at)] == MADE.speaker[np.sort(at)]).all()
    assert (scored.number("seconds") == MADE.seconds[at].astype(np.float32)).all()


def test_blocks_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    shuffled = TABLES[0].take(np.random.default_rng(0).permutation(TABLES[0].num_rows))
    one, two = (
        load([write(tmp_path / name, table)], most_blocks=7) for name, table in (("a", TABLES[0]), ("b", shuffled))
    )
    of = [dict(zip(s.column("clip").to_pylist(), s.block.tolist(), strict=True)) for s in (one, two)]
    assert of[0] == of[1] and one.blocks == 7


def test_clips_without_client_id_are_together_one_speaker(tmp_path: Path) -> None:
    ids = TABLES[0]["client_id"].to_pylist()
    blank = ["" if i % 3 == 0 else id for i, id in enumerate(ids)]
    scored = load([write(tmp_path / "a", changed(TABLES[0], "client_id", blank))])
    assert scored.speakers == len({id for id in blank if id}) + 1
    assert np.bincount(scored.speaker)[0] == blank.count("")
    assert scored.unnamed == "some" and "of the words the corpus does not say who speaks" in scored.caveat
    ids[0] = ""
    assert load([write(tmp_path / "b", changed(TABLES[0], "client_id", ids))]).caveat == "", "one clip is no matter"


def test_where_nobody_has_an_id_each_clip_counts_and_that_is_said(tmp_path: Path) -> None:
    scored = load([write(tmp_path / "a", changed(TABLES[0], "client_id", [""] * len(TABLES[0])))])
    assert scored.speakers == len(TABLES[0]) and "too narrow" in scored.caveat


def test_columns_are_read_when_asked_for(tmp_path: Path) -> None:
    votes = [None if i % 2 else 2 for i in range(len(TABLES[0]))]
    scored = load([write(tmp_path / "a", changed(TABLES[0], "up_votes", votes))], columns=())
    assert not scored.kept
    read = scored.number("up_votes")
    assert np.isnan(read).sum() == votes.count(None) and set(read[~np.isnan(read)]) == {2.0}
    accents = scored.category("accents")
    assert list(accents.values) == sorted(accents.values)
    names = np.array(accents.values, dtype=object)[accents.codes]
    assert names.tolist() == scored.column("accents").to_pylist()
    with pytest.raises(NotFoundError, match="no column 'colour'; there are: words, clip"):
        scored.category("colour")
    with pytest.raises(NotFoundError, match="no run 'z' here; there are: a"):
        scored.run("z")


def test_what_is_kept_is_bounded_by_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small things stay, few large ones go, those first that were not asked for."""
    scored = load([write(tmp_path / "a", TABLES[0])])
    for number in range(200):
        scored.once(("small", number), lambda: np.zeros(4))
    assert len([key for key in scored.kept if key[0] == "small"]) == 200
    monkeypatch.setattr(scored_module, "_LEAST_KEPT_BYTES", 2**20)
    monkeypatch.setattr(scored_module, "_KEPT_BYTES", 0)
    for number in range(4):
        scored.once(("large", number), lambda: Category(np.zeros(60_000, np.int32), ("a",) * 4000))
        scored.once(("large", 0), lambda: pytest.fail("was just asked for"))
    assert [key[1] for key in scored.kept] == [3, 0] and sum(map(size, scored.kept.values())) <= 2**20


def test_what_is_kept_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring all that is kept at every new filter made the hundredth take five times as long as the first."""
    scored = load([write(tmp_path / "a", TABLES[0])])
    measured: list[object] = []
    monkeypatch.setattr(scored_module, "size", lambda value: measured.append(value) or 8.0)
    for number in range(50):
        scored.once(("table", number), lambda number=number: number)
    assert len([value for value in measured if isinstance(value, int)]) == 50


def test_long_clips_do_not_overflow(tmp_path: Path) -> None:
    """More words than 16 bits hold."""
    table = changed(TABLES[0], "hits", [70_000] * len(TABLES[0]))
    scored = load([write(tmp_path / "a", table)])
    assert scored.words.dtype == np.int32 and int(scored.words.min()) >= 70_000


def test_refuses_what_cannot_be_compared(tmp_path: Path) -> None:
    a = write(tmp_path / "a", TABLES[0])
    corpus = {"name": "made-up", "split": "dev", "fingerprint": "1" * 64}
    b = write(tmp_path / "b", TABLES[1], {"corpus": corpus})
    with pytest.raises(
        ResultError,
        match=r"'a' and 'b' cannot be compared: split: test and dev; clips of the corpus: 0{64} and 1{64}\.",
    ):
        load([a, b])
    c = write(tmp_path / "c", TABLES[1], {"normaliser": {"profile": "en"}})
    with pytest.raises(ResultError, match="language rules of the normaliser: raw and en"):
        load([a, c])
    renamed = write(tmp_path / "d", TABLES[1], {"corpus": {"name": "copy", "split": "x", "fingerprint": "0" * 64}})
    assert load([a, renamed]).runs == ("a", "d")  # the same clips by another name
    with pytest.raises(ResultError, match="given twice"):
        load([a, a])
    with pytest.raises(ResultError, match="Got no result"):
        load([])
    with pytest.raises(NotFoundError, match="no result in 'nothing'"):
        load([tmp_path / "nothing"])


def test_refuses_other_references_and_no_common_clip(tmp_path: Path) -> None:
    a = write(tmp_path / "a", TABLES[0])
    hits = TABLES[1]["hits"].to_pylist()
    other = write(tmp_path / "b", changed(TABLES[1], "hits", [hits[0] + 1, *hits[1:]]))
    with pytest.raises(ResultError, match=r"References of 1 clips differ .*clip_00000000.mp3 \(\d+ and \d+ words\)"):
        load([a, other])
    away = changed(TABLES[1], "clip", [f"other_{i}" for i in range(len(TABLES[1]))])
    with pytest.raises(ResultError, match="no clip in common"):
        load([a, write(tmp_path / "c", away)])
    twice = pa.concat_tables([TABLES[0], TABLES[0].slice(0, 1)])
    with pytest.raises(ResultError, match="a clip more than once"):
        load([write(tmp_path / "d", twice)])


def test_made_up_rows_keep_the_contract() -> None:
    """What the other tests rest on: counts, alignments and the table agree."""
    table = TABLES[0]
    lengths = pc.utf8_length(table["ops"]).to_numpy()
    assert (lengths == MADE.words + MADE.insertions[0]).all()
    assert (pc.count_substring(table["ops"], "S").to_numpy() == MADE.substitutions[0]).all()
    assert simulate.scored(MADE).errors.sum() == MADE.errors.sum()
    assert abs(MADE.errors[0].sum() / MADE.expected[0].sum() - 1) < 0.2
