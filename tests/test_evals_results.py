"""evals.results, evals.parts, evals.folder: the files of a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asrdemo.errors import NotFoundError, ResultError
from evals import folder as life
from evals import parts, pins, results
from evals.results import CLIP_COLUMNS, SCHEMA, list_results, open_result
from evals.score import score, score_pairs

CORPUS = {"name": "talk", "split": "test", "fingerprint": "f" * 64, "clips": 20, "window": 8}
PINS = {"corpus": CORPUS, "decoder": {"kind": "greedy"}, "normaliser": {"profile": "en"}}
PAIRS = [("the cat sat", "the bat sat on"), ("yes", ""), ("", "uh"), ("one two", "one two"), ("a b c d", "a x y d")] * 4


def table(start: int, stop: int) -> pa.Table:
    """Rows `start` to `stop` of a made-up result of 20 clips."""
    chosen = PAIRS[start:stop]
    scored = score_pairs([r for r, _ in chosen], [h for _, h in chosen], "en")
    names = {"clip": [f"{i}.wav" for i in range(start, stop)], "seconds": [1.5] * len(chosen)}
    columns = names | {"acoustic_s": [0.25] * len(chosen)} | scored
    empty = {f.name: pa.nulls(len(chosen), f.type) for f in SCHEMA if f.name not in columns}
    return pa.table({k: pa.array(v, SCHEMA.field(k).type) for k, v in columns.items()} | empty).select(SCHEMA.names)


def write(folder: Path, window: int, quarantined: tuple[str, ...] = (), start: int | None = None) -> None:
    """The part of a window; the clips set aside are no longer among its first rows. start: of other rows than its."""
    aside = [{"clip": clip, "reason": "broken"} for clip in quarantined]
    note = {"wall": 2.0, "load": 0.5, "machine": {"device": "cpu"}, "quarantined": aside}
    start = 8 * window if start is None else start
    rows = table(start + len(aside), min(start + 8, 20))
    parts.write_table(parts.path_of(folder, window), rows.cast(SCHEMA), note)


def begun(folder: Path, windows: tuple[int, ...] = (0, 1, 2)) -> Path:
    """A folder with a result that has these windows."""
    life.begin(folder, PINS)
    for window in windows:
        write(folder, window)
    return folder


def test_the_schema_has_the_columns_everybody_reads():
    assert SCHEMA.field("clip").type == pa.string() and SCHEMA.field("seconds").type == pa.float64()
    for name in ("hits", "char_insertions", "raw_errors", "up_votes"):
        assert SCHEMA.field(name).type == pa.int32(), name
    for name in ("word_starts", "word_ends", "word_confidences"):
        assert SCHEMA.field(name).type == pa.list_(pa.float32())
    for name in ("loudness", "snr", "confidence", "lm_score", "decode_s"):
        assert SCHEMA.field(name).type == pa.float32()
    assert set(CLIP_COLUMNS) < set(SCHEMA.names) and len(set(SCHEMA.names)) == len(SCHEMA.names) == 42


def test_windows_depend_on_the_corpus_alone_and_cover_it():
    for clips in (0, 1, 8, 9, 300, 20_000, 1_000_000):
        size = parts.window_size(clips)
        assert parts.SMALLEST <= size <= parts.LARGEST
    assert parts.window_size(100_000) == parts.LARGEST, "so memory does not grow with the corpus"
    assert parts.window_size(320) == 10, "a small corpus is cut, too: a kill costs little, shards have work"


def test_parts_become_rows_in_the_order_of_the_corpus_with_pooled_totals(tmp_path):
    life.begin(tmp_path, PINS, [{"clip": "bad name", "reason": "not a clip's name"}])
    for window in (2, 0, 1):
        write(tmp_path, window, ("16.wav",) if window == 2 else ("0.wav",) if window == 0 else ())
    result = life.close(tmp_path, 3)
    assert result.complete and {p.name for p in tmp_path.iterdir()} == {"run.json", "rows.parquet"}
    heard = [i for i in range(20) if i not in (0, 16)]
    assert result.read(["clip"]).column("clip").to_pylist() == [f"{i}.wav" for i in heard]
    found = score([PAIRS[i][0] for i in heard], [PAIRS[i][1] for i in heard], "en")
    info = result.info
    assert info["score"]["wer"] == pytest.approx(found.wer) and info["score"]["words"] == found.words.reference
    assert (
        info["score"]["cer"] == pytest.approx(found.cer) and info["score"]["characters"] == found.characters.reference
    )
    assert info["clips"] == 18 and info["audio_hours"] == pytest.approx(18 * 1.5 / 3600)
    assert info["rtfx"] == pytest.approx(27 / 6) and info["seconds"]["load"] == 1.5
    assert [q["clip"] for q in info["quarantined"]] == ["bad name", "0.wav", "16.wav"]
    assert life.close(tmp_path, 3).info == info, "closing again changes nothing"


def test_rows_are_written_in_large_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "ROW_GROUP", 10)
    life.begin(tmp_path, PINS)
    for window in range(3):
        write(tmp_path, window)
    life.close(tmp_path, 3)
    groups = pq.ParquetFile(tmp_path / "rows.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [16, 4]


def test_stopped_between_rows_and_run_json_it_closes_all_the_same(tmp_path):
    life.begin(tmp_path, PINS)
    for window in range(3):
        write(tmp_path, window)
    totals = parts.assemble(tmp_path, 3)  # here the process dies
    assert not open_result(tmp_path).complete and open_result(tmp_path).read().num_rows == 20
    assert parts.missing(tmp_path, 3) == [], "nothing is heard again"
    assert life.close(tmp_path, 3).info["score"] == totals["score"]


def test_rows_hold_each_clip_of_the_corpus_once_or_there_are_none(tmp_path):
    """Shards that saw the corpus in different orders would lose clips and count others twice."""
    begun(tmp_path / "twice", (0, 1))
    write(tmp_path / "twice", 2, start=12)
    with pytest.raises(ResultError, match="has 4 rows of clips that were there before.*another --out"):
        life.close(tmp_path / "twice", 3)
    begun(tmp_path / "lost", (0, 1))
    write(tmp_path / "lost", 2, start=17)
    with pytest.raises(ResultError, match="has 19 rows and 0 clips set aside, of 20 clips of the corpus"):
        life.close(tmp_path / "lost", 3)
    for name in ("twice", "lost"):
        assert not open_result(tmp_path / name).complete and not list((tmp_path / name).glob("rows*"))
        write(tmp_path / name, 2)
        assert life.close(tmp_path / name, 3).complete


def test_shards_that_end_together_put_the_rows_together_once(tmp_path, monkeypatch):
    begun(tmp_path)
    groups, made = parts._groups, []

    def slowly(*given):
        made.append(given)
        time.sleep(0.2)
        return groups(*given)

    monkeypatch.setattr(parts, "_groups", slowly)
    with ThreadPoolExecutor(4) as shards:
        closed = list(shards.map(lambda number: life.close(tmp_path, 3, (number, 4)), (1, 2, 3, 4)))
    assert all(result.complete for result in closed) and len(made) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"run.json", "rows.parquet"}


def test_a_window_that_another_process_brought_in_time_is_not_missing_and_not_written(tmp_path, monkeypatch):
    begun(tmp_path / "read")
    note_of, closed = parts.note_of, []

    def late(path: Path) -> object:
        found = note_of(path)
        if path.name == results.ROWS and not closed:
            closed.append(True)
            life.close(tmp_path / "read", 3)  # the other process ends after this one saw no rows
        return found

    monkeypatch.setattr(parts, "note_of", late)
    assert parts.missing(tmp_path / "read", 3) == [], "or all would be heard again"
    monkeypatch.undo()
    begun(tmp_path / "written")
    save = pq.write_table

    def slow(*given, **options):
        save(*given, **options)
        monkeypatch.undo()
        life.close(tmp_path / "written", 3)  # ... and here after this one began to write the same window

    monkeypatch.setattr(pq, "write_table", slow)
    write(tmp_path / "written", 1)
    assert life.close(tmp_path / "written", 3, (2, 3)).complete
    assert {p.name for p in (tmp_path / "written").iterdir()} == {"run.json", "rows.parquet"}
    (tmp_path / "gone").mkdir()
    monkeypatch.setattr(pq, "write_table", lambda *given, **options: None)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "gone", 1)


def test_closing_leaves_the_files_that_others_are_writing(tmp_path):
    begun(tmp_path)
    (tmp_path / "emissions").mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        "ours": results._SELF,
        "alive": f"{results._HOST}-{os.getppid()}-0",
        "dead": f"{results._HOST}-{gone.pid}-0",
        "elsewhere": "0-1-0",
        "silent": "0-2-0",
    }
    files = {k: tmp_path / "emissions" / f"part-000000.parquet.{name}.partial" for k, name in names.items()}
    for file in files.values():
        file.write_text("half")
    os.utime(files["silent"], (0, 0))
    assert life.close(tmp_path, 3).complete
    assert {k for k, file in files.items() if file.exists()} == {"alive", "elsewhere"}


def test_a_part_that_was_cut_off_counts_as_missing(tmp_path):
    life.begin(tmp_path, PINS)
    for window in range(3):
        write(tmp_path, window)
    path = parts.path_of(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-20])
    assert parts.missing(tmp_path, 3) == [1] and parts.missing(tmp_path, 3, (2, 3)) == [1]
    assert parts.missing(tmp_path, 3, (1, 3)) == []
    with pytest.raises(ResultError, match="lacks 1 of 3 windows"):
        life.close(tmp_path, 3)
    write(tmp_path, 1)
    assert life.close(tmp_path, 3).complete


def test_rows_can_be_read_while_the_run_is_under_way(tmp_path):
    result = life.begin(tmp_path, PINS)
    assert result.read().schema.equals(SCHEMA) and result.read(["clip", "hits"]).num_rows == 0
    write(tmp_path, 1)
    assert result.read(["clip", "hits"]).column_names == ["clip", "hits"]
    found = result.read(["clip"], filters=[("substitutions", ">", 1)])
    assert found.column("clip").to_pylist() == ["9.wav", "14.wav"], "PAIRS[4] and its repeats have two"


def test_only_one_process_begins_a_result(tmp_path):
    first = life.begin(tmp_path, PINS)
    second = life.begin(tmp_path, {"decoder": {"kind": "beam"}})
    assert second.info == first.info and [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_other_pins_are_refused_with_what_differs(tmp_path):
    result = life.begin(tmp_path, PINS)
    life.refuse(result, json.loads(json.dumps(PINS)))
    other = {**PINS, "decoder": {"kind": "beam", "alpha": 0.5}}
    with pytest.raises(ResultError, match="decoder.kind: was 'greedy', is 'beam'; decoder.alpha: was None, is 0.5"):
        life.refuse(result, other)


def test_over_keeps_what_only_loading_can_tell():
    old = {"checkpoint": {"id": "x", "fingerprint": "f"}, "acoustic": {"precision": "fp32"}}
    new = {"checkpoint": {"id": "y"}, "keep_emissions": True}
    assert pins.over(old, new) == {
        "checkpoint": {"id": "y", "fingerprint": "f"}, "acoustic": {"precision": "fp32"}, "keep_emissions": True
    }  # fmt: skip


def test_shards_made_in_folders_of_their_own_merge_to_the_same_rows(tmp_path):
    one, two, whole, plain = (tmp_path / n for n in ("one", "two", "whole", "plain"))
    for folder, windows in ((one, (0, 2)), (two, (1,)), (plain, (0, 1, 2))):
        life.begin(folder, PINS)
        for window in windows:
            write(folder, window)
        (folder / "emissions").mkdir()
        for window in windows:
            pq.write_table(table(0, 1), folder / "emissions" / f"part-{window:06}.parquet")
    with pytest.raises(ResultError, match="lacks 1 of 3"):
        life.merge([one], tmp_path / "half")
    merged = life.merge([one, two], whole)
    assert merged.read().equals(life.merge([plain], plain).read())
    assert len(list((whole / "emissions").iterdir())) == 3
    with pytest.raises(ResultError, match="complete already"):
        life.merge([whole], whole)
    life.begin(tmp_path / "odd", {**PINS, "decoder": {"kind": "beam"}})
    with pytest.raises(ResultError, match="decoder.kind"):
        life.merge([one, tmp_path / "odd"], tmp_path / "no")


def test_merging_replaces_what_is_damaged_by_what_is_whole(tmp_path):
    one, two = begun(tmp_path / "one", (0, 1)), begun(tmp_path / "two", (1, 2))
    for folder, window in ((one, 1), (two, 2)):
        path = parts.path_of(folder, window)
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ResultError, match="lacks 1 of 3"):
        life.merge([one, two], tmp_path / "out")
    out = parts.path_of(tmp_path / "out", 0)
    out.write_bytes(out.read_bytes()[:-20])
    write(two, 2)
    assert life.merge([one, two], tmp_path / "out").read(["clip"]).num_rows == 20


def test_what_is_no_result_is_said_so(tmp_path):
    with pytest.raises(NotFoundError, match="no result in 'nothing'"):
        open_result(tmp_path / "nothing")
    for text, why in (("{", "cannot be read"), ('{"format": 99}', "format 99"), ("[]", "format None")):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ResultError, match=why):
            open_result(tmp_path)
    (tmp_path / "rows").mkdir()
    result = life.begin(tmp_path / "rows", PINS)
    (tmp_path / "rows" / results.ROWS).write_bytes(b"not parquet")
    with pytest.raises(ResultError, match="rows of result 'rows' cannot be read"):
        result.read()


def test_results_are_listed_latest_first_and_wrecks_left_out(tmp_path):
    home = tmp_path / "home"
    for name, started in (("old", "2026-01-01"), ("new", "2026-02-01")):
        result = life.begin(home / "results" / name, PINS)
        results.write_json(result.folder / "run.json", {**result.info, "started": started})
    (home / "results" / "wreck").mkdir()
    (home / "results" / "wreck" / "run.json").write_text("{")
    assert [r.name for r in list_results(home)] == ["new", "old"]
    assert list_results(tmp_path / "nowhere") == []
