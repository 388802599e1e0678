"""Prechecks of the labels: can the vocabulary write the texts, do they fit their audio, and are they of it?"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from asrdemo import text
from asrdemo.finetune import labels, scores
from asrdemo.finetune.base import Start
from asrdemo.finetune.labels import SPECIAL, Alphabet
from asrdemo.finetune.precheck_report import MOST_NAMES, Row, State, Unknown, length, listed, number, percent
from asrdemo.finetune.recipe import Recipe
from asrdemo.finetune.shards import Shard
from asrdemo.types import SAMPLE_RATE

MOST_CHARACTERS, MOST_CLIPS = 0.01, 0.05  # unknown ones a run may have
MOST_UNREACHABLE = 0.05  # WER that a perfect output may have
MOST_INFEASIBLE = 0.5  # of the clips: beyond it the texts are not those of the audio, or the frames are too long
FASTEST, SLOWEST = 30.0, 1.0  # characters a second that somebody may speak
RARE = 5  # times a character of a new vocabulary should come up
_SAMPLE = 2000  # clips that other ways to normalise are tried on
_SHOWN = 40  # unknown characters a report lists


@dataclass(frozen=True)
class Scan:
    """Training clips of all corpora end to end; arrays have shape (clips,). needed: frames that CTC needs for the
    labels, -1 where a character is not in the vocabulary; frames: what the model makes; characters: of the text, where
    a normalisation by character parts them without those spaces."""

    shards: tuple[Shard, ...]
    needed: np.ndarray
    frames: np.ndarray
    seconds: np.ndarray
    characters: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Which clips can be trained on."""
        return (self.needed >= 0) & (self.frames >= np.maximum(self.needed, 1))

    def names(self, chosen: np.ndarray) -> tuple[str, ...]:
        """Corpus and file of the clips at these places, MOST_NAMES at most."""
        begins = np.cumsum([0, *map(len, self.shards)])
        of = np.searchsorted(begins, chosen[:MOST_NAMES], side="right") - 1
        return tuple(
            f"{self.shards[s].id}/{self.shards[s].names[int(i - begins[s])]}"
            for s, i in zip(of, chosen[:MOST_NAMES], strict=True)
        )

    def texts(self, column: str = "text") -> list[str]:
        """A column of all clips."""
        return [value for shard in self.shards for value in shard.column(column)]


def scan(shards: Sequence[Shard], start: Start) -> Scan:
    """Write every text in labels, once."""
    samples = np.concatenate([shard.lengths for shard in shards])
    written = [shard.texts.arrow for shard in shards]
    if start.alphabet.by_character:
        written = [pc.replace_substring(column, " ", "") for column in written]
    characters = np.concatenate([pc.utf8_length(column).to_numpy() for column in written])
    needed = np.fromiter(_needed(shards, start.alphabet), np.int64, len(samples))
    frames = np.asarray(labels.frames(samples, start.model.config))
    return Scan(tuple(shards), needed, frames, samples / SAMPLE_RATE, characters)


def _needed(shards: Sequence[Shard], alphabet: Alphabet) -> Iterable[int]:
    for shard in shards:
        for line in shard.texts:
            ids = alphabet.labels(line)
            yield -1 if ids is None else labels.frames_needed(ids)


def rows(found: Scan, recipe: Recipe, start: Start, held: Sequence[Shard]) -> tuple[list[Row], tuple[Unknown, ...]]:
    """All rows about texts, and the unknown characters. held: dev and test."""
    spelled, unknown = _unknown(found, recipe, start)
    plain = [spelled, _fit(found), _pace(found), _vocabulary(found, start), *_held(held, start.alphabet)]
    return [*plain, *_reachable(held, recipe, start.alphabet), *_parted(recipe)], unknown


def _unknown(found: Scan, recipe: Recipe, start: Start) -> tuple[Row, tuple[Unknown, ...]]:
    """Characters that the vocabulary cannot write."""
    bad = np.flatnonzero(found.needed < 0)
    total, clips = int(found.characters.sum()), len(found.needed)
    if not len(bad):
        return Row("characters", "ok", f"The vocabulary has every character of {number(clips, 'training text')}."), ()
    texts = found.texts()
    counts = unknown_of((texts[i] for i in bad), start.alphabet)
    characters, share = sum(counts.values()) / max(1, total), len(bad) / clips
    state: State = "block" if characters > MOST_CHARACTERS or share > MOST_CLIPS else "warn"
    listing = [_spot(c, n, texts, bad, found) for c, n in counts.most_common(_SHOWN)]
    which = listed((f"{shown(c)} ({n:,})" for c, n in counts.most_common()), 6)
    sentence = (
        f"The vocabulary lacks {percent(characters)} of the characters: {which}; so {number(len(bad), 'clip')} of "
        f"{clips:,} ({percent(share)}, {length(float(found.seconds[bad].sum()))}) cannot be trained on"
    )
    why, fix, change = remedy(found, recipe, start)
    return Row("characters", state, f"{sentence}{why}.", fix, found.names(bad), change), tuple(listing)


def unknown_of(texts: Iterable[str], alphabet: Alphabet) -> Counter[str]:
    """Characters of texts that no label stands for, with how often they come up."""
    counts = Counter("".join(texts))
    return Counter({c: n for c, n in counts.items() if alphabet.labels(c) is None})


def _spot(character: str, count: int, texts: list[str], bad: np.ndarray, found: Scan) -> Unknown:
    having = [i for i in bad if character in texts[i]]
    return Unknown(character, count, len(having), found.names(np.array(having[:1]))[0])


def shown(character: str) -> str:
    """A character such that it can be seen: `é`, `space`, `U+200B`."""
    if character == " ":
        return "space"
    return f"'{character}'" if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def remedy(found: Scan, recipe: Recipe, start: Start) -> tuple[str, str, dict[str, str]]:
    """(what is more to be said, what to do, the change) about unknown characters: another way to normalise if one
    helps, another case, else a vocabulary of one's own."""
    places = np.unique(np.linspace(0, len(found.needed) - 1, min(_SAMPLE, len(found.needed))).astype(int))
    written, sentences = found.texts(), found.texts("sentence")
    written, sentences = [written[i] for i in places], [sentences[i] for i in places]
    now = _share_unknown(written, start.alphabet)
    best, least = "", now
    for name in _profiles(recipe):
        share = _share_unknown(text.normalise_all(sentences, name), start.alphabet.under(name))
        if share < least:
            best, least = name, share
    if best and (least <= MOST_CLIPS or least < now / 2):
        rest = f"leaves {percent(least)} of the clips" if least else "leaves none"
        return "", f"Set `normalisation: {best}`, which {rest}.", {"normalisation": best}
    why = ""
    for case in ("upper", "lower"):
        if _share_unknown(written, dataclasses.replace(start.alphabet, case=case)) < now / 2:
            why = f"; in {case} case they would be known, but the vocabulary mixes letters of both cases"
    fix = "Set `vocabulary: train` for a new output layer with these characters"
    if now > MOST_CLIPS or why:
        return why, f"{fix}, or take another base.", {"vocabulary": "train"}
    return why, f"Leave these clips out, as happens by itself, or: {fix[0].lower()}{fix[1:]}.", {}


def _profiles(recipe: Recipe) -> list[str]:
    """Ways to normalise that may suit the language, the likeliest first; the one in use left out."""
    own = text.for_language(recipe.language)
    spaced = [name for name, p in text.PROFILES.items() if not (p.by_character or p.verbatim)]
    order = [own, text.folded(own), "default", *spaced, "raw"]
    return [name for name in dict.fromkeys(order) if name and name != recipe.normalisation]


def _share_unknown(texts: Sequence[str], alphabet: Alphabet) -> float:
    return sum(alphabet.labels(line) is None for line in texts) / max(1, len(texts))


def _fit(found: Scan) -> Row:
    """CTC needs a frame for each label, and one more between equal neighbours."""
    bad = np.flatnonzero(found.frames < found.needed)
    if not len(bad):
        count = number(int((found.needed >= 0).sum()), "clip")
        return Row("labels and frames", "ok", f"No label of {count} is without a frame.")
    bad = bad[np.argsort(found.frames[bad] / found.needed[bad], kind="stable")]
    share, worst = len(bad) / len(found.needed), bad[0]
    have, example = "has" if len(bad) == 1 else "have", found.names(bad[:1])[0]
    sentence = (
        f"{number(len(bad), 'clip')} of {len(found.needed):,} ({percent(share)}) {have} more labels than frames, such "
        f"as {example} with {found.needed[worst]} for {found.frames[worst]}: no alignment exists."
    )
    if share > MOST_INFEASIBLE:
        fix = "The texts are probably not those of the audio: compare a few, and mend the corpus's table."
        return Row("labels and frames", "block", sentence, fix, found.names(bad))
    fix = "Look whether the text is that of the clip; they are left out of training."
    return Row("labels and frames", "warn", sentence, fix, found.names(bad))


def _pace(found: Scan) -> Row:
    """Texts that nobody could speak so fast, or would so slowly, are often those of another clip."""
    pace = found.characters / np.maximum(found.seconds, 1e-9)
    odd = np.flatnonzero((pace > FASTEST) | (pace < SLOWEST))
    usual = f"{np.median(pace):.0f} characters a second are usual"
    if not len(odd):
        return Row("pace", "ok", f"Nobody speaks over {FASTEST:g} or under {SLOWEST:g} characters a second; {usual}.")
    fast = int((pace > FASTEST).sum())
    sentence = (
        f"{number(fast, 'clip')} over {FASTEST:g} and {number(len(odd) - fast, 'clip')} under {SLOWEST:g} characters a "
        f"second ({usual}): their text may be cut off, or another clip's."
    )
    odd = odd[np.argsort(-np.abs(np.log(np.maximum(pace[odd], 1e-3) / np.median(pace))), kind="stable")]
    return Row("pace", "warn", sentence, "Listen to a few of them; remove the wrong ones.", found.names(odd))


def _vocabulary(found: Scan, start: Start) -> Row:
    """Where the output's characters come from; dev and test have no say in it."""
    alphabet = start.alphabet
    size = number(len(alphabet.spelling), "character")
    if not any(name.startswith("lm_head.") for name in start.new_weights):
        how = {"upper": ", in upper case", "lower": ", in lower case"}.get(alphabet.case, "")
        return Row(
            "vocabulary", "ok", f"The base's own vocabulary is used: {size}{how}, the blank in column {alphabet.blank}."
        )
    counts = Counter("".join(found.texts()))
    rare = sorted((c for c in alphabet.vocab if c not in SPECIAL and 0 < counts[c] < RARE), key=lambda c: counts[c])
    sentence = f"The vocabulary, {size}, is taken from the training texts alone"
    if not rare:
        return Row("vocabulary", "ok", f"{sentence}.")
    which = listed((f"{shown(c)} ({counts[c]})" for c in rare), 8)
    sentence += f"; {number(len(rare), 'character')} found less than {RARE} times cannot be learnt: {which}."
    return Row("vocabulary", "warn", sentence, "Normalise them away, or remove their clips.", tuple(rare))


def _held(shards: Sequence[Shard], alphabet: Alphabet) -> Iterable[Row]:
    """Dev and test texts that no output can match."""
    for shard in shards:
        bad = [i for i, line in enumerate(shard.texts) if alphabet.labels(line) is None]
        if bad:
            counts = unknown_of((shard.texts[i] for i in bad), alphabet)
            which = listed((f"{shown(c)} ({n:,})" for c, n in counts.most_common()), 6)
            sentence = (
                f"{number(len(bad), 'text')} of {len(shard):,} in {shard.id!r} cannot be written by the model for "
                f"lack of {which}; each counts as an error."
            )
            fix = "Normalise them away, or take training texts that have them."
            names = tuple(f"{shard.id}/{shard.names[i]}" for i in bad[:MOST_NAMES])
            yield Row("evaluation characters", "warn", sentence, fix, names)


def _reachable(shards: Sequence[Shard], recipe: Recipe, alphabet: Alphabet) -> Iterable[Row]:
    """What error rate an output without any mistake would have: more than 0 where the vocabulary writes letters
    otherwise than the texts do, as one of capitals for `raw` texts."""
    name = recipe.normalisation
    for shard in shards:
        known = [(i, line, ids) for i, line in enumerate(shard.texts) if (ids := alphabet.labels(line)) is not None]
        lines, heard = [line for _, line, _ in known], [alphabet.read(ids) for *_, ids in known]
        counts = scores.counts(lines, text.normalise_all(heard, name), name)
        bad = np.flatnonzero(counts.edits)
        if not len(bad):
            continue
        first = bad[0]
        sentence = (
            f"A perfect output would have a WER of {percent(counts.wer)} on {shard.id!r}, since the vocabulary writes "
            f"{heard[first][:_SHOWN]!r} where the text is {lines[first][:_SHOWN]!r}."
        )
        own = text.for_language(recipe.language)
        fix, change = "Set `vocabulary: train`, or take another base.", {"vocabulary": "train"}
        if text.profile(name).verbatim:
            fix, change = f"Set `normalisation: {own}`, or `vocabulary: train`.", {"normalisation": own}
        state: State = "block" if counts.wer > MOST_UNREACHABLE else "warn"
        names = tuple(f"{shard.id}/{shard.names[known[i][0]]}" for i in bad[:MOST_NAMES])
        yield Row("case", state, sentence, fix, names, change)


def _parted(recipe: Recipe) -> Iterable[Row]:
    """Without spaces in the texts, a whole sentence would count as one word."""
    own = text.for_language(recipe.language)
    if text.profile(own).by_character and not text.profile(recipe.normalisation).by_character:
        sentence = (
            f"Texts of the language {recipe.language!r} have no spaces between words, so with `normalisation: "
            f"{recipe.normalisation}` a WER is that of whole sentences."
        )
        yield Row("words", "warn", sentence, f"Set `normalisation: {own}`.", (), {"normalisation": own})
