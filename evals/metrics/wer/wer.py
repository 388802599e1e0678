"""WER for `evaluate.load("evals/metrics/wer")`: needs no network, unlike `evaluate.load("wer")`.

One import a line, and from the repository root: `evaluate` copies this file into its cache and checks its imports.
"""

import datasets
import evaluate

from evals.score import words


class Wer(evaluate.Metric):
    """Pooled word error rate as a fraction; see evals.score for what an empty reference means."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Word error rate: pooled edits over reference words.",
            citation="",
            inputs_description="predictions, references: lists of str, already normalised.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> float:
        return words(references, predictions).rate
