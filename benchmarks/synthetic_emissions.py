"""Emissions that look like a fine-tuned wav2vec2's, made from a text: peaks of one or two frames, blanks between,
some letters torn between two readings. For parity tests and speed measurements that need no checkpoint."""

from __future__ import annotations

import numpy as np

from asrdemo.types import BLANK, SPACE, Emissions, Vocabulary

LETTERS = (BLANK, "<s>", "</s>", "<unk>", SPACE, "'", *"abcdefghijklmnopqrstuvwxyz")
VOCABULARY = Vocabulary(LETTERS, 0, frozenset({1, 2, 3}))
SECONDS_PER_FRAME = 0.02


def emissions_of(
    text: str,
    rng: np.random.Generator,
    ambiguous: float = 0.1,
    floor: float = 9.0,
    vocabulary: Vocabulary = VOCABULARY,
    cuts: tuple[int, ...] = (),
) -> Emissions:
    """Emissions whose best path reads nearly like the text.

    ambiguous: share of letters whose probability is split with another letter. floor: how far below the peak, in
    natural log, the unlikely tokens lie on average. No two scores are equal, so beam searches meet no ties.
    """
    number = {token: i for i, token in enumerate(vocabulary.tokens)}
    choices = [i for i, token in enumerate(vocabulary.tokens) if len(token) == 1 and token != SPACE]
    frames: list[tuple[int, int, float]] = [(vocabulary.blank, vocabulary.blank, 1.0)] * 5
    for before, letter in zip(" " + text, text, strict=False):
        right = number[letter]
        other, share = right, 1.0
        if letter != SPACE and rng.random() < ambiguous:
            other, share = int(rng.choice(choices)), float(rng.uniform(0.3, 0.9))
        gap = int(rng.integers(0, 4)) or int(letter == before)
        frames += [(vocabulary.blank, right, float(rng.uniform(0.9, 1.0)))] * gap
        frames += [(right, other, share)] * int(rng.integers(1, 3))
    frames += [(vocabulary.blank, vocabulary.blank, 1.0)] * 5
    scores = rng.normal(-floor, 1.0, (len(frames), len(vocabulary)))
    for row, (first, second, share) in zip(scores, frames, strict=True):
        row[second] = np.log(max(1 - share, 1e-5)) + rng.normal(0, 0.1)
        row[first] = np.log(share) + rng.normal(0, 0.1)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return Emissions(scores.astype(np.float32), vocabulary, SECONDS_PER_FRAME, len(frames) * SECONDS_PER_FRAME, cuts)


def noise(frames: int, rng: np.random.Generator, spread: float = 3.0, vocabulary: Vocabulary = VOCABULARY) -> Emissions:
    """Emissions without any speech in them: every frame is torn between many tokens."""
    scores = rng.normal(0, spread, (frames, len(vocabulary)))
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return Emissions(scores.astype(np.float32), vocabulary, SECONDS_PER_FRAME, frames * SECONDS_PER_FRAME)
