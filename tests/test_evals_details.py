"""`python -m evals adjusted | phonemes | parity` on the results that are shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asrdemo.errors import NotFoundError
from evals import simulate
from evals.cli import main
from evals.scored import load

RESULTS = Path(__file__).resolve().parent.parent / "demo" / "results"
GREEDY, BEAM = RESULTS / "demo-en-greedy", RESULTS / "demo-en-beam"
sclite = pytest.mark.skipif(not (shutil.which("sclite") or shutil.which("sctk")), reason="sclite is not installed")
espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_adjusted_compares_with_the_others_or_a_reference(capsys):
    code, out, err = call(capsys, "adjusted", BEAM)
    assert code == 0 and out.startswith("Scottish English: WER 1.96 times") and "that of the others" in out
    assert err.startswith("Poisson regression of 316 clips by 79 speakers")
    code, out, _ = call(capsys, "adjusted", BEAM, "--reference", "gender=male_masculine", "--with", "seconds", "--json")
    (found,) = json.loads(out)
    assert (found["column"], found["reference"]) == ("gender", "male / masculine")
    assert [row["value"] for row in found["values"]] == ["female / feminine"]
    assert "with clip length alike" in found["values"][0]["sentence"]
    code, out, _ = call(capsys, "adjusted", BEAM, "--by", "age")
    assert "sixties: insufficient, 1 of the 10 speakers needed" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [("gender", "expected COLUMN=VALUE"), ("gender=nobody", "gender has no value 'nobody'"), ("x=y", "column 'x'")],
)
def test_a_reference_that_is_none_is_refused(capsys, given, message):
    code, out, err = call(capsys, "adjusted", BEAM, "--reference", given)
    assert (code, out) == (1, "") and message in err


@espeak
def test_phonemes_prints_the_rate_and_the_confusions(capsys):
    code, out, _ = call(capsys, "phonemes", BEAM)
    assert code == 0 and out.startswith("PER 4.") and "espeak-ng voice en-us" in out and "\nconfused\n" in out
    code, out, _ = call(capsys, "phonemes", BEAM, "--filter", "accents=Scottish English", "--json")
    part = json.loads(out)
    assert part["low"] < part["rate"] < part["high"] and part["confused"][0]["count"] >= part["confused"][1]["count"]
    assert call(capsys, "phonemes", BEAM, "--voice", "xx-zz")[2].startswith("error: espeak-ng has no voice")


def test_phonemes_of_chinese_or_without_espeak_say_what_to_do(capsys, monkeypatch, tmp_path):
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=12), 0))
    chinese = simulate.write(tmp_path / "zh", rows, {"checkpoint": {"id": "x", "language": "zh-CN"}})
    assert "no use for Chinese" in call(capsys, "phonemes", chinese)[2]
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = call(capsys, "phonemes", BEAM)
    assert (code, out) == (1, "") and "apt install espeak-ng" in err


@sclite
@pytest.mark.parametrize("result", [GREEDY, BEAM])
def test_parity_of_the_shipped_results(capsys, result):
    code, out, _ = call(capsys, "parity", result)
    assert code == 0 and "same counts as sclite in 316" in out
    code, out, _ = call(capsys, "parity", result, "--json")
    found = json.loads(out)
    errors = int(load([result]).errors.sum())
    assert [row["errors"] for row in found["table"]] == [errors] * 4


@sclite
def test_parity_fails_where_the_counts_differ(capsys, tmp_path):
    """sclite's costs prefer two errors to a substitution here."""
    rows = simulate.rows(simulate.simulate(simulate.Recipe(speakers=1, clips_each=1), 0)).slice(0, 1)
    for name, text in (("reference", "e b b g f d"), ("hypothesis", "f d c c h")):
        rows = rows.set_column(rows.column_names.index(name), name, [[text]])
    result = simulate.write(tmp_path / "odd", rows)
    code, out, _ = call(capsys, "parity", result)
    assert code == 1 and "row 0: 'e b b g f d' heard 'f d c c h'" in out and "  sclite" in out


def test_parity_without_sclite_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = call(capsys, "parity", BEAM)
    assert (code, out) == (1, "") and "apt install sctk" in err


def test_the_tables_of_real_speech_say_so_where_there_is_none(monkeypatch, tmp_path):
    from benchmarks import shown
    from benchmarks.common import Options

    monkeypatch.setattr(shown, "SHARED", tmp_path)
    with pytest.raises(NotFoundError, match="None of AN4, speechocean762"):
        shown.report(Options())
