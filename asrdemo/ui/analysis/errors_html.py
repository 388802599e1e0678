"""Which words, letters and ways of writing go wrong, as HTML. Pure functions, all escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from asrdemo.ui.analysis.findings_html import titled
from asrdemo.ui.analysis.markup import go
from asrdemo.ui.words import percent

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Tables:
    """Rows of evals.confusions: pairs, left out, added; words: those missed most often. both: whether the language has
    words besides characters."""

    unit: str
    pairs: Sequence[Row]
    deleted: Sequence[Row]
    inserted: Sequence[Row]
    words: Sequence[Row]
    both: bool = True


def errors_html(t: Tables, whose: str, places: str = "") -> str:
    """The tables of confused words or letters. A row leads to its clips; places: those of the chosen one. whose: of
    markup.whose."""
    one = t.unit.removesuffix("s")
    choices = (("words", "Words"), ("characters", "Letters")) if t.both else ((t.unit, "Characters"),)
    units = "".join(
        f'<button type="button" class="chip" {go({"unit": unit, "said": None, "heard": None})} '
        f'aria-pressed="{str(unit == t.unit).lower()}">{name}</button>'
        for unit, name in choices
    )
    most = max([row["count"] for row in (*t.pairs, *t.deleted, *t.inserted)] or [1])
    tables = (
        _counts(f"One {one} taken for another", "substitutions", t.pairs, most)
        + _counts("Left out", "deletions", t.deleted, most)
        + _counts("Added", "insertions", t.inserted, most)
    )
    return (
        f'<p class="chips"><span class="label">Count</span> {units} <span class="hint">{whose}. Choose a row '
        f'to see its clips and hear it.</span></p>{places}<div class="thirds">{tables}</div>{_accuracy(t.words, one)}'
    )


def _counts(title: str, what: str, rows: Sequence[Row], most: int) -> str:
    body = "".join(_count(row, most) for row in rows) or '<p class="hint">None among these clips.</p>'
    return (
        f'<section class="pane"><div class="titled"><h3>{title}</h3><button type="button" class="link" '
        f'data-save="{what}">CSV</button></div><div class="confusions">{body}</div></section>'
    )


def _count(row: Row, most: int) -> str:
    said, heard = row.get("reference"), row.get("hypothesis")
    words = ""
    if said is not None:
        words += f'<del dir="auto">{shown(said)}</del>'
    if said is not None and heard is not None:
        words += ' <span aria-hidden="true">→</span><span class="sr-only">heard as</span> '
    if heard is not None:
        words += f'<ins dir="auto">{shown(heard)}</ins>'
    return (
        f'<button type="button" class="confusion" {go({"said": said, "heard": heard})}><span>{words}</span>'
        f'<span class="amount" style="--part:{100 * row["count"] / most:.1f}%">{row["count"]:,}</span></button>'
    )


def shown(item: str) -> str:
    """A word or letter; a space is drawn."""
    return "␣" if item == " " else escape(item)


def _accuracy(rows: Sequence[Row], one: str) -> str:
    body = "".join(
        f'<tr><th scope="row" dir="auto">{shown(row["item"])}</th><td class="n">{row["count"]:,}</td>'
        f'<td class="n"><b>{percent(row["accuracy"], 0)}</b></td><td><span class="share" style="--part:'
        f'{100 * row["accuracy"]:.1f}%"></span></td><td class="n">{row["substitutions"]:,}</td>'
        f'<td class="n">{row["deletions"]:,}</td></tr>'
        for row in rows
    )
    if not body:
        return ""
    return (
        f'<section class="pane"><div class="titled"><h3>The {one}s missed most often</h3><button type="button" '
        f'class="link" data-save="words">CSV of all {one}s</button></div><div class="scroll"><table class="accuracy">'
        f'<thead><tr><th scope="col">{one[:1].upper() + one[1:]}</th><th scope="col" class="n">Said</th>'
        '<th scope="col" class="n">Heard right</th><th scope="col"><span class="sr-only">Share</span></th>'
        '<th scope="col" class="n">Taken for another</th><th scope="col" class="n">Left out</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


_STEPS = {"as written": "as it is written"}
_LEFT = {
    "spelling variants": "other spellings of the same word",
    "word boundaries": "only the space between words is elsewhere",
    "numbers": "numbers written in another way",
    "recognition": "really misheard",
}


def formatting_html(found: Any, clips: int, whole: int, of: str = "") -> str:
    """How much is writing and how much is hearing. found: evals.formatting.Formatting, of `clips` of `whole` clips; of:
    see findings_html.titled."""
    steps = "".join(
        f'<tr><th scope="row">{escape(_STEPS.get(r["step"], r["step"]))}</th><td class="n">{percent(r["wer"])}</td>'
        f'<td class="n">{r["removed"]:,}</td></tr>'
        for r in found.steps.to_dict("records")
    )
    left = "".join(
        f'<tr><th scope="row">{escape(_LEFT.get(r["kind"], r["kind"]))}</th><td class="n">{r["errors"]:,}</td>'
        f'<td class="n">{percent(r["share"], 0)}</td></tr>'
        for r in found.left.to_dict("records")
    )
    sample = f" Of {clips:,} of the {whole:,} clips, spread evenly." if clips < whole else ""
    return (
        f'<section class="pane">{titled("formatting", of)}'
        '<p class="hint">As written, '
        f"{percent(found.raw_wer)} of the words differ; once capitals, punctuation and the like no longer count, "
        f'{percent(found.wer)}.{sample}</p><div class="halves"><div class="scroll"><table><thead><tr><th scope="col">'
        'After</th><th scope="col" class="n">WER</th><th scope="col" class="n">Errors gone</th></tr></thead>'
        f'<tbody>{steps}</tbody></table></div><div class="scroll"><table><thead><tr><th scope="col">What is left</th>'
        '<th scope="col" class="n">Errors</th><th scope="col" class="n">Share</th></tr></thead>'
        f"<tbody>{left}</tbody></table></div></div></section>"
    )
