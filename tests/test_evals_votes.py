"""Votes are kept line by line and summed to strengths that agree with what the model says by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from asrdemo.errors import ConfigError, ResultError
from evals import votes
from evals.preference import strengths
from evals.votes import Contender, Vote

GREEDY = Contender("demo-en", "f00", "greedy", {"kind": "greedy"})
BEAM = Contender("demo-en", "f00", "beam + demo-lm", {"kind": "beam", "lm": "demo-lm", "alpha": 0.5})


def vote(choice: str, session: str = "s", turned: bool = False) -> Vote:
    pair, texts = (GREEDY, BEAM), ("a cat sad", "a cat sat")
    if turned:
        pair, texts = pair[::-1], texts[::-1]
    clip = {"corpus": "demo-corpus", "split": "test", "clip": "a.mp3"}
    return Vote(pair, texts, choice, clip, "2026-01-02T03:04:05+00:00", session)  # type: ignore[arg-type]


def test_votes_come_back_as_they_were_kept(tmp_path: Path) -> None:
    given = [vote("first"), vote("second", "t", turned=True), vote("tie")]
    for each in given:
        votes.keep(tmp_path, each)
    assert votes.read(tmp_path) == given
    assert (tmp_path / "votes" / votes.FILE).read_text().count("\n") == 3


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    votes.keep(tmp_path, vote("first"))
    path = tmp_path / "votes" / votes.FILE
    line = path.read_bytes()
    path.write_bytes(line + line[:50] + b"\n[]\n{}\n\xff\n" + line)
    assert votes.read(tmp_path) == [vote("first")] * 2


def test_what_is_no_vote_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="first, second, tie"):
        votes.keep(tmp_path, vote("best"))
    with pytest.raises(ConfigError, match="shorter clips"):
        votes.keep(tmp_path, Vote((GREEDY, BEAM), ("x" * votes.LONGEST, ""), "tie", {}, "", ""))
    votes.keep(tmp_path, vote("tie"))
    monkeypatch.setattr(votes, "MOST", 100)
    with pytest.raises(ResultError, match="move votes.jsonl away"):
        votes.keep(tmp_path, vote("tie"))


def test_the_sum_knows_contenders_in_whatever_order_they_were_shown() -> None:
    found = votes.standing([vote("second"), vote("first", turned=True), vote("tie"), vote("second")])
    assert found is not None
    assert [each.name for each in found.contenders] == ["demo-en, beam + demo-lm", "demo-en, greedy"]
    assert (found.won.tolist(), found.lost.tolist(), found.tied.tolist()) == ([3, 0], [0, 3], [1, 1])
    assert found.strengths.share[0] + found.strengths.share[1] == pytest.approx(1)
    assert (found.votes, found.sessions, found.by_session) == (4, 1, False)
    assert votes.standing([]) is None


def test_same_settings_are_the_same_contender_and_others_are_not() -> None:
    other = Contender("demo-en", "f00", "beam + demo-lm", {"alpha": 0.9, "kind": "beam", "lm": "demo-lm"})
    again = Contender("demo-en", "f00", "beam + demo-lm", {"alpha": 0.5, "lm": "demo-lm", "kind": "beam"})
    assert BEAM.key == again.key != other.key
    assert Contender("demo-en", "f01", "greedy", {"kind": "greedy"}).key != GREEDY.key


def test_with_many_sessions_sessions_are_resampled() -> None:
    """Ten votes of each of twelve people who always agree with themselves tell less than 120 people would."""
    alike = [vote("first" if person % 3 else "second", str(person)) for person in range(12) for _ in range(10)]
    by_session = votes.standing(alike)
    by_vote = votes.standing([vote(each.choice) for each in alike])
    assert by_session is not None and by_vote is not None
    assert by_session.by_session and not by_vote.by_session
    widths = [each.strengths.high - each.strengths.low for each in (by_session, by_vote)]
    assert (widths[0] > 2 * widths[1]).all()


def test_two_contenders_have_the_share_that_was_counted() -> None:
    """With two, the fitted chances are the counted ones but for the weak prior; ties count half."""
    pairs, outcome = np.array([[0, 1]] * 1000), np.array([0] * 600 + [1] * 200 + [2] * 200)
    found = strengths(pairs, outcome, 2, np.arange(1000))
    against_average = found.log_strength - found.log_strength.mean()
    assert found.log_strength[0] - found.log_strength[1] == pytest.approx(math.log(3), abs=0.02)
    assert found.ties == pytest.approx(200 / (200 + 2 * math.sqrt(600 * 200)), abs=0.01)
    assert against_average.sum() == pytest.approx(0)
    assert (found.low < found.share).all() and (found.share < found.high).all()


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
    win, even = np.exp(truth), np.exp(tie + truth / 2)
    share = (win + even / 2) / (win + even + 1)
    assert ((found.low < share) & (share < found.high)).all()


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 200 elections of 60 votes between equals, about 95 % of the intervals hold one half."""
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        outcome = rng.choice(3, 60, p=(0.4, 0.4, 0.2))
        found = strengths(np.array([[0, 1]] * 60), outcome, 2, np.arange(60), replicates=300, seed=seed)
        held += bool(found.low[0] <= 0.5 <= found.high[0])
    assert 180 <= held <= 199


def test_one_who_never_lost_is_not_infinitely_strong() -> None:
    found = strengths(np.array([[0, 1]] * 12), np.zeros(12, int), 2, np.arange(12))
    assert 0.75 < found.share[0] < 1 and np.isfinite(found.log_strength).all()
    alone = strengths(np.array([[0, 1]]), np.array([0]), 2, np.array([0]))
    assert np.isnan(alone.low).all(), "one vote cannot be resampled"


def test_order_of_a_pair_does_not_count() -> None:
    pairs, outcome = np.array([[0, 1], [1, 0], [0, 2], [2, 1]]), np.array([0, 1, 2, 0])
    turned = strengths(pairs[:, ::-1], np.array([1, 0, 2, 1]), 3, np.arange(4))
    np.testing.assert_allclose(strengths(pairs, outcome, 3, np.arange(4)).share, turned.share)


def test_a_table_for_csv() -> None:
    table = votes.table([vote("tie")])
    assert table.loc[0, "first"] == "demo-en, greedy" and table.loc[0, "choice"] == "tie"
    assert table.loc[0, "second_text"] == "a cat sat" and table.loc[0, "corpus"] == "demo-corpus"
    assert votes.table([]).empty
