"""Emissions kept beside the rows of a run, so that other decoder settings need no model.

One Parquet file a window, in the order of the corpus. Kept without loss: float32, so that decoding them again gives
the same text to the letter (in half precision 3 of 460 clips of real speech decoded by beam search did not). The
four bytes of each number are stored apart, column by column: signs and exponents of neighbouring frames hardly differ
and zstd squeezes them to almost nothing. That takes 62 % (bf16 models) to 79 % (fp32 models) of the plain numbers:
with 32 tokens and 50 frames a second about 14 to 18 MB an hour of audio.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asrdemo.errors import ResultError
from asrdemo.types import Emissions, Vocabulary
from evals.results import EMISSIONS, partial

_LEVEL = 3
_KEY = b"asrdemo"
_SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("frames", pa.int32()),
        ("seconds", pa.float64()),
        ("cuts", pa.list_(pa.int32())),
        ("packed", pa.binary()),
    ]
)


def path_of(folder: Path, window: int) -> Path:
    """Where the emissions of a window of a result lie."""
    return folder / EMISSIONS / f"part-{window:06}.parquet"


def pack(log_probs: np.ndarray) -> bytes:
    """float32 of shape (frames, vocabulary) -> bytes; nothing is lost."""
    plain = np.ascontiguousarray(log_probs.T, dtype="<f4")
    planes = plain.view(np.uint8).reshape(-1, 4).T
    return pa.Codec("zstd", compression_level=_LEVEL).compress(planes.tobytes(), asbytes=True)  # type: ignore[no-any-return]


def unpack(packed: bytes, frames: int, vocabulary: int) -> np.ndarray:
    """The numbers that were packed. Raises ValueError, OSError (pyarrow's) for bytes that are not such."""
    size = frames * vocabulary * 4
    planes = pa.Codec("zstd").decompress(packed, decompressed_size=size, asbytes=True) if size else b""
    plain = np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<f4")
    return np.ascontiguousarray(plain.reshape(vocabulary, frames).T)


def entry(emissions: Emissions) -> dict[str, Any]:
    """A clip's row of the file, but for its name."""
    row = {"frames": len(emissions.log_probs), "seconds": emissions.duration, "cuts": list(emissions.cuts)}
    return row | {"packed": pack(emissions.log_probs)}


def write(path: Path, entries: Sequence[dict[str, Any]], vocabulary: Vocabulary, seconds_per_frame: float) -> None:
    """The entries of a window, under a temporary name first."""
    about = {"tokens": vocabulary.tokens, "blank": vocabulary.blank, "special": sorted(vocabulary.special)}
    about["seconds_per_frame"] = seconds_per_frame
    table = pa.Table.from_pylist(list(entries), schema=_SCHEMA.with_metadata({_KEY: json.dumps(about)}))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, partial(path), compression="none", use_dictionary=False, write_statistics=False)
    partial(path).replace(path)


def read(path: Path) -> Iterator[tuple[str, Emissions]]:
    """(clip, emissions) in the order written. Raises ResultError for a file that is missing or damaged."""
    try:
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[_KEY])
        vocabulary = Vocabulary(tuple(about["tokens"]), about["blank"], frozenset(about["special"]))
        for row in table.to_pylist():
            numbers = unpack(row["packed"], row["frames"], len(vocabulary))
            cuts = tuple(row["cuts"])
            yield row["clip"], Emissions(numbers, vocabulary, about["seconds_per_frame"], row["seconds"], cuts)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise ResultError(f"Kept emissions cannot be read ({path.name}: {error}). Run again with them kept.") from error


def windows(folder: Path) -> list[Path]:
    """The files of a result, in the order of the corpus. Raises ResultError where none were kept."""
    found = sorted((folder / EMISSIONS).glob("part-*.parquet"))
    if not found:
        raise ResultError(
            f"Result {folder.name!r} has no kept emissions; run it with --keep-emissions to decode it again."
        )
    return found
