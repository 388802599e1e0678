"""evals.run: rows, resuming, shards, what is set aside; the processes that decode; kept emissions."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrdemo.decoding import Calibrations
from asrdemo.errors import ConfigError, ResultError
from asrdemo.types import SAMPLE_RATE, DecoderOptions, Emissions, Word
from evals import emissions_store, listen, worker
from evals.cli import options
from evals.results import SCHEMA, open_result, write_json
from tests import fake_corpus, fakes
from tests.fake_corpus import comparable, request, run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips: three windows."""
    return fake_corpus.make(tmp_path_factory.mktemp("corpora") / "talk", fake_corpus.sentences(20))


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A result that nothing interrupted, and its comparable rows."""
    result = run(request(corpus, keep_emissions=True), tmp_path_factory.mktemp("results") / "whole")
    return {"result": result, "rows": comparable(result)}


def test_rows_say_what_was_said_heard_and_counted(corpus, whole):
    result, rows = whole["result"], whole["result"].read().to_pylist()
    said = fake_corpus.sentences(20)
    assert result.read().schema.equals(SCHEMA), "no column may depend on what happens to be in it"
    assert [r["clip"] for r in rows] == [f"clip-{i:05}.wav" for i in range(20)], "in the order of the corpus"
    assert [(r["reference"], r["hypothesis"]) for r in rows] == said
    first = rows[0]  # "the cat sat", heard as "the cot sot"
    assert (first["hits"], first["substitutions"], first["ops"]) == (1, 2, "=SS")
    assert (first["char_substitutions"], first["raw_words"], first["raw_errors"]) == (2, 3, 2)
    assert (first["client_id"], first["age"], first["up_votes"]) == ("speaker-0", "fourties", 2)
    assert (first["gender"], first["gender_raw"], first["accents_raw"]) == ("male_masculine", "male", "us")
    assert first["accents"] == "United States English" and first["sentence_domain"] == ""
    assert first["seconds"] == pytest.approx(len(fakes.say("the cat sat")) / SAMPLE_RATE)
    assert first["speaking_rate"] == pytest.approx(9 / first["seconds"])
    assert -20 < first["loudness"] < 0 and first["bandwidth"] > 0 and np.isfinite(first["snr"])
    for row in rows:
        words = row["hypothesis"].split()
        assert len(words) == len(row["word_starts"]) == len(row["word_ends"]) == len(row["word_confidences"])
        assert row["word_starts"] == sorted(row["word_starts"]) and row["word_ends"][-1] <= row["seconds"] + 1e-6
        assert row["confidence"] == pytest.approx(np.mean(row["word_confidences"]), rel=1e-5)
        assert row["acoustic_s"] > 0 and row["decode_s"] > 0 and row["lm_score"] == 0


def test_run_json_pins_everything(whole):
    info = whole["result"].info
    pins = info["pins"]
    assert info["state"] == "complete" and info["clips"] == 20 and info["seed"] is None and info["quarantined"] == []
    assert pins["checkpoint"]["fingerprint"] == "print-of-fake" and pins["checkpoint"]["revision"] is None
    assert pins["acoustic"] == {"precision": "fp32", "device": "cpu"}
    assert pins["decoder"] == {"kind": "greedy", "engine": "greedy", "lm_fingerprint": None}
    assert pins["normaliser"]["profile"] == "en" and pins["normaliser"]["version"]
    assert len(pins["corpus"]["fingerprint"]) == 16 and pins["corpus"]["split"] == "test"
    assert {"torch", "transformers", "numpy", "pyctcdecode", "asrdemo"} <= set(pins["software"])
    assert info["seconds"]["wall"] > 0 and info["rtfx"] > 0 and info["machines"][0]["cores"]
    assert info["score"]["words"] == sum(len(s.split()) for s, _ in fake_corpus.sentences(20))


def test_a_run_that_was_stopped_goes_on_to_the_same_rows_without_hearing_twice(corpus, whole, tmp_path):
    asked = request(corpus, keep_emissions=True)
    cache = fakes.FakeCache()

    def stop(done: int, total: int, note: str) -> None:
        if note == "clips" and done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fake_corpus.evaluate(asked, tmp_path, fake_corpus.Settings(), cache=cache, progress=stop)
    had = {p.name for p in (tmp_path / "parts").iterdir()}
    assert open_result(tmp_path).info["state"] == "running" and 1 <= len(had) < 3
    heard = len([s for call in cache.calls for s in call])
    told: list[tuple[int, int]] = []
    result = fake_corpus.evaluate(
        asked,
        tmp_path,
        fake_corpus.Settings(),
        cache=cache,
        progress=lambda done, total, note: told.append((done, total)),
    )
    assert comparable(result) == whole["rows"] and result.info["pins"] == whole["result"].info["pins"]
    again = len([s for call in cache.calls for s in call]) - heard
    assert again == 20 - 8 * len(had), "finished windows are not heard again"
    assert told[-1] == (again, again)
    before = len(cache.calls)
    assert fake_corpus.evaluate(asked, tmp_path, fake_corpus.Settings(), cache=cache).info == result.info
    assert len(cache.calls) == before, "a complete result is not made again"


def test_other_settings_are_refused_before_and_after_the_checkpoint_is_loaded(corpus, whole, tmp_path):
    out = whole["result"].folder
    with pytest.raises(ResultError, match="decoder.kind: was 'greedy', is 'beam'"):
        run(request(corpus, options=DecoderOptions(kind="beam"), keep_emissions=True), out)
    with pytest.raises(ResultError, match="corpus.limit: was None, is 5"):
        run(request(corpus, limit=5, keep_emissions=True), out)
    with pytest.raises(ResultError, match="acoustic.precision: was 'fp32', is 'bf16'"):
        run(request(corpus, keep_emissions=True), out, precision="bf16")
    run(request(corpus, limit=17, shard=(1, 3)), tmp_path)
    info = open_result(tmp_path).info
    pins = info["pins"] | {"checkpoint": {**info["pins"]["checkpoint"], "fingerprint": "of other weights"}}
    parts_before = sorted((tmp_path / "parts").iterdir())
    write_json(tmp_path / "run.json", {**info, "pins": pins})
    with pytest.raises(ResultError, match="checkpoint.fingerprint: was 'of other weights', is 'print-of-fake'"):
        run(request(corpus, limit=17, shard=(2, 3)), tmp_path)
    assert sorted((tmp_path / "parts").iterdir()) == parts_before


def test_shards_give_the_same_rows_whoever_is_last(corpus, whole, tmp_path):
    asked = request(corpus, keep_emissions=True)
    for number in (3, 1):
        assert not run(replace(asked, shard=(number, 3)), tmp_path).complete
    result = run(replace(asked, shard=(2, 3)), tmp_path)
    assert result.complete and comparable(result) == whole["rows"]
    assert len(emissions_store.windows(tmp_path)) == 3
    for shard in ((0, 2), (3, 2)):
        with pytest.raises(ConfigError, match="expected i/n"):
            replace(asked, shard=shard)


def test_missing_and_broken_clips_are_set_aside(tmp_path):
    folder = fake_corpus.make(tmp_path / "talk", fake_corpus.sentences(18))
    clips = folder / "clips"
    (clips / "clip-00002.wav").unlink()
    (clips / "clip-00009.wav").write_bytes(b"RIFF")
    soundfile.write(clips / "clip-00010.wav", np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    for i in (16, 17):
        (clips / f"clip-{i:05}.wav").write_text("no sound at all")
    with (folder / "test.tsv").open("a") as table:
        table.write("speaker\tclip-00003.wav\ttwice\t0\t\t\t\ten\n")
    result = run(request(folder), tmp_path / "out")
    rows = {r["clip"]: r for r in result.read().to_pylist()}
    aside = {q["clip"]: q["reason"] for q in result.info["quarantined"]}
    assert result.complete and len(rows) == 14
    assert set(aside) == {f"clip-{i:05}.wav" for i in (2, 3, 9, 16, 17)}
    assert "named before" in aside["clip-00003.wav"] and str(tmp_path) not in " ".join(aside.values())
    silent = rows["clip-00010.wav"]
    assert silent["hypothesis"] == "" and silent["deletions"] == len(silent["reference"].split())
    assert silent["confidence"] is None and silent["snr"] is None and silent["word_starts"] == []


def test_a_corpus_of_nothing_but_broken_clips_still_ends(tmp_path):
    folder = fake_corpus.make(tmp_path / "talk", fake_corpus.sentences(3))
    for clip in (folder / "clips").iterdir():
        clip.unlink()
    result = run(request(folder, keep_emissions=True), tmp_path / "out")
    assert result.complete and result.read().num_rows == 0 and len(result.info["quarantined"]) == 3
    assert result.info["score"]["wer"] == 0.0 and result.info["rtfx"] == 0.0


def test_kept_emissions_are_what_was_heard_to_the_bit(whole, corpus, tmp_path):
    model = fakes.FakeModel(fakes.spec())
    from asrdemo.audio import read_clip

    kept = [pair for path in emissions_store.windows(whole["result"].folder) for pair in emissions_store.read(path)]
    assert [clip for clip, _ in kept] == [r["clip"] for r in whole["rows"]]
    for clip, emissions in kept[:3]:
        heard = model.emissions([read_clip(corpus / "clips" / clip)])[0]
        assert np.array_equal(heard.log_probs, emissions.log_probs) and heard.vocabulary == emissions.vocabulary
        assert (heard.duration, heard.seconds_per_frame, heard.cuts) == (
            emissions.duration, emissions.seconds_per_frame, emissions.cuts
        )  # fmt: skip
    noise = np.random.default_rng(0).normal(size=(37, 5)).astype(np.float32)
    assert np.array_equal(emissions_store.unpack(emissions_store.pack(noise), 37, 5), noise)
    assert emissions_store.unpack(emissions_store.pack(noise[:0]), 0, 5).shape == (0, 5)
    broken = tmp_path / "part-000000.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(ResultError, match="part-000000.parquet"):
        next(emissions_store.read(broken))
    with pytest.raises(ResultError, match="no kept emissions"):
        emissions_store.windows(tmp_path / "nothing")


def test_words_keep_their_times_through_normalisation():
    spoken = [Word("Well-known", 1.0, 2.0, 0.5), Word("--", 2.0, 2.1, 0.1), Word("it\u2019s", 3.0, 3.5, 0.9)]
    words = worker.normalised_words(spoken, ["well", "known", "it's"], "en")
    assert [(w.text, round(w.start, 3), round(w.end, 3), w.confidence) for w in words] == [
        ("well", 1.0, 1.444, 0.5), ("known", 1.444, 2.0, 0.5), ("it's", 3.0, 3.5, 0.9)
    ]  # fmt: skip
    characters = worker.normalised_words([Word("你好", 0.0, 1.0, 0.7)], ["你", "好"], "zh")
    assert [(w.text, w.start, w.end) for w in characters] == [("你", 0.0, 0.5), ("好", 0.5, 1.0)]
    assert worker.normalised_words([], [], "en") == []
    odd = worker.normalised_words([Word("a", 0, 1, 0.1), Word("b", 1, 2, 0.2)], ["x", "y", "z"], "en")
    assert [(w.text, w.start) for w in odd] == [("x", 0), ("y", 0), ("z", 1)]


def test_a_clip_that_cannot_be_decoded_keeps_no_other_back():
    good = fakes.FakeModel(fakes.spec())._hear(fakes.say("go home"))
    bad = Emissions(np.full((5, len(good.vocabulary)), np.nan, np.float32), good.vocabulary, 0.02, 0.1)
    job = worker.Job(DecoderOptions(n_best=1), None, Calibrations(), "en", keep=True)
    done = worker.decode_clips(job, ["go home", "nothing", "go"], [good, bad, good])
    assert list(done.rows) == [0, 2] and list(done.entries) == [0, 2] and "frame 0" in done.problems[1]
    assert (done.rows[2]["hits"], done.rows[2]["insertions"]) == (1, 1)


def test_a_worker_that_dies_is_reported_with_what_to_do(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "describe", _die)
    with pytest.raises(ResultError, match="run the same command again"):
        run(request(corpus), tmp_path)


def _die(job: object, emissions: object) -> None:
    os._exit(3)


def test_files_are_read_ahead_within_bounds(corpus, monkeypatch):
    asked = request(corpus)
    order = [(p.window, p.at) for p in listen.places(asked.source, [0, 2])]
    assert {w for w, _ in order[:8]} == {0} and {w for w, _ in order[8:]} == {2} and len(order) == 12
    lengths = [p.seconds for p in listen.places(asked.source, [0])]
    assert lengths == sorted(lengths, reverse=True)
    monkeypatch.setattr(listen, "CPU_SECONDS", 2.0)
    monkeypatch.setattr(listen, "AHEAD_SECONDS", 3.0)
    model = fakes.FakeModel(fakes.spec())
    batches = list(listen.batches(asked.source, [0, 2], model, fake_corpus.Settings()))
    assert all(sum(call) < 2.0 + 3.0 for call in model.calls) and len(batches) > 4
    assert sorted((b.window, at) for b in batches for at in b.at) == sorted(order)


def test_a_launcher_gives_each_process_its_share_and_its_gpu(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert options.launched() is None
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert options.launched() == (6, 8) and os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert options.launched() == (6, 8) and os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(ConfigError, match="RANK is '8'"):
        options.launched()
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert options.launched() == (1, 2)
