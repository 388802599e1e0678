"""A metrics block for the model card of a checkpoint on the Hub (`model-index`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.results import Result


def _slug(name: str) -> str:
    """A corpus's name as the Hub writes ids."""
    return re.sub(r"[^a-z0-9.-]+", "_", name.lower()).strip("_") or "corpus"


def model_index(results: Sequence[Result]) -> str:
    """YAML to paste between the `---` lines of README.md: WER and CER, in percent, of complete results.

    All must be of one checkpoint. Raises ResultError otherwise, and for a result that is not complete.
    """
    from huggingface_hub import EvalResult, ModelCardData

    from asrdemo.errors import ResultError

    ids = sorted({result.info["pins"]["checkpoint"]["id"] for result in results})
    if len(ids) != 1:
        raise ResultError(f"A model card is about one checkpoint; got results of {', '.join(ids) or 'none'}.")
    rates = []
    for result in results:
        if not result.complete:
            raise ResultError(f"Result {result.name!r} is not complete; let the run finish first.")
        pins, score = result.info["pins"], result.info["score"]
        corpus, decoder = pins["corpus"], pins["decoder"]
        how = " with ".join(filter(None, (decoder["kind"], decoder.get("lm"))))
        for kind in ("wer", "cer"):
            rates.append(
                EvalResult(
                    task_type="automatic-speech-recognition",
                    task_name="Automatic Speech Recognition",
                    dataset_type=_slug(corpus["name"]),
                    dataset_name=corpus["name"],
                    dataset_config=pins["checkpoint"]["language"] or None,
                    dataset_split=corpus["split"],
                    dataset_revision=corpus["fingerprint"],
                    metric_type=kind,
                    metric_name=f"{kind.upper()} ({how})",
                    metric_value=round(100 * score[kind], 2),
                )
            )
    text: str = ModelCardData(model_name=ids[0], eval_results=rates).to_yaml()
    return text + "\n"
