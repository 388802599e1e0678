"""The result of a run: a folder with `run.json` (what was run, and how it went) and `rows.parquet` (one row a clip).

While a run is under way its rows lie in `parts/`, one file for each window of the corpus. All rows are in the order
of the corpus. `emissions/` is there if they were kept (see evals.emissions_store).
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asrdemo import files
from asrdemo.errors import NotFoundError, ResultError

FORMAT = 1  # of run.json and of the rows; raise it when either changes so that older readers cannot follow
RUN, ROWS, PARTS, EMISSIONS = "run.json", "rows.parquet", "parts", "emissions"

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_SELF = f"{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"  # of this process, also among those of other machines
_SILENT = 3600  # seconds after which a process of another machine no longer writes at a file

_PINNED = {"corpus": ("name", "split", "fingerprint"), "normaliser": ("profile",)}
_KINDS: dict[str, type] = {"score": dict, "clips": int}
"""What run.json must pin, and of which kind the rest must be where it is there."""

_TEXT, _COUNT, _NUMBER, _EACH_WORD = pa.string(), pa.int32(), pa.float32(), pa.list_(pa.float32())

_TEXTS = ("clip", "client_id", "sentence_id", "sentence_domain", "locale", "segment", "variant")
_PERSON = ("accents", "accents_raw", "gender", "gender_raw", "age")
_EDITS = ("hits", "substitutions", "deletions", "insertions")
_CLIP = (
    *((name, _TEXT) for name in _TEXTS + _PERSON),
    ("up_votes", _COUNT),
    ("down_votes", _COUNT),
    ("seconds", pa.float64()),
    ("loudness", _NUMBER),
    ("snr", _NUMBER),
    ("bandwidth", _NUMBER),
    ("reference_raw", _TEXT),
)
_HEARD = (
    ("speaking_rate", _NUMBER),
    ("hypothesis_raw", _TEXT),
    ("reference", _TEXT),
    ("hypothesis", _TEXT),
    *((name, _COUNT) for name in _EDITS),
    *((f"char_{name}", _COUNT) for name in _EDITS),
    ("raw_words", _COUNT),
    ("raw_errors", _COUNT),
    ("ops", _TEXT),
    ("word_starts", _EACH_WORD),
    ("word_ends", _EACH_WORD),
    ("word_confidences", _EACH_WORD),
    *((name, _NUMBER) for name in ("acoustic_score", "lm_score", "confidence", "acoustic_s", "decode_s")),
)

SCHEMA = pa.schema([*_CLIP, *_HEARD])
"""Columns of the rows.

clip: file name within the corpus, unique. client_id to down_votes: as the corpus says, "" or null where it does not;
accents, gender: in one vocabulary, what was written is in accents_raw, gender_raw. seconds: length of the recording.
loudness (dBFS), snr (dB), bandwidth (Hz): see asrdemo.measure; null where the split was not measured.
speaking_rate: characters of the reference, spaces left out, a second.
reference_raw, hypothesis_raw: as written and as decoded; reference, hypothesis: normalised, words separated by spaces.
hits to insertions: words, normalised; char_*: characters, normalised; raw_words, raw_errors: words of the raw pair.
ops: the word alignment, a letter a step (= S D I); walks reference.split() and hypothesis.split().
word_starts, word_ends (seconds), word_confidences (0 to 1): one for each word of `hypothesis`.
acoustic_score, lm_score: natural log, of the best hypothesis. confidence: mean of the words', null without words.
acoustic_s, decode_s: wall seconds charged to the clip.
"""

CLIP_COLUMNS = tuple(name for name, _ in _CLIP)
"""The columns that say what the clip is; the others say what was heard in it."""

TIMINGS = ("acoustic_s", "decode_s")
"""Columns that differ from run to run."""


@dataclass(frozen=True)
class Result:
    """One run. info: run.json, see evals.run; its `pins` decide the rows."""

    folder: Path
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def complete(self) -> bool:
        """Whether every clip has been heard or quarantined, and the rows are in one file."""
        return bool(self.info["state"] == "complete")

    def read(self, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """Rows, in the order of the corpus; those there are so far while the run is under way.

        columns: names, all by default. filters: as pyarrow.parquet.read_table takes them.
        Raises ResultError for a file that cannot be read.
        """
        wanted = None if columns is None else list(columns)
        rows = self.folder / ROWS
        try:
            if rows.is_file():
                return pq.read_table(rows, columns=wanted, filters=filters)
            parts = [pq.read_table(p, columns=wanted, filters=filters) for p in part_files(self.folder)]
        except (OSError, pa.ArrowException) as error:
            raise ResultError(f"The rows of result {self.name!r} cannot be read: {error}. Run it again.") from error
        empty = SCHEMA.empty_table()
        return pa.concat_tables([empty if wanted is None else empty.select(wanted), *parts])


def part_files(folder: Path) -> list[Path]:
    """The windows' files that are finished, in the order of the corpus."""
    return sorted((folder / PARTS).glob("part-*.parquet"))


def open_result(folder: Path | str) -> Result:
    """The result in a folder, finished or not. Raises NotFoundError where there is none, ResultError for a bad one."""
    folder = Path(folder)
    path = folder / RUN
    if not path.is_file():
        raise NotFoundError(f"There is no result in {folder.name!r}: it has no {RUN}. `python -m evals list` has them.")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{RUN} of result {folder.name!r} cannot be read: {error}.") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT or "pins" not in info or "state" not in info:
        found = info.get("format") if isinstance(info, dict) else None
        raise ResultError(f"{RUN} of result {folder.name!r} has format {found!r}; expected {FORMAT}. Run it again.")
    if lacks := _lacking(info):
        raise ResultError(f"{RUN} of result {folder.name!r} does not say {lacks} as it should. Run it again.")
    return Result(folder, info)


def _lacking(info: dict[str, Any]) -> str:
    """What every reader relies on and is not there, or is of another kind; "" where all is well."""
    pins = info["pins"] if isinstance(info["pins"], dict) else {}
    groups = {name: pins.get(name, {}) for name in (*_PINNED, "checkpoint", "decoder")}
    for group, pinned in groups.items():
        if not isinstance(pinned, dict):
            return f"pins.{group}"
        for name in _PINNED.get(group, ()):
            if not isinstance(pinned.get(name), str):
                return f"pins.{group}.{name}"
    return next((name for name, kind in _KINDS.items() if not isinstance(info.get(name, kind()), kind)), "")


def list_results(home: Path, opened: Callable[[Path], Result] = open_result) -> list[Result]:
    """The results under `<home>/results`, latest first; folders that hold none are left out. opened: reads a folder."""
    found = []
    for path in (home / "results").glob(f"*/{RUN}"):
        try:
            found.append(opened(path.parent))
        except (NotFoundError, ResultError):
            continue
    return sorted(found, key=lambda r: str(r.info.get("started", "")), reverse=True)


def write_json(path: Path, data: Any) -> None:
    """A file that appears whole; several processes may write it, such as shards of one run."""
    files.write_json(path, data, partial(path))


def begin(folder: Path, info: dict[str, Any]) -> Result:
    """A result with this run.json; the one that is there already where another process was first."""
    folder.mkdir(parents=True, exist_ok=True)
    path, fresh = folder / RUN, folder / f"{RUN}.{_SELF}.new"
    write_json(fresh, {"format": FORMAT, "name": folder.name, "state": "running", **info})
    try:
        os.link(fresh, path)  # unlike a rename this fails where there is one
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return open_result(folder)


def partial(path: Path) -> Path:
    """The name under which this process writes a file before it is whole."""
    return path.with_name(f"{path.name}.{_SELF}.partial")


def abandoned(part: Path) -> bool:
    """Whether a file with a name of `partial` will not become whole: it is of this process, or of one that is gone."""
    writer = part.name.split(".")[-2]
    host, _, rest = writer.partition("-")
    if writer == _SELF:
        return True
    if host == _HOST and os.name == "posix":
        return not _alive(int(rest.partition("-")[0]))
    return time.time() - part.stat().st_mtime > _SILENT


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
