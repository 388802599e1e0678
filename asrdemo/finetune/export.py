"""A run's best weights as a checkpoint to publish: half precision and processor files.

python -m asrdemo.finetune.export RUN --out demo/checkpoints/demo-en
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import Wav2Vec2ForCTC

from asrdemo.errors import AsrDemoError, TrainingError
from asrdemo.finetune import model as models


def export_best(run: Path, out: Path) -> dict:
    """Write the best weights of a run to `out` in fp16 and return the run's best.json."""
    if not (run / "best.json").is_file():
        raise TrainingError(f"The run {run.name!r} has no best checkpoint yet; it appears after the first evaluation.")
    model = Wav2Vec2ForCTC.from_pretrained(run / "best", dtype=torch.float32)
    vocab = json.loads((run / "best" / "vocab.json").read_text(encoding="utf-8"))
    models.export(model, vocab, out, torch.float16)
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
