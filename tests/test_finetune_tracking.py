"""What a run tells TensorBoard and trackio is what its own metrics say."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from asrdemo.finetune import base, loop, train
from asrdemo.registry import Registry
from tests.fake_models import make
from tests.test_finetune_train import metrics, tone_corpus, tuning_recipe

EPOCH = "train/epoch"  # transformers' own, and without a meaning: the stream has no end
OURS_ALONE = {"step", "seconds", "audio_hours", "memory_gb", "gpu_gb"}  # added to the metrics by the loop
AT_THE_END = {f"train/{n}" for n in ("train_runtime", "train_samples_per_second", "train_steps_per_second")}
NOT_FOR_TRACKIO = AT_THE_END | {"train/train_loss", "train/total_flos"}  # transformers leaves them out


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


def shown(run: Path) -> list[tuple[tuple[str, int], float]]:
    """((name, step), value) of what TensorBoard draws, as told() names it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return [((tag, event.step), event.value) for tag in events.Tags()["scalars"] if tag != EPOCH
            for event in events.Scalars(tag)]  # fmt: skip


def test_tensorboard_shows_the_metrics_of_the_run(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    only(monkeypatch, "tensorboard")
    recipe, shards = begun
    train.run(recipe, tmp_path / "run", shards, Registry({}))
    expected = told(tmp_path / "run")
    assert {name for name, _ in expected} >= {"train/loss", "train/grad_norm", "eval/tones_wer", "eval/tones_loss"}
    assert {step for name, step in expected if name == "eval/tones_wer"} == {0, 2, 4}
    assert dict(shown(tmp_path / "run")) == {key: pytest.approx(value, rel=1e-6) for key, value in expected.items()}


def test_tensorboard_forgets_what_a_killed_sitting_wrote_beyond_its_checkpoint(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those steps come again; drawn twice, the curve would run backwards."""
    pytest.importorskip("tensorboard")
    only(monkeypatch, "tensorboard")
    recipe, shards = begun
    recipe = dataclasses.replace(recipe, evaluation=dataclasses.replace(recipe.evaluation, save_minutes=1e-9))
    real = loop.Minder.on_step_begin

    def killed(self: loop.Minder, args: Any, state: Any, *more: Any, **others: Any) -> None:
        real(self, args, state, *more, **others)
        if state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Minder, "on_step_begin", killed)
        train.run(recipe, tmp_path / "run", shards, Registry({}))
    (tmp_path / "run" / "checkpoint-3" / "run.json").unlink()  # it was being written
    train.run(recipe, tmp_path / "run", shards, Registry({}), resume=True)
    losses = [step for (name, step), _ in shown(tmp_path / "run") if name == "train/loss"]
    assert losses == [1, 2, 3, 4]
    assert {k: v for k, v in shown(tmp_path / "run") if k[0] not in AT_THE_END} == {
        k: pytest.approx(v, rel=1e-6) for k, v in told(tmp_path / "run").items() if k[0] not in AT_THE_END
    }


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
    logged = {(name, line["train/global_step"]): v for line in trackio.logged for name, v in line.items()}
    assert {key: v for key, v in logged.items() if key[0] not in ("train/global_step", EPOCH)} == {
        key: v for key, v in told(tmp_path / "run-7").items() if key[0] not in NOT_FOR_TRACKIO
    }
    (asked,) = trackio.begun
    assert (asked["project"], asked["name"]) == (recipe.name, "run-7") and asked["space_id"] is None, "stays here"
    assert trackio.finished == 1 and trackio.config["model/num_parameters"] > 1000


def test_nothing_installed_nothing_asked_for(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    start = base.open_base(begun[0], None, Registry({}))
    assert train._arguments(begun[0], tmp_path, start, resume=False).report_to == []
