"""Imports go one way. The order is in asrdemo/__init__.py; this holds it, module by module, by ast."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lower number = further to the right: a module imports only from strictly lower layers or its own package.
LAYERS = {
    "asrdemo.errors": 0,
    "asrdemo.types": 1,
    "asrdemo.settings": 1,
    "asrdemo.files": 1,
    "asrdemo.process": 2,
    "asrdemo.text": 2,
    "asrdemo.entries": 2,
    "asrdemo.registry": 3,
    "asrdemo.corpus": 3,
    "asrdemo.audio": 4,
    "asrdemo.sound": 4,
    "asrdemo.acoustic": 4,
    "asrdemo.decoding": 4,
    "asrdemo.export": 4,
    "asrdemo.transcribe": 5,
    "asrdemo.measure": 5,
    "asrdemo.live": 6,
    "asrdemo.finetune": 7,
    "evals": 7,
    "asrdemo.cli": 8,
    "asrdemo.__main__": 9,
    "evals.cli": 9,
    "evals.__main__": 10,
    "asrdemo.ui": 8,
    "app": 10,
}
HEAVY = {"torch", "transformers", "datasets", "pandas", "plotly", "gradio", "pyctcdecode", "kenlm", "scipy"}
LIGHT = ["asrdemo.cli", "asrdemo.transcribe", "asrdemo.live", "asrdemo.registry", "asrdemo.export"]


def modules() -> dict[str, Path]:
    files = [ROOT / "app.py", *(ROOT / "asrdemo").rglob("*.py"), *(ROOT / "evals").rglob("*.py")]
    names = {}
    for path in files:
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        names[".".join(parts)] = path
    return names


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Absolute names imported anywhere in a file (or only where importing the module runs them)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if top_level_only and id(node) in lazy:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction; write the whole name"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer(name: str) -> tuple[str, int] | None:
    """The longest entry of LAYERS that holds this module."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        prefix = ".".join(parts[:end])
        if prefix in LAYERS:
            return prefix, LAYERS[prefix]
    return None


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_one_way(name: str) -> None:
    own = layer(name)
    if own is None:
        assert name == "asrdemo", f"{name} has no layer: add it to LAYERS and to asrdemo/__init__.py"
        return
    for target in imported(modules()[name]):
        other = layer(target)
        if other and other[0] != own[0]:
            assert other[1] < own[1], f"{name} (layer {own[1]}) imports {target} (layer {other[1]})"


def test_gradio_stays_in_the_pages() -> None:
    for name, path in modules().items():
        if name != "app" and not name.startswith("asrdemo.ui"):
            assert not any(n.split(".")[0] == "gradio" for n in imported(path)), f"{name} imports gradio"


def test_only_the_acoustic_package_and_training_know_transformers() -> None:
    for name, path in modules().items():
        if not name.startswith(("asrdemo.acoustic", "asrdemo.finetune")):
            assert not any(n.split(".")[0] in {"transformers", "torch"} for n in imported(path)), name


@pytest.mark.parametrize("name", LIGHT)
def test_first_page_and_help_are_quick(name: str) -> None:
    """Importing these must not pull in anything heavy, directly or through our own modules."""
    seen, todo = set(), [name]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for target in imported(modules()[current], top_level_only=True):
            assert target.split(".")[0] not in HEAVY, f"importing {name} imports {target} through {current}"
            todo += [t for t in (target, target.rpartition(".")[0]) if t in modules()]
