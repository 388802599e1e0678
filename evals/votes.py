"""Blind votes of listeners: kept as they come, and summed to how often each contender is preferred.

A vote is one line of JSON in `<home>/votes/votes.jsonl`, only ever appended: what was shown, what was chosen, when,
and a random number for the session; nothing about the person. See `Vote`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from asrdemo.errors import ConfigError, ResultError
from evals.preference import Strengths, strengths

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
FILE = "votes.jsonl"
LONGEST = 100_000  # bytes of one vote
MOST = 2**28  # bytes of all
BLOCKS = 10  # with so many sessions, sessions are resampled; with fewer, votes
_WRITING = threading.Lock()

Choice = Literal["first", "second", "tie"]
CHOICES: tuple[Choice, ...] = ("first", "second", "tie")


@dataclass(frozen=True)
class Contender:
    """What a text came from. checkpoint: id; fingerprint: of its weights; decoder: how the text was found, in words
    such as `greedy` or `beam + demo-lm`; settings: of the decoder, whatever decides the text."""

    checkpoint: str
    fingerprint: str
    decoder: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.checkpoint}, {self.decoder}"

    @property
    def key(self) -> str:
        """The same for the same weights and settings."""
        return json.dumps([self.checkpoint, self.fingerprint, self.settings], sort_keys=True)


@dataclass(frozen=True)
class Vote:
    """What was shown and what was chosen.

    contenders, texts: the first one shown and the second. choice: which was better. clip: what is known of the clip
    that is not personal: corpus, split and name where it is of a corpus. time: UTC, ISO 8601. session: random.
    """

    contenders: tuple[Contender, Contender]
    texts: tuple[str, str]
    choice: Choice
    clip: dict[str, Any]
    time: str
    session: str


def keep(home: Path, vote: Vote) -> None:
    """Append a vote. Raises ConfigError for one that is none, ResultError where there are too many to keep more."""
    if vote.choice not in CHOICES:
        raise ConfigError(f"A vote is {vote.choice!r}; expected one of: {', '.join(CHOICES)}.")
    line = json.dumps({"format": FORMAT, **asdict(vote)}, ensure_ascii=False).encode() + b"\n"
    if len(line) > LONGEST:
        raise ConfigError(f"The vote has {len(line):,} bytes; expected at most {LONGEST:,}. Vote on shorter clips.")
    path = home / "votes" / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with _WRITING:
        if path.is_file() and path.stat().st_size + len(line) > MOST:
            raise ResultError(f"The votes fill {MOST >> 20} MiB; download them and move {FILE} away to go on.")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line)  # one write: lines of two processes do not mix
        finally:
            os.close(handle)


def read(home: Path) -> list[Vote]:
    """All votes, oldest first; lines that are no vote (cut off when a machine went down) are left out."""
    path = home / "votes" / FILE
    if not path.is_file():
        return []
    found = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                found.append(_vote(json.loads(line)))
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _vote(data: dict[str, Any]) -> Vote:
    if data["format"] != FORMAT or data["choice"] not in CHOICES:
        raise ValueError(data["format"])
    first, second = (Contender(**each) for each in data["contenders"])
    one, other = data["texts"]
    return Vote((first, second), (one, other), data["choice"], data["clip"], data["time"], data["session"])


@dataclass(frozen=True, eq=False)
class Standing:
    """The sum of votes. contenders: the most preferred first. won, lost, tied: votes of each; strengths: see
    evals.preference, in the same order; by_session: whether sessions rather than votes were resampled."""

    contenders: tuple[Contender, ...]
    won: np.ndarray
    lost: np.ndarray
    tied: np.ndarray
    strengths: Strengths
    votes: int
    sessions: int
    by_session: bool


def standing(votes: Sequence[Vote], *, seed: int = 0) -> Standing | None:
    """Who is preferred. None without a vote. Votes of one session are alike: with BLOCKS sessions or more, sessions
    are resampled, with fewer, votes, which makes the intervals too narrow."""
    if not votes:
        return None
    known: dict[str, Contender] = {}
    for vote in votes:
        for each in vote.contenders:
            known.setdefault(each.key, each)
    place = {key: at for at, key in enumerate(known)}
    pairs = np.array([[place[each.key] for each in vote.contenders] for vote in votes])
    outcome = np.array([CHOICES.index(vote.choice) for vote in votes])
    sessions = {session: at for at, session in enumerate(dict.fromkeys(vote.session for vote in votes))}
    by_session = len(sessions) >= BLOCKS
    block = np.array([sessions[vote.session] for vote in votes]) if by_session else np.arange(len(votes))
    found = strengths(pairs, outcome, len(known), block, seed=seed)
    order = np.argsort(-found.share, kind="stable")
    won, lost, tied = _tally(pairs, outcome, len(known))
    return Standing(
        tuple(np.array(list(known.values()), dtype=object)[order]),
        won[order],
        lost[order],
        tied[order],
        found.ordered(order),
        len(votes),
        len(sessions),
        by_session,
    )


def _tally(pairs: np.ndarray, outcome: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = pairs[:, 0], pairs[:, 1]
    winner, loser = np.where(outcome == 1, second, first), np.where(outcome == 1, first, second)
    decided = outcome != 2
    tied = np.bincount(pairs[~decided].ravel(), minlength=count)
    return np.bincount(winner[decided], minlength=count), np.bincount(loser[decided], minlength=count), tied


def table(votes: Sequence[Vote]) -> pd.DataFrame:
    """A row a vote, for CSV: time, session, clip's corpus, split and name, both names, both texts, both settings, and
    the choice as `first`, `second` or `tie`."""
    import pandas as pd

    columns = ("time", "session", "corpus", "split", "clip", "first", "second", "first_text", "second_text", "choice",
               "first_settings", "second_settings")  # fmt: skip
    rows = [
        (
            v.time, v.session, v.clip.get("corpus", ""), v.clip.get("split", ""), v.clip.get("clip", ""),
            v.contenders[0].name, v.contenders[1].name, *v.texts, v.choice, v.contenders[0].key, v.contenders[1].key,
        )
        for v in votes
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))
