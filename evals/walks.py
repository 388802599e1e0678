"""The alignments of a run's clips, laid out once and kept: what tables of confused words and their filters read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from asrdemo import text
from asrdemo.errors import ResultError
from evals import confusions
from evals.confusions import Steps
from evals.scored import Scored

UNITS = ("words", "characters")


@dataclass(frozen=True)
class Place:
    """Where a pair occurs. clip: position. said_at, heard_at: index of the word in reference and hypothesis; heard_at
    is of the next word, maybe one past the last, where nothing was heard."""

    clip: int
    said_at: int
    heard_at: int


def by_character(scored: Scored) -> bool:
    """Whether the texts have no words but characters, as Chinese has."""
    name = scored.results[0].info["pins"]["normaliser"]["profile"]
    return bool(text.profile(name).by_character) if name in text.PROFILES else False


def steps(scored: Scored, run: int, unit: str = "words") -> Steps:
    """All alignments of a run; the clip of a step is the clip's position. unit: one of UNITS, which are the same where
    the texts have no words: characters as the normaliser parts them.

    Raises ResultError for a result whose alignments and texts are not of the same clips.
    """

    unit = "words" if by_character(scored) else unit

    def read() -> Steps:
        rows = pa.table({name: scored.column(name, run) for name in ("reference", "hypothesis", "ops")})
        if unit == "characters":
            return confusions.read_characters(rows)
        try:
            return confusions.read_words(rows)
        except ValueError as error:
            raise ResultError(f"The alignments of {scored.runs[run]!r} do not fit its texts: {error}") from error

    found: Steps = scored.once(("steps", run, unit), read)
    return found


def places(
    scored: Scored, run: int, unit: str, mask: np.ndarray | None, said: str | None, heard: str | None, most: int
) -> list[Place]:
    """The first places where a pair occurs among the clips of a mask; None is nothing on that side."""
    whole = steps(scored, run, unit)
    chosen = whole if mask is None else whole.where(mask)
    found = confusions.find(chosen, said, heard, most).to_dict("records")
    at = [Place(int(r["clip"]), int(r["reference_at"]), int(r["hypothesis_at"])) for r in found]
    return at if unit == "words" or by_character(scored) else [_words(scored, run, each) for each in at]


def _words(scored: Scored, run: int, place: Place) -> Place:
    """Of a place counted in characters: the words that the characters are in."""
    said, heard = (
        scored.column(name, run)[place.clip].as_py()[:at].count(" ")
        for name, at in (("reference", place.said_at), ("hypothesis", place.heard_at))
    )
    return Place(place.clip, said, heard)
