"""Finished runs without training: a run directory as the trainer leaves it, with scores that were made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs, scores

RECIPE: dict[str, Any] = {
    "name": "A Scottish run",
    "base": {"checkpoint": "demo-en"},
    "train": [{"id": "own", "folder": "demo-corpus", "accents": ["Scottish English"]}],
    "dev": [{"id": "ear", "folder": "demo-corpus"}],
    "test": [{"id": "exam", "folder": "demo-corpus", "split": "test"}],
    "publish": {"id": "scots", "title": "Scots"},
}


def table(sets: dict[str, Sequence[tuple[str, str, int, int]]]) -> pa.Table:
    """Scores of clips: set -> (speaker, accent, words, edits) each. There are five characters a word, and as many of
    them wrong as there are words wrong. With a language model half of the errors are gone."""
    rows = [(name, i, *clip) for name, clips in sets.items() for i, clip in enumerate(clips)]
    return pa.table(
        {
            "set": [row[0] for row in rows],
            "clip": [f"{row[0]}-{row[1]}.wav" for row in rows],
            "speaker": [row[2] for row in rows],
            "accents": [row[3] for row in rows],
            "gender": ["" for _ in rows],
            "words": [row[4] for row in rows],
            "edits": [row[5] for row in rows],
            "characters": [5 * row[4] for row in rows],
            "letters": [row[5] for row in rows],
            "lm_edits": [row[5] // 2 for row in rows],
            "lm_letters": [row[5] // 2 for row in rows],
        }
    )


def make(home: Path, best: Path, name: str = "scottish", **recipe: Any) -> Path:
    """A complete run of RECIPE with these weights. Test: twelve speakers in two accents, four clips each."""
    folder, lock = runs._new_folder(home / "runs", name, "", json.dumps(RECIPE | recipe), {"started": 1.0})
    lock.close()
    settled = recipes.as_dict(recipes.settled(recipes.from_dict(RECIPE | recipe), "tiny"))
    files: dict[str, Any] = {
        "status.json": {"state": "complete", "updated": 1.7e9},
        "recipe.json": settled,
        "data.json": {
            "train": {"own": {"clips": 40, "hours": 0.5, "dropped": {"longer than 15.0 s": ["a.mp3", "b.mp3"]}}},
            "dev": {"ear": {"clips": 8, "hours": 0.01}},
            "infeasible": ["c.mp3"],
        },
        "best.json": {"step": 30},
        "provenance.json": {
            "base": {"fingerprint": "abc123", "kind": "tiny"},
            "device": "CPU",
            "versions": {"torch": "2"},
        },
    }
    for file, data in files.items():
        (folder / file).write_text(json.dumps(data))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 40, "seconds": 300.0, "audio_hours": 1.5}) + "\n")
    (folder / "best").symlink_to(best)
    clips = [(f"s{s}", "Scottish English" if s < 6 else "Welsh", 10, s) for s in range(12) for _ in range(4)]
    ear = [("s20", "", 10, 3), ("s21", "", 10, 4)] * 4
    scores.write(folder / scores.BEFORE, [table({"exam": clips, "ear": ear})])
    better = [(who, accent, n, max(0, e - 2) if accent == "Scottish English" else e + 1) for who, accent, n, e in clips]
    scores.write(folder / scores.AFTER, [table({"exam": better, "ear": ear})])
    return folder
