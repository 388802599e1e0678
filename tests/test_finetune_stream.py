"""The stream of effective batches, and the loss: the same whatever shares, cuts or interrupts them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from asrdemo.errors import TrainingError
from asrdemo.finetune import data
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.loss import ctc_sum

SMALL = recipes.from_dict(
    {
        "name": "x", "scratch": {}, "train": [{"id": "c", "folder": "c"}], "dev": [{"id": "c", "folder": "c"}],
        "clips": {"max_seconds": 4.0}, "batches": {"seconds": 8.0},
        "plateau": {"max_seconds": 2.0, "batch_seconds": 6.0},
    }
)  # fmt: skip


@dataclass(frozen=True)
class Tones:
    """As much of a Shard as the stream asks for."""

    lengths: np.ndarray
    accents: tuple[str, ...]
    id: str = "c"

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def texts(self) -> tuple[str, ...]:
        return ("ab",) * len(self)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{i}.wav" for i in range(len(self)))

    def column(self, name: str) -> tuple[str, ...]:
        return self.accents

    def samples(self, i: int) -> np.ndarray:
        return np.sin(np.arange(self.lengths[i]) * (i + 1) / 50).astype(np.float32)


def start(labels=lambda text: np.array([5, 6])) -> SimpleNamespace:
    """As much of a Start as the stream asks for."""
    config = SimpleNamespace(conv_kernel=[400], conv_stride=[320])
    alphabet = SimpleNamespace(labels=labels)
    return SimpleNamespace(model=SimpleNamespace(config=config), alphabet=alphabet, standardise=True, vocab={"a": 5})


def clip_pool(seconds, source: recipes.TrainCorpus = SMALL.train[0], accents=None, begin=None) -> data.Pool:
    lengths = (np.array(seconds) * 16000).astype(np.int64)
    return data.pool([Tones(lengths, tuple(accents or [""] * len(lengths)))], [source], begin or start())


def settled(recipe=SMALL) -> data.Phase:
    return data.Phase(recipe, settled=True)


def flat(batches) -> list[int]:
    return [clip for batch in batches for clip in batch]


def test_a_pass_respects_seconds_phase_and_weights():
    rng = np.random.default_rng(1)
    pool = replace(clip_pool(rng.uniform(0.5, 4.0, 200)), weights=np.r_[np.full(100, 3.0), np.full(100, 0.5)])
    assert max(pool.seconds[flat(data.plan(pool, SMALL, False, 0))]) <= 2.0
    batches = data.plan(pool, SMALL, True, 0)
    assert all(max(pool.seconds[b]) * len(b) <= 8.0 for b in batches)
    counts = np.bincount(flat(batches), minlength=200)
    assert (counts[:100] == 3).all() and 20 < counts[100:].sum() < 80
    padding = 1 - sum(pool.seconds[b].sum() for b in batches) / sum(max(pool.seconds[b]) * len(b) for b in batches)
    assert padding < 0.15
    assert data.plan(pool, SMALL, True, 0) == batches != data.plan(pool, SMALL, True, 1)


def test_a_phase_without_clips_is_an_error():
    with pytest.raises(TrainingError, match="at most 2 s long"):
        data.plan(clip_pool([3.0, 3.5]), SMALL, False, 0)


def test_rare_accents_come_up_as_often_as_common_ones():
    source = recipes.TrainCorpus("c", "c", balance_by="accents")
    pool = clip_pool([1.0] * 100, source, ["us"] * 90 + ["scotland"] * 10)
    drawn = np.bincount(flat(itertools.chain(*(data.plan(pool, SMALL, True, n) for n in range(20)))), minlength=100)
    assert drawn[90:].sum() == pytest.approx(drawn[:90].sum(), rel=0.1)
    assert drawn.sum() == pytest.approx(20 * 100, rel=0.05)


def test_a_clip_that_comes_up_often_is_spread_over_the_pass():
    """Its repeats have the same length, so within a lap they would lie side by side in one batch."""
    rng = np.random.default_rng(0)
    pool = replace(clip_pool(rng.uniform(0.5, 4.0, 120)), weights=np.r_[np.full(30, 4.0), np.full(90, 1.0)])
    batches = data.plan(pool, SMALL, True, 0)
    assert all(len(set(batch)) == len(batch) for batch in batches)
    at = {clip: [n for n, batch in enumerate(batches) if clip in batch] for clip in range(30)}
    assert all(len(places) == 4 for places in at.values())
    assert all(np.diff(places).min() > 0.02 * len(batches) for places in at.values())
    assert np.mean([np.diff(places).mean() for places in at.values()]) == pytest.approx(len(batches) / 4, rel=0.1)


@settings(deadline=None, max_examples=50)
@given(repeats=st.lists(st.integers(0, 12), min_size=1, max_size=30).filter(any), most=st.integers(1, 20))
def test_laps_hold_every_repeat_and_no_clip_twice_where_there_are_enough(repeats, most):
    found = data.laps(np.array(repeats), most, np.random.default_rng(0))
    assert np.bincount(np.concatenate(found), minlength=len(repeats)).tolist() == repeats
    assert len(found) == min(most, max(repeats))
    if most >= max(repeats):
        assert all(len(set(lap.tolist())) == len(lap) for lap in found)


def test_a_pass_too_short_for_laps_still_fills_its_batches():
    pool = replace(clip_pool([1.0] * 4), weights=np.full(4, 8.0))
    assert sorted(map(len, data.plan(pool, SMALL, True, 0)))[-2:] == [8, 8], "8 s a batch"


def test_the_same_clip_twice_in_a_batch_is_changed_in_two_ways():
    pool = replace(clip_pool([1.0]), weights=np.array([6.0]))
    item = next(iter(data.Batches(pool, SMALL, start(), settled())))
    assert item["clips"] == [0] * 6
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(item["waves"], 2))


def test_balance_repeats_nothing_more_than_ten_times():
    source = recipes.TrainCorpus("c", "c", balance_by="accents", weight=2.0)
    said = ["us"] * 300 + ["england"] * 80 + [f"free text {i}" for i in range(20)]
    shard = Tones(np.full(400, 16000), tuple(said))
    weights = data.balanced(shard, source)
    assert weights.max() == 20.0 == 2 * data.MOST_REPEATS and weights.sum() == pytest.approx(2 * 400)
    assert weights[:300].sum() == pytest.approx(weights[300:380].sum()), "these two are still heard alike"
    assert data.too_rare(shard, source) == {f"free text {i}": 1 for i in range(20)}
    assert data.too_rare(shard, replace(source, balance_by="")) == {}


def test_balance_knows_several_accents_and_none():
    source = recipes.TrainCorpus("c", "c", balance_by="accents")
    shard = Tones(np.full(100, 16000), ("",) * 50 + ("us",) * 40 + ("scotland | us",) * 4 + ("scotland",) * 6)
    weights = data.balanced(shard, source)
    assert (weights[:50] == 1).all(), "nobody knows what to balance these by"
    assert weights[50:90].sum() == pytest.approx(25) and weights[90:] == pytest.approx(2.5)
    assert data.too_rare(shard, source) == {}
    assert (data.balanced(Tones(np.full(3, 16000), ("",) * 3), source) == 1).all()


@settings(deadline=None, max_examples=25)
@given(processes=st.integers(1, 5), clips=st.integers(1, 30), seed=st.integers(0, 99))
def test_processes_share_every_batch_whole(processes, clips, seed):
    recipe = replace(SMALL, seed=seed)
    pool = clip_pool(np.linspace(0.5, 3.9, clips))
    whole = iter(data.Batches(pool, recipe, start(), settled()))
    shares = [iter(data.Batches(pool, recipe, start(), settled(), share=(p, processes))) for p in range(processes)]
    for _ in range(3):
        expected = next(whole)
        parts = [next(share) for share in shares]
        counted = [part for part in parts if part["counts"]]
        assert sorted(c for part in counted for c in part["clips"]) == sorted(expected["clips"])
        waves = {c: w for part in parts for c, w in zip(part["clips"], part["waves"], strict=True)}
        assert all(torch.equal(waves[c], w) for c, w in zip(expected["clips"], expected["waves"], strict=True))
        assert sum(part["audio_seconds"] for part in parts) == pytest.approx(expected["audio_seconds"])


@settings(deadline=None, max_examples=25)
@given(taken=st.integers(0, 40))
def test_an_interrupted_stream_goes_on_as_if_nothing_had_been(taken):
    pool = clip_pool(np.linspace(0.5, 3.9, 23))
    whole = list(itertools.islice(data.Batches(pool, SMALL, start(), settled()), taken + 3))
    place = whole[taken - 1]["place"] if taken else None
    again = list(itertools.islice(data.Batches(pool, SMALL, start(), settled(), place), 3))
    for a, b in zip(whole[taken:], again, strict=True):
        assert a["clips"] == b["clips"] and all(map(torch.equal, a["waves"], b["waves"]))


def test_workers_give_the_stream_in_order():
    pool = clip_pool(np.linspace(0.5, 3.9, 40))
    stream = data.Batches(pool, SMALL, start(), settled())
    alone = [item["clips"] for item in itertools.islice(stream, 12)]
    loader = DataLoader(data.Batches(pool, SMALL, start_picklable(), settled()), batch_size=None, num_workers=2)
    assert [item["clips"] for item in itertools.islice(loader, 12)] == alone


class _Labels:
    def labels(self, text: str) -> np.ndarray:
        return np.array([5, 6])


def start_picklable() -> SimpleNamespace:
    return SimpleNamespace(**{**vars(start()), "alphabet": _Labels()})


def test_the_plateau_ends_at_once():
    phase = data.Phase(SMALL)
    stream = iter(data.Batches(clip_pool(np.linspace(0.5, 3.9, 60)), SMALL, start(), phase))
    assert max(map(len, next(stream)["waves"])) <= 2.0 * 16000 / 0.9
    phase.settled = True
    assert max(len(w) for _ in range(20) for w in next(stream)["waves"]) > 2.0 * 16000 / 0.9


def test_clips_that_cannot_be_learnt_are_named():
    texts = itertools.cycle([np.array([5, 6]), None, np.full(60, 5)])
    pool = clip_pool([1.0, 1.0, 1.0], begin=start(lambda text: next(texts)))
    assert len(pool) == 1 and pool.unwritable == ("c/1.wav",) and pool.infeasible == ("c/2.wav",)
    assert pool.labels(0).tolist() == [5, 6] and pool.name(0) == "c/0.wav"
    with pytest.raises(TrainingError, match="No clip is left"):
        clip_pool([1.0], begin=start(lambda text: None))


@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(1600, 64000), min_size=1, max_size=20), limit=st.sampled_from([0.0, 4.0, 9.0]))
def test_micro_batches_hold_every_clip_once(lengths, limit):
    parts = data.micro_batches(lengths, limit)
    assert sorted(flat(parts)) == list(range(len(lengths)))
    if limit:
        assert all(max(lengths[i] for i in p) * len(p) <= limit * 16000 for p in parts)


def test_pad_masks_and_rounds():
    batch = data.pad([torch.ones(5), torch.ones(9)], step=8)
    assert batch["input_values"].shape == (2, 16) and batch["attention_mask"].sum(1).tolist() == [5, 9]
    assert set(data.pad([torch.ones(5)], masks=False)) == {"input_values"}


def made_up(rng, clips):
    frames = torch.tensor(rng.integers(6, 15, clips))
    logits = torch.tensor(rng.normal(0, 2, (clips, 15, 7)), dtype=torch.float64).float().requires_grad_()
    labels = [torch.tensor(rng.integers(1, 7, rng.integers(1, 4))) for _ in range(clips)]
    return logits, frames, labels


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 200), cut=st.integers(1, 5), smoothing=st.sampled_from([0.0, 0.2]))
def test_the_loss_of_a_batch_is_the_sum_of_its_parts(seed, cut, smoothing):
    rng = np.random.default_rng(seed)
    logits, frames, labels = made_up(rng, 6)
    whole = ctc_sum(logits, frames, labels, 0, smoothing)
    parts = [ctc_sum(logits[a], frames[a], labels[a], 0, smoothing) for a in (slice(0, cut), slice(cut, 6))]
    assert float(sum(parts).detach()) == pytest.approx(float(whole.detach()), rel=1e-5)


def test_the_loss_is_torchs_and_the_impossible_adds_nothing():
    logits, frames, labels = made_up(np.random.default_rng(3), 4)
    theirs = [
        F.ctc_loss(
            logits[i, : frames[i], None].log_softmax(-1), labels[i], frames[i, None], torch.tensor([len(labels[i])]),
            reduction="sum",
        )
        for i in range(4)
    ]  # fmt: skip
    assert float(ctc_sum(logits, frames, labels, 0)) == pytest.approx(float(sum(theirs)), rel=1e-5)
    impossible = torch.tensor([1] * 20)
    loss = ctc_sum(logits, frames, [impossible, *labels[1:]], 0)
    assert float(loss) == pytest.approx(float(sum(theirs[1:])), rel=1e-5)
    loss.backward()
    assert torch.isfinite(logits.grad).all() and (logits.grad[0] == 0).all()


def test_smoothing_pulls_towards_uniform():
    logits, frames, labels = made_up(np.random.default_rng(5), 2)
    uniform = torch.zeros_like(logits)
    extra = [
        float(ctc_sum(x, frames, labels, 0, 0.5) - 0.5 * ctc_sum(x, frames, labels, 0)) for x in (uniform, logits * 3)
    ]
    assert extra[0] == pytest.approx(0.0, abs=1e-4) and extra[1] > 1.0
