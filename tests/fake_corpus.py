"""A corpus in Common Voice layout whose clips the fake checkpoint of tests/fakes.py hears exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.settings import Settings
from asrdemo.types import SAMPLE_RATE, DecoderOptions, Progress
from evals.results import TIMINGS, Result
from evals.run import Request, evaluate
from evals.source import open_source
from tests import fakes

SENTENCES = ("the cat sat", "a dog barked", "birds sing at dawn", "it rained all night", "go home", "we sat by the sea")


def make(folder: Path, said: Sequence[tuple[str, str]], split: str = "test") -> Path:
    """A corpus folder. said: (the sentence of the table, what the clip says instead), one a clip."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    lines = ["client_id\tpath\tsentence\tup_votes\tage\tgender\taccents\tlocale"]
    for i, (sentence, spoken) in enumerate(said):
        name = f"clip-{i:05}.wav"
        soundfile.write(folder / "clips" / name, fakes.say(spoken), SAMPLE_RATE)
        lines.append(f"speaker-{i % 3}\t{name}\t{sentence}\t2\tfourties\tmale\tus\ten")
    (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def sentences(count: int) -> list[tuple[str, str]]:
    """Sentences for `make`, of mixed lengths; every fifth is misspoken."""
    given = [SENTENCES[i % len(SENTENCES)] for i in range(count)]
    return [(s, s.replace("a", "o") if i % 5 == 0 else s) for i, s in enumerate(given)]


def request(
    corpus: Path, split: str = "test", spec: CheckpointSpec | None = None, limit: int | None = None, **changes: object
) -> Request:
    """A greedy run of the fake checkpoint over a corpus folder, with one worker."""
    source = open_source(str(corpus), split, Registry({}), limit)
    fields = {"options": DecoderOptions(), "lm": None, "profile": "en", "workers": 1} | changes
    return Request(spec or fakes.spec(), source, **fields)  # type: ignore[arg-type]


def run(asked: Request, out: Path, progress: Progress | None = None, **settings: object) -> Result:
    """Run it with the fake checkpoint."""
    return evaluate(asked, out, Settings(**settings), cache=fakes.FakeCache(), progress=progress)  # type: ignore[arg-type]


def comparable(result: Result) -> list[dict[str, object]]:
    """Rows without timings, for equality."""
    return result.read().drop_columns(list(TIMINGS)).to_pylist()
