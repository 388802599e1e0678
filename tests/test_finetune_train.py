"""The trainer end to end on a tiny made-up language (each letter is a tone), and the traps it must avoid."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForCTC, AutoProcessor, Trainer, TrainingArguments

from asrdemo.errors import TrainingError
from asrdemo.finetune import data, evaluate, loop, prepare, train
from asrdemo.finetune import model as models
from asrdemo.finetune import recipe as recipes

RECIPE = Path(__file__).parent.parent / "recipes" / "demo-en.yaml"
WORDS = ("ab", "cab", "bad", "dab", "abba")


def tone_corpus(folder: Path, clips: int, seed: int) -> Path:
    """A Common Voice folder in which each letter is 0.15 s of its own tone."""
    rng = np.random.default_rng(seed)
    (folder / "clips").mkdir(parents=True)
    rows, lengths = ["client_id\tpath\tsentence\taccents"], ["clip\tduration[ms]"]
    for i in range(clips):
        text = " ".join(rng.choice(WORDS, 2))
        t = np.arange(2400) / 16000
        hertz = [400 + 500 * " abcd".index(c) for c in text]
        wave = np.concatenate([np.sin(2 * np.pi * f * t) * 0.3 for f in hertz])
        soundfile.write(folder / "clips" / f"{i}.flac", wave + rng.normal(0, 0.01, len(wave)), 16000)
        accent = "held out" if i == 0 else ""
        rows.append(f"s{i}\t{i}.flac\t{text.upper()}\t{accent}")
        lengths.append(f"{i}.flac\t{len(wave) // 16}")
    (folder / "train.tsv").write_text("\n".join(rows) + "\n")
    (folder / "clip_durations.tsv").write_text("\n".join(lengths) + "\n")
    return folder


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return tone_corpus(tmp_path_factory.mktemp("tones") / "corpus", 24, 1)


def smoke_recipe(tones: Path, **overrides) -> recipes.Recipe:
    corpora = {
        "train": [{"id": "tones", "folder": str(tones), "exclude_accents": ["held out"]}],
        "dev": [{"id": "tones", "folder": str(tones), "split": "train"}],
    }
    return recipes.load(RECIPE, smoke=True, overrides=corpora | overrides)


@pytest.fixture(scope="module")
def finished(tones, tmp_path_factory):
    """A smoke run of the committed recipe, started from nothing."""
    home = tmp_path_factory.mktemp("home")
    recipe = smoke_recipe(tones)
    best = train.run(recipe, home / "run", home / "shards")
    return recipe, home, best


def test_smoke_run_leaves_all_it_promises(finished):
    recipe, home, best = finished
    run = home / "run"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("loss" in m for m in metrics) and any("phase" in m for m in metrics)
    assert any({"eval_now_tones_wer", "eval_average_tones_wer", "eval_selection"} <= set(m) for m in metrics)
    described = json.loads((run / "data.json").read_text())
    assert described["train"]["tones"]["clips"] == 23  # the held-out accent stays out
    assert json.loads((run / "best.json").read_text())["weights"] in ("now", "average")
    example = json.loads((run / "examples.jsonl").read_text().splitlines()[0])["tones"][0]
    assert set(example) == {"reference", "hypothesis"}
    assert not list(run.rglob("*.tmp")) and not list(best.glob(".writing"))


def test_two_processes_train_one_model(tones, tmp_path):
    recipe = smoke_recipe(tones, optimiser={"hold": 0.5, "warmup_steps": 1})
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipes.as_dict(recipe)))
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "--", "asrdemo.finetune.train"]
    options = [str(file), "--run", str(tmp_path / "run"), "--shards", str(tmp_path / "shards")]
    done = subprocess.run([sys.executable, "-m", *launch, *options], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [m["step"] for m in metrics if "loss" in m]
    assert steps == sorted(set(steps)), "one process writes"
    assert metrics[0]["learning_rate"] == recipe.optimiser.learning_rate, "held in the first half"
    assert json.loads((tmp_path / "run" / "best.json").read_text())["step"] == recipe.batches.max_steps


def test_learning_rate_ends_near_zero(finished):
    recipe, home, _ = finished
    lines = (home / "run" / "metrics.jsonl").read_text().splitlines()
    rates = [m["learning_rate"] for m in map(json.loads, lines) if "learning_rate" in m]
    assert rates[-1] < recipe.optimiser.learning_rate / 20


def test_best_loads_as_any_checkpoint_does(finished):
    _, _, best = finished
    model, processor = AutoModelForCTC.from_pretrained(best), AutoProcessor.from_pretrained(best)
    inputs = processor(audio=np.zeros(16000, dtype=np.float32), sampling_rate=16000, return_tensors="pt")
    assert "attention_mask" in inputs  # a layer-norm front end needs it
    with torch.inference_mode():
        logits = model(**inputs).logits
    assert logits.shape == (1, models.frames(16000, model.config), model.config.vocab_size)
    assert model.config.pad_token_id == processor.tokenizer.pad_token_id == 0
    assert processor.tokenizer.decode([6, 6, 0, 6, 4, 5]) == "bb a"


def test_resume_goes_on_and_a_second_start_is_refused(finished):
    recipe, home, _ = finished
    run = home / "run"
    with pytest.raises(TrainingError, match="already holds a run"):
        train.run(recipe, run, home / "shards")
    before = loop.last_checkpoint(run)
    longer = dataclasses.replace(recipe, batches=dataclasses.replace(recipe.batches, max_steps=50))
    train.run(longer, run, home / "shards", resume=True)
    after = loop.last_checkpoint(run)
    assert int(after.name.split("-")[1]) > int(before.name.split("-")[1])
    assert after.name == "checkpoint-50"


def test_resume_refuses_another_vocabulary(finished):
    recipe, home, _ = finished
    vocab = home / "run" / "vocab.json"
    kept = vocab.read_text()
    vocab.write_text(json.dumps({"<pad>": 0}))
    with pytest.raises(TrainingError, match="another vocabulary"):
        train.run(recipe, home / "run", home / "shards", resume=True)
    vocab.write_text(kept)


def test_nothing_to_resume(tones, tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint to resume from"):
        train.run(smoke_recipe(tones), tmp_path / "run", tmp_path / "shards", resume=True)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_gradient_accumulation_does_not_scale_the_loss(tones, tmp_path, accumulate):
    """Without accepts_loss_kwargs=False the logged loss and the gradient grow with the accumulation steps."""
    recipe = smoke_recipe(tones)
    shard = prepare.prepare(recipe.train[0], recipe, tmp_path)
    vocab = models.vocabulary(list(shard.texts))
    batch = data.pad([data.standardised(shard.samples(0))] * 8, [models.labels(shard.texts[0], vocab)] * 8)
    rows = [{k: v[i] for k, v in batch.items()} for i in range(8)]

    def loss_and_norm(steps: int) -> tuple[float, float]:
        args = TrainingArguments(
            str(tmp_path), max_steps=1, learning_rate=0.0, report_to="none", logging_steps=1, use_cpu=True,
            disable_tqdm=True, save_strategy="no",
            per_device_train_batch_size=8 // steps, gradient_accumulation_steps=steps,
        )  # fmt: skip
        trainer = Trainer(model=models.build(recipe, vocab), args=args, train_dataset=rows)
        trainer.train()
        return trainer.state.log_history[0]["loss"], trainer.state.log_history[0]["grad_norm"]

    assert loss_and_norm(accumulate) == pytest.approx(loss_and_norm(1), rel=1e-3)


def test_a_clip_too_short_for_its_text_is_listed_and_dropped(tones, tmp_path):
    recipe = smoke_recipe(tones)
    shard = prepare.prepare(recipe.train[0], recipe, tmp_path)
    vocab = models.vocabulary(list(shard.texts))
    config = models.build(recipe, vocab).config
    fits = data.pool([shard], [1.0], vocab, config)
    assert not fits.infeasible and (fits.max_speed >= 1).all()
    slow = prepare.Shard("x", shard.audio, shard.starts, shard.lengths // 4, shard.texts, shard.names, {})
    bad = data.pool([slow], [1.0], vocab, config)
    assert bad.infeasible and bad.infeasible[0].startswith("x/")
    strange = prepare.Shard("x", shard.audio, shard.starts, shard.lengths, ("z",) * len(shard), shard.names, {})
    assert len(data.pool([strange], [1.0], vocab, config).infeasible) == len(shard)


def test_collapse_reads_as_ctc_does():
    vocab = models.vocabulary(["ab c"])
    ids = np.array([vocab[t] for t in ["<pad>", "a", "a", "<pad>", "a", "|", "|", "b", "<s>", "b", "<pad>", "|"]])
    assert evaluate.collapse(ids, vocab) == "aa bb"
    assert evaluate.collapse(np.zeros(0, dtype=int), vocab) == ""
