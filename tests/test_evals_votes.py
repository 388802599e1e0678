"""Votes are kept line by line and summed to strengths that agree with what the model says by hand."""

from __future__ import annotations

import csv
import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrdemo.errors import ConfigError, NotFoundError, ResultError
from evals import votes
from evals.preference import strengths
from evals.votes import Ballots, Contender, Standing, Vote

GREEDY = Contender("demo-en", "f00", "greedy", {"kind": "greedy"})
BEAM = Contender("demo-en", "f00", "beam + demo-lm", {"kind": "beam", "lm": "demo-lm", "alpha": 0.5})


def vote(choice: str, session: str = "s", turned: bool = False, pair: tuple[Contender, ...] = (GREEDY, BEAM)) -> Vote:
    texts = ("a cat sad", "a cat sat")
    if turned:
        pair, texts = pair[::-1], texts[::-1]
    clip = {"corpus": "demo-corpus", "split": "test", "clip": "a.mp3"}
    return Vote(pair, texts, choice, clip, "2026-01-02T03:04:05+00:00", session)  # type: ignore[arg-type]


def model(name: str, fingerprint: str = "f00") -> Contender:
    return Contender(name, fingerprint, "greedy", {"kind": "greedy"})


def kept(ballots: Ballots) -> list[str]:
    return [each.choice for each in votes.read(ballots.path)]


def summed(home: Path, given: list[Vote]) -> tuple[Standing, ...]:
    """As if they had been kept one by one."""
    ballots = Ballots(home)
    ballots.path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"format": votes.FORMAT, **votes.asdict(each)}) for each in given]
    ballots.path.write_text("\n".join([*lines, ""]))
    return ballots.standings()


@pytest.fixture
def ballots(tmp_path: Path) -> Ballots:
    return Ballots(tmp_path)


def test_votes_come_back_as_they_were_kept(ballots: Ballots) -> None:
    given = [vote("first"), vote("second", "t", turned=True), vote("tie")]
    for each in given:
        ballots.keep(each)
    assert list(votes.read(ballots.path)) == given
    assert ballots.path.read_text().count("\n") == 3


def test_a_line_that_was_cut_off_spoils_no_other(ballots: Ballots) -> None:
    """The machine went down in the middle of a line, without its end; the votes that follow count."""
    ballots.keep(vote("first"))
    line = ballots.path.read_bytes()
    ballots.path.write_bytes(line + line[:50])
    assert ballots.standings()[0].votes == 1
    for choice in ("second", "tie"):
        ballots.keep(vote(choice))
    assert kept(ballots) == ["first", "second", "tie"] and ballots.standings()[0].votes == 3


def test_lines_that_hold_no_vote_are_left_out(ballots: Ballots) -> None:
    ballots.keep(vote("first"))
    line = ballots.path.read_bytes()
    good = json.loads(line)
    wrong: list[dict[str, object]] = [
        {"session": []}, {"clip": None}, {"clip": {"clip": "take.wav"}}, {"texts": "abc"}, {"time": 1},
        {"format": 2},
        {"choice": "best"}, {"contenders": good["contenders"][:1] * 2}, {"contenders": ["a", "b"]}, {"texts": [1, 2]},
    ]  # fmt: skip
    lines = [json.dumps({**good, **each}).encode() for each in wrong]
    lines += [b"[]", b"{}", b"\xff", b"[" * 90_000, b" " * (votes.LONGEST + 1)]
    ballots.path.write_bytes(line + b"\n".join([*lines, b""]) + line)
    assert kept(ballots) == ["first", "first"] and Ballots(ballots.path.parents[1]).standings()[0].votes == 2


def test_a_full_disk_is_told_and_spoils_no_other(ballots: Ballots, monkeypatch: pytest.MonkeyPatch) -> None:
    ballots.keep(vote("first"))
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:50]))
    with pytest.raises(ResultError, match="disk is full"):
        ballots.keep(vote("second"))

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResultError, match="No space left"):
        ballots.keep(vote("second"))
    monkeypatch.undo()
    ballots.keep(vote("tie"))
    assert kept(ballots) == ["first", "tie"]


def test_what_is_no_vote_is_refused(ballots: Ballots, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="first, second, tie"):
        ballots.keep(vote("best"))
    with pytest.raises(ConfigError, match="shorter clips"):
        ballots.keep(replace(vote("tie"), texts=("x" * votes.LONGEST, "")))
    ballots.keep(vote("tie"))
    monkeypatch.setattr(votes, "MOST", 100)
    with pytest.raises(ResultError, match="move votes.jsonl away"):
        ballots.keep(vote("tie"))


def test_a_round_counts_once_whoever_writes_it(tmp_path: Path) -> None:
    """Two clicks at the same moment, in two processes: the first vote stands, and both are told which it was."""
    given = [replace(vote(choice), round="one") for choice in ("first", "second", "first", "tie")]
    told: list[str] = []
    threads = [threading.Thread(target=lambda v=each: told.append(Ballots(tmp_path).keep(v))) for each in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [stands] = kept(Ballots(tmp_path))
    assert told == [stands] * 4


def test_the_sum_knows_contenders_in_whatever_order_they_were_shown(ballots: Ballots) -> None:
    assert ballots.standings() == ()
    for each in [vote("second"), vote("first", turned=True), vote("tie"), vote("second")]:
        ballots.keep(each)
    [found] = ballots.standings()
    assert [each.name for each in found.contenders] == ["demo-en, beam + demo-lm", "demo-en, greedy"]
    assert (found.won.tolist(), found.lost.tolist(), found.tied.tolist()) == ([3, 0], [0, 3], [1, 1])
    assert found.strengths.share[0] + found.strengths.share[1] == pytest.approx(1)
    assert (found.votes, found.sessions, found.by_session) == (4, 1, False)


def test_only_what_was_added_is_read_and_a_new_file_begins_anew(
    ballots: Ballots, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        ballots.keep(vote("first"))
    first = ballots.standings()
    assert ballots.standings() is first, "nothing was added"
    read: list[bytes] = []
    parse = votes._vote
    monkeypatch.setattr(votes, "_vote", lambda line: (read.append(line), parse(line))[1])
    Ballots(ballots.path.parents[1]).keep(vote("tie"))  # another process
    read.clear()
    assert ballots.standings()[0].votes == 21 and len(read) == 1
    ballots.path.rename(ballots.path.with_suffix(".old"))
    assert ballots.standings() == ()
    ballots.keep(vote("tie"))
    assert ballots.standings()[0].votes == 1


def test_those_who_never_met_stand_in_tables_of_their_own(tmp_path: Path) -> None:
    """Nothing says whether a Turkish model is better than an English one: no vote ties them together."""
    en, tr = (model("en-a"), model("en-b")), (model("tr-c"), model("tr-d"))
    given = [vote("first" if i < 90 else "second", str(i), pair=en) for i in range(100)]
    given += [vote("first" if i < 30 else "second", str(i), pair=tr) for i in range(50)]
    one, other = summed(tmp_path, given)
    assert [each.checkpoint for each in one.contenders] == ["en-a", "en-b"] and (one.votes, other.votes) == (100, 50)
    assert [each.checkpoint for each in other.contenders] == ["tr-c", "tr-d"]
    [alone] = summed(tmp_path / "alone", given[:100])
    np.testing.assert_array_equal(alone.strengths.share, one.strengths.share)
    [joined] = summed(tmp_path / "joined", [*given, vote("tie", pair=(en[0], tr[0]))])
    assert len(joined.contenders) == 4 and joined.votes == 151


def test_of_many_contenders_those_with_most_votes_are_summed_and_quickly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = [model(f"m{i}") for i in range(12)]
    drawn = [rng.choice(12, 2, replace=False) for _ in range(2000)]
    given = [vote("tie", str(i % 300), pair=(common[a], common[b])) for i, (a, b) in enumerate(drawn)]
    given += [vote("second", pair=(common[0], model(f"rare{i}"))) for i in range(40)]
    [found] = summed(tmp_path, given)
    assert len(found.contenders) == votes.CONTENDERS and set(common) <= set(found.contenders)
    assert found.votes == 2008


def test_same_settings_are_the_same_contender_and_others_are_not() -> None:
    other = Contender("demo-en", "f00", "beam + demo-lm", {"alpha": 0.9, "kind": "beam", "lm": "demo-lm"})
    again = Contender("demo-en", "f00", "beam + demo-lm", {"alpha": 0.5, "lm": "demo-lm", "kind": "beam"})
    assert BEAM.key == again.key != other.key
    assert model("demo-en", "f01").key != GREEDY.key


def test_names_say_what_is_unlike() -> None:
    louder = Contender("demo-en", "f00", "beam + demo-lm", {**BEAM.settings, "alpha": 0.9})
    assert votes.names([GREEDY, BEAM]) == ["demo-en, greedy", "demo-en, beam + demo-lm"]
    assert votes.names([GREEDY, model("demo-en", "f01"), BEAM, louder]) == [
        "demo-en, greedy · weights f00", "demo-en, greedy · weights f01",
        "demo-en, beam + demo-lm · alpha 0.5", "demo-en, beam + demo-lm · alpha 0.9",
    ]  # fmt: skip


def test_with_many_sessions_sessions_are_weighted(tmp_path: Path) -> None:
    """Ten votes of each of twelve people who always agree with themselves tell less than 120 people would."""
    alike = [vote("first" if person % 3 else "second", str(person)) for person in range(12) for _ in range(10)]
    [by_session] = summed(tmp_path / "a", alike)
    [by_vote] = summed(tmp_path / "b", [vote(each.choice) for each in alike])
    assert by_session.by_session and not by_vote.by_session
    widths = [each.strengths.high - each.strengths.low for each in (by_session, by_vote)]
    assert (widths[0] > 2 * widths[1]).all()


@pytest.mark.parametrize(("won", "lost", "tied"), [(75, 25, 0), (900, 100, 0), (60, 20, 20), (0, 1000, 0)])
def test_two_contenders_have_the_share_that_was_counted(won: int, lost: int, tied: int) -> None:
    """But for what is assumed beforehand, a vote in all; ties count half."""
    votes_cast = won + lost + tied
    pairs, outcome = np.array([[0, 1]] * votes_cast), np.repeat([0, 1, 2], (won, lost, tied))
    found = strengths(pairs, outcome, 2, np.arange(votes_cast))
    assert found.share[0] == pytest.approx((won + tied / 2) / votes_cast, abs=1 / votes_cast)
    assert found.share.sum() == pytest.approx(1)
    assert (found.low < found.share).all() and (found.share < found.high).all()


def test_few_votes_that_are_all_alike_have_an_interval() -> None:
    for size, least in ((1, 0.6), (2, 0.5), (12, 0.1)):
        found = strengths(np.array([[0, 1]] * size), np.zeros(size, int), 2, np.arange(size))
        assert 0.5 < found.share[0] < 1 and found.high[0] - found.low[0] > least, size
        assert found.low[0] < found.share[0] < found.high[0]


def test_strengths_come_back_from_made_up_votes() -> None:
    """Four contenders, 4,000 votes by Davidson's model: the fit finds their strengths and intervals hold them."""
    rng = np.random.default_rng(3)
    truth, tie = np.array([0.8, 0.1, -0.2, -0.7]), -0.5
    pairs = np.array([rng.choice(4, 2, replace=False) for _ in range(4000)])
    first, second = truth[pairs[:, 0]], truth[pairs[:, 1]]
    weights = np.exp(np.stack([first, second, tie + (first + second) / 2], axis=1))
    chance = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    outcome = (rng.random((4000, 1)) > chance).sum(axis=1)
    found = strengths(pairs, outcome, 4, np.arange(4000))
    assert np.abs(found.log_strength - found.log_strength.mean() - truth).max() < 0.12
    apart = truth[:, None] - truth[None]
    win, even = np.exp(apart / 2), np.exp(tie)
    won = (win + even / 2) / (win + even + 1 / win)
    share = (won.sum(axis=1) - 0.5) / 3
    assert ((found.low < share) & (share < found.high)).all()


@pytest.mark.parametrize(("won", "tied", "size"), [(0.5, 0.2, 10), (0.9, 0.0, 10), (0.9, 0.0, 20), (0.8, 0.1, 30)])
def test_the_interval_holds_the_truth_as_often_as_it_says(won: float, tied: float, size: int) -> None:
    """Of 100 elections about 95 % of the intervals hold the true share, also of a clear favourite with few votes."""
    rng = np.random.default_rng(5)
    chances = ((1 - tied) * won, (1 - tied) * (1 - won), tied)
    held = 0
    for seed in range(100):
        outcome = rng.choice(3, size, p=chances)
        found = strengths(np.array([[0, 1]] * size), outcome, 2, np.arange(size), replicates=200, seed=seed)
        held += bool(found.low[0] <= chances[0] + tied / 2 <= found.high[0])
    assert held >= 90


def test_order_of_a_pair_does_not_count() -> None:
    pairs, outcome = np.array([[0, 1], [1, 0], [0, 2], [2, 1]]), np.array([0, 1, 2, 0])
    turned = strengths(pairs[:, ::-1], np.array([1, 0, 2, 1]), 3, np.arange(4))
    np.testing.assert_allclose(strengths(pairs, outcome, 3, np.arange(4)).share, turned.share)


def test_a_table_for_csv(ballots: Ballots, tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    with pytest.raises(NotFoundError):
        ballots.save(file)
    ballots.keep(vote("tie"))
    ballots.save(file)
    [row] = csv.DictReader(file.open(newline=""))
    assert row["first"] == "demo-en, greedy" and row["choice"] == "tie" and row["second_text"] == "a cat sat"
    assert row["corpus"] == "demo-corpus" and json.loads(row["second_settings"])[2] == BEAM.settings
