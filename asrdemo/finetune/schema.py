"""YAML -> frozen dataclasses, strictly: an unknown key, a wrong type or an unlisted word is an error that names what is
allowed. Types come from the dataclass: nested dataclasses, tuples, `Literal` words, `X | None`."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from asrdemo.errors import ConfigError

T = TypeVar("T")
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # YAML takes 1e-4 for a word: it wants 1.0e-4


def read_yaml(path: Path) -> dict[str, Any]:
    """The table of keys in a file. Raises ConfigError."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no recipe {path.name!r}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds {type(data).__name__}; expected a table of keys.")
    return data


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
        raise ConfigError(f"{file}: {where or 'the file'} is {data!r}; expected keys {', '.join(names)}.")
    unknown = sorted(set(map(str, data)) - set(names))
    if unknown:
        raise ConfigError(f"{file}: unknown key {_join(where, unknown[0])!r}; allowed: {', '.join(names)}.")
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
            raise ConfigError(f"{file}: {where} is {value!r}; allowed: {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            size = "a list" if args[-1] is Ellipsis else f"a list of {len(args)}"
            raise ConfigError(f"{file}: {where} is {value!r}; expected {size}.")
        return tuple(_value(args[0], v, file, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{file}: {where} is {value!r}; expected {getattr(hint, '__name__', hint)}.")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
