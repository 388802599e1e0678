"""How much of a WER is writing rather than hearing: raw and normalised side by side, and each step's part in between.

`steps` runs the profile's normalisation one step after another and counts errors after each; a step's figure depends on
those before it, and one that splits words (a hyphen) can add errors. `left` sorts the errors that normalising leaves,
by runs of errors between two hits:

- `spelling variants`: the same letters once the profile's variants are folded (`tr` and `ar`, see asrdemo.text);
- `word boundaries`: the same letters once spaces, apostrophes and hyphens are left out (`ice cream`, `icecream`);
- `numbers`: a digit on one side only (`4`, `four`), as numbers are not spelt out;
- `recognition`: all others. A run that holds a misheard word beside one of the others counts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from asrdemo import text
from evals.align import align_words
from evals.score import Rows, texts

if TYPE_CHECKING:
    import pandas as pd

LEFT = ("spelling variants", "word boundaries", "numbers", "recognition")
_RUN = re.compile("[SDI]+")
_DIGIT = re.compile(r"\d")
_JOINTS = str.maketrans("", "", " '-\u00b7")
EXAMPLES = 5


@dataclass(frozen=True)
class Formatting:
    """raw_words, raw_errors, words, errors: pooled, before and after normalising.

    steps: a row for `as written` and for each step, in order: step, words, errors, wer, removed (errors fewer than
    before), share (of the raw errors). left: a row for each of LEFT: kind, errors, share (of the errors left),
    examples (rows, up to 5). Rates and shares are fractions, NaN where they would be a part of nothing.
    """

    raw_words: int
    raw_errors: int
    words: int
    errors: int
    steps: pd.DataFrame
    left: pd.DataFrame

    @property
    def raw_wer(self) -> float:
        """WER of the texts as written, NaN without words."""
        return _part(self.raw_errors, self.raw_words)

    @property
    def wer(self) -> float:
        """WER of the normalised texts, NaN without words."""
        return _part(self.errors, self.words)

    @property
    def share(self) -> float:
        """The share of the raw errors that normalising removes: formatting, not recognition. Can be negative."""
        return _part(self.raw_errors - self.errors, self.raw_errors)


def formatting(rows: Rows, profile: str) -> Formatting:
    """From scored rows (columns reference_raw, hypothesis_raw, reference, hypothesis, ops).

    profile: that of the rows. Raises ConfigError for an unknown one.
    """
    steps = _steps(texts(rows, "reference_raw"), texts(rows, "hypothesis_raw"), profile)
    runs = list(_runs(texts(rows, "reference"), texts(rows, "hypothesis"), texts(rows, "ops")))
    left = _left(runs, text.folded(profile))
    words, errors = ([int(n) for n in steps[name]] for name in ("words", "errors"))
    return Formatting(words[0], errors[0], words[-1], errors[-1], steps, left)


def _steps(references: list[str], hypotheses: list[str], profile: str) -> pd.DataFrame:
    """Errors after each step. Clips that are right once are right from then on, and are not looked at again."""
    import pandas as pd

    names = text.steps_of(profile)
    words, errors, rows = 0, 0, []
    open_rows = np.arange(len(references))
    for done in range(len(names) + 1):
        sides = [text.normalise_all(side, profile, names[:done]) for side in (references, hypotheses)]
        found = align_words([sides[0][i] for i in open_rows], [sides[1][i] for i in open_rows])
        before, errors = errors, int(found.errors.sum())
        words = sum(len(t.split()) for t in sides[0])
        rows.append(
            {
                "step": names[done - 1] if done else "as written",
                "words": words,
                "errors": errors,
                "wer": _part(errors, words),
                "removed": before - errors if done else 0,
            }
        )
        open_rows = open_rows[found.errors > 0]
    table = pd.DataFrame(rows)
    table["share"] = [_part(removed, int(table["errors"][0])) for removed in table["removed"]]
    return table


class _Run(NamedTuple):
    """Errors between two hits: how many, in which row, and the words on both sides."""

    row: int
    errors: int
    said: str
    heard: str


def _runs(references: list[str], hypotheses: list[str], ops: list[str]) -> Iterator[_Run]:
    for row, (reference, hypothesis, steps) in enumerate(zip(references, hypotheses, ops, strict=True)):
        if not steps.strip("="):
            continue
        said, heard = reference.split(), hypothesis.split()
        for run in _RUN.finditer(steps):
            a = run.start() - steps.count("I", 0, run.start())
            b = run.start() - steps.count("D", 0, run.start())
            errors = len(run[0])
            c, d = a + errors - run[0].count("I"), b + errors - run[0].count("D")
            yield _Run(row, errors, " ".join(said[a:c]), " ".join(heard[b:d]))


def _left(runs: list[_Run], folding: str | None) -> pd.DataFrame:
    """Errors by kind. folding: the profile that folds spelling variants, if there is one."""
    import pandas as pd

    said, heard = [run.said for run in runs], [run.heard for run in runs]
    if folding:
        said, heard = text.normalise_all(said, folding), text.normalise_all(heard, folding)
    errors = dict.fromkeys(LEFT, 0)
    examples: dict[str, dict[int, None]] = {kind: {} for kind in LEFT}
    for run, *folded in zip(runs, said, heard, strict=True):
        kind = _kind(run, *folded)
        errors[kind] += run.errors
        if len(examples[kind]) < EXAMPLES:
            examples[kind][run.row] = None
    total = sum(errors.values())
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "errors": errors[kind],
                "share": _part(errors[kind], total),
                "examples": list(examples[kind]),
            }
            for kind in LEFT
        ]
    )


def _kind(run: _Run, said: str, heard: str) -> str:
    """Which of LEFT a run is. said, heard: its words with spelling variants folded."""
    if said == heard:
        return "spelling variants"
    if said.translate(_JOINTS) == heard.translate(_JOINTS):
        return "word boundaries"
    if bool(_DIGIT.search(run.said)) != bool(_DIGIT.search(run.heard)):
        return "numbers"
    return "recognition"


def _part(some: int, whole: int) -> float:
    return some / whole if whole else float("nan")
