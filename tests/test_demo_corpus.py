"""The embedded demo corpus: what it promises about layout, speakers, accents, lengths and labels."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrdemo.finetune import recipe
from demo import synthesis
from demo.cast import CLIPS, cast
from demo.everyday import TEMPLATES, everyday, plain, reserved
from demo.layout import COLUMNS
from demo.make_corpus import plan
from demo.voices import ACCENTS, HELD_OUT_ACCENT, HELD_OUT_NAME, RESERVED_VARIANTS, training_voice

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "demo" / "corpus" / "en"
SPLITS = ("train", "dev", "test")
AGES = {"", "teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies", "eighties", "nineties"}


def rows(name: str) -> list[dict[str, str]]:
    with (CORPUS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def tables() -> dict[str, list[dict[str, str]]]:
    return {split: rows(f"{split}.tsv") for split in SPLITS}


@pytest.fixture(scope="module")
def durations() -> dict[str, int]:
    return {row["clip"]: int(row["duration[ms]"]) for row in rows("clip_durations.tsv")}


def test_columns_and_values_are_those_of_a_release(tables):
    for split in SPLITS:
        assert tuple(tables[split][0]) == COLUMNS
    every = [row for split in SPLITS for row in tables[split]]
    assert {row["gender"] for row in every} == {"male_masculine", "female_feminine"}
    assert {row["age"] for row in every} <= AGES
    assert {"", "fourties"} < {row["age"] for row in every}
    assert {row["locale"] for row in every} == {"en"}
    assert all(row["sentence"] and "\t" not in row["sentence"] for row in every)


def test_every_clip_is_named_once_and_is_there(tables, durations):
    named = [row["path"] for split in SPLITS for row in tables[split]]
    assert len(named) == len(set(named))
    assert set(named) == set(durations) == {path.name for path in (CORPUS / "clips").iterdir()}


def test_speakers_are_many_and_disjoint(tables):
    speakers = {split: {row["client_id"] for row in tables[split]} for split in SPLITS}
    assert sum(map(len, speakers.values())) == len(set.union(*speakers.values())) >= 40
    for split in SPLITS:
        genders = {row["client_id"]: row["gender"] for row in tables[split]}
        assert min(list(genders.values()).count(gender) for gender in set(genders.values())) >= 3


def test_accents_and_the_one_kept_out(tables):
    accents = {split: {row["accents"] for row in tables[split]} for split in SPLITS}
    assert len(accents["train"]) >= 5
    assert HELD_OUT_NAME in accents["dev"] & accents["test"]
    assert accents["test"] <= accents["train"]
    known = {row["accents"] for row in tables["train"][:507]}  # what there was when demo-en was trained
    assert HELD_OUT_NAME not in known and {row["accents"] for row in tables["train"][507:]} == {HELD_OUT_NAME}
    (source,) = [s for s in recipe.load(ROOT / "recipes/demo-en.yaml").train if s.folder == "demo/corpus/en"]
    assert source.exclude_accents == (HELD_OUT_NAME,)
    readme = (CORPUS / "README.md").read_text(encoding="utf-8")
    assert HELD_OUT_NAME in readme and HELD_OUT_ACCENT in readme


def test_no_sentence_crosses_a_split(tables):
    said = {split: {plain(row["sentence"]) for row in tables[split]} for split in SPLITS}
    assert not said["train"] & (said["dev"] | said["test"])
    assert not said["dev"] & said["test"]
    known = set(" ".join(said["train"]).split())
    words = " ".join(said["test"]).split()
    assert np.mean([word in known for word in words]) > 0.9


def test_clips_are_as_long_as_the_table_says(tables, durations):
    assert min(durations.values()) >= 1_000
    assert max(durations.values()) <= 12_000
    assert max(durations.values()) > 7_000, "some clips are long, so that a slice by length shows something"
    for name in sorted(durations)[::40]:
        info = soundfile.info(CORPUS / "clips" / name)
        assert (info.samplerate, info.channels, info.format) == (16_000, 1, "MP3")
        assert info.frames / 16 == pytest.approx(durations[name], abs=2)
        samples, _ = soundfile.read(CORPUS / "clips" / name, dtype="float32")
        assert 0.1 < np.abs(samples).max() <= 1.01


def test_size():
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    assert size < 20_000_000


def test_it_says_that_it_is_synthetic(tables):
    readme = (CORPUS / "README.md").read_text(encoding="utf-8").lower()
    assert "synthetic" in readme and "cc0" in readme and "demo.make_corpus" in readme
    for split in SPLITS:
        assert all(row["client_id"].startswith("synthetic-") for row in tables[split])
        assert all(row["path"].startswith("synthetic_") for row in tables[split])


def test_examples_are_test_clips_with_their_words(tables):
    said = {row["path"]: row["sentence"] for row in tables["test"]}
    listed = [line.split("\t") for line in (CORPUS / "examples.txt").read_text(encoding="utf-8").splitlines()[1:]]
    assert 4 <= len(listed) <= 6
    assert all(said[path] == sentence for path, sentence, _ in listed)


def test_the_script_still_plans_the_corpus_that_ships(tables):
    planned = [(job.speaker.split, job.row.path, job.row.client_id, job.row.sentence) for job in plan(CORPUS, seed=20)]
    shipped = [(s, row["path"], row["client_id"], row["sentence"]) for s in SPLITS for row in tables[s]]
    assert sorted(planned) == sorted(shipped)


def test_training_speech_never_uses_a_voice_kept_for_dev_and_test():
    random = np.random.default_rng(0)
    kept = {name for names in RESERVED_VARIANTS.values() for name in names}
    assert HELD_OUT_ACCENT not in ACCENTS
    for engine in ("espeak", "flite", "kokoro"):
        for _ in range(300):
            voice = training_voice(engine, random)[0]
            assert HELD_OUT_ACCENT not in voice.name and voice.name != "awb"
            assert voice.name.partition("+")[2] not in kept
            assert "jf_tebukuro" not in dict(voice.mix)


def test_dev_and_test_voices_are_not_training_voices_but_for_the_kept_out_accent():
    heard = {speaker.voice.name.partition("+")[2] for speaker in cast() if speaker.split == "train"}
    for speaker in cast():
        if speaker.voice.engine == "espeak" and speaker.split != "train" and speaker.accents != HELD_OUT_NAME:
            assert speaker.voice.name.partition("+")[2] not in heard, speaker.client_id
    assert set(CLIPS) == {speaker.split for speaker in cast()}


def test_reserved_sentences_are_a_tenth_and_ignore_punctuation():
    random = np.random.default_rng(1)
    share = np.mean([reserved(everyday(random)) for _ in range(2_000)])
    assert 0.07 < share < 0.14
    assert reserved("Please wait near the zoo.") == reserved("please wait, near the zoo")
    assert len(TEMPLATES) > 100


def test_missing_synthesiser_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(synthesis.SynthesisError, match="apt-get install espeak-ng"):
        synthesis.require("espeak-ng")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_letters_are_read_as_letters_and_silence_is_trimmed():
    voice = synthesis.Voice("espeak", "en-us+m1")
    spelled, word = (synthesis.trim(synthesis.speak(voice, text)) for text in ("A B E T", "ABET"))
    assert spelled.dtype == np.float32 and spelled.size > 1.5 * word.size
    staged = synthesis.stage(word, np.random.default_rng(0))
    assert 0.1 * synthesis.RATE <= staged.size - word.size <= 0.75 * synthesis.RATE
    assert synthesis.trim(staged).size == pytest.approx(word.size, abs=0.06 * synthesis.RATE)
