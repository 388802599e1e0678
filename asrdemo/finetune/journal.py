"""What a run writes down as it goes: JSON lines that a page may read at any moment, and files that appear whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from asrdemo.files import write_json as write_json
from asrdemo.files import write_text

METRICS, SAMPLES, ALERTS, TABLE = "metrics.jsonl", "samples.jsonl", "alerts.jsonl", "training_log.csv"


class Journal:
    """The files of one run. step: the one it goes on from; what a killed sitting wrote beyond it is taken out, since
    those steps come again. writes: whether this process does; of several that share a run only one may."""

    def __init__(self, folder: Path, step: int = 0, writes: bool = True):
        self.folder, self.writes = folder, writes
        for name in (METRICS, SAMPLES, ALERTS):
            path = folder / name
            if writes and path.is_file():
                kept = [record for record in lines(path) if record.get("step", 0) <= step]
                write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Append one record to METRICS, SAMPLES or ALERTS."""
        if not self.writes:
            return
        with (self.folder / name).open("a", encoding="utf-8") as out:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")

    def tabulate(self) -> None:
        """Write the metrics again as a table for spreadsheets."""
        if not self.writes:
            return
        records = lines(self.folder / METRICS)
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(records)
        write_text(self.folder / TABLE, text.getvalue())


def told(record: dict[str, Any]) -> str:
    """A record of METRICS as a line of the log."""
    shapes = {"loss": "loss {:.4f}", "learning_rate": "rate {:.2g}", "grad_norm": "gradient {:.3g}"}
    parts = [f"step {record.get('step', 0):,}"]
    parts += [shape.format(record[name]) for name, shape in shapes.items() if name in record]
    rates = {name.removeprefix("eval_").removesuffix("_wer"): v for name, v in record.items() if name.endswith("_wer")}
    parts += [f"{name.removesuffix('_lm')} WER {100 * v:.1f} %{' with LM' * name.endswith('_lm')}"
              for name, v in rates.items() if isinstance(v, int | float)]  # fmt: skip
    return " · ".join(parts)


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; a last line that was cut short is left out."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A file that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
