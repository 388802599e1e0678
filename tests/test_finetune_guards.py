"""Every way in which fine-tuning a CTC recogniser is known to fail: first as it fails, then as it does not here.

Each test does the thing the plain way (transformers, accelerate, datasets and numpy as tutorials use them), shows that
it goes wrong, and then that this project's functions do not. FAILURES says which test proves what; failures that other
files prove from both sides are named there and not repeated.
"""

from __future__ import annotations

import ast
import json
import math
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel
from transformers import (
    AutoModelForCTC,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
)

from asrdemo import decoding
from asrdemo.errors import CheckpointError, ConfigError, TrainingError
from asrdemo.finetune import base, data, evaluate, export, journal, modes, precheck_data, precheck_plan, prepare, train
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.objective import Ctc
from asrdemo.types import DecoderOptions, Emissions
from tests.fake_models import LOWER, UPPER, make, recipe, registry
from tests.test_finetune_stream import Tones, clip_pool
from tests.test_finetune_train import losses, metrics, tone_corpus, tuning_recipe

PRECHECK, TRAIN, PREPARE = "test_finetune_precheck.py", "test_finetune_train.py", "test_finetune_prepare.py"
WATCHDOG, BASE = "test_finetune_watchdog.py", "test_finetune_base.py"
FAILURES: dict[str, tuple[str, ...]] = {
    "a vocabulary of capitals, texts in small letters: all unknown": (
        "test_small_letters_for_a_vocabulary_of_capitals",
        f"{PRECHECK}::test_a_vocabulary_of_the_wrong_case_blocks_and_says_what_would_help",
    ),
    "collapse to blanks": (
        "test_a_model_that_only_says_blank_is_not_trained_to_the_end",
        f"{WATCHDOG}::test_a_healthy_run_raises_nothing",
    ),
    "a learning rate too high for a tuned base": ("test_the_rate_for_random_weights_undoes_a_tuned_base",),
    "more labels than frames: weights that are no numbers, a logged loss of 0.0": (
        "test_one_clip_with_more_labels_than_frames",
        f"{TRAIN}::test_one_bad_batch_is_left_out",
        f"{PRECHECK}::test_clips_with_more_labels_than_frames_are_listed",
    ),
    "a loss summed over the batch by default": ("test_the_loss_does_not_grow_with_the_batch",),
    "gradient accumulation multiplies the loss": (
        "test_a_batch_in_parts_has_the_loss_of_the_batch",
        f"{TRAIN}::test_micro_batches_change_nothing",
        f"{TRAIN}::test_two_processes_train_as_one_also_when_interrupted",
    ),
    "a batch of clips too short to mask": ("test_a_batch_of_clips_under_ten_frames",),
    "a pad token that is not the blank: labels dropped without a word": ("test_labels_that_are_the_blank",),
    "long clips run out of memory": (  # memory itself is the rehearsal's matter
        "test_a_long_clip_late_in_the_pass",
        f"{PRECHECK}::test_the_longest_batch_is_really_run_in_a_process_of_its_own",
    ),
    "after running out of memory another effective batch": (
        "test_out_of_memory_leaves_the_effective_batch_alone",
        f"{TRAIN}::test_out_of_memory_halves_what_goes_through_at_once_and_nothing_else",
    ),
    "the outputs of evaluation fill the memory": ("test_evaluation_keeps_no_outputs",),
    "prepared audio fills the disk": (
        "test_prepared_audio_is_as_small_as_it_was",
        f"{PREPARE}::test_memory_does_not_grow_with_the_corpus",
    ),
    "grouping by length reads every clip before the first step": ("test_the_first_batch_waits_for_no_other_clip",),
    "layers that are dropped have no gradient, and data parallel training stops": (
        "test_data_parallel_training_needs_every_gradient",
    ),
    "reentrant checkpointing": ("test_checkpointed_layers_learn",),
    "attention masks where there should be none, and the other way round": (
        "test_padding_changes_nothing_where_it_can_be_masked",
    ),
    "fp16 overflows": (  # on a CPU: the arithmetic, and that no run chooses it; its loss scaling needs a GPU
        "test_fp16_overflows_and_is_never_chosen",
        f"{BASE}::test_numbers_that_are_none_are_not_exported",
        f"{TRAIN}::test_a_run_that_only_sees_nan_stops_and_says_why",
    ),
    "another sampling rate": ("test_another_sampling_rate",),
    "random weights in place of trained ones": ("test_weights_that_are_missing",),
    "a vocabulary from test texts, the best weights chosen on the test set": (
        "test_the_test_set_has_no_say",
        f"{PRECHECK}::test_choosing_on_the_test_set_is_warned_about",
    ),
    "test clips, speakers or sentences in training": (
        "test_a_copied_clip_is_found_under_another_name",
        f"{TRAIN}::test_the_command_line_looks_the_recipe_over_first",
        f"{PRECHECK}::test_common_speakers_and_sentences_are_told_with_their_share",
    ),
    "a decoder that is not installed, a broken file": (
        "test_one_broken_file_stops_nothing",
        f"{PREPARE}::test_more_than_half_broken_stops_and_keeps_nothing",
    ),
    "an output layer wider than the vocabulary that a language model decodes": (
        "test_columns_of_the_output_are_those_of_the_vocabulary",
    ),
}

NOTHING = registry()
STILL = {"dropout": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
QUIET = dict.fromkeys((*modes.DROPOUTS[:5], "layerdrop", "mask_time_prob"), 0.0)


def test_the_table_is_true() -> None:
    """Every test it names exists, and every test here is in it."""
    here = Path(__file__)
    for tests in FAILURES.values():
        for name in tests:
            file, _, function = name.rpartition("::")
            assert function in named_tests(here.with_name(file) if file else here), f"{name} does not exist"
    named = {name for tests in FAILURES.values() for name in tests if "::" not in name}
    assert named == named_tests(here) - {"test_the_table_is_true"}
    assert len(FAILURES) == 23 and all(any("::" not in name for name in tests) for tests in FAILURES.values())


@cache
def named_tests(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


# What the tests share


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints with random weights."""
    home = tmp_path_factory.mktemp("zoo")
    return {
        "layer": make(home / "layer", adapter_attn_dim=4),
        "group": make(home / "group", "wav2vec2-group"),
        "upper": make(home / "upper", letters=UPPER),
        "headless": make(home / "headless", kind="ForPreTraining"),
    }


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone_corpus(tmp_path_factory.mktemp("tones") / "corpus", 8, 1)


def opened(folder: Path, texts: list[str] | None = None, **keys: Any) -> base.Start:
    """The base as a run opens it."""
    return base.open_base(recipe(folder, **keys), texts, NOTHING)


def plain(folder: Path, **config: Any) -> Any:
    """The base as transformers opens it."""
    return AutoModelForCTC.from_pretrained(folder, **config)


def wave(seconds: float = 0.6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, int(16000 * seconds)).astype(np.float32)


def clip(labels: Sequence[int] = (6, 7, 8), seconds: float = 0.6, seed: int = 0) -> dict[str, Any]:
    """As tutorials prepare one."""
    return {"input_values": wave(seconds, seed), "labels": list(labels)}


def collate(clips: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """As the tutorials' collator does it."""
    longest, most = max(len(c["input_values"]) for c in clips), max(len(c["labels"]) for c in clips)
    values = np.stack([np.pad(c["input_values"], (0, longest - len(c["input_values"]))) for c in clips])
    labels = [c["labels"] + [-100] * (most - len(c["labels"])) for c in clips]
    return {"input_values": torch.from_numpy(values), "labels": torch.tensor(labels)}


def trainer(model: Any, clips: Any, folder: Path, **arguments: Any) -> Trainer:
    """transformers' own, told as little as possible."""
    usual = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "logging_steps": 1, "save_strategy": "no"}
    quiet = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "seed": 1}
    extractor = Wav2Vec2FeatureExtractor()
    told = TrainingArguments(str(folder), **(usual | quiet | arguments))
    return Trainer(model, told, train_dataset=clips, data_collator=collate, processing_class=extractor)


def fit(model: Any, clips: Any, folder: Path, **arguments: Any) -> list[dict[str, Any]]:
    """What it logs, a line a step."""
    made = trainer(model, clips, folder, **arguments)
    made.train()
    return [line for line in made.state.log_history if "loss" in line]


def item(clips: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An effective batch as our stream gives it."""
    waves = [torch.from_numpy(data.standardised(c["input_values"])) for c in clips]
    return {"waves": waves, "labels": [torch.tensor(c["labels"]) for c in clips]}


def tuned(zoo: dict[str, Path], tones: Path, folder: Path, base: Path | None = None, **overrides: Any) -> str:
    """A run of ours over the tones; why it ended early."""
    made = tuning_recipe(tones, base or zoo["layer"], **overrides)
    return train.run(made, folder, folder.parent / "shards", NOTHING)


def limited(most: float) -> Callable[[torch.Tensor], None]:
    """A memory for so many seconds of audio, padding included."""

    def take(batch: torch.Tensor) -> None:
        if batch.numel() > most * 16000:
            raise torch.OutOfMemoryError("CUDA out of memory. (made up)")

    return take


def with_memory(model: Any, most: float) -> Any:
    """The model, which runs out of memory beyond `most` seconds."""
    take = limited(most)
    model.register_forward_pre_hook(lambda _, args, kw: take(kw["input_values"]), with_kwargs=True)
    return model


@pytest.fixture
def one_process() -> Iterator[None]:
    """Data parallel training with a single process, which is as strict about gradients as with many."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# Vocabulary and labels


def test_small_letters_for_a_vocabulary_of_capitals(zoo: dict[str, Path]) -> None:
    tokenizer = AutoProcessor.from_pretrained(zoo["upper"]).tokenizer
    assert set(tokenizer("hello you").input_ids) == {tokenizer.unk_token_id, tokenizer.word_delimiter_token_id}
    # the option that sounds like the cure writes capitals, whatever the vocabulary
    tokenizer = Wav2Vec2CTCTokenizer(str(zoo["layer"] / "vocab.json"), do_lower_case=True)
    assert set(tokenizer("hello").input_ids) == {tokenizer.unk_token_id}

    for start in (opened(zoo["upper"]), opened(zoo["layer"])):
        ids = base.labels("hello you", start)
        assert ids is not None and "".join(start.words.tokens[i] for i in ids) == "hello you"
        assert start.vocab["<unk>"] not in ids


def test_labels_that_are_the_blank(zoo: dict[str, Path], tmp_path: Path) -> None:
    """The letter `a` is the blank of the configuration: transformers leaves it out of every label."""
    folder = shutil.copytree(zoo["layer"], tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text()) | {"pad_token_id": LOWER.index("a")}
    (folder / "config.json").write_text(json.dumps(config))
    model, tokenizer = plain(folder).eval(), AutoProcessor.from_pretrained(folder).tokenizer
    with torch.no_grad():
        values = torch.from_numpy(wave())[None]
        cab, cb = (model(values, labels=torch.tensor([tokenizer(text).input_ids])).loss for text in ("cab", "cb"))
    assert torch.isfinite(cab) and cab == cb, "transformers tells them apart by now: is the guard still needed?"

    with pytest.raises(TrainingError, match="'<pad>' in column 0.*column 6"):
        opened(folder)
    start = opened(folder, ["a cab"], vocabulary="train")
    costs = [Ctc(start, "fp32").loss(start.model, item([clip(base.labels(t, start))]), [0], 1) for t in ("cab", "cb")]
    assert start.model.config.pad_token_id == 0 and costs[0] != costs[1]


def test_columns_of_the_output_are_those_of_the_vocabulary(zoo: dict[str, Path], tmp_path: Path) -> None:
    """From texts to a head, and from its output through a decoder of words."""
    letters = {token: i for i, token in enumerate(["|", *"abc", "[UNK]", "[PAD]"])}
    (tmp_path / "vocab.json").write_text(json.dumps(letters))
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), unk_token="[UNK]", pad_token="[PAD]")
    assert len(tokenizer) == len(letters) + 2  # <s> and </s>, which no text holds
    model = plain(zoo["layer"], vocab_size=len(tokenizer), ignore_mismatched_sizes=True).eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(wave())[None]).logits[0]
    with pytest.raises(ValueError, match=r"shape|vocab"):
        decoder_of(list(letters)).decode(logits.numpy())

    start = opened(zoo["headless"], ["cab ba", "a"])
    export.export(start.model, start, tmp_path / "out")
    processor, model = AutoProcessor.from_pretrained(tmp_path / "out"), plain(tmp_path / "out").eval()
    assert len(processor.tokenizer) == model.config.vocab_size == len(start.vocab) == len(start.words.tokens)
    with torch.no_grad():
        rows = model(torch.from_numpy(wave())[None]).logits[0].log_softmax(-1).numpy()
    heard = Emissions(rows, start.words, 0.02, 0.6)
    assert decoding.decode(heard, DecoderOptions(kind="beam"))
    decoder_of(list(start.vocab)).decode(rows)


def decoder_of(tokens: list[str]) -> Any:
    from pyctcdecode import build_ctcdecoder

    return build_ctcdecoder(["" if t in ("[PAD]", "<pad>") else " " if t == "|" else t for t in tokens])


# The loss


def test_one_clip_with_more_labels_than_frames(zoo: dict[str, Path], tones: Path, tmp_path: Path) -> None:
    model = plain(zoo["layer"], **QUIET)
    clips = [clip(seed=i) for i in range(3)]
    clips.insert(1, clip([6, 7] * 30))  # 60 labels, 29 frames
    logged = fit(model, clips, tmp_path / "plain", per_device_train_batch_size=1, train_sampling_strategy="sequential")
    assert [line["loss"] for line in logged[1:]] == [0.0] * 3, "nothing looks wrong"
    assert not any(torch.isfinite(w).all() for w in model.parameters() if w.requires_grad)

    corpus = shutil.copytree(tones, tmp_path / "corpus")
    rows = (corpus / "train.tsv").read_text().split("\n")
    rows[5] = rows[5].replace("\t\t", "\t").replace(" ", " BAD " * 30)
    (corpus / "train.tsv").write_text("\n".join(rows))
    tuned(zoo, corpus, tmp_path / "run", batches={"max_steps": 2})
    assert "tones/4.flac" in json.dumps(journal.read_json(tmp_path / "run" / "data.json")["infeasible"])
    assert all(math.isfinite(loss) and loss > 0 for loss in losses(tmp_path / "run"))
    assert all(torch.isfinite(w).all() for w in plain(tmp_path / "run" / "best").parameters())


def test_the_loss_does_not_grow_with_the_batch(zoo: dict[str, Path]) -> None:
    once, twice = [clip()], [clip(), clip()]
    model = plain(zoo["layer"], **QUIET)
    sums = [model(**collate(clips)).loss.item() for clips in (once, twice)]
    assert sums[1] == pytest.approx(2 * sums[0], rel=1e-4)

    start = opened(zoo["layer"], regularisation=STILL)
    ctc = Ctc(start, "fp32")
    shares = [ctc.loss(start.model, item(c), range(len(c)), 1).item() / ctc.count(item(c)) for c in (once, twice)]
    assert shares[1] == pytest.approx(shares[0], rel=1e-4) and start.model.config.ctc_loss_reduction == "mean"


def test_a_batch_in_parts_has_the_loss_of_the_batch(zoo: dict[str, Path], tmp_path: Path) -> None:
    """Four clips at once or one after the other, with a rate of nothing."""
    clips = [clip(seed=i) for i in range(4)]

    def ratio(model: Any) -> list[float]:
        """Loss and gradient norm in parts, of those at once."""
        cuts = (
            {"per_device_train_batch_size": 4},
            {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        )
        whole, parts = (fit(model, clips, tmp_path, learning_rate=0.0, **cut)[0] for cut in cuts)
        return [parts[key] / whole[key] for key in ("loss", "grad_norm")]

    assert ratio(plain(zoo["layer"], ctc_loss_reduction="mean", **QUIET)) == pytest.approx([4.0, 4.0], rel=1e-3)
    start = opened(zoo["layer"], regularisation=STILL)
    assert ratio(start.model) == pytest.approx([1.0, 1.0], rel=1e-3)  # even in a Trainer that is not ours


def test_a_batch_of_clips_under_ten_frames(zoo: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mask_length"):
        plain(zoo["layer"]).train()(torch.from_numpy(wave(0.19))[None])  # 9 frames

    with pytest.raises(ConfigError, match=r"min_seconds.*0\.3"):
        recipe(zoo["layer"], clips={"min_seconds": 0.19})
    masks = {"mask_time_prob": 0.5, "mask_time_length": 10}
    start = opened(zoo["layer"], regularisation={**STILL, **masks})
    assert start.model.config.mask_time_length == 10 and start.model.training
    assert torch.isfinite(Ctc(start, "fp32").loss(start.model, item([clip(seconds=0.3)]), [0], 1))
    folder = tone_corpus(tmp_path / "corpus", 3, 1)
    soundfile.write(folder / "clips" / "0.flac", wave(0.19) / 10, 16000)
    shard = prepared(folder, tmp_path)
    assert len(shard) == 2 and list(shard.dropped.values()) == [["0.flac"]]


def prepared(folder: Path, home: Path) -> prepare.Shard:
    made = recipe("x")
    return prepare.prepare(recipes.TrainCorpus("tones", str(folder)), made, home / "shards", workers=1)


# What trains, and how


@pytest.mark.parametrize(("token", "told"), [("<pad>", "collapsed to silence"), ("e", "A single letter is written")])
def test_a_model_that_only_says_blank_is_not_trained_to_the_end(
    zoo: dict[str, Path], tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, told: str
) -> None:
    """Or that says another token at every frame."""
    silent = shutil.copytree(zoo["layer"], tmp_path / "silent")
    weights = load_file(silent / "model.safetensors")
    weights["lm_head.weight"].zero_()
    weights["lm_head.bias"][LOWER.index(token)] = 20.0
    save_file(weights, silent / "model.safetensors", metadata={"format": "pt"})
    logged = fit(plain(silent), [clip(seed=i) for i in range(6)], tmp_path / "plain", per_device_train_batch_size=1)
    assert len(logged) == 6 and all(math.isfinite(line["loss"]) for line in logged), "it goes on as if nothing were"

    monkeypatch.setitem(train.PATIENCE, "tiny", 2)  # steps
    keys = {"batches": {"max_steps": 6}, "evaluation": {"every_steps": 1}, "optimiser": {"learning_rate": 1e-9}}
    assert tuned(zoo, tones, tmp_path / "run", silent, **keys) == "collapse"
    assert len(losses(tmp_path / "run")) == 3  # the least warm-up, thrice
    (alert,) = journal.lines(tmp_path / "run" / journal.ALERTS)
    assert told in alert["sentence"] and "another seed" in alert["sentence"]


def test_the_rate_for_random_weights_undoes_a_tuned_base(tmp_path: Path) -> None:
    """The demo checkpoint after four steps on an accent that is new to it: does it still hear the others?"""
    demo = Path(__file__).parent.parent / "demo"

    def read(start: base.Start, name: str, said: str) -> dict[str, Any]:
        samples, rate = soundfile.read(demo / "corpus" / "en" / "clips" / f"synthetic_en_{name}.mp3", dtype="float32")
        assert rate == 16000
        return {"input_values": data.standardised(samples), "labels": base.labels(said, start).tolist()}

    def forgotten(rate: float, warmup: int) -> tuple[str, float]:
        """(what precheck says of the rate, loss on the old accents after, of that before)."""
        start = opened(demo / "checkpoints" / "demo-en", optimiser={"learning_rate": rate})
        ctc = Ctc(start, "fp32")
        old = [read(start, "00142", "that is a bright idea"), read(start, "00220", "where can i buy a letter")]
        new = [read(start, "01097", "whose drawer is this"), read(start, "01094", "check the battery first")]

        def cost() -> float:
            with torch.no_grad():
                return float(ctc.loss(start.model.eval(), item(old), range(2), 1))

        before = cost()
        schedule = {"learning_rate": rate, "warmup_steps": warmup, "lr_scheduler_type": "constant_with_warmup"}
        fit(start.model, new * 4, tmp_path, per_device_train_batch_size=2, **schedule)
        return precheck_plan.rates(start)[0].state, cost() / before

    said, factor = forgotten(precheck_plan.HIGHEST["scratch"], 0)  # right for random weights
    assert said == "warn" and factor > 5
    usual = opened(demo / "checkpoints" / "demo-en").recipe.optimiser
    said, factor = forgotten(usual.learning_rate or 0.0, usual.warmup_steps or 0)
    assert said == "ok" and factor < 1.5


def test_data_parallel_training_needs_every_gradient(zoo: dict[str, Path], tmp_path: Path, one_process: None) -> None:
    def several_steps(model: Any) -> None:
        parallel = DistributedDataParallel(model.train())
        torch.manual_seed(0)
        for seed in range(8):
            parallel(torch.from_numpy(wave(seed=seed))[None]).logits.logsumexp(-1).sum().backward()

    folder = make(tmp_path / "dropping", layerdrop=0.5)  # the library's own is 0.1: it takes a little longer
    with pytest.raises(RuntimeError, match="unused parameters|finished reduction"):
        several_steps(plain(folder))

    several_steps(opened(folder).model)


def test_checkpointed_layers_learn(zoo: dict[str, Path], tmp_path: Path, one_process: None) -> None:
    def adapters(reentrant: bool | None) -> list[bool]:
        """Which of the adapters' weights get a gradient."""
        start = opened(zoo["layer"], mode="adapter")
        told = train._arguments(start.recipe, tmp_path, start, resume=False)
        kwargs = dict(told.activation_checkpointing_kwargs or {})
        start.model.activation_checkpointing_enable({"use_reentrant": reentrant} if reentrant else kwargs or None)
        parallel = DistributedDataParallel(start.model, find_unused_parameters=bool(told.ddp_find_unused_parameters))
        parallel(torch.from_numpy(wave())[None]).logits.logsumexp(-1).sum().backward()
        return [w.grad is not None for n, w in start.model.named_parameters() if "adapter_layer" in n]

    assert not any(adapters(reentrant=True)), "what stays as it is has no gradient to hand on"
    assert all(adapters(reentrant=None))


def test_fp16_overflows_and_is_never_chosen(zoo: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    start = opened(zoo["layer"])
    with torch.no_grad():
        for layer in start.model.wav2vec2.encoder.layers:  # as large as those of large models become
            layer.feed_forward.output_dense.weight.mul_(1e7)
    start.model.eval()

    def finite(precision: str) -> bool:
        with torch.inference_mode(), evaluate.autocast(torch.device("cpu"), precision):
            return bool(torch.isfinite(start.model(torch.from_numpy(wave())[None]).logits).all())

    assert [finite(p) for p in ("fp16", "bf16", "fp32")] == [False, True, True]
    assert evaluate.precision(start.recipe) in ("bf16", "fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert evaluate.precision(start.recipe) == "bf16"
    # a T4 or V100 has no bf16, but torch says yes: it would be emulated, and slow
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert evaluate.precision(start.recipe) == "fp32"


# Batches and memory


def test_a_long_clip_late_in_the_pass(zoo: dict[str, Path], tmp_path: Path) -> None:
    """Memory for 8 s of audio; batches by clips hold four of them, and one is 3.9 s long."""
    seconds = [*np.linspace(1.0, 1.6, 15), 3.9]
    clips = [clip(seconds=s, seed=i) for i, s in enumerate(seconds)]
    done: list[int] = []
    model = with_memory(plain(zoo["layer"]), 8.0)
    model.register_forward_hook(lambda *_: done.append(1))
    with pytest.raises(torch.OutOfMemoryError):
        fit(model, clips, tmp_path, train_sampling_strategy="sequential")
    assert len(done) == 3, "after most of the pass"

    pool, take = clip_pool(seconds), limited(8.0)
    made = recipe(zoo["layer"], clips={"max_seconds": 4.0}, batches={"seconds": 8.0})
    for number in range(5):
        batches = data.plan(pool, made, True, number)
        assert sorted(i for batch in batches for i in batch) == list(range(16))
        for batch in batches:
            take(torch.empty(len(batch), int(16000 * pool.seconds[batch].max())))
    with pytest.raises(ConfigError, match="a batch must hold the longest clip"):
        recipe(zoo["layer"], clips={"max_seconds": 9.0}, batches={"seconds": 8.0})


def test_out_of_memory_leaves_the_effective_batch_alone(zoo: dict[str, Path], tmp_path: Path) -> None:
    """Seven clips of half a second a step, and memory for six."""
    clips = [clip(seconds=0.5, seed=i) for i in range(14)]
    made = trainer(
        with_memory(plain(zoo["layer"]), 3.0), clips, tmp_path, per_device_train_batch_size=7, auto_find_batch_size=True
    )
    made.train()
    assert made.state.train_batch_size == 6 and made.args.gradient_accumulation_steps == 1
    assert made.state.global_step == 3, "three steps of six where two of seven were asked for"

    start = opened(zoo["layer"], regularisation=STILL)
    ctc, whole = Ctc(start, "fp32"), item(clips[:7])
    ctc.loss(start.model, whole, range(7), 1).backward()
    expected = start.model.lm_head.weight.grad.clone()
    start.model.zero_grad()
    with_memory(start.model, 3.0)
    with pytest.raises(torch.OutOfMemoryError):
        ctc.loss(start.model, whole, range(7), 1)
    parts = data.micro_batches([len(w) for w in whole["waves"]], 2.0)  # half, as the loop does
    for rows in parts:
        ctc.loss(start.model, whole, rows, 1).backward()
    assert sorted(i for rows in parts for i in rows) == list(range(7))
    torch.testing.assert_close(start.model.lm_head.weight.grad, expected)


def test_evaluation_keeps_no_outputs(zoo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 12
    clips = [clip(seconds=1.0, seed=i) for i in range(count)]
    found = trainer(plain(zoo["layer"]), None, tmp_path, per_device_eval_batch_size=2).predict(clips).predictions
    assert found.shape == (count, 49, len(LOWER)) and found.nbytes == 4 * found.size, "a number for every letter"

    monkeypatch.setattr(evaluate, "BATCH_SECONDS", 2.0)
    start, alive, most = opened(zoo["layer"]), [], []
    start.model.register_forward_hook(lambda module, given, out: alive.append(weakref.ref(out.logits)))
    start.model.register_forward_pre_hook(lambda *_: most.append(sum(ref() is not None for ref in alive)))
    score = evaluate.score(start.model, start, Tones(np.full(count, 16000), ("",) * count), "fp32")
    assert len(score.hypotheses) == count and len(alive) == count / 2 and max(most) <= 1


def test_prepared_audio_is_as_small_as_it_was(tones: Path, tmp_path: Path) -> None:
    """16 bits a sample, where tutorials keep 32 of the normalised audio."""
    extractor, files = Wav2Vec2FeatureExtractor(), sorted((tones / "clips").iterdir())
    theirs = datasets.Dataset.from_dict({"path": [str(file) for file in files]}).map(
        lambda row: {"input_values": extractor(soundfile.read(row["path"])[0], sampling_rate=16000).input_values[0]},
        cache_file_name=str(tmp_path / "theirs.arrow"),
    )
    samples = sum(soundfile.info(file).frames for file in files)
    ours = prepared(tones, tmp_path)
    assert len(theirs) == len(ours) == len(files) and sum(ours.lengths) == samples
    assert (tmp_path / "theirs.arrow").stat().st_size > 4 * samples
    assert sum(file.stat().st_size for file in ours.folder.iterdir()) < 2.1 * samples
    read = soundfile.read(tones / "clips" / ours.names[0], dtype="float32")[0]
    np.testing.assert_array_equal(ours.samples(0), read)


def test_the_first_batch_waits_for_no_other_clip(zoo: dict[str, Path], tmp_path: Path) -> None:
    count = 100

    class Decoded(torch.utils.data.Dataset):
        """Clips that are decoded when they are asked for."""

        seen = 0

        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int) -> dict[str, Any]:
            if not 0 <= i < count:
                raise IndexError(i)
            Decoded.seen += 1
            return clip(seconds=0.4 + i / count)

    made = trainer(plain(zoo["layer"]), Decoded(), tmp_path, train_sampling_strategy="group_by_length")
    next(iter(made.get_train_dataloader()))
    assert Decoded.seen >= count + 4

    class Counted(Tones):
        seen: list[int] = []

        def samples(self, i: int) -> np.ndarray:
            self.seen.append(i)
            return super().samples(i)

    start, source = opened(zoo["layer"]), recipe("x").train[0]
    shard = Counted((np.linspace(0.4, 1.4, count) * 16000).astype(np.int64), ("",) * count)
    made_up = recipe("x", clips={"max_seconds": 4.0}, batches={"seconds": 8.0})
    pool = data.pool([shard], [source], start)
    first = next(iter(data.Batches(pool, made_up, start, data.Phase(made_up))))
    assert sorted(Counted.seen) == sorted(first["clips"]) and 5 <= len(first["clips"]) <= 20
    assert max(pool.seconds[first["clips"]]) < 1.5 * min(pool.seconds[first["clips"]]), "of like length all the same"


def test_padding_changes_nothing_where_it_can_be_masked(zoo: dict[str, Path]) -> None:
    """What is made of a clip of 0.6 s beside one of 1.2 s."""
    short, long = wave(0.6), wave(1.2, 1)
    extractor = Wav2Vec2FeatureExtractor()  # its default is no mask

    def heard(model: Any, **inputs: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model.eval()(**inputs).logits[0, :29]

    def off(model: Any, padded: Any) -> float:
        alone = heard(model, input_values=torch.from_numpy(data.standardised(short))[None])
        return float((heard(model, **padded) - alone).abs().max() / alone.std())

    theirs = extractor([short, long], sampling_rate=16000, padding=True, return_tensors="pt")
    assert set(theirs) == {"input_values"} and off(plain(zoo["layer"]), theirs) > 0.1
    waves = [torch.from_numpy(data.standardised(w)) for w in (short, long)]
    layer, group = opened(zoo["layer"]), opened(zoo["group"])
    assert off(layer.model, data.pad(waves, layer.masks)) < 1e-3

    masked = off(group.model, data.pad(waves, masks=True))
    assert masked > 0.1 and not group.masks, "a mask comes too late for a front end that has heard the padding"
    same = [waves[0], torch.from_numpy(data.standardised(wave(0.6, 2)))]
    assert off(group.model, data.pad(same, group.masks)) < 1e-3, "equal lengths are what helps"


# Clips, weights and test sets


def test_another_sampling_rate(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = tone_corpus(tmp_path / "corpus", 2, 1)
    t = np.arange(8000) / 8000
    soundfile.write(folder / "clips" / "0.flac", 0.3 * np.sin(2 * np.pi * 440 * t), 8000)
    samples, _ = soundfile.read(folder / "clips" / "0.flac", dtype="float32")
    found = AutoProcessor.from_pretrained(zoo["layer"])(audio=samples, return_tensors="pt").input_values
    assert hertz(found[0].numpy()) == pytest.approx(880, abs=3), "an octave too high, in half the time"

    ours = prepared(folder, tmp_path)
    clip = ours.samples(list(ours.names).index("0.flac"))
    assert len(clip) == 16000 and hertz(clip) == pytest.approx(440, abs=3)
    wrong = shutil.copytree(zoo["layer"], tmp_path / "wrong")
    for file in wrong.glob("p*processor_config.json"):
        file.write_text(file.read_text().replace("16000", "8000"))
    with pytest.raises(CheckpointError, match="hears 8000 Hz"):
        opened(wrong)


def hertz(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax()) * 16000 / len(samples)


def test_weights_that_are_missing(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(zoo["layer"], tmp_path / "copy")
    lost = "wav2vec2.encoder.layers.1.feed_forward.output_dense.weight"
    weights = load_file(folder / "model.safetensors")
    trained = weights.pop(lost)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    torch.manual_seed(0)
    twice = [plain(folder).get_parameter(lost) for _ in range(2)]
    assert not torch.equal(*twice) and not torch.allclose(twice[0], trained), "random, and nobody is stopped"

    with pytest.raises(TrainingError, match="output_dense.*random values"):
        opened(folder)


def test_the_test_set_has_no_say(
    zoo: dict[str, Path], tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the vocabulary nor in what is kept."""
    # the best of ten equally good checkpoints on 40 sentences looks better than it is
    rng = np.random.default_rng(0)
    measured = rng.binomial(200, 0.2, (500, 10, 2)) / 200  # draws, checkpoints, (dev, test)
    best_on_test, best_on_dev = measured[..., 1].min(1), measured[np.arange(500), measured[..., 0].argmin(1), 1]
    assert best_on_test.mean() < 0.17 and best_on_dev.mean() == pytest.approx(0.2, abs=0.005)

    folder = shutil.copytree(tones, tmp_path / "corpus")
    table = (folder / "train.tsv").read_text()
    (folder / "test.tsv").write_text(table.replace("BAD", "Y\u00dd"))
    letters = {c for line in table.replace("BAD", "Y\u00dd").lower().split("\n")[1:-1] for c in line.split("\t")[2]}
    assert "\u00fd" in letters  # of which a vocabulary of all splits would have a column
    scored: list[tuple[str, str]] = []
    real = evaluate.score

    def spy(model: Any, start: base.Start, shard: Any, *more: Any) -> evaluate.Score:
        scored.append((shard.id, "".join(start.vocab)))
        return real(model, start, shard, *more)

    monkeypatch.setattr(evaluate, "score", spy)
    test = [{"id": "exam", "folder": str(folder), "split": "test"}]
    keys = {"batches": {"max_steps": 3}, "evaluation": {"every_steps": 1}, "optimiser": {"learning_rate": 1e-9}}
    for vocabulary in ("reuse", "train"):
        scored.clear()
        made = tuning_recipe(folder, zoo["layer"], test=test, vocabulary=vocabulary, **keys)
        train.run(made, tmp_path / vocabulary, tmp_path / "shards", NOTHING)
        exams = [at for at, (name, _) in enumerate(scored) if name == "exam"]
        assert not any("\u00fd" in letters for _, letters in scored)
        assert not any("exam" in key for record in metrics(tmp_path / vocabulary) for key in record)
        before = [1] if vocabulary == "reuse" else []  # a new head has nothing to say yet
        assert exams == [*before, len(scored) - 1] and len(scored) > 4, "once before and once after"


def test_a_copied_clip_is_found_under_another_name(zoo: dict[str, Path], tones: Path, tmp_path: Path) -> None:
    """Learnt by heart, it makes the dev set look better than any new voice would be."""
    folder = shutil.copytree(tones, tmp_path / "corpus")
    for name, seed in (("2.flac", 2), ("3.flac", 3), ("new.wav", 4)):
        soundfile.write(folder / "clips" / name, wave(seed=seed) / 10, 16000)
    soundfile.write(folder / "clips" / "copy.wav", *soundfile.read(folder / "clips" / "3.flac", dtype="int16"))
    (folder / "dev.tsv").write_text("client_id\tpath\tsentence\nx\tcopy.wav\tAbba dab\ny\tnew.wav\tBad ab\n")
    columns = [pd.read_csv(folder / f"{split}.tsv", sep="\t")[["client_id", "path"]] for split in ("train", "dev")]
    assert not np.isin(*columns).any(), "neither names nor speakers tell"
    made = recipe("x", train=[{"id": "tones", "folder": str(folder)}], dev=[{"id": "tones", "folder": str(folder)}])
    parts, rows = precheck_data.gather(made, tmp_path / "shards", lambda *told: None)
    heard, copied = parts[0].shard, parts[1].shard
    model = plain(zoo["layer"], ctc_loss_reduction="mean", **QUIET)
    said = ([6, 7, 9, 6], [7, 8, 9, 7])
    clips = [{"input_values": data.standardised(heard.samples(3 - i)), "labels": said[i]} for i in range(2)]
    fit(model, clips * 10, tmp_path, per_device_train_batch_size=2, learning_rate=3e-3, lr_scheduler_type="constant")

    def cost(i: int) -> float:
        with torch.no_grad():
            clip = {"input_values": data.standardised(copied.samples(i)), "labels": said[0]}
            return float(model.eval()(**collate([clip])).loss)

    names = list(copied.names)
    assert cost(names.index("copy.wav")) < 0.3 * cost(names.index("new.wav"))

    rows += precheck_data.rows(parts, made)
    (found,) = [row for row in rows if row.state == "block"]
    assert found.check == "same clips" and found.names == ("tones/copy.wav",)


def test_one_broken_file_stops_nothing(tmp_path: Path) -> None:
    folder = tone_corpus(tmp_path / "corpus", 4, 1)
    (folder / "clips" / "2.flac").write_bytes(b"fLaC, and then nothing that could be heard")
    audio = datasets.Dataset.from_dict({"audio": [str(folder / "clips" / f"{i}.flac") for i in range(4)]})
    with pytest.raises((ImportError, RuntimeError)):  # torchcodec is missing, or cannot read it
        list(audio.cast_column("audio", datasets.Audio()))

    ours = prepared(folder, tmp_path)
    assert list(ours.names) == ["0.flac", "1.flac", "3.flac"] and list(ours.dropped.values()) == [["2.flac"]]
    assert all(np.isfinite(ours.samples(i)).all() for i in range(3))
