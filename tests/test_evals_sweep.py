"""evals.rescore, evals.sweep, evals.defaults: other decoder settings over kept emissions."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from asrdemo import registry
from asrdemo.errors import ConfigError, DecodingError, ResultError
from asrdemo.registry import LanguageModelSpec
from asrdemo.types import DecoderOptions
from evals import defaults, emissions_store
from evals.rescore import rescore
from evals.results import Result, open_result
from evals.sweep import Grid, Point, Sweep, measure, sweep, values
from tests import fake_corpus
from tests.fake_corpus import comparable, request, run

ROOT = Path(__file__).resolve().parent.parent
BEAM = DecoderOptions(kind="beam", beam_width=20, token_prune=-9.0, beam_prune=-30.0, unk_offset=-100.0)
"""Wide enough for a language model to correct what the fake checkpoint is 99 % sure of."""


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModelSpec:
    """Knows the sentences of the fake corpus."""
    from asrdemo.decoding import build_language_model

    out = tmp_path_factory.mktemp("lm") / "talk.arpa"
    build_language_model(list(fake_corpus.SENTENCES), 2, out, profile="en")
    return LanguageModelSpec("talk", "Talk", "en", path=out)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A greedy result of a dev split, with emissions; 17 clips in three windows, one of them set aside."""
    folder = fake_corpus.make(tmp_path_factory.mktemp("corpora") / "talk", fake_corpus.sentences(18), "dev")
    (folder / "clips" / "clip-00004.wav").unlink()
    return run(request(folder, "dev", keep_emissions=True), tmp_path_factory.mktemp("results") / "kept")


def test_the_same_settings_give_the_same_rows_and_need_no_model(kept, tmp_path):
    again = rescore(kept, DecoderOptions(), None, "en", tmp_path / "again", workers=1)
    assert comparable(again) == comparable(kept) and again.complete
    assert again.info["pins"]["rescored"] == kept.name and again.info["rtfx"] is None
    assert again.info["score"] == kept.info["score"] and again.info["quarantined"] == kept.info["quarantined"]
    heard, charged = (r.read(["acoustic_s"]).column(0).to_pylist() for r in (kept, again))
    assert heard == charged, "what hearing took stays known"


def test_beam_search_over_kept_emissions_equals_a_run_with_it(kept, language_model, tmp_path):
    options = replace(BEAM, lm="talk", alpha=0.7, beta=0.5)
    rescored = rescore(kept, options, language_model, "en", tmp_path / "rescored", workers=2)
    folder = fake_corpus.make(tmp_path / "talk", fake_corpus.sentences(18), "dev")
    (folder / "clips" / "clip-00004.wav").unlink()
    direct = run(request(folder, "dev", options=options, lm=language_model), tmp_path / "direct")
    assert comparable(rescored) == comparable(direct)
    for pins in (rescored.info["pins"], direct.info["pins"]):
        assert pins["decoder"]["lm_fingerprint"] and pins["decoder"]["alpha"] == 0.7
    assert rescored.info["score"]["wer"] != kept.info["score"]["wer"]


def test_rescoring_goes_on_only_under_its_own_settings(kept, tmp_path):
    first = rescore(kept, BEAM, None, "en", tmp_path / "one", workers=1)
    assert rescore(kept, BEAM, None, "en", tmp_path / "one", workers=1).info == first.info
    with pytest.raises(ResultError, match="normaliser.profile: was 'en', is 'default'"):
        rescore(kept, BEAM, None, "default", tmp_path / "one", workers=1)
    with pytest.raises(ResultError, match="no kept emissions"):
        rescore(first, BEAM, None, "en", tmp_path / "two", workers=1)


def test_a_result_without_its_emissions_is_refused(kept, tmp_path):
    shutil.copytree(kept.folder, tmp_path / "short")
    emissions_store.windows(tmp_path / "short")[-1].unlink()
    with pytest.raises(ResultError, match="has 17 rows and 15 kept emissions"):
        rescore(open_result(tmp_path / "short"), BEAM, None, "en", tmp_path / "out", workers=1)


def test_ranges():
    assert values("0:1.5:0.25") == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    assert values("-2:2:1") == (-2.0, -1.0, 0.0, 1.0, 2.0)
    assert values("0:1:0.1")[3] == 0.3 and values("0:1:0.4") == (0.0, 0.4, 0.8)
    assert values("5") == (5.0,) and values("1,0.5,1") == (0.5, 1.0)
    for bad in ("", "a", "0:1", "0:1:0", "1:0:1", "0:1:1e-9", "0:inf:1", "0:1:1:1"):
        with pytest.raises(ConfigError, match="is no range"):
            values(bad)


def test_the_grid_is_every_combination_within_the_decoders_ranges():
    settings = Grid((0.5, 1.0), (0.0,), (10, 20)).settings(BEAM)
    assert [(s.beam_width, s.alpha) for s in settings] == [(10, 0.5), (10, 1.0), (20, 0.5), (20, 1.0)]
    with pytest.raises(DecodingError, match="alpha is 9"):
        Grid((9.0,), (0.0,), (10,)).settings(BEAM)
    with pytest.raises(ConfigError, match="has 0 settings"):
        Grid((), (0.0,), (10,)).settings(BEAM)


def test_the_sweep_finds_the_best_and_keeps_the_surface(kept, language_model, tmp_path):
    shutil.copytree(kept.folder, tmp_path / "swept")
    result = open_result(tmp_path / "swept")
    base = replace(BEAM, lm="talk")
    told: list[int] = []
    found = sweep(
        result, Grid((0.0, 1.0, 3.0), (0.0, 2.0), (20,)), base, language_model, 2, lambda d, t, n: told.append(d)
    )
    assert told == [1, 2, 3, 4, 5, 6] and len(found.points) == 6
    assert found.best.wer == min(p.wer for p in found.points) < found.points[0].wer, "the language model must help"
    options = replace(base, alpha=found.best.alpha, beta=found.best.beta)
    alone = rescore(result, options, language_model, "en", tmp_path / "best", workers=1)
    assert alone.info["score"]["wer"] == pytest.approx(found.best.wer), "the surface says what a run would give"
    rows = list(csv.DictReader((found.folder / "surface.csv").open()))
    assert [float(r["wer"]) for r in rows] == [pytest.approx(p.wer, abs=1e-6) for p in found.points]
    page = (found.folder / "surface.html").read_text()
    assert "beam width 20" in page and 'src="http' not in page, "it works without a network"
    told.clear()
    wider = sweep(
        result, Grid((0.0, 1.0, 3.0, 4.0), (0.0, 2.0), (20,)), base, language_model, 1, lambda d, t, n: told.append(d)
    )
    assert told == [7, 8] and [p for p in wider.points if p.alpha < 4] == list(found.points), "known points are kept"


def test_settings_are_not_tuned_on_a_test_split(kept, tmp_path):
    folder = fake_corpus.make(tmp_path / "talk", fake_corpus.sentences(2), "test")
    result = run(request(folder, keep_emissions=True), tmp_path / "out")
    grid = Grid((0.5,), (0.0,), (5,))
    with pytest.raises(ResultError, match="of the split 'test'.*--any-split"):
        sweep(result, grid, BEAM, None, 1)
    assert sweep(result, grid, BEAM, None, 1, any_split=True).best.words > 0
    job_count = measure(result.folder, _job(BEAM)).words
    assert job_count == result.info["score"]["words"]


def _job(options: DecoderOptions):
    from asrdemo.decoding import Calibrations
    from evals.worker import Job

    return Job(options, None, Calibrations(), "en")


def test_of_equals_the_cheapest_is_best_and_edges_are_told():
    points = tuple(
        Point(a, b, w, 100, 10 if (a, b) != (1.0, 0.0) else 20, 0, 0)
        for w in (50, 10)
        for a in (0.5, 1.0, 2.0)
        for b in (-1.0, 0.0)
    )
    found = Sweep(Path(), points, BEAM)
    assert found.best.setting == (0.5, 0.0, 10) and found.best.wer == 0.1
    assert found.at_edge == ["alpha", "beta", "beam_width"]
    assert found.best_options == replace(BEAM, alpha=0.5, beta=0.0, beam_width=10)


def test_the_registry_uses_the_best_settings_until_they_are_deleted(tmp_path):
    home = tmp_path / "home"
    best = replace(
        DecoderOptions(kind="beam", lm="demo-lm"), alpha=1.25, beta=-1.0, beam_width=50, hotwords=("ankara",)
    )
    file = defaults.write(home, defaults.entry("demo-en", best, "WER 1 %"))
    defaults.write(home, defaults.entry("gone", best, "a checkpoint that is no longer listed"))
    known = registry.read(ROOT / "models.yaml", home)
    assert known.checkpoint("demo-en").decoder == best and list(known.checkpoints)[0] == "demo-en"
    assert list(known.checkpoints) == list(registry.read(ROOT / "models.yaml", tmp_path).checkpoints)
    defaults.write(home, defaults.entry("demo-en", replace(best, alpha=2.0), "later"))
    assert registry.read(ROOT / "models.yaml", home).checkpoint("demo-en").decoder.alpha == 2.0
    assert len(yaml.safe_load(file.read_text())["checkpoints"]) == 2
    file.unlink()
    plain = registry.read(ROOT / "models.yaml", home).checkpoint("demo-en").decoder
    assert plain != best and plain.kind == "beam"


def test_a_spoilt_file_of_defaults_is_reported(tmp_path):
    (tmp_path / "decoder-defaults.yaml").write_text("checkpoints: [{id: demo-en, decoder: {alpha: 99}}]")
    with pytest.raises(ConfigError, match=r"decoder-defaults.yaml: checkpoints\[0\] 'demo-en': decoder: alpha is 99"):
        registry.read(ROOT / "models.yaml", tmp_path)
    (tmp_path / "decoder-defaults.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="decoder-defaults.yaml"):
        registry.read(ROOT / "models.yaml", tmp_path)
    with pytest.raises(ConfigError, match="mend or delete it"):
        defaults.write(tmp_path, defaults.entry("demo-en", DecoderOptions(), ""))
