"""`checkpoints`, `corpora` and `lm build`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from asrdemo import text
from asrdemo.cli.common import command, progress, start, table
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.registry import Registry
from asrdemo.settings import Settings


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
    """`corpora`: what models.yaml names; with --audit, what is in one of them; with --download, one more."""
    limits, known = start()
    if args.download:
        print(_download(args, limits))
    elif args.audit:
        _audit(args, limits, known)
    else:
        rows = [
            {"id": c.id, "title": c.title, "language": c.language, "path": str(c.path)} for c in known.corpora.values()
        ]
        _show(rows, args.json)
    return 0


def _download(args: argparse.Namespace, limits: Settings) -> Path:
    """Fetch mdc:ID or hub:OWNER/NAME[:CONFIG]; returns where it is now."""
    from asrdemo.corpus import collective, hub

    scheme, _, name = args.download.partition(":")
    if scheme == "mdc" and name:
        return collective.download(name, limits.home, show_progress=sys.stderr.isatty())
    if scheme == "hub" and name:
        dataset, _, config = name.partition(":")
        folders = [
            hub.fetch(dataset, split, limits.home, config or None, progress=progress())
            for split in args.split or ["test"]
        ]
        return folders[0]
    raise ConfigError(
        f"--download {args.download}: expected mdc:ID (Mozilla Data Collective) or hub:OWNER/NAME[:CONFIG] (the Hub)."
    )


def _audit(args: argparse.Namespace, limits: Settings, known: Registry) -> None:
    """Look through a corpus of models.yaml, a folder or an archive, and print what was found."""
    from asrdemo import measure
    from asrdemo.cli import audit
    from asrdemo.corpus import audit as look_through
    from asrdemo.corpus import audits, open_corpus

    spec = known.corpora.get(args.audit)
    if spec is None and not Path(args.audit).exists():
        raise NotFoundError(
            f"There is no corpus {args.audit!r}; expected a folder, a .tar.gz, or one of: "
            f"{', '.join(known.corpora) or 'none'}."
        )
    place = spec.path if spec else Path(args.audit)
    corpus = open_corpus(place, args.language or "", limits.home, progress())
    for split in args.split or corpus.splits if args.measure else ():
        measure.measure(corpus, split, progress=progress())
    profile = spec.profile if spec else text.for_language(corpus.language)
    if args.split:
        found = look_through(corpus, profile, args.split, progress())
    else:
        found = audits.make(corpus, profile, progress())  # kept, for the page
    print(audit.as_json(found) if args.json else audit.as_text(found, spec.id if spec else corpus.name))


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
    listing = command(
        commands,
        "checkpoints",
        run_checkpoints,
        "list the checkpoints of models.yaml and whether they are at hand",
        "python -m asrdemo checkpoints --json",
    )
    listing.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    _add_corpora(commands)
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


def _add_corpora(commands: Any) -> None:
    corpora = command(
        commands,
        "corpora",
        run_corpora,
        "list the corpora of models.yaml, look through one, or fetch one",
        "python -m asrdemo corpora --audit demo-corpus --measure",
    )
    what = corpora.add_mutually_exclusive_group()
    what.add_argument(
        "--audit", metavar="CORPUS", help="id in models.yaml, release folder or downloaded .tar.gz to look through"
    )
    what.add_argument(
        "--download", metavar="SOURCE", help="fetch mdc:ID or hub:OWNER/NAME[:CONFIG], and print where it is then"
    )
    corpora.add_argument(
        "--split", action="append", metavar="NAME", help="only this split; may be repeated (audit: all, hub: test)"
    )
    corpora.add_argument("--language", metavar="LOCALE", help="which language of a release that holds several")
    corpora.add_argument(
        "--measure", action="store_true", help="with --audit, decode every clip first: silence, clipping, true lengths"
    )
    corpora.add_argument("--json", action="store_true", help="print JSON instead of tables")
