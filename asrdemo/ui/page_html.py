"""The rest of the page as HTML: example cards, the list of files, the registry tables. Pure functions, all escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from asrdemo.ui.examples import Example
from asrdemo.ui.result_html import clock

if TYPE_CHECKING:
    from asrdemo.ui.transcribe.handlers import Item

LANGUAGES = {
    "en": "English", "tr": "Turkish", "ar": "Arabic", "ca": "Catalan", "es": "Spanish", "zh-CN": "Chinese",
    "de": "German", "fr": "French", "it": "Italian", "ru": "Russian", "pt": "Portuguese", "nl": "Dutch", "pl": "Polish",
}  # fmt: skip

HEADER = (
    '<div class="brand"><svg viewBox="0 0 40 40" aria-hidden="true"><rect width="40" height="40" rx="11"/>'
    '<path d="M9 20v1M14.5 15v11M20 9v22M25.5 14v13M31 18v5"/></svg>'
    "<div><h1>Speech recognition, heard and measured</h1>"
    "<p>Hear a checkpoint, compare it, see where it fails and for whom, and fix it.</p></div>"
    '<button type="button" id="theme-switch" aria-label="Switch between light and dark">'
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3a9 9 0 1 0 0 18z"/><circle cx="12" cy="12" r="9"/></svg>'
    "</button></div>"
)

_PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'


def examples_html(examples: Sequence[Example]) -> str:
    """One button a clip. A click transcribes it; scripts read `data-pick`."""
    if not examples:
        return '<p class="hint">No example clips are installed here. Record yourself or drop a file.</p>'
    cards = "".join(
        f'<button type="button" class="card" data-pick="{i}"><span class="play">{_PLAY}</span>'
        f'<span class="words" lang="{escape(e.language)}">{escape(e.sentence)}</span>'
        f'<span class="voice">{escape(_voice(e))}</span></button>'
        for i, e in enumerate(examples)
    )
    return f'<div class="cards" role="group" aria-label="Example clips">{cards}</div>'


def _voice(example: Example) -> str:
    return " · ".join(p for p in (example.voice, clock(example.seconds) if example.seconds else "") if p)


def files_html(items: Sequence[Item], selected: int) -> str:
    """Several files as a table; a row's button shows its detail. Empty for fewer than two."""
    if len(items) < 2:
        return ""
    rows = []
    for i, item in enumerate(items):
        chosen = i == selected
        pressed = str(chosen).lower()
        name = f'<button type="button" data-pick="{i}" aria-pressed="{pressed}">{escape(item.source.name)}</button>'
        if item.transcript is None:
            rest = f'<td class="n"></td><td class="problem">{_problem(item.source.name, item.problem)}</td>'
        else:
            words = escape(item.transcript.text) or '<span class="none">no words</span>'
            rest = f'<td class="n">{clock(item.transcript.duration)}</td><td dir="auto">{words}</td>'
        rows.append(f'<tr{" class=chosen" if chosen else ""}><th scope="row">{name}</th>{rest}</tr>')
    good = sum(item.transcript is not None for item in items)
    return (
        f'<div class="files"><p class="label">{good} of {len(items)} files transcribed. Choose one to see more.</p>'
        '<div class="scroll"><table><thead><tr><th scope="col">File</th><th scope="col" class="n">Length</th>'
        f'<th scope="col">Text</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div></div>'
    )


def availability_html(ready: bool, reason: str) -> str:
    """Ready or not, in a sign and in words."""
    sign, words, css = ("✓", "ready", "ready") if ready else ("↓", "needs the network", "needs")
    return f'<span class="state {css}" title="{escape(reason)}"><span aria-hidden="true">{sign}</span> {words}</span>'


def registry_html(title: str, about: str, rows: Sequence[tuple[str, str, str, str, str]]) -> str:
    """A table of registry entries. rows: id, title, language, availability as HTML, note. Empty without rows."""
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row"><span class="title">{escape(name)}</span><code>{escape(id_)}</code></th>'
        f"<td>{escape(LANGUAGES.get(language, language))}</td><td>{state}</td><td>{escape(note)}</td></tr>"
        for id_, name, language, state, note in rows
    )
    return (
        f'<section class="registry"><h2>{escape(title)}</h2><p class="hint">{escape(about)}</p>'
        '<div class="scroll"><table><thead><tr><th scope="col">Name</th><th scope="col">Language</th>'
        '<th scope="col">Availability</th><th scope="col">Note</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def problem_html(name: str, problem: str, kept: bool = False) -> str:
    """In place of a result: what went wrong. kept: whether the clips themselves are fine and wait for another try."""
    head = f"<header><h2>{escape(name)}</h2></header>" if name else ""
    text = f"<strong>Not transcribed.</strong> {escape(problem)}" if kept else _problem(name, problem)
    hint = '<p class="hint">Choose another checkpoint or setting, and it is tried again at once.</p>' if kept else ""
    return f'<article class="result" role="alert">{head}<p class="problem">{text}</p>{hint}</article>'


def _problem(name: str, problem: str) -> str:
    """What is wrong with a file whose name stands beside it already."""
    if problem.startswith(f"{name} is "):
        problem = f"It{problem.removeprefix(name)}"
    return f"<strong>Not read.</strong> {escape(problem)}"


def downloads_html(formats: Sequence[str], what: str = "the transcript") -> str:
    """One button a format; scripts read `data-format`. what: is downloaded, in words."""
    names = {"textgrid": "TextGrid"}
    buttons = "".join(f'<button type="button" data-format="{f}">{names.get(f, f)}</button>' for f in formats)
    return (
        f'<div class="downloads" role="group" aria-label="Download {what}">'
        f'<span class="label">Download</span>{buttons}</div>'
    )
