"""Corpora -> prepared shards: every clip decoded once, in parallel, to 16 kHz int16 in Arrow files (see shards.py).

A selection is cut into parts of parts.CLIPS clips. Workers, as many as there are cores, make a part each: they decode
clip by clip and write 8 MB at a time; the program only hands out names and counts. The index is then written part by
part, without touching the audio. So memory does not grow with the corpus, but for its table of names (some 600 bytes a
clip), and a worker holds some 140 MB, whichever program started it: 0.4 GB in all with two workers.

A part appears by rename; the index, which makes a shard whole, comes last. A preparation that is stopped, even killed,
goes on from the parts there are. The key comes from the tables, from all that decides what is kept and from pieces of
the audio, not from where the corpus lies, so runs share shards; of two processes that prepare the same, one waits for
the other. A part is made again where a clip's file has another size than it had, or was written since: that costs a
look at every file, some 5 s for a million on a local disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from asrdemo import corpus, text
from asrdemo.errors import TrainingError
from asrdemo.finetune import parts, select, shards
from asrdemo.finetune.recipe import Recipe, TrainCorpus
from asrdemo.finetune.shards import Column, Shard, load
from asrdemo.types import SAMPLE_RATE, Progress

__all__ = ["Column", "Shard", "load", "prepare"]

MOST_WORKERS = 8
_USUAL_SECONDS = 6.0  # of a clip whose length nothing tells, to guess the room it needs
_SLACK = 64 << 20  # bytes of disk that must stay free
_LOOKS = 25  # parts, 10,000 clips, between two words on how far the look at the files is
_WAIT = 0.5  # seconds between two looks at who else works


def prepare(
    source: select.Source, recipe: Recipe, home: Path, progress: Progress | None = None, *, workers: int | None = None
) -> Shard:
    """The shard of one corpus of the recipe under `home`, made now if it is not there yet.

    Clips longer than the recipe's limit are left out of training, never out of a dev set; clips without text only of a
    recipe that trains on texts. A clip that is missing or cannot be decoded is listed in the shard's quarantine.tsv.
    Clips whose files have changed since are taken in again.
    workers: processes, by default one a core; 1 works in this process. progress: told of clips; what it raises stops
    the work, and the next call goes on from there.
    Raises TrainingError (nothing usable, more than half broken, no room, a damaged shard), NotFoundError, CorpusError,
    ConfigError.
    """
    opened = select.corpus_of(source, progress)
    chosen = select.choose(opened, source, recipe.seed)
    most = recipe.clips.max_seconds if isinstance(source, TrainCorpus) else float("inf")
    rules = parts.Rules(recipe.normalisation, recipe.clips.min_seconds, most, texts=recipe.mode != "pretrain")
    tell = progress or _silent
    Path(home).mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another process that unpacks {opened.name}"
    with _alone(Path(home), lambda: tell(0, 0, waiting)) if opened.archived else nullcontext():
        audio = opened.audio_fingerprint(Column(chosen.rows.column("name")), progress)
    key = _key([opened.fingerprint(source.split), audio], rules, chosen.rows)
    work = _Work(opened, chosen, rules, Path(home) / f"{source.split}-{key}", key, progress or _silent)
    if not work.up_to_date():
        work.folder.mkdir(parents=True, exist_ok=True)
        with _alone(work.folder, work.wait):
            if not work.up_to_date():  # nobody else has made it meanwhile
                work.run(workers or _cores())
    return load(work.folder, source.id)


@dataclass(frozen=True)
class _Work:
    """The making of one shard."""

    opened: corpus.Corpus
    chosen: select.Selection
    rules: parts.Rules
    folder: Path
    key: str
    progress: Progress

    def up_to_date(self) -> bool:
        """Whether the shard is whole, and every clip's file as it was. Raises TrainingError for a damaged shard."""
        note = shards.note_of(self.folder)
        if note is None:
            return False
        for i, (name, _) in enumerate(note["parts"]):
            if i % _LOOKS == 0:
                self.progress(i, len(note["parts"]), f"looking at the clips of {self._label}")
            if self._changed(i, self.folder / name):
                return False
        return True

    def run(self, workers: int) -> None:
        """Make what lacks, then the index. Raises TrainingError and whatever progress raises."""
        total, there = self.chosen.rows.num_rows, self._parts()
        bad = {i: _unreadable(part) for i, part in there.items()}
        todo = [i for i in range(self._count) if i not in there or self._changed(i, there[i])]
        self._check_room(todo)
        self.opened.take((name for i in todo for name in self._rows(i).column("name").to_pylist()), self.progress)
        done = total - sum(self._rows(i).num_rows for i in todo)
        broken = sum(clips for i, clips in bad.items() if i not in todo)
        tasks = (self._task(i, there.get(i)) for i in todo)
        note = f"preparing {self._label}"
        self.progress(done, total, note)
        with closing(parts.make_all(tasks, min(workers, len(todo)))) as made:
            for clips, unreadable in made:
                done, broken = done + clips, broken + unreadable
                self.progress(done, total, note)
                if 2 * broken > total:
                    self._give_up(broken, done)
        there = self._parts()
        shards.finish(self.folder, self.key, [there[i] for i in range(self._count)], self.chosen.left_out)

    def wait(self) -> None:
        """Tell how far the process is that this one waits for."""
        total = self.chosen.rows.num_rows
        done = min(total, len(list(self.folder.glob("part-*.arrow"))) * parts.CLIPS)
        self.progress(done, total, f"waiting for another process that prepares {self._label}")

    @property
    def _label(self) -> str:
        return f"{self.opened.name}, {self.folder.name.rpartition('-')[0]}"

    @property
    def _count(self) -> int:
        return -(-self.chosen.rows.num_rows // parts.CLIPS)

    def _rows(self, i: int) -> pa.Table:
        return self.chosen.rows.slice(i * parts.CLIPS, parts.CLIPS)

    def _task(self, i: int, before: Path | None) -> parts.Task:
        """before: a part to take the place of; it stays, for a run may be reading it."""
        target = self.folder / f"part-{i:05d}.{_version(before) + 1 if before else 0}.arrow"
        rows = self._rows(i).select(list(select.TEXT)).to_pydict()
        return parts.Task(str(target), str(self.opened.clips), rows, self.rules)

    def _parts(self) -> dict[int, Path]:
        """The newest whole file of each part there is; what a killed process left half written is removed."""
        for left in self.folder.glob(".*.arrow.*"):
            left.unlink(missing_ok=True)
        there = sorted(self.folder.glob("part-*.arrow"), key=lambda part: (_version(part), _number(part)))
        return {_number(p): p for p in there if parts.whole(p, self._rows(_number(p)).num_rows)}

    def _changed(self, i: int, part: Path) -> bool:
        """Whether a clip of this part has another file than it was made of. One that is gone is no change, nor is an
        older one of the same size: so copies of a corpus with times of their own can take turns."""
        names = self._rows(i).column("name").to_pylist()
        for name, (size, changed) in zip(names, shards.stamps_of(part), strict=True):
            now, written = parts.stamp(f"{self.opened.clips}/{name}")
            if now >= 0 and (now != size or written > changed and not self.opened.archived):
                return True
        return False

    def _check_room(self, todo: list[int]) -> None:
        """Raises TrainingError unless the disk has room for these parts."""
        seconds = [self._rows(i).column("seconds").to_numpy() for i in todo]
        needed = sum(float(np.nan_to_num(s, nan=_USUAL_SECONDS).sum()) for s in seconds) * SAMPLE_RATE * 2
        free = shutil.disk_usage(self.folder).free
        if needed + _SLACK > free:
            raise TrainingError(
                f"To prepare {self._label} takes about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in "
                f"{self.folder.parent}. Make room, set ASRDEMO_HOME to a larger disk, or take fewer `hours`."
            )

    def _give_up(self, broken: int, done: int) -> None:
        """Too much is broken: keep nothing, so that the next call looks at every file again."""
        found = [row for part in self._parts().values() for row in shards.left_out_of(part)[1]]
        examples = [f"{row['name']} ({row['detail']})" for row in found if row["reason"] in parts.UNREADABLE]
        for part in self.folder.glob("part-*.arrow"):
            part.unlink()
        raise TrainingError(
            f"More than half of the clips of {self._label} are broken: {broken:,} of {self.chosen.rows.num_rows:,} "
            f"({done:,} looked at) are missing or cannot be decoded, such as {'; '.join(examples[:3])}. Expected audio "
            f"in {self.opened.clips}; copy or download the corpus again."
        )


def _key(content: list[str], rules: parts.Rules, rows: pa.Table) -> str:
    """Twelve hex digits of all that decides what a shard holds. content: fingerprints of the split and its audio."""
    profile = text.fingerprint(rules.profile)
    settled = [shards.FORMAT, parts.CLIPS, *content, profile, rules.least, rules.most, rules.texts]
    digest = hashlib.sha256(json.dumps(settled).encode())
    for batch in rows.select(["name"]).to_batches(max_chunksize=10_000):
        digest.update("\n".join([*batch.column("name").to_pylist(), ""]).encode())
    return digest.hexdigest()[:12]


@contextmanager
def _alone(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Work in a folder that no other process works in; `wait` is called again and again until it is free."""
    with (folder / "lock").open("w") as handle:
        while not _locked(handle):
            wait()
            time.sleep(_WAIT)
        yield


def _locked(handle: IO[str]) -> bool:
    """Take the lock, which this process loses when it ends, however it ends; False while another one holds it."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a file system without locks: two would do the same work twice
        return True
    return True


def _number(part: Path) -> int:
    return int(part.name.removeprefix("part-").split(".")[0])


def _version(part: Path) -> int:
    return int(part.name.split(".")[1])


def _unreadable(part: Path) -> int:
    return sum(row["reason"] in parts.UNREADABLE for row in shards.left_out_of(part)[1])


def _silent(done: int, total: int, note: str) -> None:
    pass


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cores)
