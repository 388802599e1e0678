"""The trainer end to end on a tiny made-up language (each letter is a tone), and the traps it must avoid."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForCTC, AutoProcessor

from asrdemo import registry
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, journal, loop, train
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.clock import Clock
from asrdemo.finetune.live import Live
from asrdemo.finetune.objective import Ctc
from asrdemo.finetune.watchdog import Watchdog

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


@pytest.fixture(scope="module")
def whole(finished, tones, tmp_path_factory):
    """A fine-tuning run of four steps that nothing interrupts: to compare others with."""
    return tune(finished, tones, tmp_path_factory.mktemp("whole") / "run")


def test_a_tuned_base_is_scored_before_and_after(whole):
    before, after = (journal.read_json(whole / f"{name}.json")["tones"] for name in ("before", "after"))
    assert before["clips"] == after["clips"] == 24
    assert metrics(whole)[0]["step"] == 0 and metrics(whole)[0]["eval_tones_wer"] == before["wer"]
    dev = [m["eval_tones_loss"] for m in metrics(whole) if "eval_tones_loss" in m]
    assert len(dev) == 2 and dev[1] < dev[0], "it learns"


def test_micro_batches_change_nothing(finished, tones, tmp_path, whole):
    parts = tune(finished, tones, tmp_path / "parts", clips={"max_seconds": 2.0}, batches={"micro_seconds": 2.5})
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4) and len(set(losses(whole))) == 4
    norms = [[m["grad_norm"] for m in metrics(run) if "grad_norm" in m] for run in (whole, parts)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


FORKS = multiprocessing.get_context("forkserver")  # which imports the trainer once for all the processes of these tests
FORKS.set_forkserver_preload(["asrdemo.finetune.train"])


def trainer(arguments: list[object], log: Path, environment: dict[str, str], stop_at: int = 0) -> None:
    """The real trainer, for a process of its own. stop_at: the step after which somebody asks it to stop."""
    os.environ.update(environment)
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    real = Live.progress

    def progress(live, step, *more):
        real(live, step, *more)
        live._stopping = live._stopping or 0 < stop_at <= step

    Live.progress = progress
    ended = train.main([str(a) for a in arguments])
    print("seeded with", torch.initial_seed())
    sys.exit(ended)


def started(arguments: list[object], log: Path, environment: dict[str, str] | None = None, stop_at: int = 0) -> Any:
    """A process with the trainer in it."""
    process = FORKS.Process(target=trainer, args=(arguments, log, environment or {}, stop_at))
    process.start()
    return process


def together(arguments: list[object], folder: Path, stop_first_at: int = 0) -> list[str]:
    """Two processes that train one run, as torch's and accelerate's launchers start them; the end of what they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    logs = [folder / f"log-{rank}.txt" for rank in "01"]
    both = [
        started(arguments, log, shared | {"RANK": rank, "LOCAL_RANK": rank}, stop_first_at if rank == "0" else 0)
        for rank, log in zip("01", logs, strict=True)
    ]
    for process in both:
        process.join(200)
    said = [log.read_text()[-2000:] for log in logs]
    for process in both:
        process.kill()
    assert [process.exitcode for process in both] == [0, 0], said
    return said


def test_two_processes_train_as_one_also_when_interrupted(finished, tones, tmp_path, whole):
    """The same loss and gradients as one process on the whole batch; only one of the two is asked to stop."""
    file, run = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(json.dumps(recipes.as_dict(tuning_recipe(tones, finished[2]))))
    arguments = [file, "--run", run, "--shards", finished[1] / "shards", "--anyway"]
    said = together(arguments, tmp_path, stop_first_at=2)
    seeds = [int(log.rpartition("seeded with ")[2]) for log in said]
    assert seeds[1] == seeds[0] + 1, "dropout and masks differ between processes"
    (kept,) = loop.whole_checkpoints(run)
    assert kept.name == "checkpoint-2" and not (run / "after.json").exists()
    (run / "checkpoint-3").mkdir()  # cut short
    together([*arguments, "--resume"], tmp_path)
    assert [m["step"] for m in metrics(run) if "loss" in m] == [1, 2, 3, 4], "one process writes"
    assert len([m for m in metrics(run) if "eval_selection" in m]) == 2
    assert losses(run) == pytest.approx(losses(whole), rel=1e-3)
    norms = [[m["grad_norm"] for m in metrics(each) if "grad_norm" in m] for each in (whole, run)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-2)
    assert [journal.read_json(each / "data.json")["processes"] for each in (whole, run)] == [1, 2]


def test_a_process_that_does_not_write_leaves_the_journal_as_it_is(tmp_path):
    first = journal.Journal(tmp_path)
    for step in range(4):
        first.add(journal.METRICS, {"step": step, "loss": 1.0})
    second = journal.Journal(tmp_path, 2, writes=False)
    second.add(journal.ALERTS, {"step": 1})
    second.tabulate()
    assert [m["step"] for m in metrics(tmp_path)] == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [journal.METRICS]


def test_out_of_memory_halves_what_goes_through_at_once_and_nothing_else(finished, tones, tmp_path, monkeypatch, whole):
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
    """Also where gradients are not clipped. transformers' Trainer loses the weights, and its loss for ever."""
    broken_audio(monkeypatch, lambda n: n == 1)
    run = tune(finished, tones, tmp_path / "run", optimiser={"max_grad_norm": 0.0}, evaluation={"log_steps": 2})
    assert [(a["kind"], a["step"]) for a in journal.lines(run / journal.ALERTS)] == [("skipped", 2)]
    told = losses(run)
    assert len(told) == 2 and all(5 < loss < 7 for loss in told), "the mean of the steps that had a loss"
    weights = safetensors(run / "checkpoint-4" / "model.safetensors")
    assert all(torch.isfinite(p).all() for p in weights.values())
    assert not torch.equal(weights["lm_head.weight"], safetensors(finished[2] / "model.safetensors")["lm_head.weight"])


def test_a_run_that_only_sees_nan_stops_and_says_why(finished, tones, tmp_path, monkeypatch):
    broken_audio(monkeypatch, lambda n: True)
    run = tmp_path / "run"
    ended = train.run(
        tuning_recipe(tones, finished[2], batches={"max_steps": 50}), run, finished[1] / "shards", NONE
    )  # fmt: skip
    assert ended == "not_finite" and len(losses(run)) == 3
    assert "rate of 0.001" in journal.lines(run / journal.ALERTS)[-1]["sentence"]


def test_patience_ends_a_run_that_gets_no_better(finished, tones, tmp_path, monkeypatch):
    """Once it may be expected to; and a run that has ended so is at its end when it is gone on with, too."""
    monkeypatch.setitem(train.PATIENCE, "tiny", 4)
    evaluation = {"every_steps": 1, "patience": 2}
    recipe = tuning_recipe(
        tones, finished[2], batches={"max_steps": 50}, evaluation=evaluation, optimiser={"learning_rate": 1e-12}
    )
    run = tmp_path / "run"
    ended = train.run(recipe, run, finished[1] / "shards", NONE)
    assert "no better WER in 2 evaluations" in ended and len(losses(run)) == 5
    (run / "after.json").unlink()  # killed while that was made
    assert train.run(recipe, run, finished[1] / "shards", NONE, resume=True) == ended
    assert len(losses(run)) == 5 and (run / "after.json").is_file()


def test_minutes_between_evaluations_are_minutes_of_training(tmp_path, monkeypatch):
    """Dev takes longer to score than every_minutes, the base took longer before: not an evaluation every step."""
    recipe = recipes.load(RECIPE, overrides={"evaluation": {"every_minutes": 5.0, "every_steps": 0}})
    clock, now, nothing = Clock(600.0), [400.0], SimpleNamespace()
    monkeypatch.setattr(clock, "tick", lambda: setattr(clock, "spent", now[0]))
    run: Any = loop.Running(
        folder=tmp_path, recipe=recipe, start=nothing, clock=clock, phase=nothing, average=None, base_weights=None,
        journal=journal.Journal(tmp_path), watchdog=Watchdog(recipe.watchdog, 1e-3, 0), dev=[nothing],
        precision="fp32", batches=nothing,
    )  # fmt: skip
    minder, evaluated = loop.Minder(run), []
    for step in range(1, 1001):
        now[0] += 1.0
        control = SimpleNamespace(should_evaluate=False, should_save=False, should_training_stop=False)
        minder.on_step_end(None, SimpleNamespace(global_step=step), control)
        if control.should_evaluate:
            evaluated.append(step)
            now[0] += 320.0
            minder.on_evaluate(None, None, control)
    assert evaluated == [300, 600, 900]


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
    watched = [journal.read_json(each / "checkpoint-6" / "run.json")["watchdog"] for each in (run, whole)]
    assert watched[0]["rates"] == watched[1]["rates"] and len(watched[0]["norms"]) == 6, "one run, not two"
    (run / "after.json").unlink()  # killed while the best weights are scored: nothing is left to train
    assert train.run(recipe, run, home / "shards", NONE, resume=True) == ""
    assert [m["step"] for m in metrics(run) if "loss" in m][-3:] == [4, 5, 6]
    assert journal.read_json(run / "after.json") == journal.read_json(whole / "after.json")


def test_resume_refuses_what_the_run_did_not_begin_with(finished, tones):
    recipe, home, _ = finished
    others = dataclasses.replace(recipe.train[0], exclude_accents=())
    with pytest.raises(TrainingError, match=r"^train/tones: not what this run began with.*run/best as its base"):
        train.run(dataclasses.replace(recipe, train=(others,)), home / "run", home / "shards", NONE, resume=True)
    assert journal.read_json(home / "run" / "data.json")["train"]["tones"]["clips"] == 23
    vocab = home / "run" / "vocab.json"
    kept = vocab.read_text()
    vocab.write_text(json.dumps({"<pad>": 0}))
    with pytest.raises(TrainingError, match="another vocabulary"):
        train.run(recipe, home / "run", home / "shards", NONE, resume=True)
    vocab.write_text(kept)


def test_a_blend_with_the_base_is_kept_where_it_hears_better(finished, tones, tmp_path, monkeypatch):
    overrides = {"evaluation": {"blend": 0.25}, "batches": {"max_steps": 2}}
    seen, scored = {}, iter(range(9))
    real, score = loop.CtcTrainer._candidates, Ctc.score

    def spy(self, current):
        found = real(self, current)
        seen.update(found | {"now": current})
        return found

    def third_is_best(self, model, dev):  # the base, the weights after two steps, their blend
        return dataclasses.replace(score(self, model, dev), selection=[0.5, 0.4, 0.3][next(scored)])

    monkeypatch.setattr(loop.CtcTrainer, "_candidates", spy)
    monkeypatch.setattr(Ctc, "score", third_is_best)
    run = tune(finished, tones, tmp_path / "run", **overrides)
    begun = safetensors(finished[2] / "model.safetensors")
    name = "lm_head.weight"
    assert torch.allclose(seen["blend"][name], 0.75 * seen["now"][name] + 0.25 * begun[name], atol=1e-6)
    assert not torch.equal(seen["blend"][name], seen["now"][name])
    best = journal.read_json(run / "best.json")
    assert (best["weights"], best["step"], best["eval_blend_selection"]) == ("blend", 2, 0.3)
    assert torch.equal(safetensors(run / "best" / "model.safetensors")[name], seen["blend"][name])


def test_low_rank_adapters_train_and_merge(finished, tones, tmp_path):
    """With a new head, so that the base itself is no candidate for the best weights."""
    pytest.importorskip("peft")
    rate = {"learning_rate": 1e-2}
    run = tune(finished, tones, tmp_path / "run", mode="lora", vocabulary="train", optimiser=rate)
    assert journal.read_json(run / "best.json")["step"] == 4
    begun, best = (safetensors(folder / "model.safetensors") for folder in (finished[2], run / "best"))
    assert begun.keys() == best.keys(), "no trace of the adapters but what they do"
    changed = {name.split(".")[-2] for name in best if not torch.equal(best[name], begun[name])}
    assert changed == {"q_proj", "k_proj", "v_proj", "out_proj", "lm_head"}


def test_speech_without_text_then_text(finished, tones, tmp_path, monkeypatch):
    """Pre-training from the checkpoint, then fine-tuning from what it made."""
    _, home, best = finished
    dogs: list[Watchdog] = []
    monkeypatch.setattr(train, "Watchdog", lambda *given: dogs.append(Watchdog(*given)) or dogs[-1])
    masks = {"regularisation": {"mask_time_prob": 0.5, "mask_time_length": 2}, "optimiser": {"learning_rate": 1e-4}}
    first = tuning_recipe(tones, best, mode="pretrain", batches={"max_steps": 3}, **masks)
    assert train.run(first, tmp_path / "ssl", home / "shards", NONE) == ""
    assert {"eval_tones_contrastive", "eval_tones_accuracy", "eval_tones_perplexity"} <= set(
        metrics(tmp_path / "ssl")[-2]
    )
    second = tuning_recipe(tones, tmp_path / "ssl" / "best", batches={"max_steps": 2})
    assert train.run(second, tmp_path / "ctc", home / "shards", NONE) == ""
    assert base.open_base(second, ["ab"], NONE).kind == "pretrained" and (tmp_path / "ctc" / "best").is_dir()
    assert [dog.measure for dog in dogs] == ["loss", "WER"]


def test_pre_training_without_a_dev_set_keeps_the_last_weights(finished, tones, tmp_path, capsys):
    data = recipes.as_dict(tuning_recipe(tones, finished[2], mode="pretrain", batches={"max_steps": 1}))
    data |= {"dev": [], "regularisation": STILL | {"mask_time_prob": 0.5, "mask_time_length": 2}}
    file, run = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(json.dumps(data))
    assert train.main([str(file), "--run", str(run), "--shards", str(finished[1] / "shards"), "--anyway"]) == 0
    assert f"best checkpoint: {run / 'best'}" in capsys.readouterr().out
    assert journal.read_json(run / "best.json")["step"] == 1
    last, kept = (safetensors(folder / "model.safetensors") for folder in (run / "checkpoint-1", run / "best"))
    assert all(torch.equal(last[name], kept[name]) for name in kept)


def test_the_command_line_looks_the_recipe_over_first(finished, tones, tmp_path, monkeypatch, capsys):
    """The dev clips are training clips here, which only --anyway lets pass."""
    file, run = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(json.dumps(recipes.as_dict(tuning_recipe(tones, finished[2]))))
    monkeypatch.setenv("ASRDEMO_HOME", str(finished[1]))

    def called(*more: str) -> tuple[int, str, str]:
        return train.main([str(file), "--run", str(run), *more]), *capsys.readouterr()

    for more in ((), ("--resume",)):  # nothing has begun yet that could be gone on with
        status, _, error = called(*more)
        assert status == 1 and "would fail" in error and "Traceback" not in error
        assert journal.read_json(run / "status.json")["state"] == "failed"
    assert any(row["state"] == "block" for row in journal.read_json(run / "precheck.json")["rows"])
    status, out, error = called("--anyway")
    assert status == 0 and "best checkpoint" in out, error[-2000:]
    assert journal.read_json(run / "status.json")["state"] == "complete"
    status, _, error = called("--anyway")
    assert status == 1 and "already holds a run" in error and "Traceback" not in error


def test_killed_again_and_again_it_ends_with_every_step(finished, tones, tmp_path):
    """kill -9 at random moments of the real trainer, in a process of its own. ASRDEMO_KILLS=20 for the long version."""
    kills = int(os.environ.get("ASRDEMO_KILLS", "2"))
    steps = max(40, 15 * kills)
    recipe = tuning_recipe(
        tones, finished[2], batches={"max_steps": steps}, evaluation={"save_minutes": 0.005, "every_steps": 13}
    )
    file, run, random = tmp_path / "recipe.yaml", tmp_path / "run", np.random.default_rng(kills)
    file.write_text(json.dumps(recipes.as_dict(recipe)))
    arguments = [file, "--run", run, "--anyway", "--resume"]
    killed, log = 0, tmp_path / "log.txt"
    for _ in range(3 * kills):
        process = started(arguments, log, {"ASRDEMO_HOME": str(finished[1])})
        before = len(losses(run)) if (run / journal.METRICS).exists() else 0
        while process.is_alive() and killed < kills:  # once it is at work, at any moment
            if (run / journal.METRICS).exists() and len(losses(run)) != before:
                time.sleep(float(random.uniform(0, 1.0)))
                process.kill()
                killed += 1
                break
            time.sleep(0.02)
        process.join(200)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, log.read_text()[-2000:]
    print(f"killed {killed} times")
    assert process.exitcode == 0 and killed > kills / 2
    assert [m["step"] for m in metrics(run) if "loss" in m] == list(range(1, steps + 1))
    whole = tune(finished, tones, tmp_path / "whole", batches={"max_steps": steps})
    assert losses(run) == pytest.approx(losses(whole), rel=1e-3)
    assert not list(run.rglob("*.part")) and journal.read_json(run / "status.json")["state"] == "complete"
