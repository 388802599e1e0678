"""Rates, gaps and slices in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBERS = {
    "seconds": "clips",
    "snr": "SNR",
    "speaking_rate": "spoken at",
    "loudness": "loudness",
    "bandwidth": "bandwidth",
}


_VALUES = {"female_feminine": "female / feminine", "male_masculine": "male / masculine", "fourties": "forties",
           "do_not_wish_to_say": "does not wish to say"}  # fmt: skip
_VALUE = re.compile("|".join(_VALUES))


def plain(value: str) -> str:
    """A value of the corpus, or several with something between them, in plain spelling."""
    return _VALUE.sub(lambda found: _VALUES[found[0]], value)


def percent(rate: float) -> str:
    """A fraction, such as "63 %"; with a decimal below 10 %."""
    return f"{100 * rate:.{0 if abs(rate) >= 0.0995 else 1}f} %"


def between(low: float, high: float) -> str:
    """An interval, such as "95 % interval 8.3 % to 12 %"; nan ends are said to be missing."""
    if low != low or high != high:
        return "too few speakers for an interval"
    return f"95 % interval {percent(low)} to {percent(high)}"


def points(low: float, high: float, middle: float) -> str:
    """A difference of two rates with its interval, such as "+15 points, 8 to 22"."""
    digits = 0 if abs(middle) >= 0.0995 else 1
    return f"{100 * middle:+.{digits}f} points, {100 * low:.{digits}f} to {100 * high:.{digits}f}"


def phrase(columns: Sequence[str], labels: Sequence[str]) -> str:
    """A slice, such as "Scottish English, clips of 6 s or more"."""
    words = []
    for column, label in zip(columns, labels, strict=True):
        if column == "seconds":
            words.append(f"clips {'' if label.startswith('under') else 'of '}{label}")
        elif column in _NUMBERS:
            words.append(f"{_NUMBERS[column]} {label}")
        else:
            words.append(label if column == "accents" else f"{column} {label}")
    return ", ".join(words)


def count(number: float, one: str) -> str:
    """Such as "1 speaker" and "1,200 speakers"."""
    return f"{int(number):,} {one}{'' if int(number) == 1 else 's'}"
