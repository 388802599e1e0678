"""`checkpoints`, `corpora` and `lm build`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from asrdemo import text
from asrdemo.cli.common import command, progress, start, table


def run_checkpoints(args: argparse.Namespace) -> int:
    """`checkpoints`: what may be chosen, and whether it is at hand."""
    from asrdemo.acoustic import availability

    _, known = start()
    rows = [
        {"id": c.id, "title": c.title, "language": c.language, "availability": availability(c)}
        for c in known.checkpoints.values()
    ]
    _show(rows, args.json)
    return 0


def run_corpora(args: argparse.Namespace) -> int:
    """`corpora`: what models.yaml names."""
    _, known = start()
    rows = [{"id": c.id, "title": c.title, "language": c.language, "path": str(c.path)} for c in known.corpora.values()]
    _show(rows, args.json)
    return 0


def run_lm_build(args: argparse.Namespace) -> int:
    """`lm build`: text -> ARPA file and the list of its words beside it."""
    from asrdemo import decoding

    built = decoding.build_language_model(args.text, args.order, args.out, profile=args.profile, progress=progress())
    row = {
        "file": str(built.path),
        "words_file": str(built.unigrams),
        "order": built.order,
        "sentences": built.sentences,
        "words": built.words,
        "vocabulary": built.vocabulary,
        "ngrams": sum(built.counts),
        "builder": built.builder,
        "seconds": round(built.seconds, 2),
    }
    if args.json:
        print(json.dumps(row, ensure_ascii=False))
    else:
        print("\n".join(f"{name:<11} {value}" for name, value in row.items()))
    if built.note:
        print(f"note: {built.note}", file=sys.stderr)
    return 0


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    print(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else table(rows) if rows else "none")


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    for name, run, what in (
        ("checkpoints", run_checkpoints, "list the checkpoints of models.yaml and whether they are at hand"),
        ("corpora", run_corpora, "list the corpora of models.yaml"),
    ):
        listing = command(commands, name, run, what, f"python -m asrdemo {name} --json")
        listing.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    lm = commands.add_parser("lm", help="language models", description="Language models.")
    build = command(
        lm.add_subparsers(required=True, metavar="COMMAND"),
        "build",
        run_lm_build,
        "build an n-gram model (modified Kneser-Ney, ARPA) from text",
        "python -m asrdemo lm build --text sentences.txt --order 3 --out mine.arpa",
    )
    build.add_argument("--text", type=Path, required=True, metavar="FILE", help="UTF-8 text, one sentence a line")
    build.add_argument("--order", type=int, default=3, metavar="N", help="longest n-gram, 1 to 5 (default 3)")
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="NAME.arpa or NAME.arpa.gz to write")
    build.add_argument("--profile", default="default", help=f"how text is normalised: {', '.join(text.PROFILES)}")
    build.add_argument("--json", action="store_true", help="print JSON")
