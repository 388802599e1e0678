"""The blind vote as HTML: the question, who was who, and the sum of all votes. All escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from asrdemo.ui.compare.charts import interval_bar, send
from asrdemo.ui.compare.markup import marked_pair, run_mark
from asrdemo.ui.vote.handlers import Round, Session
from evals.report.diff import direction
from evals.votes import CONTENDERS, Standing, names

EMPTY = (
    '<div class="empty"><p>Which text is better?</p><p>You hear a clip and read two texts of it, without names. '
    "Press Start: no knowledge is needed.</p></div>"
)
_CHOICES = (("first", "A is better"), ("tie", "Just as good"), ("second", "B is better"))


def problem_html(message: str) -> str:
    """In place of a question."""
    return f'<div class="empty" role="alert"><p>No question now.</p><p>{escape(message)}</p></div>'


def round_html(session: Session) -> str:
    """The question, or after the vote its answer."""
    now = session.now
    if now is None:
        return EMPTY
    texts = "".join(_text(now, at) for at in (0, 1))
    if now.chosen:
        below = _revealed(session, now)
    else:
        buttons = "".join(
            f'<button type="button" class="vote" {send({"vote": value})}>{label}</button>' for value, label in _CHOICES
        )
        skip = f'<button type="button" class="chip" {send({"next": 1})}>Skip</button>'
        below = f'<div class="votes" role="group" aria-label="Your choice">{buttons}</div><p class="pager">{skip}</p>'
    head = "Listen, then choose the text that says better what was said." if not now.chosen else _thanks(session)
    verdict = f'<p class="verdict" role="status">{head}</p>'
    return f'<article class="ballot">{verdict}<div class="lanes">{texts}</div>{below}</article>'


def _thanks(session: Session) -> str:
    return f"Thank you. {session.count} {'vote' if session.count == 1 else 'votes'} from you so far."


def _text(now: Round, at: int) -> str:
    shown = _joined(now.texts[at], now.joined) or '<span class="none">(no words)</span>'
    name, mark = "", ""
    if now.chosen:
        name = f"<p>{escape(now.contenders[at].name)}</p>"
        won = {"first": 0, "second": 1}.get(now.chosen)
        mark = '<span class="crown"><span aria-hidden="true">✓</span> your choice</span>' if won == at else ""
    return (
        f'<section class="lane-card"><header><span class="letter">{"AB"[at]}</span><div>{name}</div>{mark}</header>'
        f'<p class="heard" dir="auto">{shown}</p></section>'
    )


def _joined(text: str, joined: bool) -> str:
    return escape(text.replace(" ", "") if joined else text)


def _revealed(session: Session, now: Round) -> str:
    """What was read, and how far each text is from it."""
    following = f'<button type="button" class="vote next" {send({"next": 1})}>Next clip</button>'
    if not now.reference:
        return f'<p class="pager">{following}</p>'
    from evals.align import align_words

    found = align_words([now.reference] * 2, list(now.texts))
    way = direction(now.reference)
    sides = [marked_pair(now.reference, now.texts[at], found.ops[at], now.joined) for at in (0, 1)]
    rows = "".join(
        f'<div><dt>{"AB"[at]}<small>{_count(int(found.errors[at]))}</small></dt><dd dir="{way}">{sides[at]}</dd></div>'
        for at in (0, 1)
    )
    return (
        f'<section class="revealed"><p class="script-line"><span class="label">What was read</span> '
        f'<span dir="auto">{_joined(now.reference, now.joined)}</span></p><dl class="sides">{rows}</dl></section>'
        f'<p class="pager">{following}</p>'
    )


def _count(errors: int) -> str:
    return f" {errors} word {'error' if errors == 1 else 'errors'}"


def standings_html(found: Sequence[Standing]) -> str:
    """Who is preferred, with intervals: a table for those who met, directly or through others."""
    if not found:
        return '<article class="standing"><h3>All votes</h3><p class="none">Nobody has voted yet.</p></article>'
    named = names([contender for each in found for contender in each.contenders])
    tables = []
    for each in found:
        tables.append(_standing(each, named[: len(each.contenders)]))
        del named[: len(each.contenders)]
    apart = (
        '<p class="hint">A table for each group: nobody of one was ever heard against one of another, so no vote says '
        "which group is better.</p>"
        if len(found) > 1
        else ""
    )
    return (
        f'<article class="standing"><h3>All votes</h3>{apart}{"".join(tables)}<p class="hint">Preferred: how often it '
        "would win against each of the others in its table, on average; ties count half. Interval: 95 times out of 100 "
        "the true number lies in such a range. Bradley-Terry model, ties after Davidson, Bayesian bootstrap. At most "
        f"the {CONTENDERS} with the most votes are shown.</p></article>"
    )


def _standing(found: Standing, named: Sequence[str]) -> str:
    rows = "".join(_row(found, at, name) for at, name in enumerate(named))
    people = f"{found.sessions:,} {'visit' if found.sessions == 1 else 'visits'}"
    few = "" if found.by_session else " So few people voted that the range does not tell how people differ."
    return (
        f'<p class="hint">{found.votes:,} {"vote" if found.votes == 1 else "votes"} in {people}.{few}</p>'
        '<div class="scroll"><table class="results"><thead><tr><th scope="col">Contender</th>'
        '<th scope="col" class="n">Preferred</th><th scope="col"><span title="95 % interval">Interval</span></th>'
        '<th scope="col" class="n">Won</th><th scope="col" class="n">Tied</th><th scope="col" class="n">Lost</th></tr>'
        "</thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(found: Standing, at: int, name: str) -> str:
    share, low, high = (
        float(values[at]) for values in (found.strengths.share, found.strengths.low, found.strengths.high)
    )
    counts = "".join(
        f'<td class="n" data-label="{said}">{counted[at]}</td>'
        for said, counted in (("Won", found.won), ("Tied", found.tied), ("Lost", found.lost))
    )
    bar = f"{interval_bar(share, low, high, 1.0, at)} <small>{100 * low:.0f} to {100 * high:.0f}</small>"
    return (
        f'<tr><th scope="row">{run_mark(at, name)}</th>'
        f'<td class="n big" data-label="Preferred">{100 * share:.0f} %</td><td class="range">{bar}</td>{counts}</tr>'
    )
