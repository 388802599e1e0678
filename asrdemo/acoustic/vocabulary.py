"""A checkpoint's tokenizer files -> what each column of its output stands for.

The files are read as data (vocab.json, added_tokens.json, tokenizer_config.json, special_tokens_map.json): a CTC
vocabulary is a table, and building the tokenizer object for it would add two tokens that have no column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrdemo.acoustic.store import read_json
from asrdemo.errors import CheckpointError
from asrdemo.text import profile
from asrdemo.types import BLANK, SPACE, Vocabulary

_SPECIAL_KEYS = ("pad_token", "bos_token", "eos_token", "unk_token", "mask_token")
_DEFAULTS = {
    "pad_token": "<pad>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
}  # of Wav2Vec2CTCTokenizer


@dataclass(frozen=True)
class Table:
    """A tokenizer's files. tokens: as written, by column; roles: special tokens that have a column, by their key in the
    files (`pad_token`, `unk_token`, ...); special: all special tokens; delimiter: what stands between words."""

    tokens: tuple[str, ...]
    roles: Mapping[str, str]
    special: frozenset[str]
    delimiter: str


def table(folder: Path, size: int, adapter: str | None = None) -> Table:
    """The tokenizer of the checkpoint in `folder`, whose output has `size` columns.

    adapter: language of a nested (MMS) vocabulary. Raises CheckpointError when tokens and columns do not fit.
    """
    settings = read_json(folder, "special_tokens_map.json") | read_json(folder, "tokenizer_config.json")
    columns = _columns(folder, adapter, settings)
    named = {key: _content(settings[key]) for key in _SPECIAL_KEYS if settings.get(key)}
    special = set(named.values()) | {t for t in columns.values() if len(t) > 2 and t[0] + t[-1] in ("<>", "[]")}
    _check(columns, special, size)
    tokens = tuple(columns[i] for i in range(size))
    roles = {key: t for key, t in (_DEFAULTS | named).items() if t in tokens}
    return Table(tokens, roles, frozenset(special), _content(settings.get("word_delimiter_token") or "|"))


def read(folder: Path, profile_name: str, size: int, blank: int | None, adapter: str | None = None) -> Vocabulary:
    """The vocabulary of the checkpoint in `folder`.

    size: columns of its output. blank: `pad_token_id` of its configuration, which CTC uses as the blank; None takes
    the tokenizer's pad token. adapter: language of a nested (MMS) vocabulary. Raises CheckpointError when tokens and
    columns do not fit each other.
    """
    found = table(folder, size, adapter)
    if blank is None and "pad_token" in found.roles:
        blank = found.tokens.index(found.roles["pad_token"])
    if blank is None or not 0 <= blank < size:
        raise CheckpointError(f"The CTC blank (pad_token_id) is {blank}; expected a column from 0 to {size - 1}.")
    return spelled(found, profile_name, blank)


def spelled(found: Table, profile_name: str, blank: int) -> Vocabulary:
    """The vocabulary as texts are written.

    Where the profile writes lower case and the checkpoint knows capitals only, its letters are lowered, so that an
    upper-case checkpoint is read, scored and searched like any other.
    """
    tokens, special = found.tokens, found.special
    spelling = _lowered(letters(found, blank), profile_name) | {found.delimiter: SPACE}
    return Vocabulary(
        tuple(BLANK if i == blank else t if t in special else spelling.get(t, t) for i, t in enumerate(tokens)),
        blank,
        frozenset(i for i, t in enumerate(tokens) if i != blank and t in special),
    )


def letters(found: Table, blank: int) -> list[str]:
    """The tokens that spell words: neither blank nor special nor the delimiter."""
    return [t for i, t in enumerate(found.tokens) if i != blank and t not in found.special and t != found.delimiter]


def _content(token: Any) -> str:
    """A token as the tokenizer files write it: text, or an object with `content`."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _columns(folder: Path, adapter: str | None, settings: dict[str, Any]) -> dict[int, str]:
    """Token by column."""
    vocab = read_json(folder, "vocab.json")
    if not vocab:
        raise CheckpointError(
            "The checkpoint has no vocab.json, so its output cannot be read. A pre-trained model has none: fine-tune "
            "it first. Sub-word vocabularies (tokenizer.json alone) are not supported."
        )
    nested = all(isinstance(v, dict) for v in vocab.values())
    if nested:
        adapter = adapter or settings.get("target_lang")
        if adapter not in vocab:
            some = ", ".join(sorted(vocab)[:12])
            raise CheckpointError(
                f"The checkpoint's vocabulary has {len(vocab)} languages ({some}, ...) but not {adapter!r}; "
                "set `adapter` in models.yaml to one of them."
            )
        vocab = vocab[adapter]
    columns: dict[int, str] = {}
    for token, index in {**read_json(folder, "added_tokens.json"), **vocab}.items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise CheckpointError(f"vocab.json gives the token {token!r} the column {index!r}; expected a number.")
        columns[index] = token
    if not nested:
        added = settings.get("added_tokens_decoder") or {}
        if not isinstance(added, dict) or not all(index.isdecimal() for index in added):
            raise CheckpointError("added_tokens_decoder in tokenizer_config.json must name tokens by their column.")
        for index, token in added.items():
            columns.setdefault(int(index), _content(token))
    if any(t.startswith("\u2581") for t in columns.values()):
        raise CheckpointError("The checkpoint's vocabulary is made of sub-words; only characters are supported.")
    return columns


def _check(columns: dict[int, str], special: set[str], size: int) -> None:
    extra = [t for i, t in columns.items() if i >= size and t not in special]
    missing = [i for i in range(size) if i not in columns]
    if extra or missing:
        raise CheckpointError(
            f"The checkpoint's output has {size} columns, but its vocabulary has {len(columns)} tokens"
            + (f"; no column for {', '.join(map(repr, extra[:5]))}" if extra else "")
            + (f"; no token for column {', '.join(map(str, missing[:5]))}" if missing else "")
            + ". vocab.json and the weights come from different trainings."
        )


def _lowered(letters: list[str], profile_name: str) -> dict[str, str]:
    """Lower-case spelling of each letter, where the profile lowers and no small letter is in the vocabulary."""
    p = profile(profile_name)
    if not p.lower or any(t != t.upper() for t in letters):
        return {}
    turkish = {"I": "\u0131", "\u0130": "i"} if p.turkish_i else {}
    return {t: turkish.get(t, t.lower()) for t in letters}
