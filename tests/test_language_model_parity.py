"""Perplexities beside those that lmplz gave for the same texts (recorded; lmplz itself is not needed)."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path

import pytest

from asrdemo.decoding.lm_build import BuiltLanguageModel, build_language_model
from benchmarks.language_model import RECORD, synthetic, texts

ROWS = json.loads(RECORD.read_text(encoding="utf-8"))["rows"]
REPRODUCIBLE = ("synthetic", "tiny", "speechocean762 and an4")


@lru_cache(maxsize=1)
def material() -> dict[str, tuple[list[str], list[str]]]:
    return texts()


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r["text"] in REPRODUCIBLE], ids=lambda r: f"{r['text']}-{r['order']}"
)
def test_perplexity_agrees_with_lmplz(tmp_path: Path, row: dict) -> None:
    if row["text"] not in material():
        pytest.skip("real corpora (../shared/corpora) are not on this machine")
    train, held_out = material()[row["text"]]
    assert sum(len(s.split()) for s in train) == row["words"]
    built = build_language_model(train, row["order"], tmp_path / "lm.arpa", "raw", builder="built-in")
    found = built.load().perplexity(held_out)
    assert found.with_unknown == pytest.approx(row["lmplz"]["with_unknown"], rel=1e-5)
    assert found.without_unknown == pytest.approx(row["lmplz"]["without_unknown"], rel=1e-5)


def test_the_recorded_figures_cover_every_order() -> None:
    for text in REPRODUCIBLE:
        assert [r["order"] for r in ROWS if r["text"] == text] == [1, 2, 3, 4, 5]


@pytest.mark.skipif(shutil.which("lmplz") is None, reason="lmplz is not on the PATH")
@pytest.mark.parametrize("order", [2, 3, 5])
def test_both_builders_agree(tmp_path: Path, order: int) -> None:
    text = synthetic(300, seed=7, vocabulary=60)
    ours, theirs = (
        build_language_model(text, order, tmp_path / f"{b}.arpa", "raw", builder=b) for b in ("built-in", "lmplz")
    )
    assert theirs.builder == "lmplz" and theirs.counts == ours.counts

    def perplexity(built: BuiltLanguageModel) -> float:
        return built.perplexity(synthetic(50, seed=8, vocabulary=70)).with_unknown

    assert perplexity(ours) == pytest.approx(perplexity(theirs), rel=1e-5)
