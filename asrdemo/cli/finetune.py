"""`finetune`: look a recipe over, prepare its audio, start, watch and stop runs, and what becomes of them.

This module has what is asked of a recipe, and puts all commands of `finetune` into the parser.
"""

from __future__ import annotations

import argparse
from typing import Any

from asrdemo import settings
from asrdemo.cli import common, finetune_jobs, finetune_outcome, finetune_runs, finetune_sweep
from asrdemo.cli.common import command
from asrdemo.cli.finetune_common import add_json, add_recipe, print_json, recipe_of, show
from asrdemo.finetune import recipe as recipes


def run_precheck(args: argparse.Namespace) -> int:
    """`precheck`: what is known to go wrong, before anything trains; 1 where it must not start like this."""
    from asrdemo.finetune import precheck

    limits, known = common.start()
    recipe = recipes.from_dict(recipe_of(args), args.recipe.name)
    report = precheck.precheck(recipe, limits.home, known, common.progress())
    if args.json:
        print_json(report.as_dict())
    else:
        for row in report.rows:
            print(f"{row.state:<6} {row.check}: {row.sentence}")
            if row.fix:
                print(f"       {row.fix}")
    return 1 if report.blocks else 0


def run_prepare(args: argparse.Namespace) -> int:
    """`prepare`: decode what a recipe trains and is scored on, once for all runs."""
    from asrdemo.finetune.prepare import prepare

    home, recipe = settings.read().home, recipes.from_dict(recipe_of(args), args.recipe.name)
    rows = []
    for kind in ("train", "dev", "test"):
        for source in getattr(recipe, kind):
            shard = prepare(source, recipe, home / "shards", common.progress())
            left_out = sum(map(len, shard.dropped.values()))
            rows.append(
                {"for": kind, "corpus": source.id, "clips": len(shard), "hours": round(shard.hours, 3),
                 "left out": left_out}
            )  # fmt: skip
    show(rows, args.json)
    return 0


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    finetune = commands.add_parser("finetune", help="training", description="Train or fine-tune a checkpoint.")
    inner = finetune.add_subparsers(required=True, metavar="COMMAND")
    for name, run, what in (
        ("precheck", run_precheck, "what would go wrong with a recipe?"),
        ("prepare", run_prepare, "decode what a recipe trains on, once for all runs"),
    ):
        made = command(inner, name, run, what, f"python -m asrdemo finetune {name} recipes/demo-en.yaml --smoke")
        add_recipe(made)
        add_json(made)
    finetune_runs.add(inner)
    finetune_sweep.add(inner)
    finetune_outcome.add(inner)
    finetune_jobs.add(inner)
