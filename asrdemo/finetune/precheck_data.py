"""Prechecks of the clips: what is heard in training and in evaluation alike, how long clips are, what was left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.errors import AsrDemoError, Cancelled
from asrdemo.finetune import data, select
from asrdemo.finetune.parts import UNREADABLE
from asrdemo.finetune.precheck_report import (
    MOST_NAMES,
    Histogram,
    Row,
    are,
    from_error,
    length,
    listed,
    number,
    percent,
    sentence_case,
)
from asrdemo.finetune.prepare import prepare
from asrdemo.finetune.recipe import DevCorpus, Recipe, TrainCorpus
from asrdemo.finetune.shards import QUARANTINE, Shard
from asrdemo.types import SAMPLE_RATE, Progress

FEWEST = 30  # clips a set should have to tell anything
WIDE = 10.0  # points that a WER may be off by before a set tells nothing
MOST_SENTENCES = 0.01  # share of a held-out set whose sentences may have been trained on
MOST_LOST = 0.05  # share of the audio that limits of length may cost
EDGES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0)
_A_HASH = 16  # characters: an id so long is the same person's in every corpus; `s1` is not


@dataclass(frozen=True)
class Part:
    """A corpus of the recipe and its prepared clips. use: train, dev or test; place: where its audio lies."""

    use: str
    source: TrainCorpus | DevCorpus
    place: str
    shard: Shard

    @property
    def label(self) -> str:
        """In words: `the dev set 'x'`."""
        return (
            f"the training corpus {self.source.id!r}"
            if self.use == "train"
            else f"the {self.use} set {self.source.id!r}"
        )


def gather(recipe: Recipe, shards: Path, progress: Progress) -> tuple[list[Part], list[Row]]:
    """Every corpus of the recipe, prepared; a row for each that cannot be. Raises Cancelled."""
    parts, rows = [], []
    for use in ("train", "dev", "test"):
        for source in getattr(recipe, use):
            try:
                place = str(select.corpus_of(source, progress).clips)
                parts.append(Part(use, source, place, prepare(source, recipe, shards, progress)))
            except Cancelled:
                raise
            except AsrDemoError as error:
                rows.append(from_error(f"{use}: {source.id}", error, "Correct the corpus in the recipe."))
    return parts, rows


def rows(parts: Sequence[Part], recipe: Recipe) -> list[Row]:
    """All rows about clips."""
    train, held = [p for p in parts if p.use == "train"], [p for p in parts if p.use != "train"]
    found = [*_tested(train, held), *_same_recordings(train, held), *_speakers(train, held), *_sentences(train, held)]
    found += [_unreadable(parts), _lost(train, recipe), *_balance(train)]
    return [*found, *(row for p in held for row in _small(p))]


def histogram(parts: Sequence[Part]) -> Histogram:
    """Lengths of the training clips that are left."""
    seconds = np.concatenate([p.shard.lengths for p in parts if p.use == "train"]) / SAMPLE_RATE
    edges = [e for e in EDGES if e <= seconds.max()]
    edges.append(next((e for e in EDGES if e > seconds.max()), math.ceil(seconds.max() + 1e-9)))
    counts, _ = np.histogram(seconds, edges)
    hours, _ = np.histogram(seconds, edges, weights=seconds / 3600)
    return Histogram(tuple(edges), tuple(map(int, counts)), tuple(round(float(h), 4) for h in hours))


def _tested(train: Sequence[Part], held: Sequence[Part]) -> Iterator[Row]:
    """Nothing that is called a test set is trained on."""
    for t in train:
        same = [h for h in held if h.place == t.place]
        if any(h.use == "test" and h.source.split == t.source.split for h in same) or (
            same and t.source.split == "test"
        ):
            sentence = (
                f"{sentence_case(t.label)} is the split {t.source.split!r} of a corpus that the run is scored on."
            )
            yield Row("test set", "block", sentence, "Train on another split.")
        elif t.source.split == "test":
            sentence = (
                f"{sentence_case(t.label)} is a test split: results on it, and on later versions of it, are void."
            )
            yield Row("test set", "warn", sentence, "Train on another split.")


def _same_recordings(train: Sequence[Part], held: Sequence[Part]) -> Iterator[Row]:
    """By their samples, so that neither names nor folders matter."""
    trained = np.concatenate([_marks(p.shard) for p in train]) if train else np.zeros(0, np.uint64)
    found = False
    for h in held:
        bad = np.flatnonzero(np.isin(_marks(h.shard), trained))
        if len(bad):
            found = True
            sentence = f"{number(len(bad), 'clip')} of {len(h.shard):,} in {h.label} {are(len(bad))} also trained on."
            fix = "Give training and evaluation different splits, or accents that exclude each other."
            yield Row("same clips", "block", sentence, fix, _names(h.shard, bad))
    tests = [_marks(h.shard) for h in held if h.use == "test"]
    for h in (h for h in held if h.use == "dev" and tests):
        bad = np.flatnonzero(np.isin(_marks(h.shard), np.concatenate(tests)))
        if len(bad):
            found = True
            sentence = (
                f"{number(len(bad), 'clip')} of {h.label} {are(len(bad))} in a test set too, so the best weights are "
                "chosen on it."
            )
            yield Row("same clips", "warn", sentence, "Choose on other clips than you test on.", _names(h.shard, bad))
    if held and train and not found:
        total = sum(len(h.shard) for h in held)
        yield Row("same clips", "ok", f"None of {number(total, 'clip')} to evaluate on is trained on.")


def _marks(shard: Shard) -> np.ndarray:
    """What tells a recording from another: checksum and length of its samples, uint64, shape = (clips,)."""
    checksums = shard.index.column("crc32").to_numpy().astype(np.uint64)
    return checksums << np.uint64(32) | shard.lengths.astype(np.uint64)


def _speakers(train: Sequence[Part], held: Sequence[Part]) -> Iterator[Row]:
    """People who are heard in training and in evaluation."""
    found = False
    for h in held:
        column = h.shard.column("client_id").arrow
        known = pa.chunked_array([pa.array([], pa.string()), *(c for t in train for c in _ids(t, h).chunks)])
        both = pc.and_(pc.is_in(column, value_set=pc.unique(known)), pc.greater(pc.utf8_length(column), 0))
        bad = np.flatnonzero(both.to_numpy())
        if len(bad):
            found = True
            who = pc.unique(column.take(pa.array(bad))).to_pylist()
            sentence = (
                f"{number(len(who), 'speaker')} of {h.label} {are(len(who))} trained on too "
                f"({percent(len(bad) / len(h.shard))} of its clips): its WER will look better than that of new voices."
            )
            yield Row("speakers", "warn", sentence, "Take splits without common speakers.", tuple(who[:MOST_NAMES]))
    if held and train and not found:
        yield Row("speakers", "ok", "Nobody who is evaluated on is heard in training.")


def _ids(t: Part, h: Part) -> pa.ChunkedArray:
    """Speakers of a training corpus whose ids mean the same in `h`."""
    column = t.shard.column("client_id").arrow
    return column if t.place == h.place else column.filter(pc.greater_equal(pc.utf8_length(column), _A_HASH))


def _sentences(train: Sequence[Part], held: Sequence[Part]) -> Iterator[Row]:
    """Texts that are learnt, not heard."""
    known = pc.unique(
        pa.chunked_array([pa.array([], pa.string()), *(c for t in train for c in t.shard.texts.arrow.chunks)])
    )
    found = False
    for h in held:
        bad = np.flatnonzero(pc.is_in(h.shard.texts.arrow, value_set=known).to_numpy())
        if len(bad) > MOST_SENTENCES * len(h.shard):
            found = True
            sentence = (
                f"{percent(len(bad) / len(h.shard))} of the clips of {h.label} ({len(bad):,} of {len(h.shard):,}) say "
                "sentences that are trained on: their WER says little about new ones."
            )
            yield Row("sentences", "warn", sentence, "Look at the WER of the others too.", _names(h.shard, bad))
    if held and train and not found:
        yield Row("sentences", "ok", "Hardly any sentence to evaluate on is trained on.")


def _unreadable(parts: Sequence[Part]) -> Row:
    """Clips in quarantine for their file."""
    bad = [f"{p.source.id}/{name}" for p in parts for why in UNREADABLE for name in p.shard.dropped.get(why, [])]
    total = sum(len(p.shard) for p in parts) + len(bad)
    if not bad:
        return Row("audio files", "ok", f"All {number(total, 'clip')} are there and can be decoded.")
    sentence = (
        f"{number(len(bad), 'clip')} of {total:,} ({percent(len(bad) / total)}) {are(len(bad))} missing or cannot be "
        f"decoded, such as {bad[0]}; the run goes on without them."
    )
    return Row("audio files", "warn", sentence, "Copy these files again.", tuple(bad[:MOST_NAMES]))


def _lost(train: Sequence[Part], recipe: Recipe) -> Row:
    """Training clips beyond the limits of length, and what else was left out."""
    tables = [_left_out(p) for p in train]
    lost = pd.concat(tables) if tables else pd.DataFrame(columns=["name", "reason", "seconds"])
    long, short = (lost[lost["reason"].str.startswith(word)] for word in ("longer", "shorter"))
    others = lost[~lost["reason"].str.startswith(("longer", "shorter", *UNREADABLE))]
    kept = sum(int(p.shard.lengths.sum()) for p in train) / SAMPLE_RATE
    share = long["seconds"].sum() / max(1e-9, kept + long["seconds"].sum())
    c = recipe.clips
    parts = [f"{number(int(n), 'clip')} left out: {why}" for why, n in others["reason"].value_counts().items()]
    if len(short):
        parts.insert(0, f"{number(len(short), 'clip')} under {c.min_seconds:g} s {are(len(short))} left out")
    if len(long):
        hours = f"{length(long['seconds'].sum())}, {percent(share)}"
        parts.insert(0, f"{number(len(long), 'clip')} over {c.max_seconds:g} s ({hours}) {are(len(long))} left out")
    clips = sum(len(p.shard) for p in train)
    sentence = "; ".join([f"There are {length(kept)} of audio to train on, in {number(clips, 'clip')}", *parts]) + "."
    names = tuple([*long["name"], *short["name"], *others["name"]][:MOST_NAMES])
    if share <= MOST_LOST:
        return Row("lengths", "ok", sentence, names=names)
    limit = math.ceil(float(long["seconds"].quantile(0.9)))
    fix = f"Raise clips.max_seconds to {limit}, which keeps nine tenths of them, if memory allows."
    return Row("lengths", "warn", sentence, fix, names, {"clips": {"max_seconds": float(limit)}})


def _balance(train: Sequence[Part]) -> Iterator[Row]:
    """Values that should come up as often as others, and have too few clips for it."""
    for p in train:
        rare = data.too_rare(p.shard, p.source) if isinstance(p.source, TrainCorpus) else {}
        if rare and isinstance(p.source, TrainCorpus):
            fewest = sorted(rare.items(), key=lambda item: item[1])
            which = listed((f"{value!r} ({clips:,})" for value, clips in fewest), 6)
            have = "has" if len(rare) == 1 else "have"
            sentence = (
                f"{number(len(rare), 'value')} of {p.source.balance_by!r} in {p.label} {have} too few clips to come up "
                f"as often as the others, though each is heard {data.MOST_REPEATS:g} times in a pass: {which}."
            )
            fix = "Take more clips of them, leave them out, or balance by another column."
            yield Row("balance", "warn", sentence, fix, tuple(rare)[:MOST_NAMES])


def _left_out(part: Part) -> pd.DataFrame:
    """name, reason and seconds (NaN where it is not a matter of length) of what a shard does without."""
    table = pd.read_csv(
        part.shard.folder / QUARANTINE, sep="\t", quoting=3, keep_default_na=False, dtype=str, encoding="utf-8"
    )
    timed = table["reason"].str.startswith(("longer", "shorter"))
    seconds = pd.to_numeric(table["detail"].where(timed).str.removesuffix(" s"), errors="coerce")
    return table.assign(seconds=seconds, name=f"{part.source.id}/" + table["name"])[["name", "reason", "seconds"]]


def _small(part: Part) -> Iterator[Row]:
    """Of how few words an error rate says nothing. The interval is of a proportion, twice as wide for the words of a
    clip going wrong together."""
    clips = len(part.shard)
    if clips < FEWEST:
        words = sum(len(line.split()) for line in part.shard.texts)
        half = 100 * 1.96 * math.sqrt(2 * 0.2 * 0.8 / max(1, words))
        sentence = (
            f"{sentence_case(part.label)} has {number(clips, 'clip')} ({number(words, 'word')}): a WER of 20 % is "
            f"known to about ± {min(half, 80):.0f} points."
        )
        if half < WIDE:  # little, and enough to choose among checkpoints by
            yield Row("size", "ok", sentence)
        else:
            yield Row("size", "warn", sentence, f"Take at least {FEWEST} clips.")


def _names(shard: Shard, chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{shard.id}/{shard.names[int(i)]}" for i in chosen[:MOST_NAMES])
