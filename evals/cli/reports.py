"""`slices`, `worst`, `compare`, `report`, `card`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo.cli.common import command, progress, table
from asrdemo.errors import ConfigError
from evals.cli import options

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from evals.scored import Scored

_RATES = ("wer", "cer", "low", "high", "rest", "base_wer", "difference", "difference_low", "difference_high")
_SLICES = ("by", "slice", "run", "clips", "speakers", "wer", "low", "high", "cer", "difference", "p_bh", "reason")
_COMPARED = (
    "by",
    "slice",
    "run",
    "clips",
    "base_wer",
    "wer",
    "difference",
    "low",
    "high",
    "p_bh",
    "mapsswe_bh",
    "reason",
)


def run_slices(args: argparse.Namespace) -> int:
    """`slices`: WER by slice, with intervals."""
    from evals.slices import slice_table

    scored, mask = scored_and_mask(args)
    _print(slice_table(scored, args.by or _usual(), mask, seed=args.seed), _SLICES, args.json)
    return 0


def run_worst(args: argparse.Namespace) -> int:
    """`worst`: the slices in which a result errs most."""
    from evals.worst import worst

    scored, mask = scored_and_mask(args)
    found = worst(scored, 0, mask, columns=args.by or _usual(), seed=args.seed)
    if args.json:
        print(json.dumps({"note": found.note, "slices": records(found.table)}, ensure_ascii=False, indent=1))
        return 0
    for at, sentence in enumerate(found.answers["sentence"], start=1):
        print(f"{at}. {sentence}")
    if not len(found.answers):
        print("Nothing stood out on speakers that the search had not seen.")
    print(found.note, file=sys.stderr)
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """`compare`: further results against the first, clip by clip."""
    from evals.significance import comparison_table

    if len(args.results) < 2:
        raise ConfigError("Got one result; name at least two, the one to compare with first.")
    scored, mask = scored_and_mask(args)
    _print(comparison_table(scored, args.by or _usual(), mask, seed=args.seed), _COMPARED, args.json)
    return 0


def run_report(args: argparse.Namespace) -> int:
    """`report`: everything in one file, by the ending of its name; or every table as CSV."""
    from evals.report import files

    folders = [options.folder(f) for f in args.results]
    how = {"references": options.references(args.reference), "seed": args.seed, "progress": progress()}
    for path in files.write(args.out, folders, args.by or _usual(), args.filter, **how):
        print(path)
    return 0


def run_card(args: argparse.Namespace) -> int:
    """`card`: the metrics block of a model card."""
    from evals.report.card import model_index
    from evals.results import open_result

    print(model_index([open_result(options.folder(f)) for f in args.results]), end="")
    return 0


def _usual() -> tuple[str, ...]:
    from evals.groups import USUAL

    return USUAL


def scored_and_mask(args: argparse.Namespace) -> tuple[Scored, np.ndarray | None]:
    """The results that were named, and which of their clips the filter picks; None without a filter."""
    from evals import filters
    from evals.scored import load

    scored = load([options.folder(f) for f in args.results])
    if scored.caveat:
        print(scored.caveat, file=sys.stderr)
    return scored, filters.chosen(scored, filters.parse(args.filter))


def _print(found: pd.DataFrame, columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        print(json.dumps(records(found), ensure_ascii=False, indent=1))
        return
    heads = {name: f"{name} %" if name in _RATES else name for name in columns}
    rows = [{heads[name]: _cell(name, row[name]) for name in columns} for row in found.to_dict("records")]
    print(table(rows) if rows else "none")


def _cell(name: str, value: Any) -> Any:
    if name == "reason":
        return f"insufficient: {value}" if value else ""
    if not isinstance(value, float):
        return value
    if value != value:
        return ""
    return f"{100 * value:.1f}" if name in _RATES else f"{value:.3g}"


def records(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is not known is null."""
    rows: list[dict[str, Any]] = json.loads(found.to_json(orient="records", force_ascii=False))
    return rows


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    for name, run, what, example in (
        ("slices", run_slices, "WER by slice, with intervals", "slices RESULT --by accents --by gender*age"),
        ("worst", run_worst, "find the slices in which a result errs most", "worst RESULT"),
        ("compare", run_compare, "compare results clip by clip with the first", "compare OLD NEW --by accents"),
        (
            "report",
            run_report,
            "write a report (.html, .md) or all tables (.csv)",
            "report RESULT... --out report.html",
        ),
        ("card", run_card, "print the metrics block of a model card", "card RESULT..."),
    ):
        made = command(commands, name, run, what, f"python -m evals {example}")
        made.add_argument("results", nargs="+", metavar="RESULT", help="folder of a result, or its name (see list)")
        if name == "card":
            continue
        made.add_argument("--by", action="append", metavar="COLUMNS", help="accents, seconds:2,4,6, accents*gender ...")
        made.add_argument(
            "--filter", default="", metavar="QUERY", help="such as 'gender=female_feminine&seconds.min=2'"
        )
        made.add_argument("--seed", type=int, default=0, help="of the resampling")
        if name == "report":
            options.add_reference(made)
            made.add_argument("--out", type=Path, required=True, metavar="FILE", help="name.html, name.md or name.csv")
        else:
            made.add_argument("--json", action="store_true", help="print JSON")
