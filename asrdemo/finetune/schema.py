"""YAML -> frozen dataclasses, strictly: an unknown key, a wrong type or an unlisted word is an error that names what is
allowed. Types come from the dataclass: nested dataclasses, tuples, `Literal` words, `X | None`.

Recipes come from the page too, so no text may cost more than its length: neither to read (aliases, depth) nor in the
message that says what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import re
import reprlib
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from asrdemo.errors import ConfigError

T = TypeVar("T")
MOST_ALIASES = 20  # each level of aliases of aliases doubles what a traversal meets, and `<<` what is in memory
MOST_DEPTH = 30  # of lists and tables within each other; a recipe has 3
_LARGEST = 10**18  # whole numbers from here on are none of a recipe's; float() and repr() fail for very long ones
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxstring, _BRIEF.maxother = 2, 4, 4, 60, 60
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # YAML takes 1e-4 for a word: it wants 1.0e-4


def read_yaml(path: Path) -> dict[str, Any]:
    """The table of keys in a file. Raises ConfigError."""
    try:
        data = safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no recipe {path.name!r}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds {type(data).__name__}; expected a table of keys.")
    return data


def safe_load(text: str) -> Any:
    """Plain data of a YAML text that somebody else wrote.

    Raises yaml.YAMLError, also for more than MOST_ALIASES aliases or MOST_DEPTH levels, and for a value such as the
    date 2026-13-45.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except ValueError as error:  # of a date or number that reads like one and is none
        raise yaml.YAMLError(str(error)) from error


class _Loader(yaml.SafeLoader):
    """A SafeLoader whose work grows with the text, not exponentially."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As yaml's, counting."""
        mark = self.peek_event().start_mark
        self._aliases += self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._aliases > MOST_ALIASES:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_ALIASES} aliases (*name)", mark)
        if self._depth > MOST_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_DEPTH} levels within each other", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def merged(base: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `layer` on top, tables within tables key by key."""
    out = dict(base)
    for key, value in layer.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def build(kind: type[T], data: Any, file: str, where: str = "") -> T:
    """A dataclass from a mapping, every key and type checked. Raises ConfigError."""
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: {where or 'the file'} is {_brief(data)}; expected keys {', '.join(names)}.")
    unknown = sorted({key if isinstance(key, str) else _brief(key) for key in data} - set(names))
    if unknown:
        raise ConfigError(f"{file}: unknown key {_brief(_join(where, unknown[0]))}; allowed: {', '.join(names)}.")
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in data:
            raise ConfigError(f"{file}: the key {_join(where, f.name)!r} is missing.")
    return kind(**{key: _value(hints[key], value, file, _join(where, key)) for key, value in data.items()})


def _value(hint: Any, value: Any, file: str, where: str) -> Any:
    """One value as its type hint wants it."""
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, file, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return None if value is None else _value(inner, value, file, where)
    if origin is Literal:
        if value not in args:
            allowed = ", ".join(str(word) or "''" for word in args)
            raise ConfigError(f"{file}: {where} is {_brief(value)}; allowed: {allowed}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            size = "a list" if args[-1] is Ellipsis else f"a list of {len(args)}"
            raise ConfigError(f"{file}: {where} is {_brief(value)}; expected {size}.")
        return tuple(_value(args[0], v, file, f"{where}[{i}]") for i, v in enumerate(value))
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
    if hint is float and (whole or isinstance(value, str) and _EXPONENT.fullmatch(value)):
        return float(value)
    if not (whole if hint is int else isinstance(value, hint)):
        raise ConfigError(f"{file}: {where} is {_brief(value)}; expected {getattr(hint, '__name__', hint)}.")
    return value


def _brief(value: Any) -> str:
    """A value for a message: of one that is long or deep the beginning."""
    try:
        return _BRIEF.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
