"""Results -> everything that is reported of them, as tables: made once, shown as HTML, Markdown, CSV or on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asrdemo.errors import NotFoundError, ResultError, ToolError
from asrdemo.types import Progress
from evals import adjusted, churn, confusions, filters, formatting, phonemes, significance, slices, walks, worst
from evals.groups import USUAL
from evals.results import Result
from evals.scored import Scored, load

if TYPE_CHECKING:
    import pandas as pd

    from evals.adjusted import Adjusted
    from evals.formatting import Formatting
    from evals.phonemes import Phonemes
    from evals.worst import Worst

TOP = 15  # rows of the shorter tables
WORST_CLIPS = 25
ADJUSTED = ("accents", "gender", "age")
MOST_PHONEMISED = 20_000  # clips; espeak-ng takes about a millisecond a text
_TEXTS = ("reference_raw", "hypothesis_raw", "reference", "hypothesis", "ops")
_CLIP = ("clip", "reference", "hypothesis", "ops", "client_id", "accents", "gender", "age", "seconds")


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in the clips of a filter. Tables have the columns their modules document.

    query, chosen: the filter as a URL's query and in words. slices: evals.slices.slice_table of all runs; its rows with
    by "" are the headline; as_written: WER of each run's texts as they were written and decoded, nan where the rows do
    not say. phonemes: of each run, or none, and then no_phonemes says why. worst, adjusted, confused, accuracy,
    formatting, clips are of the first run. comparison and churn: of every further run against the first; None for a
    single result. seed: of every draw.
    """

    scored: Scored
    by: tuple[str, ...]
    query: str
    chosen: str
    slices: pd.DataFrame
    as_written: tuple[float, ...]
    phonemes: tuple[Phonemes, ...]
    no_phonemes: str
    worst: Worst
    adjusted: tuple[Adjusted, ...]
    comparison: pd.DataFrame | None
    churn: pd.DataFrame | None
    confused: pd.DataFrame
    deleted: pd.DataFrame
    inserted: pd.DataFrame
    accuracy: pd.DataFrame
    formatting: Formatting
    clips: pd.DataFrame
    seed: int

    @property
    def headline(self) -> pd.DataFrame:
        """A row a run: rates and support of all clips chosen."""
        return self.slices[self.slices["by"] == ""]

    def tables(self) -> dict[str, pd.DataFrame]:
        """What can be exported, by file name."""
        import pandas as pd

        found = {"slices": self.slices, "substitutions": self.confused, "deletions": self.deleted}
        found |= {"insertions": self.inserted, "words": self.accuracy, "worst_clips": self.clips}
        if self.adjusted:
            found["adjusted"] = pd.concat([a.table.assign(column=a.column, to=a.reference) for a in self.adjusted])
        if self.phonemes:
            found["phonemes"] = self.phonemes[0].confused
        for name, table in (("comparison", self.comparison), ("churn", self.churn)):
            if table is not None:
                found[name] = table
        return found


def gather(
    results: Sequence[Path | str],
    by: Sequence[str] = USUAL,
    query: str = "",
    *,
    references: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Findings:
    """Everything about these results, the first of which is the one looked at closely and the base of comparisons.

    by: groupings of the tables of slices, see evals.groups; the search for the worst ones is over the usual columns,
    whatever is asked for here. query: filter, see evals.filters. references: by column, the value with which adjusted
    gaps compare the others, see evals.adjusted. Raises what evals.scored.load raises, ConfigError
    for a filter or grouping that is none, ResultError where the filter leaves no clip.
    """
    tell = progress or (lambda done, total, note: None)
    scored = load(results)
    conditions = filters.parse(query)
    mask = filters.chosen(scored, conditions)
    inside = np.ones(len(scored), bool) if mask is None else mask
    scored = replace(scored, runs=labels(scored.results))
    steps = 5
    tell(0, steps, "slices")
    table = slices.slice_table(scored, by, mask, seed=seed)
    tell(1, steps, "worst slices")
    answers = worst.worst(scored, 0, mask, seed=seed)
    tell(2, steps, "adjusted gaps")
    yardsticks = dict.fromkeys(ADJUSTED) | dict(references or {})
    survives = [found for pair in yardsticks.items() if (found := _adjusted(scored, *pair, mask))]
    tell(3, steps, "errors")
    sounds, no_phonemes = _phonemes(scored, mask, seed)
    rows = pa.table({name: scored.column(name).filter(pa.array(inside)) for name in _TEXTS})
    walked = walks.steps(scored, 0) if mask is None else walks.steps(scored, 0).where(mask)
    tell(4, steps, "comparison")
    several = len(scored.runs) > 1
    profile = scored.results[0].info["pins"]["normaliser"]["profile"]
    findings = Findings(
        scored=scored,
        by=tuple(by),
        query=query,
        chosen=filters.describe(conditions),
        slices=table,
        as_written=tuple(_as_written(scored, run, inside) for run in range(len(scored.runs))),
        phonemes=sounds,
        no_phonemes=no_phonemes,
        worst=answers,
        adjusted=tuple(survives),
        comparison=significance.comparison_table(scored, by, mask, seed=seed) if several else None,
        churn=churn.churn_table(scored, by, mask) if several else None,
        confused=confusions.substitutions(walked, TOP, 0),
        deleted=confusions.deletions(walked, TOP, 0),
        inserted=confusions.insertions(walked, TOP, 0),
        accuracy=confusions.accuracy(walked),
        formatting=formatting.formatting(rows, profile),
        clips=worst_clips(scored, inside),
        seed=seed,
    )
    tell(steps, steps, "done")
    return findings


def labels(results: Sequence[Result]) -> tuple[str, ...]:
    """What to call each result: what tells it apart from the others, its whole name where nothing short does, or where
    one was made by hand and does not say what heard it."""
    pins = [result.info["pins"] for result in results]
    names = [result.name for result in results]
    if not all("kind" in p.get("decoder", {}) and "id" in p.get("checkpoint", {}) for p in pins):
        return tuple(names)
    decoders = [" with ".join(filter(None, (p["decoder"]["kind"], p["decoder"].get("lm")))) for p in pins]
    checkpoints = [p["checkpoint"]["id"] for p in pins]
    both = [f"{c}, {d}" for c, d in zip(checkpoints, decoders, strict=True)]
    return tuple(next(each for each in (checkpoints, decoders, both, names) if len(set(each)) == len(each)))


def _adjusted(scored: Scored, column: str, reference: str | None, mask: np.ndarray | None) -> Adjusted | None:
    """None where too few values have support for a gap."""
    try:
        return adjusted.adjusted(scored, column, 0, mask, reference=reference)
    except ResultError:
        return None


def _as_written(scored: Scored, run: int, mask: np.ndarray) -> float:
    """WER of the raw texts, over the clips of the mask."""
    errors, words = (pc.sum(scored.column(f"raw_{n}", run).filter(pa.array(mask))).as_py() for n in ("errors", "words"))
    return errors / words if words else float("nan")


def _phonemes(scored: Scored, mask: np.ndarray | None, seed: int) -> tuple[tuple[Phonemes, ...], str]:
    """Of each run; or none, and why."""
    if (len(scored) if mask is None else mask.sum()) > MOST_PHONEMISED:
        return (), f"PER is left out for more than {MOST_PHONEMISED:,} clips; `python -m evals phonemes` gives it."
    try:
        runs = range(len(scored.runs))
        return tuple(phonemes.phoneme_errors(scored, run, mask, seed=seed) for run in runs), ""
    except (NotFoundError, ResultError, ToolError) as error:
        return (), f"PER is left out: {error}"


def worst_clips(scored: Scored, mask: np.ndarray, most: int = WORST_CLIPS, run: int = 0) -> pd.DataFrame:
    """The clips with the most word errors, then with the highest rate; clips without any are left out.

    Columns: clip, wer, errors, words, reference, hypothesis, ops, client_id, accents, gender, age, seconds.
    """
    import pandas as pd

    errors, words = scored.errors[run], scored.words
    wrong = np.flatnonzero(mask & (errors > 0))
    order = np.lexsort((wrong, -errors[wrong] / np.maximum(words[wrong], 1), -errors[wrong].astype(int)))
    chosen = wrong[order[:most]]
    table = pd.DataFrame({name: scored.column(name, run).take(pa.array(chosen)).to_pylist() for name in _CLIP})
    table.insert(1, "words", words[chosen])
    table.insert(1, "errors", errors[chosen])
    table.insert(1, "wer", errors[chosen] / np.maximum(words[chosen], 1))
    return table
