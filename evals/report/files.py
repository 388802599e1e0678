"""Findings -> files, by the ending of the name that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asrdemo.errors import ConfigError
from asrdemo.types import Progress
from evals.report.findings import gather
from evals.report.html import html
from evals.report.markdown import markdown
from evals.results import partial

ENDINGS = (".html", ".md", ".csv")


def write(
    out: Path,
    results: Sequence[Path],
    by: Sequence[str],
    query: str = "",
    *,
    references: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the report and return what was written: one file, or for NAME.csv one NAME-TABLE.csv for each table.

    Raises ConfigError for another ending, and what `gather` raises.
    """
    if out.suffix not in ENDINGS:
        raise ConfigError(f"The report {out.name!r} has the ending {out.suffix!r}; allowed: {', '.join(ENDINGS)}.")
    found = gather(results, by, query, references=references, seed=seed, progress=progress)
    if out.suffix == ".csv":
        texts = {out.with_name(f"{out.stem}-{name}.csv"): t.to_csv(index=False) for name, t in found.tables().items()}
    else:
        texts = {out: html(found) if out.suffix == ".html" else markdown(found)}
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        partial(path).write_text(text, encoding="utf-8")
        partial(path).replace(path)
    return list(texts)
