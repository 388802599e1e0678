"""asrdemo.finetune.sweep: the same recipe with more and more speech, its runs, its curve, and how the page draws it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asrdemo import process, registry
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune import runs, scores, select, sweep
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.ui.finetune import run_handlers
from asrdemo.ui.finetune.handlers import Desk
from asrdemo.ui.services import Services
from tests import fake_runs

TESTS = Path(__file__).resolve().parent
ONE: dict[str, Any] = {
    "name": "How much?",
    "base": {"checkpoint": "demo-en"},
    "train": [{"id": "own", "folder": "demo-corpus"}],
    "dev": [{"id": "ear", "folder": "demo-corpus"}],
}
TWO = ONE | {"train": [{"id": "own", "folder": "demo-corpus"}, {"id": "others", "folder": "demo-corpus"}]}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An app's home; nothing that began there goes on after the test."""
    yield tmp_path
    for run in runs.runs(tmp_path):
        process.kill(run.folder)


def started(home: Path, hours: list[float], recipe: dict[str, Any] = ONE, **more: Any) -> list[runs.Run]:
    """A sweep of the trainer that never ends by itself."""
    environment = {"PYTHONPATH": str(TESTS), "STEPS": "9999"}
    return sweep.start(home, recipe, hours, environment=environment, _trainer="stand_in_trainer", **more)


def trained_on(run: runs.Run) -> dict[str, float]:
    """Hours of each training corpus that the run's recipe asks for."""
    return {source.id: source.hours for source in recipes.load(run.folder / runs.RECIPE).train}


def finish(run: runs.Run, wrong: int, hours: float, clips: int) -> None:
    """Leave what a trainer leaves. wrong: words of ten, in each clip of eight speakers; one more for half of them."""
    process.kill(run.folder)
    process.write_json(run.folder / process.STATUS, {"state": "complete"})
    own = {"hours": hours, "clips": clips}
    process.write_json(run.folder / "data.json", {"train": {"own": own, "others": {"hours": 9.0, "clips": 999}}})
    for file, rate in ((scores.BEFORE, 8), (scores.AFTER, wrong)):
        heard = [(f"s{s}", "", 10, rate + s % 2) for s in range(8) for _ in range(3)]
        scores.write(run.folder / file, [fake_runs.table({"exam": heard})])
        process.write_json(run.folder / file.replace("parquet", "json"), {})


def test_each_amount_is_a_run_the_smallest_first_and_less_is_a_part_of_more(home: Path) -> None:
    begun = started(home, [10, 0.2, 1])
    assert [run.name for run in begun] == ["How-much-12min", "How-much-1h", "How-much-10h"]
    assert [trained_on(run) for run in begun] == [{"own": 0.2}, {"own": 1.0}, {"own": 10.0}]
    tickets = [runs.read(home, run.name).ticket for run in begun]
    assert tickets == sorted(tickets) and len(set(tickets)) == 3, "they train in this order"
    corpus = select.corpus_of(recipes.from_dict(ONE).train[0])
    drawn = []
    for amount in (0.02, 0.05):
        data = sweep._with(ONE, amount, "", "s")
        parsed = recipes.from_dict(data)
        drawn.append(set(select.rows(corpus, parsed.train[0], parsed.seed)["name"].to_pylist()))
    assert drawn[0] < drawn[1] and drawn[0]


def test_a_sweep_is_known_by_what_its_runs_say_and_not_by_their_names(home: Path) -> None:
    first = started(home, [1, 2])
    (home / "runs" / first[0].name).rename(home / "runs" / "anything")
    alone, lock = runs._new_folder(home / "runs", "How-much-3h", "", json.dumps(ONE), {"started": 1.0})
    lock.close()
    found = runs.runs(home)
    assert sweep.names(found) == ["How-much"] and sweep.part_of(runs.read(home, alone.name)) is None
    assert [(p.run.name, p.part.hours) for p in sweep.points(found, "How-much")] == [
        ("anything", 1.0), (first[1].name, 2.0)
    ]  # fmt: skip
    (home / "runs" / "anything" / runs.RECORD).write_text('{"started": 1.0, "sweep": {"name": 3, "hours": "x"}}')
    assert [p.part.hours for p in sweep.points(runs.runs(home), "How-much")] == [2.0], "what is damaged is left out"


def test_the_same_again_is_a_sweep_of_its_own_and_a_named_one_grows(home: Path) -> None:
    started(home, [1])
    assert [run.name for run in started(home, [1, 2])] == ["How-much-2-1h", "How-much-2-2h"]
    started(home, [3], name="How-much")
    curve = [point.part.hours for point in sweep.points(runs.runs(home), "How-much")]
    assert curve == [1.0, 3.0]
    with pytest.raises(ConfigError, match="'How-much' has 3 h already"):
        started(home, [3, 4], name="How-much")
    with pytest.raises(ConfigError, match="of another recipe, or over another corpus"):
        started(home, [5], ONE | {"seed": 2}, name="How-much")
    assert len(runs.runs(home)) == 4, "what is refused starts nothing"


def test_one_corpus_is_varied_or_all_by_their_shares(home: Path) -> None:
    (run,) = started(home, [0.5], TWO, corpus="own")
    assert trained_on(run) == {"own": 0.5, "others": 0.0} and sweep.part_of(run) == sweep.Part("How-much", 0.5, "own")
    shares = [source | {"hours": hours} for source, hours in zip(TWO["train"], (3.0, 1.0), strict=True)]
    (run,) = started(home, [2], TWO | {"train": shares, "publish": {"title": "Mine"}}, name="shared")
    assert trained_on(run) == {"own": 1.5, "others": 0.5}
    assert recipes.load(run.folder / runs.RECIPE).publish.title == "Mine, 2 h", "lists tell them apart"
    assert [r.name for r in started(home, [4], TWO | {"train": shares, "publish": {"title": "Mine"}}, name="shared")]


@pytest.mark.parametrize(
    ("hours", "recipe", "corpus", "says"),
    [
        ([], ONE, "", "amounts of speech are none; expected one or more"),
        ([1, 0], ONE, "", "are 1 0; expected one or more, in hours, each above 0"),
        ([float("nan")], ONE, "", "are nan; expected"),
        ([1, 1.0001], ONE, "", "all but the same"),
        ([1], TWO, "", r"trains on 2 corpora \(own, others\). Say which"),
        ([1], TWO, "theirs", "no corpus 'theirs'; its training corpora are: own, others"),
        ([1], ONE | {"mode": "pretrain"}, "", "pre-training has none"),
        ([1], ONE | {"sede": 1}, "", "unknown key 'sede'"),
    ],
)
def test_what_makes_no_curve_starts_nothing(
    home: Path, hours: list[float], recipe: dict[str, Any], corpus: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        started(home, hours, recipe, corpus=corpus)
    assert not runs.runs(home)


def test_the_curve_tells_what_there_was_and_what_came_of_it(home: Path) -> None:
    few, many, last = started(home, [0.1, 1, 5], TWO, corpus="own")
    finish(few, wrong=5, hours=0.099, clips=70)
    finish(many, wrong=2, hours=0.6, clips=400)
    one, two, three = sweep.points(runs.runs(home), "How-much")
    assert (one.hours, one.clips, two.hours, two.clips) == (0.099, 70, 0.6, 400), "of the varied corpus alone"
    assert [(line.set, line.measure) for line in one.rates] == [("exam", name) for name in sweep.MEASURES]
    line = two.rates[0]
    assert line.before and line.after and (line.before.value, line.after.value, line.clips) == (0.85, 0.25, 24)
    assert line.after.low is not None and line.after.low < 0.25 < (line.after.high or 0)
    assert three.rates == () and three.run.name == last.name and (three.hours, three.clips) == (0.0, 0)
    finish(many, wrong=3, hours=0.6, clips=400)  # gone on with: the figures are those of now
    assert sweep.points(runs.runs(home), "How-much")[1].rates[0].after.value == 0.35
    with pytest.raises(NotFoundError, match="no sweep 'other'; there are: How-much"):
        sweep.points(runs.runs(home), "other")


def page(home: Path, name: str) -> str:
    """The curves of a run as the page shows them."""
    settings = Settings(home=home)
    return run_handlers.watch(Desk(Services(Transcriber(registry.read(), settings), settings)), name).curves.replace(
        "\xa0", " "
    )


def test_the_page_draws_the_curve_of_the_sweep(home: Path) -> None:
    few, many, _ = started(home, [0.1, 1, 5], TWO, corpus="own")
    assert "No run of it is over yet" in page(home, few.name)
    finish(few, wrong=5, hours=0.1, clips=70)
    finish(many, wrong=2, hours=0.6, clips=400)
    shown = page(home, many.name)
    assert "How much speech is enough?" in shown and "sweep <b>How-much</b>" in shown and "of <b>own</b>" in shown
    label = re.search(r'aria-label="(How much speech[^"]+)"', shown)
    assert label and label[1].startswith("How much speech is enough? exam (24 clips): base 85.0 % (")
    assert (
        "6 min (70 clips to learn from) 55.0 % (" in label[1] and "36 min (400 clips to learn from) 25.0 %" in label[1]
    )
    assert "exam with LM (24 clips)" in label[1], "decoded with the language model, too"
    assert shown.count('class="interval"') == 2 * 2 * 2, "two runs, two lines, in two sizes"
    assert shown.count('class="line base"') == 2 * 2
    assert "36 min</b>" in shown and "of 1 h asked for" in shown
    assert re.search(r">5 h</a>.*?(▶ trains|… waits)", shown), "a run that is not over is named as such"
    assert f"run={few.name}" in shown and f"run={many.name}" not in shown, "the others can be opened"


def test_equal_factors_are_equally_far_apart(home: Path) -> None:
    """Marks of 0.1, 1 and 10 hours lie at equal distances."""
    for run, hours in zip(started(home, [0.1, 1, 10], TWO, corpus="own"), (0.1, 1.0, 10.0), strict=True):
        finish(run, 3, hours, 10)
    shown = page(home, "How-much-1h")
    greedy = re.search(r'class="wide".*?<path d="(M[^"]+)" class="line" ', shown)
    assert greedy
    x = [float(place.split(" ")[0]) for place in greedy[1][1:].split("L")]
    assert len(x) == 3 and x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2) and x[1] - x[0] > 100


def test_a_run_by_itself_has_no_such_curve_and_damage_is_told(home: Path) -> None:
    (run,) = started(home, [1])
    finish(run, 3, 1.0, 10)
    (run.folder / scores.AFTER).write_bytes(b"not a table")
    assert "after.parquet of the run &#x27;How-much-1h&#x27; cannot be read" in page(home, run.name)
    alone, lock = runs._new_folder(home / "runs", "alone", "", json.dumps(ONE), {"started": 1.0})
    lock.close()
    assert "How much speech" not in page(home, alone.name)
