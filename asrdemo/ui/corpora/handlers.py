"""What the Corpora page does: plain functions, values in, values out.

Visitors choose among the corpora of models.yaml by id, and among the clips that an audit lists; no other file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asrdemo.errors import NotFoundError
from asrdemo.registry import CorpusSpec
from asrdemo.types import SAMPLE_RATE, Progress
from asrdemo.ui.corpora import markup
from asrdemo.ui.services import Services

if TYPE_CHECKING:
    from asrdemo.corpus import Audit, Corpus

AT_ONCE = 1 << 20  # bytes of tables up to which a corpus is looked through unasked, in about a second
LISTED = 200  # suspicious clips on the page
LONGEST_S = 60.0  # of a clip that is played


def choices(services: Services) -> list[tuple[str, str]]:
    """(title, id) of each corpus."""
    return [(spec.title, spec.id) for spec in services.registry.corpora.values()]


def first(services: Services, id: str | None) -> str:
    """What is known of a corpus without waiting: what was kept, or a look through a small one; else how to begin."""
    if not id:
        return markup.NONE
    spec = services.registry.corpus(id)
    small = spec.path.is_dir() and sum(table.stat().st_size for table in spec.path.glob("*.tsv")) <= AT_ONCE
    unpacked = spec.path.is_dir() or _tables_out(services, spec)
    if not unpacked:
        return markup.begin(spec.title)
    found = _kept(services, spec)
    if found is None and small:
        return look(services, id)
    return markup.begin(spec.title) if found is None else _shown(spec, found)


def look(services: Services, id: str, progress: Progress | None = None) -> str:
    """Look through a corpus now, and keep what is found. Raises NotFoundError, CorpusError."""
    from asrdemo.corpus import audits

    spec = services.registry.corpus(id)
    return _shown(spec, audits.make(_open(services, spec, progress), spec.profile, progress))


def measured(services: Services, id: str, progress: Progress | None = None) -> str:
    """Decode every clip that has not been yet, then look. Raises NotFoundError, CorpusError."""
    from asrdemo.measure import measure

    spec = services.registry.corpus(id)
    corpus = _open(services, spec, progress)
    for split in corpus.splits:
        measure(corpus, split, progress=progress)
    return look(services, id, progress)


def play(services: Services, id: str, name: str) -> tuple[int, np.ndarray]:
    """A clip that the audit calls suspicious as (rate, int16 samples), its first minute.

    Raises NotFoundError for a name that it does not, AudioError for a clip that cannot be decoded.
    """
    from asrdemo.audio import read_clip

    spec = services.registry.corpus(id)
    found = _kept(services, spec)
    if found is None or all(row["clip"] != name for row in found.suspicious):
        raise NotFoundError(f"Clip {name[:80]!r} is not in this list any more; look through the corpus again.")
    clip = read_clip(_open(services, spec).audio(name), name=name, settings=services.settings, allow_silent=True)
    samples = np.clip(clip.samples[: int(LONGEST_S * SAMPLE_RATE)], -1, 1)
    return SAMPLE_RATE, (samples * 32767).astype(np.int16)


def _open(services: Services, spec: CorpusSpec, progress: Progress | None = None) -> Corpus:
    from asrdemo.corpus import open_corpus

    return open_corpus(spec.path, home=services.settings.home, progress=progress)


def _tables_out(services: Services, spec: CorpusSpec) -> bool:
    """Whether an archive's tables were taken out before, so that opening it is quick."""
    from asrdemo.corpus.archive import is_open

    return is_open(spec.path, services.settings.home)


def _kept(services: Services, spec: CorpusSpec) -> Audit | None:
    from asrdemo.corpus import audits

    return audits.known(_open(services, spec), spec.profile)


def _shown(spec: CorpusSpec, found: Audit) -> str:
    return markup.audit_html(spec.title, spec.note, found, LISTED)
