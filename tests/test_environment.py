"""The pinned packages import together, and still resolve with what a Space adds to them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_numpy_and_pyarrow_get_along() -> None:
    """pyarrow 26 refuses numpy 1 when it is imported, though every installer calls the pair compatible."""
    code = "import pyarrow, numpy, datasets, evaluate, pandas, pyctcdecode, kenlm"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_space_front_matter_names_the_pinned_gradio() -> None:
    front = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    sdk = re.search(r"^sdk_version: (\S+)$", front, re.M)
    pin = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    assert sdk and pin and sdk.group(1).strip("\"'") == pin.group(1)


def test_pins_resolve_with_what_a_space_adds(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        pytest.skip("uv is not installed")
    pin = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    assert pin
    extra = tmp_path / "space.txt"
    extra.write_text(f"gradio[oauth,mcp]=={pin.group(1)}\nuvicorn>=0.14.0\nwebsockets>=10.4\nspaces\n")
    pins = str(ROOT / "requirements.txt")
    for version in ("3.11", "3.12"):
        command = [uv, "pip", "compile", "--quiet", "--python-version", version, pins, str(extra)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        if re.search("dns error|Connect|failed to fetch|timed out", done.stderr, re.I):
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr
        assert re.search(r"^numpy==1\.", done.stdout, re.M) and re.search(r"^pyarrow==2[45]\.", done.stdout, re.M)
