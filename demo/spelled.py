"""New sentences in the manner of a census task: spelled words, numbers, dates and commands.

The shapes and the letter pairs are counted in a table that is read at run time; none of its text is kept here.
"""

from collections import Counter, defaultdict

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = _words("ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE ZERO OH")
TEENS = _words("TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN NINETEEN")
TENS = _words("TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY")
MONTHS = _words("JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER")
ORDINALS = _words(
    "FIRST SECOND THIRD FOURTH FIFTH SIXTH SEVENTH EIGHTH NINTH TENTH ELEVENTH TWELFTH THIRTEENTH FOURTEENTH FIFTEENTH "
    "SIXTEENTH SEVENTEENTH EIGHTEENTH NINETEENTH TWENTIETH THIRTIETH"
)
CLASSES = {"letter": LETTERS, "digit": DIGITS, "teen": TEENS, "tens": TENS, "month": MONTHS, "ordinal": ORDINALS}
CLASS_OF = {word: name for name, words in CLASSES.items() for word in words}


class Speller:
    """Draws sentences whose shapes follow `sentences`; `words` are further words to spell letter by letter."""

    def __init__(self, sentences: list[str], words: list[str]):
        self.shapes = [sentence.upper().split() for sentence in sentences]
        self.single = sorted({shape[0] for shape in self.shapes if len(shape) == 1 and shape[0] not in CLASS_OF})
        self.commands = sorted(Counter(shape[0] for shape in self.shapes if shape[0] not in CLASS_OF))
        self.words = [word.upper() for word in words if word.isascii() and word.isalpha() and 3 <= len(word) <= 9]
        self.pairs: dict[str, Counter] = defaultdict(Counter)
        for shape in self.shapes:
            letters = ["^", *(word for word in shape if CLASS_OF.get(word) == "letter"), "$"]
            for left, right in zip(letters, letters[1:], strict=False):
                self.pairs[left][right] += 1

    def draw(self, random: np.random.Generator) -> str:
        """One sentence in capitals, at least one word, at most 14."""
        kind = random.choice(["shape", "word", "soup", "single"], p=[0.56, 0.22, 0.15, 0.07])
        if kind == "word":
            return " ".join(self.words[random.integers(len(self.words))])
        if (
            kind == "soup"
        ):  # anything after anything: keeps the acoustic model from learning the task's grammar by heart
            pool = [list(words) for words in CLASSES.values()] + [self.commands]
            picks = [
                pool[random.choice(len(pool), p=[0.4, 0.25, 0.08, 0.09, 0.04, 0.06, 0.08])]
                for _ in range(random.integers(3, 9))
            ]
            return " ".join(str(random.choice(words)) for words in picks)
        if kind == "single":
            return str(random.choice(self.single))
        shape = self.shapes[random.integers(len(self.shapes))]
        return self._refill(shape, random)

    def _refill(self, shape: list[str], random: np.random.Generator) -> str:
        out: list[str] = []
        previous = "^"
        for word in shape[:14]:
            name = CLASS_OF.get(word)
            if name is None:
                out.append(
                    str(random.choice(self.commands)) if not out and len(shape) > 1 and random.random() < 0.7 else word
                )
            elif name == "letter":
                previous = self._letter(previous, random)
                out.append(previous)
            elif name in ("teen", "tens", "month", "ordinal") and random.random() < 0.15:
                out.append(word)
            else:
                out.append(str(random.choice(list(CLASSES[name]))))
        return " ".join(out)

    def _letter(self, previous: str, random: np.random.Generator) -> str:
        choices = self.pairs.get(previous)
        if not choices or random.random() < 0.5:
            return LETTERS[random.integers(26)]
        letters = [letter for letter in choices if letter != "$"] or list(LETTERS)
        counts = np.array([choices.get(letter, 1) for letter in letters], float)
        return str(random.choice(letters, p=counts / counts.sum()))
