"""Settings come from the environment, and a wrong one says which and what it may be."""

from __future__ import annotations

import pytest

from asrdemo.errors import ConfigError
from asrdemo.settings import Settings, read


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "REGISTRY", "MAX_UPLOAD_MB", "MAX_CHECKPOINTS", "DEVICE", "PRECISION"):
        monkeypatch.delenv(f"ASRDEMO_{name}", raising=False)
    assert read() == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ASRDEMO_MAX_UPLOAD_MB", "lots", "ASRDEMO_MAX_UPLOAD_MB is 'lots'; expected a whole number"),
        ("ASRDEMO_MAX_CHECKPOINTS", "0", "at least 1"),
        ("ASRDEMO_PRECISION", "fp8", "ASRDEMO_PRECISION is 'fp8'; allowed: auto, fp32, bf16, int8"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        read()
