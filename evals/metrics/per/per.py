"""PER for `evaluate.load("evals/metrics/per")`: needs no network, but espeak-ng on the PATH.

One import a line, and from the repository root: `evaluate` copies this file into its cache and checks its imports.
"""

import datasets
import evaluate

from evals.phonemes import phonemes


class Per(evaluate.Metric):
    """Pooled phoneme error rate as a fraction; see evals.phonemes for what counts as a phoneme."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Phoneme error rate: pooled edits over the phonemes that espeak-ng gives to the references.",
            citation="",
            inputs_description="predictions, references: lists of str, already normalised. voice: of espeak-ng.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str], voice: str = "en-us") -> float:
        return phonemes(references, predictions, voice).rate
