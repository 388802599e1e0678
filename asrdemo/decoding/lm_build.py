"""Text -> language model: normalise, estimate (lmplz where it is installed, else kneser_ney), write ARPA and words."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asrdemo import settings
from asrdemo.decoding import arpa, kneser_ney
from asrdemo.decoding.language_model import LanguageModel, Perplexity, load
from asrdemo.errors import LanguageModelError
from asrdemo.text import normalise, profile
from asrdemo.types import Progress

if TYPE_CHECKING:
    from asrdemo.registry import LanguageModelSpec

ORDERS = range(1, 6)
LMPLZ_TIMEOUT = 600  # seconds
LMPLZ_MEMORY = "1G"
Builder = Literal["auto", "lmplz", "built-in"]

_SENTENCE_END = re.compile("(?<=[.!?\u2026\u3002\uff01\uff1f\u061f])\\s+")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_MOST_CONTROL = 0.01  # a text with a larger share of control characters is no text
_REPORT_EVERY = 10_000  # sentences between two reports of progress


@dataclass(frozen=True)
class BuiltLanguageModel:
    """What came out. path: the ARPA file. unigrams: its word list. counts: n-grams of each order.

    order may be below what was asked for where no sentence is long enough. builder: `lmplz` or `built-in`; note:
    what the user should know (discounts that fell back, an lmplz that failed), or "".
    """

    path: Path
    unigrams: Path
    order: int
    profile: str
    sentences: int
    words: int
    vocabulary: int
    counts: tuple[int, ...]
    builder: str
    seconds: float
    note: str = ""

    def load(self) -> LanguageModel:
        """The model, ready to be asked."""
        return load(self.path, self.unigrams)

    def perplexity(self, text: str | Path | Iterable[str]) -> Perplexity:
        """On other text, normalised as the model's own was. Raises LanguageModelError for unusable text."""
        return self.load().perplexity(read_sentences(text, self.profile))

    def spec(
        self, id: str, title: str = "", language: str = "", alpha: float = 0.5, beta: float = 1.5
    ) -> LanguageModelSpec:
        """A registry entry for it."""
        from asrdemo.registry import LanguageModelSpec

        note = f"{self.order}-gram, {self.words:,} words, built by {self.builder}"
        return LanguageModelSpec(
            id, title or id, language, self.path, None, None, None, self.unigrams, alpha, beta, note
        )


def build_language_model(
    text: str | Path | Iterable[str],
    order: int,
    out: Path,
    profile: str = "default",
    progress: Progress | None = None,
    builder: Builder = "auto",
) -> BuiltLanguageModel:
    """Build an interpolated modified Kneser-Ney model that KenLM loads.

    text: the text itself, a UTF-8 file, or lines. A line is a sentence; sentences on one line are split at . ! ?
    followed by a space. order: 1 to 5. out: NAME.arpa or NAME.arpa.gz; NAME.unigrams.txt goes next to it.
    profile: how words are written, see asrdemo.text. builder: `auto` takes lmplz where it is on the PATH.

    Nothing is left behind on failure. Raises LanguageModelError for text that is empty, too large, binary, not
    UTF-8, or has fewer than two different words; whatever `progress` raises passes through.
    """
    began = time.perf_counter()
    if order not in ORDERS:
        raise LanguageModelError(f"The order is {order!r}; expected {ORDERS.start} to {ORDERS.stop - 1}.")
    if not out.name.endswith((".arpa", ".arpa.gz")):
        raise LanguageModelError(f"The model is to be written to {out.name!r}; expected a name in .arpa or .arpa.gz.")
    sentences = read_sentences(text, profile, progress)
    counted = kneser_ney.number(sentences)
    vocabulary = len(counted.words) - len(kneser_ney.SPECIAL)
    if vocabulary < 2:
        raise LanguageModelError(
            f"The text holds {vocabulary or 'no'} different word{'' if vocabulary == 1 else 's'} after normalisation "
            f"with profile {profile!r}; a language model needs sentences, at least two different words."
        )
    order = min(order, max(len(s.split()) for s in sentences) + 2)  # <s> and </s> count
    out.parent.mkdir(parents=True, exist_ok=True)
    unigrams = out.with_name(out.name.removesuffix(".gz").removesuffix(".arpa") + ".unigrams.txt")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".lm-") as folder:
        fresh = Path(folder) / out.name
        used, note = _estimate(sentences, counted, order, fresh, builder, progress)
        words = Path(folder) / unigrams.name
        words.write_text("\n".join(sorted(counted.words[len(kneser_ney.SPECIAL) :])) + "\n", encoding="utf-8")
        counts = arpa.check_header(fresh)[:order]
        fresh.replace(out)
        words.replace(unigrams)
    return BuiltLanguageModel(
        path=out,
        unigrams=unigrams,
        order=order,
        profile=profile,
        sentences=counted.sentences,
        words=counted.n_words,
        vocabulary=vocabulary,
        counts=counts,
        builder=used,
        seconds=time.perf_counter() - began,
        note=note,
    )


def read_sentences(text: str | Path | Iterable[str], name: str, progress: Progress | None = None) -> list[str]:
    """Normalised sentences of a text, empty ones left out. Raises LanguageModelError, see build_language_model."""
    profile(name)  # an unknown profile is reported before the text is read
    limit = settings.read().max_text_mb * 10**6
    lines = _lines(text, limit)
    total = len(lines) if isinstance(lines, list) else 0
    sentences = []
    for done, line in enumerate(lines):
        if progress and done % _REPORT_EVERY == 0:
            progress(done, total, "normalising text")
        parts = [line] if name == "raw" else _SENTENCE_END.split(line)
        sentences += [s for s in (normalise(part, name) for part in parts) if s]
    if not sentences:
        raise LanguageModelError(f"The text is empty: no word is left after normalisation with profile {name!r}.")
    return sentences


def _lines(text: str | Path | Iterable[str], limit: int) -> list[str] | Iterator[str]:
    if isinstance(text, Path):
        return _check(_decode(text, limit)).splitlines()
    if isinstance(text, str):
        _check_size(len(text.encode("utf-8", "surrogatepass")), limit)
        return _check(text).splitlines()
    return _counted(text, limit)


def _counted(lines: Iterable[str], limit: int) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line.encode("utf-8", "surrogatepass")) + 1
        _check_size(size, limit)
        yield _check(line)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise LanguageModelError(
            f"The text is larger than {limit / 10**6:.0f} MB ({size / 10**6:.1f} MB so far); give less, or raise "
            f"ASRDEMO_MAX_TEXT_MB."
        )


def _decode(path: Path, limit: int) -> str:
    if not path.is_file():
        raise LanguageModelError(f"There is no text file {path.name}.")
    _check_size(path.stat().st_size, limit)
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise LanguageModelError(f"{path.name} is UTF-16 text; save it as UTF-8.")
    if b"\0" in data:
        raise LanguageModelError(f"{path.name} is a binary file, not text; give plain UTF-8 text, one sentence a line.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LanguageModelError(
            f"{path.name} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); save it as UTF-8."
        ) from error


def _check(text: str) -> str:
    if "\0" in text or len(_CONTROL.findall(text)) > _MOST_CONTROL * len(text):
        raise LanguageModelError("This is binary data, not text; give plain UTF-8 text, one sentence a line.")
    return text


def _estimate(
    sentences: list[str], text: kneser_ney.Text, order: int, out: Path, builder: Builder, progress: Progress | None
) -> tuple[str, str]:
    """Write the ARPA file; which builder did, and its note."""
    lmplz = shutil.which("lmplz") if builder != "built-in" else None
    note = ""
    if lmplz and order > 1:  # KenLM cannot load lmplz's unigram models
        try:
            _run_lmplz(lmplz, sentences, len(text.words), order, out, progress)
            return "lmplz", ""
        except LanguageModelError as error:
            if builder == "lmplz":
                raise
            note = f"lmplz failed, so the built-in estimator was used: {error}"
    elif builder == "lmplz":
        raise LanguageModelError(
            "lmplz writes no unigram model that KenLM loads; use the built-in estimator."
            if lmplz
            else "lmplz is not on the PATH; install KenLM's tools or use the built-in estimator."
        )
    model = kneser_ney.estimate(text, order, progress)
    arpa.write_arpa(model, out, progress)
    if model.fallback:
        orders = ", ".join(map(str, model.fallback))
        note += f"{' ' if note else ''}Small text: fixed discounts for order {orders}."
    return "built-in", note


def _run_lmplz(
    program: str, sentences: list[str], vocabulary: int, order: int, out: Path, progress: Progress | None
) -> None:
    if progress:
        progress(0, 0, "running lmplz")
    plain = out.with_name("lmplz.arpa")
    corpus = out.with_name("lmplz.txt")
    corpus.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    command = [program, "--order", str(order), "--text", str(corpus), "--arpa", str(plain)]
    command += ["--memory", LMPLZ_MEMORY, "--vocab_estimate", str(max(vocabulary, 1000))]
    command += ["--temp_prefix", str(out.with_name("lmplz-")), "--skip_symbols", "--discount_fallback"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LMPLZ_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise LanguageModelError(f"lmplz did not finish within {LMPLZ_TIMEOUT} s; give less text.") from error
    except OSError as error:
        raise LanguageModelError(f"lmplz cannot be started: {error.strerror}.") from error
    if done.returncode or not plain.is_file():
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise LanguageModelError(f"lmplz ended with status {done.returncode}: {reason[0][:300]}")
    if out.suffix != ".gz":
        plain.replace(out)
        return
    import gzip

    with plain.open("rb") as source, out.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        shutil.copyfileobj(source, packed, 2**20)
