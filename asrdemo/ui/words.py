"""What the Error analysis page calls things: columns, values, results, numbers; and its small signs."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from evals.filters import Condition
from evals.groups import UNITS
from evals.wording import count
from evals.wording import plain as value  # noqa: F401 - with the other names, for who shows values

COLUMNS = {
    "accents": "accent",
    "gender": "gender",
    "age": "age",
    "seconds": "clip length",
    "speaking_rate": "speaking rate",
    "snr": "background noise (SNR)",
    "sentence_domain": "sentence domain",
    "variant": "variant",
    "segment": "segment",
    "words": "words in the sentence",
    "loudness": "loudness",
    "bandwidth": "bandwidth",
    "up_votes": "votes for",
    "down_votes": "votes against",
    "client_id": "speaker",
    "reference": "what was said",
    "hypothesis": "what was heard",
    "locale": "language",
    "confidence": "confidence",
}
TIPS = {
    "wer": "Word error rate: wrong, missing and additional words for each 100 words that were said. Lower is better.",
    "cer": "Character error rate: the same, counted in letters. A word that is nearly right counts for little.",
    "interval": "With other speakers of the same kind the figure would differ. In 95 of 100 such cases this range "
    "holds the true one.",
    "raw": "Counting capitals and punctuation as errors too. What this adds is formatting, not hearing.",
    "rtfx": "Speed: how many seconds of audio are transcribed in one second, on the machine that ran the evaluation.",
    "snr": "Signal-to-noise ratio: how far the voice stands above the background, in decibels. Lower is noisier.",
    "speaking_rate": "Letters spoken in a second.",
    "support": "A figure is shown only for at least 10 speakers and 100 words; fewer would mostly show chance.",
    "raw_gap": "How many times the error rate of the group it is compared to, as it is.",
    "adjusted": "The same, comparing like with like: what is held alike stands above the table.",
    "confidence": "How sure the model itself is of what it heard, from 0 to 1.",
    "bandwidth": "The highest frequency that the recording holds; a telephone has 4000 Hz.",
}
_OPS = {"min": "at least", "max": "at most", "below": "under", "has": "contains"}


def column(name: str) -> str:
    """Its name for people."""
    bare, _, run = name.partition("@")
    return COLUMNS.get(bare, bare.replace("_", " ")) + (f" by {run}" if run else "")


def columns(by: str) -> str:
    """The name of a grouping, such as "accent and clip length"."""
    return " and ".join(column(each.split(":")[0]) for each in by.split("*"))


def condition(each: Condition) -> str:
    """A filter in words, such as "accent: Scottish English" or "clip length at least 2 s"."""
    if each.op in ("correct", "wrong"):
        return f"{'all words right' if each.op == 'correct' else 'with errors'} in {each.value}"
    name = column(each.column)
    if each.column == "client_id":
        return f"one speaker ({str(each.value)[:12]}…)"
    if each.op in ("is", "not", "also"):
        return f"{name}{'' if each.op == 'is' else f' {each.op}'}: {each.said}"
    if each.op == "unknown":
        return f"{name} not measured"
    if each.op == "has":
        return f"{name} contains “{each.value}”"
    return f"{name} {_OPS[each.op]} {float(each.value):g} {UNITS.get(each.column, '')}".rstrip()


def percent(rate: float, digits: int = 1) -> str:
    """A fraction, such as "9.8 %"; a dash for nan."""
    return "–" if math.isnan(rate) else f"{100 * rate:.{digits}f}\u00a0%"


def hours(number: float) -> str:
    """A length of audio."""
    if number >= 1:
        return f"{number:,.1f} hours"
    return count(round(60 * number), "minute") if number >= 1 / 60 else count(round(3600 * number), "second")


def tip(name: str) -> str:
    """A question mark that explains a word: on hover, and on focus for keyboards and fingers."""
    return (
        f'<span class="tip" tabindex="0" role="note" aria-label="{escape(TIPS[name])}" '
        f'data-tip="{escape(TIPS[name])}">?</span>'
    )


def told(pins: dict[str, Any]) -> str:
    """What a result is, such as "demo-en, beam with demo-lm, on demo-corpus test"; leaves out what is not known."""
    decoder, corpus = pins.get("decoder", {}), pins["corpus"]
    how = " with ".join(filter(None, (decoder.get("kind"), decoder.get("lm"))))
    heard = ", ".join(filter(None, (pins.get("checkpoint", {}).get("id"), how)))
    return f"{heard}, on {corpus['name']} {corpus['split']}".removeprefix(", ")
