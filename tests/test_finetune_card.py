"""The model card of a run: what it claims, that the Hub can read it, and that nobody's text becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard

from asrdemo import registry
from asrdemo.errors import TrainingError
from asrdemo.finetune import card, card_scores, contents, intervals, scores
from evals import bootstrap
from tests import fake_runs

KNOWN = registry.read()


def made(home: Path, **recipe: Any) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    return fake_runs.make(home, home, **recipe)


def rows(text: str, first: str) -> list[list[str]]:
    """Cells of the table rows that begin so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_hub_reads_its_front_matter(tmp_path: Path) -> None:
    folder = made(tmp_path)
    card.write(folder, KNOWN)
    data = ModelCard.load(folder / "README.md").data
    assert (data.language, data.library_name, data.pipeline_tag) == (
        "en",
        "transformers",
        "automatic-speech-recognition",
    )
    assert data.datasets == ["demo-corpus"] and data.metrics == ["wer", "cer"]
    assert data.license is None and data.base_model is None, "demo-en is in no repository"
    found = {(r.dataset_config, r.metric_type): r.metric_value for r in data.eval_results}
    after = 100 * sum(4 * (max(0, s - 2) if s < 6 else s + 1) for s in range(12)) / 480
    assert found == {
        ("exam", "wer"): round(after, 2), ("exam", "cer"): round(after / 5, 2),
        ("ear", "wer"): 35.0, ("ear", "cer"): 7.0,
    }  # fmt: skip


def test_a_base_on_the_hub_is_linked(tmp_path: Path) -> None:
    folder = made(tmp_path, base={"checkpoint": "wav2vec2-base-960h"})
    card.write(folder, KNOWN)
    assert ModelCard.load(folder / "README.md").data.base_model == "facebook/wav2vec2-base-960h"
    folder = made(tmp_path / "other", base={"checkpoint": "hub:me/mine"})
    assert "https://huggingface.co/me/mine" in card.make(folder, KNOWN)


def test_it_tells_the_rates_before_and_after_with_and_without_a_language_model(tmp_path: Path) -> None:
    text = card.make(made(tmp_path, evaluation={"language_model": "demo-lm"}), KNOWN)
    exam = {row[1]: row[2:] for row in rows(text, "exam") if row[1] in card_scores.MEASURES}
    assert exam["WER"][:2] == ["48", "12"] and exam["WER"][2].startswith("55.0 %") and exam["WER"][3].startswith("52.5")
    assert exam["WER with the language model"][2].startswith("25.0 %")
    assert re.fullmatch(r"−2\.5 \(−\d+\.\d to \+?−?\d+\.\d\)", exam["WER"][4]), "12 speakers: an interval"
    ear = {row[1]: row[2:] for row in rows(text, "ear")}
    assert ear["WER"] == ["8", "2", "35.0 %", "35.0 %", "0.0"], "two speakers: none"


def test_slices_are_told_and_those_that_got_worse_are_named(tmp_path: Path) -> None:
    text = card.make(made(tmp_path), KNOWN)
    greedy, searched = text.split("### By slice, with the language model")
    assert {row[2]: row[3:] for row in rows(searched, "exam")}["Welsh"][2].startswith("40.0 % (31.6")
    accents = {row[2]: row[3:] for row in rows(greedy, "exam") if row[1] == "accents"}
    assert list(accents) == ["Scottish English", "Welsh"] and accents["Welsh"][:2] == ["24", "6"]
    assert accents["Welsh"][2].startswith("85.0 %") and accents["Welsh"][3].startswith("95.0 %")
    assert "Worse than before, beyond chance: exam, Welsh, +10.0" in text
    assert "Only Scottish English was heard in this training" in text


def test_a_speaker_of_two_accents_counts_for_both(tmp_path: Path) -> None:
    folder = made(tmp_path)
    for file in (scores.BEFORE, scores.AFTER):
        table = pq.read_table(folder / file)
        said = [f"{a} | Welsh" if a.startswith("Scottish") else a for a in table["accents"].to_pylist()]
        table = table.set_column(table.column_names.index("accents"), "accents", [said])
        pq.write_table(table, folder / file)
    accents = {row[2]: row[3] for row in rows(card.make(folder, KNOWN), "exam") if row[1] == "accents"}
    assert accents == {"Scottish English": "24", "Welsh": "48"}


def test_a_large_release_does_not_hide_what_was_trained_on(tmp_path: Path) -> None:
    """Names of all clips that were left out once made data.json too large to be read again."""
    names = tuple(f"train/common_voice_en_{i:08d}.mp3" for i in range(30_000))
    clips: Any = SimpleNamespace(shards=(Many({"longer than 15.0 s": names}),), infeasible=names, unwritable=names[:1])
    folder = made(tmp_path)
    for said in (contents.describe(clips, [], 1), old(names)):
        (folder / contents.FILE).write_text(json.dumps(said))
        text = card.make(folder, KNOWN)
        assert "1400.0 h of Demo corpus" in text and "30,000 longer than 15.0 s" in text
        assert "30,000 clips had more labels than frames and 1 clip had a character out of vocabulary" in text
    assert (folder / contents.FILE).stat().st_size > 1 << 20 > 20 * len(json.dumps(contents.describe(clips, [], 1)))


class Many:
    """A shard of 900,000 clips."""

    id, hours = "own", 1400.0

    def __init__(self, dropped: dict[str, tuple[str, ...]]) -> None:
        self.dropped = dropped

    def __len__(self) -> int:
        return 900_000


def old(names: tuple[str, ...]) -> dict[str, Any]:
    """What runs of before say."""
    train = {"own": {"clips": 900_000, "hours": 1400.0, "dropped": {"longer than 15.0 s": names}}}
    return {"train": train, "dev": {}, "infeasible": names, "unwritable": names[:1]}


@pytest.mark.parametrize(
    "name, written",
    [
        ("en", "it writes no punctuation, and all in one case."),
        ("zh", "it writes no punctuation and no spaces, and all in one case."),
        ("raw", "it writes the punctuation and the case of its vocabulary."),
    ],
)
def test_it_says_how_the_model_writes(tmp_path: Path, name: str, written: str) -> None:
    text = card.make(made(tmp_path, normalisation=name), KNOWN)
    assert written in text and ("each character counts as a word" in text) is (name == "zh")


def test_it_tells_the_data_and_what_was_left_out(tmp_path: Path) -> None:
    text = card.make(made(tmp_path), KNOWN)
    (row,) = rows(text, "train")
    assert row[2:] == [
        "Demo corpus (synthetic English in Common Voice layout)", "train", "accents: Scottish English", "40",
        "30 minutes", "2 longer than 15.0 s",
    ]  # fmt: skip
    assert "1 clip had more labels than frames" in text and "abc123" in text and "1.5 h, augmented" in text


def test_the_leak_audit_is_in_it_or_said_to_be_missing(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert "No precheck is kept with this run" in card.make(folder, KNOWN)
    report = {
        "rows": [
            {"check": "speakers", "state": "warn", "sentence": "3 speakers of exam are trained on."},
            {"check": "pace", "state": "warn", "sentence": "One clip is odd."},
            {"check": "characters", "state": "ok", "sentence": "All known."},
        ]
    }
    (folder / "precheck.json").write_text(json.dumps(report))
    (folder / "alerts.jsonl").write_text(json.dumps({"step": 7, "sentence": "The norm was high."}) + "\n")
    text = card.make(folder, KNOWN)
    assert text.index("3 speakers of exam are trained on") < text.index("One clip is odd") and "All known" not in text
    assert "- Step 7: The norm was high." in text


EVIL = "x | y</td><script>alert(1)</script> **b** [l](http://evil.example) `c` ![i](javascript:1)\n# big\n---\n"


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    folder = made(tmp_path, publish={"id": "scots", "title": EVIL}, train=[{"id": EVIL, "folder": EVIL}])
    table = pq.read_table(folder / scores.AFTER)
    evil = table.set_column(table.column_names.index("accents"), "accents", [[EVIL] * len(table)])
    pq.write_table(evil, folder / scores.AFTER)
    (folder / "alerts.jsonl").write_text(json.dumps({"step": 1, "sentence": EVIL}) + "\n")
    card.write(folder, KNOWN)
    found = ModelCard.load(folder / "README.md")
    body, recipe = found.text.split("## Recipe")
    assert yaml.safe_load(recipe.split("```yaml")[1].rpartition("```")[0])["publish"]["title"] == EVIL
    for active in (r"(?<!\\)<script", r"(?<!\\)\*\*b", r"(?<!\\)\[l", r"(?<!\\)`c", r"^# big", r"http://"):
        assert not re.search(active, body, re.MULTILINE), active
    assert {len(row) for row in rows(found.text, "exam") if row[1] == "accents"} == {8}, "no cell was split"


def test_a_fence_in_the_recipe_does_not_end_it(tmp_path: Path) -> None:
    text = card.make(made(tmp_path, publish={"title": "a ``` b"}), KNOWN)
    assert text.rstrip().endswith("````") and "````yaml" in text


def test_it_says_nothing_of_where_things_lie_here(tmp_path: Path) -> None:
    folder = made(
        tmp_path, base={"checkpoint": str(tmp_path / "somebody" / "base")},
        train=[{"id": "own", "folder": str(tmp_path / "somebody" / "cv-en")}],
    )  # fmt: skip
    text = card.make(folder, KNOWN)
    assert str(tmp_path) not in text and "somebody" not in text and "cv-en" in text


def test_without_scores_of_clips_the_rates_stand_without_intervals(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / scores.BEFORE).unlink()
    (folder / scores.AFTER).unlink()
    said = {"exam": {"clips": 48, "wer": 0.5, "cer": 0.1, "lm_wer": None, "slices": {"accents": {"Welsh": [24, 0.75]}}}}
    (folder / "after.json").write_text(json.dumps(said))
    text = card.make(folder, KNOWN)
    assert ["exam", "WER", "48", "–", "–", "50.0 %", "–"] in rows(text, "exam")
    assert ["exam", "accents", "Welsh", "24", "–", "–", "75.0 %", "–"] in rows(text, "exam")


def test_a_run_that_was_not_scored_says_so(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / scores.BEFORE).unlink()
    (folder / scores.AFTER).unlink()
    card.write(folder, KNOWN)
    assert "The run was not scored" in ModelCard.load(folder / "README.md").text


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / scores.AFTER).write_bytes(b"not parquet")
    with pytest.raises(TrainingError, match=r"after.parquet of the run 'scottish' cannot be read"):
        card.make(folder, KNOWN)


def speech(seed: int, speakers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(edits, words, speakers) of clips whose speakers differ in how well they are understood."""
    random = np.random.default_rng(seed)
    hard = random.gamma(4, 0.05, speakers).clip(0, 0.9)
    who = np.repeat(np.arange(speakers), random.integers(2, 12, speakers))
    words = random.integers(4, 15, len(who))
    return random.binomial(words, hard[who]), words, who.astype(str)


@pytest.mark.parametrize("speakers", [12, 60, 400])
def test_intervals_are_those_of_resampled_speakers(speakers: int) -> None:
    edits, words, who = speech(1, speakers)
    found = intervals.rate(edits, words, who)
    blocks = np.unique(who, return_inverse=True)[1]
    sums = np.stack([np.bincount(blocks, edits), np.bincount(blocks, words)], axis=1)
    drawn = bootstrap.replicate(sums)
    spread = float(np.std(drawn[0] / drawn[1]))
    assert found.low is not None and found.high is not None
    width = (found.high - found.low) / 2 / 1.96
    assert spread < width < 1.35 * spread if speakers == 12 else abs(width / spread - 1) < 0.1


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = 0.2  # gamma(4, 0.05) has this mean, and all words count alike
    held = 0
    for seed in range(400):
        found = intervals.rate(*speech(seed, 20))
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_difference_of_the_same_clips_is_narrower_than_the_rates() -> None:
    edits, words, who = speech(3, 40)
    better = np.maximum(edits - 1, 0)
    change, rate = intervals.difference(edits, better, words, who), intervals.rate(edits, words, who)
    assert change.value < 0 and change.high is not None and change.high < 0 and change.low is not None
    assert rate.high is not None and rate.low is not None and change.high - change.low < (rate.high - rate.low) / 2
    assert intervals.difference(edits, edits, words, who).value == 0


def test_clips_without_a_speaker_stand_for_themselves() -> None:
    edits, words = np.array([1, 2, 3, 4]), np.full(4, 10)
    assert intervals.rate(edits, words, np.array([""] * 4)).speakers == 4
    assert intervals.rate(edits, words, np.array(["a", "a", "", ""])).speakers == 3
    assert intervals.rate(edits[:0], words[:0], np.array([], dtype=str)).low is None


def test_nothing_wrong_and_two_speakers_have_no_interval() -> None:
    words, who = np.full(6, 10), np.array(list("abcdef"))
    assert intervals.rate(np.zeros(6, int), words, who).high is None
    assert intervals.rate(np.ones(6, int), words, np.array(list("aaabbb"))).high is None
