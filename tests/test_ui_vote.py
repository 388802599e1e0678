"""The blind vote's handlers and what they show, without Gradio and without a model."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from fake_speech import FakeTranscriber, registry
from test_ui_html import HOSTILE, Reader

from asrdemo.errors import NotFoundError, ResultError
from asrdemo.settings import Settings
from asrdemo.ui.services import Services
from asrdemo.ui.vote import handlers, markup
from asrdemo.ui.vote.handlers import Session
from evals import simulate, votes
from evals.catalogue import Catalogue
from evals.votes import Ballots, Contender, Vote

SHIPPED = json.dumps(["demo-en-greedy", "demo-en-beam"])


@pytest.fixture
def services(tmp_path: Path) -> Services:
    settings = Settings(home=tmp_path / "home")
    return Services(FakeTranscriber(registry(), settings), settings)  # type: ignore[arg-type]


@pytest.fixture
def ballots(tmp_path: Path) -> Ballots:
    return Ballots(tmp_path / "home")


def ask(services: Services, session: Session | None = None, seed: int = 1) -> Session:
    return handlers.ask(services, SHIPPED, session or Session(), random.Random(seed))


def test_a_blind_question_names_nobody_until_the_vote(services: Services, ballots: Ballots) -> None:
    session = ask(services)
    assert session.now and session.now.texts[0] != session.now.texts[1]
    before = markup.round_html(session)
    assert "demo-en" not in before and "beam" not in before and "What was read" not in before
    after = markup.round_html(handlers.cast(ballots, session, "first"))
    assert "demo-en, beam + demo-lm" in after and "demo-en, greedy" in after and "What was read" in after


def test_both_orders_come_up_and_no_clip_twice(services: Services) -> None:
    session, first = Session(), set()
    for seed in range(20):
        session = ask(services, session, seed)
        assert session.now
        first.add(session.now.contenders[0].decoder)
    assert first == {"greedy", "beam + demo-lm"} and len(session.seen) == 20


def test_every_clip_that_differs_has_its_turn_and_then_that_is_said(services: Services, tmp_path: Path) -> None:
    """Of over 1,000 clips two results differ on three: none of them is missed, whatever is drawn."""
    tables = [simulate.rows(simulate.simulate(simulate.Recipe(speakers=200), 4), 0) for _ in range(2)]
    at = tables[1].schema.get_field_index("hypothesis")
    texts = tables[1]["hypothesis"].to_pylist()
    assert len(texts) > 1000
    for clip in (3, 700, len(texts) - 1):
        texts[clip] = f"{HOSTILE} {texts[clip]}"
    tables[1] = tables[1].set_column(at, tables[1].schema.field(at), [texts])
    for name, table in zip(("tuned,v2", "base"), tables, strict=True):
        simulate.write(tmp_path / "made" / "results" / name, table)
    services.results = Catalogue([tmp_path / "made"])
    [(label, chosen)] = handlers.pairs(services)
    session = Session()
    for _ in range(3):
        session = handlers.ask(services, chosen, session)
        assert not Reader(markup.round_html(session)).find("img")
    assert "2 results" in label and len(session.seen) == 3, "a comma in a name is no matter"
    with pytest.raises(ResultError, match="all 3 clips"):
        handlers.ask(services, chosen, session)
    alike = Catalogue([tmp_path / "alike"])
    for name in "ab":
        simulate.write(tmp_path / "alike" / "results" / name, tables[0])
    services.results = alike
    with pytest.raises(ResultError, match="the same text for every clip"):
        handlers.ask(services, '["a", "b"]', session)


def test_a_vote_is_kept_once_with_its_context_and_nothing_personal(services: Services, ballots: Ballots) -> None:
    asked = ask(services)
    session = handlers.cast(ballots, asked, "second")
    [kept] = votes.read(ballots.path)
    assert session.now and kept.choice == "second" and kept.texts == session.now.texts
    assert kept.clip.keys() == {"corpus", "split", "fingerprint", "clip"} and kept.session == session.id
    assert handlers.cast(ballots, session, "first") == session
    at_once = handlers.cast(ballots, asked, "first")
    assert at_once == session, "two clicks in one moment come with the same state; the first one stands"
    assert len(list(votes.read(ballots.path))) == 1
    assert "1 vote in 1 visit" in markup.standings_html(ballots.standings())


def test_a_vote_of_a_session_that_is_gone_is_told_not_to_count(ballots: Ballots) -> None:
    with pytest.raises(NotFoundError, match="not counted"):
        handlers.cast(ballots, Session(), "first")
    assert not ballots.path.exists()


def test_no_votes_yet(services: Services, ballots: Ballots) -> None:
    assert "Nobody has voted" in markup.standings_html(ballots.standings())
    with pytest.raises(ResultError):
        handlers.ask(services, "", Session())


def test_those_who_never_met_are_not_ranked_together(ballots: Ballots) -> None:
    en, tr = ([Contender(f"{language}-{n}", "f", HOSTILE, {}) for n in "ab"] for language in ("en", "tr"))
    for pair in (en, en, tr):
        clip = {"corpus": "c", "clip": "a"}
        ballots.keep(Vote((pair[0], pair[1]), ("x", "y"), "first", clip, "", "s"))
    html = markup.standings_html(ballots.standings())
    reader = Reader(html)
    assert len(reader.find("table")) == 2 and not reader.find("img") and "A table for each group" in reader.text
    assert html.index("en-b") < html.index("tr-a"), "the group with more votes first"


def test_a_contender_is_its_weights_and_whatever_decides_its_text(services: Services) -> None:
    greedy, beam = (services.results.get(name) for name in ("demo-en-greedy", "demo-en-beam"))
    assert handlers.of_result(greedy).settings == {"kind": "greedy"}
    found = handlers.of_result(beam)
    assert found.name == "demo-en, beam + demo-lm" and found.settings["lm_fingerprint"]

    def changed(**decoder: object) -> str:
        pins = {**beam.info["pins"], "decoder": {**beam.info["pins"]["decoder"], **decoder}}
        return handlers.of_result(replace(beam, info={**beam.info, "pins": pins})).key

    assert changed() == found.key == changed(hotword_weight=99.0), "without hotwords their weight decides nothing"
    unlike = {changed(lm_fingerprint="f00"), changed(hotwords=["tea"]), changed(hotwords=["tea"], hotword_weight=1.0)}
    assert len(unlike | {found.key}) == 4
