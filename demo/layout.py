"""Writes a Common Voice release (version 17 and later): split tables, clip_durations.tsv and clips/."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from demo.synthesis import RATE

COLUMNS = (
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age", "gender",
    "accents", "variant", "locale", "segment",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One clip as the tables name it; `path` is the file name under clips/."""

    client_id: str
    path: str
    sentence: str
    age: str = ""
    gender: str = ""
    accents: str = ""
    sentence_domain: str = ""

    def cells(self) -> list[str]:
        """The row in the order of COLUMNS."""
        known = {**vars(self), "sentence_id": digest(self.sentence), "up_votes": "2", "down_votes": "0", "locale": "en"}
        return [str(known.get(column, "")) for column in COLUMNS]


def digest(text: str, length: int = 64) -> str:
    """A stable identifier, as long as Common Voice's."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def write_atomically(path: Path, data: str) -> None:
    """Write a temporary neighbour, then rename it, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(data, encoding="utf-8", newline="\n")
    temporary.replace(path)


def write_clip(path: Path, samples: np.ndarray, bitrate_level: float | None = None) -> int:
    """Write one clip (mp3, flac or wav by its suffix) and return its length in milliseconds.

    samples: float32 at 16 kHz. bitrate_level: soundfile's compression level for mp3, 0 (best) to 1 (smallest).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("tmp-" + path.name)
    extra = {}
    if path.suffix == ".mp3":
        extra = {
            "format": "MP3",
            "subtype": "MPEG_LAYER_III",
            "bitrate_mode": "CONSTANT",
            "compression_level": bitrate_level,
        }
    soundfile.write(temporary, samples, RATE, **extra)
    temporary.replace(path)
    return milliseconds(path)


def milliseconds(path: Path) -> int:
    """Length of a clip that `write_clip` wrote."""
    return round(soundfile.info(path).frames / RATE * 1000)


def write_tables(folder: Path, splits: dict[str, list[Row]], durations: dict[str, int]) -> None:
    """Write one table a split and clip_durations.tsv (milliseconds); tab-separated, never quoted."""
    for split, rows in splits.items():
        lines = ["\t".join(COLUMNS), *("\t".join(row.cells()) for row in rows)]
        write_atomically(folder / f"{split}.tsv", "\n".join(lines) + "\n")
    lines = ["clip\tduration[ms]", *(f"{clip}\t{durations[clip]}" for clip in sorted(durations))]
    write_atomically(folder / "clip_durations.tsv", "\n".join(lines) + "\n")


def read_sentences(path: Path) -> list[str]:
    """The `sentence` column of a Common Voice table."""
    lines = path.read_text(encoding="utf-8").splitlines()
    column = lines[0].split("\t").index("sentence")
    return [line.split("\t")[column] for line in lines[1:] if line]
