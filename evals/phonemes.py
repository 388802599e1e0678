"""PER: the phonemes that espeak-ng gives to what was said and to what was heard, aligned like words.

Two spellings of one sound (`their`, `there`; `4`, `four`) are no error here, so PER beside WER tells mishearing from
misspelling. Phonemes are those of espeak-ng's voice, in the context of their sentence; stress and word boundaries are
left out. Rates are to be compared only for one version of espeak-ng and one voice. It takes about a millisecond a
text. Chinese is no use: espeak-ng 1.51 reads characters as the names of their pinyin letters; take CER there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from asrdemo.errors import NotFoundError, ResultError, ToolError
from evals import confusions
from evals.align import Alignments, align
from evals.bootstrap import Interval, rate_interval
from evals.score import Counts
from evals.slices import USUAL_SUPPORT
from evals.sums import Support

if TYPE_CHECKING:
    import pandas as pd

    from evals.scored import Scored

TIMEOUT_S = 600
TOP = 15
_ONE_CLAUSE = str(2**30)  # a line shorter than this ends a clause: one line in, one line out
_NO_PHONEME = re.compile("\\([a-z-]+\\)|[\u02c8\u02cc]")  # `(fr)`: a word read as French; stress marks
_BETWEEN = re.compile("[_ ]+")
_MARKUP = str.maketrans("[]\n\r", "    ")  # [[...]] would be read as phonemes


@dataclass(frozen=True, eq=False)
class Phonemes:
    """One run's phoneme errors. counts: pooled; interval: the PER with that of speaker blocks.

    confused, deleted, inserted: the most frequent errors, tables of evals.confusions whose rows are clips of the mask.
    """

    run: str
    voice: str
    counts: Counts
    interval: Interval
    confused: pd.DataFrame
    deleted: pd.DataFrame
    inserted: pd.DataFrame


def phoneme_errors(
    scored: Scored,
    run: str | int = 0,
    mask: np.ndarray | None = None,
    *,
    voice: str = "",
    top: int = TOP,
    support: Support = USUAL_SUPPORT,
    seed: int = 0,
) -> Phonemes:
    """PER of a run, over the clips of a mask. voice: by default that of the checkpoint's language.

    Raises as `phonemise` does, and ResultError for Chinese, which espeak-ng does not read, or where the clips of the
    mask lack support; without a mask, whatever there is will do.
    """
    which = scored.run(run)
    at = np.arange(len(scored)) if mask is None else np.flatnonzero(mask)
    language = scored.results[which].info["pins"].get("checkpoint", {}).get("language", "")
    if not voice and not language:
        raise ResultError(f"{scored.runs[which]!r} does not say its checkpoint's language; name a voice of espeak-ng.")
    voice = voice or voice_for(language)
    if voice in ("zh", "cmn"):
        raise ResultError("PER is of no use for Chinese, which espeak-ng does not read by sound; its CER says as much.")
    if not len(at):
        raise ResultError("No clip is left to phonemise: the filter leaves out all of them.")
    if mask is not None and (lacks := support.lacking(len(np.unique(scored.speaker[at])), int(scored.words[at].sum()))):
        raise ResultError(f"Too little to say, {lacks}.")
    said, heard = (scored.column(name, which).take(pa.array(at)).to_pylist() for name in ("reference", "hypothesis"))
    refs, hyps, found = align_phonemes(said, heard, voice)
    steps = confusions.read(refs, hyps, found.ops)
    speaker = np.unique(scored.speaker[at], return_inverse=True)[1]
    interval = rate_interval(found.errors, np.array([len(each) for each in refs]), speaker, seed=seed)
    tables = (make(steps, top, 0) for make in (confusions.substitutions, confusions.deletions, confusions.insertions))
    return Phonemes(scored.runs[which], voice, Counts.of(found), interval, *tables)


def voice_for(language: str) -> str:
    """The usual voice for a BCP 47 code or a Common Voice locale; espeak-ng may lack it."""
    code = re.split("[-_]", language.lower())[0]
    return "en-us" if code == "en" else code


def phonemise(texts: Sequence[str], voice: str = "en-us", timeout_s: float = TIMEOUT_S) -> list[list[str]]:
    """Phonemes (IPA) of each text, by one espeak-ng for all of them. Texts: normalised; an empty one has no phonemes.

    voice: as in `espeak-ng --voices`, often the language code. Raises NotFoundError where espeak-ng or the voice is
    missing, ToolError when it fails or takes longer than timeout_s.
    """
    distinct = [t for t in dict.fromkeys(texts) if t.strip()]
    lines = dict(zip(distinct, _lines(distinct, voice, timeout_s), strict=True))
    return [[p for p in _BETWEEN.split(_NO_PHONEME.sub("", lines.get(t, ""))) if p] for t in texts]


def align_phonemes(
    references: Sequence[str], hypotheses: Sequence[str], voice: str = "en-us"
) -> tuple[list[list[str]], list[list[str]], Alignments]:
    """Phonemes of both sides and their alignment (evals.confusions.read takes all three). Raises as `phonemise`, and
    ValueError for lists of different lengths."""
    both = phonemise([*references, *hypotheses], voice)
    refs, hyps = both[: len(references)], both[len(references) :]
    return refs, hyps, align(refs, hyps)


def phonemes(references: str | Sequence[str], hypotheses: str | Sequence[str], voice: str = "en-us") -> Counts:
    """Pooled phoneme edits of normalised texts; its rate is the PER. Raises as `align_phonemes` does."""
    refs, hyps = ([side] if isinstance(side, str) else side for side in (references, hypotheses))
    return Counts.of(align_phonemes(refs, hyps, voice)[2])


def _lines(texts: list[str], voice: str, timeout_s: float) -> list[str]:
    """A line of espeak-ng's output for each text."""
    if not texts:
        return []
    program = shutil.which("espeak-ng")
    if program is None:
        raise NotFoundError("espeak-ng is not on the PATH; PER needs it (Debian, Ubuntu: apt install espeak-ng).")
    command = [program, "-q", "--ipa", "--sep=_", "-b", "1", "-l", _ONE_CLAUSE, "-v", voice, "--stdin"]
    given = "".join(t.translate(_MARKUP) + "\n" for t in texts)
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, encoding="utf-8", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"espeak-ng did not end within {timeout_s:g} s for {len(texts)} texts; give it fewer or more time."
        ) from error
    if "voice does not exist" in done.stderr:
        raise NotFoundError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices` lists those it has.")
    if done.returncode:
        raise ToolError(f"espeak-ng failed (exit {done.returncode}): {done.stderr.strip()[-300:]}")
    lines = done.stdout.splitlines()
    if len(lines) == len(texts):
        return lines
    if len(texts) == 1:  # too long for one clause
        return [" ".join(lines)]
    half = len(texts) // 2
    return _lines(texts[:half], voice, timeout_s) + _lines(texts[half:], voice, timeout_s)
