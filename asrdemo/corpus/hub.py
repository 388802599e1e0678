"""Datasets on the Hugging Face Hub -> a folder in Common Voice layout, so that all else reads them like any corpus.

Rows are streamed: a clip is on this disk once. No code of a repository is ever run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from asrdemo.errors import CorpusError, NotFoundError
from asrdemo.types import Progress

SENTENCES = ("sentence", "text", "transcription", "transcript", "normalized_text")
"""Columns that may hold the text, the first one found."""

_KEPT = {
    "client_id": ("client_id", "speaker_id"), "sentence_id": ("sentence_id",), "sentence_domain": ("sentence_domain",),
    "up_votes": ("up_votes",), "down_votes": ("down_votes",), "age": ("age",), "gender": ("gender",),
    "accents": ("accents", "accent"), "variant": ("variant",), "locale": ("locale",), "segment": ("segment",),
}  # fmt: skip
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}


def fetch(
    name: str, split: str, home: Path, config: str | None = None, revision: str | None = None,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """The folder of a dataset, with this split in it; a split that is there already is not fetched again.

    name: `owner/name` on the Hub, or a local folder of Parquet files. config: language or subset, where it has some.
    Raises NotFoundError for what is not there, CorpusError without a network, for a dataset without audio or text, and
    for one that is a script.
    """
    root = home / "corpora" / _label(name, config, revision)
    if not (root / f"{split}.tsv").is_file():
        rows = _open(name, split, config, revision)
        sentence = next((c for c in SENTENCES if c in rows.features), None)
        if sentence is None or "audio" not in rows.features:
            raise CorpusError(
                f"Dataset {name!r} has the columns {', '.join(rows.features)}; expected audio and one of "
                f"{', '.join(SENTENCES)}."
            )
        info = rows.info.splits
        total = info[split].num_examples if info and split in info else 0
        local = Path(name).resolve() if Path(name).is_dir() else None
        _write(rows, sentence, root, split, local, total, progress)
    return root


def _label(name: str, config: str | None, revision: str | None) -> str:
    """Name of the folder: readable, and with a key, as `a/b` with the subset `c` reads like the dataset `a/b-c`."""
    readable = "-".join(re.sub(r"[^\w.-]+", "-", part).strip("-") for part in (name, config, revision) if part)
    key = hashlib.sha256(repr((name, config or None, revision or None)).encode()).hexdigest()
    return f"hub-{readable}-{key[:8]}"


def _open(name: str, split: str, config: str | None, revision: str | None) -> Any:
    import datasets

    try:
        rows = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        return rows.cast_column("audio", datasets.Audio(decode=False)) if "audio" in (rows.features or {}) else rows
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no dataset {name!r}: {error}") from error
    except ConnectionError as error:
        raise CorpusError(
            f"Dataset {name!r} is on the Hugging Face Hub, which cannot be reached. Connect to the network, or give a "
            "folder or an archive on this machine."
        ) from error
    except ValueError as error:  # a split or configuration that is not there: the message lists those there are
        raise NotFoundError(f"Dataset {name!r}: {error}") from error
    except RuntimeError as error:
        raise CorpusError(f"Dataset {name!r} cannot be loaded: {error}. Choose a copy that holds Parquet.") from error


def _write(
    rows: Any, sentence: str, root: Path, split: str, local: Path | None, total: int, progress: Progress | None
) -> None:
    """Clips first, the table last: a split with a table is whole."""
    names = {ours: next((c for c in theirs if c in rows.features), None) for ours, theirs in _KEPT.items()}
    labels = {c: rows.features[c] for c in names.values() if c and hasattr(rows.features[c], "int2str")}
    lines = ["\t".join(["path", "sentence", *names])]
    (root / "clips").mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(rows):
        data = _bytes(row["audio"], local)
        clip = _clip(row["audio"], data, f"{split}_{i:07d}")
        _save(data, root / "clips" / clip)
        values = [_said(row[c], labels.get(c)) if c else "" for c in names.values()]
        lines.append("\t".join([clip, _said(row[sentence]), *values]))
        if progress and (i + 1) % 100 == 0:
            progress(i + 1, max(total, i + 2), f"fetching {split}")
    _save(("\n".join(lines) + "\n").encode(), root / f"{split}.tsv")
    if progress:
        progress(len(lines) - 1, len(lines) - 1, f"fetching {split}")


def _clip(audio: dict[str, Any], data: bytes, otherwise: str) -> str:
    """A name no other row has; the dataset's own name stays readable in it."""
    own = PurePosixPath(str(audio.get("path") or "").replace("\\", "/"))
    readable = re.sub(r"[^\w-]+", "_", own.stem)[-80:]
    suffix = own.suffix if re.fullmatch(r"\.\w{2,5}", own.suffix) else _MAGIC.get(data[:4], ".mp3")
    return f"{otherwise}_{readable}{suffix}" if readable else f"{otherwise}{suffix}"


def _bytes(audio: dict[str, Any], local: Path | None) -> bytes:
    """The encoded clip. A row may name a file instead: of its own repository, or of the local folder it came from,
    never another one of this machine."""
    data, path = audio.get("bytes"), str(audio.get("path"))
    if data is not None:
        return bytes(data)
    if path.startswith("hf://"):
        import fsspec

        with fsspec.open(path, "rb") as file:
            return bytes(file.read())
    if local is not None and Path(path).resolve().is_relative_to(local):
        return Path(path).read_bytes()
    raise CorpusError(f"The dataset names the file {path[-80:]!r}, which is not its own; it is refused.")


def _said(value: Any, label: Any = None) -> str:
    """A field of the table: class labels by name, white space made plain."""
    if value is None:
        return ""
    if label is not None and isinstance(value, int):
        value = label.int2str(value) if value >= 0 else ""
    return " ".join((", ".join(map(str, value)) if _is_list(value) else str(value)).split())


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _save(data: bytes, target: Path) -> None:
    if target.is_file() and target.stat().st_size == len(data):
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(target)
