"""`finetune register, unregister, publish`: what becomes of a finished run."""

from __future__ import annotations

import argparse
from typing import Any

from asrdemo import settings
from asrdemo.cli.common import command
from asrdemo.cli.finetune_common import add_run


def run_register(args: argparse.Namespace) -> int:
    """`register`: offer the best weights of a run in every list of checkpoints; prints the id."""
    from asrdemo.finetune import register

    print(register.register(settings.read().home, args.run_name, args.id))
    return 0


def run_unregister(args: argparse.Namespace) -> int:
    """`unregister`: take a checkpoint that was registered from all lists."""
    from asrdemo.finetune import register

    register.unregister(settings.read().home, args.id)
    print(f"{args.id}: in no list any more; its run is still there")
    return 0


def run_publish(args: argparse.Namespace) -> int:
    """`publish`: push the best weights of a run to the Hugging Face Hub; prints the address."""
    from asrdemo.finetune import publish

    private = False if args.public else None
    address = publish.publish(
        settings.read().home, args.run_name, args.to, private=private, replace=args.replace
    )  # fmt: skip
    print(address)
    return 0


def add(inner: Any) -> None:
    """Add these commands to the parser of `finetune`."""
    start = "python -m asrdemo finetune"
    what = "offer a run's best weights in every list of checkpoints"
    made = command(inner, "register", run_register, what, f"{start} register my-run --id my-accent")
    add_run(made)
    made.add_argument("--id", default="", metavar="ID", help="of the checkpoint; the recipe's, numbered, if left out")
    what = "take a registered checkpoint from all lists, and its files away; the run stays"
    made = command(inner, "unregister", run_unregister, what, f"{start} unregister my-accent")
    made.add_argument("id", metavar="ID", help="of the checkpoint, as `register` printed it")
    what = "push a run's best weights and its model card to the Hugging Face Hub"
    made = command(inner, "publish", run_publish, what, f"{start} publish my-run --to me/my-accent")
    add_run(made)
    made.add_argument("--to", default="", metavar="OWNER/NAME", help="the recipe's publish.hub if left out")
    made.add_argument("--public", action="store_true", help="for everyone to see; if left out, as the recipe says")
    made.add_argument("--replace", action="store_true", help="commit on top of a repository that is there")
