"""What is known to go wrong with a run is told before it starts: for each guard a run that trips it and one that does
not. Corpora are noise, checkpoints have random weights."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import JobHardware

from asrdemo.errors import Cancelled
from asrdemo.finetune import backends, precheck_cost, precheck_data, precheck_plan, schema
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.flavours import FLAVOURS
from asrdemo.finetune.precheck import Report, Row, precheck
from asrdemo.finetune.precheck_report import Estimates
from asrdemo.registry import LanguageModelSpec
from tests.fake_models import LOWER, UPPER, make, registry

COLUMNS = ("client_id", "path", "sentence", "accents", "locale")
CLIPS = [
    {"sentence": f"Say the word {word}."} for word in ("one", "two", "three", "four", "five", "six", "ten", "zero")
]
OTHERS = [
    {"sentence": f"Now hear {word} and {word} again.", "client_id": "d"} for word in ("nine", "tin", "red", "star")
]
_fresh = itertools.count()


def corpus(folder: Path, **splits: Iterable[dict]) -> Path:
    """Clips of noise, no two alike unless they have the same `seed`; 1 s long."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = ["\t".join(COLUMNS)]
        for row in rows:
            number = next(_fresh)
            usual = {"client_id": f"{split}-{number}", "path": f"{number}.wav", "sentence": "Hello.", "locale": "en"}
            seed, seconds = row.get("seed", number), row.get("seconds", 1.0)
            noise = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * 16000), dtype=np.int16)
            soundfile.write(folder / "clips" / usual["path"], noise, 16000)
            lines.append("\t".join(str((usual | row).get(c, "")) for c in COLUMNS))
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    home = tmp_path_factory.mktemp("zoo")
    return {
        "lower": make(home / "lower"),
        "upper": make(home / "upper", letters=UPPER),
        "mixed": make(home / "mixed", letters=[*UPPER, "ß"]),
        "group": make(home / "group", "wav2vec2-group"),
        "headless": make(home / "headless", kind="ForPreTraining"),
    }


@pytest.fixture
def look(zoo, tmp_path):
    """A report on a run from one of the checkpoints over these clips."""

    def report(
        train: Iterable[dict] = CLIPS, dev: Iterable[dict] = OTHERS, test: Iterable[dict] = (),
        base: Path | str | None = "lower", rehearse: bool = False, **keys,
    ) -> Report:  # fmt: skip
        folder = corpus(tmp_path / f"corpus-{next(_fresh)}", train=train, dev=dev, test=test)
        place = {"folder": str(folder)}
        data = {
            "name": "x", "train": [{"id": "a", **place}], "dev": [{"id": "d", **place}],
            "test": [{"id": "t", "split": "test", **place}] if test else [],
            "clips": {"max_seconds": 4.0}, "batches": {"seconds": 8.0, "max_minutes": 1.0, "precision": "fp32"},
            "regularisation": {"mask_feature_length": 4},
        }  # fmt: skip
        data |= {"base": {"checkpoint": str(zoo.get(base, base))}} if base else {}
        data = schema.merged(data, keys)
        return precheck(recipes.from_dict(data), tmp_path, registry(), rehearse=rehearse)

    return report


def row(report: Report, check: str) -> Row:
    """The worst row of a check."""
    return max((r for r in report.rows if r.check == check), key=lambda r: ("ok", "warn", "block").index(r.state))


def states(report: Report) -> dict[str, str]:
    return {check: row(report, check).state for check in {r.check for r in report.rows}}


# A run that nothing is wrong with


def test_a_sound_run_passes_and_every_row_is_one_plain_sentence(look):
    many = [{"sentence": f"Now hear number {i * 'very '} well.", "client_id": f"d{i}"} for i in range(30)]
    report = look(dev=[{**m, "seconds": 3.0} for m in many])
    assert not report.blocks
    assert {c for c, s in states(report).items() if s != "ok"} == set()
    for r in report.rows:
        assert r.sentence.endswith(".") and ". " not in r.sentence, r.sentence
        assert bool(r.fix) == (r.state != "ok")
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["blocks"] is False


# Characters and case


@pytest.mark.parametrize("base", ["lower", "upper"])
def test_the_case_of_the_vocabulary_is_no_trap(look, base):
    assert row(look(base=base), "characters").state == "ok"


def test_a_vocabulary_of_the_wrong_case_blocks_and_says_what_would_help(look):
    """A stray letter of the other case leaves no rule for casing: every label would be unknown, the WER stuck at 1."""
    found = row(look(base="mixed"), "characters")
    assert found.state == "block" and "in upper case they would be known" in found.sentence
    assert found.change == {"vocabulary": "train"} and len(found.names) == len(CLIPS)
    assert row(look(base="mixed", vocabulary="train"), "characters").state == "ok"


def test_unknown_characters_are_counted_and_another_normalisation_is_offered(look):
    report = look(normalisation="raw")
    found = row(report, "characters")
    assert report.blocks and found.state == "block" and "'.' (8)" in found.sentence
    assert found.change == {"normalisation": "en"} and "leaves none" in found.fix
    assert [(u.character, u.count, u.clips) for u in report.unknown] == [(".", 8, 8)]
    assert row(look(**found.change), "characters").state == "ok"


@pytest.mark.parametrize("base, said, blocks", [("upper", str.lower, True), ("upper", str.upper, False),
                                                ("lower", str.upper, True), ("lower", str.lower, False)])  # fmt: skip
def test_a_case_that_scoring_does_not_forgive_blocks(look, base, said, blocks):
    """Every character is known, and yet the WER of a perfect output is 1."""
    clips = [{"sentence": said(f"now hear {word} again")} for word in ("one", "two", "nine")]
    report = look(train=clips, dev=clips, base=base, normalisation="raw")
    assert row(report, "characters").state == "ok"
    if not blocks:
        assert "case" not in states(report)
        return
    found = row(report, "case")
    assert found.state == "block" and "WER of 100 % on 'd'" in found.sentence and len(found.names) == 3
    assert repr(said("now hear one again")) in found.sentence and found.change == {"normalisation": "en"}
    assert "case" not in states(look(train=clips, dev=clips, base=base, **found.change))


def test_a_letter_that_does_not_come_back_is_told(zoo, tmp_path, look):
    """A capital sigma is a small one within words and at their end."""
    base = make(tmp_path / "greek", letters=[*UPPER[:6], *"ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"])
    clips = [{"sentence": s} for s in ("λογος και", "ο λογος")]
    found = row(look(train=clips, dev=clips, base=base, language="el", normalisation="default"), "case")
    assert found.state == "block" and "WER of 50 %" in found.sentence and found.change == {"vocabulary": "train"}


def test_spaces_that_nobody_writes_need_no_frames(zoo, tmp_path, look):
    """Ten characters in 0.25 s, which has 12 frames."""
    letters = "天地玄黃宇宙洪荒日月"
    base = make(tmp_path / "chinese", letters=[*LOWER[:5], *letters])
    clips = [{"sentence": letters, "seconds": 0.31}] * 3
    report = look(train=clips, dev=clips, base=base, language="zh-CN", normalisation="zh")
    assert row(report, "labels and frames").state == row(report, "characters").state == "ok"
    assert "32 characters a second" in row(report, "pace").sentence, "10 in 0.31 s"
    assert "words" not in states(report)


def test_whole_sentences_that_count_as_words_are_warned_about(zoo, tmp_path, look):
    base = make(tmp_path / "chinese", letters=[*LOWER[:5], *"你好吗"])
    clips = [{"sentence": "你好吗"}] * 3
    found = row(look(train=clips, dev=clips, base=base, language="zh-CN", normalisation="default"), "words")
    assert found.state == "warn" and found.change == {"normalisation": "zh"}


def test_a_dotted_capital_i_is_mended_by_the_turkish_profile(zoo, tmp_path, look):
    letters = [*LOWER[:6], *"abcçdefgğhıijklmnoöprsştuüvyz"]
    base = make(tmp_path / "turkish", letters=letters)
    clips = [{"sentence": s} for s in ("İyi günler", "İstanbul büyük", "İlk gün")]
    found = row(look(train=clips, base=base, language="tr", normalisation="en"), "characters")
    assert found.state == "block" and found.change == {"normalisation": "tr"}


def test_a_few_unknown_characters_only_warn(look):
    clips = [{"sentence": f"A sentence of some length, {c * 3}."} for c in "abcdefghijklmnopqrstuvwxyz"]
    report = look(train=[*clips, {"sentence": "A sentence of some length, é."}])
    found = row(report, "characters")
    assert found.state == "warn" and found.change == {} and "'é' (1)" in found.sentence and len(found.names) == 1
    assert report.unknown[0].example == found.names[0]


def test_dev_has_no_say_in_the_vocabulary_but_what_it_lacks_is_told(look):
    report = look([*CLIPS, {"sentence": "All hear again."}], [*OTHERS, {"sentence": "Größe zählt."}], base="headless")
    found = row(report, "evaluation characters")
    assert found.state == "warn" and "'ö' (1)" in found.sentence and "1 text of 5" in found.sentence
    assert "training texts alone" in row(report, "vocabulary").sentence
    assert "evaluation characters" not in states(look([*CLIPS, *OTHERS], OTHERS, base="headless"))


def test_characters_too_rare_to_learn_are_named(look):
    found = row(look(base="headless"), "vocabulary")
    assert found.state == "warn" and "x" in found.names and "o" not in found.names


# Labels and frames


def test_clips_with_more_labels_than_frames_are_listed(look):
    few = look(train=[*CLIPS, {"sentence": "This cannot be said in half a second, whoever tries.", "seconds": 0.5}])
    found = row(few, "labels and frames")
    assert found.state == "warn" and "51 for 24" in found.sentence and len(found.names) == 1
    assert row(look(), "labels and frames").state == "ok"


def test_labels_that_never_fit_block(look):
    found = look(train=[{**c, "sentence": c["sentence"] * 9} for c in CLIPS])
    assert (
        found.blocks
        and row(found, "labels and frames").state == "block"
        and len(row(found, "labels and frames").names) == 8
    )
    assert found.estimates is None


def test_repeats_need_frames_too(look):
    """24 frames: 13 letters fit, the same letter 13 times needs 25."""
    found = row(look(train=[*CLIPS, {"sentence": "a" * 13, "seconds": 0.5}]), "labels and frames")
    assert found.state == "warn" and "25 for 24" in found.sentence
    assert row(look(train=[*CLIPS, {"sentence": "a" * 12, "seconds": 0.5}]), "labels and frames").state == "ok"


def test_texts_that_nobody_could_speak_are_listed(look):
    odd = [{"sentence": "Far too much text for one second of audio."}, {"sentence": "No", "seconds": 3.0}]
    found = row(look(train=[*CLIPS, *odd]), "pace")
    assert found.state == "warn" and "1 clip over 30 and 1 clip under 1" in found.sentence and len(found.names) == 2
    assert row(look(), "pace").state == "ok"


# The base


def broken(folder: Path, tmp_path: Path, file: str, **values) -> Path:
    copy = shutil.copytree(folder, tmp_path / f"broken-{next(_fresh)}")
    path = copy / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return copy


def test_a_base_of_another_sampling_rate_blocks(zoo, tmp_path, look):
    found = row(look(base=broken(zoo["lower"], tmp_path, "preprocessor_config.json", sampling_rate=8000)), "base")
    assert found.state == "block" and "8000 Hz" in found.sentence and found.fix


def test_a_pad_token_that_is_not_the_blank_blocks(zoo, tmp_path, look):
    found = row(look(base=broken(zoo["lower"], tmp_path, "config.json", pad_token_id=4)), "base")
    assert found.state == "block" and "blank" in found.sentence and found.fix


def test_random_weights_where_trained_ones_were_meant_block(zoo, tmp_path, look):
    found = row(look(base=broken(zoo["lower"], tmp_path, "config.json", num_hidden_layers=3)), "base")
    assert found.state == "block" and "random values" in found.sentence and "scratch" in found.fix


def test_a_new_head_is_told_and_scratch_is_warned_about(look):
    told = row(look(base="headless"), "weights")
    assert (
        told.state == "ok"
        and "output layer is new" in told.sentence
        and told.names == ("lm_head.bias", "lm_head.weight")
    )
    shape = {"hidden_size": 32, "layers": 1, "heads": 2, "feed_forward": 64, "conv_dim": [16, 16, 24, 32],
             "position_kernel": 8, "position_groups": 4}  # fmt: skip
    assert row(look(base=None, scratch=shape), "weights").state == "warn"


def test_group_norm_is_told(look):
    assert "padding" in row(look(base="group"), "front end").sentence
    assert "front end" not in states(look())


@pytest.mark.parametrize("rate, state", [(2e-2, "warn"), (4e-4, "ok")])
def test_a_rate_that_undoes_the_base_is_warned_about(look, rate, state):
    assert row(look(optimiser={"learning_rate": rate}), "learning rate").state == state


@pytest.mark.parametrize("mode, rate, state", [("head", 0.5, "warn"), ("head", 5e-3, "ok"), ("lora", 5e-3, "warn")])
def test_a_rate_has_a_limit_where_little_trains_too(look, mode, rate, state):
    found = row(look(mode=mode, optimiser={"learning_rate": rate}), "learning rate")
    assert found.state == state and mode in found.sentence
    if state == "warn":
        assert found.change == {"optimiser": {"learning_rate": recipes.RATES[mode]}}


def test_a_language_model_that_is_not_there_blocks(look):
    assert row(look(evaluation={"language_model": "nobody"}), "language model").state == "block"


# What is trained on and tested on


def test_the_same_recording_in_train_and_dev_blocks_whatever_its_name(look):
    report = look(train=[*CLIPS, {"seed": 77}], dev=[*OTHERS, {"seed": 77, "sentence": "Another text."}])
    found = row(report, "same clips")
    assert report.blocks and found.state == "block" and "1 clip of 5" in found.sentence and len(found.names) == 1
    assert row(look(), "same clips").state == "ok"


def test_choosing_on_the_test_set_is_warned_about(look):
    report = look(dev=[*OTHERS, {"seed": 78}], test=[{"seed": 78}])
    assert row(report, "same clips").state == "warn" and not report.blocks


def test_common_speakers_and_sentences_are_told_with_their_share(look):
    report = look(
        train=[*CLIPS, {"client_id": "someone", "sentence": "Not the same."}],
        dev=[*OTHERS, {"client_id": "someone", "sentence": "Say the word, one!"}],
    )
    speakers, sentences = row(report, "speakers"), row(report, "sentences")
    assert speakers.state == "warn" and speakers.names == ("someone",) and "20 %" in speakers.sentence
    assert sentences.state == "warn" and "20 %" in sentences.sentence and len(sentences.names) == 1
    assert states(look())["speakers"] == states(look())["sentences"] == "ok"


def test_unknown_speakers_are_nobody(look):
    assert row(look(train=[{"client_id": ""}, *CLIPS], dev=[{**OTHERS[0], "client_id": ""}]), "speakers").state == "ok"


def test_a_split_that_is_tested_on_is_not_trained_on(look, tmp_path):
    folder = str(corpus(tmp_path / "c", test=CLIPS, dev=OTHERS))
    train = [{"id": "a", "folder": folder, "split": "test"}]
    assert "test set" not in states(look(test=[{}]))  # a test set of its own is fine
    data = recipes.as_dict(recipes.from_dict({"name": "x", "base": {"checkpoint": "x"}, "train": train,
                                              "dev": [{"id": "d", "folder": folder}]}))  # fmt: skip
    assert row(precheck(recipes.from_dict(data), tmp_path, registry(), rehearse=False), "test set").state == "block"
    elsewhere = str(corpus(tmp_path / "other", dev=OTHERS))
    data["dev"] = [{"id": "d", "folder": elsewhere}]
    assert row(precheck(recipes.from_dict(data), tmp_path, registry(), rehearse=False), "test set").state == "warn"


def test_a_small_dev_set_is_told_with_what_it_can_tell(look):
    found = row(look(), "size")
    assert found.state == "warn" and "4 clips (24 words)" in found.sentence and "± 23 points" in found.sentence


def test_few_clips_of_many_words_need_nobody_to_overrule_them():
    texts = ["a b c d e f g h i j k"] * 22
    shard = type("Shard", (), {"texts": texts, "__len__": lambda self: len(texts)})()
    [found] = precheck_data._small(SimpleNamespace(shard=shard, label="the dev set 'd'"))
    assert found.state == "ok" and "22 clips (242 words)" in found.sentence and "± 7 points" in found.sentence


def test_a_dev_set_without_clips_blocks(look):
    report = look(dev=[])
    assert report.blocks and row(report, "dev: d").state == "block"


# Clips


def test_what_limits_of_length_cost_is_told_in_hours(look):
    report = look(train=[*CLIPS, {"seconds": 6.0}, {"seconds": 0.1}])
    found = row(report, "lengths")
    assert (
        found.state == "warn"
        and "1 clip over 4 s (6.0 s, 43 %)" in found.sentence
        and "1 clip under 0.3 s" in found.sentence
    )
    assert found.change == {"clips": {"max_seconds": 6.0}} and len(found.names) == 2
    assert report.histogram is not None
    assert report.histogram.edges == (0, 1, 2) and report.histogram.counts == (0, 8)
    assert row(look(), "lengths").state == "ok"


def test_clips_in_quarantine_are_listed(look, tmp_path):
    folder = corpus(tmp_path / "c", train=CLIPS, dev=OTHERS)
    victim = next((folder / "clips").iterdir())
    victim.write_bytes(b"no audio")
    place = [{"id": "a", "folder": str(folder)}]
    recipe = recipes.from_dict({"name": "x", "base": {"checkpoint": "x"}, "train": place, "dev": place})
    found = row(precheck(recipe, tmp_path, registry(), rehearse=False), "audio files")
    assert found.state == "warn" and found.names == (f"a/{victim.name}",)


def test_a_corpus_that_is_missing_is_a_row(tmp_path, zoo):
    recipe = recipes.from_dict({"name": "x", "base": {"checkpoint": str(zoo["lower"])},
                                "train": [{"id": "a", "folder": str(tmp_path / "no")}],
                                "dev": [{"id": "a", "folder": str(tmp_path / "no")}]})  # fmt: skip
    report = precheck(recipe, tmp_path, registry(), rehearse=False)
    assert report.blocks and {r.check for r in report.rows} == {"train: a", "dev: a"}


def test_it_can_be_cancelled(tmp_path, zoo):
    place = [{"id": "a", "folder": str(corpus(tmp_path / "c", train=CLIPS, dev=OTHERS))}]
    recipe = recipes.from_dict({"name": "x", "base": {"checkpoint": str(zoo["lower"])}, "train": place, "dev": place})

    def stop(done, total, note):
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        precheck(recipe, tmp_path, registry(), stop)


# Budget


def test_a_budget_that_is_too_small_or_too_large_for_the_data(look):
    once = row(look(batches={"max_steps": 2}), "budget")
    assert once.state == "ok" and "2 steps; 2 passes" in once.sentence
    clips = CLIPS * 4
    part = row(look(train=clips, batches={"max_steps": 2}), "budget")
    assert part.state == "warn" and "is never heard" in part.sentence
    assert row(look(batches={"max_steps": 500}), "budget").state == "warn"


def test_a_warm_up_longer_than_half_the_run(look):
    report = look(batches={"max_steps": 50}, optimiser={"warmup_steps": 30})
    assert row(report, "warm-up").change == {"optimiser": {"warmup_steps": 5}}
    assert "warm-up" not in states(look(batches={"max_steps": 50}, optimiser={"warmup_steps": 10}))


def test_a_batch_of_few_clips_is_noisy(look):
    found = row(look(train=[{**c, "seconds": 3.5} for c in CLIPS]), "batches")
    assert found.state == "warn" and found.change == {"batches": {"seconds": 16.0}}
    assert row(look(), "batches").state == "ok"


def test_evaluation_is_part_of_the_budget():
    recipe = recipes.from_dict({"name": "x", "scratch": {}, "train": [{"id": "a", "folder": "a"}],
                                "dev": [{"id": "a", "folder": "a"}], "batches": {"max_minutes": 10.0},
                                "evaluation": {"every_minutes": 1.0}})  # fmt: skip
    measured = precheck_cost.Measured("cpu", "fp32", 1.0, 2.0, 4.0, 0.0, 2**30, 2**29, 2**34, hears=10.0)
    stream = precheck_plan.Stream(100, 8.0, 0.1, 0.5)
    free = precheck_plan.estimate(recipe, "scratch", stream, measured, dev=0.0, test=0.0, disk=0)
    assert free.steps == 600 and free.minutes == 10.0 and free.passes == 6.0
    busy = precheck_plan.estimate(recipe, "scratch", stream, measured, dev=0.025, test=0.0, disk=0)
    assert busy.steps == 461, "9 s for the weights and 9 s for their average after each 60 s of work"
    assert busy.minutes == pytest.approx((600 + 18 + 9) / 60, abs=0.05), "then once more, and the best weights"
    slow = precheck_plan.estimate(recipe, "scratch", stream, measured, dev=0.5, test=0.0, disk=0)
    assert slow.steps == 85, "where scoring takes 6 minutes, a minute of work still lies between two of them"
    heavy = precheck_plan.estimate(recipe, "scratch", stream, measured, dev=0.07, test=0.0, disk=0)
    assert "evaluation" in {r.check for r in precheck_plan.budget(recipe, heavy)}
    assert "evaluation" not in {r.check for r in precheck_plan.budget(recipe, free)}


def minutes(kind="pretrained", dev=1.0, test=0.0, mode="full", **evaluation):
    """Of 1,000 steps of a second with four evaluations, where an hour takes six minutes to score."""
    recipe = recipes.from_dict({"name": "x", "base": {"checkpoint": "x"}, "train": [{"id": "a", "folder": "a"}],
                                "dev": [{"id": "a", "folder": "a"}], "mode": mode,
                                "batches": {"max_steps": 1000, "max_minutes": 0.0},
                                "evaluation": {"every_steps": 250, **evaluation}})  # fmt: skip
    measured = precheck_cost.Measured("cpu", "fp32", 1.0, 2.0, 5.0, 0.0, 1, 1, 10, hears=10.0)
    stream = precheck_plan.Stream(100, 8, 0.1, 1.0)
    return precheck_plan.estimate(recipe, kind, stream, measured, dev, test, 0).minutes


def test_all_that_is_scored_counts():
    usual = minutes()
    assert minutes(test=10.0) == pytest.approx(usual + 60, abs=0.1), "the best weights on the test sets"
    assert minutes("finetuned", test=10.0) == pytest.approx(usual + 60 + 2 * 6 + 60, abs=0.1), "and the base before"
    assert minutes(blend=0.3) == pytest.approx(usual + 5 * 6, abs=0.1), "a third candidate each time"
    assert minutes(average_decay=0.0) == pytest.approx(usual - 5 * 6, abs=0.1)
    assert minutes(mode="pretrain") == pytest.approx(usual - 6, abs=0.1), "nothing is scored after pre-training"


def test_what_a_job_costs_at_most_is_until_it_is_ended(look):
    report = look(rehearse=False)
    offer = next(o for o in report.estimates.jobs if o.flavour == "a100-large")
    recipe = recipes.from_dict({"name": "x", "scratch": {}, "train": [{"id": "a", "folder": "a"}],
                                "dev": [{"id": "a", "folder": "a"}], "batches": {"max_minutes": 1.0}})  # fmt: skip
    assert offer.dollars == backends.cost("a100-large", backends.timeout_of(recipe)) > 1.0
    fits = dataclasses.replace(report.estimates, jobs=(dataclasses.replace(offer, fits=True),))
    (said,) = precheck_plan.jobs(recipe, fits)
    assert "1 minutes, and 30 to install" in said.sentence and f"${offer.dollars:.2f}" in said.sentence


# Time and memory


def test_the_longest_batch_is_really_run_in_a_process_of_its_own(look):
    report = look(rehearse=True, train=[*CLIPS, {"seconds": 3.0, "sentence": "A long clip."}])
    e = report.estimates
    assert e is not None and e.device in ("cpu", "cuda") and e.precision == "fp32"
    assert (
        e.step_seconds > 0 and e.longest_seconds > 0 and e.steps > 0 and e.passes == pytest.approx(e.steps / 2, abs=1)
    )
    assert 0 < e.memory_gib < e.available_gib
    found = row(report, "memory")
    assert found.state == "ok" and "3.0 s" in found.sentence and row(report, "cost").state == "ok"


def test_the_base_is_not_in_memory_twice(look, monkeypatch):
    held = []

    def spy(job):
        models = [o for o in gc.get_objects() if type(o).__name__ == "Wav2Vec2ForCTC"]
        held.extend(w.device.type for m in models for w in m.parameters())
        raise precheck_cost.TrainingError("Enough is known.")

    monkeypatch.setattr(precheck_cost, "apart", spy)
    gc.collect()
    assert row(look(rehearse=True), "longest batch").sentence == "Enough is known."
    assert set(held) == {"meta"}


def test_dev_is_scored_in_the_rehearsal_and_a_clip_too_long_for_memory_blocks(look, monkeypatch):
    scored, real = [], precheck_cost.Ctc.score

    def score(objective, model, dev):
        scored.append(max(dev[0].lengths) / 16000)
        if scored[-1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(objective, model, dev)

    monkeypatch.setattr(precheck_cost.Ctc, "score", score)
    monkeypatch.setattr(precheck_cost, "apart", precheck_cost.measure)
    assert row(look(rehearse=True), "memory").sentence.endswith("scoring a clip of 1.0 s included.")
    assert scored == [1.0] * 3
    found = row(look(rehearse=True, test=[*OTHERS, {"seconds": 7.0}]), "evaluation memory")
    assert found.state == "block" and found.names[0].startswith("t/") and "lasts 7.0 s" in found.sentence


def test_the_rehearsal_scores_with_the_language_model(zoo, monkeypatch, tmp_path):
    folder = corpus(tmp_path / "c", train=CLIPS, dev=OTHERS)
    place = [{"id": "a", "folder": str(folder)}]
    recipe = recipes.from_dict({"name": "x", "base": {"checkpoint": str(zoo["lower"])}, "train": place, "dev": place,
                                "evaluation": {"language_model": "mine"}})  # fmt: skip
    spec, jobs = LanguageModelSpec("mine", "Mine", "en", "en", tmp_path / "lm.arpa", alpha=0.7), []
    known = dataclasses.replace(registry(), language_models={"mine": spec})
    monkeypatch.setattr(precheck_cost, "apart", lambda job: jobs.append(job) or precheck_cost.Measured(
        "cpu", "fp32", 1.0, 2.0, 5.0, 0.0, 1, 1, 10, hears=10.0))  # fmt: skip
    precheck(recipe, tmp_path, known)
    assert jobs[0].lm == spec and [s.id for s in jobs[0].held] == ["a"]
    monkeypatch.setattr(precheck_cost, "open_language_model", lambda one: one)
    start = precheck_cost.opened(recipe, jobs[0].shards, known)
    found = precheck_cost._ctc(SimpleNamespace(start=start, precision="fp32"), jobs[0].lm).search
    assert found.lm == spec and (found.options.kind, found.options.alpha) == ("beam", 0.7)


def test_what_is_kept_to_average_and_to_blend_in_takes_memory(look, monkeypatch):
    """The process itself is made out to take nothing."""
    needed: list[int] = []

    def measure(job):
        found = precheck_cost.measure(job)
        needed.append(found.needed)
        return found

    monkeypatch.setattr(precheck_cost, "apart", measure)
    monkeypatch.setattr(precheck_cost, "_most_resident", lambda: 0)
    for evaluation in ({"average_decay": 0.0}, {"average_decay": 0.9}, {"average_decay": 0.9, "blend": 0.3}):
        look(rehearse=True, evaluation=evaluation)
    assert needed[0] == 0 and needed[2] == 2 * needed[1] > 0


def test_what_cannot_be_run_is_a_row(look, monkeypatch):
    monkeypatch.setattr(precheck_cost, "measure", None)
    monkeypatch.setattr(precheck_cost.subprocess, "run", _killed)
    found = row(look(rehearse=True), "longest batch")
    assert found.state == "block" and "want of memory" in found.sentence and "micro_seconds: 4" in found.fix


def _killed(command, **_):
    return precheck_cost.subprocess.CompletedProcess(command, -9, b"", b"")


def test_micro_batches_are_halved_until_they_fit():
    cleared = []

    def step(limit):
        tried.append(limit)
        if not limit or limit > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    tried = []
    assert precheck_cost.search(step, lambda: cleared.append(1), 0.0, whole=48.0, single=8.0) == (8.0, "done")
    assert tried == [0.0, 24.0, 12.0, 8.0] and len(cleared) == 3
    with pytest.raises(precheck_cost.TrainingError, match=r"single clip of 11\.0 s"):
        precheck_cost.search(step, lambda: None, 0.0, whole=48.0, single=11.0)


def test_other_errors_are_not_taken_for_want_of_memory():
    def step(limit):
        raise RuntimeError("shapes do not match")

    with pytest.raises(precheck_cost.TrainingError, match="shapes do not match"):
        precheck_cost.search(step, lambda: None, 0.0, 48.0, 8.0)


@pytest.mark.parametrize("device, state", [("cpu", "block"), ("cuda", "warn")])
def test_what_fits_only_in_parts_is_told_with_the_key_to_set(device, state):
    """On a GPU the run halves by itself; without one, Linux would end it."""
    recipe = recipes.from_dict({"name": "x", "scratch": {}, "train": [{"id": "a", "folder": "a"}],
                                "dev": [{"id": "a", "folder": "a"}], "batches": {"seconds": 48.0}})  # fmt: skip
    measured = precheck_cost.Measured(device, "bf16", 1.0, 2.0, 4.0, 24.0, 2**30, 0, 2**34, 10.0)
    (found,) = precheck_plan.room(recipe, measured)
    assert found.state == state and found.change == {"batches": {"micro_seconds": 24.0}} and "48 s" in found.sentence
    (fits,) = precheck_plan.room(recipe, dataclasses.replace(measured, micro_seconds=0.0))
    assert fits.state == "ok"
    (never,) = precheck_plan.room(recipe, dataclasses.replace(measured, micro_seconds=0.0, needed=2**40))
    assert never.state == "block"


def test_a_full_disk_blocks():
    estimates = Estimates("cpu", "fp32", 1, 1.0, 0.0, disk_gib=2.0)
    assert precheck_plan.disk(estimates, 2**30).state == "block"
    assert precheck_plan.disk(estimates, 2**33).state == "ok"


def test_every_flavour_of_jobs_has_a_price_and_a_run_too_large_for_it_is_said_so():
    assert set(FLAVOURS) == {flavour.value for flavour in JobHardware}
    offers = {o.flavour: o for o in precheck_cost.offers(needed=40 * 10**9, minutes=120.0)}
    assert not offers["l4x1"].fits and offers["a100-large"].fits and not offers["l4x4"].fits
    assert offers["a100-large"].dollars == 5.0
    assert precheck_cost.offers(None, 0.0)[0].dollars is None
