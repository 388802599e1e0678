"""The two beam searches: pyctcdecode, the reference, and ctc-beam-decoder, the same search in C++ where installed.

ctc-beam-decoder cannot change its weights after it is built, so built decoders are kept by what they were built
with. Its search is read-only on the decoder and lets other threads run.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrdemo.decoding.columns import Columns
from asrdemo.decoding.language_model import LanguageModel
from asrdemo.errors import DecodingError
from asrdemo.types import DecoderOptions

_KENLM_SAYS = rb"(?m)^(Loading the LM will be faster.*|Reading %s|-{4}5-{3}10.*100|\*+)\n"
KEPT = 4  # built decoders, and prepared language models, in memory
LARGEST_REBUILT = 200 * 2**20  # bytes; a larger model would be read again too slowly whenever a weight changes


class Beam(NamedTuple):
    """One result of a search. frames: (start, end) of each word of text; extra: what is not acoustic."""

    text: str
    frames: list[tuple[int, int]]
    acoustic: float
    extra: float


class Kept:
    """The last few things built, by key. Thread-safe; one is built at a time."""

    def __init__(self, capacity: int = KEPT) -> None:
        self.capacity = capacity
        self._kept: OrderedDict[object, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, build: Callable[[], Any]) -> Any:
        """What was built for this key, building it first if need be."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = build()
                while len(self._kept) > self.capacity:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def __len__(self) -> int:
        return len(self._kept)


_decoders = Kept()
_prepared = Kept()


@lru_cache(maxsize=1)
def fast_is_installed() -> bool:
    """Whether ctc-beam-decoder can be imported and its library loads here, with language models."""
    if importlib.util.find_spec("ctc_beam_decoder") is None:
        return False
    try:
        import ctc_beam_decoder

        return bool(ctc_beam_decoder.has_kenlm())
    except (ImportError, OSError, RuntimeError):  # a wheel for another C library, or another version of itself
        return False


def choose(options: DecoderOptions, columns: Columns, lm: LanguageModel | None) -> str:
    """`pyctcdecode` or `ctc-beam-decoder`. Raises DecodingError where the one asked for is not there."""
    if options.engine == "ctc-beam-decoder" and not fast_is_installed():
        raise DecodingError(
            "engine is 'ctc-beam-decoder', which is not installed here; pip install ctc-beam-decoder==0.2.0, "
            "or choose 'auto' or 'pyctcdecode'."
        )
    if options.engine != "auto":
        return options.engine
    small = lm is None or lm.path.stat().st_size <= LARGEST_REBUILT
    # Sub-word vocabularies stay with the reference: parity is proved here for characters.
    return "ctc-beam-decoder" if fast_is_installed() and small and not columns.pieces else "pyctcdecode"


def search(
    engine: str,
    x: np.ndarray,
    columns: Columns,
    options: DecoderOptions,
    lm: LanguageModel | None,
    hotwords: tuple[str, ...],
) -> list[Beam]:
    """Beams, best first. x: scores of the decoded columns, shape = (frames, labels), frames >= 1."""
    labels = columns.in_case(lm.case) if lm else columns.labels
    turned = labels != columns.labels
    if turned and lm:
        hotwords = tuple(w.lower() if lm.case == "lower" else w.upper() for w in hotwords)
    run = _fast if engine == "ctc-beam-decoder" else _reference
    found = run(x, labels, columns.pieces, options, lm, hotwords)
    back = (str.upper if columns.case == "upper" else str.lower) if turned else str
    return [
        Beam(back(text), [f for _, f in frames], float(acoustic), float(combined - acoustic))
        for text, _, frames, acoustic, combined in found
    ]


def _limits(options: DecoderOptions, hotwords: tuple[str, ...]) -> dict[str, Any]:
    return {
        "beam_width": options.beam_width,
        "beam_prune_logp": float(options.beam_prune),
        "token_min_logp": float(options.token_prune),
        "hotwords": list(hotwords),
        "hotword_weight": float(options.hotword_weight),
    }


def _reference(
    x: np.ndarray,
    labels: tuple[str, ...],
    pieces: bool,
    options: DecoderOptions,
    lm: LanguageModel | None,
    hotwords: tuple[str, ...],
) -> list[Any]:
    from pyctcdecode.alphabet import Alphabet
    from pyctcdecode.decoder import BeamSearchDecoderCTC

    weighted = None
    if lm is not None:
        # A shallow copy shares the model and its trie, and leaves other threads their own weights.
        weighted = copy.copy(_prepared.get(lm.fingerprint, lambda: _pyctcdecode_model(lm)))
        weighted.reset_params(
            alpha=float(options.alpha), beta=float(options.beta), unk_score_offset=float(options.unk_offset)
        )
    decoder = BeamSearchDecoderCTC(Alphabet(list(labels), pieces), weighted)
    try:
        return decoder.decode_beams(x, **_limits(options, hotwords))
    finally:
        decoder.cleanup()  # it keeps language models in a class variable until told not to


def _pyctcdecode_model(lm: LanguageModel) -> Any:
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)  # it warns of any list below 1,000 words
    from pyctcdecode.language_model import LanguageModel as Model

    return Model(lm.kenlm, lm.unigrams)


def _fast(
    x: np.ndarray,
    labels: tuple[str, ...],
    pieces: bool,
    options: DecoderOptions,
    lm: LanguageModel | None,
    hotwords: tuple[str, ...],
) -> list[Any]:
    from ctc_beam_decoder import BeamSearchDecoder

    def build() -> BeamSearchDecoder:
        if lm is None:
            return BeamSearchDecoder(list(labels))
        words = None if lm.unigrams is None else list(lm.unigrams)
        with _without_progress_bar(lm.path):
            return BeamSearchDecoder(
                list(labels),
                kenlm_model_path=str(lm.path),
                unigrams=words,
                alpha=float(options.alpha),
                beta=float(options.beta),
                unk_score_offset=float(options.unk_offset),
            )

    weights = (lm.fingerprint, options.alpha, options.beta, options.unk_offset) if lm else ()
    try:
        decoder = _decoders.get((labels, *weights), build)
        return decoder.decode_beams(x, **_limits(options, hotwords))
    except (RuntimeError, ValueError, OSError) as error:
        raise DecodingError(f"ctc-beam-decoder failed: {error}; choose engine 'pyctcdecode'.") from error


@contextmanager
def _without_progress_bar(path: Path) -> Iterator[None]:
    """KenLM draws a progress bar on file descriptor 2, from C++, and this library cannot tell it not to.

    The descriptor leads to a file meanwhile; what else was written there, by other threads for instance, is passed on
    at the end. One decoder is built at a time (see Kept), so this never nests. Where it cannot be done, the bar shows.
    """
    with ExitStack() as undo:
        try:
            file = undo.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:
            yield
            return
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            kenlm = _KENLM_SAYS % re.escape(os.fsencode(path))
            with suppress(OSError):  # nobody reads it
                os.write(2, re.sub(kenlm, b"", file.read()))
