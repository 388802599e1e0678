"""A trained model -> a folder that AutoModelForCTC, AutoProcessor and this app load.

python -m asrdemo.finetune.export RUN --out demo/checkpoints/demo-en   (a run's best weights, in half precision)
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

from asrdemo.acoustic import loading
from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import modes
from asrdemo.finetune.base import DELIMITER, Start
from asrdemo.finetune.labels import ROLES
from asrdemo.types import SAMPLE_RATE


def export(model: Any, start: Start, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write weights (low-rank adapters merged), configuration and processor files; the model stays as it is.

    A model trained in mode `adapter` also gets `adapter.LANGUAGE.safetensors`, which an MMS model can load by itself. A
    folder appears whole; in one that is there already, each file is replaced whole. Raises TrainingError where a
    weight is not finite in this dtype.
    """
    with _staged(Path(folder)) as staging:
        state = _save(model, staging, dtype)
        extractor = Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE, do_normalize=start.standardise, return_attention_mask=start.masks
        )
        if start.vocab:
            tokenizer = _tokenizer(start, staging)
            Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(staging)
        extractor.save_pretrained(staging)  # transformers 4 looks here, 5 in processor_config.json
        if start.recipe.mode == "adapter":
            language = start.adapter or start.recipe.language
            weights = {name: state[name] for name in model._get_adapters()}
            save_file(weights, staging / f"adapter.{language}.safetensors", metadata={"format": "pt"})


def convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Write an exported folder anew with its weights in another precision; see `export`. Raises CheckpointError."""
    model, _ = loading.build(source, source.name)
    with _staged(Path(folder)) as staging:
        _save(model, staging, dtype)
        for path in source.iterdir():
            if not (staging / path.name).exists():
                shutil.copyfile(path, staging / path.name)


def _save(model: Any, folder: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights and configuration; the weights as saved."""
    state = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in modes.merged(model).items()
    }
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingError(
            f"{len(broken)} weights are not finite numbers in {str(dtype).removeprefix('torch.')} ({broken[0]}, ...), "
            "so they are not exported. Take an earlier checkpoint, or export in float32."
        )
    with torch.device("meta"):  # a shell for the weights, which takes no memory
        shell = type(model)(copy.deepcopy(model.config))
    shell.load_state_dict(state, assign=True)
    shell.save_pretrained(folder)
    return state


def _tokenizer(start: Start, folder: Path) -> Wav2Vec2CTCTokenizer:
    """Writes vocab.json too. Special tokens without a column are left out: a tokenizer would make one up."""
    file = folder / "vocab.json"
    file.write_text(json.dumps(dict(start.vocab), ensure_ascii=False, indent=1), encoding="utf-8")
    roles = {key: start.alphabet.roles.get(key) for key in ROLES}
    return Wav2Vec2CTCTokenizer(str(file), word_delimiter_token=DELIMITER, **roles)


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A neighbour to write into; what is in it takes the folder's place when the block ends well."""
    staging = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    staging.mkdir(parents=True)
    try:
        yield staging
        for path in staging.iterdir():
            path.chmod(0o644)
        if not folder.exists():
            staging.rename(folder)
            return
        written = sorted(staging.iterdir())
        for path in written:
            path.replace(folder / path.name)
        for path in {*folder.glob("*.safetensors")} - {folder / p.name for p in written}:
            path.unlink()  # weights of what was here before
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def export_best(run: Path, out: Path) -> dict:
    """Write the best weights of a run to `out` in fp16 and return the run's best.json. Raises TrainingError."""
    if not (run / "best.json").is_file():
        raise TrainingError(f"The run {run.name!r} has no best checkpoint yet; it appears after the first evaluation.")
    convert(run / "best", out, torch.float16)
    return json.loads((run / "best.json").read_text(encoding="utf-8"))


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.export", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    args = parser.parse_args(argv)
    try:
        best = export_best(args.run, args.out)
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(best, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
