"""`python -m asrdemo transcribe`: files to text, with scores where there are references."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from asrdemo import export
from asrdemo.cli.common import command, progress, start, table, with_checkpoint, with_language_model
from asrdemo.errors import AsrDemoError, AudioError, ConfigError, CorpusError, DecodingError, NotFoundError
from asrdemo.settings import Settings
from asrdemo.transcribe import OWN, Kind, Transcriber
from asrdemo.types import Clip, DecoderOptions, Transcript
from evals.score import Score, score

BATCH_SECONDS = 600.0  # audio read before the model runs: enough to sort by length, little enough to hold
BATCH_FILES = 128

# command line option -> field of DecoderOptions; each makes sense for beam search only
BEAM_OPTIONS = {
    "alpha": "alpha",
    "beta": "beta",
    "unk_offset": "unk_offset",
    "beam_width": "beam_width",
    "beam_prune": "beam_prune",
    "token_prune": "token_prune",
    "hotwords": "hotwords",
    "hotword_weight": "hotword_weight",
    "n_best": "n_best",
    "engine": "engine",
}


@dataclass
class References:
    """Sentences of one Common Voice table, and the score of the clips transcribed so far."""

    name: str
    sentences: dict[Path, str]
    score: Score = field(default_factory=Score)

    @classmethod
    def read(cls, table: Path) -> References:
        """The rows of a TSV with `path` and `sentence`, whose clips lie in `clips/` beside it."""
        from asrdemo import corpus

        if table.suffix != ".tsv":
            raise CorpusError(f"--references {table}: expected a Common Voice table ending in .tsv.")
        rows = corpus.read(table.parent, table.stem)
        sentences = {Path(f).resolve(): s for f, s in zip(rows["file"], rows["sentence"], strict=True)}
        return cls(f"{table.resolve().parent.name}/{table.stem}", sentences)

    def named(self, name: str) -> str | None:
        """The sentence of the clip of that file name, for a copy that lies elsewhere."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {file.name: sentence for file, sentence in self.sentences.items()}


def run(args: argparse.Namespace) -> int:
    """`transcribe`: texts to stdout or files to --out; scores when there are references."""
    limits, known = start()
    checkpoint = args.checkpoint or next(iter(known.checkpoints))
    transcriber = Transcriber(with_language_model(with_checkpoint(known, checkpoint), args.lm or ""), limits)
    options = decoder_options(args, transcriber, checkpoint)
    if args.format != "txt" and not args.out and len(args.files) != 1:
        raise ConfigError(f"--format {args.format} of several files needs --out FOLDER (or use --json).")
    corpora = [References.read(table) for table in args.references]
    files = args.files or [file for corpus in corpora for file in corpus.sentences]
    if not files:
        raise ConfigError("Nothing to transcribe: name audio files, or a table with --references.")
    output = _Output(args, several=len(files) > 1)
    failed: list[Path] = []
    totals = _Totals()
    for batch in _batches(files, limits, failed):
        for file, transcript in _transcribed(transcriber, batch, checkpoint, options, failed):
            totals.add(transcript)
            reference = _scored(file, transcript, corpora, transcriber.registry.checkpoint(checkpoint).profile)
            output.put(file, transcript, reference)
    output.end(corpora, totals)
    if args.files and any(not c.score.words.clips for c in corpora):
        raise CorpusError(
            "None of the files is named in " + ", ".join(c.name for c in corpora if not c.score.words.clips)
        )
    return 1 if failed else 0


def decoder_options(args: argparse.Namespace, transcriber: Transcriber, checkpoint: str) -> DecoderOptions:
    """The checkpoint's decoder with what the command line changes. Beam options choose beam search by themselves."""
    given = {BEAM_OPTIONS[name]: getattr(args, name) for name in BEAM_OPTIONS if getattr(args, name) is not None}
    lm = OWN if args.lm is None else None if args.lm == "none" else args.lm
    searching = sorted(given) + (["lm"] if args.lm not in (None, "none") else [])
    if args.decoder == "greedy" and searching:
        named = ", ".join("--" + name.replace("_", "-") for name in searching)
        raise ConfigError(f"{named} needs beam search, got --decoder greedy; use --decoder beam.")
    kind: Kind | None = "beam" if searching else args.decoder
    return replace(transcriber.defaults(checkpoint, kind, lm), **given)


def _batches(files: Iterable[Path], limits: Settings, failed: list[Path]) -> Iterator[list[tuple[Path, Clip]]]:
    """Readable files as clips, some at a time; a file that cannot be read is reported and left out."""
    from asrdemo import audio

    batch: list[tuple[Path, Clip]] = []
    for file in files:
        try:
            batch.append((file, audio.read_clip(file, settings=limits)))
        except (AudioError, NotFoundError) as error:
            _report(file, error, failed)
        if len(batch) == BATCH_FILES or sum(clip.duration for _, clip in batch) > BATCH_SECONDS:
            yield batch
            batch = []
    if batch:
        yield batch


def _transcribed(
    transcriber: Transcriber,
    batch: list[tuple[Path, Clip]],
    checkpoint: str,
    options: DecoderOptions,
    failed: list[Path],
) -> Iterator[tuple[Path, Transcript]]:
    """Transcripts of a batch; when one clip breaks it, each is tried alone, so that only that one is lost."""
    try:
        done = transcriber.transcribe([clip for _, clip in batch], checkpoint, options, progress())
        yield from ((file, transcript) for (file, _), transcript in zip(batch, done, strict=True))
    except (AudioError, DecodingError) as error:
        if len(batch) == 1:
            _report(batch[0][0], error, failed)
            return
        for single in batch:
            yield from _transcribed(transcriber, [single], checkpoint, options, failed)


def _scored(file: Path, transcript: Transcript, corpora: list[References], profile: str) -> str | None:
    """Score a transcript against the tables that know its file by its place, or else by its name."""
    placed = [(c, c.sentences.get(file.resolve())) for c in corpora]
    if all(sentence is None for _, sentence in placed):
        placed = [(c, c.named(file.name)) for c in corpora]
    found = None
    for corpus, sentence in placed:
        if sentence is not None:
            corpus.score += score(sentence, transcript.text, profile)
            found = sentence
    return found


def _report(file: Path, error: AsrDemoError, failed: list[Path]) -> None:
    failed.append(file)
    reason = str(error)
    if reason.startswith(f"{file.name} is "):  # the path says the name already
        reason = f"it{reason.removeprefix(file.name)}"
    print(f"error: {file}: {reason}", file=sys.stderr)


class _Totals:
    """Sums for the closing line."""

    def __init__(self) -> None:
        self.clips, self.audio, self.acoustic, self.decode, self.load = 0, 0.0, 0.0, 0.0, 0.0
        self.how = ""

    def add(self, transcript: Transcript) -> None:
        self.clips += 1
        self.audio += transcript.duration
        self.acoustic += transcript.timings.acoustic
        self.decode += transcript.timings.decode
        self.load = max(self.load, transcript.timings.load)
        self.how = f"{transcript.checkpoint}, {transcript.engine}, {transcript.device}, {transcript.precision}"

    def __str__(self) -> str:
        speed = self.audio / max(self.acoustic + self.decode, 1e-9)
        return (
            f"{self.clips} clip{'' if self.clips == 1 else 's'}, {self.audio:.1f} s of audio; {self.how}; "
            f"load {self.load:.2f} s, acoustic {self.acoustic:.2f} s, decode {self.decode:.2f} s, RTFx {speed:.1f}"
        )


class _Output:
    """Where transcripts go: lines on stdout, files in a folder, or one JSON document at the end."""

    def __init__(self, args: argparse.Namespace, several: bool) -> None:
        self.format, self.folder, self.json, self.several = args.format, args.out, args.json, several
        self.rows: list[dict[str, Any]] = []
        self.taken: set[str] = set()
        if self.folder:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"--out {self.folder}: expected a folder that can be written; {error.strerror}."
                ) from error

    def put(self, file: Path, transcript: Transcript, reference: str | None) -> None:
        if self.folder:
            self._write(transcript)
        if self.json:
            row = {"file": str(file), **json.loads(export.export(transcript, "json"))}
            self.rows.append(row if reference is None else {**row, "reference": reference})
        elif self.format == "txt" and not self.folder:
            print(f"{file}\t{transcript.text}" if self.several else transcript.text)
        elif not self.folder:
            sys.stdout.write(export.export(transcript, self.format).decode("utf-8"))

    def end(self, corpora: list[References], totals: _Totals) -> None:
        if self.json:
            scores = {c.name: _score_row(c.score) for c in corpora}
            print(json.dumps({"transcripts": self.rows, **({"scores": scores} if corpora else {})}, ensure_ascii=False))
        elif corpora:
            print(table([{"corpus": c.name, **_score_row(c.score)} for c in corpora]))
        if totals.clips:
            print(totals, file=sys.stderr)

    def _write(self, transcript: Transcript) -> None:
        """One file per clip; a name that was already used in this run gets a number, nothing is overwritten."""
        path = self.folder / export.file_name(transcript, self.format)
        stem, number = path.stem, 1
        while path.name in self.taken:
            number += 1
            path = path.with_stem(f"{stem}-{number}")
        self.taken.add(path.name)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(export.export(transcript, self.format))
        partial.replace(path)


def _score_row(found: Score) -> dict[str, Any]:
    w = found.words
    return {
        "clips": w.clips,
        "words": w.reference,
        "wer": round(found.wer, 5),
        "substitutions": w.substitutions,
        "deletions": w.deletions,
        "insertions": w.insertions,
        "characters": found.characters.reference,
        "cer": round(found.cer, 5),
    }


def add(commands: Any) -> None:
    """Add this command to the parser."""
    example = "python -m asrdemo transcribe talk.wav --decoder beam --lm demo-lm --format srt --out subtitles"
    option = command(commands, "transcribe", run, "turn audio files into text", example).add_argument
    option(
        "files", nargs="*", type=Path, metavar="FILE", help="audio files; none with --references means all its clips"
    )
    option("--checkpoint", metavar="ID|FOLDER", help="see `checkpoints`; default: the first of models.yaml")
    option("--decoder", choices=("greedy", "beam"), help="default: the checkpoint's; options below imply beam")
    option("--lm", metavar="ID|FILE|none", help="language model for beam search; default: the checkpoint's")
    option("--hotwords", type=_hotwords, metavar="A,B", help="words or phrases to favour, separated by commas")
    option("--hotword-weight", type=float, metavar="W", help="how much to favour them, 0 to 50")
    option("--alpha", type=float, metavar="A", help="language model weight, 0 to 5")
    option("--beta", type=float, metavar="B", help="bonus for each word, -10 to 10")
    option("--unk-offset", type=float, metavar="U", help="penalty for a word the language model lacks, -100 to 0")
    option("--beam-width", type=int, metavar="N", help="hypotheses kept after each frame, 1 to 1000")
    option("--beam-prune", type=float, metavar="P", help="drop beams this far below the best, below 0")
    option("--token-prune", type=float, metavar="P", help="skip tokens below this log-probability, below 0")
    option("--n-best", type=int, metavar="N", help="hypotheses in the json export, 1 to 20")
    option("--engine", choices=("auto", "pyctcdecode", "ctc-beam-decoder"), help="beam search library; default auto")
    option("--format", choices=tuple(export.FORMATS), default="txt", help="default txt")
    option("--out", type=Path, metavar="DIR", help="write one file per clip there instead of printing")
    option("--json", action="store_true", help="print one JSON document with all transcripts (and scores)")
    option(
        "--references",
        type=Path,
        action="append",
        default=[],
        metavar="TSV",
        help="Common Voice table (path, sentence): print pooled WER and CER of its clips; may be repeated",
    )


def _hotwords(given: str) -> tuple[str, ...]:
    return tuple(word for part in given.split(",") if (word := " ".join(part.split())))
