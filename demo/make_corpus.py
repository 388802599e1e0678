"""Make the embedded demo corpus: `python -m demo.make_corpus --out demo/corpus/en`.

A synthetic English corpus in the layout of a Common Voice release. The same seed gives the same corpus (Kokoro's
samples may differ in the last bit between processors). README.md and examples.txt in the folder are kept by hand.
"""

import argparse
import multiprocessing
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo import synthesis
from demo.cast import CLIPS, COLLECTED_CLIPS, Speaker, cast, collected
from demo.everyday import TEMPLATES, WRITTEN, everyday, plain, reserved
from demo.layout import Row, milliseconds, write_clip, write_tables

BITRATE_LEVEL = 0.85  # soundfile's scale for mp3: 0 is the best, 1 the smallest
SHORTEST, LONGEST = 1.0, 12.0  # seconds


@dataclass(frozen=True)
class Job:
    """One clip to be made."""

    folder: Path
    speaker: Speaker
    row: Row
    seed: int


class Sentences:
    """Deals out what a split reads; every template comes round before one comes twice, and no sentence comes twice.

    `written` are sentences by hand: each speaker of dev and test reads a few of them. `seen` is shared by the splits.
    """

    def __init__(self, random: np.random.Generator, written: list[str], seen: set[str]):
        self.random, self.written, self.deck, self.seen = random, written, [], seen

    def deal(self, split: str, number: int) -> str:
        """The text of a speaker's clip `number`: a written sentence, or one, two or three from templates."""
        if split != "train" and number < 2 and self.written:
            return self.written.pop()
        count = self.random.choice([1, 2, 3], p=[0.76, 0.19, 0.05])
        return " ".join(self._template(split) for _ in range(count))

    def _template(self, split: str) -> str:
        """A sentence for `split`: dev and test get reserved ones, which training text never holds."""
        while True:
            self.deck = self.deck or [TEMPLATES[index] for index in self.random.permutation(len(TEMPLATES))]
            template = self.deck.pop()
            for _ in range(60):
                text = everyday(self.random, template)
                if reserved(text) != (split == "train") and plain(text) not in self.seen:
                    self.seen.add(plain(text))
                    return text


def plan(folder: Path, seed: int) -> list[Job]:
    """Who says what."""
    random = np.random.default_rng(seed)
    written = [WRITTEN[index] for index in random.permutation(len(WRITTEN))]
    seen: set[str] = set()
    dealers = {
        "train": Sentences(np.random.default_rng([seed, 1]), [], seen),
        "dev": Sentences(np.random.default_rng([seed, 2]), written[:22], seen),
        "test": Sentences(np.random.default_rng([seed, 3]), written[22:], seen),
    }
    later = Sentences(np.random.default_rng([seed, 4]), [], seen)
    deals = [(speaker, CLIPS[speaker.split], dealers[speaker.split]) for speaker in cast()]
    deals += [(speaker, COLLECTED_CLIPS, later) for speaker in collected()]  # last: whoever came first stays as it was
    jobs = []
    for speaker, clips, dealer in deals:
        for number in range(clips):
            name = f"synthetic_en_{len(jobs):05d}.mp3"
            text = dealer.deal(speaker.split, number)
            row = Row(speaker.client_id, name, text, speaker.age, speaker.gender, speaker.accents, "general")
            jobs.append(Job(folder, speaker, row, int(random.integers(2**31))))
    return jobs


def make_clip(job: Job) -> tuple[str, Row, int]:
    """Synthesise and write one clip that is not there. Returns its split, its row and its milliseconds."""
    path = job.folder / "clips" / job.row.path
    if path.exists():
        return job.speaker.split, job.row, milliseconds(path)
    habits = np.random.default_rng(list(job.speaker.client_id.encode()))  # a speaker is fast or slow, high or low
    rate, pitch = habits.uniform(0.9, 1.12), habits.uniform(0.92, 1.08)
    random = np.random.default_rng(job.seed)
    samples = synthesis.speak(
        job.speaker.voice,
        job.row.sentence,
        rate=rate * random.uniform(0.95, 1.05),
        pitch=pitch * random.uniform(0.96, 1.04),
    )
    samples = synthesis.stage(samples, random, peak=(0.3, 0.9))
    missing = max(0, int(SHORTEST * synthesis.RATE) - samples.size)
    samples = np.pad(samples, (missing // 2, missing - missing // 2))
    if samples.size > LONGEST * synthesis.RATE:
        raise synthesis.SynthesisError(
            f"{job.row.path} lasts {samples.size / synthesis.RATE:.1f} s; at most {LONGEST} is wanted"
        )
    return job.speaker.split, job.row, write_clip(path, samples, BITRATE_LEVEL)


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder; its clips and tables are replaced")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="take over the clips that are there already")
    options = parser.parse_args(arguments)
    for program in ("espeak-ng", "flite"):
        synthesis.require(program)
    fresh = options.out.with_name(options.out.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    jobs = plan(fresh, options.seed)
    if options.keep:
        shutil.copytree(options.out / "clips", fresh / "clips")
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        made = pool.map(make_clip, jobs, chunksize=1)
    splits = {split: [row for found, row, _ in made if found == split] for split in CLIPS}
    write_tables(fresh, splits, {row.path: long for _, row, long in made})
    for kept in ("README.md", "examples.txt"):
        if (options.out / kept).exists():
            shutil.copy2(options.out / kept, fresh / kept)
    shutil.rmtree(options.out, ignore_errors=True)
    fresh.replace(options.out)
    hours = sum(long for *_, long in made) / 3.6e6
    print(f"{options.out}: {len(made)} clips, {hours:.2f} h, {len({row.client_id for _, row, _ in made})} voices")
    return 0


if __name__ == "__main__":
    sys.exit(main())
