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
FEW_WORDS = 1000  # from fewer, a language model knows next to nothing but what they say


@dataclass(frozen=True)
class Built:
    """A visitor's language model. id: for the decoder; title: for the list; report: what was built, as HTML."""

    id: str
    title: str
    report: str


@dataclass(frozen=True)
class Before:
    """What the decoder did before a visitor's own language model, to go back to. title: for people."""

    kind: str
    lm: str
    title: str


def build(
    services: Services,
    pasted: str,
    path: str | None,
    title: str,
    order: int,
    checkpoint: str,
    weights: tuple[float, float] = (0.5, 1.5),
    instead_of: str = "",
    progress: Progress | None = None,
) -> Built:
    """Build from the file if there is one, else from the pasted text, written as the checkpoint writes its labels.

    The model can be chosen under an id that only this visitor knows. weights: alpha and beta it is used with; those
    the visitor sees, as nobody has tuned others for this text. instead_of: what the decoder used until now, for people.
    Raises LanguageModelError.
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
    title = f"{title}, {built.words:,} words"
    services.add_language_model(built.spec(id_, title, spec.language, *weights))
    return Built(id_, title, report_html(title, built, instead_of))


def before(services: Services, kind: str, lm: str) -> Before:
    """What the decoder does with these values of the panel."""
    spec = services.registry.language_models.get(lm) or services.registry.unlisted.get(lm)
    beam = spec.title if spec else "beam search without a language model"
    return Before(kind, lm, beam if kind == "beam" else "greedy decoding")


def report_html(title: str, built: BuiltLanguageModel, instead_of: str = "") -> str:
    """What came out, what it takes the place of, and what the visitor should know of it."""
    grams = " · ".join(f"{count:,} {n}-grams" for n, count in enumerate(built.counts, 1))
    place = f" in place of {escape(instead_of)}" if instead_of else ""
    note = f'<p class="hint">{escape(built.note)}</p>' if built.note else ""
    if built.words < FEW_WORDS:
        note = (
            f'<p class="problem"><strong>Built from {built.words:,} words:</strong> all others will be hard to '
            "recognise. A few pages of text do better.</p>"
        )
    return (
        f'<div class="built" role="status"><p><strong><span aria-hidden="true">✓</span> {escape(title)}</strong> '
        f'is used by the decoder now{place}.</p>{note}<p class="hint">{built.sentences:,} sentences · {grams} · '
        f"{built.seconds:.1f} s. Only you can see it; a restart removes it.</p></div>"
    )


def problem_html(problem: str) -> str:
    """Why nothing was built; what the decoder uses has not changed."""
    return f'<div class="built" role="alert"><p class="problem">{escape(problem)}</p></div>'


def back_html(to: Before) -> str:
    """That the decoder is as it was."""
    return (
        f'<div class="built" role="status"><p>{escape(to.title[:1].upper() + to.title[1:])} again. What you built '
        "stays in the list of language models.</p></div>"
    )
