"""Recipes are strict: a wrong key or value names the file, the key and what is allowed."""

from pathlib import Path

import pytest
import yaml

from asrdemo.errors import ConfigError
from asrdemo.finetune import recipe as recipes

DEMO = Path(__file__).parent.parent / "recipes" / "demo-en.yaml"
MINIMAL = {"name": "x", "train": [{"id": "a", "folder": "a"}], "dev": [{"id": "a", "folder": "a"}]}


def load(tmp_path, **changes):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | changes))
    return recipes.load(path)


def test_committed_recipe_loads_plain_and_smoke():
    plain, smoke = recipes.load(DEMO), recipes.load(DEMO, smoke=True)
    assert plain.name == "demo-en" and smoke.model.hidden_size < plain.model.hidden_size
    assert smoke.model.conv_stride == plain.model.conv_stride  # what smoke does not name stays
    assert 0 < smoke.batches.max_steps < 100 and plain.batches.max_steps == 0


def test_overrides_go_key_by_key():
    recipe = recipes.load(DEMO, overrides={"batches": {"max_minutes": 3}})
    assert recipe.batches.max_minutes == 3.0 and recipe.batches.seconds == recipes.load(DEMO).batches.seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, r"my.yaml: unknown key 'modle'; allowed: name, train"),
        ({"model": {"hidden": 3}}, r"unknown key 'model.hidden'; allowed: hidden_size"),
        ({"train": [{"id": "a"}]}, r"the key 'train\[0\].folder' is missing"),
        ({"train": [{"id": "a", "folder": "a"}] * 2}, "corpus ids must differ"),
        ({"train": []}, "at least one corpus"),
        ({"batches": {"seconds": "many"}}, r"batches.seconds is 'many'; expected float"),
        ({"batches": {"precision": "fp8"}}, "allowed: bf16, fp32"),
        ({"augment": {"speed": [0.9]}}, r"augment.speed is \[0.9\]; expected a list of 2"),
        ({"model": {"conv_dim": [8, 8]}}, "same length"),
        ({"model": {"hidden_size": 250}}, "multiple of heads"),
        ({"model": {"layers": True}}, "expected int"),
        ({"clips": {"min_seconds": 0.1}}, "at least 0.3"),
        ({"clips": {"max_seconds": 60}}, "a batch must hold the longest clip"),
        ({"normalisation": "klingon"}, "klingon"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **changes)


def test_not_yaml_and_not_there(tmp_path):
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        recipes.load(tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match="no recipe 'absent.yaml'"):
        recipes.load(tmp_path / "absent.yaml")


def test_corpus_folder_variables(monkeypatch):
    monkeypatch.setenv("CORPUS_ROOT", "somewhere")
    assert recipes.resolve_folder("$CORPUS_ROOT/an4") == Path("somewhere/an4")
    monkeypatch.delenv("CORPUS_ROOT")
    with pytest.raises(ConfigError, match="variable that is not set"):
        recipes.resolve_folder("$CORPUS_ROOT/an4")
