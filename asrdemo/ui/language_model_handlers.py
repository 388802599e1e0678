"""Building a language model from a visitor's text. Values in, values out."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from asrdemo.errors import LanguageModelError
from asrdemo.types import Progress
from asrdemo.ui.services import Services

if TYPE_CHECKING:
    from asrdemo.decoding import BuiltLanguageModel

MAX_TITLE = 40


@dataclass(frozen=True)
class Built:
    """A visitor's language model. id: for the decoder; title: for the list; report: what was built, as HTML."""

    id: str
    title: str
    report: str


def build(
    services: Services,
    pasted: str,
    path: str | None,
    title: str,
    order: int,
    checkpoint: str,
    progress: Progress | None = None,
) -> Built:
    """Build from the file if there is one, else from the pasted text, written as the checkpoint writes its labels.

    The model can be chosen under an id that only this visitor knows. Raises LanguageModelError.
    """
    from asrdemo.decoding import build_language_model

    spec = services.registry.checkpoint(checkpoint)
    if not path and not pasted.strip():
        raise LanguageModelError("There is no text yet; paste some or choose a text file, one sentence a line.")
    id_ = f"yours-{secrets.token_hex(16)}"
    folder = services.models_folder() / id_
    folder.mkdir()
    with ExitStack() as undo:  # a full disk or a cancelled job leaves nothing behind either
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        built = build_language_model(
            Path(path) if path else pasted, int(order), folder / "model.arpa", spec.profile, progress
        )
        undo.pop_all()
    title = " ".join(title.split())[:MAX_TITLE] or (Path(path).stem[:MAX_TITLE] if path else "Your text")
    services.add_language_model(built.spec(id_, title, spec.language))
    return Built(id_, title, report_html(title, built))


def report_html(title: str, built: BuiltLanguageModel) -> str:
    """What came out, in one line, and what the builder wants known."""
    grams = " · ".join(f"{count:,} {n}-grams" for n, count in enumerate(built.counts, 1))
    note = f'<p class="hint">{escape(built.note)}</p>' if built.note else ""
    return (
        f'<div class="built" role="status"><p><strong><span aria-hidden="true">✓</span> {escape(title)}</strong> '
        f'is ready and chosen for the decoder.</p><p class="hint">{built.sentences:,} sentences · {built.words:,} '
        f"words · {grams} · {built.seconds:.1f} s. Only you can see it; a restart removes it.</p>{note}</div>"
    )
