"""Does a gap survive? A column's gaps as they are, and with clip length, speaking rate and noise held alike.

Speakers of one accent may read longer clips, or talk faster into worse microphones. A regression tells what part of
their higher WER goes with that, see evals.mixed. Ratios are of expected errors a word: 1.2 is a WER a fifth higher.
They are to the other values (the mean of their logarithms, weighted by words), as slices are compared to the rest: no
value is the norm from which others depart. Or, where one is a natural yardstick, to that reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evals import mixed
from evals.bootstrap import LEVEL
from evals.design import MIN_ERRORS, Clips, Levels
from evals.groups import ALIASES
from evals.multiplicity import holm
from evals.scored import Scored
from evals.slices import USUAL_SUPPORT
from evals.sums import Support
from evals.wording import count

if TYPE_CHECKING:
    import pandas as pd

COVARIATES = ("seconds", "speaking_rate", "snr")
_MOST_OF_IT = 0.5
_NAMES = {"seconds": "clip length", "speaking_rate": "speaking rate", "snr": "SNR", "words": "number of words"}


@dataclass(frozen=True, eq=False)
class Adjusted:
    """table: a row for each value of the column (but the reference, if there is one).

    Columns: value, clips, speakers, words, wer; status: "ok", or "insufficient" with the reason; raw, raw_low,
    raw_high, raw_p, raw_holm: ratio to the others or to the reference, 95 % interval, p, and p corrected for all values
    (Holm), from the model without covariates; adjusted, adjusted_low, ...: with them; left: share of the raw gap's
    logarithm that the adjusted one has; verdict, by the corrected p, 5 %: "survives", "turns" (to the other side),
    "goes", "unclear" (not shown any more, but more than half of it is left), "appears" or "no gap"; sentence.
    column: its name. covariates: what is held alike, in words. reference: what they are compared to, in words. spread:
    variance of the speakers' factors; dispersion: of clips around their speaker's mean, over Poisson's, both with the
    covariates. note: the diagnosis in one sentence.
    """

    table: pd.DataFrame
    column: str
    covariates: str
    reference: str
    spread: float
    dispersion: float
    note: str

    @property
    def summary(self) -> str:
        """The gaps there are, in plain words, and how many values show none."""
        rows = self.table[self.table["status"] == "ok"]
        gap = rows["verdict"] != "no gap"
        none = int((~gap).sum())
        said = (
            f"No gap is shown for {'the other' if gap.any() else 'any of the'} {count(none, 'value')}." if none else ""
        )
        return " ".join([*rows["sentence"][gap], *([said] if said else [])])


def adjusted(
    scored: Scored,
    column: str = "accents",
    run: str | int = 0,
    mask: np.ndarray | None = None,
    *,
    covariates: Sequence[str] = COVARIATES,
    reference: str | None = None,
    support: Support = USUAL_SUPPORT,
) -> Adjusted:
    """Gaps of a column of texts, raw and adjusted. All clips with words in their reference are used.

    covariates: columns of texts, or of numbers, which enter with their square, lengths and rates as logarithms.
    reference: a value to compare with; by default each is compared to all others. Clips with several values are a value
    of their own; values without support, or with fewer than ten errors, are put together and not reported. A covariate
    that is not known of any clip, or the same for all, is left out; where some clips lack a number, that is one more
    covariate.
    Raises NotFoundError for a column or value that is not there, ResultError where there is nothing to compare.
    """
    use = scored.words > 0 if mask is None else mask & (scored.words > 0)
    clips = Clips.of(scored, column, scored.run(run), np.flatnonzero(use))
    levels = clips.levels(support, reference)
    if (
        levels.values[-1] is None and levels.errors[-1] < MIN_ERRORS
    ):  # its factor would be nearly 0, or have no estimate
        lacking = levels.lacking
        clips = Clips.of(scored, column, scored.run(run), clips.at[levels.code < len(levels.values) - 1])
        levels = replace(clips.levels(support, reference), lacking=lacking)
    covariates = [name for name in (ALIASES.get(each, each) for each in covariates) if clips.vary(name)]
    raw = clips.fit(levels, [])
    with_all = clips.fit(levels, covariates)
    against = "the others" if reference is None else levels.name(0)
    alike = _listed(covariates)
    table = _table(levels, raw, with_all, against, alike)
    return Adjusted(table, column, alike, against, with_all.spread, with_all.dispersion, _note(with_all, clips))


def _listed(covariates: Sequence[str]) -> str:
    *most, last = [_NAMES.get(name, name) for name in covariates] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _ratios(fit: mixed.Fit, levels: Levels) -> dict[str, np.ndarray]:
    """Ratio of each reported value, its interval and p, (reported,) each.

    Student's t with the effective number of speakers, less one, of the value or of what it is compared to, whichever
    has fewer.
    """
    from scipy import special

    size, contrasts = len(levels.values), levels.contrasts()
    sums = np.bincount(levels.of_speaker, fit.information, size)
    squares = np.bincount(levels.of_speaker, fit.information**2, size)
    own, compared = ((side @ sums) ** 2 / np.maximum(side @ squares, 1e-300) for side in (contrasts > 0, contrasts < 0))
    freedom = np.maximum(np.minimum(own, compared) - 1, 1)
    weights = contrasts[:, 1:]  # the first value's coefficient is 0
    b = weights @ fit.coefficients[1:size]
    se = np.sqrt(np.einsum("ri,ij,rj->r", weights, fit.covariance[1:size, 1:size], weights))
    reach = special.stdtrit(freedom, 0.975) * se
    p = 2 * special.stdtr(freedom, -np.abs(b) / se)
    return {"": np.exp(b), "_low": np.exp(b - reach), "_high": np.exp(b + reach), "_p": p}


def _table(levels: Levels, raw: mixed.Fit, with_all: mixed.Fit, against: str, covariates: str) -> pd.DataFrame:
    import pandas as pd

    reported = levels.reported
    columns = {
        "value": [levels.name(i) for i in reported],
        "clips": levels.clips[reported],
        "speakers": levels.speakers[reported],
        "words": levels.words[reported],
        "wer": levels.errors[reported] / levels.words[reported],
        "status": "ok",
        "reason": "",
    }
    for name, fit in (("raw", raw), ("adjusted", with_all)):
        columns |= {f"{name}{end}": values for end, values in _ratios(fit, levels).items()}
    table = pd.DataFrame(columns)
    for name in ("raw", "adjusted"):
        table[f"{name}_holm"] = holm(table[f"{name}_p"].to_numpy())
    table["left"] = np.log(table["adjusted"]) / np.log(table["raw"])
    table["verdict"] = [_verdict(row) for row in table.to_dict("records")]
    table["sentence"] = [_sentence(row, against, covariates) for row in table.to_dict("records")]
    missing = [
        {"value": levels.shown(value), "status": "insufficient", "reason": why} for value, why in levels.lacking.items()
    ]
    return pd.concat([table, pd.DataFrame(missing)], ignore_index=True) if missing else table


def _verdict(row: dict) -> str:
    raw, adjusted = (row[f"{name}_holm"] <= 1 - LEVEL for name in ("raw", "adjusted"))
    if not raw:
        return "appears" if adjusted else "no gap"
    if adjusted:
        return "survives" if row["left"] > 0 else "turns"
    return "unclear" if row["left"] > _MOST_OF_IT else "goes"


def _sentence(row: dict, reference: str, covariates: str) -> str:
    def ratio(name: str) -> str:
        return f"{row[name]:.2f} times ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"

    share = f"{100 * row['left']:.0f} % of it" if row["left"] < 0.995 else "undiminished"
    said = {
        "survives": f"the gap survives, {share}",
        "turns": "the gap turns round",
        "goes": "the gap goes",
        "unclear": f"{100 * row['left']:.0f} % of the gap is left, which may be chance",
        "appears": "a gap shows that was hidden",
        "no gap": "no gap is shown",
    }[row["verdict"]]
    alike = f"with {covariates} alike {ratio('adjusted')}: " if covariates else ""
    return f"{row['value']}: WER {ratio('raw')} that of {reference}; {alike}{said}."


def _note(fit: mixed.Fit, clips: Clips) -> str:
    """The diagnosis."""
    more = f"{fit.dispersion:.1f} times as much as" if fit.dispersion >= 1.05 else "about as much as"
    size = f"{count(len(clips.errors), 'clip')} by {count(len(clips.starts), 'speaker')}"
    return (
        f"Poisson regression of {size} with a random effect of the speaker (factors with a standard deviation of "
        f"{np.sqrt(fit.spread):.2f}); around it clips vary {more} Poisson's law says, which the intervals, robust by "
        "speaker, allow for."
    )
