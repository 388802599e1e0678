"""Emissions -> hypotheses, and the language models that help.

spans.py           decodes between cuts and joins     <- greedy.py, beam.py, confidence.py
beam.py            drops frames that cannot matter    <- engines.py (pyctcdecode | ctc-beam-decoder)
language_model.py  opens KenLM models; lm_build.py makes them from text    <- kneser_ney.py, arpa.py
options.py, columns.py    what may be asked, and which columns are decoded
"""

from asrdemo.decoding.confidence import Calibration, Calibrations, calibrations
from asrdemo.decoding.language_model import LanguageModel, Perplexity, open_language_model
from asrdemo.decoding.lm_build import BuiltLanguageModel, build_language_model
from asrdemo.decoding.options import validate
from asrdemo.decoding.spans import decode, engine_used

__all__ = [
    "BuiltLanguageModel",
    "Calibration",
    "Calibrations",
    "LanguageModel",
    "Perplexity",
    "build_language_model",
    "calibrations",
    "decode",
    "engine_used",
    "open_language_model",
    "validate",
]
