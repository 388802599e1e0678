"""`finetune start`: train in the foreground, as `python -m asrdemo.finetune.train` does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asrdemo import settings
from asrdemo.cli.common import command
from asrdemo.errors import NotFoundError


def run_start(args: argparse.Namespace) -> int:
    """Hand over to the trainer; it says itself what goes wrong."""
    if not args.recipe.is_file():
        raise NotFoundError(
            f"There is no recipe {str(args.recipe)!r}; expected a YAML file such as recipes/demo-en.yaml."
        )
    home = settings.read().home
    argv = [
        str(args.recipe),
        "--run",
        str(args.run_folder or home / "runs" / args.recipe.stem),
        "--shards",
        str(home / "shards"),
    ]
    if args.corpus_root:
        argv += ["--corpus-root", str(args.corpus_root)]
    if args.minutes:
        argv += ["--minutes", str(args.minutes)]
    argv += ["--resume"] * args.resume + ["--smoke"] * args.smoke
    from asrdemo.finetune.train import main

    return main(argv)


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    finetune = commands.add_parser("finetune", help="training", description="Train or fine-tune a checkpoint.")
    start = command(
        finetune.add_subparsers(required=True, metavar="COMMAND"),
        "start",
        run_start,
        "train a checkpoint from a recipe, in the foreground",
        "python -m asrdemo finetune start recipes/demo-en.yaml --smoke",
    )
    start.add_argument("recipe", type=Path, metavar="RECIPE", help="YAML file, see recipes/")
    start.add_argument(
        "--run", dest="run_folder", type=Path, metavar="DIR", help="run directory; default under the app's home"
    )
    start.add_argument("--corpus-root", type=Path, metavar="DIR", help="what $CORPUS_ROOT stands for in the recipe")
    start.add_argument("--minutes", type=float, metavar="N", help="wall-clock budget instead of the recipe's")
    start.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of the run directory")
    start.add_argument("--smoke", action="store_true", help="apply the recipe's smoke section: tiny and quick")
