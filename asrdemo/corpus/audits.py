"""Audits that are kept, so that the second look at a corpus takes no time: `<home>/audits/<corpus>-<key>.json`.

The key changes with the place and its tables, with what asrdemo.measure has found out since, and with the profile; not
with clips that come or go without their table, which only a look anew sees.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

from asrdemo.corpus import kept
from asrdemo.corpus.auditing import Audit, audit
from asrdemo.corpus.release import Corpus
from asrdemo.types import Progress

_FORMAT = 2  # raise when the same corpus would be audited otherwise


def known(corpus: Corpus, profile: str) -> Audit | None:
    """The audit that was kept, None where there is none. profile: of asrdemo.text."""
    try:
        return Audit(**json.loads(_file(corpus, profile).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or damaged: it is made again
        return None


def make(corpus: Corpus, profile: str, progress: Progress | None = None) -> Audit:
    """Audit all splits, and keep it. Raises what asrdemo.corpus.audit raises."""
    found = audit(corpus, profile, progress=progress)
    path = _file(corpus, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(asdict(found), ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
    return found


def _file(corpus: Corpus, profile: str) -> Path:
    reported = corpus.root / "reported.tsv"
    said = reported.stat() if reported.is_file() else None
    told: list[object] = [_FORMAT, kept.VERSION, profile, corpus.language, str(corpus.root.resolve())]
    told += [said.st_size, said.st_mtime_ns] if said else []
    for split in corpus.splits:
        told += [split, corpus.fingerprint(split), corpus.measurements(split) is not None]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
    name = re.sub(r"[^\w.-]+", "_", corpus.name)
    return corpus.home / "audits" / f"{name}-{key}.json"
