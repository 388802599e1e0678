"""Clips of a comparison, to hear and to read side by side. All escaped."""

from __future__ import annotations

from html import escape

from asrdemo.ui.compare.charts import send
from asrdemo.ui.compare.corpus_handlers import PAGE, ClipList, ClipRow
from asrdemo.ui.compare.markup import marked_pair, run_mark
from evals.report.diff import direction

_PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'


def list_html(found: ClipList, names: tuple[str, ...], joined: bool) -> str:
    """A page of clips. names: of the results. joined: words are written without spaces."""
    if not found.total:
        return f'<article class="clips"><h3>{escape(found.title)}</h3><p class="none">There is none.</p></article>'
    end = found.start + len(found.rows)
    rows = "".join(_row(row, names, joined) for row in found.rows)
    return (
        f'<article class="clips"><header><h3>{escape(found.title)}</h3>'
        f'<p class="hint">{found.start + 1:,} to {end:,} of {found.total:,}. − was read but not heard, + was heard but '
        f"not read.</p></header>{rows}{_pager(found)}</article>"
    )


def _row(row: ClipRow, names: tuple[str, ...], joined: bool) -> str:
    read = row.texts[0].replace(" ", "") if joined else row.texts[0]
    way = direction(read)
    texts = "".join(
        f"<div><dt>{run_mark(at, name)}<small>{_count(row.errors[at])}</small></dt>"
        f'<dd dir="{way}">{marked_pair(row.texts[0], row.texts[at + 1], row.ops[at], joined)}</dd></div>'
        for at, name in enumerate(names)
    )
    return (
        f'<section class="clip-row"><button type="button" class="play" {send({"play": row.position})} '
        f'aria-label="Play {escape(row.clip)}">{_PLAY}</button><div><p class="read" dir="auto">{escape(read)}</p>'
        f'<p class="hint">{escape(row.about)}</p><dl>{texts}</dl></div></section>'
    )


def _count(errors: int) -> str:
    return f"{errors} {'error' if errors == 1 else 'errors'}" if errors else "✓ no error"


def _pager(found: ClipList) -> str:
    back, on = found.start - PAGE, found.start + PAGE
    before = f'<button type="button" class="chip" {send({"start": back})}>← Before</button>' if back >= 0 else ""
    after = f'<button type="button" class="chip" {send({"start": on})}>More →</button>' if on < found.total else ""
    return f'<p class="pager">{before}{after}</p>' if before or after else ""
