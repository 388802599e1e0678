"""Everyday English sentences of our own, for the demo corpus and for open-vocabulary training text.

The text is data, in ``demo/text``: templates, the words of their slots, sentences written by hand,
and frames around single words.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

TEXT = Path(__file__).resolve().parent / "text"
SLOT = re.compile(r"\{(\w+)\}")


def _lines(name: str) -> tuple[str, ...]:
    lines = (TEXT / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def _slots() -> dict[str, tuple[str, ...]]:
    pairs = (line.split(": ", 1) for line in _lines("words.txt"))
    return {name: tuple(fillers.split(" / ")) for name, fillers in pairs}


SLOTS = _slots()
TEMPLATES = _lines("templates.txt")
WRITTEN = _lines("written.txt")
FRAMES = _lines("frames.txt")


def everyday(random: np.random.Generator, template: str = "") -> str:
    """One sentence with a capital and a final mark, from any template unless one is given; no filler is used twice."""
    template = template or TEMPLATES[random.integers(len(TEMPLATES))]
    used: list[str] = []

    def fill(match: re.Match) -> str:
        choices = [word for word in SLOTS[match.group(1)] if word not in used]
        used.append(choices[random.integers(len(choices))])
        return used[-1]

    text = template
    while SLOT.search(text):  # a filler may itself hold a slot
        text = SLOT.sub(fill, text)
    text = re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|use|one)", r"\1n ", text)
    return text[0].upper() + text[1:]


class General:
    """Open-vocabulary training text: everyday sentences, recombined `sentences`, and frames around words of a list.

    sentences: read at run time (speechocean762); words: a word list, may be empty. Never returns a `reserved` sentence.
    """

    def __init__(self, sentences: list[str], words: list[str]):
        self.sentences = sentences
        self.words = [word for word in words if word.isascii() and word.islower() and 2 <= len(word) <= 11]
        self.followers: dict[str, list[str]] = {}
        for sentence in sentences:
            tokens = ["^", *plain(sentence).split(), "$"]
            for left, right in zip(tokens, tokens[1:], strict=False):
                self.followers.setdefault(left, []).append(right)

    def draw(self, random: np.random.Generator) -> str:
        """One sentence."""
        while True:
            kind = random.choice(["everyday", "read", "chain", "frame"], p=[0.42, 0.18, 0.18, 0.22])
            if kind == "read" and self.sentences:
                text = self.sentences[random.integers(len(self.sentences))]
            elif kind == "chain" and self.sentences:
                text = self._chain(random)
            elif kind == "frame" and self.words:
                frame = FRAMES[random.integers(len(FRAMES))]
                text = re.sub(r"\{w\}", lambda _: self.words[random.integers(len(self.words))], frame)
            else:
                text = everyday(random)
            if text and not reserved(text):
                return text[0].upper() + text[1:]

    def _chain(self, random: np.random.Generator) -> str:
        word, out = "^", []
        while len(out) < 14:
            choices = self.followers[word]
            word = choices[random.integers(len(choices))]
            if word == "$":
                break
            out.append(word)
        return " ".join(out) + "." if len(out) > 2 else ""


def reserved(text: str) -> bool:
    """True for the sentences that only the demo corpus's dev and test splits may hold: a tenth of all, by digest."""
    return int(hashlib.sha256(plain(text).encode()).hexdigest()[:8], 16) % 10 == 0


def plain(text: str) -> str:
    """Lower case, letters and apostrophes only: two sentences that sound the same compare equal."""
    return " ".join(re.sub(r"[^a-z' ]+", " ", text.lower().replace("-", " ")).split())
