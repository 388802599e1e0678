"""Open a KenLM language model named in the registry, and ask it for probabilities.

KenLM is C++ that trusts its input: a crafted binary can crash the process. Only files that the operator names in
models.yaml, and ARPA text that this project wrote, come here; a visitor's upload is text, never a model.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo import settings
from asrdemo.decoding import arpa
from asrdemo.errors import LanguageModelError

if TYPE_CHECKING:
    from asrdemo.registry import LanguageModelSpec

BINARY_SUFFIXES = (".bin", ".binary", ".klm")
KEPT = 4  # models in memory; the least recently used leaves
UNPACKED_LIMIT = 8 * 2**30  # bytes an .arpa.gz may unpack to
_BINARY_MAGIC = b"mmap lm http://kheafield.com/code format version"


@dataclass(frozen=True)
class Perplexity:
    """How surprised a model is by a text: 10 ** (- mean log10 probability of its words and sentence ends).

    with_unknown counts every word; without_unknown leaves out the `unknown` words that the model has never seen.
    words: running words, sentence ends not counted.
    """

    with_unknown: float
    without_unknown: float
    words: int
    sentences: int
    unknown: int


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A loaded n-gram model.

    path: the file KenLM read (unpacked, where the source was gzipped). unigrams: the words the decoder may take for
    known; None where the model is a binary and no list came with it. fingerprint: of both files' content.
    kenlm: a `kenlm.Model`.
    """

    id: str
    path: Path
    order: int
    unigrams: tuple[str, ...] | None = field(repr=False)
    fingerprint: str
    kenlm: Any = field(repr=False)

    @cached_property
    def case(self) -> str | None:
        """`lower` or `upper` if all unigrams are written so, else None."""
        words = self.unigrams or ()
        if all(w == w.lower() for w in words) and any(w != w.upper() for w in words):
            return "lower"
        if all(w == w.upper() for w in words) and any(w != w.lower() for w in words):
            return "upper"
        return None

    def score(self, sentence: str) -> float:
        """log10 probability of a sentence of words separated by spaces, between <s> and </s>."""
        return float(self.kenlm.score(sentence, bos=True, eos=True))

    def perplexity(self, sentences: Iterable[str]) -> Perplexity:
        """Over sentences that are written as the model's text was. Raises LanguageModelError if there are none."""
        known = total = 0.0
        words = unknown = n = 0
        for sentence in sentences:
            if not sentence.strip():
                continue
            n += 1
            for log_prob, _, is_unknown in self.kenlm.full_scores(sentence):
                total += log_prob
                known += 0.0 if is_unknown else log_prob
                unknown += is_unknown
                words += 1
        if not n:
            raise LanguageModelError("There is no sentence to measure the perplexity on.")
        without = 10 ** (-known / (words - unknown))  # </s> is always known, so this never divides by zero
        return Perplexity(10 ** (-total / words), without, words - n, n, unknown)


_opened: OrderedDict[tuple[object, ...], LanguageModel] = OrderedDict()
_lock = threading.Lock()


def open_language_model(spec: LanguageModelSpec) -> LanguageModel:
    """The model of a registry entry; opened once, and kept among the last few. Thread-safe.

    Raises LanguageModelError for a file that is missing, of another kind, damaged, or out of reach.
    """
    path = _local(spec, spec.path, spec.file)
    words = spec.unigrams
    unigrams = None if words is None else _local(spec, words if isinstance(words, Path) else None, str(words))
    key = (spec.id, _stamp(path), None if unigrams is None else _stamp(unigrams))
    with _lock:
        if key not in _opened or not _opened[key].path.is_file():  # someone cleaned up ASRDEMO_HOME: unpack again
            _opened[key] = load(path, unigrams, spec.id)
            while len(_opened) > KEPT:
                _opened.popitem(last=False)
        _opened.move_to_end(key)
        return _opened[key]


def load(path: Path, unigrams: Path | None = None, name: str | None = None) -> LanguageModel:
    """Read a model file, and its word list (else the words come from the ARPA file itself).

    path: .arpa, .arpa.gz, or a KenLM binary (.bin, .binary, .klm). Raises LanguageModelError.
    """
    if not path.is_file():
        raise LanguageModelError(f"There is no language model file {path.name}.")
    words: tuple[str, ...] | None = None
    if unigrams is not None:
        words = _read_words(unigrams)
    fingerprint = _fingerprint(path, words)
    if path.suffix in BINARY_SUFFIXES:
        _check_binary(path)
        readable = path
    elif path.name.endswith((".arpa", ".arpa.gz")):
        readable = path if path.suffix == ".arpa" else _unpacked(path, fingerprint)
        arpa.check_header(readable)
        words = words or arpa.read_unigrams(readable)
    else:
        raise LanguageModelError(
            f"{path.name} is no language model by its name; expected .arpa, .arpa.gz, {', '.join(BINARY_SUFFIXES)}."
        )
    model = _kenlm(readable)
    if words is not None:
        known = tuple(w for w in words if w in model)
        if not known:
            raise LanguageModelError(f"None of the {len(words)} listed words of {path.name} is in the model.")
        words = known
    return LanguageModel(name or path.name, readable, model.order, words, fingerprint, model)


def _kenlm(path: Path) -> Any:
    try:
        import kenlm
    except ImportError as error:
        raise LanguageModelError("Language models need the kenlm module: pip install ufal-kenlm (or kenlm).") from error
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(str(path), config)
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).replace(str(path.parent), "").split("threw ")[-1][:300]
        raise LanguageModelError(f"KenLM cannot read {path.name}: {reason}") from error


def _local(spec: LanguageModelSpec, path: Path | None, file: str | None) -> Path:
    """Where a file of this entry lies on this machine; fetched from the Hub where the entry says so."""
    if path is not None:
        return Path(path)
    if spec.hub is None or file is None:
        raise LanguageModelError(f"Language model {spec.id!r} names neither a path nor a hub id with a file.")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(spec.hub, file, revision=spec.revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise LanguageModelError(
            f"Language model {spec.id!r} needs the network: {spec.hub}/{file} is not on this machine and the Hub "
            f"did not give it ({type(error).__name__})."
        ) from error


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise LanguageModelError(f"There is no language model file {path.name}.") from error
    return str(path.resolve()), stat.st_mtime_ns, stat.st_size


def _fingerprint(path: Path, words: tuple[str, ...] | None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    if words is not None:
        digest.update("\n".join(words).encode())
    return digest.hexdigest()[:16]


def _read_words(path: Path) -> tuple[str, ...]:
    try:
        with arpa.open_text(path) as lines:
            text = lines.read()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LanguageModelError(f"The word list {path.name} cannot be read as UTF-8 text: {error}.") from error
    words = tuple(dict.fromkeys(w for w in text.split() if w not in arpa.SPECIAL))
    if not words:
        raise LanguageModelError(f"The word list {path.name} is empty.")
    return words


def _check_binary(path: Path) -> None:
    with path.open("rb") as file:
        if not file.read(len(_BINARY_MAGIC)).startswith(_BINARY_MAGIC):
            raise LanguageModelError(f"{path.name} is no KenLM binary: it does not begin as one.")


def _unpacked(path: Path, fingerprint: str) -> Path:
    """The gzipped ARPA as a plain file under ASRDEMO_HOME: KenLM's wheels are built without zlib."""
    folder = settings.read().home / "language-models"
    target = folder / f"{fingerprint}.arpa"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    except OSError as error:
        raise LanguageModelError(f"No place to unpack {path.name}: {error.strerror}; set ASRDEMO_HOME.") from error
    try:
        with os.fdopen(handle, "wb") as out, gzip.open(path, "rb") as packed:
            while block := packed.read(2**20):
                out.write(block)
                if out.tell() > UNPACKED_LIMIT:
                    raise LanguageModelError(f"{path.name} unpacks to more than {UNPACKED_LIMIT / 2**30:.0f} GiB.")
        Path(name).replace(target)
    except (OSError, EOFError) as error:
        raise LanguageModelError(f"{path.name} cannot be unpacked: {error}.") from error
    finally:
        Path(name).unlink(missing_ok=True)
    return target
