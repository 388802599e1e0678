"""Our alignments beside those of NIST's sclite, where it is installed (Debian: package `sctk`)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrdemo.errors import NotFoundError, ToolError
from evals.align import Alignments, align_words
from evals.score import Rows, texts

TIMEOUT_S = 600
_PATH = re.compile(r'<PATH id="\(all_(\d+)\)"[^>]*>\n(.*?)\n</PATH>', re.DOTALL)
_STEP = re.compile(r'([CSDI]),(?:"[^"]*")?,(?:"[^"]*")?(?::|$)')
_PLAIN = re.compile(r"[a-z][a-z']*")  # sclite gives meaning to other signs: {a / b}, (a), @, %hesitation, a-, *


def command() -> list[str]:
    """How to call sclite here. Raises NotFoundError where it is not installed."""
    if found := shutil.which("sclite"):
        return [found]
    if found := shutil.which("sctk"):  # Debian's front end
        return [found, "sclite"]
    raise NotFoundError(
        "Neither sclite nor sctk is on the PATH. Install NIST's SCTK (Debian, Ubuntu: apt install sctk)."
    )


def ops(references: Sequence[str], hypotheses: Sequence[str]) -> list[str]:
    """sclite's own alignment of each pair, written as in evals.align.

    Words are compared as they stand (`-s`). A word with anything but small letters of ASCII is passed under another
    name, the same on both sides, so that no character is read as markup or in another encoding.
    Raises NotFoundError without sclite, and ToolError when it fails or does not answer for each pair.
    """
    if not references:
        return []
    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="asrdemo-sclite-") as folder:
        _write_trn(Path(folder) / "ref.trn", references, names)
        _write_trn(Path(folder) / "hyp.trn", hypotheses, names)
        formats = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm", "-s", "-o", "sgml", "stdout"]
        try:
            done = subprocess.run(
                [*command(), *formats], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"sclite did not end within {TIMEOUT_S} s for {len(references)} clips; give it fewer."
            ) from error
    found = {int(i): "".join(_STEP.findall(steps)).replace("C", "=") for i, steps in _PATH.findall(done.stdout)}
    if done.returncode or sorted(found) != list(range(len(references))):
        said = (done.stderr or done.stdout).strip()[-300:]
        raise ToolError(f"sclite aligned {len(found)} of {len(references)} clips (exit {done.returncode}): {said}")
    return [found[i] for i in range(len(references))]


def parity(rows: Rows, examples: int = 5) -> dict[str, Any]:
    """Our word counts, sclite's and jiwer's of the same rows (columns `reference` and `hypothesis`, normalised).

    clips; table: a row each for `evals` (fewest edits), `evals, sclite's costs`, `sclite` and `jiwer`, with words,
    hits, substitutions, deletions, insertions, errors and wer (a fraction, None without words); same_counts,
    same_steps: clips where ours are sclite's; same_steps_with_its_costs: the same for `costs="sclite"`, which should be
    all; different: up to `examples` clips whose counts differ (row, reference, hypothesis, ours, sclite). jiwer takes
    any alignment of fewest edits: only its errors are to be compared. It refuses empty references; what was heard there
    is added to its insertions. Raises as `ops` does.
    """
    references, hypotheses = texts(rows, "reference"), texts(rows, "hypothesis")
    theirs = ops(references, hypotheses)
    ours, alike = align_words(references, hypotheses), align_words(references, hypotheses, costs="sclite")
    unlike = [i for i, (a, b) in enumerate(zip(ours.ops, theirs, strict=True)) if sorted(a) != sorted(b)]
    return {
        "clips": len(references),
        "table": [
            _row("evals", _counts(ours)),
            _row("evals, sclite's costs", _counts(alike)),
            _row("sclite", {letter: sum(o.count(letter) for o in theirs) for letter in "=SDI"}),
            _row("jiwer", _jiwer(references, hypotheses)),
        ],
        "same_counts": len(references) - len(unlike),
        "same_steps": sum(a == b for a, b in zip(ours.ops, theirs, strict=True)),
        "same_steps_with_its_costs": sum(a == b for a, b in zip(alike.ops, theirs, strict=True)),
        "different": [
            {
                "row": i,
                "reference": references[i],
                "hypothesis": hypotheses[i],
                "ours": ours.ops[i],
                "sclite": theirs[i],
            }
            for i in unlike[:examples]
        ],
    }


def _write_trn(path: Path, lines: Sequence[str], names: dict[str, str]) -> None:
    """One text a line with its id; `names` gets the words that go by another name."""
    with path.open("w", encoding="ascii") as out:
        for i, line in enumerate(lines):
            words = (w if _PLAIN.fullmatch(w) else names.setdefault(w, f"W{len(names)}") for w in line.split())
            out.write(" ".join([*words, f"(all_{i})"]) + "\n")


def _counts(found: Alignments) -> dict[str, int]:
    counts = {"=": found.hits, "S": found.substitutions, "D": found.deletions, "I": found.insertions}
    return {letter: int(each.sum()) for letter, each in counts.items()}


def _jiwer(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, int]:
    import jiwer

    pairs = [(r, h) for r, h in zip(references, hypotheses, strict=True) if r.strip()]
    inserted = sum(len(h.split()) for r, h in zip(references, hypotheses, strict=True) if not r.strip())
    if not pairs:
        return {"=": 0, "S": 0, "D": 0, "I": inserted}
    out = jiwer.process_words([r for r, _ in pairs], [h for _, h in pairs])
    return {"=": out.hits, "S": out.substitutions, "D": out.deletions, "I": out.insertions + inserted}


def _row(name: str, counts: dict[str, int]) -> dict[str, Any]:
    words = counts["="] + counts["S"] + counts["D"]
    errors = counts["S"] + counts["D"] + counts["I"]
    return {
        "scorer": name,
        "words": words,
        "hits": counts["="],
        "substitutions": counts["S"],
        "deletions": counts["D"],
        "insertions": counts["I"],
        "errors": errors,
        "wer": errors / words if words else None,
    }
