"""Fine-tuning, in audio seconds a second: `finetune` beside the transformers example's settings, same base and clips.

The plain way is the CTC example as published: Trainer, random batches of 8 clips, padded, float32 (and bf16 where the
processor has it), frozen front end, audio already in memory. Ours is the whole loop on prepared shards: batches by
audio seconds and length, precision `auto`, frozen front end, its augmentation left out as the example has none. Each
run is a program of its own; counted is the audio itself, not the padding, between the third step and the last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from asrdemo.errors import ToolError
from asrdemo.finetune import journal
from benchmarks.common import ROOT, Options, interleaved, real_clips, spread, table
from benchmarks.prepare import corpus
from benchmarks.throughput import DEMO, base_shape

CLIPS, WARM, STEPS = 240, 2, 12  # recordings; steps not counted; steps in all
BATCH = 8  # clips, of the plain way
BASE_STEPS = 6

PLAIN = """
import json, sys, time
from pathlib import Path
import torch
from transformers import AutoModelForCTC, Trainer, TrainerCallback, TrainingArguments
from asrdemo import registry
from asrdemo.finetune import base, prepare, recipe
from asrdemo.finetune.data import pad, standardised
file, shards, kind, steps, out, clips = sys.argv[1:]
chosen, shards, steps = recipe.load(Path(file)), Path(shards), int(steps)
shard = prepare.prepare(chosen.train[0], chosen, shards)
start = base.open_base(chosen, list(shard.texts), registry.Registry({}))
usual = {"dtype": torch.float32, "ctc_loss_reduction": "mean", "ctc_zero_infinity": True, "layerdrop": 0.0}
model = AutoModelForCTC.from_pretrained(chosen.base.checkpoint, **usual)
model.freeze_feature_encoder()
labels = [base.labels(text, start) for text in shard.texts]
fit = [i for i, ids in enumerate(labels) if ids is not None and len(ids)]
rows = [{"input_values": standardised(shard.samples(i)), "labels": labels[i]} for i in fit]
heard = []
def collate(batch):
    made = pad([torch.from_numpy(row["input_values"]) for row in batch], start.masks)
    longest = max(len(row["labels"]) for row in batch)
    made["labels"] = torch.full((len(batch), longest), -100)
    for i, row in enumerate(batch):
        made["labels"][i, : len(row["labels"])] = torch.from_numpy(row["labels"])
    heard.append(sum(len(row["input_values"]) for row in batch) / 16000)
    return made
times = []
class Clock(TrainerCallback):
    def on_step_end(self, *_, **__):
        times.append((time.perf_counter(), sum(heard)))
arguments = TrainingArguments(
    out, max_steps=steps, per_device_train_batch_size=int(clips), learning_rate=1e-5, report_to="none",
    disable_tqdm=True, save_strategy="no", remove_unused_columns=False, bf16=kind == "bf16",
    use_cpu=not torch.cuda.is_available(),
)
Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Clock()]).train()
print(json.dumps(times))
"""


def report(options: Options) -> str:
    """Markdown: one table for demo-en, one for a wav2vec2-base shape."""
    recordings = [path for path, _ in real_clips(CLIPS)]
    sentences = [sentence for _, sentence in real_clips(CLIPS)]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        folder = corpus(place / "corpus", recordings, len(recordings), sentences)
        from asrdemo import audio

        shape = base_shape(place / "base", [audio.read_clip(path) for path in recordings[:4]])
        parts = [
            f"{len(recordings)} recordings; ours 64 s of audio a step, the example {BATCH} clips.",
            "### demo-en (6.5 M parameters, layer norm)",
            compare(place / "demo", DEMO, folder, STEPS, options),
            "### wav2vec2-base shape (95 M parameters, group norm, random encoder)",
            compare(place / "shape", shape, folder, BASE_STEPS, options),
        ]
    return "\n\n".join(parts)


def compare(place: Path, checkpoint: Path, folder: Path, steps: int, options: Options) -> str:
    """Ours and the plain way, in both precisions."""
    place.mkdir()
    recipe = place / "recipe.yaml"
    recipe.write_text(json.dumps(_recipe(checkpoint, folder, steps, options.threads)), encoding="utf-8")
    rates: dict[str, list[float]] = {}

    def work(name: str) -> None:
        rates.setdefault(name, []).append(
            _ours(recipe, place) if name == "ours" else _plain(recipe, place, name, steps)
        )

    ways = ["fp32", "bf16", "ours"]
    interleaved({name: lambda name=name: work(name) for name in ways}, options.runs)  # type: ignore[misc]
    labels = {"fp32": "Trainer as in the example, fp32", "bf16": "the same, bf16", "ours": "`finetune`"}
    rows = [
        [labels[n], spread(rates[n], 1), spread([o / r for o, r in zip(rates[n], rates["fp32"], strict=True)])]
        for n in ways
    ]
    return table(["", "audio s / s", "ratio"], rows)


def _recipe(checkpoint: Path, folder: Path, steps: int, threads: int) -> dict:
    still = {"dropout": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    return {
        "name": "benchmark", "base": {"checkpoint": str(checkpoint)},
        "train": [{"id": "c", "folder": str(folder)}], "dev": [{"id": "c", "folder": str(folder), "split": "dev"}],
        "batches": {"seconds": 64.0, "max_steps": steps, "max_minutes": 60.0, "threads": threads},
        "augment": {"speed": [1, 1], "gain_db": [0, 0], "noise_prob": 0, "filter_prob": 0, "reverb_prob": 0},
        "optimiser": {"learning_rate": 1e-5, "frozen_convolutions": -1}, "regularisation": still,
        "evaluation": {"log_steps": 1, "every_minutes": 1000.0, "save_minutes": 1000.0, "average_decay": 0.0},
    }  # fmt: skip


def _ours(recipe: Path, place: Path) -> float:
    """Audio seconds a second by the run's own metrics."""
    run = place / "run"
    shutil.rmtree(run, ignore_errors=True)
    _called(
        ["-m", "asrdemo.finetune.train", str(recipe), "--run", str(run), "--shards", str(place / "shards"), "--anyway"]
    )
    logged = [m for m in journal.lines(run / journal.METRICS) if "loss" in m]
    first, last = logged[WARM], logged[-1]
    return 3600 * (last["audio_hours"] - first["audio_hours"]) / (last["seconds"] - first["seconds"])


def _plain(recipe: Path, place: Path, kind: str, steps: int) -> float:
    """Audio seconds a second of the plain way."""
    said = _called(
        ["-c", PLAIN, str(recipe), str(place / "shards"), kind, str(steps), str(place / "plain"), str(BATCH)]
    )
    times = json.loads(said.strip().splitlines()[-1])
    (began, before), (ended, after) = times[WARM], times[-1]
    return (after - before) / (ended - began)


def _called(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"A training program ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout
