"""Scoring while a model trains: the same rates as everywhere else, whatever the language, and whoever shares a batch.

The model here writes what its samples say: the first one of each frame is a column of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrdemo.acoustic import vocabulary as tables
from asrdemo.decoding import LanguageModel
from asrdemo.errors import TrainingError
from asrdemo.finetune import base, evaluate, labels, scores
from asrdemo.text import normalise, normalise_all
from asrdemo.types import DecoderOptions
from evals import score as errors
from tests.fake_models import make, recipe, registry

FRAME, HEARD = 320, 400  # samples from frame to frame, and in one
LETTERS = "abciİIıoO'.,-!你好吗カガ゙ไทยก็าé\u0301ßς1２"
PROFILES = ("en", "zh", "ja", "th", "tr", "default", "raw")
texts = st.text(st.sampled_from([*LETTERS, " ", " "]) | st.characters(codec="utf-8"), max_size=16)


def alphabet(profile: str, letters: str = LETTERS) -> labels.Alphabet:
    tokens = ("<pad>", "<s>", "</s>", "<unk>", "|", *dict.fromkeys(letters))
    table = tables.Table(tokens, {"pad_token": "<pad>"}, frozenset(tokens[:4]), "|")
    words = tables.spelled(table, profile, 0)
    return labels.Alphabet({t: i for i, t in enumerate(tokens)}, 0, table.roles, words, "as_is").under(profile)


class Writer(torch.nn.Module):
    """Hears the columns that `Written` has put into the samples. most: seconds it has memory for at once."""

    def __init__(self, columns: int, most: float = 1e9) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.columns, self.most, self.passes = columns, most, list[tuple[int, ...]]()
        self.config = SimpleNamespace(conv_kernel=[HEARD], conv_stride=[FRAME], pad_token_id=0)

    def forward(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None) -> SimpleNamespace:
        if input_values.numel() > self.most * 16000:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.passes.append(tuple(input_values.shape))
        heard = input_values.unfold(1, HEARD, FRAME)[..., 0]
        return SimpleNamespace(logits=20.0 * torch.nn.functional.one_hot((heard * 100).round().long(), self.columns))


@dataclass(frozen=True)
class Written:
    """As much of a Shard as scoring asks for: clips whose samples say `heard`, a character in every other frame."""

    texts: Sequence[str]
    heard: Sequence[str]
    alphabet: labels.Alphabet
    accents: Sequence[str] = ()
    id: str = "d"
    _waves: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(self.samples(i)) for i in range(len(self))])

    @property
    def names(self) -> list[str]:
        return [f"{i}.wav" for i in range(len(self))]

    def column(self, name: str) -> list[str]:
        return list(self.accents or [""] * len(self))

    def samples(self, i: int) -> np.ndarray:
        if i not in self._waves:
            ids = [self.alphabet.spelling[c] for c in self.heard[i]]
            frames = np.ravel([(j, 0) for j in ids] or [(0, 0)])
            self._waves[i] = np.r_[np.repeat(frames / 100, FRAME), np.zeros(HEARD - FRAME)].astype(np.float32)
        return self._waves[i]


def scored(
    references: Sequence[str], heard: Sequence[str], profile: str, most: float = 1e9, masks: bool = True,
    search: evaluate.Search | None = None, **columns: Sequence[str],
) -> tuple[evaluate.Score, Writer, Written]:  # fmt: skip
    spelled = alphabet(profile)
    shard = Written(normalise_all(references, profile), heard, spelled, **columns)
    model = Writer(len(spelled.vocab), most)
    start: Any = SimpleNamespace(
        alphabet=spelled, words=spelled.words, recipe=SimpleNamespace(normalisation=profile), masks=masks,
        standardise=False, model=model,
    )  # fmt: skip
    found = evaluate.score(model, start, shard, "fp32", tuple(columns), search)  # type: ignore[arg-type]
    return found, model, shard


# Rates


@settings(deadline=None, max_examples=100)
@given(
    said=st.lists(texts, min_size=1, max_size=4),
    heard=st.lists(st.text([*LETTERS, " "], max_size=16), min_size=4, max_size=4),
    profile=st.sampled_from(PROFILES),
)
def test_rates_are_those_of_the_error_analysis(said: list[str], heard: list[str], profile: str) -> None:
    """Of any texts, as long as the references are not empty, which prepared clips never are."""
    said = [text for text in said if normalise(text, profile)] or ["好"]
    found, _, shard = scored(said, heard[: len(said)], profile)
    expected = errors.score(said, heard[: len(said)], profile)
    assert (found.wer, found.cer) == (expected.wer, expected.cer)
    rows = errors.score_pairs(said, heard[: len(said)], profile)
    assert list(found.hypotheses) == rows["hypothesis"] and list(found.references) == rows["reference"]
    table = scores.table(shard, found)  # type: ignore[arg-type]
    edits = rows["substitutions"] + rows["deletions"] + rows["insertions"]  # type: ignore[operator]
    assert table["edits"].to_pylist() == edits.tolist()
    letters = rows["char_substitutions"] + rows["char_deletions"] + rows["char_insertions"]  # type: ignore[operator]
    assert table["letters"].to_pylist() == letters.tolist()


@settings(deadline=None, max_examples=300)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=4), profile=st.sampled_from(PROFILES))
def test_counts_are_those_of_the_error_analysis(pairs: list[tuple[str, str]], profile: str) -> None:
    said, heard = ([pair[side] for pair in pairs] for side in (0, 1))
    found = scores.counts(normalise_all(said, profile), normalise_all(heard, profile), profile)
    expected = errors.score(said, heard, profile)
    assert (int(found.edits.sum()), int(found.words.sum())) == (expected.words.errors, expected.words.reference)
    assert (int(found.letters.sum()), int(found.characters.sum())) == (
        expected.characters.errors,
        expected.characters.reference,
    )


@pytest.mark.parametrize(
    "profile, said, heard",
    [("zh", "你好吗", "你好吗"), ("th", "ไทยก็", "ไทยก็"), ("ja", "カガ", "カ ガ"), ("en", "Abba, ao.", "abba, ao."),
     ("tr", "IO", "ıo"), ("raw", "Oa, b", "Oa, b")],
)  # fmt: skip
def test_what_is_heard_without_a_mistake_has_no_errors(profile: str, said: str, heard: str) -> None:
    found, *_ = scored([said], [heard], profile)
    assert (found.wer, found.cer) == (0.0, 0.0)


def test_what_a_language_model_finds_is_counted_alike() -> None:
    lm = LanguageModel.__new__(LanguageModel)  # not asked: greedy
    search = evaluate.Search(lm, DecoderOptions(kind="greedy"))
    found, _, shard = scored(["你好吗", "好"], ["你好吗", "吗"], "zh", search=search)
    assert found.lm_hypotheses == found.hypotheses == ("你 好 吗", "吗") and found.lm_wer == found.wer == 0.25
    table = scores.table(shard, found)  # type: ignore[arg-type]
    assert table["lm_edits"].to_pylist() == table["lm_letters"].to_pylist() == [0, 1]
    assert scored(["你好吗"], ["你好吗"], "zh")[0].lm_wer is None


def test_labels_have_no_spaces_that_nobody_writes() -> None:
    spelled = alphabet("zh")
    ids = spelled.labels(normalise("你好 吗", "zh"))
    assert ids is not None and [spelled.words.tokens[i] for i in ids] == ["你", "好", "吗"]
    assert spelled.read(ids) == "你好吗" and labels.frames_needed(ids) == 3
    english = alphabet("en").labels("ab o")
    assert english is not None and alphabet("en").read(english) == "ab o"


def test_a_speaker_of_two_accents_counts_for_both() -> None:
    accents = ["Scottish English | Welsh"] * 3 + ["Scottish English"] * 4 + ["Welsh"] * 2 + [""] * 5
    said = ["a"] * len(accents)
    found, *_ = scored(said, ["b"] * 3 + ["a"] * 11, "en", accents=accents)
    assert found.slices["accents"] == {"Scottish English": (7, 0.4286), "Welsh": (5, 0.6), "not stated": (5, 0.0)}


# What goes through the model at once


def test_a_long_recording_is_heard_in_windows_and_nothing_of_it_is_lost() -> None:
    rng = np.random.default_rng(0)
    said = "".join(rng.choice(list("abco 你好吗"), 3000))  # two minutes
    found, model, _ = scored([said, "a"], [said, "a"], "en")
    assert found.wer == 0.0 and found.blank_share == pytest.approx(0.5, abs=0.01)
    assert max(shape[1] for shape in model.passes) <= evaluate.LONGEST_PASS * 16000 and len(model.passes) > 4
    short, model, _ = scored(["ab" * 400], ["ab" * 400], "en")
    assert len(model.passes) == 1 and short.wer == 0.0, "32 s are heard whole"


def test_a_batch_that_memory_does_not_suffice_for_is_halved() -> None:
    said = ["ab" * 20] * 8
    plenty, model, _ = scored(said, said, "en")
    assert [shape[0] for shape in model.passes] == [8]
    scarce, model, _ = scored(said, said, "en", most=3.5)
    assert [shape[0] for shape in model.passes] == [2] * 4 and (scarce.wer, scarce.loss) == (0.0, plenty.loss)
    with pytest.raises(TrainingError, match=r"while scoring a clip of 1\.6 s"):
        scored(said, said, "en", most=1.0)


def test_without_masks_no_clip_hears_the_padding_of_another() -> None:
    said = ["ab" * n for n in (9, 4, 9, 5, 4)]
    _, model, _ = scored(said, said, "en", masks=False)
    assert sorted(shape[0] for shape in model.passes) == [1, 2, 2]
    _, model, _ = scored(said, said, "en")
    assert [shape[0] for shape in model.passes] == [5]


def test_scores_of_a_group_norm_model_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    start = base.open_base(recipe(make(tmp_path / "group", "wav2vec2-group")), None, registry())
    assert not start.masks
    rng = np.random.default_rng(0)
    waves = [(rng.normal(0, 0.1, n) * np.sin(np.arange(n) / 3000)).astype(np.float32) for n in (9000, 16000, 40000)]

    def loss(chosen: list[int]) -> float:
        shard = Written(["abc def"] * len(chosen), [""] * len(chosen), start.alphabet)
        shard._waves.update({i: waves[c] for i, c in enumerate(chosen)})
        return evaluate.score(start.model, start, shard, "fp32").loss  # type: ignore[arg-type]

    assert loss([0, 1, 2]) == pytest.approx(np.mean([loss([i]) for i in range(3)]), rel=1e-5)
