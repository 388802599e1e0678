"""Where measurements of clips are kept: `<home>/measurements/<corpus>-<split>-<key>/measurements.parquet`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1  # of the measures in asrdemo.sound; part of the key, so raise it when they change
TABLE = "measurements.parquet"

SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("seconds", pa.float64()),
        *((name, pa.float32()) for name in ("loudness", "snr", "bandwidth", "peak", "clipped", "silence")),
        ("error", pa.string()),
    ]
)
"""One row a clip; units as in asrdemo.sound.Sound. error: why it could not be decoded (the rest is null), or ""."""


def folder(home: Path, name: str, split: str, fingerprint: str) -> Path:
    """The folder of one split's measurements."""
    return home / "measurements" / re.sub(r"[^\w.-]+", "_", f"{name}-{split}-{fingerprint}-{VERSION}")


def read(where: Path) -> pd.DataFrame | None:
    """The finished measurements in a folder, indexed by clip; None where there are none yet."""
    path = where / TABLE
    return pq.read_table(path, schema=SCHEMA).to_pandas().set_index("clip") if path.is_file() else None
