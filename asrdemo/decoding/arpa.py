"""ARPA files: writing ours, and looking at any before KenLM's C++ is given it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from asrdemo.decoding.kneser_ney import EOS, SPECIAL, NgramModel
from asrdemo.errors import LanguageModelError
from asrdemo.types import Progress

MAX_ORDER = 6  # KenLM's own limit, as the wheels are built
_LINES = 50_000  # n-grams written between two reports of progress
_COUNT = re.compile(r"ngram (\d+)\s*=\s*(\d+)$")
_LEAST_BYTES = 4  # no n-gram line is shorter: a probability, a tab, a word, a line end
_MOST_GZIP = 1100  # deflate's best compression; a header that claims more than this could hold is a lie


def write_arpa(model: NgramModel, path: Path, progress: Progress | None = None) -> None:
    """Write a model as ARPA, through gzip if the name ends in .gz. Equal models give equal bytes.

    KenLM refuses models without bigrams, so a unigram model gains `<s> </s>` at the probability it has anyway.
    """
    rows = _rows(model)
    bigram = f"{model.tables[0].log10_prob[EOS]:.6f}\t<s> </s>\n"
    counts = model.counts if model.order > 1 else (*model.counts, 1)
    total, done = sum(counts), 0
    with path.open("wb") as raw, _writer(raw, path) as out:
        out.write(("\\data\\\n" + "".join(f"ngram {k}={n}\n" for k, n in enumerate(counts, 1))).encode())
        for k, lines in enumerate(rows, start=1):
            out.write(f"\n\\{k}-grams:\n".encode())
            for start in range(0, len(lines), _LINES):
                chunk = lines[start : start + _LINES]
                out.write("".join(chunk).encode())
                done += len(chunk)
                if progress:
                    progress(done, total, f"writing {k}-grams")
        if model.order == 1:
            out.write(f"\n\\2-grams:\n{bigram}".encode())
        out.write(b"\n\\end\\\n")


def _rows(model: NgramModel) -> Iterator[list[str]]:
    words = model.words
    names = list(words)
    for k, table in enumerate(model.tables, start=1):
        if k > 1:
            pairs = zip(table.prefix.tolist(), table.last.tolist(), strict=True)
            names = [f"{names[p]} {words[w]}" for p, w in pairs]
        probs = table.log10_prob.tolist()
        if k < model.order or k == 1:
            backoffs = table.log10_backoff.tolist()
            yield [f"{p:.6f}\t{n}\t{b:.6f}\n" for p, n, b in zip(probs, names, backoffs, strict=True)]
        else:
            yield [f"{p:.6f}\t{n}\n" for p, n in zip(probs, names, strict=True)]


def _writer(raw: IO[bytes], path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix != ".gz":
        return raw
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


def open_text(path: Path) -> IO[str]:
    """An ARPA file as text, gzipped or not."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="strict", newline="\n")
    return path.open(encoding="utf-8", errors="strict", newline="\n")


def check_header(path: Path) -> tuple[int, ...]:
    """How many n-grams of each order an ARPA file announces.

    Raises LanguageModelError where the header is no ARPA header, is out of order, or announces more than a file
    of this size can hold (KenLM would ask for that much memory at once).
    """
    counts: list[int] = []
    try:
        with open_text(path) as lines:
            if lines.readline(1000).strip() != "\\data\\":
                raise LanguageModelError(f"{path.name} is no ARPA file: its first line is not \\data\\.")
            for line in iter(lambda: lines.readline(1000), ""):
                if not line.strip():
                    break
                found = _COUNT.match(line.strip())
                if not found or int(found[1]) != len(counts) + 1:
                    raise LanguageModelError(
                        f"{path.name}: expected 'ngram {len(counts) + 1}=...' in the header, got {line.strip()[:60]!r}."
                    )
                counts.append(int(found[2]))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LanguageModelError(f"{path.name} cannot be read as an ARPA file: {error}.") from error
    if not 2 <= len(counts) <= MAX_ORDER:
        raise LanguageModelError(f"{path.name} has order {len(counts)}; KenLM reads orders 2 to {MAX_ORDER}.")
    room = path.stat().st_size * (_MOST_GZIP if path.suffix == ".gz" else 1) // _LEAST_BYTES
    if sum(counts) > room:
        raise LanguageModelError(
            f"{path.name} announces {sum(counts):,} n-grams, more than a file of {path.stat().st_size:,} bytes holds."
        )
    return tuple(counts)


def read_unigrams(path: Path) -> tuple[str, ...]:
    """The words of an ARPA file's unigram section, without <s>, </s> and <unk>. Raises LanguageModelError."""
    words: list[str] = []
    inside = False
    try:
        with open_text(path) as lines:
            for line in lines:
                if line.startswith("\\"):
                    if inside:
                        break
                    inside = line.strip() == "\\1-grams:"
                elif inside and line.strip():
                    fields = line.split("\t")
                    if len(fields) < 2:
                        raise LanguageModelError(f"{path.name}: a unigram line has no tab: {line.strip()[:60]!r}.")
                    words.append(fields[1].strip())
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LanguageModelError(f"{path.name} cannot be read as an ARPA file: {error}.") from error
    words = [w for w in words if w not in SPECIAL]
    if not words:
        raise LanguageModelError(f"{path.name} has no words in its \\1-grams: section.")
    return tuple(words)
