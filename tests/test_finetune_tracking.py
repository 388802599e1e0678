"""What a run tells TensorBoard and trackio is what its own metrics say."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from asrdemo.finetune import base, journal, train
from asrdemo.registry import Registry
from tests.fake_models import make
from tests.test_finetune_train import metrics, tone_corpus, tuning_recipe

OURS_ALONE = {"step", "seconds", "audio_hours", "memory_gb", "gpu_gb"}  # added to the metrics by the loop


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A recipe of four steps with an evaluation at every second, and where its shards lie."""
    home = tmp_path_factory.mktemp("home")
    tones = tone_corpus(home / "corpus", 8, 1)
    return tuning_recipe(tones, make(home / "base"), evaluation={"every_steps": 2}), home / "shards"


def told(run: Path) -> dict[tuple[str, int], float]:
    """The metrics as trackers name them: (train/... or eval/..., step) -> value."""
    return {
        (f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}", record["step"]): value
        for record in metrics(run)
        for name, value in record.items()
        if name not in OURS_ALONE
    }


def only(monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    """As if no other tracker were installed."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name in {"tensorboard", "tensorboardX", "trackio"} - {*installed} else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_tensorboard_shows_the_metrics_of_the_run(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    only(monkeypatch, "tensorboard")
    recipe, shards = begun
    train.run(recipe, tmp_path / "run", shards, Registry({}))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    shown = {(tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}
    expected = told(tmp_path / "run")
    assert {name for name, _ in expected} >= {"train/loss", "train/grad_norm", "eval/tones_wer", "eval/tones_loss"}
    assert {step for name, step in expected if name == "eval/tones_wer"} == {0, 2, 4}
    assert shown == {key: pytest.approx(value, rel=1e-6) for key, value in expected.items() if key in shown}
    assert {name for name, _ in expected} == {name for name, _ in shown} and shown.keys() == expected.keys()


class Trackio(ModuleType):
    """Stands in for the package, as transformers calls it; keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
        self.context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))
        self.begun: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.finished = 0
        self.config = Config()

    def init(self, **asked: Any) -> None:
        self.begun.append(asked)

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished += 1


class Config(dict[str, Any]):
    def update(self, values: Any, allow_val_change: bool = False) -> None:
        super().update(values)


def test_trackio_is_told_the_same_under_the_name_of_the_run(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackio = Trackio()
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    only(monkeypatch, "trackio")
    recipe, shards = begun
    train.run(recipe, tmp_path / "run-7", shards, Registry({}))
    logged = {(name, told["train/global_step"]): v for told in trackio.logged for name, v in told.items()}
    assert {key: v for key, v in logged.items() if key[0] != "train/global_step"} == told(tmp_path / "run-7")
    (asked,) = trackio.begun
    assert (asked["project"], asked["name"]) == (recipe.name, "run-7") and asked["space_id"] is None, "stays here"
    assert trackio.finished == 1 and trackio.config["model/num_parameters"] > 1000


def test_nothing_installed_nothing_asked_for(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    start = base.open_base(begun[0], None, Registry({}))
    assert train._arguments(begun[0], tmp_path, start, resume=False).report_to == []


def test_a_folder_called_tensorboard_is_not_the_package(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts a run in the folder of another has one beside him."""
    raise NotImplementedError


def test_a_run_that_goes_on_leaves_one_line(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise NotImplementedError
