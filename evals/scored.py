"""Rows of one or more results, joined by clip: compact arrays that slices, tests and filters read.

A clip is a position in all arrays. Clips lie speaker after speaker, which makes sums by speaker block quick.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.errors import NotFoundError, ResultError
from evals import bootstrap
from evals.results import SCHEMA, Result, open_result

SEPARATORS = {"accents": " | ", "sentence_domain": ","}
"""Columns that may hold several values, and what lies between them."""

_OF_CORPUS = {"name": "corpus", "split": "split", "fingerprint": "clips of the corpus"}
_OF_RULES = {
    "profile": "language rules of the normaliser",
    "version": "version of the normaliser",
    "fingerprint": "settings of the normaliser",
    "unicode": "Unicode tables",
}
_KEPT_BYTES = 1000  # for each clip of each result, of columns, groupings and the like; and so many at least:
_LEAST_KEPT_BYTES = 2**25
_SAMPLED = 1000  # values of a long list that are measured
_MUCH_UNNAMED = 0.05  # share of the words without a speaker from which it is said
_COUNTS = ("hits", "substitutions", "deletions", "insertions")
_READ = ("clip", *_COUNTS, *(f"char_{name}" for name in _COUNTS))


@dataclass(frozen=True, eq=False)
class Category:
    """A column of texts. codes: (clips,) small integers into values, which are sorted; "" is unknown."""

    codes: np.ndarray
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scored:
    """Clips that all of the results have heard.

    runs: name of each result. orders: (clips,) each, the row of each clip in the result's file.
    speaker: int32 (clips,), ascending, 0 to speakers - 1; clips without client_id are together one speaker.
    unnamed: how many clips have no client_id. Some are together speaker 0; where all have none each is a speaker of its
    own, and intervals are too narrow.
    block: int32 (clips,), the speaker's block for resampling, 0 to blocks - 1, see evals.bootstrap. starts: the first
    clip of each stretch of clips of one speaker with the same texts in the columns read at first.
    words, characters: (clips,) of the reference, normalised. substitutions, deletions, insertions: words,
    (runs, clips); char_errors: (runs, clips). left_out: how many clips of each result some other result lacks;
    lacking: how many clips some result lacks.
    kept: what was read or derived so far, see `once`; sizes: bytes of each, measured when it came.
    """

    runs: tuple[str, ...]
    results: tuple[Result, ...]
    orders: tuple[np.ndarray, ...]
    speaker: np.ndarray
    speakers: int
    unnamed: Literal["", "some", "all"]
    block: np.ndarray
    blocks: int
    starts: np.ndarray
    words: np.ndarray
    characters: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    char_errors: np.ndarray
    left_out: tuple[int, ...]
    lacking: int = 0
    kept: OrderedDict[Any, Any] = field(default_factory=OrderedDict, repr=False)
    sizes: dict[Any, float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def caveat(self) -> str:
        """A sentence that belongs beside every interval of these clips, or ""."""
        if self.unnamed != "all":
            unknown = self.words[self.speaker == 0].sum() if self.unnamed else 0
            share = float(unknown / max(1, self.words.sum()))
            if share <= _MUCH_UNNAMED:
                return ""
            return (
                f"Of {100 * share:.0f} % of the words the corpus does not say who speaks (no client_id); they count as "
                "one speaker's, so intervals are wide."
            )
        return (
            "This corpus does not say who speaks (no client_id), so each clip counts as a speaker of its own: "
            "intervals are too narrow and p too small, by a lot where few people recorded many clips."
        )

    @cached_property
    def errors(self) -> np.ndarray:
        """Word errors, (runs, clips)."""
        return _small(self.substitutions.astype(np.int32) + self.deletions + self.insertions)

    def once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What `make` gives, made at the first call with this key; of what takes much memory together, what was asked
        for last is kept."""
        try:
            value = self.kept[key]
        except KeyError:
            value = self.kept[key] = make()
            self._trim()
        with suppress(KeyError):  # pages ask from several threads: another may just have put it out
            self.kept.move_to_end(key)
        return value

    def _trim(self) -> None:
        most = max(_LEAST_KEPT_BYTES, _KEPT_BYTES * len(self) * len(self.runs))
        kept = list(self.kept)
        for key in kept:
            if key not in self.sizes:  # each once: of hundreds of tables it would take longer than to make another one
                self.sizes[key] = size(self.kept.get(key))
        total = sum(self.sizes.get(key, 0.0) for key in kept)
        for key in kept[:-1]:
            if total <= most:
                break
            self.kept.pop(key, None)
            total -= self.sizes.pop(key, 0.0)

    def run(self, name: str | int) -> int:
        """Index of a run by name. Raises NotFoundError with the names there are."""
        if isinstance(name, int) and 0 <= name < len(self.runs):
            return name
        if name in self.runs:
            return self.runs.index(str(name))
        raise NotFoundError(f"There is no run {name!r} here; there are: {', '.join(self.runs)}.")

    def column(self, name: str, run: int = 0) -> pa.ChunkedArray:
        """A column of a result's rows, clip by clip, as it lies in the file; see evals.results.SCHEMA.

        Raises NotFoundError for a name that the rows do not have.
        """
        _known(name)

        def read() -> pa.ChunkedArray:
            return self.results[run].read([name])[name].take(pa.array(self.orders[run]))

        return self.once(("column", name, run), read)

    def category(self, name: str) -> Category:
        """A column of texts, coded; `words` and other numbers raise ResultError. Raises as `column` does."""
        if not is_text(name):
            raise ResultError(f"Column {name!r} holds numbers, not values to choose from; give a range.")

        def read() -> Category:
            whole = _coded(self.results[0].read([name])[name])
            return Category(_small(whole.codes[self.orders[0]]), whole.values)

        return self.once(("category", name), read)

    def number(self, name: str) -> np.ndarray:
        """A column of numbers, float32 (clips,), nan where there is none; `words` are those of the reference."""
        if is_text(name):
            raise ResultError(f"Column {name!r} holds texts, not numbers; choose among its values.")
        if name != "words" and pa.types.is_list(_known(name).type):
            raise ResultError(f"Column {name!r} holds a number for each word of a clip, not one; it gives no range.")

        def read() -> np.ndarray:
            whole = self.words if name == "words" else self.results[0].read([name])[name].to_numpy()[self.orders[0]]
            return whole.astype(np.float32)

        return self.once(("number", name), read)


def is_text(name: str) -> bool:
    """Whether a column of the rows holds texts. Raises NotFoundError for a column that rows do not have."""
    return name != "words" and pa.types.is_string(_known(name).type)


def size(value: Any) -> float:
    """Bytes that a value takes, about: of arrays, columns and tables, and of what is made of them."""
    if isinstance(value, (np.ndarray, pa.ChunkedArray, pa.Table)):
        return float(value.nbytes)
    if is_dataclass(value):
        return sum(size(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    if isinstance(value, (tuple, list)):
        few = value[:_SAMPLED]
        return sum(map(size, few)) * len(value) / max(1, len(few))
    return float(sys.getsizeof(value))


def parts(column: str, value: str) -> list[str]:
    """What one value of a column stands for: several where the column may hold several, else itself."""
    separator = SEPARATORS.get(column)
    return list(dict.fromkeys(value.split(separator))) if separator else [value]


def unlike(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """What keeps results from being compared: a name, and what each result has there. Empty where nothing does.

    The fingerprint tells the clips, whatever the corpus is called; of the normaliser everything counts. The first look
    only: `load` compares the references as well.
    """
    pins = [result.info["pins"] for result in results]
    rows = []
    if len({each["corpus"]["fingerprint"] for each in pins}) > 1:
        rows += [(name, [str(each["corpus"].get(key, "")) for each in pins]) for key, name in _OF_CORPUS.items()]
    for key in dict.fromkeys([*_OF_RULES, *(key for each in pins for key in each["normaliser"])]):
        title = _OF_RULES.get(key, f"normaliser's {key}")
        rows.append((title, [str(each["normaliser"].get(key, "")) for each in pins]))
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def load(
    folders: Sequence[Path | str | Result],
    *,
    columns: Sequence[str] = ("accents", "gender", "age", "seconds", "speaking_rate", "snr"),
    most_blocks: int | None = bootstrap.MOST_BLOCKS,
    seed: int = 0,
) -> Scored:
    """Results of the same clips -> their rows, joined by clip. The first one says what the clips are like.

    columns: read now rather than when first asked for. most_blocks, seed: see evals.bootstrap.speaker_blocks.
    Raises NotFoundError where there is no result, and ResultError for results that cannot be compared (other
    corpus, other normaliser, other references, no clip in common), saying what differs.
    """
    if not folders:
        raise ResultError("Got no result; expected the folder of one or more.")
    results = tuple(f if isinstance(f, Result) else open_result(f) for f in folders)
    runs = tuple(result.name for result in results)
    if len(set(runs)) < len(runs):
        raise ResultError(f"A result was given twice, or two have the same name: {', '.join(runs)}.")
    for other in results[1:]:
        if differences := unlike((results[0], other)):
            told = "; ".join(f"{name}: {' and '.join(values)}" for name, values in differences)
            raise ResultError(
                f"Results {results[0].name!r} and {other.name!r} cannot be compared: {told}. "
                "Choose results of the same clips, or run one again with the other's corpus and normaliser."
            )
    tables = [result.read(_READ) for result in results]
    orders, left_out, lacking = _joined([table["clip"] for table in tables], runs)
    _same_references(results, orders)
    texts = {name: _coded(results[0].read([name])[name]) for name in columns if is_text(name)}
    speaker, unnamed = _speakers(_coded(results[0].read(["client_id"])["client_id"]), orders[0])
    order, starts = _stretches([*(each.codes[orders[0]] for each in texts.values()), speaker])
    orders, speaker = tuple(each[order] for each in orders), speaker[order]
    speakers = int(speaker[-1]) + 1
    block_of = bootstrap.speaker_blocks(speakers, most_blocks, seed)
    counts = {name: _small(np.stack([t[name].to_numpy()[o] for t, o in zip(tables, orders, strict=True)]))
              for name in _READ[1:]}  # fmt: skip
    del tables
    scored = Scored(
        runs=runs,
        results=results,
        orders=orders,
        speaker=speaker,
        speakers=speakers,
        unnamed=unnamed,
        block=block_of[speaker],
        blocks=int(block_of.max()) + 1,
        starts=starts,
        words=_same(counts, "", results, orders[0]),
        characters=_same(counts, "char_", results, orders[0]),
        substitutions=counts["substitutions"],
        deletions=counts["deletions"],
        insertions=counts["insertions"],
        char_errors=_small(
            counts["char_substitutions"].astype(np.int32) + counts["char_deletions"] + counts["char_insertions"]
        ),
        left_out=left_out,
        lacking=lacking,
    )
    for name in columns:
        if name in texts:
            scored.kept["category", name] = Category(_small(texts[name].codes[orders[0]]), texts[name].values)
        else:
            scored.number(name)
    return scored


def _known(name: str) -> pa.Field:
    if name not in SCHEMA.names:
        raise NotFoundError(f"Rows have no column {name!r}; there are: words, {', '.join(SCHEMA.names)}.")
    return SCHEMA.field(name)


def _joined(clips: list[pa.ChunkedArray], runs: tuple[str, ...]) -> tuple[tuple[np.ndarray, ...], tuple[int, ...], int]:
    """For each result the rows of the clips that all have, in the first one's order, and how many others each has; and
    how many clips are not in all."""
    first = clips[0]
    places, own = [np.arange(len(first))], [first]  # those with clips of their own are looked at more closely
    for other in clips[1:]:
        if other.equals(first):
            places.append(places[0])
        else:
            found = pc.index_in(first, value_set=other)
            places.append(pc.fill_null(found, -1).to_numpy().astype(np.int64))
            own.append(other)
    for run, each in zip(runs, clips, strict=True):
        if any(each is other for other in own) and len(pc.unique(each)) < len(each):
            raise ResultError(f"Result {run!r} has a clip more than once. Run it again.")
    common = np.all([place >= 0 for place in places], axis=0)
    if not common.any():
        raise ResultError(f"Results {', '.join(runs)} have no clip in common; nothing can be measured on them.")
    total = int(common.sum())
    every = pc.unique(pa.chunked_array([chunk for each in own for chunk in each.chunks]))
    return tuple(place[common] for place in places), tuple(len(c) - total for c in clips), len(every) - total


def _same_references(results: tuple[Result, ...], orders: tuple[np.ndarray, ...]) -> None:
    """Raises ResultError where a clip was scored on another text; rows of another program may lack texts."""
    if len(results) < 2:
        return
    first, *others = (
        pc.fill_null(result.read(["reference"])["reference"].take(pa.array(order)), "")
        for result, order in zip(results, orders, strict=True)
    )
    for result, other in zip(results[1:], others, strict=True):
        known = pc.and_(pc.not_equal(first, ""), pc.not_equal(other, ""))
        unlike = pc.and_(known, pc.not_equal(first, other)).to_numpy()
        if unlike.any():
            at = int(np.flatnonzero(unlike)[0])
            raise ResultError(
                f"References of {unlike.sum():,} clips differ between {results[0].name!r} and {result.name!r}, such as "
                f"{first[at].as_py()[:60]!r} and {other[at].as_py()[:60]!r}: they were not scored on the same texts. "
                "Run one of them again."
            )


def _coded(column: pa.ChunkedArray) -> Category:
    """Texts -> codes in the order of the sorted values, so that they do not depend on the order of the rows."""
    coded = pc.fill_null(column, "").dictionary_encode().unify_dictionaries()
    if not coded.num_chunks:
        return Category(np.zeros(0, np.int32), ())
    values = coded.chunk(0).dictionary
    order = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(values), dtype=np.int32)
    rank[order] = np.arange(len(values), dtype=np.int32)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks])
    return Category(rank[codes], tuple(values.take(pa.array(order)).to_pylist()))


def _speakers(clients: Category, order: np.ndarray) -> tuple[np.ndarray, Literal["", "some", "all"]]:
    """A number for each speaker who has a clip here, in the order of their ids, and how many clips have no id.

    Those without id are together one speaker, the first: who knows how many they are. Where no clip has an id, each is
    a speaker of its own.
    """
    codes = clients.codes[order].astype(np.int64)
    blank = (codes == 0) & (clients.values[:1] == ("",))
    unnamed: Literal["", "some", "all"] = "all" if blank.all() else "some" if blank.any() else ""
    if unnamed == "all":
        codes = np.arange(len(codes))
    present = np.zeros(codes.max() + 1, dtype=bool)
    present[codes] = True
    return (np.cumsum(present, dtype=np.int32) - 1).astype(np.int32)[codes], unnamed


def _stretches(codes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The order of the clips by all codes, the last one first; and where, in that order, a stretch of equals starts."""
    order = np.lexsort(codes)
    return order, np.flatnonzero(np.any([np.diff(each[order], prepend=-1) for each in codes], axis=0))


def _same(counts: dict[str, np.ndarray], unit: str, results: tuple[Result, ...], order: np.ndarray) -> np.ndarray:
    """Units of the references, which must be those of the first result in all."""
    hits, substitutions, deletions = (counts[f"{unit}{name}"].astype(np.int32) for name in _COUNTS[:3])
    lengths = hits + substitutions + deletions
    if (unlike := (lengths != lengths[0]).any(axis=0)).any():
        at = int(np.flatnonzero(unlike)[0])
        run = int(np.flatnonzero(lengths[:, at] != lengths[0, at])[0])
        clip = results[0].read(["clip"])["clip"][int(order[at])]
        sizes = f"{lengths[0, at]} and {lengths[run, at]} {'characters' if unit else 'words'}"
        raise ResultError(
            f"References of {unlike.sum():,} clips differ between {results[0].name!r} and {results[run].name!r}, such "
            f"as {clip} ({sizes}): they were not scored on the same texts. Run one of them again."
        )
    return _small(lengths[0])


def _small(values: np.ndarray) -> np.ndarray:
    """The same whole numbers as int16 where they fit, else int32."""
    return values.astype(np.int16 if values.size == 0 or int(values.max()) < 2**15 else np.int32)
