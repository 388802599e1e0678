"""Clips as HTML: the table, one clip in detail, the places of a confused pair. Pure functions, all escaped.

Scripts read `data-hear` (a clip), `data-from` and `data-to` (seconds to play), see static/analysis.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from asrdemo.ui import words
from asrdemo.ui.analysis.markup import go, key
from asrdemo.ui.analysis.sound import Sound, spans
from asrdemo.ui.words import percent
from evals.clips import ORDERS
from evals.marks import KINDS
from evals.report.diff import direction, marked

if TYPE_CHECKING:
    from asrdemo.corpus.reports import Report

Row = Mapping[Any, Any]

_PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
BEFORE_S, AFTER_S = 0.15, 0.2  # heard around a word
MOST_A_SECOND = 6  # words that are marked over the sound
_ALONE_S = 0.35  # heard on either side of a place where nothing was heard

REASONS = {
    "": "no reason given",
    "offensive-language": "offensive language",
    "grammar-or-spelling": "grammar or spelling",
    "different-language": "different language",
    "difficult-pronounce": "difficult to pronounce",
}
"""What Common Voice offers to those who report a sentence, in plain words; any other reason is somebody's own."""
_MOST_REASONS, _LONGEST_REASON = 6, 100  # shown; characters


@dataclass(frozen=True)
class Pages:
    """Which page of how many clips."""

    page: int
    size: int
    clips: int

    @property
    def last(self) -> int:
        """Number of the last page."""
        return max(1, -(-self.clips // self.size))


def table_html(
    rows: Sequence[Row], pages: Pages, sort: str, marks: Mapping[str, str], whose: str, joined: bool = False
) -> str:
    """A page of the table, with what sorts it and leads on. whose: of markup.whose; joined: see `marked`."""
    options = "".join(
        f'<option value="{name}"{" selected" if name == sort else ""}>{text}</option>' for name, text in ORDERS.items()
    )
    body = "".join(_row(row, marks.get(row["clip"], ""), joined) for row in rows)
    first = (pages.page - 1) * pages.size + 1
    rate = "cer" if joined else "wer"
    count = f"{first:,} to {first + len(rows) - 1:,} of {pages.clips:,}" if rows else "no clips"
    saves = "".join(
        f'<button type="button" class="link" data-save="{what}">{text}</button>'
        for what, text in (("rows-csv", "CSV"), ("rows-parquet", "Parquet"), ("marks", "Marks"))
    )
    return (
        f'<section class="pane"><div class="above"><label>Sort <select data-sort>{options}</select></label>'
        f'<span class="hint">{count}; {whose}</span><span class="saves"><span class="label">Save</span>{saves}'
        '</span></div><div class="scroll"><table class="clip-table"><thead><tr><th scope="col"><span class="sr-only">'
        f'Hear</span></th><th scope="col" class="n">{rate.upper()} {words.tip(rate)}</th><th scope="col">What was '
        '<del>said</del> and what was <ins>heard</ins></th><th scope="col">Speaker</th>'
        '<th scope="col" class="n">Length</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_pager(pages)}</section>"
    )


def _row(row: Row, mark: str, joined: bool) -> str:
    badge = f' <span class="badge">{_sign(mark)} {escape(mark)}</span>' if mark else ""
    said = marked(row["reference"], row["hypothesis"], row["ops"], joined) or '<span class="none">no words</span>'
    return (
        f'<tr data-row="{escape(row["clip"])}"><td>{play(row["clip"], "Hear this clip")}</td>'
        f'<td class="n rate"><b>{percent(row["wer"], 0)}</b><span>{row["errors"]} of {row["words"]}</span></td>'
        f"<td><p {_written(row, joined)}>{said}</p>{badge}</td>"
        f'<td class="who" dir="auto">{escape(who(row)) or "–"}</td><td class="n">{row["seconds"]:.1f}\u00a0s</td></tr>'
    )


def _written(row: Row, joined: bool) -> str:
    """Attributes of a marked text: its direction, and whether it has no spaces."""
    return f'dir="{direction(row["reference"])}" class="diff{" joined" if joined else ""}"'


def who(row: Row) -> str:
    """The speaker, as far as the corpus says."""
    return words.value(", ".join(str(row[name]) for name in ("accents", "gender", "age") if row[name]))


def play(clip: str, what: str, start: float | None = None, end: float | None = None) -> str:
    """A button that plays a clip, or a part of it."""
    part = "" if start is None or end is None else f' data-from="{start:.3f}" data-to="{end:.3f}"'
    return (
        f'<button type="button" class="hear" data-hear="{escape(clip)}"{part} aria-label="{escape(what)}" '
        f'title="{escape(what)}">{_PLAY}</button>'
    )


def _pager(pages: Pages) -> str:
    if pages.last == 1:
        return ""
    wanted = {1, pages.page - 1, pages.page, pages.page + 1, pages.last}
    buttons, before = "", 0
    for number in sorted(n for n in wanted if 1 <= n <= pages.last):
        buttons += '<span class="gap">…</span>' if number > before + 1 else ""
        current = ' aria-current="page"' if number == pages.page else ""
        buttons += f'<button type="button" class="plain" {go({"leaf": str(number)})}{current}>{number:,}</button>'
        before = number
    return f'<nav class="pager" aria-label="Pages">{buttons}</nav>'


@dataclass(frozen=True, eq=False)
class Detail:
    """One clip. rows: of each run, the first one looked at closely. sound: None with the reason in `silent`.

    reports: what people reported of the sentence, in words, "" for nothing. joined: see `marked`.
    """

    rows: Sequence[Row]
    labels: Sequence[str]
    mark: str
    sound: Sound | None
    silent: str = ""
    reports: str = ""
    joined: bool = False


def detail_html(d: Detail) -> str:
    """The clip to see and hear."""
    first = d.rows[0]
    sound = _sound(d) if d.sound else f'<p class="hint">{escape(d.silent)}</p>'
    strips = "".join(_strip(row, label, at, d) for at, (row, label) in enumerate(zip(d.rows, d.labels, strict=True)))
    marks = "".join(
        f'<button type="button" class="plain" data-mark="{"" if d.mark == kind else kind}" '
        f'aria-pressed="{str(d.mark == kind).lower()}">{_sign(kind)} {kind}</button>'
        for kind in KINDS
    )
    return (
        f'<article class="detail" tabindex="-1" data-clip="{escape(first["clip"])}" aria-label="Clip"><header><h3>'
        f'{escape(first["clip"])}</h3><span class="marks" role="group" aria-label="Mark this clip">{marks}</span>'
        '<button type="button" class="plain close" data-close aria-label="Close">✕</button></header>'
        f'<div class="two-up"><div>{strips}{_facts(first, d.reports)}</div><div>{sound}</div></div></article>'
    )


def _sign(kind: str) -> str:
    return '<span aria-hidden="true">⚑</span>' if kind == KINDS[0] else '<span aria-hidden="true">★</span>'


def _strip(row: Row, label: str, at: int, d: Detail) -> str:
    """The alignment step by step, what was said over what was heard; a word that was heard can be heard again."""
    said, heard = iter(row["reference"].split()), iter(enumerate(row["hypothesis"].split()))
    starts, ends = row["word_starts"] or [], row["word_ends"] or []
    steps = ""
    for op in row["ops"]:
        above = next(said) if op in "=SD" else ""
        number, below = next(heard) if op in "=SI" else (None, "")
        attributes = ""
        if number is not None and number < len(starts):
            attributes = (
                f' data-hear="{escape(row["clip"])}" data-from="{starts[number]:.3f}" data-to="{ends[number]:.3f}"'
            )
        upper = f"<del>{escape(above)}</del>" if op in "SD" else f"<span>{escape(above)}</span>"
        lower = f"<ins>{escape(below)}</ins>" if op in "SI" else f"<span>{escape(below)}</span>" if op != "=" else ""
        steps += (
            f'<button type="button" class="step"{attributes or " disabled"}>{upper}{lower or "<span></span>"}</button>'
        )
    name = f'<p class="label">{key(at)} {escape(label)}</p>' if len(d.rows) > 1 else ""
    steps = steps or '<span class="none">no words</span>'
    return f'{name}<div class="steps{" joined" if d.joined else ""}" dir="{direction(row["reference"])}">{steps}</div>'


def _sound(d: Detail) -> str:
    assert d.sound is not None
    first, s = d.rows[0], d.sound
    starts, ends = first["word_starts"] or [], first["word_ends"] or []
    marks = "".join(
        f'<span style="left:{left:.2f}%;width:{width:.2f}%" data-start="{a:.3f}" data-end="{b:.3f}"><i dir="auto">'
        f"{escape(word)}</i></span>"
        for word, (left, width), a, b in zip(
            first["hypothesis"].split(), spans(starts, ends, s.seconds), starts, ends, strict=False
        )
    )
    if len(starts) > MOST_A_SECOND * s.seconds:  # of characters: nothing else would be seen
        marks = ""
    cut = f'<p class="hint">Only the first {s.seconds:.0f} seconds are played here.</p>' if s.cut else ""
    return (
        f'<audio controls preload="auto" src="{s.uri}"></audio><div class="scene" data-seconds="{s.seconds:.3f}" '
        'title="Choose a point to play from there">'
        '<svg viewBox="0 -1 1000 2" preserveAspectRatio="none" role="img" aria-label="Waveform">'
        f'<path d="{s.waveform}"/></svg><img src="{s.spectrogram}" alt="Spectrogram: 0 to 8 kHz over time">'
        f'<div class="marks-over" aria-hidden="true">{marks}</div><i class="head" aria-hidden="true"></i></div>{cut}'
    )


def reported(reports: Sequence[Report]) -> str:
    """Reports in words, such as "difficult to pronounce (2), grammar or spelling (1)"; of many reasons the first."""
    listed = [f"{_reason(each.reason)} ({each.count:,})" for each in reports[:_MOST_REASONS]]
    more = [f"{len(reports) - _MOST_REASONS:,} other reasons"] if len(reports) > _MOST_REASONS else []
    return ", ".join(listed + more)


def _reason(given: str) -> str:
    known = REASONS.get(given, given)
    return known if len(known) <= _LONGEST_REASON else f"{known[:_LONGEST_REASON]}…"


def _facts(row: Row, reports: str) -> str:
    units = {"speaking_rate": " letters/s", "snr": " dB"}
    facts = [(words.column(name), words.value(str(row[name]))) for name in ("accents", "gender", "age") if row[name]]
    facts.append(("clip length", f"{row['seconds']:.1f} s"))
    facts += [(words.column(n), f"{row[n]:.0f}{unit}") for n, unit in units.items() if _known(row[n])]
    if _known(row["up_votes"]) or _known(row["down_votes"]):
        facts.append(("votes", f"{row['up_votes'] or 0:.0f} for, {row['down_votes'] or 0:.0f} against"))
    facts.append(("reports of the sentence", reports))
    facts += [(words.column("sentence_domain"), row["sentence_domain"])] if row["sentence_domain"] else []
    facts += [("confidence", f"{row['confidence']:.2f}")] if _known(row["confidence"]) else []
    facts.append(("as written", row["reference_raw"]))
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd dir="auto">{escape(str(text))}</dd></div>' for name, text in facts if text
    )
    return f'<dl class="facts">{cells}</dl>{_speaker(row["client_id"])}'


def _speaker(client: str) -> str:
    """Leads to all clips of the speaker."""
    if not client:
        return ""
    where = escape(urlencode({"client_id": client}))
    return (
        f'<p><button type="button" class="link" data-where="{where}" data-anew {go({"view": "clips", "leaf": None})}>'
        "All clips of this speaker</button></p>"
    )


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and isnan(value))


def places_html(title: str, found: Sequence[tuple[Row, int, int]], most: int, joined: bool = False) -> str:
    """Where a pair occurs. found: (row, index of the word said, index of the word heard); joined: see `marked`."""
    items = "".join(_place(row, said, heard, joined) for row, said, heard in found)
    limit = f", the first {most}" if len(found) == most else ""
    return (
        f'<section class="pane places" id="analysis-places" tabindex="-1"><h3>{title}{limit}</h3>'
        f"<ul>{items or '<li>Nowhere among these clips.</li>'}</ul></section>"
    )


def _place(row: Row, said: int, heard: int, joined: bool) -> str:
    starts, ends = row["word_starts"] or [], row["word_ends"] or []
    start = end = None
    if heard < len(starts):
        start, end = max(0.0, starts[heard] - BEFORE_S), ends[heard] + AFTER_S
    elif ends:  # nothing was heard after the last word
        start, end = max(0.0, ends[-1] - _ALONE_S), row["seconds"]
    button = play(row["clip"], "Hear this place", start, end)
    return (
        f"<li>{button}<p {_written(row, joined)}>{_pointed(row, said, heard, joined)}</p>"
        f'<span class="hint">{escape(who(row))}</span></li>'
    )


def _pointed(row: Row, said: int, heard: int, joined: bool) -> str:
    """The alignment with the step in which word `said` and word `heard` are next."""
    words_said, words_heard, ops = row["reference"].split(), row["hypothesis"].split(), row["ops"]
    a = b = 0
    for step, op in enumerate(ops):
        after = a + (op in "=SD"), b + (op in "=SI")
        if (a, b) == (said, heard):
            parts = (
                marked(" ".join(words_said[:a]), " ".join(words_heard[:b]), ops[:step], joined),
                marked(" ".join(words_said[a : after[0]]), " ".join(words_heard[b : after[1]]), op, joined),
                marked(" ".join(words_said[after[0] :]), " ".join(words_heard[after[1] :]), ops[step + 1 :], joined),
            )
            space = "" if joined else " "
            return f"{parts[0]}{space}<mark>{parts[1]}</mark>{space}{parts[2]}"
        a, b = after
    return marked(row["reference"], row["hypothesis"], ops, joined)
