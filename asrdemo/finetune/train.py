"""Train a CTC checkpoint from a recipe: one linear program.

    python -m asrdemo.finetune.train recipes/demo-en.yaml --run .asrdemo/runs/demo-en --corpus-root DIR

The run directory holds recipe.json, vocab.json, data.json (hours, clips left out), metrics.jsonl, examples.jsonl,
checkpoint-*/ (to resume from) and best/ (the best weights on dev so far, loadable by AutoModelForCTC).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import transformers
from transformers import TrainingArguments, Wav2Vec2ForCTC

from asrdemo import corpus
from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import data, loop
from asrdemo.finetune import model as models
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.prepare import Shard, prepare

ENDLESS = 10_000_000  # steps; the clock ends the run


def run(
    recipe: recipes.Recipe, folder: Path, shards: Path, *, resume: bool = False, init_from: Path | None = None
) -> Path:
    """Train in `folder`, with prepared audio under `shards`, and return the folder of the best checkpoint.

    resume goes on from the newest checkpoint of the folder. init_from starts a new run from the weights of a checkpoint
    folder of the same shape and vocabulary.
    """
    checkpoint = loop.last_checkpoint(folder)
    if checkpoint and not resume:
        raise TrainingError(f"The run directory {folder.name!r} already holds a run; resume it or name another.")
    if resume and not checkpoint:
        raise TrainingError(f"The run directory {folder.name!r} holds no checkpoint to resume from.")
    for place in [*(c.folder for c in recipe.train), *(c.folder for c in recipe.dev)]:
        corpus.open_corpus(recipes.resolve_folder(place))  # before hours of another are decoded
    arguments = _arguments(recipe, folder)  # joins the other processes, where there are any
    first = arguments.process_index == 0
    transformers.set_seed(recipe.seed)
    torch.set_num_threads(recipe.batches.threads)

    with arguments.main_process_first(desc="preparing audio"):
        train = [prepare(c, recipe, shards, _print_progress) for c in recipe.train]
        dev = [prepare(c, recipe, shards, _print_progress) for c in recipe.dev]
        folder.mkdir(parents=True, exist_ok=True)  # only now: a corpus that is missing leaves no empty run behind
        vocab = _vocabulary(folder, train, resume)
    model = _model(recipe, vocab, init_from)
    clips = data.pool(train, [c.weight for c in recipe.train], vocab, model.config)
    if not clips.clips:
        raise TrainingError(f"No clip is left to train on; {len(clips.infeasible)} have labels that do not fit.")
    if first:
        _describe(folder, recipe, clips, dev)

    state: dict = {"seconds": 0.0, "settled": False}
    if checkpoint:
        state = json.loads((checkpoint / "run.json").read_text(encoding="utf-8"))
    clock = loop.Clock(recipe.batches.max_minutes, state["seconds"], recipe.batches.max_steps)
    phase = data.Phase(recipe)
    phase.settled = state["settled"] or init_from is not None
    average = loop.Average(model, recipe.evaluation.average_decay)
    if checkpoint:
        average.load(checkpoint / "average.safetensors")
    start = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    batches = data.Batches(clips, recipe, phase, start, (arguments.process_index, arguments.world_size))

    trainer = loop.CtcTrainer(
        model=model, args=arguments, train_dataset=batches,
        callbacks=[loop.RunCallback(folder, recipe, clock, phase, average, batches)],
        run=folder, recipe=recipe, vocab=vocab, dev=dev, clock=clock, average=average,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return folder / "best"


def _vocabulary(folder: Path, train: list[Shard], resume: bool) -> dict[str, int]:
    """From the training texts; a resumed run must find the one it began with."""
    vocab = models.vocabulary([text for shard in train for text in shard.texts])
    path = folder / "vocab.json"
    if resume and json.loads(path.read_text(encoding="utf-8")) != vocab:
        raise TrainingError("The training texts give another vocabulary than the one this run began with.")
    loop.write_json(path, vocab)
    return vocab


def _model(recipe: recipes.Recipe, vocab: dict[str, int], init_from: Path | None) -> Wav2Vec2ForCTC:
    """The recipe's model, with random weights or those of an earlier checkpoint."""
    model = models.build(recipe, vocab)
    models.freeze_convolutions(model, recipe.model.frozen_convolutions)
    if init_from is None:
        return model
    if json.loads((init_from / "vocab.json").read_text(encoding="utf-8")) != vocab:
        raise TrainingError(f"The checkpoint {init_from.name!r} has another vocabulary than the training texts give.")
    earlier = Wav2Vec2ForCTC.from_pretrained(init_from, dtype=torch.float32)
    model.load_state_dict(earlier.state_dict())
    return model


def _describe(folder: Path, recipe: recipes.Recipe, clips: data.Pool, dev: list[Shard]) -> None:
    """Write what the run is made of before it starts."""
    sets = {s.id: {"clips": len(s), "hours": round(s.hours, 3), "dropped": s.dropped} for s in clips.shards}
    held = {s.id: {"clips": len(s), "hours": round(s.hours, 3)} for s in dev}
    loop.write_json(folder / "recipe.json", recipes.as_dict(recipe))
    loop.write_json(folder / "data.json", {"train": sets, "dev": held, "infeasible": clips.infeasible})
    for name, s in (sets | {f"dev {name}": s for name, s in held.items()}).items():
        print(f"{name}: {s['clips']} clips, {s['hours']} h")
    print(f"in all {len(clips.clips)} clips to train on, {len(clips.infeasible)} infeasible", flush=True)


def _arguments(recipe: recipes.Recipe, folder: Path) -> TrainingArguments:
    """Trainer's settings; evaluation, checkpoints and the end come from RunCallback."""
    o = recipe.optimiser
    return TrainingArguments(
        output_dir=str(folder), max_steps=ENDLESS, seed=recipe.seed, report_to="none", disable_tqdm=True,
        bf16=recipe.batches.precision == "bf16", use_cpu=not torch.cuda.is_available(),
        learning_rate=o.learning_rate, weight_decay=o.weight_decay, adam_beta2=o.beta2, max_grad_norm=o.max_grad_norm,
        optim="adamw_torch_fused", logging_steps=recipe.evaluation.log_steps, logging_nan_inf_filter=False,
        eval_strategy="no", save_strategy="no", save_total_limit=2, ignore_data_skip=True, remove_unused_columns=False,
        label_names=["labels"], dataloader_num_workers=0,
    )  # fmt: skip


def _print_progress(done: int, total: int, note: str) -> None:
    print(f"{note}: {done}/{total}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.train", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--shards", type=Path, default=Path(".asrdemo/shards"), help="where prepared audio is kept")
    parser.add_argument("--corpus-root", help="sets $CORPUS_ROOT, which recipes may use in corpus folders")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run directory")
    parser.add_argument("--init-from", type=Path, help="start from the weights of this checkpoint folder")
    parser.add_argument("--smoke", action="store_true", help="apply the recipe's smoke section: tiny and quick")
    parser.add_argument("--minutes", type=float, help="wall-clock budget instead of the recipe's")
    args = parser.parse_args(argv)
    if args.corpus_root:
        os.environ["CORPUS_ROOT"] = args.corpus_root
    try:
        overrides = {"batches": {"max_minutes": args.minutes}} if args.minutes else None
        recipe = recipes.load(args.recipe, args.smoke, overrides)
        best = run(recipe, args.run, args.shards, resume=args.resume, init_from=args.init_from)
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"best checkpoint: {best}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
