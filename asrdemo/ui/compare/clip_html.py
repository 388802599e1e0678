"""One clip's lanes as HTML: a sentence that sums up, a card a lane, and the texts word under word. All escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from asrdemo.ui.compare.clip_handlers import LETTERS, LONGEST, Comparison, Heard, Laid
from asrdemo.ui.compare.markup import (
    glossary,
    interlinear,
    marked,
    megabytes,
    percent,
    run_mark,
    term,
    times,
)
from asrdemo.ui.result_html import clock
from evals.report.diff import direction
from evals.score import Score
from evals.side_by_side import parted

MOST_WORDS = 600  # of each text that are shown; a page of an hour of speech would have megabytes

EMPTY = (
    '<div class="empty"><svg viewBox="0 0 120 32" aria-hidden="true">'
    '<path d="M4 9h70l10 5 10-5h22M4 23h52l12-6 14 6h34"/>'
    "</svg><p>The same clip, heard by several models.</p>"
    "<p>Choose an example: each lane writes what it heard, and what differs is marked.</p></div>"
)


def comparison_html(now: Comparison, laid: Laid | None, titles: Sequence[tuple[str, str]]) -> str:
    """The whole result. titles: of each lane, the checkpoint and how its text is found."""
    if now.take is None:
        return EMPTY
    best = _best(laid) if laid else set()
    cards = "".join(
        _card(at, lane, titles[at], now, laid, at in best) for at, lane in enumerate(now.lanes)
    )  # fmt: skip
    below = _below(now, laid) if laid else ""
    return (
        f'<article class="comparison" aria-busy="{str(not now.done).lower()}">'
        f"<header><h2>{escape(now.take.name)}</h2><p>{_about(now)}</p></header>"
        f'<p class="verdict" role="status">{_verdict(now, laid)}</p>{_script(now, laid)}'
        f'<div class="lanes">{cards}</div>{below}</article>'
    )


def _about(now: Comparison) -> str:
    lengths = [clock(lane.transcript.duration) for lane in now.lanes if lane.transcript]
    return " · ".join([*lengths[:1], f"{len(now.lanes)} lanes hear the same samples"])


def _script(now: Comparison, laid: Laid | None) -> str:
    if not now.take or not now.take.reference:
        return ""
    lang = f' lang="{escape(now.take.language)}"' if now.take.language else ""
    said = f'<q dir="auto"{lang}>{escape(now.take.reference)}</q>'
    return f'<p class="script-line"><span class="label">What was read</span> {said}</p>'


def _errors(score: Score) -> str:
    """Such as "1 of 9 words wrong"."""
    return f"{score.words.errors} of {score.words.reference} words wrong"


def _best(laid: Laid) -> set[int]:
    """Lanes with the fewest errors, unless all are alike."""
    errors = [score.words.errors for score in laid.scores]
    if len(set(errors)) < 2:
        return set()
    return {lane for lane, count in zip(laid.lanes, errors, strict=True) if count == min(errors)}


def _verdict(now: Comparison, laid: Laid | None) -> str:
    """What there is to see, in one sentence."""
    if not now.done:
        waiting = next(at for at, lane in enumerate(now.lanes) if not (lane.transcript or lane.problem))
        return f"Lane {LETTERS[waiting]} is listening …"
    if not any(lane.transcript for lane in now.lanes):
        return "No lane could hear this clip; each says why below."
    if laid is None:
        return f"Texts of more than {LONGEST:,} words are not laid side by side; choose a shorter clip to compare them."
    if len(laid.lanes) == 1:
        return f"Only lane {LETTERS[laid.lanes[0]]} could hear this clip."
    places = sum(len(set(column.words[1:] if laid.reference else column.words)) > 1 for column in laid.columns)
    if not laid.scores:
        return f"The lanes part in {places} {'place' if places == 1 else 'places'}." if places else _ALIKE
    best = _best(laid)
    if not best:
        same = _errors(laid.scores[0]) if laid.scores[0].words.errors else "nothing is wrong"
        return f"{_ALIKE[:-1]}: {same}." if not places else f"A tie, in different words: {same} in every lane."
    ranked = sorted(zip(laid.lanes, laid.scores, strict=True), key=lambda pair: pair[1].words.errors)
    first = ranked[0][1]
    names = " and ".join(LETTERS[lane] for lane in sorted(best))
    rest = ", ".join(f"{LETTERS[lane]} {s.words.errors}" for lane, s in ranked if lane not in best)
    verb = "makes" if len(best) == 1 else "make"
    return f"<strong>{names}</strong> {verb} the fewest errors here: {_errors(first)}; {rest}."


_ALIKE = "All lanes agree on every word."


def _card(at: int, lane: Heard, title: tuple[str, str], now: Comparison, laid: Laid | None, best: bool) -> str:
    name, reading = title
    crown = '<span class="crown"><span aria-hidden="true">✓</span> fewest errors</span>' if best else ""
    head = (
        f"<header>{run_mark(at, LETTERS[at])}<div><h3>{escape(name)}</h3><p>{escape(reading)}</p></div>{crown}</header>"
    )
    if lane.problem:
        body = f'<p class="problem"><strong>Could not hear it:</strong> {escape(lane.problem)}</p>'
    elif lane.transcript is None:
        body = '<p class="waiting"><span class="pulse" aria-hidden="true"></span> waiting for its turn</p>'
    else:
        body = _text(at, now, laid, lane) + _figures(at, lane, laid)
    return f'<section class="lane-card" aria-label="Lane {LETTERS[at]}">{head}{body}</section>'


def _text(at: int, now: Comparison, laid: Laid | None, lane: Heard) -> str:
    """What the lane wrote; once all are done, with what differs marked."""
    text = lane.transcript.text if lane.transcript else ""
    language = now.take.language if now.take else ""
    lang = f' lang="{escape(language)}"' if language else ""
    if laid is None:
        words, way = text.split(), direction(text)
        shown, count = escape(" ".join(words[:MOST_WORDS])), len(words)
    else:
        row = laid.lanes.index(at) + bool(laid.reference)
        against = "the script" if laid.reference else f"lane {LETTERS[laid.lanes[0]]}"
        shown, count = marked(laid.columns[:MOST_WORDS], row, laid.joined, against), len(laid.columns)
        way = direction(laid.reference or text)
    if not text:
        return f'<p class="heard none">No words were recognised.</p><p class="hint">{shown}</p>'
    rest = f'<p class="hint">The first {MOST_WORDS:,} of {count:,} words.</p>' if count > MOST_WORDS else ""
    return f'<p class="heard" dir="{way}"{lang}>{shown}</p>{rest}'


def _figures(at: int, lane: Heard, laid: Laid | None) -> str:
    cells = []
    if laid and laid.scores and at in laid.lanes:
        score = laid.scores[laid.lanes.index(at)]
        cells += [(term("WER"), percent(score.wer), _errors(score)), (term("CER"), percent(score.cer), "")]
    sure = "–" if lane.confidence is None else percent(lane.confidence, 0)
    why = "" if lane.speed is not None else "It had heard this clip before; nothing was timed"
    cells += [
        (term("Confidence"), sure, ""),
        (term("Speed"), times(lane.speed), why),
        (term("Memory"), megabytes(lane.memory), _loaded(lane)),
    ]
    items = "".join(f'<div title="{escape(more)}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, more in cells)
    return f'<dl class="figures">{items}</dl>'


def _loaded(lane: Heard) -> str:
    """How the checkpoint lies in memory."""
    if lane.memory is None or lane.transcript is None:
        return "It had heard this clip before and is no longer in memory"
    return f"{lane.memory:,} bytes of weights in {lane.transcript.precision} on {lane.transcript.device}"


def _below(now: Comparison, laid: Laid) -> str:
    heads = [run_mark(at, LETTERS[at]) for at in laid.lanes]
    if laid.reference:
        heads = ["<em>read</em>", *heads]
    columns = parted(laid.columns)
    rows = interlinear(columns, heads, now.take.language if now.take else "")
    gone = " Places where all agree are left out (…), and whatever is too long for one page." if None in columns else ""
    first = "what was read" if laid.reference else f"lane {LETTERS[laid.lanes[0]]}"
    return (
        f'<section class="by-word"><h3>Word by word</h3>{rows}<p class="hint">Against {first}: '
        '<b class="sign">≠</b> another word, <b class="sign">−</b> missing, <b class="sign">+</b> added. '
        f"Capitals and punctuation are left out, as in scoring.{gone}</p></section>"
        + glossary(("Lane", "WER", "CER", "Confidence", "Speed", "Memory", "Greedy", "Beam search"))
    )
