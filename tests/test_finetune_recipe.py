"""Recipes are strict: a wrong key or value names the file, the key and what is allowed."""

import typing
from pathlib import Path

import pytest
import yaml

from asrdemo.errors import ConfigError
from asrdemo.finetune import limits, scores
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
        ({"clips": {"min_seconds": 0.1}}, r"clips.min_seconds is 0.1; expected 0.3 <= value"),
        ({"clips": {"max_seconds": 60}}, "a batch must hold the longest clip"),
        ({"normalisation": "klingon"}, "klingon"),
        ({"scratch": None}, "either a base to start from, or a `scratch` shape"),
        ({"base": {"checkpoint": "demo-en"}}, "either a base to start from, or a `scratch` shape"),
        ({"batches": {"max_minutes": 0}}, "must say when the run ends"),
        ({"batches": {"micro_seconds": 5}}, "must hold the longest clip"),
        ({"regularisation": {"label_smoothing": 1.0}}, "0 <= value < 1"),
        ({"optimiser": {"schedule": "stairs"}}, "allowed: cosine, linear, constant"),
        ({"evaluation": {"slices": ["accent"]}}, r"slices\[0\] is 'accent'; allowed: accents, gender, age, locale"),
        ({"train": [{"id": "a", "folder": "a", "balance_by": "clip"}]}, "is 'clip'; allowed: '', client_id, accents"),
        ({"train": [{"id": "a", "folder": "a", "weight": -1}]}, r"train\[0\].weight is -1; expected 0 <= value"),
        ({"train": [{"id": "a", "folder": "a", "weight": 0}]}, "needs a `weight` above 0"),
        ({"dev": [{"id": "a", "folder": "a", "selection_weight": 0}]}, "needs a `selection_weight` above 0"),
        ({"test": [{"id": "b", "folder": "a", "hours": -2}]}, r"test\[0\].hours is -2"),
        ({"evaluation": {"every_minutes": -5}}, "evaluation.every_minutes is -5"),
        ({"evaluation": {"every_minutes": 0}}, "must say when to evaluate"),
        ({"evaluation": {"log_steps": 0}}, "evaluation.log_steps is 0; expected 1 <= value"),
        ({"evaluation": {"average_decay": 1.5}}, "average_decay is 1.5; expected 0 <= value < 1"),
        ({"augment": {"speed": [0.0, 1.0]}}, r"augment.speed\[0\] is 0; expected 0.25 <= value <= 4"),
        ({"augment": {"speed": [1.1, 0.9]}}, r"augment.speed is \[1.1, 0.9\]; expected the lowest first"),
        ({"regularisation": {"dropout": 1.5}}, "regularisation.dropout is 1.5"),
        ({"optimiser": {"learning_rate": -1}}, "optimiser.learning_rate is -1"),
        ({"optimiser": {"max_grad_norm": -1}}, "optimiser.max_grad_norm is -1"),
        ({"batches": {"seconds": float("nan")}}, "batches.seconds is nan; expected 0 < value, a finite number"),
        ({"batches": {"seconds": float("inf")}}, "batches.seconds is inf"),
        ({"scratch": {"heads": 0}}, "scratch.heads is 0; expected 1 <= value"),
        ({"clips": {"min_seconds": 16}}, "min_seconds is 16, more than clips.max_seconds"),
        ({"seed": -1}, "seed is -1"),
        ({"smoke": [1]}, "smoke is a list; expected a table"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **changes)


def test_every_number_of_a_recipe_has_a_range():
    whole = MINIMAL | {"test": [{"id": "b", "folder": "b"}], "plateau": {}, "regularisation": {"dropout": 0.1}}
    keys = {limits._kind(key) for key, _ in limits.numbers(recipes.settled(recipes.from_dict(whole), "scratch"))}
    assert keys == set(limits.RANGES)


def test_slices_are_the_columns_that_scores_keep():
    assert typing.get_args(recipes.Slice) == scores.SLICES


def bomb(levels, line):
    return "\n".join([f"- &a0 {line.format('x', 'x')}", *(
        f"- &a{i} {line.format(f'*a{i - 1}', f'*a{i - 1}')}" for i in range(1, levels)
    )])  # fmt: skip


BOMBS = {
    "aliases": ("name:\n" + bomb(30, "[{}, {}]"), "more than 20 aliases"),
    "few aliases": ("name:\n" + bomb(9, "[{}, {}]"), "expected str"),
    "merges": ("a0: &a0 {k: 1}\n" + "\n".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 30)),
               "more than 20 aliases"),
    "depth": ("name: " + "[" * 5000, "more than 30 levels"),
    "date": ("name: 2026-13-45", "not valid YAML: month"),
    "digits": ("name: " + "1" * 5000, "not valid YAML: .* digits"),
    "hexadecimal digits": ("name: x\nseed: 0x" + "f" * 20_000, "seed is a number of thousands of digits; expected int"),
    "list": ("name: [" + "long, " * 20_000 + "]", "expected str"),
    "key": ("name: x\n? " + "k" * 20_000 + "\n: 1", "unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_recipe_made_to_exhaust_the_app_is_refused_at_once_and_briefly(tmp_path, kind):
    text, message = BOMBS[kind]
    rest = yaml.safe_dump({k: v for k, v in MINIMAL.items() if k != "name"})
    (tmp_path / "r.yaml").write_text(rest + text + "\n")
    with pytest.raises(ConfigError, match=message) as caught:
        recipes.load(tmp_path / "r.yaml")
    assert len(str(caught.value)) < 800


def test_a_few_aliases_are_fine(tmp_path):
    text = yaml.safe_dump({k: v for k, v in MINIMAL.items() if k not in ("train", "dev")})
    (tmp_path / "r.yaml").write_text(text + "train: &t [{id: a, folder: a}]\ndev: *t\n")
    assert recipes.load(tmp_path / "r.yaml").dev[0].folder == "a"


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
