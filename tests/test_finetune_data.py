"""Shards, augmentation and the batch stream."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch

from asrdemo.errors import TrainingError
from asrdemo.finetune import augment, data, prepare
from asrdemo.finetune import model as models
from asrdemo.finetune import recipe as recipes

RECIPE = recipes.Recipe(
    name="t",
    train=(recipes.TrainCorpus("c", "unused"),),
    dev=(recipes.DevCorpus("c", "unused"),),
    clips=recipes.Clips(0.3, 4.0),
    batches=recipes.Batches(seconds=8.0),
    plateau=recipes.Plateau(max_seconds=2.0, batch_seconds=4.0),
)

TINY = dataclasses.replace(
    RECIPE, model=recipes.Model(hidden_size=16, heads=2, layers=1, feed_forward=16, position_groups=4)
)


@pytest.fixture
def folder(tmp_path):
    """Clips of several kinds: good ones at two rates and channel counts, too short, too long, broken, without text."""
    rng = np.random.default_rng(0)
    (tmp_path / "c" / "clips").mkdir(parents=True)
    rows = ["path\tsentence"]
    kinds = [(1, 16000, 1), (2, 48000, 1), (3, 16000, 2), (0.1, 16000, 1), (5, 16000, 1)]
    for i, (seconds, rate, channels) in enumerate(kinds):
        samples = rng.normal(0, 0.1, (int(seconds * rate), channels))
        soundfile.write(tmp_path / "c" / "clips" / f"{i}.wav", samples, rate)
        rows.append(f"{i}.wav\tHello, you!")
    (tmp_path / "c" / "clips" / "5.wav").write_bytes(b"this is not audio")
    rows += ["5.wav\tbroken", "0.wav\t...", "6.wav\tabsent"]
    (tmp_path / "c" / "train.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "c"


def test_shard_holds_what_is_usable_and_names_the_rest(folder, tmp_path):
    source = recipes.TrainCorpus("c", str(folder))
    shard = prepare.prepare(source, RECIPE, tmp_path / "shards")
    assert shard.names == ("0.wav", "1.wav", "2.wav") and set(shard.texts) == {"hello you"}
    assert np.allclose(shard.lengths / 16000, [1, 2, 3], atol=0.01)
    assert shard.dropped == {
        "shorter than 0.3 s": ["3.wav"],
        "longer than 4.0 s": ["4.wav"],
        "cannot be decoded": ["5.wav", "6.wav"],
        "empty text": ["0.wav"],
    }
    assert shard.samples(2).dtype == np.float32 and len(shard.samples(2)) == 48000
    assert [p.name for p in (tmp_path / "shards").iterdir()] == [next((tmp_path / "shards").glob("c-train-*")).name]


def test_shard_is_made_once_and_again_when_the_table_changes(folder, tmp_path):
    source, home = recipes.TrainCorpus("c", str(folder)), tmp_path / "shards"
    prepare.prepare(source, RECIPE, home)
    index = next(home.glob("c-train-*/index.json"))
    stamp = index.stat().st_mtime_ns
    prepare.prepare(source, RECIPE, home)
    assert index.stat().st_mtime_ns == stamp and len(list(home.iterdir())) == 1
    (folder / "train.tsv").write_text("path\tsentence\n0.wav\tnew text\n")
    assert prepare.prepare(source, RECIPE, home).texts == ("new text",)


def test_damaged_and_empty_shards_are_errors(folder, tmp_path):
    source, home = recipes.TrainCorpus("c", str(folder)), tmp_path / "shards"
    prepare.prepare(source, RECIPE, home)
    target = next(home.glob("c-train-*"))
    (target / "audio.i16").write_bytes(b"\0\0")
    with pytest.raises(TrainingError, match="damaged"):
        prepare.load(target, "c")
    (target / "index.json").write_text(json.dumps({"lengths": [], "texts": [], "names": [], "dropped": {}}))
    with pytest.raises(TrainingError, match="no usable clip"):
        prepare.load(target, "c")


def test_dev_sets_keep_long_clips(folder, tmp_path):
    shard = prepare.prepare(recipes.DevCorpus("c", str(folder), "train"), RECIPE, tmp_path / "shards")
    assert "4.wav" in shard.names


def clip_pool(seconds, weights):
    n = len(seconds)
    audio, lengths = np.zeros(n * 64000, dtype=np.int16), (np.array(seconds) * 16000).astype(int)
    shard = prepare.Shard("c", audio, np.arange(n) * 64000, lengths, ("ab",) * n, tuple(map(str, range(n))), {})
    config = type("C", (), {"conv_kernel": [400], "conv_stride": [320]})
    pool = data.pool([shard], [1.0], models.vocabulary(["ab"]), config)
    return data.Pool(pool.shards, pool.clips, pool.seconds, np.array(weights), pool.labels, pool.max_speed, ())


def test_plan_respects_seconds_phase_and_weights():
    rng = np.random.default_rng(1)
    pool = clip_pool(rng.uniform(0.5, 4.0, 200), np.r_[np.full(100, 3.0), np.full(100, 0.5)])
    phase = data.Phase(RECIPE)
    first = [i for batch in data.plan(pool, phase, rng) for i in batch]
    assert max(pool.seconds[first]) <= 2.0
    phase.settled = True
    batches = list(data.plan(pool, phase, rng))
    assert all(max(pool.seconds[b]) * len(b) <= 8.0 for b in batches)
    counts = np.bincount([i for b in batches for i in b], minlength=200)
    assert (counts[:100] == 3).all() and 20 < counts[100:].sum() < 80
    padding = 1 - sum(pool.seconds[b].sum() for b in batches) / sum(max(pool.seconds[b]) * len(b) for b in batches)
    assert padding < 0.1


def test_stream_changes_phase_at_once_and_repeats_itself_for_a_seed():
    pool = clip_pool(np.linspace(0.5, 3.9, 60), np.ones(60))
    phase = data.Phase(RECIPE)
    streams = [iter(data.Batches(pool, RECIPE, phase, start_step=7)) for _ in range(2)]
    a, b = (next(s) for s in streams)
    assert torch.equal(a["input_values"], b["input_values"])
    phase.settled = True
    longest = max(next(streams[0])["input_values"].shape[1] for _ in range(20))
    assert longest > 2.0 * 16000 / 0.9
    assert not torch.equal(a["input_values"], next(iter(data.Batches(pool, RECIPE, phase, 8)))["input_values"][:1])


def test_processes_share_a_pass_without_overlap(monkeypatch):
    monkeypatch.setattr(data.Batches, "collate", lambda self, batch, rng: batch)
    clips = clip_pool([1.0] * 40, [1.0] * 40)
    phase = data.Phase(RECIPE)
    whole = iter(data.Batches(clips, RECIPE, phase))
    shares = [iter(data.Batches(clips, RECIPE, phase, share=(process, 2))) for process in (0, 1)]
    taken = [next(share) for _ in range(5) for share in shares]
    assert taken == [next(whole) for _ in range(10)]
    assert sorted(clip for batch in taken for clip in batch) == list(range(40))


def test_frozen_convolutions_get_no_gradient():
    model = models.build(TINY, models.vocabulary(["ab"])).train()
    models.freeze_convolutions(model, 2)
    model(input_values=torch.randn(1, 16000), labels=torch.tensor([[5, 6]])).loss.backward()
    layers = model.wav2vec2.feature_extractor.conv_layers
    assert all((layer.conv.weight.grad is not None) == (i >= 2) for i, layer in enumerate(layers))


def test_pad_masks_and_rounds():
    batch = data.pad([np.ones(5, np.float32), np.ones(9, np.float32)], [np.array([1, 2]), np.array([3])], step=8)
    assert batch["input_values"].shape == (2, 16) and batch["attention_mask"].sum(1).tolist() == [5, 9]
    assert batch["labels"].tolist() == [[1, 2], [3, -100]]


def test_frames_agree_with_transformers():
    model = models.build(TINY, models.vocabulary(["ab"]))
    lengths = np.array([4800, 16000, 16001, 33333])
    theirs = model._get_feat_extract_output_lengths(torch.tensor(lengths))
    assert models.frames(lengths, model.config).tolist() == theirs.tolist()
    assert models.frames_needed(np.array([1, 1, 2, 2, 2])) == 8


def test_vocabulary_comes_from_the_training_text():
    vocab = models.vocabulary(["it's a", "bat"])
    assert list(vocab)[:5] == ["<pad>", "<s>", "</s>", "<unk>", "|"] and set(list(vocab)[5:]) == set("'abist")
    assert models.labels("a bat", vocab).tolist() == [vocab[c] for c in "a|bat"]
    assert models.labels("zoo", vocab) is None


def tone(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(16000 * seconds)) / 16000).astype(np.float32)


def peak_hertz(samples):
    return np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples)


def test_speed_changes_length_and_pitch():
    fast = augment.change_speed(tone(1000), 1.25)
    assert len(fast) == 12800 and abs(peak_hertz(fast) - 1250) < 5


def test_noise_has_the_asked_ratio():
    rng, clean = np.random.default_rng(0), tone(500)
    for _ in range(5):
        noise = augment.add_noise(clean, 10.0, rng) - clean
        assert abs(10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) - 10) < 0.1


def test_band_limit_removes_what_is_outside():
    both = tone(1000) + tone(6000)
    spectrum = np.abs(np.fft.rfft(augment.filtered(both, np.ones(1, np.float32), (300.0, 3400.0))))
    assert spectrum[6000] < 0.05 * spectrum[1000]


def test_room_keeps_length_and_loudness():
    rng = np.random.default_rng(0)
    out = augment.filtered(tone(700), augment.room_response(0.3, rng), None)
    assert out.shape == (16000,) and abs(np.std(out) - np.std(tone(700))) < 1e-3


def test_augment_is_finite_and_keeps_enough_frames():
    rng = np.random.default_rng(0)
    strong = recipes.Augment(speed=(1.2, 1.3), noise_prob=1.0, filter_prob=1.0, reverb_prob=1.0)
    for _ in range(20):
        out = augment.augment(tone(440, 0.5), strong, rng, max_speed=1.05)
        assert out.dtype == np.float32 and np.isfinite(out).all() and len(out) >= 8000 / 1.05 - 1


def test_gammatone_filters_peak_where_they_should():
    centres, filters = models.gammatone_filters(40, 256)
    assert filters.shape == (40, 256) and np.allclose(np.linalg.norm(filters, axis=1), 1, atol=1e-5)
    peaks = np.abs(np.fft.rfft(filters, 4096)).argmax(1) * 16000 / 4096
    assert (np.diff(peaks) > 0).mean() > 0.9 and peaks[0] < 250 and peaks[-1] > 6500
    assert np.allclose(peaks[5:], centres[5:], rtol=0.15)


def test_front_end_starts_as_envelopes():
    """A tone lights up the band of its frequency in the second convolution's first channels."""
    model = models.build(TINY, models.vocabulary(["ab"]))
    first, second = (layer.conv for layer in model.wav2vec2.feature_extractor.conv_layers[:2])
    bands = first.out_channels
    with torch.inference_mode():
        envelope = second(torch.relu(first(torch.from_numpy(tone(2000))[None, None]))).mean(-1)[0]
    centre = models.gammatone_filters(bands, first.kernel_size[0])[0][envelope[:bands].argmax()]
    assert abs(centre - 2000) < 200
    assert torch.allclose(envelope[bands : 2 * bands], -envelope[:bands], atol=1e-5)
