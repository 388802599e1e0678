"""How sure the acoustic model is of each word, from 0 to 1.

A word's frames are aligned with its labels (Viterbi over the CTC topology, blanks between). Each label counts with
the posterior of its best frame; blank frames do not count. The posteriors of a word's labels are put together by

    mean     their geometric mean (the default)
    min      the least of them: a word is as sure as its least sure letter
    product  their product: long words are less sure

and the result r goes through a monotone map with two parameters (Platt): confidence = sigmoid(slope * logit(r) +
offset). So the confidence means: of the words shown with 0.9, about nine in ten are right - on speech like that on
which the map was fitted (benchmarks/confidence.py fits it on held-out clips; docs/reliability.png shows how well it
holds). A checkpoint's map lies beside it as confidence.json; without one the confidence is r itself, which still
orders words but promises nothing.

Greedy and beam words have maps of their own: a language model's word may rest on little acoustic evidence and yet
be right. The idea of label-wise aggregation without blanks follows Laptev and Ginsburg (2023).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from asrdemo.decoding.columns import PIECE, Columns
from asrdemo.decoding.greedy import Piece, Runs
from asrdemo.errors import DecodingError

FILE = "confidence.json"
Aggregate = Literal["mean", "min", "product"]
Spoken = tuple[str, int, int]
"""A word and its frames, end exclusive."""
Window = tuple[Spoken, int, int]
"""A word as reported, and the frames in which it is looked for, end exclusive."""
EDGE = 1e-6  # posteriors closer to 0 or 1 than this are not told apart
MOST_LABELS = 100  # of a word that is aligned; a longer one is no word but a text without spaces
MARGIN = 10  # frames by which a word may lie outside of where the search reports it
_CELLS = 2**20  # frames x states of the words aligned at once: 8 MiB


@dataclass(frozen=True)
class Calibration:
    """The map of one decoder. slope: above 0, so that the order of words stays."""

    aggregate: Aggregate = "mean"
    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        numbers = all(isinstance(v, (int, float)) and math.isfinite(v) for v in (self.slope, self.offset))
        if self.aggregate not in get_args(Aggregate) or not numbers or self.slope <= 0:
            raise DecodingError(
                f"{self} is no calibration; expected aggregate {', '.join(get_args(Aggregate))}, slope above 0."
            )

    def __call__(self, log_probs: Sequence[float]) -> float:
        """The confidence of a word whose labels have these log-posteriors."""
        r = min(max(raw(log_probs, self.aggregate), EDGE), 1 - EDGE)  # as calibrate() does, for one word
        odds = self.slope * (math.log(r) - math.log1p(-r)) + self.offset
        return 0.5 * (1 + math.tanh(odds / 2))  # the sigmoid, without exp's overflow

    def calibrate(self, r: np.ndarray) -> np.ndarray:
        """The map itself, on values from 0 to 1."""
        return 1 / (1 + np.exp(-(self.slope * logit(r) + self.offset)))


@dataclass(frozen=True)
class Calibrations:
    """One map for each kind of decoder. note: on what they were fitted."""

    greedy: Calibration = field(default_factory=Calibration)
    beam: Calibration = field(default_factory=Calibration)
    note: str = ""

    def write(self, path: Path) -> None:
        """As JSON, to a temporary file that is then renamed."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        part.replace(path)


def calibrations(folder: Path | None) -> Calibrations:
    """The maps of a checkpoint's folder; the plain ones where it has none. Raises DecodingError for a bad file."""
    path = None if folder is None else Path(folder) / FILE
    if path is None or not path.is_file():
        return Calibrations()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Calibrations(Calibration(**data["greedy"]), Calibration(**data["beam"]), str(data.get("note", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise DecodingError(
            f"{path.name} of {path.parent.name} cannot be read ({error}); expected greedy and beam, each with "
            f"aggregate, slope and offset."
        ) from error


def logit(r: np.ndarray) -> np.ndarray:
    """Log-odds, with r kept EDGE away from 0 and 1."""
    r = np.clip(r, EDGE, 1 - EDGE)
    return np.log(r) - np.log1p(-r)


def raw(log_probs: Sequence[float], aggregate: Aggregate) -> float:
    """The uncalibrated confidence of a word, from 0 to 1. log_probs: of its labels; none gives 0."""
    if not log_probs:
        return 0.0
    total = {"mean": math.fsum(log_probs) / len(log_probs), "min": min(log_probs), "product": math.fsum(log_probs)}
    return math.exp(min(total[aggregate], 0.0))


def place(
    log_probs: np.ndarray, path: Runs, columns: Columns, readings: Sequence[Sequence[Spoken]]
) -> list[list[Piece]]:
    """Words of several readings with their exact frames and the log-posteriors of their labels.

    log_probs: shape = (frames, labels), normalised. path: their greedy path. readings: words in order, with the
    frames that the search reports, end exclusive; those may be off by some, since a search merges alignments and
    keeps the frames of any one of them. So each word is aligned anew, within MARGIN frames of there and between its
    neighbours. Where the greedy path reads the same word it is the best alignment, and is looked up.
    """
    windows = [[_window(words, i, len(log_probs)) for i in range(len(words))] for words in readings]
    found: dict[Window, Piece] = {}
    hard: list[tuple[Window, list[int]]] = []
    spelled, space = _Speller(columns), columns.space
    labels, starts, ends, peaks = (v.tolist() for v in (path.label, path.start, path.end, path.log_prob))
    for window in dict.fromkeys(w for row in windows for w in row):
        (text, start, end), low, high = window
        own = spelled(text)
        first, last = bisect_left(starts, low), bisect_left(starts, high)
        while first < last and labels[first] == space:
            first += 1
        while first < last and labels[last - 1] == space:
            last -= 1
        if own and labels[first:last] == own and ends[last - 1] <= high:
            found[window] = Piece(text, starts[first], ends[last - 1], tuple(peaks[first:last]))
        elif own and low < high and len(own) <= MOST_LABELS:
            hard.append((window, own))
        else:
            found[window] = Piece(text, start, end, _any_order(log_probs[start:end][:, own]))
    for batch in _batches(hard):
        found.update(zip([window for window, _ in batch], align(log_probs, columns, batch), strict=True))
    return [_in_order([found[w] for w in row]) for row in windows]


def _window(words: Sequence[Spoken], i: int, frames: int) -> Window:
    _, start, end = words[i]
    low = max(start - MARGIN, words[i - 1][2] if i else 0)
    high = min(end + MARGIN, words[i + 1][1] if i + 1 < len(words) else frames)
    return words[i], min(low, start), max(high, end)


def _in_order(words: list[Piece]) -> list[Piece]:
    """No word begins before the one before it ended."""
    placed, at = [], 0
    for w in words:
        placed.append(w if w.start >= at else replace(w, start=at, end=max(w.end, at)))
        at = placed[-1].end
    return placed


def _any_order(window: np.ndarray) -> tuple[float, ...]:
    """Log-posterior of each label in its best frame, wherever that is. window: shape = (frames, labels of the word)."""
    return tuple(window.max(axis=0).tolist()) if len(window) else ()


def _batches(hard: list[tuple[Window, list[int]]]) -> Iterator[list[tuple[Window, list[int]]]]:
    """Words of like size together, so that little is padded, and no batch takes more than _CELLS."""
    hard = sorted(hard, key=lambda item: (item[0][2] - item[0][1], len(item[1])))
    batch: list[tuple[Window, list[int]]] = []
    widest = 0
    for window, labels in hard:
        widest = max(widest, len(labels))
        if batch and (len(batch) + 1) * (window[2] - window[1]) * 2 * widest > _CELLS:
            yield batch
            batch, widest = [], len(labels)
        batch.append((window, labels))
    if batch:
        yield batch


class _Speller:
    """Words as columns. Where labels have several characters, the longest that fits is taken; [] if none does."""

    def __init__(self, columns: Columns) -> None:
        self.pieces = columns.pieces
        self.number = {label: i for i, label in enumerate(columns.labels) if label}
        self.longest = max(map(len, self.number), default=1)

    def __call__(self, word: str) -> list[int]:
        if self.longest == 1:
            return [self.number[c] for c in word] if self.number.keys() >= set(word) else []
        text, at, labels = (PIECE + word if self.pieces else word), 0, []
        while at < len(text):
            for size in range(min(self.longest, len(text) - at), 0, -1):
                if text[at : at + size] in self.number:
                    labels.append(self.number[text[at : at + size]])
                    at += size
                    break
            else:
                return []
        return labels


def align(log_probs: np.ndarray, columns: Columns, words: Sequence[tuple[Window, Sequence[int]]]) -> list[Piece]:
    """Each word on the best CTC path through its window, between blanks and spaces.

    log_probs: shape = (frames, labels). words: windows that are not empty, and the labels of the word, at least one.
    A word that does not fit its window (too few frames) stays where it was said to be, its labels in any order.
    """
    frames, states = max(high - low for (_, low, high), _ in words), 2 * max(len(own) for _, own in words) + 1
    blank = log_probs[:, columns.blank]
    quiet = blank if columns.space is None else np.maximum(blank, log_probs[:, columns.space])
    symbols = np.full((len(words), states), columns.blank)  # of a word's states: quiet, label, blank, label, ..., quiet
    for i, (_, own) in enumerate(words):
        symbols[i, 1 : 2 * len(own) : 2] = own
        symbols[i, [0, 2 * len(own)]] = log_probs.shape[1]
    skip = np.full((len(words), states), -np.inf)  # from label to label, unless they are the same
    skip[:, 3::2][symbols[:, 3::2] != symbols[:, 1:-2:2]] = 0.0
    rows = np.array([low for (_, low, _), _ in words])[:, None] + np.arange(frames)
    heard = np.column_stack([log_probs, quiet])[np.minimum(rows, len(log_probs) - 1)[None], symbols.T[:, :, None]]
    score = _forward(heard, skip.T[:, :, None])
    return [
        _trace(window, log_probs[window[1] : window[2], list(own)], score[:, i, : window[2] - window[1]], skip[i])
        for i, (window, own) in enumerate(words)
    ]


def _forward(heard: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Score of the best path to each state, shape = (2 + states, words, frames); two rows of padding come first.

    heard: log-posteriors, shape = (states, words, frames). skip: shape = (states, words, 1). There are fewer states
    than frames, so this goes from state to state: a path that enters a state in frame e and stays until t scores
    sum(heard[e..t]) more, and with sums from the first frame on, the best e for every t is a running maximum.
    """
    states, words, frames = heard.shape
    until = np.zeros((states, words, frames + 1))  # sums up to a frame, and not with it
    np.cumsum(heard, axis=2, out=until[:, :, 1:])
    score = np.full((states + 2, words, frames), -np.inf)
    enter = np.empty((words, frames))
    for s in range(states):
        enter[:, 0] = 0.0 if s < 2 else -np.inf  # a path begins quietly or with the first label
        enter[:, 1:] = np.maximum(score[s + 1, :, :-1], score[s, :, :-1] + skip[s])
        np.subtract(enter, until[s, :, :-1], out=enter)
        np.add(np.maximum.accumulate(enter, axis=1), until[s, :, 1:], out=score[s + 2])
    return score


def _trace(window: Window, labels: np.ndarray, score: np.ndarray, skip: np.ndarray) -> Piece:
    """The word on its best path. labels: shape = (frames, labels of the word). score: shape = (2 + states, frames)."""
    (text, start, end), low, _ = window
    last = 2 * labels.shape[1] + 2  # the final quiet state; the label before it may end the word as well
    state = last if score[last, -1] > score[last - 1, -1] else last - 1
    if score[state, -1] == -np.inf:
        return Piece(text, start, end, _any_order(labels[start - low : end - low]))
    best = [-math.inf] * labels.shape[1]
    steps, values, jump = score.T.tolist(), labels.tolist(), skip.tolist()
    on = []
    for t in range(len(values) - 1, -1, -1):
        if state % 2:
            label = (state - 3) // 2
            best[label] = max(best[label], values[t][label])
            on.append(low + t)
        before = steps[t - 1]
        stay, one, two = before[state], before[state - 1], before[state - 2] + jump[state - 2]
        state -= 0 if stay >= max(one, two) else 1 if one >= two else 2
    return Piece(text, on[-1], on[0] + 1, tuple(best))


def fit(r: np.ndarray, correct: np.ndarray, rounds: int = 100) -> tuple[float, float]:
    """Slope and offset of the map, by Newton's method on the log-likelihood. r, correct: shape = (words,).

    Platt's smoothed targets keep the map finite where right and wrong words are cleanly apart. The slope is kept
    above 0. Raises DecodingError where all words are right or all are wrong.
    """
    correct = np.asarray(correct, dtype=bool)
    good, bad = int(correct.sum()), int((~correct).sum())
    if not good or not bad:
        raise DecodingError(f"Confidence needs right and wrong words to be fitted; got {good} right and {bad} wrong.")
    x = np.stack([logit(np.asarray(r, dtype=float)), np.ones(len(correct))], axis=1)
    target = np.where(correct, (good + 1) / (good + 2), 1 / (bad + 2))
    weights = np.array([0.0, math.log((good + 1) / (bad + 1))])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-(x @ weights)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (target - p))
        weights = weights + step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return max(float(weights[0]), 1e-3), float(weights[1])


def calibration_error(p: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean gap between confidence and accuracy, over bins with equally many words."""
    order = np.argsort(p, kind="stable")
    return float(
        sum(
            abs(p[part].mean() - correct[part].mean()) * len(part)
            for part in np.array_split(order, min(bins, len(order)))
        )
        / len(order)
    )


def cross_entropy(p: np.ndarray, correct: np.ndarray) -> float:
    """Normalised cross-entropy as in NIST's evaluations: 1 is perfect, 0 is as good as the mean accuracy."""
    accuracy = float(np.mean(correct))
    if not 0 < accuracy < 1:
        return math.nan
    p = np.clip(p, EDGE, 1 - EDGE)
    most = -(accuracy * math.log2(accuracy) + (1 - accuracy) * math.log2(1 - accuracy))
    return 1 - float(-np.where(correct, np.log2(p), np.log2(1 - p)).mean()) / most


def reliability(p: np.ndarray, correct: np.ndarray, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, words) of equally wide bins from 0 to 1, empty ones left out."""
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for low, high in pairwise(edges):
        inside = (p >= low) & ((p < high) | (high == 1))
        if inside.any():
            rows.append((float(p[inside].mean()), float(correct[inside].mean()), int(inside.sum())))
    return rows
