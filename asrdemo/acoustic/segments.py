"""Where long recordings are cut: at pauses where there are any, else anywhere, with context on both sides.

A recording of up to 12 s, as most clips of a corpus are, is cut only where nobody speaks for 3 s: else its text is what
the checkpoint makes of the whole of it, as in any other tool.

`Cutter` decides as the samples come in, without looking ahead, so a file and a live recording of the same sound are
cut at the same places. Its work and memory for a second of audio do not depend on how long the recording is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asrdemo.types import SAMPLE_RATE

HOP = SAMPLE_RATE // 50  # samples in a level frame: 20 ms
SHORTEST = 4 * 50  # level frames before a segment may end: 4 s, and then only in a pause of ...
FIRST_PAUSE = 150  # ... 3 s in the first 12 s of a recording, later of ...
LONG_PAUSE = 50  # ... 1 s; what is asked of a pause falls to
SHORT_PAUSE = 15  # 0.3 s
ENOUGH = 12 * 50  # at 12 s
LONGEST = 24 * 50  # a segment ends here, pause or not
BACK = 6 * 50  # without a pause it ends at the quietest place of its last 6 s
DEEP, SHALLOW = 10**-2.5, 10**-1.2  # a pause is 25 dB below the loudest 0.2 s; from 12 s on this falls to 12 dB at 24 s
SILENCE = 10**-7.5  # mean square below which anything is a pause (-75 dBFS)
GRID = 12  # segments last a multiple of 0.24 s: the libraries below keep code and memory for each new length
LOUD_SAMPLE = (SILENCE * HOP) ** 0.5  # one sample beyond it lifts its level frame above SILENCE
LOUD = 10  # level frames over which loudness is averaged: 0.2 s
CONTEXT = 2 * SAMPLE_RATE  # heard on each side of a cut that is not a pause, and thrown away


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, in samples from its beginning: [start, end).

    pause: whether it ends in a pause (or with the recording), so that no word runs across its end.
    """

    start: int
    end: int
    pause: bool


@dataclass(frozen=True)
class Window:
    """What one pass of a model hears and what of it is kept.

    start, end: samples of the recording that are heard. first, last: frames of the recording that are kept,
    [first, last). skip: frames of the pass before `first`. pause: whether a pause follows.
    """

    start: int
    end: int
    first: int
    last: int
    skip: int
    pause: bool


class Cutter:
    """Cuts one recording as it comes in. `push` and `finish` return the segments that are complete by then."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)  # less than one level frame
        self._start = 0  # of the open segment, in level frames
        self._samples = 0
        self._levels: list[float] = []  # mean squares of the open segment
        self._reset()

    def _reset(self) -> None:
        self._quiet = 0  # level frames since the last one that was not quiet
        self._recent = 0.0  # sum of the last LOUD levels
        self._loudest = 0.0

    @property
    def open_from(self) -> int:
        """Sample at which the segment that is still open begins."""
        return self._start * HOP

    def push(self, samples: np.ndarray) -> list[Segment]:
        """Take float samples at SAMPLE_RATE, any number of them."""
        self._samples += len(samples)
        samples = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(samples) // HOP
        self._rest = samples[whole * HOP :].astype(np.float32)
        segments = []
        for level in levels(samples[: whole * HOP]).tolist():
            if self._take(level):
                segments.append(self._cut())
        return segments

    def finish(self) -> list[Segment]:
        """What is left after the last cut, if anything."""
        return [Segment(self.open_from, self._samples, True)] if self._samples > self.open_from else []

    def _take(self, level: float) -> bool:
        """Add a level frame; True when the open segment is to be cut."""
        self._levels.append(level)
        length = len(self._levels)
        self._recent += level - (self._levels[-LOUD - 1] if length > LOUD else 0.0)
        if length >= LOUD:
            self._loudest = max(self._loudest, self._recent / LOUD)
        late = max(0.0, (length - ENOUGH) / (LONGEST - ENOUGH))
        depth = DEEP * (SHALLOW / DEEP) ** late
        self._quiet = self._quiet + 1 if level <= max(self._loudest * depth, SILENCE) else 0
        return length >= LONGEST or (length >= SHORTEST and self._quiet >= self._asked(length))

    def _asked(self, length: int) -> float:
        """Level frames a pause must last to end a segment of that length."""
        if self._start == 0 and length < ENOUGH:
            return FIRST_PAUSE
        early = max(0.0, (ENOUGH - length) / (ENOUGH - SHORTEST))
        return SHORT_PAUSE + early * (LONG_PAUSE - SHORT_PAUSE)

    def _cut(self) -> Segment:
        length = len(self._levels)
        pause = self._quiet >= self._asked(length)
        if pause:  # of at least SHORT_PAUSE, so a multiple of GRID lies in it
            at = length - self._quiet // 2
        else:
            tail = np.convolve(self._levels[-BACK:], np.ones(SHORT_PAUSE), mode="valid")
            at = length - BACK + int(tail.argmin()) + SHORT_PAUSE // 2
        at = round(at / GRID) * GRID
        segment = Segment(self._start * HOP, (self._start + at) * HOP, pause)
        self._start += at
        left, self._levels = self._levels[at:], []
        self._reset()
        for level in left:  # at most BACK, less than LONGEST; a pause among them is still one at the next level
            self._take(level)
        return segment


def levels(samples: np.ndarray) -> np.ndarray:
    """Mean square of each 20 ms, shape = (len(samples) // HOP,), without a copy of the samples."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    return np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / HOP


def is_silent(samples: np.ndarray) -> bool:
    """Whether nothing in it rises above -75 dBFS: there is nothing to hear, and models make up letters for it."""
    if max(samples.max(initial=0.0), -samples.min(initial=0.0)) > LOUD_SAMPLE:
        return False
    tail = samples[len(samples) // HOP * HOP :]
    loudest = max(levels(samples).max(initial=0.0), float(np.square(tail, dtype=np.float64).mean()) if len(tail) else 0)
    return bool(loudest <= SILENCE)


def segment(samples: np.ndarray) -> list[Segment]:
    """The segments of a whole recording, in order and without gaps."""
    if _surely_whole(samples):
        return [Segment(0, len(samples), True)] if len(samples) else []
    cutter = Cutter()
    return [*cutter.push(samples), *cutter.finish()]


def _surely_whole(samples: np.ndarray) -> bool:
    """Whether Cutter would not cut it: quick, and true of most clips. No: it may, or may not."""
    length = len(samples) // HOP
    if length < SHORTEST or length >= ENOUGH:
        return length < SHORTEST
    heard = levels(samples)
    sums = np.concatenate([[0.0], np.cumsum(heard)])
    loudest = (sums[LOUD:] - sums[:-LOUD]).max() / LOUD * (1 + 1e-6)  # Cutter adds up in another order
    loud = np.flatnonzero(heard > max(loudest * DEEP, SILENCE))
    return bool(np.diff(loud, prepend=-1, append=length).max() <= FIRST_PAUSE)


def frame_count(samples: int, stride: int, receptive: int) -> int:
    """Frames a model with that stride and receptive field (in samples) makes of that many samples."""
    return max(0, (samples - receptive) // stride + 1)


def windows(samples: np.ndarray, stride: int, receptive: int) -> list[Window]:
    """Passes that together yield every frame of the recording once, in order.

    Frame i of the recording hears samples [i * stride, i * stride + receptive), so a pass that begins at a multiple of
    the stride yields exactly the frames of the recording. At a cut that is not a pause CONTEXT is heard on both sides.
    The last pass hears all samples that are left, also those too few for a frame: a group norm counts them.
    """
    total = frame_count(len(samples), stride, receptive)
    found: list[Window] = []
    first, context = 0, 0
    for piece in segment(samples):
        last = total if piece.end == len(samples) else min(total, round(piece.end / stride))
        after = 0 if piece.pause else CONTEXT // stride
        if last > first:
            begin, stop = max(0, first - context), min(total, last + after)
            end = len(samples) if piece.end == len(samples) else (stop - 1) * stride + receptive
            found.append(Window(begin * stride, end, first, last, first - begin, piece.pause))
        first, context = max(first, last), after
    return found


class Windows:
    """`windows` for a recording that is still coming in: each is returned once all its samples have arrived."""

    def __init__(self, stride: int, receptive: int) -> None:
        self.stride, self.receptive = stride, receptive
        self._cutter = Cutter()
        self._samples = 0
        self._waiting: list[tuple[int, int, int, int, bool]] = []  # first, last, context before and after, pause
        self.open_first, self.open_context = 0, 0  # frames: where the open segment begins, and its left context

    @property
    def next_first(self) -> int:
        """First frame that no window has covered yet."""
        return self._waiting[0][0] if self._waiting else self.open_first

    @property
    def needed_from(self) -> int:
        """First sample that a later window may hear."""
        context = self._waiting[0][2] if self._waiting else self.open_context
        return max(0, self.next_first - context) * self.stride

    def push(self, samples: np.ndarray) -> list[Window]:
        """Take float samples at SAMPLE_RATE, any number of them."""
        self._samples += len(samples)
        for piece in self._cutter.push(samples):
            self._add(round(piece.end / self.stride), piece.pause)
        return self._ready()

    def finish(self) -> list[Window]:
        """What is left, now that the recording has its full length."""
        total = frame_count(self._samples, self.stride, self.receptive)
        for _ in self._cutter.finish():
            self._add(total, True)
        return self._ready(total)

    def _add(self, last: int, pause: bool) -> None:
        after = 0 if pause else CONTEXT // self.stride
        self._waiting.append((self.open_first, last, self.open_context, after, pause))
        self.open_first, self.open_context = max(self.open_first, last), after

    def _ready(self, total: int | None = None) -> list[Window]:
        arrived = frame_count(self._samples, self.stride, self.receptive)
        found = []
        while self._waiting and (total is not None or self._waiting[0][1] + self._waiting[0][3] <= arrived):
            first, last, before, after, pause = self._waiting.pop(0)
            last, begin = min(last, arrived), max(0, first - before)
            if last > first:
                final = total is not None and not self._waiting
                end = self._samples if final else (min(arrived, last + after) - 1) * self.stride + self.receptive
                found.append(Window(begin * self.stride, end, first, last, first - begin, pause))
        return found
