"""Made-up corpora with a known truth, to check intervals, tests and searches, and to time them.

Speakers have an accent, a gender, an age and an error rate of their own; clips have a length, a speaking rate, noise,
and errors that vary more than Poisson's law allows. The expected WER of every clip is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evals import bootstrap
from evals.results import FORMAT, ROWS, RUN, SCHEMA, write_json
from evals.scored import Category, Scored, is_text

ACCENTS = ("", "United States English", "England English", "India and South Asia (India, Pakistan, Sri Lanka)",
           "Scottish English", "Canadian English", "Australian English", "Irish English",
           "England English | Scottish English")  # fmt: skip
_ACCENT_SHARES = (0.35, 0.3, 0.1, 0.08, 0.05, 0.05, 0.04, 0.02, 0.01)
GENDERS = ("", "female_feminine", "male_masculine", "do_not_wish_to_say")
AGES = ("", "teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies")
_KINDS = (0.7, 0.18, 0.12)  # shares of substitutions, deletions, insertions among the errors


@dataclass(frozen=True)
class Recipe:
    """What to make up.

    clips_each: mean clips a speaker; skew: sd of their logarithm. wer: expected of clips without a gap.
    speaker_sd: sd of the logarithm of a speaker's error rate. noise: variance of a clip's errors over Poisson's, less
    one. gaps: factors on the expected errors of speakers with an accent, as named above.
    long_gap: factor on clips of 6 s or more of the accents in `gaps`, in place of the accent's own on all its clips.
    length_slope: power of the seconds in the expected errors; accent_length: factor on the seconds of `gaps`' accents.
    """

    speakers: int = 200
    clips_each: float = 8.0
    skew: float = 0.7
    wer: float = 0.2
    speaker_sd: float = 0.3
    noise: float = 0.5
    gaps: Mapping[str, float] = field(default_factory=dict)
    long_gap: bool = False
    length_slope: float = 0.0
    accent_length: float = 1.0
    runs: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, eq=False)
class Simulated:
    """Clips, speaker after speaker. expected: errors of each clip over many corpora, (runs, clips)."""

    speaker: np.ndarray
    accent: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    seconds: np.ndarray
    snr: np.ndarray
    words: np.ndarray
    expected: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """(runs, clips)."""
        return self.substitutions + self.deletions + self.insertions


def simulate(recipe: Recipe, seed: int) -> Simulated:
    """One corpus; the same for the same recipe and seed."""
    rng = np.random.default_rng(seed)
    each = np.maximum(1, rng.lognormal(np.log(recipe.clips_each) - recipe.skew**2 / 2, recipe.skew, recipe.speakers))
    speaker = np.repeat(np.arange(recipe.speakers, dtype=np.int32), each.astype(int))
    clips = len(speaker)
    accent = rng.choice(len(ACCENTS), recipe.speakers, p=_ACCENT_SHARES).astype(np.int16)[speaker]
    gender = rng.choice(len(GENDERS), recipe.speakers, p=(0.35, 0.2, 0.44, 0.01)).astype(np.int16)[speaker]
    age = rng.integers(0, len(AGES), recipe.speakers).astype(np.int16)[speaker]
    gap = np.array([recipe.gaps.get(name, 1.0) for name in ACCENTS])[accent]
    words = rng.integers(3, 15, clips).astype(np.int32)
    seconds = np.round(words * rng.lognormal(-0.75, 0.25, clips), 3)
    seconds = np.where(gap != 1, seconds * recipe.accent_length, seconds)
    snr = rng.normal(25, 8, clips).astype(np.float32)
    factor = np.where(seconds >= 6, gap, 1.0) if recipe.long_gap else gap
    own = np.exp(rng.normal(0, recipe.speaker_sd, recipe.speakers) - recipe.speaker_sd**2 / 2)[speaker]
    expected = recipe.wer * words * factor * (seconds / 4) ** recipe.length_slope * np.array(recipe.runs)[:, None]
    mean = expected * own
    if recipe.noise:  # gamma-mixed Poisson with variance (1 + noise) times the mean; one draw of it for all runs
        mean = mean * rng.gamma(mean[0] / recipe.noise, recipe.noise / mean[0])
    errors = rng.poisson(mean).astype(np.int32)
    insertions = np.maximum(rng.binomial(errors, _KINDS[2]), errors - words).astype(np.int32)
    deletions = rng.binomial(errors - insertions, _KINDS[1] / (_KINDS[0] + _KINDS[1])).astype(np.int32)
    substitutions = errors - insertions - deletions
    return Simulated(speaker, accent, gender, age, seconds, snr, words, expected, substitutions, deletions, insertions)


def ratios(made: Simulated, recipe: Recipe) -> dict[str, float]:
    """The true ratio of each accent to the others, as evals.adjusted compares them (without a `long_gap`)."""
    logs = np.log([recipe.gaps.get(name, 1.0) for name in ACCENTS])
    words = np.bincount(made.accent, made.words, len(ACCENTS))
    others = [np.average(np.delete(logs, i), weights=np.delete(words, i)) for i in range(len(ACCENTS))]
    return dict(zip(ACCENTS, np.exp(logs - others).tolist(), strict=True))


def scored(made: Simulated, most_blocks: int | None = bootstrap.MOST_BLOCKS, seed: int = 0) -> Scored:
    """As if the corpus had been run, written and loaded."""
    speakers = int(made.speaker[-1]) + 1
    block_of = bootstrap.speaker_blocks(speakers, most_blocks, seed)
    kept: OrderedDict[tuple[str, str], object] = OrderedDict(
        {
            ("category", "accents"): Category(made.accent, ACCENTS),
            ("category", "gender"): Category(made.gender, GENDERS),
            ("category", "age"): Category(made.age, AGES),
            ("number", "seconds"): made.seconds.astype(np.float32),
            ("number", "speaking_rate"): (5 * made.words / made.seconds).astype(np.float32),
            ("number", "snr"): made.snr,
        }
    )
    return Scored(
        runs=tuple(f"run{i}" for i in range(len(made.errors))),
        results=(),
        orders=(np.arange(len(made.words)),),
        speaker=made.speaker,
        speakers=speakers,
        unnamed="",
        block=block_of[made.speaker],
        blocks=int(block_of.max()) + 1,
        starts=np.flatnonzero(np.diff(made.speaker, prepend=-1)),
        words=made.words,
        characters=5 * made.words,
        substitutions=made.substitutions,
        deletions=made.deletions,
        insertions=made.insertions,
        char_errors=3 * made.errors,
        left_out=(0,) * len(made.errors),
        kept=kept,
    )


def rows(made: Simulated, run: int = 0) -> pa.Table:
    """The corpus as rows of a result, see evals.results.SCHEMA. References are letters; ops agree with the counts."""
    clips = len(made.words)
    hits = made.words - made.substitutions[run] - made.deletions[run]
    ops = [
        "=" * h + "S" * s + "D" * d + "I" * i
        for h, s, d, i in zip(hits, made.substitutions[run], made.deletions[run], made.insertions[run], strict=True)
    ]
    wrong = 3 * made.errors[run]
    columns = {
        "clip": [f"clip_{i:08d}.mp3" for i in range(clips)],
        "client_id": _named([f"{i:0128x}" for i in range(int(made.speaker[-1]) + 1)], made.speaker),
        "accents": _named(ACCENTS, made.accent),
        "gender": _named(GENDERS, made.gender),
        "age": _named(AGES, made.age),
        "seconds": made.seconds,
        "speaking_rate": (5 * made.words / made.seconds).astype(np.float32),
        "snr": made.snr,
        "reference": _named([" ".join("abcdefghijklmn"[:n]) for n in range(15)], made.words),
        "hits": hits,
        "substitutions": made.substitutions[run],
        "deletions": made.deletions[run],
        "insertions": made.insertions[run],
        "char_hits": np.maximum(5 * made.words - wrong, 0),
        "char_substitutions": np.minimum(wrong, 5 * made.words),
        "char_deletions": np.zeros(clips, np.int32),
        "char_insertions": np.maximum(wrong - 5 * made.words, 0),
        "ops": ops,
    }
    unknown = _named([""], np.zeros(clips, np.int8))
    for name in SCHEMA.names:
        if name not in columns:
            columns[name] = unknown if is_text(name) else pa.nulls(clips)
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def write(folder: Path, table: pa.Table, pins: Mapping[str, object] | None = None) -> Path:
    """A finished result of these rows. pins: in place of those of the made-up corpus."""
    folder.mkdir(parents=True)
    known = {"corpus": {"name": "made-up", "split": "test", "fingerprint": "0" * 64}, "normaliser": {"profile": "raw"}}
    write_json(folder / RUN, {"format": FORMAT, "state": "complete", "pins": known | dict(pins or {})})
    pq.write_table(table, folder / ROWS, compression="zstd")
    return folder


def _named(names: tuple[str, ...] | list[str], codes: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names)).cast(pa.string())
