"""`sweep`: decoder settings tried on a development split."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from asrdemo.cli.common import command, progress, start, table
from evals.cli import options


def run_sweep(args: argparse.Namespace) -> int:
    """`sweep`: every setting of the grid; the best goes where the registry finds it."""
    limits, known = start()
    from evals import defaults
    from evals.results import open_result
    from evals.sweep import SPLITS, Grid, sweep, values

    result = open_result(options.folder(args.result))
    args.decoder = "beam"
    base, lm = options.chosen_for(args, known, result)
    grid = Grid(
        values(args.alphas) if args.alphas else (base.alpha,),
        values(args.betas) if args.betas else (base.beta,),
        tuple(map(int, values(args.widths))) if args.widths else (base.beam_width,),
    )
    found = sweep(result, grid, base, lm, args.workers, progress(), args.any_split)
    rows = [{**asdict(p), "wer": round(p.wer, 5)} for p in found.points]
    pinned = result.info["pins"]
    id, corpus = pinned["checkpoint"]["id"], pinned["corpus"]
    note = f"WER {100 * found.best.wer:.2f} % on {corpus['clips']} clips of {corpus['name']} {corpus['split']}"
    entry = defaults.entry(id, found.best_options, note)
    used = id in known.checkpoints and corpus["split"] in SPLITS and not args.dry
    used = used and (base.lm is None or base.lm in known.language_models)
    if used:
        defaults.write(limits.home, entry)
    best = {**asdict(found.best), "wer": found.best.wer}
    if args.json:
        report = {"points": rows, "best": best, "at_edge": found.at_edge, "default": used, "folder": str(found.folder)}
        print(json.dumps(report, indent=1))
    else:
        print(f"{table(rows)}\n\nbest:\n{defaults.lines(entry)}", end="")
    if found.at_edge:
        print(f"the best lies on the edge of {', '.join(found.at_edge)}: try beyond it", file=sys.stderr)
    print(f"the registry {'now uses this for' if used else 'keeps what it has for'} {id}", file=sys.stderr)
    print(f"surface written to {found.folder}", file=sys.stderr)
    return 0


def add(commands: Any) -> None:
    """Add this command to the parser."""
    sweep = command(
        commands,
        "sweep",
        run_sweep,
        "try decoder settings over kept emissions of a dev split, and keep the best",
        "python -m evals sweep RESULT --alpha 0:1.5:0.25 --beta -2:2:1 --beam-width 50,100",
    )
    option = sweep.add_argument
    option("result", metavar="RESULT", help="folder or name of a result of a dev split with kept emissions")
    grid = "FIRST:LAST:STEP, or values separated by commas; default: as it is"
    option("--alpha", dest="alphas", metavar="RANGE", help=f"language model weights to try: {grid}")
    option("--beta", dest="betas", metavar="RANGE", help="word bonuses to try, likewise")
    option("--beam-width", dest="widths", metavar="RANGE", help="beam widths to try, likewise")
    options.add_decoder(sweep, swept=("alpha", "beta", "beam-width"))
    option("--any-split", action="store_true", help="also a split that is not for development; never the default then")
    option("--dry", action="store_true", help="leave the registry's default as it is")
    options.add_workers(sweep)
    options.add_json(sweep)
