"""Train a CTC checkpoint from a recipe: one linear program.

    python -m asrdemo.finetune.train recipes/demo-en.yaml --run .asrdemo/runs/demo-en --corpus-root DIR

The run directory holds recipe.json, vocab.json, data.json (hours, clips left out), provenance.json, before.json and
after.json (error rates of the base and of the best weights; clip by clip in before.parquet and after.parquet),
metrics.jsonl, samples.jsonl, alerts.jsonl, training_log.csv, curves.svg, tensorboard/ (where it is installed; trackio
keeps its own), checkpoint-*/ (to resume from) and best/ (the best weights on dev so far, loadable by AutoModelForCTC).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import math
import os
import shutil
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import TrainerCallback, TrainingArguments
from transformers.integrations import TensorBoardCallback

from asrdemo import registry, settings
from asrdemo.decoding import open_language_model
from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import (
    base,
    card,
    contents,
    data,
    evaluate,
    journal,
    loop,
    precheck,
    pretrain,
    provenance,
    scores,
)
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.clock import Average, Clock
from asrdemo.finetune.live import Live
from asrdemo.finetune.objective import Ctc, Pretraining
from asrdemo.finetune.prepare import Shard, prepare
from asrdemo.finetune.watchdog import Watchdog
from asrdemo.types import DecoderOptions, Progress

ENDLESS = 10_000_000  # steps; the clock ends the run
WAIT = 4 * 3600  # seconds that processes wait for the first one, which alone scores the base, however long it takes
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
HEARS = ("tiny", "finetuned")  # kinds of base that are scored before they are changed
PATIENCE = {"scratch": 3000, "pretrained": 1000, "finetuned": 200, "tiny": 200}
"""Steps before which an output of blanks alone is normal, by kind of base; never less than three warm-ups."""


def run(
    recipe: recipes.Recipe,
    folder: Path,
    shards: Path,
    known: registry.Registry,
    *,
    resume: bool = False,
    live: Live | None = None,
) -> str:
    """Train in `folder`, with prepared audio under `shards`; returns why it ended early, or "".

    resume goes on from the newest checkpoint of the folder. live: who watches, and may ask to stop. Raises
    AsrDemoError.
    """
    tell: Progress = live.report if live else (lambda done, total, note: None)
    checkpoint = _checkpoint(folder, resume)
    torch.set_num_threads(recipe.batches.threads or max(1, CORES // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    train, dev, test = _prepared(recipe, shards, tell)
    folder.mkdir(parents=True, exist_ok=True)  # only now: a corpus that is missing leaves no empty run behind
    start = _start(recipe, (text for shard in train for text in shard.texts), known)
    recipe = start.recipe
    arguments = _arguments(recipe, folder, start, resume)  # joins the other processes, where there are any
    start.model.to(arguments.device)  # before it is copied to average, and scored
    first = arguments.process_index == 0
    begun = _begun_with(start, {"train": train, "dev": dev, "test": test})
    if resume:
        _same_as_before(folder, start, begun)
    clips = data.pool(train, recipe.train, start)
    running = _running(recipe, folder, start, clips, dev, checkpoint, arguments)
    over = bool(running.stopped) or running.finished(_step(checkpoint))  # it was killed while its outcome was scored
    search = _search(recipe, known)
    if live:
        running.stop_asked = lambda: live.stop_asked
        running.tell = lambda step, note: live.progress(step, recipe.batches.max_steps, note, running.clock.left(step))
    if first:
        journal.write_json(folder / "vocab.json", dict(start.vocab))
        _describe(folder, recipe, clips, dev, arguments.world_size, begun)
        facts = provenance.describe(start, running.precision, arguments.world_size)
        journal.write_json(folder / provenance.FILE, facts)
    if first and checkpoint is None and start.kind in HEARS:
        _score(folder / "before.json", start, running.precision, search, [*dev, *test], tell)
    objective = (Pretraining if recipe.mode == "pretrain" else partial(Ctc, search=search))(start, running.precision)
    trainer = loop.CtcTrainer(
        model=start.model, args=arguments, train_dataset=running.batches, run=running, objective=objective,
        callbacks=[*(_tensorboard(folder, _step(checkpoint), resume) if first else ()), loop.Minder(running)],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)  # loop.Minder tells what the journal has
    transformers.set_seed(recipe.seed + arguments.process_index)  # after Trainer's own: masks differ between processes
    if not over:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    done = not running.stop_asked() and (folder / "best").is_dir()
    if first and done and recipe.mode != "pretrain":
        best = base.open_base(_as_base(recipe, folder / "best"), None, known)
        best.model.to(arguments.device)
        _score(folder / "after.json", best, running.precision, search, [*dev, *test], tell)
    return running.stopped


def _start(recipe: recipes.Recipe, texts: Iterable[str], known: registry.Registry) -> base.Start:
    """What the run begins with; pre-training needs no texts."""
    if recipe.mode == "pretrain":
        return pretrain.open_base(recipe, known)
    return base.open_base(recipe, texts, known)


def _as_base(recipe: recipes.Recipe, folder: Path) -> recipes.Recipe:
    """The recipe of a run that would begin with what this one made, adapters merged."""
    found = recipes.Base(str(folder))
    return dataclasses.replace(recipe, base=found, scratch=None, mode="full", vocabulary="reuse")


def _looked_over(recipe: recipes.Recipe, folder: Path, home: Path, known: registry.Registry, tell: Progress) -> None:
    """Write down what is known to go wrong. Raises TrainingError where that forbids to start."""
    report = precheck.precheck(recipe, home, known, tell, rehearse=False)
    if not (folder / "precheck.json").is_file():  # the page's is fuller: it has run the longest batch
        folder.mkdir(parents=True, exist_ok=True)
        journal.write_json(folder / "precheck.json", report.as_dict())
    against = [row.sentence for row in report.rows if row.state == "block"]
    if against:
        raise TrainingError(f"The run would fail: {' '.join(against)} (--anyway starts it nevertheless)")


def _checkpoint(folder: Path, resume: bool) -> Path | None:
    """Where to go on from. Raises TrainingError for a start that would overwrite a run."""
    whole = loop.whole_checkpoints(folder)
    if whole and not resume:
        raise TrainingError(f"The run directory {folder.name!r} already holds a run; resume it or name another.")
    if resume and _main_process():
        for path in folder.glob("checkpoint-*"):  # cut short while it was written
            if path not in whole:
                shutil.rmtree(path)
    return whole[-1] if whole else None


def _main_process() -> bool:
    """Whether this is the first of the processes that train together, before they have found each other."""
    return os.environ.get("RANK", "0") == "0"


def _step(checkpoint: Path | None) -> int:
    return int(checkpoint.name.split("-")[1]) if checkpoint else 0


def _prepared(recipe: recipes.Recipe, shards: Path, tell: Progress) -> tuple[list[Shard], list[Shard], list[Shard]]:
    """The shards of train, dev and test; where several processes start, one makes them and the others wait for it."""
    sets = [
        [prepare(source, recipe, shards, tell) for source in used] for used in (recipe.train, recipe.dev, recipe.test)
    ]
    return sets[0], sets[1], sets[2]


def _begun_with(start: base.Start, sets: dict[str, list[Shard]]) -> dict[str, str]:
    """What may not change between the sittings of a run: a fingerprint of the base, and of each set of clips its names,
    lengths and texts, wherever the corpus lies and whichever machine decoded it."""
    found = {"base": start.fingerprint}
    for use, shards in sets.items():
        for shard in shards:
            digest = hashlib.sha256(shard.lengths.tobytes())
            for batch in shard.index.select(["name", "text"]).to_batches(max_chunksize=10_000):
                digest.update(repr([column.to_pylist() for column in batch.columns]).encode())
            found[f"{use}/{shard.id}"] = digest.hexdigest()[:16]
    return found


def _same_as_before(folder: Path, start: base.Start, begun: dict[str, str]) -> None:
    """A resumed run must find what it began with. Raises TrainingError."""
    vocabulary, before = folder / "vocab.json", contents.read(folder).get("begun_with", begun)
    if vocabulary.is_file() and journal.read_json(vocabulary) != dict(start.vocab):
        raise TrainingError("The training texts give another vocabulary than the one this run began with.")
    other = sorted(name for name in before.keys() | begun.keys() if before.get(name) != begun.get(name))
    if other:
        raise TrainingError(
            f"{', '.join(other)}: not what this run began with, so its error rates would not be of one run. Bring back "
            f"the corpus and the recipe as they were, or start a new run, with {folder.name}/best as its base."
        )


def _running(
    recipe: recipes.Recipe,
    folder: Path,
    start: base.Start,
    clips: data.Pool,
    dev: list[Shard],
    checkpoint: Path | None,
    arguments: TrainingArguments,
) -> loop.Running:
    """Everything the loop needs, where the checkpoint left it."""
    state: dict[str, Any] = {"seconds": 0.0, "settled": start.kind != "scratch", "place": None, "audio_seconds": 0.0}
    if checkpoint:
        state |= journal.read_json(checkpoint / "run.json")
    b, o = recipe.batches, recipe.optimiser
    phase = data.Phase(recipe, state["settled"])
    average = Average(start.model, recipe.evaluation.average_decay) if recipe.evaluation.average_decay else None
    if checkpoint and average:
        average.load(checkpoint / "average.safetensors")
    known = {n: w.detach().clone() for n, w in start.model.state_dict().items()} if recipe.evaluation.blend else None
    share = (arguments.process_index, arguments.world_size)
    chosen, patient = evaluate.precision(recipe), max(PATIENCE[start.kind], 3 * (o.warmup_steps or 0))
    measure: Literal["WER", "loss"] = "loss" if recipe.mode == "pretrain" else "WER"
    watchdog = Watchdog(recipe.watchdog, o.learning_rate or 0.0, patient, chosen == "fp16", measure)
    watchdog.restore(state.get("watchdog", {}))
    return loop.Running(
        folder=folder, recipe=recipe, start=start, phase=phase, average=average, base_weights=known,
        clock=Clock(b.max_minutes, state["seconds"], b.max_steps),
        journal=journal.Journal(folder, _step(checkpoint), writes=arguments.process_index == 0),
        watchdog=watchdog, dev=dev, precision=chosen, stopped=watchdog.verdict(recipe.evaluation.patience),
        batches=data.Batches(clips, recipe, start, phase, state["place"], share),
        audio_seconds=state["audio_seconds"],
    )  # fmt: skip


def _search(recipe: recipes.Recipe, known: registry.Registry) -> evaluate.Search | None:
    """The language model that dev is scored with too."""
    if not recipe.evaluation.language_model:
        return None
    spec = known.language_model(recipe.evaluation.language_model)
    return evaluate.Search(
        open_language_model(spec), DecoderOptions(kind="beam", lm=spec.id, alpha=spec.alpha, beta=spec.beta)
    )


def _score(
    file: Path, start: base.Start, precision: str, search: evaluate.Search | None, sets: list[Shard], tell: Progress
) -> None:
    """Error rates of a model on sets of clips, for the record; beside them, every clip's."""
    found, clips, whole = {}, [], sum(map(len, sets))
    what = f"scoring the {'base' if file.stem == 'before' else 'best weights'}"
    for number, shard in enumerate(sets):
        earlier = sum(map(len, sets[:number]))
        heard = partial(_heard, tell, what, earlier, whole)
        s = evaluate.score(start.model, start, shard, precision, start.recipe.evaluation.slices, search, heard)
        found[shard.id] = {
            "clips": len(shard), "hours": round(shard.hours, 3), "wer": round(s.wer, 4), "cer": round(s.cer, 4),
            "lm_wer": s.lm_wer, "slices": s.slices,
        }  # fmt: skip
        clips.append(scores.table(shard, s))
    scores.write(file.with_suffix(".parquet"), clips)
    journal.write_json(file, found)


def _heard(tell: Progress, what: str, earlier: int, whole: int, clips: int) -> None:
    tell(earlier + clips, whole, what)


def _describe(
    folder: Path, recipe: recipes.Recipe, clips: data.Pool, dev: list[Shard], processes: int, begun: dict[str, str]
) -> None:
    """Write what the run is made of before it starts."""
    said = contents.describe(clips, dev, processes)
    journal.write_json(folder / "recipe.json", recipes.as_dict(recipe))
    journal.write_json(folder / contents.FILE, said | {"begun_with": begun})
    for name, s in (said["train"] | {f"dev {name}": s for name, s in said["dev"].items()}).items():
        print(f"{name}: {s['clips']} clips, {s['hours']} h")
    print(f"in all {len(clips)} clips to train on, {len(clips.infeasible)} infeasible", flush=True)


def _arguments(recipe: recipes.Recipe, folder: Path, start: base.Start, resume: bool) -> TrainingArguments:
    """Trainer's settings; evaluation, checkpoints and the end come from loop.Minder."""
    o, chosen = recipe.optimiser, evaluate.precision(recipe)
    return TrainingArguments(
        output_dir=str(folder), max_steps=ENDLESS, seed=recipe.seed, disable_tqdm=True,
        report_to="trackio" if importlib.util.find_spec("trackio") else "none", project=recipe.name,
        run_name=folder.name,
        bf16=chosen == "bf16", fp16=chosen == "fp16", use_cpu=not torch.cuda.is_available(),
        learning_rate=o.learning_rate or 0.0, weight_decay=o.weight_decay, adam_beta2=o.beta2,
        max_grad_norm=o.max_grad_norm or math.inf,  # 0 would leave the guard against steps that are no numbers out too
        optim="adamw_torch_fused", logging_steps=recipe.evaluation.log_steps,
        logging_nan_inf_filter=False, eval_strategy="no", save_strategy="no", save_total_limit=2, ignore_data_skip=True,
        remove_unused_columns=False, label_names=["labels"], dataloader_num_workers=0,
        activation_checkpointing=recipe.batches.activation_checkpointing, ddp_find_unused_parameters=False,
        ddp_timeout=WAIT,
        eval_on_start=not resume and start.kind in HEARS,
    )  # fmt: skip


def _tensorboard(folder: Path, done: int, resume: bool) -> list[TrainerCallback]:
    """Curves for TensorBoard, where it is installed; if `resume`, without the steps after `done`, which come again."""
    if not importlib.util.find_spec("tensorboard"):
        return []
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1 if resume else None)
    return [TensorBoardCallback(writer)]


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.train", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--shards", type=Path, help="where prepared audio is kept; default under the app's home")
    parser.add_argument("--corpus-root", help="sets $CORPUS_ROOT, which recipes may use in corpus folders")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run directory")
    parser.add_argument("--anyway", action="store_true", help="start even where the look-over before it forbids to")
    parser.add_argument("--smoke", action="store_true", help="apply the recipe's smoke section: tiny and quick")
    parser.add_argument("--minutes", type=float, help="wall-clock budget instead of the recipe's")
    args = parser.parse_args(argv)
    if args.corpus_root:
        os.environ["CORPUS_ROOT"] = args.corpus_root
    transformers.utils.logging.disable_progress_bar()
    chosen, main_process = settings.read(), _main_process()
    try:
        overrides = {"batches": {"max_minutes": args.minutes}} if args.minutes is not None else None
        recipe = recipes.load(args.recipe, args.smoke, overrides)
        with Live(args.run) as live:
            shards, known = args.shards or chosen.home / "shards", registry.read(chosen.registry, chosen.home)
            if main_process and not args.anyway and not loop.whole_checkpoints(args.run):
                _looked_over(recipe, args.run, chosen.home, known, live.report)
            ended = run(recipe, args.run, shards, known, resume=args.resume, live=live)
            if main_process and (args.run / "after.json").is_file():
                card.write(args.run, known)
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    best = args.run / "best"
    print(
        f"ended early: {ended}" if ended else f"best checkpoint: {best}" if best.is_dir() else f"no weights in {best}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
