"""`adjusted`, `phonemes`, `parity`: a closer look at one result."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from asrdemo.cli.common import command, table
from evals.cli import options
from evals.cli.reports import records, scored_and_mask
from evals.wording import between, count

_COUNTS = ("scorer", "words", "hits", "substitutions", "deletions", "insertions", "errors", "wer %")


def run_adjusted(args: argparse.Namespace) -> int:
    """`adjusted`: does a gap survive when clips are alike in length, rate and noise?"""
    from evals.adjusted import COVARIATES, adjusted

    scored, mask = scored_and_mask(args)
    references = options.references(args.reference)
    covariates = args.covariates.split(",") if args.covariates else COVARIATES
    columns = dict.fromkeys([*(args.by or ([] if references else ["accents"])), *references])
    found = [adjusted(scored, c, 0, mask, covariates=covariates, reference=references.get(c)) for c in columns]
    if args.json:
        lines = [
            {"column": f.column, "reference": f.reference, "note": f.note, "values": records(f.table)} for f in found
        ]
        print(json.dumps(lines, ensure_ascii=False, indent=1))
        return 0
    for each in found:
        for row in records(each.table):
            print(row["sentence"] if row["status"] == "ok" else f"{row['value']}: insufficient, {row['reason']}")
        print(each.note, file=sys.stderr)
    return 0


def run_phonemes(args: argparse.Namespace) -> int:
    """`phonemes`: PER with its interval, and which phonemes are taken for which."""
    from evals.phonemes import phoneme_errors

    scored, mask = scored_and_mask(args)
    found = phoneme_errors(scored, 0, mask, voice=args.voice, seed=args.seed)
    tables = {"confused": found.confused, "deleted": found.deleted, "inserted": found.inserted}
    lists = {name: records(each.drop(columns="examples", errors="ignore")) for name, each in tables.items()}
    if args.json:
        per = asdict(found.interval) | {"voice": found.voice, "phonemes": found.counts.reference}
        print(json.dumps(per | lists, ensure_ascii=False, indent=1))
        return 0
    size = f"{count(found.counts.reference, 'phoneme')} in {count(found.counts.clips, 'clip')}"
    interval = between(found.interval.low, found.interval.high)
    print(f"PER {100 * found.interval.rate:.1f} % ({interval}), {size}, espeak-ng voice {found.voice}")
    for name, rows in lists.items():
        print(f"\n{name}\n{table(rows) if rows else 'none'}")
    return 0


def run_parity(args: argparse.Namespace) -> int:
    """`parity`: our counts beside sclite's and jiwer's; 1 where they differ in errors."""
    from evals.results import open_result
    from evals.sclite import parity

    result = open_result(options.folder(args.results[0]))
    found = parity(result.read(["reference", "hypothesis"]))
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        rows = [row | {"wer %": "" if row["wer"] is None else f"{100 * row['wer']:.3f}"} for row in found["table"]]
        print(table([{name: row[name] for name in _COUNTS} for row in rows]))
        print(
            f"\n{count(found['clips'], 'clip')}; same counts as sclite in {found['same_counts']:,}, the same steps in "
            f"{found['same_steps']:,}, with sclite's costs in {found['same_steps_with_its_costs']:,}"
        )
        for each in found["different"]:
            print(f"\nrow {each['row']}: {each['reference']!r} heard {each['hypothesis']!r}")
            print(f"  ours {each['ours']}\n  sclite {each['sclite']}")
    return 0 if agrees(found) else 1


def agrees(found: dict[str, Any]) -> bool:
    """Whether a parity says the same of all scorers.

    With sclite's costs every step is sclite's; and fewest edits are jiwer's number of errors. Ours may be fewer than
    sclite's, whose costs prefer two errors to a substitution now and then: then they differ, though both are right.
    """
    ours, _, theirs, jiwer = found["table"]
    return (
        found["same_steps_with_its_costs"] == found["clips"] and ours["errors"] == jiwer["errors"] == theirs["errors"]
    )


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    for name, run, what, example in (
        (
            "adjusted",
            run_adjusted,
            "does a gap survive with length, rate and noise alike?",
            "adjusted RESULT --by accents",
        ),
        ("phonemes", run_phonemes, "phoneme error rate and confusions (needs espeak-ng)", "phonemes RESULT"),
        ("parity", run_parity, "word counts beside sclite's and jiwer's (needs sctk)", "parity RESULT"),
    ):
        made = command(commands, name, run, what, f"python -m evals {example}")
        made.add_argument("results", nargs=1, metavar="RESULT", help="folder of a result, or its name (see list)")
        made.add_argument("--json", action="store_true", help="print JSON")
        if name == "parity":
            continue
        made.add_argument("--filter", default="", metavar="QUERY", help="such as 'gender=female_feminine'")
        if name == "phonemes":
            made.add_argument("--voice", default="", help="of espeak-ng; default: that of the checkpoint's language")
            made.add_argument("--seed", type=int, default=0, help="of the resampling")
            continue
        made.add_argument("--by", action="append", metavar="COLUMN", help="accents (default), gender, age, ...")
        options.add_reference(made)
        made.add_argument(
            "--with", dest="covariates", metavar="A,B", help="held alike; default: seconds,speaking_rate,snr"
        )
