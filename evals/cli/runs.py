"""`run`, `merge`, `rescore`, `list`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo import text
from asrdemo.cli.common import command, progress, start, table, with_checkpoint
from asrdemo.errors import ConfigError
from asrdemo.types import Progress
from evals.cli import options

if TYPE_CHECKING:
    from evals.jobs import Status
    from evals.results import Result


def run_run(args: argparse.Namespace) -> int:
    """`run`: corpus x checkpoint x decoder -> rows. With --status a folder says how it goes, and how it went."""
    watched = progress() if args.shard is None or args.shard[0] == 1 else None
    share = options.launched()
    if args.status is None or (share and share[0] > 1):  # one process speaks for all that a launcher started
        return _run(args, share, watched)
    from evals.jobs import Status

    with Status(args.status) as status:
        return _run(args, share, status.progress(watched), status)


def _run(
    args: argparse.Namespace, share: tuple[int, int] | None, watched: Progress | None, status: Status | None = None
) -> int:
    limits, known = start()
    plain = "fp32" if limits.precision == "auto" else limits.precision  # no rate shall hang on how busy the machine is
    limits = replace(limits, device=args.device or limits.device, precision=args.precision or plain)
    if share and args.shard:
        raise ConfigError("--shard and a launcher (RANK, WORLD_SIZE) both share out the work; use one of them.")
    from evals.run import Request, evaluate
    from evals.source import open_source

    known = with_checkpoint(known, args.checkpoint)
    spec = known.checkpoint(args.checkpoint)
    decoder, lm = options.chosen(args, known, args.checkpoint)
    source = open_source(args.corpus, args.split, known, args.limit)
    profile = text.profile(args.profile or source.profile or spec.profile).name
    shard = args.shard or share or (1, 1)
    request = Request(spec, source, decoder, lm, profile, args.keep_emissions, shard, args.workers)
    result = evaluate(request, args.out or request.folder(limits.home), limits, progress=watched)
    if not result.complete:
        print(f"shard {shard[0]}/{shard[1]} of {result.name} is done, others are not yet", file=sys.stderr)
    elif share is None or share[0] == 1:
        _show(result, args.json)
    if status is not None and result.complete:
        status.write("complete", result=result.name)
    return 0


def run_merge(args: argparse.Namespace) -> int:
    """`merge`: shards that ran in folders of their own -> one result."""
    from evals.folder import merge

    folders = [options.folder(f) for f in args.results]
    if args.out is None and len(folders) > 1:
        raise ConfigError("--out is missing: name the folder of the merged result.")
    _show(merge(folders, args.out or folders[0]), args.json)
    return 0


def run_rescore(args: argparse.Namespace) -> int:
    """`rescore`: kept emissions under other decoder settings."""
    limits, known = start()
    from evals.rescore import rescore, target
    from evals.results import open_result

    result = open_result(options.folder(args.result))
    decoder, lm = options.chosen_for(args, known, result)
    profile = text.profile(args.profile or result.info["pins"]["normaliser"]["profile"]).name
    out = args.out or target(result, decoder, profile, limits.home)
    _show(rescore(result, decoder, lm, profile, out, args.workers, progress()), args.json)
    return 0


def run_list(args: argparse.Namespace) -> int:
    """`list`: the results under the app's home."""
    from evals.results import list_results

    limits, _ = start()
    rows = [_row(result) for result in list_results(limits.home)]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print(table([{k: "" if v is None else v for k, v in row.items()} for row in rows]) if rows else "none")
    return 0


def _row(result: Result) -> dict[str, Any]:
    """A result in one line; rates and speed are null until it is complete."""
    pins, score = result.info["pins"], result.info.get("score", {})
    rtfx = result.info.get("rtfx")
    return {
        "result": result.name,
        "checkpoint": pins["checkpoint"]["id"],
        "corpus": pins["corpus"]["name"],
        "split": pins["corpus"]["split"],
        "decoder": pins["decoder"]["kind"],
        "lm": pins["decoder"].get("lm"),
        "clips": result.info.get("clips", pins["corpus"]["clips"]),
        "set_aside": len(result.info["quarantined"]),
        "wer": score.get("wer"),
        "cer": score.get("cer"),
        "rtfx": None if rtfx is None else round(rtfx, 1),
        "state": result.info["state"],
    }


def _show(result: Result, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"folder": str(result.folder), **result.info}, ensure_ascii=False, indent=1))
        return
    print(table([{k: "" if v is None else v for k, v in _row(result).items()}]))
    for item in result.info["quarantined"][:10]:
        print(f"set aside: {item['clip']}: {item['reason']}", file=sys.stderr)
    print(f"written to {result.folder}", file=sys.stderr)


def add(commands: Any) -> None:
    """Add these commands to the parser."""
    _add_run(commands)
    merge = command(
        commands, "merge", run_merge, "put shards together", "python -m evals merge part-1 part-2 --out whole"
    )
    merge.add_argument("results", nargs="+", metavar="RESULT", help="folders in which shards of one run were made")
    merge.add_argument("--out", type=Path, metavar="DIR", help="folder of the whole; default: the only one named")
    options.add_json(merge)
    again = command(
        commands,
        "rescore",
        run_rescore,
        "decode kept emissions with other settings, without the model",
        "python -m evals rescore RESULT --decoder beam --lm demo-lm --alpha 0.8",
    )
    again.add_argument("result", metavar="RESULT", help="folder or name of a result with kept emissions")
    options.add_decoder(again)
    again.add_argument("--profile", help="normalise by another profile than the result's")
    again.add_argument("--out", type=Path, metavar="DIR", help="folder of the new result; default under the app's home")
    options.add_workers(again)
    options.add_json(again)
    options.add_json(command(commands, "list", run_list, "list the results", "python -m evals list --json"))


def _add_run(commands: Any) -> None:
    example = "python -m evals run --checkpoint demo-en --corpus demo-corpus --split test --decoder beam --lm demo-lm"
    run = command(commands, "run", run_run, "transcribe and score a split of a corpus, a row a clip", example)
    option = run.add_argument
    option("--checkpoint", required=True, metavar="ID|FOLDER", help="see `python -m asrdemo checkpoints`")
    option("--corpus", required=True, metavar="ID|PATH", help="see `python -m asrdemo corpora`; or a folder or .tar.gz")
    option("--split", default="test", help="table of the corpus; default test")
    options.add_decoder(run)
    option("--profile", help=f"how texts are normalised: {', '.join(text.PROFILES)}; default: the corpus's language")
    option("--limit", type=int, metavar="N", help="the first N clips only")
    option("--keep-emissions", action="store_true", help="also keep what the model heard, for rescore and sweep")
    option("--shard", type=options.shard, metavar="I/N", help="this process's share; torchrun and accelerate set it")
    option("--out", type=Path, metavar="DIR", help="folder of the result; the same one goes on where it was stopped")
    option("--device", choices=("auto", "cpu", "cuda"), help="default: ASRDEMO_DEVICE, else auto")
    precisions = ("fp32", "bf16", "int8", "auto")
    option("--precision", choices=precisions, help="default: ASRDEMO_PRECISION, else fp32; auto takes the fastest")
    option("--status", type=Path, metavar="DIR", help="keep a status.json up to date there with how far the run is")
    options.add_workers(run)
    options.add_json(run)
