"""The trainer end to end on a tiny made-up language (each letter is a tone), and the traps it must avoid."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForCTC, AutoProcessor

from asrdemo import registry
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, journal, loop, train
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.live import Live

RECIPE = Path(__file__).parent.parent / "recipes" / "demo-en.yaml"
WORDS = ("ab", "cab", "bad", "dab", "abba")
NONE = registry.Registry({})
PLAIN = {"speed": [1, 1], "gain_db": [0, 0], "noise_prob": 0.0, "filter_prob": 0.0, "reverb_prob": 0.0}
STILL = {"dropout": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}


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


def tuning_recipe(tones: Path, checkpoint: Path, **overrides) -> recipes.Recipe:
    """A fine-tuning run of a few steps in which nothing is random but the order of the clips."""
    data = recipes.as_dict(smoke_recipe(tones)) | {
        "base": {"checkpoint": str(checkpoint)}, "scratch": None, "plateau": None, "augment": PLAIN,
        "batches": {"seconds": 8.0, "max_steps": 4, "precision": "fp32", "threads": 1},
        "evaluation": {"log_steps": 1, "average_decay": 0.0}, "regularisation": STILL,
        "optimiser": {"warmup_steps": 1, "learning_rate": 1e-3},
    }  # fmt: skip
    return recipes.from_dict(recipes.schema.merged(data, overrides))


def metrics(run: Path) -> list[dict]:
    return journal.lines(run / journal.METRICS)


def losses(run: Path) -> list[float]:
    return [m["loss"] for m in metrics(run) if "loss" in m]


@pytest.fixture(scope="module")
def finished(tones, tmp_path_factory):
    """A smoke run of the committed recipe, started from nothing."""
    home = tmp_path_factory.mktemp("home")
    recipe = smoke_recipe(tones)
    train.run(recipe, home / "run", home / "shards", NONE)
    return recipe, home, home / "run" / "best"


def tune(finished, tones, folder: Path, **overrides) -> Path:
    """A fine-tuning run of the smoke run's checkpoint; its folder."""
    _, home, best = finished
    train.run(tuning_recipe(tones, best, **overrides), folder, home / "shards", NONE)
    return folder


def test_smoke_run_leaves_all_it_promises(finished):
    _, home, best = finished
    run = home / "run"
    assert any("loss" in m for m in metrics(run)) and any("phase" in m for m in metrics(run))
    wanted = {"eval_now_selection", "eval_average_selection", "eval_tones_wer", "eval_tones_loss", "eval_selection"}
    assert any(wanted <= set(m) for m in metrics(run))
    described = journal.read_json(run / "data.json")
    assert described["train"]["tones"]["clips"] == 23  # the held-out accent stays out
    assert journal.read_json(run / "best.json")["weights"] in ("now", "average")
    sample = journal.lines(run / journal.SAMPLES)[0]
    assert set(sample["samples"]["tones"][0]) == {"reference", "hypothesis"} and "accents" in sample["slices"]["tones"]
    assert (run / "training_log.csv").read_text().startswith("step,seconds")
    assert journal.read_json(run / "after.json")["tones"]["clips"] == 24
    assert not [*run.rglob("*.tmp"), *run.rglob("*.part")] and not list(best.parent.glob(".*"))


def test_learning_rate_ends_near_zero(finished):
    recipe, home, _ = finished
    rates = [m["learning_rate"] for m in metrics(home / "run") if "learning_rate" in m]
    assert rates[-1] < recipe.optimiser.learning_rate / 20


def test_best_loads_as_any_checkpoint_does(finished):
    _, _, best = finished
    model, processor = AutoModelForCTC.from_pretrained(best), AutoProcessor.from_pretrained(best)
    inputs = processor(audio=np.zeros(16000, dtype=np.float32), sampling_rate=16000, return_tensors="pt")
    assert "attention_mask" in inputs  # a layer-norm front end needs it
    with torch.inference_mode():
        logits = model(**inputs).logits
    assert logits.shape == (1, base.frames(16000, model.config), model.config.vocab_size)
    assert model.config.pad_token_id == processor.tokenizer.pad_token_id == 0
    assert processor.tokenizer.decode([6, 6, 0, 6, 4, 5]) == "bb a"


def test_a_tuned_base_is_scored_before_and_after(finished, tones, tmp_path):
    run = tune(finished, tones, tmp_path / "run")
    before, after = (journal.read_json(run / f"{name}.json")["tones"] for name in ("before", "after"))
    assert before["clips"] == after["clips"] == 24 and after["wer"] <= before["wer"]
    assert metrics(run)[0]["step"] == 0 and metrics(run)[0]["eval_tones_wer"] == before["wer"]


def test_micro_batches_change_nothing(finished, tones, tmp_path):
    whole = tune(finished, tones, tmp_path / "whole")
    parts = tune(finished, tones, tmp_path / "parts", clips={"max_seconds": 2.0}, batches={"micro_seconds": 2.5})
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4) and len(set(losses(whole))) == 4
    norms = [[m["grad_norm"] for m in metrics(run) if "grad_norm" in m] for run in (whole, parts)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def test_two_processes_train_as_one(finished, tones, tmp_path):
    """Through accelerate's own launcher: the same loss and gradients as one process on the whole batch."""
    alone = tune(finished, tones, tmp_path / "alone")
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipes.as_dict(tuning_recipe(tones, finished[2]))))
    launch = [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
        "--mixed_precision=no",
    ]
    launch += ["--dynamo_backend=no", "--main_process_port=0", "-m", "asrdemo.finetune.train"]
    options = [str(file), "--run", str(tmp_path / "run"), "--shards", str(finished[1] / "shards"), "--anyway"]
    done = subprocess.run([sys.executable, "-m", *launch, *options], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), rel=1e-3)
    assert [m["step"] for m in metrics(tmp_path / "run") if "loss" in m] == [1, 2, 3, 4], "one process writes"
    norms = [[m["grad_norm"] for m in metrics(run) if "grad_norm" in m] for run in (alone, tmp_path / "run")]
    assert norms[1] == pytest.approx(norms[0], rel=1e-2)
    assert [journal.read_json(run / "data.json")["processes"] for run in (alone, tmp_path / "run")] == [1, 2]


def test_out_of_memory_halves_what_goes_through_at_once_and_nothing_else(finished, tones, tmp_path, monkeypatch):
    whole = tune(finished, tones, tmp_path / "whole")
    real = base.open_base

    def small_memory(*args):
        start = real(*args)
        forward = start.model.forward

        def limited(input_values, **more):
            if torch.is_grad_enabled() and len(input_values) > 2:
                raise torch.OutOfMemoryError("made up")
            return forward(input_values, **more)

        start.model.forward = limited
        return start

    monkeypatch.setattr(base, "open_base", small_memory)
    run = tune(finished, tones, tmp_path / "small")
    assert losses(run) == pytest.approx(losses(whole), rel=1e-4)
    alerts = journal.lines(run / journal.ALERTS)
    assert alerts and {a["kind"] for a in alerts} == {"out_of_memory"} and "effective batch" in alerts[0]["sentence"]


def test_a_clip_that_never_fits_is_an_error(finished, tones, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.CtcTrainer, "_backward", lambda *a: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(TrainingError, match="single clip"):
        tune(finished, tones, tmp_path / "run")


def broken_audio(monkeypatch, wrong) -> None:
    """Batches whose numbers are no numbers, where `wrong(number of the batch)`."""
    real = loop.Batches.item
    seen = iter(range(10_000))

    def item(self, batch, place):
        found = real(self, batch, place)
        if wrong(next(seen)):
            found["waves"] = [w * math.nan for w in found["waves"]]
        return found

    monkeypatch.setattr(loop.Batches, "item", item)


def test_one_bad_batch_is_left_out(finished, tones, tmp_path, monkeypatch):
    broken_audio(monkeypatch, lambda n: n == 1)
    run = tune(finished, tones, tmp_path / "run")
    assert [a["kind"] for a in journal.lines(run / journal.ALERTS)] == ["skipped"]
    assert all(torch.isfinite(p).all() for p in AutoModelForCTC.from_pretrained(run / "best").parameters())
    assert journal.read_json(run / "after.json")["tones"]["cer"] < 2
    # without the guard the weights are lost, as transformers' Trainer loses them
    monkeypatch.setattr(loop.CtcTrainer, "_clip_grad_norm", loop.Trainer._clip_grad_norm)
    broken_audio(monkeypatch, lambda n: n == 1)
    lost = tune(finished, tones, tmp_path / "lost")
    assert math.isnan(metrics(lost)[-1].get("loss", math.nan)) or math.isnan(losses(lost)[-1])


def test_a_run_that_only_sees_nan_stops_and_says_why(finished, tones, tmp_path, monkeypatch):
    broken_audio(monkeypatch, lambda n: True)
    run = tmp_path / "run"
    ended = train.run(
        tuning_recipe(tones, finished[2], batches={"max_steps": 50}), run, finished[1] / "shards", NONE
    )  # fmt: skip
    assert ended == "not_finite" and len(losses(run)) < 10
    assert "rate of 0.001" in journal.lines(run / journal.ALERTS)[-1]["sentence"]


def test_patience_ends_a_run_that_gets_no_better(finished, tones, tmp_path):
    evaluation = {"every_steps": 1, "patience": 2}
    recipe = tuning_recipe(
        tones, finished[2], batches={"max_steps": 50}, evaluation=evaluation, optimiser={"learning_rate": 1e-12}
    )
    ended = train.run(recipe, tmp_path / "run", finished[1] / "shards", NONE)
    assert "no better WER in 2 evaluations" in ended and len(losses(tmp_path / "run")) <= 4


def test_only_the_head_moves_at_first(finished, tones, tmp_path):
    _, _, best = finished
    overrides = {"optimiser": {"head_steps": 99}, "batches": {"max_steps": 2}, "evaluation": {"every_steps": 1}}
    run = tune(finished, tones, tmp_path / "run", **overrides)
    before = AutoModelForCTC.from_pretrained(best).state_dict()
    after = torch.load(run / "checkpoint-2" / "optimizer.pt", weights_only=True)["param_groups"]
    assert {group["lr"] > 0 for group in after} == {True, False} or all(group["lr"] == 0 for group in after)
    weights = safetensors(run / "checkpoint-2" / "model.safetensors")
    moved = {name for name, value in weights.items() if not torch.equal(value, before[name].float())}
    assert moved and all(name.startswith("lm_head") for name in moved)


def safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_an_interrupted_run_ends_as_if_nothing_had_been(finished, tones, tmp_path):
    _, home, best = finished
    whole = tune(finished, tones, tmp_path / "whole", batches={"max_steps": 6})
    run, recipe = tmp_path / "run", tuning_recipe(tones, best, batches={"max_steps": 6})
    with Live(run) as live:  # somebody asks to stop while it trains
        real = live.progress

        def stop_after_three(step, *more):
            real(step, *more)
            live._stopping = step >= 3

        live.progress = stop_after_three
        assert train.run(recipe, run, home / "shards", NONE, live=live) == "asked to stop"
    assert [p.name for p in loop.whole_checkpoints(run)] == ["checkpoint-3"] and not (run / "after.json").exists()
    (run / "checkpoint-4").mkdir()  # one that was cut short by kill -9
    with pytest.raises(TrainingError, match="already holds a run"):
        train.run(recipe, run, home / "shards", NONE)
    journal.Journal(run).add(journal.METRICS, {"step": 5, "loss": 9.9})  # what a killed sitting wrote beyond it
    assert train.run(recipe, run, home / "shards", NONE, resume=True) == ""
    assert losses(run) == pytest.approx(losses(whole)[len(losses(whole)) - len(losses(run)) :], rel=1e-4)
    assert [m["step"] for m in metrics(run) if "loss" in m][-3:] == [4, 5, 6]
    assert journal.read_json(run / "after.json") == journal.read_json(whole / "after.json")


def test_resume_refuses_another_vocabulary(finished, tones):
    recipe, home, _ = finished
    vocab = home / "run" / "vocab.json"
    kept = vocab.read_text()
    vocab.write_text(json.dumps({"<pad>": 0}))
    with pytest.raises(TrainingError, match="another vocabulary"):
        train.run(recipe, home / "run", home / "shards", NONE, resume=True)
    vocab.write_text(kept)


def test_a_blend_with_the_base_is_kept_where_it_hears_better(finished, tones, tmp_path, monkeypatch):
    overrides = {"evaluation": {"blend": 0.25}, "batches": {"max_steps": 2}}
    seen = {}
    real = loop.CtcTrainer._candidates

    def spy(self, current):
        found = real(self, current)
        seen.update(found | {"now": current})
        return found

    monkeypatch.setattr(loop.CtcTrainer, "_candidates", spy)
    run = tune(finished, tones, tmp_path / "run", **overrides)
    begun = safetensors(finished[2] / "model.safetensors")
    name = "lm_head.weight"
    assert torch.allclose(seen["blend"][name], 0.75 * seen["now"][name] + 0.25 * begun[name], atol=1e-6)
    assert "eval_blend_selection" in {key for record in metrics(run) for key in record}
    kept = journal.read_json(run / "best.json")["weights"]
    best = {"now": "now", "blend": "blend"}.get(kept)
    if best and journal.read_json(run / "best.json")["step"] == 2:
        assert torch.equal(safetensors(run / "best" / "model.safetensors")[name], seen[best][name])


def test_low_rank_adapters_train_and_merge(finished, tones, tmp_path):
    pytest.importorskip("peft")
    run = tune(finished, tones, tmp_path / "run", mode="lora")
    model = AutoModelForCTC.from_pretrained(run / "best")
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert (
        journal.read_json(run / "after.json")["tones"]["wer"] <= journal.read_json(run / "before.json")["tones"]["wer"]
    )


def test_speech_without_text_then_text(finished, tones, tmp_path):
    """Pre-training from the checkpoint, then fine-tuning from what it made."""
    _, home, best = finished
    masks = {"regularisation": {"mask_time_prob": 0.5, "mask_time_length": 2}, "optimiser": {"learning_rate": 1e-4}}
    first = tuning_recipe(tones, best, mode="pretrain", batches={"max_steps": 3}, **masks)
    assert train.run(first, tmp_path / "ssl", home / "shards", NONE) == ""
    assert {"eval_tones_contrastive", "eval_tones_accuracy", "eval_tones_perplexity"} <= set(
        metrics(tmp_path / "ssl")[-2]
    )
    second = tuning_recipe(tones, tmp_path / "ssl" / "best", batches={"max_steps": 2})
    assert train.run(second, tmp_path / "ctc", home / "shards", NONE) == ""
    assert base.open_base(second, ["ab"], NONE).kind == "pretrained" and (tmp_path / "ctc" / "best").is_dir()


def test_the_command_line_looks_the_recipe_over_first(finished, tones, tmp_path, monkeypatch):
    """As a process of its own; the dev clips are training clips here, which only --anyway lets pass."""
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipes.as_dict(tuning_recipe(tones, finished[2]))))
    monkeypatch.setenv("ASRDEMO_HOME", str(finished[1]))
    command = [sys.executable, "-m", "asrdemo.finetune.train", str(file), "--run", str(tmp_path / "run")]

    def called(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=200)

    refused = called()
    assert refused.returncode == 1 and "would fail" in refused.stderr and "Traceback" not in refused.stderr
    assert journal.read_json(tmp_path / "run" / "status.json")["state"] == "failed"
    assert any(row["state"] == "block" for row in journal.read_json(tmp_path / "run" / "precheck.json")["rows"])
    done = called("--anyway")
    assert done.returncode == 0 and "best checkpoint" in done.stdout, done.stderr[-2000:]
    assert journal.read_json(tmp_path / "run" / "status.json")["state"] == "complete"
    again = called("--anyway")
    assert again.returncode == 1 and "already holds a run" in again.stderr and "Traceback" not in again.stderr


def test_killed_again_and_again_it_ends_with_every_step(finished, tones, tmp_path, monkeypatch):
    """kill -9 at random moments of the real trainer. ASRDEMO_KILLS=20 for the long version."""
    kills, steps = int(os.environ.get("ASRDEMO_KILLS", "2")), 40
    recipe = tuning_recipe(
        tones, finished[2], batches={"max_steps": steps}, evaluation={"save_minutes": 0.005, "every_steps": 13}
    )
    file, run, random = tmp_path / "recipe.yaml", tmp_path / "run", np.random.default_rng(kills)
    file.write_text(json.dumps(recipes.as_dict(recipe)))
    monkeypatch.setenv("ASRDEMO_HOME", str(finished[1]))
    command = [sys.executable, "-m", "asrdemo.finetune.train", str(file), "--run", str(run), "--anyway"]
    killed = 0
    for _ in range(3 * kills):
        trainer = subprocess.Popen([*command, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before = len(losses(run)) if (run / journal.METRICS).exists() else 0
        while trainer.poll() is None and killed < kills:  # once it is at work, at any moment
            if (run / journal.METRICS).exists() and len(losses(run)) != before:
                time.sleep(float(random.uniform(0, 1.0)))
                trainer.kill()
                killed += 1
                break
            time.sleep(0.02)
        error = trainer.communicate()[1]
        if trainer.returncode == 0:
            break
        assert trainer.returncode == -9, error[-2000:]
    assert trainer.returncode == 0 and killed
    assert [m["step"] for m in metrics(run) if "loss" in m] == list(range(1, steps + 1))
    whole = tune(finished, tones, tmp_path / "whole", batches={"max_steps": steps})
    assert losses(run) == pytest.approx(losses(whole), rel=1e-3)
    assert not list(run.rglob("*.part")) and journal.read_json(run / "status.json")["state"] == "complete"
