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

from asrdemo.errors import NotFoundError, ToolError
from evals.align import Alignments, align
from evals.score import Counts

TIMEOUT_S = 600
_ONE_CLAUSE = str(2**30)  # a line shorter than this ends a clause: one line in, one line out
_NO_PHONEME = re.compile("\\([a-z-]+\\)|[\u02c8\u02cc]")  # `(fr)`: a word read as French; stress marks
_BETWEEN = re.compile("[_ ]+")
_MARKUP = str.maketrans("[]\n\r", "    ")  # [[...]] would be read as phonemes


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
