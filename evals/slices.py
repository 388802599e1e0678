"""Tables of slices: pooled WER with its speaker-block interval, support, CER, and the slice against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evals import bootstrap
from evals.filters import query
from evals.groups import USUAL, Grouping, everything, grouping
from evals.multiplicity import benjamini_hochberg, holm
from evals.scored import Scored
from evals.sums import Resampled, Sums, Support

if TYPE_CHECKING:
    import pandas as pd

USUAL_SUPPORT = Support()
WHOLE = Support(0, 1)  # of a whole corpus, which has a WER however small it is
NO_ERROR = 3.689  # upper end of a 95 % interval for a Poisson mean of which 0 was seen


def slice_table(
    scored: Scored,
    by: Sequence[str] = USUAL,
    mask: np.ndarray | None = None,
    *,
    support: Support = USUAL_SUPPORT,
    replicates: int = bootstrap.REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """A row for each slice of each grouping and each run; first those of all clips, with by "".

    by: see evals.groups. mask: which clips, see evals.filters. Columns:

    by, slice, run; clips, speakers, words, hours: support. status: "ok", or "insufficient" with the reason and
    nothing else; a whole corpus is never insufficient. where: the filter that picks the slice, see evals.filters;
    missing where none does.
    wer, low, high: pooled, a fraction, with its interval, nan for fewer than three effective speaker blocks; without
    any error the high end is Poisson's. effective:
    number of speaker blocks, were they all alike. cer; substitutions, deletions, insertions: shares of the word errors,
    nan without any.
    rest: WER of the other clips of the mask, nan where they lack support. difference, difference_low, difference_high:
    slice less rest, from the same draws. p: of no difference; p_holm, p_bh: corrected over all rows.
    """
    sums = Sums(scored, mask, replicates, seed)
    whole = sums.everything()
    tables = []
    for group in groupings(scored, by):
        found = sums.slices(group, support if group.by or mask is not None else WHOLE)
        tables.append(_rows(scored, group, found, whole, support))
    columns: dict[str, Any] = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    columns["p_holm"], columns["p_bh"] = holm(columns["p"]), benjamini_hochberg(columns["p"])
    return frame(columns)


def groupings(scored: Scored, by: Sequence[str]) -> list[Grouping]:
    """All clips, then the groupings asked for."""
    return [everything(scored), *(grouping(scored, each) for each in by)]


def frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Columns with those of `support_columns` -> a table. A missing filter stays None; pandas would make it nan."""
    import pandas as pd

    return pd.DataFrame({**columns, "where": pd.Series(columns["where"], dtype=object)})


def support_columns(group: Grouping, found: Resampled) -> dict[str, np.ndarray]:
    """What every table says of the slices that have a clip, (slices with a clip,) each."""
    shown = np.flatnonzero(found.clips)
    return {
        "by": np.array([group.by] * len(shown), dtype=object),
        "slice": np.array([", ".join(group.labels[i]) for i in shown], dtype=object),
        "clips": found.clips[shown],
        "speakers": found.speakers[shown],
        "words": found.words[shown],
        "hours": found.seconds[shown] / 3600,
        "status": np.where(found.lacking[shown] == "", "ok", "insufficient").astype(object),
        "reason": found.lacking[shown],
        "where": np.array([_where(group, i) for i in shown], dtype=object),
    }


def _where(group: Grouping, slice_: int) -> str | None:
    conditions = group.conditions[slice_]
    return query(conditions) if conditions or not group.columns else None


def spread(values: np.ndarray, found: Resampled) -> np.ndarray:
    """(..., k) of the slices that have enough -> (..., slices with a clip), nan for the others."""
    out = np.full((*values.shape[:-1], len(found.clips)), np.nan)
    out[..., found.enough] = values
    return out[..., found.clips > 0]


def _rows(
    scored: Scored, group: Grouping, found: Resampled, whole: Resampled, support: Support
) -> dict[str, np.ndarray]:
    """Columns of the table, slice by slice and run by run."""
    runs, k = len(scored.runs), len(found.enough)
    known = support_columns(group, found)
    columns = {name: np.repeat(known[name], runs) for name in ("by", "slice")}
    columns["run"] = np.tile(np.array(scored.runs, dtype=object), len(known["slice"]))
    columns |= {name: np.repeat(values, runs) for name, values in known.items()}
    for name, values in (_measured(found) | _against_rest(found, whole, support)).items():
        columns[name] = spread(np.broadcast_to(values, (runs, k)), found).T.ravel()
    return columns


def _measured(found: Resampled) -> dict[str, np.ndarray]:
    """Each (runs, k) or (k,)."""
    errors = found.errors
    wer = bootstrap.ratio(errors, found.reference)
    low, high = bootstrap.rate_ends(wer, bootstrap.ratio(found.drawn_errors, found.drawn_words), found.effective)
    none = (errors == 0) & ~np.isnan(high)
    high = np.where(none, bootstrap.ratio(np.array(NO_ERROR), found.reference), high)
    return {
        "wer": wer,
        "low": low,
        "high": high,
        "effective": found.effective,
        "cer": bootstrap.ratio(found.char_errors, found.characters),
        "substitutions": bootstrap.ratio(found.substitutions, errors),
        "deletions": bootstrap.ratio(found.deletions, errors),
        "insertions": bootstrap.ratio(found.insertions, errors),
    }


def _against_rest(found: Resampled, whole: Resampled, support: Support) -> dict[str, np.ndarray]:
    """The slice less the other clips; the same draws serve both."""
    words, errors = whole.reference - found.reference, whole.errors - found.errors
    enough = (words >= support.words) & (found.rest_blocks >= support.speakers)
    rest = np.where(enough, bootstrap.ratio(errors, words), np.nan)
    difference = bootstrap.ratio(found.errors, found.reference) - rest
    drawn_rest = bootstrap.ratio(whole.drawn_errors - found.drawn_errors, whole.drawn_words - found.drawn_words)
    drawn = bootstrap.ratio(found.drawn_errors, found.drawn_words) - drawn_rest
    effective = np.minimum(found.effective, found.rest_effective)
    low, high = interval(drawn, effective)
    return {
        "rest": rest,
        "difference": difference,
        "difference_low": np.where(enough, low, np.nan),
        "difference_high": np.where(enough, high, np.nan),
        "p": p_values(difference, drawn, effective),
    }


def interval(drawn: np.ndarray, effective: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bootstrap.percentile_interval of (runs, k, replicates): (runs, k) each."""
    runs, k, replicates = drawn.shape
    low, high = bootstrap.percentile_interval(drawn.reshape(runs * k, replicates), np.tile(effective, runs))
    return low.reshape(runs, k), high.reshape(runs, k)


def p_values(estimates: np.ndarray, drawn: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """bootstrap.p_values of (runs, k, replicates): (runs, k)."""
    runs, k, replicates = drawn.shape
    p = bootstrap.p_values(estimates.ravel(), drawn.reshape(runs * k, replicates), np.tile(effective, runs))
    return p.reshape(runs, k)
