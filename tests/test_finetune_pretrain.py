"""Self-supervised pre-training: the loss is wav2vec 2.0's, it is learnt, and a fine-tuning run can start from it."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForPreTraining

from asrdemo.errors import TrainingError
from asrdemo.finetune import base, export, pretrain
from tests.fake_models import make, recipe, registry

NOTHING = registry()
EXACT = {"regularisation": {"dropout": 0.0, "mask_time_prob": 0.5, "mask_time_length": 4}}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return make(tmp_path_factory.mktemp("ssl") / "base", kind="ForPreTraining")


def opened(folder, **keys):
    return pretrain.open_base(recipe(folder, mode="pretrain", **keys), NOTHING)


def waves(*seconds):
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.normal(size=int(16000 * s)).astype(np.float32)) for s in seconds]


def tones(count, seed=0):
    """Clips of changing tones: what comes next can be guessed from the neighbours."""
    rng, t = np.random.default_rng(seed), np.arange(3200) / 16000
    clips = []
    for _ in range(count):
        parts = [np.sin(2 * np.pi * rng.choice([300, 700, 1500, 3000]) * t) for _ in range(4)]
        wave = np.concatenate(parts) + rng.normal(0, 0.02, 4 * len(t))
        clips.append(torch.from_numpy((wave / wave.std()).astype(np.float32)))
    return clips


def test_the_paper_s_masks_unless_the_recipe_says(published):
    r = opened(published).recipe
    assert (r.regularisation.mask_time_prob, r.regularisation.mask_time_length) == (0.65, 10)
    assert r.optimiser.frozen_convolutions == 0 and r.optimiser.learning_rate == 1e-4
    r = opened(published, **EXACT).recipe
    assert (r.regularisation.mask_time_prob, r.regularisation.mask_time_length) == (0.5, 4)
    with pytest.raises(TrainingError, match="must be above 0"):
        opened(published, regularisation={"mask_time_prob": 0.0})


def test_masks_and_negatives_stay_within_their_clip(published):
    start = opened(published, **EXACT)
    clips = waves(0.5, 1.3, 0.9)
    np.random.seed(0)
    inputs = pretrain.batch(clips, start)
    masked, negatives = inputs["mask_time_indices"], inputs["sampled_negative_indices"]
    for row, clip in enumerate(clips):
        frames = base.frames(len(clip), start.model.config)
        assert not masked[row, frames:].any(), "padding is not to be guessed"
        assert 0.2 < masked[row, :frames].float().mean() < 0.6
        own = torch.arange(masked.shape[1])[masked[row]]
        drawn = negatives[row][masked[row]] - row * masked.shape[1]
        assert set(drawn.flatten().tolist()) <= set(own.tolist()), "others are masked frames of the same clip"
        assert not (drawn == own[:, None]).any(), "a frame is not its own other"


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.3])
def test_short_clips_can_be_masked(published, seconds):
    start = opened(published)
    total, count, _ = pretrain.loss(start.model, pretrain.batch(waves(seconds, 1.0), start), 2.0)
    assert torch.isfinite(total) and count > 2
    with pytest.raises(TrainingError, match="too short to pre-train on"):
        pretrain.draw_masks(waves(0.03), start)


def by_definition(out, inputs, config):
    """Equations 3 and 4 of the paper, frame by frame."""
    queries, codes = out.projected_states.double(), out.projected_quantized_states.double()
    total = 0.0
    for row, frame in inputs["mask_time_indices"].nonzero().tolist():
        true = codes[row, frame]
        others = codes.flatten(0, 1)[inputs["sampled_negative_indices"][row, frame]]
        others = others[~(others == true).all(-1)]
        near = torch.cosine_similarity(queries[row, frame], torch.cat([true[None], others]), dim=-1)
        total -= torch.log_softmax(near / config.contrastive_logits_temperature, 0)[0].item()
    words = config.num_codevectors_per_group * config.num_codevector_groups
    diversity = (words - out.codevector_perplexity.item()) / words
    return total, diversity


@pytest.mark.parametrize("family", ["wav2vec2-layer", "wav2vec2-group", "conformer"])
def test_the_loss_is_that_of_the_paper_and_of_transformers(family, tmp_path):
    start = opened(make(tmp_path / "m", family, "ForPreTraining"), **EXACT)
    inputs = pretrain.batch(waves(0.8, 0.8), start)
    model = start.model.eval()
    theirs = AutoModelForPreTraining.from_pretrained(tmp_path / "m").eval()
    with torch.no_grad():
        out = theirs(**inputs)
        total, count, metrics = pretrain.loss(model, inputs, 2.0)
    contrastive, diversity = by_definition(out, inputs, model.config)
    assert total.item() == pytest.approx(out.loss.item(), rel=1e-5)
    assert count == inputs["mask_time_indices"].sum()
    assert metrics["contrastive"] * count == pytest.approx(contrastive, rel=1e-4)
    assert metrics["diversity"] == pytest.approx(diversity, rel=1e-4)
    weight = model.config.diversity_loss_weight
    assert total.item() == pytest.approx(contrastive + weight * diversity * count, rel=1e-4)
    assert 1 <= metrics["perplexity"] <= 16 and 0 <= metrics["accuracy"] <= 1


def test_padding_does_not_change_what_a_clip_costs(published):
    start = opened(published, **EXACT)
    model, clips = start.model.eval(), waves(0.6, 1.4)
    masks = pretrain.draw_masks(clips, start)

    def contrastive(*rows):
        inputs = pretrain.batch([clips[i] for i in rows], start, [masks[i] for i in rows])
        with torch.no_grad():
            _, count, metrics = pretrain.loss(model, inputs, 2.0)
        return metrics["contrastive"] * count

    np.random.seed(3)
    together = contrastive(0, 1)
    np.random.seed(3)  # the same others are drawn again
    assert contrastive(0) + contrastive(1) == pytest.approx(together, rel=1e-4)


def test_a_codeword_out_of_use_does_not_end_the_run(published):
    """The gradient of transformers' perplexity is not a number there, and every weight follows."""
    start = opened(published, **EXACT)
    with torch.no_grad():
        start.model.quantizer.weight_proj.bias[0] = -500
    inputs = pretrain.batch(waves(1.0), start)
    total, _, _ = pretrain.loss(start.model, inputs, 2.0)
    total.backward()
    assert all(torch.isfinite(w.grad).all() for w in start.model.parameters() if w.grad is not None)


def test_every_weight_learns(published):
    start = opened(published, **EXACT)
    total, _, _ = pretrain.loss(start.model, pretrain.batch(waves(1.0), start), 2.0)
    total.backward()
    assert [n for n, w in start.model.named_parameters() if w.requires_grad and w.grad is None] == []
    assert all(w.requires_grad for w in start.model.wav2vec2.feature_extractor.parameters())


def test_it_learns_and_a_fine_tuning_run_starts_from_it(published, tmp_path):
    start = opened(published, **EXACT)
    objective = pretrain.Contrastive(start)
    optimiser = torch.optim.AdamW([w for w in start.model.parameters() if w.requires_grad], 3e-3)
    clips, seen = tones(12), []
    torch.manual_seed(0)
    np.random.seed(0)
    for step in range(24):
        item = {"waves": clips[step % 2 * 6 :][:6]}
        count = objective.count(item)
        total = objective.loss(start.model, item, range(6), step)
        (total / count).backward()
        optimiser.step()
        optimiser.zero_grad()
        seen.append(total.item() / count)
    assert np.mean(seen[-5:]) < 0.8 * np.mean(seen[:3]), seen
    assert 1 < objective.metrics["perplexity"] <= 16 and objective.metrics["accuracy"] > 0.2
    export.export(start.model, start, tmp_path / "out")
    assert not (tmp_path / "out" / "vocab.json").exists()
    assert json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())["return_attention_mask"]
    tuned = base.open_base(recipe(tmp_path / "out"), ["ab ba"], NOTHING)
    assert tuned.kind == "pretrained" and tuned.new_weights == ("lm_head.bias", "lm_head.weight")
    learnt = start.model.wav2vec2.encoder.layers[0].feed_forward.output_dense.weight
    torch.testing.assert_close(tuned.model.wav2vec2.encoder.layers[0].feed_forward.output_dense.weight, learnt)
    assert opened(tmp_path / "out").new_weights == (), "and pre-training can go on"


def test_parts_of_an_item_keep_its_masks(published):
    """What a batch is divided by must not change with how much of it goes through the model at once."""
    start = opened(published, **EXACT)
    objective, item = pretrain.Contrastive(start), {"waves": waves(0.7, 0.9, 1.1)}
    count = objective.count(item)
    kept = [mask.copy() for mask in item["masks"]]
    for rows in ([0], [2, 1]):
        objective.loss(start.model, item, rows, 0)
    assert all((a == b).all() for a, b in zip(kept, item["masks"], strict=True))
    assert count == sum(mask.sum() for mask in kept)


def test_codebooks_may_be_new_but_nothing_else(tmp_path, published):
    start = opened(make(tmp_path / "tuned"))
    assert {n.split(".")[0] for n in start.new_weights} == {"quantizer", "project_hid", "project_q"}
    assert start.kind == "pretrained"
    assert pretrain.Contrastive(start).temperature(0) == 2.0
    assert pretrain.Contrastive(start).temperature(10**6) == 0.5
    assert pretrain.Contrastive(opened(published)).temperature(0) == 0.5, "trained ones go on where they were"
    folder = make(tmp_path / "small", kind="ForPreTraining")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(TrainingError, match=r"layers\.2"):
        opened(folder)


def test_from_random_weights():
    shape = {"hidden_size": 16, "layers": 1, "heads": 2, "feed_forward": 16, "conv_dim": [8, 16, 16, 16],
             "position_kernel": 4, "position_groups": 2}  # fmt: skip
    start = opened(None, scratch=shape)
    assert start.kind == "scratch" and start.masks and len(start.new_weights) > 20
    total, count, _ = pretrain.loss(start.model, pretrain.batch(waves(1.0), start), 2.0)
    assert torch.isfinite(total) and count


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_families_with_other_targets_are_refused(family, tmp_path):
    with pytest.raises(TrainingError, match=f"A {family} is not pre-trained with a contrastive loss"):
        opened(make(tmp_path / "m", family, "Model"))
