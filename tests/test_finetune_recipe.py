"""Recipes are strict: a wrong key or value names the file, the key and what is allowed."""

from pathlib import Path

import pytest
import yaml

from asrdemo.errors import ConfigError
from asrdemo.finetune import recipe as recipes

DEMO = Path(__file__).parent.parent / "recipes" / "demo-en.yaml"
MINIMAL = {"name": "x", "scratch": {}, "train": [{"id": "a", "folder": "a"}], "dev": [{"id": "a", "folder": "a"}]}


def load(tmp_path, **changes):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | changes))
    return recipes.load(path)


def test_committed_recipe_loads_plain_and_smoke():
    plain, smoke = recipes.load(DEMO), recipes.load(DEMO, smoke=True)
    assert plain.name == "demo-en" and smoke.scratch.hidden_size < plain.scratch.hidden_size
    assert smoke.scratch.conv_stride == plain.scratch.conv_stride  # what smoke does not name stays
    assert 0 < smoke.batches.max_steps < 100 and plain.batches.max_steps == 0


def test_overrides_go_key_by_key():
    recipe = recipes.load(DEMO, overrides={"batches": {"max_minutes": 3}})
    assert recipe.batches.max_minutes == 3.0 and recipe.batches.seconds == recipes.load(DEMO).batches.seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, r"my.yaml: unknown key 'modle'; allowed: name, train"),
        ({"scratch": {"hidden": 3}}, r"unknown key 'scratch.hidden'; allowed: hidden_size"),
        ({"train": [{"id": "a"}]}, r"the key 'train\[0\].folder' is missing"),
        ({"train": [{"id": "a", "folder": "a"}] * 2}, "corpus ids must differ"),
        ({"test": [{"id": "a", "folder": "b"}]}, "must differ within dev and test"),
        ({"train": []}, "at least one corpus"),
        ({"batches": {"seconds": "many"}}, r"batches.seconds is 'many'; expected float"),
        ({"batches": {"precision": "fp8"}}, "allowed: auto, bf16, fp16, fp32"),
        ({"augment": {"speed": [0.9]}}, r"augment.speed is \[0.9\]; expected a list of 2"),
        ({"scratch": {"conv_dim": [8, 8]}}, "same length"),
        ({"scratch": {"hidden_size": 250}}, "multiple of heads"),
        ({"scratch": {"layers": True}}, "expected int"),
        ({"clips": {"min_seconds": 0.1}}, "at least 0.3"),
        ({"clips": {"max_seconds": 60}}, "a batch must hold the longest clip"),
        ({"normalisation": "klingon"}, "klingon"),
        ({"scratch": None}, "either a base to start from, or a `scratch` shape"),
        ({"base": {"checkpoint": "demo-en"}}, "either a base to start from, or a `scratch` shape"),
        ({"batches": {"max_minutes": 0}}, "must say when the run ends"),
        ({"batches": {"micro_seconds": 5}}, "must hold the longest clip"),
        ({"regularisation": {"label_smoothing": 1.0}}, "0 <= value < 1"),
        ({"optimiser": {"schedule": "stairs"}}, "allowed: cosine, linear, constant"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **changes)


def test_what_is_left_out_depends_on_the_base():
    recipe = recipes.from_dict(MINIMAL | {"optimiser": {"warmup_steps": 7}})
    rates = {kind: recipes.settled(recipe, kind).optimiser for kind in recipes.DEFAULTS}
    assert rates["scratch"].learning_rate > rates["pretrained"].learning_rate > rates["finetuned"].learning_rate > 0
    assert {o.warmup_steps for o in rates.values()} == {7}  # what the file says stays
    head = recipes.settled(recipes.from_dict(MINIMAL | {"mode": "head"}), "finetuned")
    assert head.optimiser.learning_rate == recipes.RATES["head"]
    assert recipes.from_dict(recipes.as_dict(recipe)) == recipe


def test_a_rate_may_be_written_as_people_write_it(tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(MINIMAL) + "optimiser: {learning_rate: 3e-4}\n")
    assert recipes.load(tmp_path / "r.yaml").optimiser.learning_rate == 3e-4


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
