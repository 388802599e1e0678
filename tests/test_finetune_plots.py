"""The picture of a run's curves that lies in its folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asrdemo.finetune import in_job, journal, plots, train
from asrdemo.registry import Registry
from tests.fake_models import make
from tests.test_finetune_train import tone_corpus, tuning_recipe

SVG = "{http://www.w3.org/2000/svg}"
RECORDS = [
    {"step": 0, "eval_an4_wer": 0.5, "eval_an4_lm_wer": 0.4, "eval_an4_loss": 1.2, "eval_now_selection": 0.5},
    {"step": 10, "loss": 2.0, "grad_norm": 3.0},
    {"step": 20, "loss": float("nan")},
    {"step": 30, "loss": 1.0},
    {"step": 40, "eval_an4_wer": 0.25, "eval_an4_lm_wer": 0.2, "eval_an4_loss": 0.6, "eval_selection": 0.25},
]


def run(folder: Path, records: list[dict] = RECORDS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / journal.METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def drawn(folder: Path) -> ElementTree.Element:
    plots.write(folder)
    return ElementTree.fromstring((folder / plots.FILE).read_text(encoding="utf-8"))


def test_error_rates_and_losses_are_what_the_metrics_say():
    rates, losses = plots.read(RECORDS)
    assert rates.lines == {"an4": [(0, 50.0), (40, 25.0)], "an4 with LM": [(0, 40.0), (40, 20.0)]}
    assert losses.lines == {"an4": [(0, 1.2), (40, 0.6)], plots.TRAINING: [(10, 2.0), (30, 1.0)]}
    assert plots.read([{"step": 1, "epoch": 0.1}]) == []
    (pretraining,) = plots.read([{"step": 5, "eval_a_contrastive": 2.5, "eval_a_accuracy": 0.1}])
    assert pretraining.lines == {"a": [(5, 2.5)]}


def test_it_is_a_picture_of_its_own(tmp_path):
    """Drawn with nothing but the file: a background, colours and sizes, and what it shows in words."""
    picture = drawn(run(tmp_path / "scots <1>"))
    assert picture.tag == f"{SVG}svg" and picture.find(f"{SVG}rect").get("fill") == "#fff"
    assert picture.find(f"{SVG}title").text == "Curves of scots <1>"
    said = picture.find(f"{SVG}desc").text
    assert "an4: 25.0 % (lowest 25.0 % at step 40)" in said and "training: 1.000" in said
    text = (tmp_path / "scots <1>" / plots.FILE).read_text()
    assert not re.search(r"class=|<script|href|url\(", text), "neither a style sheet nor anything from elsewhere"
    assert [p.name for p in (tmp_path / "scots <1>").iterdir() if p.name.endswith(".part")] == []


def test_lines_go_where_their_numbers_are(tmp_path):
    """25 and 50 % on an axis to 50: the middle and the top; half of the loss: half the height."""
    panel = drawn(run(tmp_path / "run")).findall(f"{SVG}g")[0]
    (line, *_) = [p.get("d") for p in panel.findall(f"{SVG}path") if p.get("fill") == "none"]
    (x0, y0), (x1, y1) = [tuple(map(float, pair.split())) for pair in line[1:].split("L")]
    grid = [float(p.get("d").split()[1].split("H")[0]) for p in panel.findall(f"{SVG}path") if "H" in p.get("d")]
    assert y0 == pytest.approx(min(grid)) and y1 == pytest.approx((min(grid) + max(grid)) / 2)
    assert x0 == plots._LEFT and x1 > plots._WIDTH - 20


def test_it_follows_the_run_and_stays_small(tmp_path):
    folder = run(tmp_path / "run", [])
    plots.write(folder)
    assert not (folder / plots.FILE).exists(), "nothing to draw yet"
    long = [{"step": i, "loss": 1e6 if i == 0 else 3.0 + (i % 7) / 10} for i in range(5000)]
    picture = drawn(run(folder, long))
    assert (folder / plots.FILE).stat().st_size < 20_000
    ticks = [t.text for t in picture.iter(f"{SVG}text")]
    assert [t for t in ticks if t.isdigit() or "," in t][-4:] == ["0", "1,500", "3,000", "4,500"]
    values = [float(t.text) for t in picture.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    assert max(values) == 4, "a first loss that is far out does not flatten the rest"
    assert "3." in drawn(run(folder, [*long, {"step": 5000, "eval_a_wer": 0.3}])).find(f"{SVG}desc").text


@pytest.mark.parametrize(
    ("values", "end"), [([0.0], 0.001), ([3.2], 4), ([0.26], 0.3), ([100.0], 100), ([7.0, 9.9], 10)]
)
def test_axes_end_at_round_numbers(values, end):
    assert plots.ceiling(values) == end


def test_thinning_keeps_both_ends():
    points = [(i, i * i) for i in range(1001)]
    few = plots.thinned(points, 11)
    assert few == [points[i] for i in range(0, 1001, 100)] and plots.thinned(points[:5], 11) == points[:5]


def test_a_run_leaves_it_in_its_folder_and_a_job_sends_it(tmp_path):
    tones = tone_corpus(tmp_path / "corpus", 8, 1)
    recipe = tuning_recipe(tones, make(tmp_path / "base"), batches={"max_steps": 2})
    train.run(recipe, tmp_path / "run", tmp_path / "shards", Registry({}))
    rates, losses = plots.read(journal.lines(tmp_path / "run" / journal.METRICS))
    assert [step for step, _ in rates.lines["tones"]] == [0, 2] and len(losses.lines[plots.TRAINING]) == 2
    said = ElementTree.fromstring((tmp_path / "run" / plots.FILE).read_text()).find(f"{SVG}desc").text
    assert f"tones: {rates.lines['tones'][-1][1]:.1f} %" in said, "up to the last evaluation"
    assert plots.FILE in in_job.RESULTS
