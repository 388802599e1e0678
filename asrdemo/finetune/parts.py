"""Parts of a shard: a few hundred clips, decoded to 16 kHz int16, as one Arrow IPC file that is whole or not there.

    python -m asrdemo.finetune.parts      a worker: tasks in, answers out, one line of JSON each, until its input ends

This module is all that a worker imports: no torch, no pandas. So a worker is small and starts at once whatever program
started it (multiprocessing would import that program again), and it ends with the program, however that ends.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import subprocess
import sys
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from asrdemo import audio
from asrdemo.errors import AudioError, TrainingError
from asrdemo.settings import ROOT, Settings
from asrdemo.text import normalise_all

CLIPS = 400  # in a part: 64 MB where they last 5 s
UNREADABLE = (
    "no such file",
    "cannot be decoded",
)  # reasons that speak against the file, not against its length or text
_BATCH_BYTES = 8 << 20  # audio that a worker holds before it is written
_LIMITS = Settings(max_upload_mb=2048, max_duration_s=3600)  # no training clip is longer; bounds a worker's memory

TEXT = ("name", "client_id", "accents", "gender", "age", "locale", "sentence", "text")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in TEXT),
        ("samples", pa.int64()),
        ("crc32", pa.uint32()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("bytes", pa.int64()),
        ("changed", pa.int64()),
        ("audio", pa.list_(pa.int16())),
    ]
)
"""One row for each clip of the selection. text: normalised sentence; samples, crc32: of the audio; reason: why the clip
is left out, then without audio ("" for one that is not), detail: in full; bytes, changed: size of the clip's file and
when it was written (ns), -1 for none."""


@dataclass(frozen=True)
class Rules:
    """What is kept. profile: of asrdemo.text; least, most: seconds of a clip; texts: leave out clips without text."""

    profile: str
    least: float
    most: float
    texts: bool


@dataclass(frozen=True)
class Task:
    """What to make. target: the part's file; folder: of the clips; rows: TEXT but for `text`, lists of equal length."""

    target: str
    folder: str
    rows: Mapping[str, Sequence[str]]
    rules: Rules


@dataclass(frozen=True)
class _Decoded:
    """What became of a clip, as SCHEMA says."""

    reason: str = ""
    detail: str = ""
    bytes: int = -1
    changed: int = -1
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))


def make(task: Task) -> tuple[int, int]:
    """Decode the clips of a part, write it, and return (clips, of these unreadable). Raises OSError."""
    target = Path(task.target)
    partial = _partial(target, os.getpid())
    texts = normalise_all(list(task.rows["sentence"]), task.rules.profile)
    unreadable = 0
    try:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, SCHEMA) as out:
            for start, batch in _batches(_decode(task, texts)):
                columns = {k: v[start : start + len(batch)] for k, v in {**task.rows, "text": texts}.items()}
                out.write_batch(_record_batch(columns, batch))
                unreadable += sum(clip.reason in UNREADABLE for clip in batch)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return len(texts), unreadable


def whole(part: Path, clips: int) -> bool:
    """Whether this is a part of so many clips, to its end."""
    try:
        with pa.memory_map(str(part)) as file:
            reader = pa.ipc.open_file(file)
            sizes = (reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
            return bool(reader.schema.equals(SCHEMA)) and sum(sizes) == clips
    except (OSError, pa.ArrowException):
        return False


def _decode(task: Task, texts: Sequence[str]) -> Iterator[_Decoded]:
    for name, text in zip(task.rows["name"], texts, strict=True):
        path = f"{task.folder}/{name}"
        size, changed = stamp(path)
        if task.rules.texts and not text:
            found = _Decoded("empty text")
        else:
            found = _clip(Path(path), task.rules) if size >= 0 else _Decoded(UNREADABLE[0], os.strerror(errno.ENOENT))
        yield replace(found, bytes=size, changed=changed)


def stamp(path: str) -> tuple[int, int]:
    """(bytes of a file, when it was written in ns), (-1, -1) where it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a million times; Path takes twice as long)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _clip(path: Path, rules: Rules) -> _Decoded:
    """16-bit audio at 16 kHz comes out sample by sample as it is."""
    try:
        found = audio.read_clip(path, settings=_LIMITS)
    except AudioError as error:
        return _Decoded(UNREADABLE[1], str(error))
    length = f"{found.duration:.2f} s"
    if found.duration < rules.least:
        return _Decoded(f"shorter than {rules.least} s", length)
    if found.duration > rules.most:
        return _Decoded(f"longer than {rules.most} s", length)
    scaled = np.rint(found.samples * np.float32(32768))
    return _Decoded(samples=np.clip(scaled, -32768, 32767).astype(np.int16))


def _batches(clips: Iterator[_Decoded]) -> Iterator[tuple[int, list[_Decoded]]]:
    """(position of the first, clips) of up to _BATCH_BYTES and one clip."""
    start, batch, held = 0, [], 0
    for found in clips:
        batch.append(found)
        held += found.samples.nbytes
        if held >= _BATCH_BYTES:
            yield start, batch
            start, batch, held = start + len(batch), [], 0
    if batch:
        yield start, batch


def _record_batch(columns: Mapping[str, Sequence[str]], clips: list[_Decoded]) -> pa.RecordBatch:
    lengths = [len(c.samples) for c in clips]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = pa.array(np.concatenate([c.samples for c in clips]))
    arrays = {
        **columns,
        "samples": lengths,
        "crc32": [zlib.crc32(c.samples.data) for c in clips],
        "reason": [c.reason for c in clips],
        "detail": [c.detail for c in clips],
        "bytes": [c.bytes for c in clips],
        "changed": [c.changed for c in clips],
        "audio": pa.ListArray.from_arrays(ends, values),
    }
    made = [pa.array(arrays[f.name], f.type) if f.name != "audio" else arrays["audio"] for f in SCHEMA]
    return pa.record_batch(made, schema=SCHEMA)


def make_all(tasks: Iterator[Task], workers: int) -> Generator[tuple[int, int], None, None]:
    """Make parts in so many processes (in this one for 1); yields what `make` returns, as they are finished, and (0, 0)
    about once a second, so that whoever asked can be told, and can stop: close it then, and the processes end.

    Raises TrainingError where a process dies or cannot write.
    """
    if workers <= 1:
        for task in tasks:
            yield 0, 0
            try:
                done = make(task)
            except OSError as error:
                raise _cannot_write(task, error.strerror or str(error)) from error
            yield done
        return
    with _crew(workers) as crew, selectors.DefaultSelector() as ready:
        for worker in crew:
            if (first := next(tasks, None)) is not None:
                ready.register(worker.answers, selectors.EVENT_READ, worker)
                worker.give(first)
        while ready.get_map():
            yield 0, 0
            for key, _ in ready.select(1.0):
                yield key.data.take()
                if (following := next(tasks, None)) is not None:
                    key.data.give(following)
                else:
                    ready.unregister(key.fileobj)


@contextmanager
def _crew(workers: int) -> Iterator[list[_Worker]]:
    crew = [_Worker() for _ in range(workers)]
    try:
        yield crew
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process that makes one part after another. Ctrl-C is not for it: it is in a group of its own."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name if __spec__ else __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,
            bufsize=0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._tasks, self.answers = self._process.stdin, self._process.stdout
        self._task: Task | None = None

    def give(self, task: Task) -> None:
        """Have it make a part."""
        self._task = task
        line = memoryview(json.dumps(asdict(task)).encode() + b"\n")
        with suppress(BrokenPipeError):  # it has died: `take` says so
            while line:
                line = line[self._tasks.write(line) or 0 :]

    def take(self) -> tuple[int, int]:
        """What came of it. Raises TrainingError."""
        assert self._task is not None
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            first = self._task.rows["name"][0]
            raise TrainingError(
                "A process that prepares audio was killed, perhaps for want of memory, or a decoder crashed on one of "
                f"the {len(self._task.rows['name'])} clips from {first!r} on. What is finished is kept: start it again."
            )
        answer = json.loads(line)
        if isinstance(answer, str):
            raise _cannot_write(self._task, answer)
        return answer[0], answer[1]

    def end(self) -> None:
        """Kill it and remove what it was writing."""
        self._process.kill()
        self._process.wait()
        self._tasks.close()
        self.answers.close()
        if self._task is not None:
            _partial(Path(self._task.target), self._process.pid).unlink(missing_ok=True)


def _partial(target: Path, pid: int) -> Path:
    return target.with_name(f".{target.name}.{pid}")


def _cannot_write(task: Task, why: str) -> TrainingError:
    folder = Path(task.target).parent
    return TrainingError(
        f"Prepared audio cannot be written to {folder}: {why}. Make room (or mend the rights) and start it again; what "
        "is finished is kept."
    )


def _serve() -> None:
    """Of a worker: the answer to a task is [clips, unreadable], or the words of the system where it cannot write."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a C library prints is no answer
    for line in sys.stdin.buffer:
        given = json.loads(line)
        try:
            answer: object = make(Task(**{**given, "rules": Rules(**given["rules"])}))
        except OSError as error:
            answer = error.strerror or str(error)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the program is gone; the part is finished all the same
        _serve()
