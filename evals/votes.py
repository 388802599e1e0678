"""Blind votes of listeners: kept as they come, and summed to how often each contender is preferred.

A vote is one line of JSON in `<home>/votes/votes.jsonl`, only ever appended: what was shown, what was chosen, when,
and random numbers for the visit and the question; nothing about the person. See `Vote`.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asrdemo.errors import ConfigError, NotFoundError, ResultError
from evals.preference import Strengths, strengths

FORMAT = 1
FILE = "votes.jsonl"
LONGEST = 100_000  # bytes of one vote
MOST = 2**28  # bytes of all
BLOCKS = 10  # with so many sessions, sessions are weighted; with fewer, votes
CONTENDERS = 20  # summed, those with the most votes; time and memory grow with their cube

Choice = Literal["first", "second", "tie"]
CHOICES: tuple[Choice, ...] = ("first", "second", "tie")
_TEXTS = ("time", "session", "round")


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
        """For people; two may have the same one, see `names`."""
        return f"{self.checkpoint}, {self.decoder}"

    @property
    def key(self) -> str:
        """The same for the same weights and settings."""
        return json.dumps([self.checkpoint, self.fingerprint, self.settings], sort_keys=True)


def names(contenders: Sequence[Contender]) -> list[str]:
    """Of each its name, and the first things in which it is unlike those of the same name."""
    found = []
    for each in contenders:
        alike = [_traits(other) for other in contenders if other.name == each.name]
        traits = _traits(each)
        apart = [f"{k} {v}"[:32] for k, v in traits.items() if any(other.get(k) != v for other in alike)]
        found.append(" · ".join([each.name, *apart[:3]]))
    return found


def _traits(contender: Contender) -> dict[str, Any]:
    return {"weights": contender.fingerprint[:6], **{k: v for k, v in contender.settings.items() if v is not None}}


@dataclass(frozen=True)
class Vote:
    """What was shown and what was chosen.

    contenders, texts: the first one shown and the second. choice: which was better. clip: what is known of the clip
    that is not personal: its corpus, split and name, and the fingerprint of the split. time: UTC, ISO 8601. session,
    round: random, of the visit and of the question.
    """

    contenders: tuple[Contender, Contender]
    texts: tuple[str, str]
    choice: Choice
    clip: dict[str, str]
    time: str
    session: str
    round: str = ""


@dataclass(frozen=True, eq=False)
class Standing:
    """The sum of votes on contenders who met, directly or through others. contenders: the most preferred first. won,
    lost, tied: votes of each; strengths: see evals.preference, in the same order; by_session: whether sessions rather
    than votes were weighted."""

    contenders: tuple[Contender, ...]
    won: np.ndarray
    lost: np.ndarray
    tied: np.ndarray
    strengths: Strengths
    votes: int
    sessions: int
    by_session: bool


class Ballots:
    """The votes of a home. Of the file only what was added is read again. Thread-safe, also between processes."""

    def __init__(self, home: Path) -> None:
        self.path = home / "votes" / FILE
        self._lock = threading.Lock()
        self._tally = _Tally()
        self._sum: tuple[int, tuple[Standing, ...]] = (0, ())

    def keep(self, vote: Vote) -> Choice:
        """Append a vote, once for each round; returns the choice that is kept, which may be an earlier one.

        Raises ConfigError for one that is none, ResultError where it cannot be kept.
        """
        if vote.choice not in CHOICES:
            raise ConfigError(f"A vote is {vote.choice!r}; expected one of: {', '.join(CHOICES)}.")
        line = json.dumps({"format": FORMAT, **asdict(vote)}, ensure_ascii=False).encode() + b"\n"
        if len(line) > LONGEST:
            raise ConfigError(f"The vote has {len(line):,} bytes; expected at most {LONGEST:,}. Vote on shorter clips.")
        with self._lock:
            try:
                return self._append(vote, line)
            except OSError as error:
                raise ResultError(
                    f"The vote could not be kept ({error.strerror or error}). Make room or let {FILE} be written, then "
                    "vote again."
                ) from error

    def _append(self, vote: Vote, line: bytes) -> Choice:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._tally = self._tally.with_new(self.path)
            if vote.round and vote.round in self._tally.rounds:
                return CHOICES[self._tally.rounds[vote.round]]
            size = os.fstat(handle).st_size
            if size + len(line) > MOST:
                raise ResultError(f"The votes fill {MOST >> 20} MiB; download them and move {FILE} away to go on.")
            if size and os.pread(handle, 1, size - 1) != b"\n":  # a machine went down in the middle of a vote
                line = b"\n" + line
            if os.write(handle, line) < len(line):
                os.ftruncate(handle, size)
                raise ResultError("The vote could not be kept: the disk is full. Make room, then vote again.")
            os.fsync(handle)
        finally:
            os.close(handle)
        return vote.choice

    def standings(self) -> tuple[Standing, ...]:
        """The sums, the one with the most votes first; none without a vote."""
        with self._lock:
            self._tally = self._tally.with_new(self.path)
            if self._sum[0] != len(self._tally.outcome):
                self._sum = len(self._tally.outcome), self._tally.standings()
            return self._sum[1]

    def save(self, path: Path) -> None:
        """A row a vote as CSV: time, session, clip's corpus, split and name, both names, both texts, the choice as
        `first`, `second` or `tie`, and both contenders in full. Raises NotFoundError where there is none."""
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(
                ("time", "session", "corpus", "split", "clip", "first", "second", "first_text", "second_text",
                 "choice", "first_settings", "second_settings")
            )  # fmt: skip
            none = True
            for v in read(self.path):
                none = False
                clip = (v.clip["corpus"], v.clip.get("split", ""), v.clip["clip"])
                one, other = v.contenders
                table.writerow((v.time, v.session, *clip, one.name, other.name, *v.texts, v.choice, one.key, other.key))
        if none:
            raise NotFoundError("Nobody has voted yet.")


def read(path: Path) -> Iterator[Vote]:
    """All votes of a file, oldest first, none where there is no file; lines that are no vote (cut off when a machine
    went down) are left out."""
    return (vote for vote, _ in _after(path, 0) if vote is not None)


def _after(path: Path, start: int) -> Iterator[tuple[Vote | None, int]]:
    """Each whole line after `start` bytes as a vote, None for what is none, and where it ends."""
    try:
        lines = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ResultError(f"The votes cannot be read: {error}.") from error
    with lines:
        lines.seek(start)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield _vote(line), start


def _vote(line: bytes) -> Vote | None:
    """The vote of a line, None for a line that holds none; votes on clips of no corpus were not blind."""
    if len(line) > LONGEST:
        return None
    try:
        data = json.loads(line)
        first, second = (Contender(**each) for each in data["contenders"])
        one, other = data["texts"]
        clip = {str(key): str(value) for key, value in data["clip"].items()}
        vote = Vote((first, second), (one, other), data["choice"], clip, *(data.get(k, "") for k in _TEXTS))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = [each for c in vote.contenders for each in (c.checkpoint, c.fingerprint, c.decoder)]
    texts += [*vote.texts, vote.choice, vote.time, vote.session, vote.round]
    settings = all(isinstance(each.settings, dict) for each in vote.contenders)
    sound = settings and all(isinstance(text, str) for text in texts) and {"corpus", "clip"} <= vote.clip.keys()
    good = sound and data.get("format") == FORMAT and vote.choice in CHOICES and first.key != second.key
    return vote if good else None


class _Tally:
    """What the sums need of all votes, a few bytes each."""

    def __init__(self) -> None:
        self.end, self.file = 0, 0  # how far the file was read, and which file
        self.place: dict[str, int] = {}
        self.contenders: list[Contender] = []
        self.sessions: dict[str, int] = {}
        self.rounds: dict[str, int] = {}
        self.first, self.second, self.outcome, self.session = array("i"), array("i"), array("b"), array("i")

    def with_new(self, path: Path) -> _Tally:
        """This one with what was added to the file, or another one where the file is another."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return _Tally()
        tally = self if self.file == status.st_ino and self.end <= status.st_size else _Tally()
        tally.file = status.st_ino
        for vote, end in _after(path, tally.end):
            tally.end = end
            if vote is not None:
                tally._add(vote)
        return tally

    def _add(self, vote: Vote) -> None:
        outcome = CHOICES.index(vote.choice)
        if vote.round in self.rounds:
            return
        if vote.round:
            self.rounds[vote.round] = outcome
        for each, column in zip(vote.contenders, (self.first, self.second), strict=True):
            if each.key not in self.place:
                self.place[each.key] = len(self.contenders)
                self.contenders.append(each)
            column.append(self.place[each.key])
        self.outcome.append(outcome)
        self.session.append(self.sessions.setdefault(vote.session, len(self.sessions)))

    def standings(self) -> tuple[Standing, ...]:
        """Of the contenders with the most votes, those together who met, directly or through others."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        if not self.outcome:
            return ()
        pairs, count = np.column_stack([self.first, self.second]), len(self.contenders)
        shown = np.argsort(-np.bincount(pairs.ravel(), minlength=count), kind="stable")[:CONTENDERS]
        inside = np.isin(pairs, shown).all(axis=1)
        met = coo_matrix((np.ones(inside.sum()), tuple(pairs[inside].T)), shape=(count, count))
        _, group = connected_components(met, directed=False)
        own = np.where(inside, group[pairs[:, 0]], -1)
        found = [self._standing(pairs, own == each) for each in np.unique(own[inside])]
        return tuple(sorted(found, key=lambda each: -each.votes))

    def _standing(self, pairs: np.ndarray, inside: np.ndarray) -> Standing:
        """Of some of the votes. Votes of one session are alike: with BLOCKS sessions or more, sessions are weighted;
        with fewer, votes, which makes the intervals too narrow."""
        known, place = np.unique(pairs[inside], return_inverse=True)
        within, outcome = place.reshape(-1, 2), np.array(self.outcome)[inside]
        sessions, block = np.unique(np.array(self.session)[inside], return_inverse=True)
        by_session = len(sessions) >= BLOCKS
        found = strengths(within, outcome, len(known), block if by_session else np.arange(len(outcome)))
        order = np.argsort(-found.share, kind="stable")
        won, lost, tied = (counts[order] for counts in _counted(within, outcome, len(known)))
        contenders = tuple(self.contenders[at] for at in known[order])
        return Standing(
            contenders, won, lost, tied, found.ordered(order), len(outcome), len(sessions), by_session
        )  # fmt: skip


def _counted(pairs: np.ndarray, outcome: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each won, lost and tied."""
    first, second = pairs[:, 0], pairs[:, 1]
    winner, loser = np.where(outcome == 1, second, first), np.where(outcome == 1, first, second)
    decided = outcome != 2
    tied = np.bincount(pairs[~decided].ravel(), minlength=count)
    return np.bincount(winner[decided], minlength=count), np.bincount(loser[decided], minlength=count), tied
