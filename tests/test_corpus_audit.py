"""asrdemo.corpus.audit and `corpora --audit`: what is in a corpus and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SHARED
from test_corpus import wav, write

from asrdemo.cli import main
from asrdemo.corpus import audit, open_corpus
from asrdemo.measure import measure

HEADER = "client_id\tpath\tsentence\tage\tgender\taccents\tlocale"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits that share a speaker and a sentence, with a clip wrong in every way there is."""
    root = tmp_path / "set"
    write(
        root,
        "train.tsv",
        HEADER,
        "a\tgood.wav\tHello there.\tteens\tmale\tus\ten",
        "b\tfast.wav\tToo many letters for so short a recording.\t\t\t\ten",
        "b\tsilent.wav\tNobody speaks.\t\tfemale\t\ten",
        "c\tclipped.wav\tMuch too loud.\t\t\t\ten",
        "c\tlonger.wav\tLonger than declared.\t\t\t\ten",
        "c\tempty-text.wav\t...\t\t\t\ten",
        "c\tgone.wav\tNot there.\t\t\t\ten",
        "c\ttab.wav\tstray\ttab\t\t\t\ten",
    )
    write(root, "test.tsv", HEADER, "a\ttest.wav\tHello there.\tteens\tmale\tus\ten", "d\tté.wav\tÇa\t\t\t\ten")
    for name in ("good", "clipped", "longer", "empty-text", "test", "té"):
        wav(root / "clips" / f"{name}.wav", 1.0)
    wav(root / "clips" / "fast.wav", 0.5)
    soundfile.write(root / "clips" / "silent.wav", np.full(16_000, 1e-5), 16_000, subtype="FLOAT")
    loud = np.clip(3 * np.sin(np.arange(16_000) / 5), -1, 1)
    soundfile.write(root / "clips" / "clipped.wav", loud, 16_000)
    lengths = {"longer.wav": 500, "fast.wav": 500}
    names = [p.name for p in (root / "clips").iterdir()]
    write(root, "clip_durations.tsv", "clip\tduration[ms]", *(f"{n}\t{lengths.get(n, 1000)}" for n in names))
    return root


def test_audit_tells_what_is_there_and_what_is_wrong(folder, tmp_path):
    opened = open_corpus(folder, home=tmp_path / "home")
    before = audit(opened)
    assert {row["reason"] for row in before.suspicious} == {"too fast for its text", "no text"}
    assert "train, test" in before.notes[0]
    for split in opened.splits:
        measure(opened, split, workers=1)
    found = audit(opened)
    train, test = found.splits
    assert (train["split"], train["clips"], train["speakers"], train["sentences"]) == ("train", 6, 3, 6)
    assert train["hours"] == pytest.approx((4 * 1.0 + 2 * 0.5) / 3600, abs=5e-4) and train["quarantined"] == 2
    assert (test["clips"], test["measured"], found.notes[0][:24]) == (2, True, "Every clip was decoded, ")
    filled = {(row["split"], row["column"]): row["filled"] for row in found.coverage}
    assert filled["train", "age"] == pytest.approx(1 / 6, abs=1e-3) and filled["test", "gender"] == 0.5
    assert filled["train", "variant"] == 0.0 and filled["train", "client_id"] == 1.0
    assert found.overlaps == [{"split": "train", "other": "test", "speakers": 1, "sentences": 1, "clips": 0}]
    wrong = {(row["clip"], row["reason"]) for row in found.suspicious}
    assert wrong == {
        ("fast.wav", "too fast for its text"),
        ("silent.wav", "silent"),
        ("clipped.wav", "clipped"),
        ("longer.wav", "duration mismatch"),
        ("empty-text.wav", "no text"),
    }
    assert {row["clip"].split("\t")[-1] for row in found.quarantined} >= {"gone.wav"}
    counts = {row["character"]: row for row in found.characters}
    assert counts["Ç"]["count"] == 1 and counts["Ç"]["name"] == "LATIN CAPITAL LETTER C WITH CEDILLA"
    assert found.characters[0]["count"] == max(row["count"] for row in found.characters)
    assert sum(row["count"] for row in found.characters) == sum(
        len(s) for split in opened.splits for s in opened.load(split, True).rows["reference_raw"]
    )
    accent = next(row for row in found.values if row["column"] == "accents" and row["value"])
    assert (accent["value"], accent["clips"], accent["speakers"]) == ("United States English", 1, 1)


def test_one_split_and_a_profile_by_character(folder, tmp_path):
    opened = open_corpus(folder, home=tmp_path / "home")
    found = audit(opened, "zh", ["test"])
    assert [row["split"] for row in found.splits] == ["test"] and found.overlaps == []


@pytest.fixture
def cli(folder, tmp_path, monkeypatch):
    """The command line with a registry that knows the folder as `small`; returns (exit code, stdout, stderr)."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    (tmp_path / "models.yaml").write_text(
        "checkpoints: [{id: fake, title: Fake, language: en, profile: en, path: checkpoint}]\n"
        "corpora: [{id: small, title: Small, language: en, profile: en, path: set}]\n"
    )
    monkeypatch.setenv("ASRDEMO_REGISTRY", str(tmp_path / "models.yaml"))
    monkeypatch.setenv("ASRDEMO_HOME", str(tmp_path / "home"))
    return lambda *args: main(["corpora", *map(str, args)])


def test_command_prints_tables_or_json(cli, folder, capsys):
    assert cli("--audit", "small", "--measure") == 0
    printed = capsys.readouterr().out
    for part in ("small: train, test (en)", "Filled, percent", "train: gender", "In two splits", "duration mismatch",
                 "Quarantined, by reason", "LATIN SMALL LETTER E"):  # fmt: skip
        assert part in printed
    assert cli("--audit", folder, "--split", "test", "--json") == 0
    out = json.loads(capsys.readouterr().out)
    assert [row["split"] for row in out["splits"]] == ["test"] and out["splits"][0]["measured"] is True
    assert cli() == 0 and "small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--audit", "nothing"], "no corpus 'nothing'; expected a folder, a .tar.gz, or one of: small"),
        (["--audit", "small", "--split", "dev"], "no split 'dev'; available: train, test"),
        (["--download", "ftp:x"], "expected mdc:ID"),
    ],
)
def test_command_says_what_cannot_be_done(cli, capsys, options, message):
    assert cli(*options) == 1
    assert message in capsys.readouterr().err


def test_audit_of_a_genuine_sample():
    if not SHARED.is_dir():
        pytest.skip("real speech (../shared/corpora) is not on this machine")
    found = audit(open_corpus(SHARED / "an4"))
    assert [(row["split"], row["speakers"]) for row in found.splits] == [("train", 66), ("dev", 8), ("test", 10)]
    assert all(row["speakers"] == 0 for row in found.overlaps), "AN4's splits are speaker-disjoint"
    assert not found.suspicious and not found.quarantined
