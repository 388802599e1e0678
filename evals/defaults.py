"""The best decoder settings of a sweep, written where the registry finds them: `<home>/decoder-defaults.yaml`.

models.yaml is the operator's and stays as it is; the registry reads this file after it. Deleting the file, or an entry
of it, goes back to what models.yaml says.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from asrdemo.errors import ConfigError
from asrdemo.registry import TUNED
from asrdemo.types import DecoderOptions
from evals.results import partial

_HEAD = "# Written by `python -m evals sweep`; goes before models.yaml. Delete an entry to go back to what that says.\n"


def entry(checkpoint: str, options: DecoderOptions, note: str) -> dict[str, Any]:
    """The checkpoint's entry: what is not as DecoderOptions has it by default, and the three that were swept."""
    plain = asdict(DecoderOptions())
    chosen = {k: v for k, v in asdict(options).items() if v != plain[k] or k in ("alpha", "beta", "beam_width")}
    chosen.pop("n_best", None)
    if "hotwords" in chosen:
        chosen["hotwords"] = list(chosen["hotwords"])
    return {"id": checkpoint, "decoder": {"kind": options.kind, **chosen}, "note": note}


def lines(found: dict[str, Any]) -> str:
    """An entry as YAML."""
    return yaml.safe_dump([found], sort_keys=False, allow_unicode=True, width=120)


def write(home: Path, found: dict[str, Any]) -> Path:
    """Put the entry into the file, in place of an older one of that checkpoint; returns the file.

    Raises ConfigError where the file there is not one of ours.
    """
    path = home / TUNED
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        others = [e for e in (data or {}).get("checkpoints") or [] if e["id"] != found["id"]]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{TUNED} cannot be read ({error}); mend or delete it.") from error
    home.mkdir(parents=True, exist_ok=True)
    text = _HEAD + yaml.safe_dump({"checkpoints": [*others, found]}, sort_keys=False, allow_unicode=True, width=120)
    partial(path).write_text(text, encoding="utf-8")
    partial(path).replace(path)
    return path
