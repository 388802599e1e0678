"""Greedy error rates of a checkpoint folder on splits of corpora, as the model card reports them.

python -m asrdemo.finetune.score demo/checkpoints/demo-en DIR:SPLIT... [--by accents] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import jiwer
import torch
from transformers import AutoModelForCTC

from asrdemo import corpus
from asrdemo.errors import AsrDemoError, ConfigError
from asrdemo.finetune import evaluate, prepare
from asrdemo.finetune import recipe as recipes


def score(checkpoint: Path, folder: Path, split: str, shards: Path, by: str = "", normalisation: str = "en") -> dict:
    """WER and CER over all clips of a split (one set of edits, one set of words); with `by`, also by that column."""
    model = AutoModelForCTC.from_pretrained(checkpoint, dtype=torch.float32)
    vocab = json.loads((checkpoint / "vocab.json").read_text(encoding="utf-8"))
    source = recipes.DevCorpus(folder.name, str(folder), split)
    shard = prepare.prepare(source, recipes.Recipe("score", (), (source,), normalisation=normalisation), shards)
    result = evaluate.score(model, shard, vocab, "fp32")
    out = {
        "corpus": folder.name, "split": split, "clips": result.clips, "hours": round(shard.hours, 3),
        "words": sum(len(r.split()) for r in result.references),
        "wer": round(result.wer, 4), "cer": round(result.cer, 4),
        "left_out": {why: len(names) for why, names in shard.dropped.items()},
    }  # fmt: skip
    if by:
        values = corpus.read(folder, split).set_index("path")[by]
        groups: dict[str, tuple[list[str], list[str]]] = {}
        for name, reference, hypothesis in zip(shard.names, result.references, result.hypotheses, strict=True):
            pair = groups.setdefault(values[name] or "(blank)", ([], []))
            pair[0].append(reference)
            pair[1].append(hypothesis)
        out["by"] = {g: {"clips": len(r), "wer": round(jiwer.wer(r, h), 4)} for g, (r, h) in sorted(groups.items())}
    return out


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.score", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("sets", nargs="+", metavar="DIR:SPLIT", help="corpus folder and split, such as corpora/an4:dev")
    parser.add_argument("--by", default="", choices=("", *corpus.COLUMNS), help="also by this column")
    parser.add_argument("--shards", type=Path, default=Path(".asrdemo/shards"))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args(argv)
    try:
        for item in args.sets:
            folder, _, split = item.rpartition(":")
            if not folder:
                raise ConfigError(f"{item!r} names no split; expected DIR:SPLIT.")
            row = score(args.checkpoint, Path(folder), split, args.shards, args.by)
            print(json.dumps(row) if args.json else _line(row), flush=True)
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _line(row: dict) -> str:
    rates = f"WER {row['wer']:.4f}, CER {row['cer']:.4f}"
    head = f"{row['corpus']} {row['split']}: {rates}, {row['clips']} clips, {row['words']} words"
    return "\n".join([head, *(f"  {g}: WER {v['wer']:.4f}, {v['clips']} clips" for g, v in row.get("by", {}).items())])


if __name__ == "__main__":
    raise SystemExit(main())
