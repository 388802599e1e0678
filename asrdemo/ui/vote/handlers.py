"""The blind vote: a clip, two texts without names, a choice, and what all choices add up to. Values in, values out."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asrdemo.errors import NotFoundError, ResultError
from asrdemo.text import profile
from asrdemo.types import DecoderOptions
from asrdemo.ui.compare import clip_handlers as compare_clip_handlers
from asrdemo.ui.compare import corpus_handlers as compare_corpus_handlers
from asrdemo.ui.compare.clip_handlers import Comparison
from asrdemo.ui.services import Services
from evals import votes
from evals.results import Result
from evals.votes import Choice, Contender, Standing, Vote

CORPUS, CLIP = "corpus", "clip"
_TRIES = 200  # clips looked at for one on which two results differ


@dataclass(frozen=True)
class Round:
    """One question. contenders, texts: in the order shown. clip: what is kept of it; position: in the results, or
    None; reference: what was read, "" where nobody knows. chosen: "" until the visitor has voted."""

    contenders: tuple[Contender, Contender]
    texts: tuple[str, str]
    clip: dict[str, Any]
    position: int | None = None
    reference: str = ""
    joined: bool = False
    own: bool = False
    chosen: str = ""


@dataclass(frozen=True)
class Session:
    """A visitor's voting. id: random, of this visit only; seen: positions that had their turn."""

    id: str = ""
    seen: frozenset[int] = frozenset()
    now: Round | None = None
    count: int = 0


def decoder_name(kind: str, lm: str | None) -> str:
    """How a text was found, in words."""
    return f"beam + {lm}" if kind == "beam" and lm else kind


def of_result(result: Result) -> Contender:
    """What a result's texts came from."""
    pins = result.info["pins"]
    decoder = dict(pins.get("decoder", {"kind": result.name}))
    checkpoint = pins.get("checkpoint", {})
    name = decoder_name(decoder.get("kind", ""), decoder.get("lm"))
    settings = _settings(decoder)
    return Contender(checkpoint.get("id") or result.name, checkpoint.get("fingerprint", ""), name, settings)


def of_lane(services: Services, checkpoint: str, options: DecoderOptions) -> Contender:
    """What a lane's text came from; the same contender as a result with the same weights and settings."""
    identity = services.transcriber.identity(checkpoint)
    if options.lm and options.lm in services.registry.unlisted:  # its id lets one use it; votes are seen by all
        options = replace(options, lm=f"own-{hashlib.sha256(options.lm.encode()).hexdigest()[:8]}")
    return Contender(
        checkpoint,
        identity.fingerprint if identity else "",
        decoder_name(options.kind, options.lm),
        _settings({**vars(options), "hotwords": list(options.hotwords)}),
    )


def _settings(decoder: dict[str, Any]) -> dict[str, Any]:
    """Those that decide a text; of greedy decoding none does."""
    if decoder.get("kind") != "beam":
        return {"kind": decoder.get("kind", "")}
    names = ("kind", "lm", "alpha", "beta", "unk_offset", "beam_width", "beam_prune", "token_prune", "hotwords")
    return {name: decoder[name] for name in names if name in decoder}


def pairs(services: Services) -> list[tuple[str, str]]:
    """Labels and values of the results that can be voted on together: families of two or more, by their first name."""
    from evals.together import families

    found = [family for family in families(services.results.complete()) if len(family) > 1]
    return [(_family(f), ",".join(r.name for r in f[: compare_corpus_handlers.MOST])) for f in found]


def _family(family: Sequence[Result]) -> str:
    corpus = family[0].info["pins"]["corpus"]
    return f"{corpus['name']} {corpus['split']} · {len(family)} results"


def begin(session: Session) -> Session:
    """With a random id, once."""
    return session if session.id else replace(session, id=secrets.token_hex(8))


def of_corpus(services: Services, names: str, session: Session, rng: random.Random | None = None) -> Session:
    """The next question: a clip on which two of the results differ, in any order.

    Raises ResultError where they agree on every clip that was looked at.
    """
    rng = rng or random.SystemRandom()
    session = begin(session)
    scored = services.results.scored(names.split(",")) if names else None
    if scored is None:
        raise ResultError("There are no two results of the same clips to vote on; run an evaluation first.")
    import numpy as np

    from evals.clips import taken

    for _ in range(_TRIES):
        one, other = rng.sample(range(len(scored.runs)), 2)
        position = rng.randrange(len(scored))
        at = np.array([position])
        texts = tuple(taken(scored, "hypothesis", at, run).to_pylist()[0] or "" for run in (one, other))
        if position in session.seen or texts[0] == texts[1]:
            continue
        corpus = scored.results[0].info["pins"]["corpus"]
        [name], [reference] = (taken(scored, column, at).to_pylist() for column in ("clip", "reference"))
        language = scored.results[0].info["pins"]["normaliser"].get("profile", "default")
        now = Round(
            (of_result(scored.results[one]), of_result(scored.results[other])),
            (texts[0], texts[1]),
            {"corpus": corpus["name"], "split": corpus["split"], "fingerprint": corpus["fingerprint"], "clip": name},
            position,
            reference or "",
            profile(language).by_character,
        )
        return replace(session, now=now, seen=session.seen | {position})
    raise ResultError("No further clip was found on which these results differ. Choose others.")


def of_clip(services: Services, found: Comparison, session: Session, rng: random.Random | None = None) -> Session:
    """A question from the lanes of One clip: two with different texts, in any order. Raises NotFoundError for none."""
    rng = rng or random.SystemRandom()
    session = begin(session)
    laid = compare_clip_handlers.laid(services, found)
    if laid is None or found.take is None:
        raise NotFoundError("Nothing has been compared yet: choose a clip under One clip first.")
    first = int(bool(laid.reference))
    texts = [
        " ".join(filter(None, (column.words[first + row] for column in laid.columns))) for row in range(len(laid.lanes))
    ]
    unlike = [(a, b) for a in range(len(texts)) for b in range(len(texts)) if texts[a] != texts[b]]
    if not unlike:
        raise NotFoundError("All lanes agree on this clip: there is nothing to choose. Try another clip or lane.")
    pair = rng.choice(unlike)
    heard = [found.lanes[laid.lanes[row]].transcript for row in pair]
    one, other = (of_lane(services, t.checkpoint, t.decoder) for t in heard if t)
    # Of a visitor's own recording neither its name nor its words are kept
    clip = {} if found.take.own else {"clip": found.take.path.replace("\\", "/").rpartition("/")[2]}
    now = Round(
        (one, other), (texts[pair[0]], texts[pair[1]]), clip, None, laid.reference, laid.joined, found.take.own
    )  # fmt: skip
    return replace(session, now=now)


def cast(services: Services, session: Session, choice: Choice) -> Session:
    """Keep the vote; the round then says who was who. A second vote on the same round changes nothing."""
    now = session.now
    if now is None or now.chosen:
        return session
    texts = ("", "") if now.own else now.texts
    time = datetime.now(UTC).isoformat(timespec="seconds")
    votes.keep(services.settings.home, Vote(now.contenders, texts, choice, now.clip, time, session.id))
    return replace(session, now=replace(now, chosen=choice), count=session.count + 1)


def standing(services: Services) -> Standing | None:
    """What all votes add up to."""
    return votes.standing(votes.read(services.settings.home))


def download(services: Services) -> dict[str, str]:
    """All votes as CSV. Raises NotFoundError where there is none."""
    found = votes.read(services.settings.home)
    if not found:
        raise NotFoundError("Nobody has voted yet.")
    return compare_corpus_handlers.as_file("votes.csv", votes.table(found).to_csv(index=False))
