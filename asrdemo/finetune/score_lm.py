"""A checkpoint with a language model: alpha and beta are picked on dev, test is scored once.

python -m asrdemo.finetune.score_lm demo/checkpoints/demo-en --text DIR:train --dev DIR:dev --test DIR:test

--text makes the model from the sentences of a split; --lm names one that is there (its .unigrams.txt beside it).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import jiwer
import torch
from transformers import AutoModelForCTC

from asrdemo import corpus
from asrdemo.decoding import LanguageModel, build_language_model, decode
from asrdemo.decoding.language_model import load
from asrdemo.errors import AsrDemoError, ConfigError
from asrdemo.finetune import evaluate, prepare
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.model import DELIMITER, SPECIAL
from asrdemo.types import BLANK, SAMPLE_RATE, SPACE, DecoderOptions, Emissions, Vocabulary

ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
BETAS = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)


def emissions(checkpoint: Path, folder: Path, split: str, shards: Path) -> tuple[list[Emissions], list[str]]:
    """(what the checkpoint heard in each clip of a split, the normalised references)."""
    model = AutoModelForCTC.from_pretrained(checkpoint, dtype=torch.float32)
    vocab = json.loads((checkpoint / "vocab.json").read_text(encoding="utf-8"))
    spelled = {SPECIAL[0]: BLANK, DELIMITER: SPACE}
    special = frozenset(vocab[t] for t in SPECIAL[1:])
    tokens = sorted(vocab, key=lambda t: vocab[t])
    vocabulary = Vocabulary(tuple(spelled.get(t, t) for t in tokens), vocab[SPECIAL[0]], special)
    source = recipes.DevCorpus(folder.name, str(folder), split)
    shard = prepare.prepare(source, recipes.Recipe("score", (), (source,)), shards)
    step = model.config.inputs_to_logits_ratio / SAMPLE_RATE
    heard = evaluate.log_probs(model, shard, "fp32")
    lengths = shard.lengths / SAMPLE_RATE
    return [Emissions(x, vocabulary, step, float(s)) for x, s in zip(heard, lengths, strict=True)], list(shard.texts)


def word_error_rate(
    clips: list[Emissions], references: list[str], lm: LanguageModel, alpha: float, beta: float
) -> float:
    """WER of the best beam over all clips."""
    options = DecoderOptions(kind="beam", alpha=alpha, beta=beta, n_best=1)
    return jiwer.wer(references, [decode(e, options, lm)[0].text for e in clips])


def _pair(text: str) -> tuple[Path, str]:
    folder, _, split = text.rpartition(":")
    if not folder:
        raise ConfigError(f"{text!r} names no split; expected DIR:SPLIT.")
    return Path(folder), split


def language_model(args: argparse.Namespace, scratch: Path) -> LanguageModel:
    """The model named, or one made in `scratch` (decoding reads it there) from the sentences of the split named."""
    if args.lm:
        words = args.lm.with_name(args.lm.name.removesuffix(".gz").removesuffix(".arpa") + ".unigrams.txt")
        return load(args.lm, words)
    folder, split = _pair(args.text)
    return build_language_model(corpus.read(folder, split)["sentence"], args.order, scratch / "lm.arpa", "en").load()


def run(args: argparse.Namespace, scratch: Path) -> dict:
    """Search the grid on dev, then score test once."""
    lm = language_model(args, scratch)
    clips, references = emissions(args.checkpoint, *_pair(args.dev), args.shards)
    grid = {(a, b): word_error_rate(clips, references, lm, a, b) for a in ALPHAS for b in BETAS}
    alpha, beta = min(grid, key=lambda k: (grid[k], k))
    clips, references = emissions(args.checkpoint, *_pair(args.test), args.shards)
    test = word_error_rate(clips, references, lm, alpha, beta)
    return {
        "alpha": alpha, "beta": beta, "dev_wer": round(grid[alpha, beta], 4), "test_wer": round(test, 4),
        "test_clips": len(clips), "test_words": sum(len(r.split()) for r in references),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m asrdemo.finetune.score_lm", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="DIR:SPLIT", help="whose sentences the model is made from")
    source.add_argument("--lm", type=Path, metavar="FILE", help="an ARPA file, such as demo/lm/demo-lm.arpa.gz")
    parser.add_argument("--dev", required=True, metavar="DIR:SPLIT", help="where alpha and beta are picked")
    parser.add_argument("--test", required=True, metavar="DIR:SPLIT", help="what is reported")
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--shards", type=Path, default=Path(".asrdemo/shards"))
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(run(args, Path(scratch))))
    except AsrDemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
