"""Files that appear whole: a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str, part: Path | None = None) -> None:
    """Text under a temporary name, then renamed.

    part: that name, on the same file system. By default a neighbour, the same each time, so that what a killed process
    left is written over; where several processes may write a file, each needs one of its own.
    """
    part = part or path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, data: Any, part: Path | None = None) -> None:
    """As `write_text`, of what JSON can say."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n", part)
