"""Build the embedded language model: `python -m demo.build_lm`.

Its text is all our own: the train sentences of the demo corpus, more everyday sentences from the same templates (none
of them reserved for dev and test), and spelled letters, numbers and dates. The same seed and tables give the same file.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from asrdemo.decoding import build_language_model
from demo.everyday import everyday, reserved
from demo.spelled import CLASSES

HERE = Path(__file__).resolve().parent


def train_sentences(table: Path) -> list[str]:
    """The sentences of a split table in Common Voice layout."""
    with table.open(encoding="utf-8", newline="") as lines:
        return [row["sentence"] for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def more_everyday(count: int, random: np.random.Generator) -> list[str]:
    """Different sentences that dev and test may not hold."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        text = everyday(random)
        if not reserved(text):
            texts[text] = None
    return list(texts)


def spelled(count: int, random: np.random.Generator) -> list[str]:
    """Strings of 3 to 8 letters or digits, and dates, in words."""
    texts = []
    for _ in range(count):
        name = str(random.choice(["letter", "digit", "date"]))
        if name == "date":
            parts = [str(random.choice(list(CLASSES[n]))) for n in ("month", "ordinal", "teen", "tens")]
        else:
            parts = [str(p) for p in random.choice(list(CLASSES[name]), size=random.integers(3, 9))]
        texts.append(" ".join(parts))
    return texts


def main(arguments: list[str] | None = None) -> int:
    """Build it and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=HERE / "corpus" / "en", help="release folder with train.tsv")
    parser.add_argument("--out", type=Path, default=HERE / "lm" / "demo-lm.arpa.gz")
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--everyday", type=int, default=10_000, help="further sentences from the templates")
    parser.add_argument("--spelled", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    random = np.random.default_rng(options.seed)
    text = train_sentences(options.corpus / "train.tsv")
    text += more_everyday(options.everyday, random) + spelled(options.spelled, random)
    built = build_language_model(text, options.order, options.out, "en", builder="built-in")
    print(
        f"{built.path.name}: {built.order}-gram, {built.sentences:,} sentences, {built.words:,} words, vocabulary "
        f"{built.vocabulary:,}, n-grams {', '.join(map(str, built.counts))}, {built.path.stat().st_size / 1e6:.2f} MB, "
        f"{built.seconds:.1f} s"
    )
    for split in ("dev", "test"):
        table = options.corpus / f"{split}.tsv"
        if table.is_file():
            found = built.perplexity(train_sentences(table))
            print(f"{split}: perplexity {found.with_unknown:.1f}, {found.unknown} of {found.words} words unknown")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
