"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo.cli.common import with_language_model
from asrdemo.cli.transcribe import decoder_options
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.registry import CheckpointSpec, LanguageModelSpec, Registry
from asrdemo.transcribe import Transcriber
from asrdemo.types import DecoderOptions

if TYPE_CHECKING:
    from evals.results import Result

_SEARCH: tuple[tuple[str, Callable[[str], Any], str], ...] = (
    ("alpha", float, "language model weight, 0 to 5"),
    ("beta", float, "bonus for each word, -10 to 10"),
    ("unk-offset", float, "penalty for a word the language model lacks, -100 to 0"),
    ("beam-width", int, "hypotheses kept after each frame, 1 to 1000"),
    ("beam-prune", float, "drop beams this far below the best, below 0"),
    ("token-prune", float, "skip tokens below this log-probability, below 0"),
    ("hotword-weight", float, "how much to favour hotwords, 0 to 50"),
)

_LAUNCHERS = (  # rank, how many, rank on this machine
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)


def add_decoder(command: argparse.ArgumentParser, swept: tuple[str, ...] = ()) -> None:
    """The decoder's options, but for those that are swept."""
    option = command.add_argument
    option("--decoder", choices=("greedy", "beam"), help="default: the checkpoint's; options below imply beam")
    option("--lm", metavar="ID|FILE|none", help="language model for beam search; default: the checkpoint's")
    for name, kind, what in _SEARCH:
        if name not in swept:
            option(f"--{name}", type=kind, metavar="N" if kind is int else "X", help=what)
    option("--hotwords", type=_listed, metavar="A,B", help="words or phrases to favour, separated by commas")
    option("--engine", choices=("auto", "pyctcdecode", "ctc-beam-decoder"), help="beam search library; default auto")
    command.set_defaults(n_best=None, **{name.replace("-", "_"): None for name in swept})


def add_workers(command: argparse.ArgumentParser) -> None:
    """How many processes."""
    command.add_argument("--workers", type=int, metavar="N", help="decoding processes; default: a core less than all")


def add_json(command: argparse.ArgumentParser) -> None:
    """Machines read, too."""
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_reference(command: argparse.ArgumentParser) -> None:
    """What values are compared to in adjusted gaps."""
    command.add_argument(
        "--reference",
        action="append",
        metavar="COLUMN=VALUE",
        help="compare a column's values with this one, as in 'accents=Scottish English'; default: with all others",
    )


def references(given: Sequence[str] | None) -> dict[str, str]:
    """`["accents=Scottish English"]` -> {"accents": "Scottish English"}. Raises ConfigError for other text."""
    pairs = [each.partition("=") for each in given or ()]
    for (column, equals, value), whole in zip(pairs, given or (), strict=True):
        if not (column and equals and value):
            raise ConfigError(f"--reference {whole!r}: expected COLUMN=VALUE, such as 'gender=male_masculine'.")
    return {column: value for column, _, value in pairs}


def chosen(
    args: argparse.Namespace, known: Registry, checkpoint: str
) -> tuple[DecoderOptions, LanguageModelSpec | None]:
    """The checkpoint's decoder with what the command line changes, and its language model."""
    known = with_language_model(known, args.lm or "")
    own = known.checkpoint(checkpoint).decoder.lm
    if args.lm is None and own is not None and own not in known.language_models:
        raise NotFoundError(
            f"Language model {own!r} is not in models.yaml; give its file with --lm FILE, or --lm none, or one of: "
            f"{', '.join(known.language_models) or 'none there'}."
        )
    options = decoder_options(args, Transcriber(known), checkpoint)
    return options, known.language_model(options.lm) if options.lm else None


def chosen_for(
    args: argparse.Namespace, known: Registry, result: Result
) -> tuple[DecoderOptions, LanguageModelSpec | None]:
    """Likewise, starting from the decoder that the result was made with (a greedy one knows no weights to start from:
    then from that of its checkpoint, if the registry lists it)."""
    pinned = result.info["pins"]
    id, decoder = pinned["checkpoint"]["id"], dict(pinned["decoder"])
    if decoder["kind"] == "beam":
        fields = {k: v for k, v in decoder.items() if k not in ("engine", "lm_fingerprint")}
        base = DecoderOptions(**{**fields, "hotwords": tuple(fields["hotwords"])})
    else:
        listed = known.checkpoints.get(id)
        base = replace(listed.decoder if listed else DecoderOptions(), kind="greedy")
    spec = CheckpointSpec(id, id, pinned["checkpoint"]["language"], pinned["normaliser"]["profile"], decoder=base)
    return chosen(args, replace(known, checkpoints={id: spec}), id)


def shard(given: str) -> tuple[int, int]:
    """`2/4` -> (2, 4)."""
    number, slash, count = given.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"expected i/n with i from 1 to n, got {given!r}")
    return int(number), int(count)


def launched() -> tuple[int, int] | None:
    """The share of this process where torchrun, `accelerate launch` or mpirun started several, else None.

    On a machine with several GPUs each process then sees one of its own.
    """
    names = next((names for names in _LAUNCHERS if names[0] in os.environ), None)
    if names is None:
        return None
    rank, size, local = (os.environ.get(name, "") for name in names)
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ConfigError(
            f"{names[0]} is {rank!r}, {names[1]} {size!r}; expected whole numbers, the first the smaller."
        )
    if local.isdecimal() and int(size) > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = seen.split(",") if seen else None
        own = local if devices is None else devices[int(local) % len(devices)]
        os.environ["CUDA_VISIBLE_DEVICES"] = own
    return int(rank) + 1, int(size)


def _listed(given: str) -> tuple[str, ...]:
    return tuple(word for part in given.split(",") if (word := " ".join(part.split())))


def folder(given: str) -> Path:
    """A folder of a result: its path, or its name under the app's results."""
    from asrdemo import settings

    path = Path(given)
    named = settings.read().home / "results" / given
    return named if not path.exists() and named.exists() else path
