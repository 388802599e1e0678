"""Synthesise training speech that does not ship: `python -m demo.make_training_speech --out DIR --set an4_like ...`.

Each set is a folder in the Common Voice layout with FLAC clips. The same arguments give the same sets.
"""

import argparse
import multiprocessing
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo import synthesis
from demo.layout import Row, digest, read_sentences, write_clip, write_tables
from demo.spelled import Speller
from demo.voices import training_voice

SHORTEST, LONGEST = 1.0, 12.0  # seconds a clip may last


@dataclass(frozen=True)
class Recipe:
    """One set: kind of text, clips of each engine, sentences a clip, and how it is paced.

    rate: range of speed factors (real read speech is slower than any synthesiser's own pace); gaps: eSpeak's pauses
    between words in 10 ms units, to draw from; pauses: the chance of a pause (a comma) after a word.
    """

    kind: str
    clips: dict[str, int]
    rate: tuple[float, float] = (0.85, 1.25)
    gaps: tuple[int, ...] = (0, 0, 0, 2, 5)
    pauses: float = 0.0
    sentences: tuple[int, ...] = (1,)


SLOW = {"rate": (0.5, 0.95), "pauses": 0.1}
SETS = {
    "an4_like": Recipe("spelled", {"espeak": 1600, "flite": 800}, gaps=(0, 0, 0, 2, 5, 9)),
    "an4_kokoro": Recipe("spelled", {"kokoro": 620}),
    "general": Recipe("general", {"espeak": 2900, "flite": 800}),
    "general_kokoro": Recipe("general", {"kokoro": 420}, rate=(0.65, 1.1), pauses=0.04),
    "an4_slow": Recipe("spelled", {"espeak": 1400, "flite": 800}, gaps=(0, 0, 4, 8, 15, 25), **SLOW),
    "general_slow": Recipe("general", {"espeak": 1500, "flite": 500}, gaps=(0, 0, 2, 5, 10), **SLOW),
    "general_long": Recipe("general", {"espeak": 350, "flite": 150}, rate=(0.8, 1.2), sentences=(2, 3, 4)),
    "an4_kokoro_slow": Recipe("spelled", {"kokoro": 420}, rate=(0.6, 0.95), pauses=0.12),
}


@dataclass(frozen=True)
class Job:
    """One clip to be made."""

    path: Path
    voice: synthesis.Voice
    row: Row
    said: str
    rate: float
    gap: int
    seed: int


def plan(folder: Path, texts, recipe: Recipe, seed: int) -> list[Job]:
    """Who says what, in a random order; `texts` is called with a generator and returns one sentence."""
    random = np.random.default_rng(seed)
    jobs = []
    order = random.permutation([engine for engine, count in recipe.clips.items() for _ in range(count)])
    for number, engine in enumerate(order):
        voice, client, gender, accent = training_voice(str(engine), random)
        name = f"{folder.name}-{number:05d}.flac"
        row = Row(
            client,
            name,
            " ".join(texts(random) for _ in range(random.choice(recipe.sentences))),
            gender=gender,
            accents=accent,
        )
        said = paused(row.sentence, recipe.pauses, random)
        rate, gap = float(np.exp(random.uniform(*np.log(recipe.rate)))), int(random.choice(recipe.gaps))
        jobs.append(Job(folder / "clips" / name, voice, row, said, rate, gap, int(random.integers(2**31))))
    return jobs


def paused(sentence: str, chance: float, random: np.random.Generator) -> str:
    """Put a comma after a word, each with this chance, so that the synthesiser pauses there."""
    words = sentence.split()
    if chance == 0:
        return sentence
    return (
        " ".join(f"{word}," if word[-1].isalpha() and random.random() < chance else word for word in words[:-1])
        + f" {words[-1]}"
    )


def make_clip(job: Job) -> tuple[Row, int] | None:
    """Synthesise and write one clip; None where it is longer than allowed. Returns the row and its milliseconds."""
    random = np.random.default_rng(job.seed)
    samples = synthesis.speak(job.voice, job.said, rate=job.rate, pitch=random.uniform(0.75, 1.3), gap=job.gap)
    samples = synthesis.stage(samples, random)
    missing = int(SHORTEST * synthesis.RATE) - samples.size
    if missing > 0:
        samples = np.pad(samples, (missing // 2, missing - missing // 2))
    if samples.size > LONGEST * synthesis.RATE:
        return None
    return job.row, write_clip(job.path, samples)


def make_set(folder: Path, jobs: list[Job], workers: int, minutes: float) -> tuple[int, float]:
    """Make the clips of one set and its tables; stops after `minutes`. Returns (clips, hours)."""
    started, done = time.monotonic(), []
    if any(job.voice.engine == "kokoro" for job in jobs):
        synthesis.join_kokoro()  # here, or the workers would write the same file
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for result in pool.imap_unordered(make_clip, jobs, chunksize=2):
            done += [result] if result else []
            if len(done) % 200 == 0:
                print(
                    f"{folder.name}: {len(done)}/{len(jobs)} clips, {sum(ms for _, ms in done) / 3.6e6:.2f} h",
                    flush=True,
                )
            if time.monotonic() - started > minutes * 60:
                print(
                    f"{folder.name}: stopped after {minutes} minutes with {len(done)} of {len(jobs)} clips", flush=True
                )
                break
    done.sort(key=lambda pair: pair[0].path)
    splits: dict[str, list[Row]] = {"train": [], "dev": []}
    for row, _ in done:
        splits["dev" if int(digest(row.client_id)[:6], 16) % 30 == 0 else "train"].append(row)
    write_tables(folder, splits, {row.path: ms for row, ms in done})
    return len(done), sum(ms for _, ms in done) / 3.6e6


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit status."""
    options = _options(arguments)
    words = (
        [word for word in options.words.read_text(encoding="utf-8").split() if word.isalpha()] if options.words else []
    )
    for name in options.set or list(SETS):
        recipe = SETS[name]
        folder = options.out / name
        if folder.exists():
            shutil.rmtree(folder)
        if recipe.kind == "spelled":
            speller = Speller(read_sentences(options.an4 / "train.tsv"), [word for word in words if word.islower()])
            texts = speller.draw
        else:
            from demo.everyday import General

            texts = General(read_sentences(options.speechocean / "train.tsv"), words).draw
        jobs = plan(folder, texts, recipe, options.seed + list(SETS).index(name))
        clips, hours = make_set(folder, jobs, options.workers, options.minutes)
        print(f"{name}: {clips} clips, {hours:.2f} h")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--an4", type=Path, required=True, help="AN4 in Common Voice layout; its train.tsv is read")
    parser.add_argument("--speechocean", type=Path, required=True, help="speechocean762 likewise")
    parser.add_argument("--words", type=Path, help="a word list for breadth (Debian: wamerican-small)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", choices=list(SETS), help="default: all of them")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="stop a set after this long")
    parser.add_argument("--seed", type=int, default=762)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
