"""Where a release keeps its tables and clips.

cv-corpus-1_tr/                      (v1 to v4) tables and clips/
cv-corpus-17.0-2024-03-15/tr/        (v5 on) a folder a language
sps-corpus-3.0-2026-03-09-tr/        Spontaneous Speech: ss-corpus-tr.tsv with a column `split`, and audios/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from asrdemo.corpus import accents, tsv
from asrdemo.errors import CorpusError, NotFoundError

USUAL = ("train", "dev", "test", "validated", "invalidated", "other")
_SPONTANEOUS = re.compile(r"ss-corpus-(?P<language>[\w-]+)\.tsv")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,10})*")
_IN_CLIP_NAME = re.compile(r"common_voice_([a-z]{2,3}(?:-[A-Za-z]{2,10})*)_\d+")
_DEPTH = 3  # archive / release / language


@dataclass(frozen=True)
class Layout:
    """root: folder of the tables. clips: name of the folder of clips in it. name: of the corpus, for people and
    files. language: Common Voice locale, "" where nothing tells. tables: split -> table; all splits of Spontaneous
    Speech share one."""

    root: Path
    clips: str
    name: str
    language: str
    tables: dict[str, Path]
    spontaneous: bool = False


def find(folder: Path, language: str = "", name: str = "") -> Layout:
    """The layout of the release in `folder` or below it.

    language: which of several language folders to take. name: what to call the corpus, by default after the folders.
    Raises NotFoundError for a missing folder or language, CorpusError where there are no tables or too many folders.
    """
    if not folder.is_dir():
        raise NotFoundError(f"There is no corpus folder {folder.name!r}; expected a folder with TSV tables and clips/.")
    roots = _roots(folder, _DEPTH)
    if language and len(roots) > 1:
        roots = [root for root in roots if root.name == language] or roots
    if not roots:
        raise CorpusError(
            f"{folder.name!r} holds no table of clips; expected train.tsv, test.tsv or the like with the columns path "
            "and sentence (Spontaneous Speech: audio_file and transcription)."
        )
    if len(roots) > 1:
        names = ", ".join(sorted(root.name for root in roots))
        raise NotFoundError(f"{folder.name!r} holds several corpora; name the folder of one of them: {names}.")
    return _layout(roots[0], language, name)


def _roots(folder: Path, depth: int) -> list[Path]:
    if _tables(folder):
        return [folder]
    if depth == 0:
        return []
    below = (p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".") and not _is_clips(p))
    return [root for path in below for root in _roots(path, depth - 1)]


def _is_clips(path: Path) -> bool:
    return path.name in ("clips", "audios")


def _tables(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.tsv")) if _has_clips(path)}


def _has_clips(table: Path) -> bool:
    try:
        columns = set(tsv.header(table))
    except CorpusError:  # some other table; one that is asked for by name says what is wrong with it
        return False
    return {"path", "sentence"} <= columns or {"audio_file", "transcription"} <= columns


def _layout(root: Path, language: str, name: str) -> Layout:
    tables = _tables(root)
    spontaneous = [(path, m) for path in tables.values() if (m := _SPONTANEOUS.fullmatch(path.name))]
    name = name or _name(root)
    if spontaneous:
        path, match = spontaneous[0]
        rows, _ = tsv.read(path, ("split",), ("split",))
        splits = rows.column("split").unique().to_pylist() if "split" in rows.column_names else [path.stem]
        named = {split or "unassigned": path for split in splits}
        return Layout(root, "audios", name, language or match["language"], _in_order(named), spontaneous=True)
    clips = "audios" if (root / "audios").is_dir() and not (root / "clips").is_dir() else "clips"
    return Layout(root, clips, name, language or _language(root, next(iter(tables.values()))), _in_order(tables))


def _in_order(tables: dict[str, Path]) -> dict[str, Path]:
    """The usual splits first, in their usual order."""
    return {split: tables[split] for split in sorted(tables, key=lambda s: (_place(s), s))}


def _place(split: str) -> int:
    return USUAL.index(split) if split in USUAL else len(USUAL)


def _name(root: Path) -> str:
    """`cv-corpus-17.0-2024-03-15-tr`: a folder named after a language says too little by itself."""
    root = root.resolve()
    return f"{root.parent.name}-{root.name}" if _LANGUAGE.fullmatch(root.name) else root.name


def _language(root: Path, table: Path) -> str:
    """By the first row's locale, the clips' names, or the folder's name."""
    names = tsv.header(table)
    with table.open(encoding="utf-8", errors="replace") as lines:
        next(lines)
        first = dict(zip(names, next(lines, "").rstrip("\r\n").split("\t"), strict=False))
    if first.get("locale"):
        return first["locale"]
    if match := _IN_CLIP_NAME.match(first.get("path", "")):
        return match[1]
    folder = root.resolve().name
    last = re.split(r"[_\d]-?", folder)[-1]  # cv-corpus-1_tr, cv-corpus-7.0-2021-07-21-tr
    return next((text for text in (folder, last) if text in accents.languages() or _is_language(text, root)), "")


def _is_language(text: str, root: Path) -> bool:
    return bool(_LANGUAGE.fullmatch(text)) and "corpus" in str(root.resolve())
