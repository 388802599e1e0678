"""A finished run becomes a checkpoint of the app, whole or not at all, and every list offers it."""

from __future__ import annotations

import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import yaml

from asrdemo import registry
from asrdemo.cli import main
from asrdemo.errors import ConfigError, NotFoundError, TrainingError
from asrdemo.finetune import register
from asrdemo.settings import Settings
from asrdemo.transcribe import Transcriber
from asrdemo.types import Clip
from asrdemo.ui import decoder_panel, models_tab
from asrdemo.ui.build import build_ui
from asrdemo.ui.services import Services
from tests import fake_runs


@pytest.fixture
def home(tmp_path: Path, tiny_checkpoint_layer: Path) -> Path:
    fake_runs.make(tmp_path, tiny_checkpoint_layer)
    return tmp_path


def test_it_hears_and_compares_like_its_base(home: Path) -> None:
    assert register.register(home, "scottish") == "scots"
    known = registry.read(home=home)
    made, base = known.checkpoint("scots"), known.checkpoint("demo-en")
    assert (made.title, made.language, made.profile, made.decoder) == ("Scots", "en", "en", base.decoder)
    assert base.title in made.note and "30 minutes" in made.note and "Scottish English" in made.note
    files = {path.name for path in (home / "checkpoints" / "scots").iterdir()}
    assert {"model.safetensors", "config.json", "vocab.json", "README.md", registry.ENTRY} <= files
    assert not [path for path in (home / "checkpoints").iterdir() if path.name.startswith(".")]
    clip = Clip(np.random.default_rng(0).standard_normal(16_000).astype(np.float32), "noise")
    heard = Transcriber(known, Settings(home=home, precision="fp32")).transcribe([clip], "scots")
    assert heard[0].checkpoint == "scots"


def test_weights_take_half_the_room(home: Path, tiny_checkpoint_layer: Path) -> None:
    register.register(home, "scottish")
    size = (home / "checkpoints" / "scots" / "model.safetensors").stat().st_size
    assert size < 0.6 * (tiny_checkpoint_layer / "model.safetensors").stat().st_size


@pytest.mark.parametrize("id", ["demo-en", "scots"])
def test_an_id_that_is_taken_is_refused_and_another_one_offered(home: Path, id: str) -> None:
    register.register(home, "scottish")
    with pytest.raises(ConfigError, match=f"already is a checkpoint '{id}'.*'{id}-2'"):
        register.register(home, "scottish", id)
    assert register.register(home, "scottish", f"{id}-2") == f"{id}-2"


def test_the_same_recipe_again_is_numbered(home: Path) -> None:
    """The page has no field for an id."""
    assert [register.register(home, "scottish") for _ in range(3)] == ["scots", "scots-2", "scots-3"]


@pytest.mark.parametrize("id", ["../out", "Big", ".new", "a/b"])
def test_an_id_that_is_none_is_refused(home: Path, id: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the id"):
        register.register(home, "scottish", id)


def test_of_two_at_once_one_gets_the_id(home: Path) -> None:
    register.register(home, "scottish", "other")  # what is imported late is imported now
    outcomes: list[object] = []

    def one() -> None:
        try:
            outcomes.append(register.register(home, "scottish", "scots"))
        except ConfigError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("scots") == 1 and sum("already is" in str(o) for o in outcomes) == 2
    assert sorted(p.name for p in (home / "checkpoints").iterdir()) == ["other", "scots"]


def test_a_failure_half_way_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TrainingError("the card cannot be written")

    monkeypatch.setattr(register.card, "write", broken)
    with pytest.raises(TrainingError, match="the card"):
        register.register(home, "scottish")
    assert not list((home / "checkpoints").iterdir())
    assert "scots" not in registry.read(home=home).checkpoints


def test_a_run_without_weights_cannot_be_registered(home: Path) -> None:
    (home / "runs" / "scottish" / "best.json").unlink()
    with pytest.raises(TrainingError, match="no best weights yet"):
        register.register(home, "scottish")


def test_a_run_that_goes_on_cannot_be_registered(home: Path) -> None:
    from asrdemo import process

    with process.Status(home / "runs" / "scottish"), pytest.raises(TrainingError, match="is running"):
        register.register(home, "scottish")


def test_taken_back_it_is_gone_and_others_cannot_be(home: Path) -> None:
    register.register(home, "scottish")
    register.unregister(home, "scots")
    assert "scots" not in registry.read(home=home).checkpoints and not list((home / "checkpoints").iterdir())
    for id in ("scots", "demo-en", "..", ".new-1", ""):
        with pytest.raises(NotFoundError, match="no registered checkpoint"):
            register.unregister(home, id)
    assert (home / "runs" / "scottish" / "best").exists()


def test_other_weights_under_an_old_id_are_loaded_anew(home: Path, tiny_checkpoint_group: Path) -> None:
    known = registry.read(home=home)
    register.register(home, "scottish")
    first = registry.with_registered(known, home).checkpoint("scots")
    register.unregister(home, "scots")
    fake_runs.make(home, tiny_checkpoint_group, "second")
    register.register(home, "second")
    again = registry.with_registered(known, home).checkpoint("scots")
    assert first != again, "caches of loaded models go by the specification"


def test_the_app_offers_it_without_a_restart_in_every_list(home: Path) -> None:
    settings = Settings(home=home)
    services = Services(Transcriber(registry.read(home=home), settings), settings)
    assert "scots" not in [id for _, id in decoder_panel.checkpoints(services)]
    register.register(home, "scottish")
    assert ("Scots", "scots") in decoder_panel.checkpoints(services)
    assert "Scots" in models_tab.tables_html(services)
    assert services.transcriber.defaults("scots").lm == "demo-lm", "for whoever names it, page or not"
    register.unregister(home, "scots")
    assert "scots" not in services.registry.checkpoints and "demo-en" in services.registry.checkpoints


def test_loading_the_page_renews_every_list_and_keeps_what_is_chosen(home: Path) -> None:
    settings = Settings(home=home)
    page = build_ui(Transcriber(registry.read(home=home), settings), settings)
    lists = [b for b in page.blocks.values() if isinstance(b, gr.Dropdown) and decoder_panel.LISTED in b.elem_classes]
    offering = [b for b in page.blocks.values() if isinstance(b, gr.Dropdown) and "'demo-en'" in str(b.choices)]
    assert len(lists) >= 7 and {b.label for b in offering if not b.allow_custom_value} <= {b.label for b in lists}
    (load,) = (f for f in page.fns.values() if f.targets[0][1] == "load" and list(f.outputs) == lists)
    register.register(home, "scottish")
    renewed = load.fn(*("demo-en" for _ in lists))
    assert all(("Scots", "scots") in update["choices"] and "value" not in update for update in renewed)
    register.unregister(home, "scots")
    gone = load.fn(*("scots" for _ in lists))
    assert all("scots" not in str(update["choices"]) and update["value"] == "demo-en" for update in gone)


def test_visitors_keep_their_language_models_when_a_checkpoint_comes(home: Path) -> None:
    settings = Settings(home=home)
    services = Services(Transcriber(registry.read(home=home), settings), settings)
    (home / "own.arpa").write_text("")
    services.add_language_model(registry.LanguageModelSpec("own", "Own", "en", path=home / "own.arpa"))
    register.register(home, "scottish")
    assert "own" in services.registry.unlisted and "scots" in services.registry.checkpoints


def test_an_entry_that_is_broken_is_named_and_does_not_take_the_page(home: Path) -> None:
    settings = Settings(home=home)
    services = Services(Transcriber(registry.read(home=home), settings), settings)
    register.register(home, "scottish")
    entry = home / "checkpoints" / "scots" / registry.ENTRY
    data = yaml.safe_load(entry.read_text())
    entry.write_text(yaml.safe_dump(data | {"path": "/etc"}))
    with pytest.raises(ConfigError, match=r"checkpoints/scots/checkpoint.yaml: unknown key 'path'"):
        registry.read(home=home)
    assert "demo-en" in services.registry.checkpoints


def test_models_yaml_goes_first_and_a_lost_language_model_is_done_without(home: Path) -> None:
    register.register(home, "scottish")
    entry = home / "checkpoints" / "scots" / registry.ENTRY
    data = yaml.safe_load(entry.read_text())
    data["decoder"]["lm"] = "gone"
    entry.write_text(yaml.safe_dump(data))
    known = registry.read(home=home)
    assert known.checkpoint("scots").decoder.lm is None
    (home / "checkpoints" / "scots").rename(home / "checkpoints" / "demo-en")
    assert registry.read(home=home).checkpoint("demo-en").title.startswith("Demo English")


def test_from_the_command_line(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ASRDEMO_HOME", str(home))
    assert main(["finetune", "register", "scottish"]) == 0
    assert capsys.readouterr().out.strip() == "scots"
    assert main(["checkpoints"]) == 0
    assert "Scots" in capsys.readouterr().out


def test_what_is_exported_is_what_the_run_heard(home: Path, tiny_checkpoint_layer: Path) -> None:
    import torch
    from transformers import AutoModelForCTC

    register.register(home, "scottish")
    one = AutoModelForCTC.from_pretrained(tiny_checkpoint_layer).eval()
    other = AutoModelForCTC.from_pretrained(home / "checkpoints" / "scots", dtype=torch.float32).eval()
    waves = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(one(waves).logits.argmax(-1), other(waves).logits.argmax(-1))
