"""What the parts of the Compare page share: marked texts, numbers, terms with their meaning. All escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from evals.report.charts import shape
from evals.report.diff import direction
from evals.side_by_side import Column

TERMS = {
    "WER": "Word error rate: of 100 words that were read, how many are wrong, missing or added. Lower is better.",
    "CER": "Character error rate: the same, counted in letters. Lower is better.",
    "Confidence": "How sure the model is of its words, on average. Calibrated for the demo checkpoint only.",
    "Speed": "Seconds of audio worked through in one second (RTFx). Higher is faster.",
    "Memory": "What the checkpoint's weights take as they are loaded here, in their number format. The tables of a "
    "language model come on top: it does not tell how large they are.",
    "Interval": "95 times out of 100 the true number, that of all speakers of the same kind, lies in such a range.",
    "Difference": "This result's word errors less the baseline's, on the same clips. Below zero is better.",
    "Chance": "How often a difference this large would come about if both were equally good (p, Holm-corrected for "
    "the number of comparisons). Below 5 % counts as real.",
    "Fixed": "Wrong in the baseline, right in the other result.",
    "Broken": "Right in the baseline, wrong in the other result.",
    "Lane": "One way to turn the clip into text: a model and how its text is found.",
    "Baseline": "The result that the others are compared with.",
    "Greedy": "Takes the likeliest letter at each moment. Quick.",
    "Beam search": "Weighs many readings against each other, often with a language model that knows which words follow "
    "one another. Slower.",
}


def term(name: str, shown: str = "") -> str:
    """A word of the trade with its meaning as a tooltip; `glossary` says the same without a mouse."""
    return f'<abbr title="{escape(TERMS[name])}">{escape(shown or name)}</abbr>'


def glossary(names: Sequence[str]) -> str:
    """The meanings, folded away."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(TERMS[name])}</dd></div>" for name in names)
    return f'<details class="glossary"><summary>What these words mean</summary><dl>{items}</dl></details>'


def percent(rate: float, digits: int = 1) -> str:
    """A fraction, such as "12.3 %"; a dash for none."""
    return f"{100 * rate:.{digits}f} %" if math.isfinite(rate) else "–"


def points(value: float) -> str:
    """A difference of two rates in points, with a real minus sign."""
    return f"{100 * value:+.1f}".replace("-", "−") if math.isfinite(value) else "–"


def times(speed: float | None) -> str:
    """A speed such as "118×"."""
    if speed is None or not math.isfinite(speed):
        return "–"
    return f"{speed:,.0f}×" if speed >= 10 else f"{speed:.1f}×"


def megabytes(size: int | None) -> str:
    """Bytes for people; a dash for none."""
    if not size:
        return "–"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def run_mark(at: int, text: str) -> str:
    """A letter or name with its colour and shape."""
    mark = f'<svg viewBox="0 0 14 14" aria-hidden="true">{shape(at, 7, 7)}</svg>'
    return f'<span class="run-mark">{mark}{escape(text)}</span>'


def marked(columns: Iterable[Column], at: int, joined: bool, against: str) -> str:
    """The text in row `at` with what it lacks of the first struck through and what it has instead underlined.

    against: what the first text is, for tooltips. joined: words are written without spaces.
    """
    space = "" if joined else " "
    parts: list[str] = []
    gone: list[str] = []
    new: list[str] = []

    def flush() -> None:
        for tag, words, says in (("del", gone, f"in {against}, not here"), ("ins", new, f"here, not in {against}")):
            if words:
                run = escape(space.join(words))
                parts.append(f'<{tag} title="{says}"><span class="sr-only">{says}: </span>{run}</{tag}>')
            words.clear()

    for column in columns:
        mark, first, word = column.marks[at], column.words[0], column.words[at]
        if mark == "=":
            flush()
            parts.append(escape(str(word)))
        if mark in ("S", "D"):
            gone.append(str(first))
        if mark in ("S", "I"):
            new.append(str(word))
    flush()
    return space.join(parts)


def marked_pair(reference: str, hypothesis: str, ops: str, joined: bool) -> str:
    """A hypothesis against its reference, by the alignment that was counted (see evals.align)."""
    steps = [sum(op in kinds for op in ops) for kinds in ("=SD", "=SI")]
    if steps != [len(reference.split()), len(hypothesis.split())]:  # rows made by another program may lack texts
        return escape(hypothesis) or '<span class="none">the text was not kept</span>'
    said, heard = iter(reference.split()), iter(hypothesis.split())
    columns = [
        Column((next(said) if op in "=SD" else None, next(heard) if op in "=SI" else None)) for op in ops
    ]  # fmt: skip
    return marked(columns, 1, joined, "the script") or '<span class="none">nothing was heard</span>'


def interlinear(columns: Sequence[Column | None], heads: Sequence[str], language: str = "") -> str:
    """Word under word, wrapping like text. columns: None for some that are left out. heads: what each row is, as HTML;
    the first row is what others are held against. Places where all agree are quiet; where one differs it carries a
    sign."""
    lang = f' lang="{escape(language)}"' if language else ""
    way = direction(" ".join(column.words[0] or "" for column in columns if column))
    names = "".join(f"<span>{head}</span>" for head in heads)
    gap = f'<span class="stack">{"<span><i>…</i></span>" * len(heads)}</span>'
    stacks = "".join(_stack(column) if column else gap for column in columns)
    return (
        f'<div class="rows"><div class="stack names" aria-hidden="true">{names}</div>'
        f'<div class="stacks" dir="{way}"{lang}>{stacks}</div></div>'
    )


def _stack(column: Column) -> str:
    cells = "".join(_cell(mark, word) for mark, word in zip(column.marks, column.words, strict=True))
    return f'<span class="stack{"" if column.agreed else " parts"}">{cells}</span>'


def _cell(mark: str, word: str | None) -> str:
    signs = {"S": ("≠", "another word"), "D": ("−", "missing"), "I": ("+", "added")}
    if mark not in signs:
        return f"<span>{escape(word) if word else '<i>·</i>'}</span>"
    sign, says = signs[mark]
    shown = escape(word) if word else "∅"
    return f'<span class="{mark}" title="{says}"><b aria-hidden="true">{sign}</b>{shown}</span>'
