"""Every recipe that ships goes its whole way, small: its smoke section trains a few steps on the demo corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrdemo import registry
from asrdemo.finetune import journal, recipe, train

ROOT = Path(__file__).resolve().parent.parent
SMALL = sorted(p for p in (ROOT / "recipes").glob("*.yaml") if p.stem != "demo-en")  # test_finetune_train.py runs that


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.stem)
def test_a_recipe_runs(path, shards, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    chosen = recipe.load(path, smoke=True)
    assert train.run(chosen, tmp_path / "run", shards, registry.read()) == ""
    best = journal.read_json(tmp_path / "run" / "best.json")
    assert best["step"] <= chosen.batches.max_steps and (tmp_path / "run" / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.stem)
def test_a_recipe_says_how_to_run_it(path):
    plain = recipe.load(path)
    assert f"recipes/{path.name}" in path.read_text() and plain.train and (plain.dev or plain.mode == "pretrain")
