"""The blind vote: a clip, two texts without names, a choice, and what all choices add up to. Values in, values out."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

from asrdemo.errors import NotFoundError, ResultError
from asrdemo.text import profile
from asrdemo.ui.compare import corpus_handlers
from asrdemo.ui.services import Services
from evals.results import Result
from evals.scored import Scored
from evals.votes import Ballots, Choice, Contender, Vote

if TYPE_CHECKING:
    import numpy as np

IDLE = "This page was left alone for too long, so this vote was not counted. Press Start for another clip."


@dataclass(frozen=True)
class Round:
    """One question. id: random; contenders, texts: in the order shown; clip: what is kept of it; names, position: the
    results and which of their clips; reference: what was read. chosen: "" until the visitor has voted."""

    id: str
    contenders: tuple[Contender, Contender]
    texts: tuple[str, str]
    clip: dict[str, str]
    names: tuple[str, ...]
    position: int
    reference: str = ""
    joined: bool = False
    chosen: str = ""


@dataclass(frozen=True)
class Session:
    """A visitor's voting. id: random, of this visit only; seen: results and position of clips that had their turn."""

    id: str = ""
    seen: frozenset[tuple[tuple[str, ...], int]] = frozenset()
    now: Round | None = None
    count: int = 0


def of_result(result: Result) -> Contender:
    """What a result's texts came from."""
    pins = result.info["pins"]
    decoder = dict(pins.get("decoder", {"kind": result.name}))
    checkpoint = pins.get("checkpoint", {})
    kind, lm = decoder.get("kind", ""), decoder.get("lm")
    name = f"beam + {lm}" if kind == "beam" and lm else kind
    return Contender(checkpoint.get("id") or result.name, checkpoint.get("fingerprint", ""), name, _settings(decoder))


def _settings(decoder: dict[str, Any]) -> dict[str, Any]:
    """Those that decide a text; of greedy decoding none does."""
    if decoder.get("kind") != "beam":
        return {"kind": decoder.get("kind", "")}
    names = ["kind", "lm", "lm_fingerprint", "alpha", "beta", "unk_offset", "beam_width", "beam_prune", "token_prune"]
    names += ["hotwords", "hotword_weight"] if decoder.get("hotwords") else []
    return {name: decoder[name] for name in names if name in decoder}


def pairs(services: Services) -> list[tuple[str, str]]:
    """Labels and values of the results that can be voted on together: families of two or more."""
    from evals.together import families

    found = [family for family in families(services.results.complete()) if len(family) > 1]
    return [(_family(f), json.dumps([r.name for r in f[: corpus_handlers.MOST]])) for f in found]


def _family(family: Sequence[Result]) -> str:
    corpus = family[0].info["pins"]["corpus"]
    return f"{corpus['name']} {corpus['split']} · {len(family)} results"


def ask(services: Services, chosen: str, session: Session, rng: random.Random | None = None) -> Session:
    """The next question: a clip on which two of the results differ, in any order.

    chosen: a value of `pairs`. Raises ResultError where all those clips have had their turn, or there is none.
    """
    rng = rng or random.SystemRandom()
    if not chosen:
        raise ResultError("There are no two results of the same clips to vote on; run an evaluation first.")
    names = tuple(json.loads(chosen))
    scored = services.results.scored(names)
    seen = {position for among, position in session.seen if among == names}
    unlike = list(combinations(range(len(names)), 2))
    rng.shuffle(unlike)
    for pair in unlike:
        clips = _apart(scored, *pair)
        left = [at for at in _some(clips, len(seen), rng) if at not in seen]
        if left:
            now = _round(scored, rng.sample(pair, 2), left[0])
            id_ = session.id or secrets.token_hex(8)
            return replace(session, id=id_, now=now, seen=session.seen | {(names, left[0])})
    if not seen:
        raise ResultError("These results have the same text for every clip; choose others.")
    raise ResultError(f"You have had all {len(seen):,} clips on which these results differ. Thank you! Choose others.")


def _some(clips: np.ndarray, seen: int, rng: random.Random) -> list[int]:
    """Clips in any order: one more than have had their turn, or all."""
    return [int(clips[at]) for at in rng.sample(range(len(clips)), min(seen + 1, len(clips)))]


def _apart(scored: Scored, one: int, other: int) -> np.ndarray:
    """Positions of the clips whose texts differ, found once."""

    def compared() -> np.ndarray:
        import numpy as np
        import pyarrow.compute as pc

        texts = [pc.fill_null(scored.column("hypothesis", run), "") for run in (one, other)]
        return np.flatnonzero(pc.not_equal(*texts).to_numpy())

    found: np.ndarray = scored.once(("apart", one, other), compared)
    return found


def _round(scored: Scored, pair: Sequence[int], position: int) -> Round:
    import numpy as np

    from evals.clips import taken

    def value(column: str, run: int = 0) -> str:
        return taken(scored, column, np.array([position]), run).to_pylist()[0] or ""

    one, other = (scored.results[run] for run in pair)
    corpus, rules = (scored.results[0].info["pins"][name] for name in ("corpus", "normaliser"))
    return Round(
        secrets.token_hex(8),
        (of_result(one), of_result(other)),
        (value("hypothesis", pair[0]), value("hypothesis", pair[1])),
        {**{key: corpus[key] for key in ("split", "fingerprint")}, "corpus": corpus["name"], "clip": value("clip")},
        scored.runs,
        position,
        value("reference"),
        profile(rules.get("profile", "default")).by_character,
    )


def cast(ballots: Ballots, session: Session, choice: Choice) -> Session:
    """Keep the vote; the round then says who was who. A second vote on the same round changes nothing.

    Raises NotFoundError for a session that is gone, and as Ballots.keep does.
    """
    now = session.now
    if now is None:
        raise NotFoundError(IDLE)
    if now.chosen:
        return session
    time = datetime.now(UTC).isoformat(timespec="seconds")
    kept = ballots.keep(Vote(now.contenders, now.texts, choice, now.clip, time, session.id, now.id))
    return replace(session, now=replace(now, chosen=kept), count=session.count + 1)


def audio(services: Services, now: Round) -> bytes | str:
    """What the player plays for a question. Raises NotFoundError where the clip's corpus is not here."""
    return corpus_handlers.audio(services, corpus_handlers.View(now.names), now.position)
