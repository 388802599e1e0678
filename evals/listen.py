"""Clips of a corpus -> batches of emissions: files are read ahead by threads while the model works.

Windows come in the order of the corpus; within one, long clips come first, so that batches hold clips of like length.
What is read ahead is bounded in clips and in seconds, so memory does not depend on the size of the corpus.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from asrdemo import sound
from asrdemo.audio import read_clip
from asrdemo.errors import AudioError, NotFoundError
from asrdemo.settings import Settings
from asrdemo.types import Clip
from evals.collect import Batch
from evals.source import MEASURED, Source

if TYPE_CHECKING:
    from asrdemo.acoustic import AcousticModel

READERS = 8  # threads at most
AHEAD_CLIPS, AHEAD_SECONDS = 64, 600.0  # read before the model asks; one clip at least, however long
UNKNOWN_SECONDS = 15.0  # taken for the length of a clip whose corpus does not say
CPU_SECONDS, CUDA_SECONDS = 60.0, 320.0  # audio of a batch; on a GPU four full passes
BATCH_BYTES = 32 * 2**20  # emissions of a batch at most, for vocabularies of thousands
MOST_CLIPS = 512  # of a batch


class Heard(NamedTuple):
    """A clip that could be read. sound: columns of the row that its samples tell, where the corpus lacks them."""

    clip: Clip
    sound: dict[str, float | None]


class Place(NamedTuple):
    """A clip of a window. seconds: its length, as far as the corpus knows."""

    window: int
    at: int
    clip: str
    seconds: float


def batches(source: Source, windows: Sequence[int], model: AcousticModel, limits: Settings) -> Generator[Batch]:
    """Everything in these windows: heard, or with the reason why not.

    A silent clip is heard like any other: its words are deletions. Raises what the model raises.
    """
    most = CUDA_SECONDS if str(model.device).startswith("cuda") else CPU_SECONDS
    most = min(most, BATCH_BYTES * model.seconds_per_frame / (4 * len(model.vocabulary)))
    with ThreadPoolExecutor(READERS, "reader") as pool:
        waiting: list[tuple[Place, Heard | str]] = []
        seconds = 0.0
        try:
            for place, got in _ahead(pool, places(source, windows), source, limits):
                waiting.append((place, got))
                seconds += 0.0 if isinstance(got, str) else got.clip.duration
                if seconds >= most or len(waiting) >= MOST_CLIPS:
                    yield from _heard(waiting, model)
                    waiting, seconds = [], 0.0
            yield from _heard(waiting, model)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if not source.table.num_rows:
        yield Batch(0)


def places(source: Source, windows: Iterable[int]) -> Iterator[Place]:
    """The clips of the windows, in the order in which they are read."""
    for window in windows:
        rows = source.rows(window)
        names, lengths = rows.column("clip").to_pylist(), rows.column("seconds").to_pylist()
        known = [s if s is not None and math.isfinite(s) else UNKNOWN_SECONDS for s in lengths]
        for at in sorted(range(len(names)), key=lambda i: -known[i]):
            yield Place(window, at, names[at], known[at])


def _ahead(
    pool: ThreadPoolExecutor, wanted: Iterator[Place], source: Source, limits: Settings
) -> Iterator[tuple[Place, Heard | str]]:
    """Each place with its clip, or with the reason why it cannot be read; in order."""
    queue: deque[tuple[Place, Future[Heard | str]]] = deque()
    seconds = 0.0
    following = next(wanted, None)
    while queue or following:
        while following and (not queue or len(queue) < AHEAD_CLIPS and seconds + following.seconds < AHEAD_SECONDS):
            queue.append((following, pool.submit(_read, source, following.clip, limits)))
            seconds += following.seconds
            following = next(wanted, None)
        place, future = queue.popleft()
        seconds -= place.seconds
        yield place, future.result()


def _read(source: Source, name: str, limits: Settings) -> Heard | str:
    try:
        clip = read_clip(source.file(name), name, limits, allow_silent=True)
    except (AudioError, NotFoundError) as error:
        return str(error)
    if source.measured:
        return Heard(clip, {})
    found = sound.measure(clip)
    values = {column: getattr(found, column) for column in MEASURED}
    return Heard(clip, {column: value if math.isfinite(value) else None for column, value in values.items()})


def _heard(waiting: Sequence[tuple[Place, Heard | str]], model: AcousticModel) -> Iterator[Batch]:
    """Run the model over all of them at once; then a batch for each window among them."""
    began = time.perf_counter()
    read = [(place, got) for place, got in waiting if not isinstance(got, str)]
    heard = iter(model.emissions([got.clip for _, got in read]) if read else [])
    a_second = (time.perf_counter() - began) / max(sum(got.clip.duration for _, got in read), 1e-9)
    found: dict[int, Batch] = {}
    for place, got in waiting:
        batch = found.setdefault(place.window, Batch(place.window))
        if isinstance(got, str):
            batch.problems[place.at] = got
        else:
            batch.at.append(place.at)
            batch.heard.append(next(heard))
            batch.known.append({**got.sound, "acoustic_s": a_second * got.clip.duration})
    yield from found.values()
