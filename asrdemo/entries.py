"""Files of plain data that name what may be loaded, read strictly: messages tell the file, the place and the key."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import yaml

from asrdemo.errors import ConfigError
from asrdemo.types import LEAST_PRUNE


def load(path: Path) -> Any:
    """What a YAML file says. Raises ConfigError for one that is no plain data, OSError."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name} is not valid YAML of plain data: {error}") from error


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML would silently keep the last)."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key.start_mark)
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class Entry:
    """One mapping of a file, read key by key; remembers where it stands for messages. All methods raise ConfigError.

    where: for messages. folder: where relative paths start and stay. keys: those allowed.
    """

    def __init__(self, data: object, where: str, folder: Path, keys: tuple[str, ...]) -> None:
        self.where, self.folder = where, folder
        if not isinstance(data, dict):
            self.fail(f"expected a mapping with the keys {', '.join(keys)}, got {type(data).__name__}")
        self.data: dict[str, Any] = data
        for key in data:
            if key not in keys:
                self.fail(f"unknown key {key!r}; allowed: {', '.join(keys)}")

    def fail(self, message: str) -> NoReturn:
        """Raise, saying where."""
        raise ConfigError(f"{self.where}: {message}")

    def text(self, key: str, default: str | None = None, pattern: re.Pattern[str] | None = None) -> str:
        """Text without blanks around it; required and not empty unless there is a default."""
        if key not in self.data:
            if default is None:
                self.fail(f"key {key!r} is missing")
            return default
        value = self.data[key]
        if not isinstance(value, str):
            self.fail(f"{key} must be text (quote it), got {value!r}")
        value = value.strip()
        if default is None and not value:
            self.fail(f"{key} must not be empty")
        if pattern is not None and not pattern.fullmatch(value):
            self.fail(f"{key} is {value!r}; it must match {pattern.pattern}")
        return value

    def optional(self, key: str, pattern: re.Pattern[str] | None = None) -> str | None:
        """Text, or None where the key is missing."""
        return self.text(key, pattern=pattern) if key in self.data else None

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number within limits."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail(f"{key} is {value!r}; expected a number from {low:g} to {high:g}")
        return float(value)

    def below_zero(self, key: str, default: float) -> float:
        """A number below 0, down to LEAST_PRUNE."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_PRUNE <= value < 0:
            self.fail(f"{key} is {value!r}; expected a number below 0")
        return float(value)

    def whole(self, key: str, default: int, low: float, high: float) -> int:
        """A whole number within limits."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(f"{key} is {value!r}; expected a whole number from {low:g} to {high:g}")
        return value

    def choice(self, key: str, default: str | None, allowed: tuple[str, ...]) -> str:
        """One of the words allowed."""
        value = self.text(key, default)
        if value not in allowed:
            self.fail(f"{key} is {value!r}; allowed: {', '.join(allowed)}")
        return value

    def path(self, key: str, directory: bool, archive: bool = False) -> Path:
        """What exists. A relative path stays inside the folder of the file; an absolute one may point anywhere."""
        given = Path(self.text(key))
        path = given if given.is_absolute() else self.folder / given
        if not given.is_absolute() and not path.resolve().is_relative_to(self.folder.resolve()):
            self.fail(f"{key} is {str(given)!r}, which leaves {self.folder}; use an absolute path to point elsewhere")
        if archive and path.is_file() and tarfile.is_tarfile(path):
            return path
        if not (path.is_dir() if directory else path.is_file()):
            kind = "folder or tar archive" if archive else "folder" if directory else "file"
            self.fail(f"{key}: there is no {kind} {path}")
        return path
