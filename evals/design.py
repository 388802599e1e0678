"""What evals.adjusted regresses on: the values of a column, and the covariates, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asrdemo.errors import NotFoundError, ResultError
from evals import mixed
from evals.groups import UNKNOWN
from evals.scored import Scored, is_text, parts
from evals.sums import Support
from evals.wording import plain

MIN_ERRORS = 10
SEVERAL = "several values"
_LOGARITHMIC = ("seconds", "speaking_rate", "words")  # half and double are as far from the middle
_FAR = 3.0  # standard deviations beyond which a number counts as this far out


@dataclass(frozen=True, eq=False)
class Levels:
    """Values of a column that have support: the reference, if there is one, first, then by words; None, the last, for
    all values without support.

    code: of each clip; of_speaker: of each speaker's first clip. clips, speakers, words, errors: of each value.
    against: the reference, None where each value is compared to the others. lacking: what each value without support
    lacks.
    """

    column: str
    against: str | None
    values: tuple[str | None, ...]
    code: np.ndarray
    of_speaker: np.ndarray
    clips: np.ndarray
    speakers: np.ndarray
    words: np.ndarray
    errors: np.ndarray
    lacking: Mapping[str, str]

    def shown(self, value: str | None) -> str:
        """A value for the reader."""
        return plain(value or "") or UNKNOWN.get(self.column, f"{self.column} not stated")

    def name(self, level: int) -> str:
        """The same by number."""
        return self.shown(self.values[level])

    @property
    def reported(self) -> np.ndarray:
        """The values that are compared to something, as numbers."""
        return np.array([i for i, v in enumerate(self.values) if v is not None and v != self.against], int)

    def contrasts(self) -> np.ndarray:
        """Of each reported value, what its gap is in the values' logarithms: float64 (reported, values).

        Its own less that of the reference, or less the others' mean, weighted by their words.
        """
        weights = np.tile(self.words.astype(np.float64), (len(self.reported), 1))
        if self.against is not None:
            weights[:] = np.arange(len(self.values)) == 0
        own = self.reported[:, None] == np.arange(len(self.values))
        weights[own] = 0
        return own - weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of a regression, speaker after speaker. at: which of `scored`; speaker: 0 to S - 1; starts: (S,)."""

    scored: Scored
    column: str
    at: np.ndarray
    errors: np.ndarray
    words: np.ndarray
    speaker: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, scored: Scored, column: str, run: int, at: np.ndarray) -> Clips:
        """Raises ResultError for no clips."""
        if not len(at):
            raise ResultError("No clip is left to compare: the filter leaves out all that have words.")
        speaker = np.unique(scored.speaker[at], return_inverse=True)[1]
        starts = np.flatnonzero(np.diff(speaker, prepend=-1))
        errors, words = (values[at].astype(np.float64) for values in (scored.errors[run], scored.words))
        return cls(scored, column, at, errors, words, speaker, starts)

    def levels(self, support: Support, reference: str | None) -> Levels:
        """Raises ResultError where fewer than two values have support, NotFoundError for an unknown reference."""
        category = self.scored.category(self.column)
        names = [value if len(parts(self.column, value)) == 1 else SEVERAL for value in category.values]
        values = sorted(set(names))
        code = np.array([values.index(name) for name in names])[category.codes[self.at]]
        clips, speakers, words, errors = self._counts(code, len(values))
        lacking = {}
        for i, value in enumerate(values):
            lacks = support.lacking(int(speakers[i]), int(words[i]))
            if errors[i] < MIN_ERRORS:
                lacks += f"{', ' if lacks else ''}{errors[i]} of {MIN_ERRORS} errors"
            if lacks and clips[i]:
                lacking[value] = lacks
        fit = [int(i) for i in np.argsort(-words, kind="stable") if clips[i] and values[i] not in lacking]
        if len(fit) < 2:
            raise ResultError(
                f"Fewer than two values of {self.column} have {support.speakers} speakers, {support.words} words and "
                f"{MIN_ERRORS} errors among these clips; there is no gap to measure."
            )
        first = 0 if reference is None else self._reference([values[i] for i in fit], reference)
        order = [fit[first], *fit[:first], *fit[first + 1 :]]
        new = np.full(len(values), len(order))
        new[order] = np.arange(len(order))
        shown = (*(values[i] for i in order), *([None] if lacking else []))
        of_speaker = new[code][self.starts]
        return Levels(
            self.column, reference, shown, new[code], of_speaker, *self._counts(new[code], len(shown)), lacking
        )

    def fit(self, levels: Levels, covariates: Sequence[str]) -> mixed.Fit:
        """The regression; coefficients 1 to len(levels.values) - 1 are those of the values but the first."""
        known = [self._covariate(name) for name in covariates]

        def design(low: int, high: int) -> np.ndarray:
            flags = levels.code[low:high, None] == np.arange(len(levels.values))
            flags[:, 0] = True
            return np.concatenate([flags, *(each[low:high] for each in known)], axis=1, dtype=np.float64)

        return mixed.fit(mixed.Counts(self.errors, self.words, self.starts, levels.of_speaker, design))

    def vary(self, name: str) -> bool:
        """Whether a covariate says anything of these clips: some number is known, and not all are alike."""
        return self._covariate(name).shape[1] > 0

    def _counts(self, code: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Clips, speakers, words and errors of each value."""
        speakers = np.bincount(np.unique(self.speaker * size + code) % size, minlength=size)
        words, errors = (np.bincount(code, each, size).astype(np.int64) for each in (self.words, self.errors))
        return np.bincount(code, minlength=size), speakers, words, errors

    def _reference(self, values: Sequence[str], reference: str) -> int:
        if reference in values:
            return values.index(reference)
        there = ", ".join(value or "(blank)" for value in values)
        raise NotFoundError(f"{self.column} has no value {reference!r} with enough clips here; there are: {there}.")

    def _covariate(self, name: str) -> np.ndarray:
        """Columns, float32 (clips, columns): a number and its square, or a flag for each value but the usual one."""
        if is_text(name):
            category = self.scored.category(name)
            codes = category.codes[self.at]
            counts = np.bincount(codes, minlength=len(category.values))
            flags = [v for v in np.argsort(-counts, kind="stable")[1:] if counts[v] >= MIN_ERRORS]
            return (codes[:, None] == np.array(flags, int)).astype(np.float32)
        values = self.scored.number(name)[self.at].astype(np.float64)
        if name in _LOGARITHMIC:
            values = np.log(values, where=values > 0, out=np.full(len(values), np.nan))
        unknown = np.isnan(values)
        if unknown.all() or np.nanstd(values) == 0:
            return np.zeros((len(values), 0), np.float32)
        z = np.clip((values - np.nanmean(values)) / np.nanstd(values), -_FAR, _FAR)
        columns = [np.where(unknown, 0, z), np.where(unknown, 0, z**2 - 1)]
        return np.stack([*columns, *([unknown] if unknown.any() else [])], axis=1).astype(np.float32)
