"""What a run starts from: weights, vocabulary, what trains; and the folder it ends with."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCTC, AutoProcessor

from asrdemo.acoustic import loading
from asrdemo.errors import CheckpointError, TrainingError
from asrdemo.finetune import base, export, modes
from asrdemo.finetune import labels as spelling
from asrdemo.registry import CheckpointSpec, Registry
from asrdemo.types import Clip
from tests.fake_models import FAMILIES, LOWER, UPPER, make, recipe, registry

TEXTS = ["hello world", "ça va"]
NOTHING = registry()
EVERY = pytest.mark.parametrize("family", FAMILIES)
MODES = {"full", "head", "lora", "adapter"}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A fine-tuned checkpoint of each family."""
    home = tmp_path_factory.mktemp("zoo")
    return {family: make(home / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    return make(tmp_path_factory.mktemp("headless") / "base", kind="ForPreTraining")


def opened(folder, texts=None, **keys):
    return base.open_base(recipe(folder, **keys), texts, NOTHING)


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def logits_of(model, wave):
    model.eval()
    with torch.inference_mode():
        return model(wave).logits


def wave(seed=0, seconds=0.6):
    return torch.randn(1, int(16000 * seconds), generator=torch.Generator().manual_seed(seed))


def step(model):
    """One backward pass in training mode; names of the weights that train but got no gradient."""
    model.train()
    model.zero_grad()
    model(wave(seconds=1.0)).logits.logsumexp(-1).pow(2).sum().backward()
    return [n for n, w in model.named_parameters() if w.requires_grad and w.grad is None]


# --- weights ----------------------------------------------------------------------------------------------------------


@EVERY
def test_a_fine_tuned_base_starts_as_it_was(zoo, family):
    start = opened(zoo[family])
    reference = AutoModelForCTC.from_pretrained(zoo[family], dtype=torch.float32)
    torch.testing.assert_close(logits_of(start.model, wave()), logits_of(reference, wave()))
    assert start.kind == "tiny" and start.new_weights == ()
    assert start.masks == (family != "wav2vec2-group") and start.standardise
    config = start.model.config
    assert config.layerdrop == 0 and config.ctc_loss_reduction == "mean" and config.ctc_zero_infinity
    assert config.pad_token_id == start.alphabet.blank == 0 and start.model.accepts_loss_kwargs is False


def test_a_large_base_is_not_tiny(zoo, monkeypatch):
    monkeypatch.setattr(base, "TINY", 1000)
    start = opened(zoo["hubert"])
    assert start.kind == "finetuned" and start.recipe.optimiser.learning_rate == 2e-5


def test_half_precision_weights_are_trained_in_single(zoo, tmp_path):
    export.convert(zoo["wav2vec2-layer"], tmp_path / "half", torch.float16)
    assert {w.dtype for w in opened(tmp_path / "half").model.parameters()} == {torch.float32}


def test_a_pre_trained_base_gets_a_new_head_and_nothing_else(headless):
    start = opened(headless, TEXTS)
    assert start.kind == "pretrained"
    assert start.new_weights == ("lm_head.bias", "lm_head.weight")
    assert start.vocab == {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"adehlorvwç"])}
    assert start.model.config.vocab_size == start.model.lm_head.out_features == len(start.vocab)
    theirs = load_file(headless / "model.safetensors")["wav2vec2.encoder.layers.1.attention.q_proj.weight"]
    ours = start.model.wav2vec2.encoder.layers[1].attention.q_proj.weight
    torch.testing.assert_close(ours.detach(), theirs)


def test_the_new_head_depends_on_the_seed_alone(headless):
    heads = [opened(headless, TEXTS, seed=s).model.lm_head.weight for s in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_a_new_vocabulary_never_keeps_the_old_head(zoo):
    """Of equal size, transformers would load it without a word, and each letter would start as another."""
    letters = "".join(sorted(set("".join(LOWER[5:])) - {"'"})) + "é"
    start = opened(zoo["wav2vec2-layer"], [letters], vocabulary="train")
    old = load_file(zoo["wav2vec2-layer"] / "model.safetensors")["lm_head.weight"]
    assert start.model.lm_head.weight.shape == old.shape
    assert not torch.allclose(start.model.lm_head.weight, old)
    assert start.kind == "pretrained" and "lm_head.weight" in start.new_weights


@pytest.mark.parametrize("lost", ["wav2vec2.encoder.layers.0.attention.v_proj.weight", "lm_head.bias"])
def test_random_weights_in_place_of_trained_ones_are_refused(zoo, tmp_path, lost):
    folder = copied(zoo["wav2vec2-layer"], tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=lost.replace(".", r"\.")):
        opened(folder)


def test_only_a_mask_vector_may_be_missing(zoo, tmp_path):
    """Some published checkpoints lack it; masking may start late in a run."""
    folder = copied(zoo["wav2vec2-layer"], tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["wav2vec2.masked_spec_embed"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder / "config.json", mask_time_prob=0.0, mask_feature_prob=0.0)
    start = opened(folder, regularisation={"start": 0.5, "mask_time_prob": 0.3})
    assert not step(start.model), "with masks off, the mask vector must not wait for a gradient"
    base.regularise(start.model, start.recipe.regularisation)
    assert not step(start.model)


def test_pickles_are_never_read(zoo, tmp_path):
    folder = copied(zoo["wav2vec2-layer"], tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="Only safetensors are loaded"):
        opened(folder)


def test_models_of_spectrograms_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="only CTC speech recognition"):
        opened(tmp_path)


def test_where_bases_are_found(zoo, tmp_path, monkeypatch):
    known = registry(mine=zoo["hubert"])
    assert base.locate(recipe("mine"), known).path == zoo["hubert"]
    assert base.locate(recipe(zoo["wavlm"]), known).path == zoo["wavlm"]
    monkeypatch.setenv("BASES", str(zoo["wavlm"].parent))
    assert base.locate(recipe("$BASES/wavlm"), known).path == zoo["wavlm"]
    spec = base.locate(recipe("hub:team/model", revision="abc"), known)
    assert (spec.hub, spec.revision) == ("team/model", "abc")
    with pytest.raises(TrainingError, match="no base 'absent'.*mine.*hub:owner/name"):
        base.locate(recipe("absent"), known)
    with pytest.raises(TrainingError, match="expected hub:owner/name"):
        base.locate(recipe("hub:../../etc"), known)


def test_a_base_on_the_hub_is_fetched_at_its_revision(zoo, monkeypatch):
    asked = []
    monkeypatch.setattr(base.store, "fetch", lambda spec: asked.append((spec.hub, spec.revision)) or zoo["hubert"])
    assert opened("hub:team/model", revision="abc").kind == "tiny"
    assert asked == [("team/model", "abc")]


def test_random_weights_only_when_asked_for():
    shape = {"hidden_size": 16, "layers": 1, "heads": 2, "feed_forward": 16, "conv_dim": [8, 16, 16, 16],
             "position_kernel": 4, "position_groups": 2}  # fmt: skip
    start = opened(None, TEXTS, scratch=shape)
    assert start.kind == "scratch" and start.recipe.optimiser.learning_rate == 1e-3
    assert set(start.new_weights) == {name for name, _ in start.model.named_parameters()}
    assert not step(start.model)
    with pytest.raises(TrainingError, match="must all be trained"):
        opened(None, TEXTS, scratch=shape, mode="head")


# --- vocabulary and labels --------------------------------------------------------------------------------------------


def text_of(start, ids):
    return "".join(start.words.tokens[i] for i in ids)


def test_capitals_are_written_for_a_vocabulary_of_capitals(tmp_path):
    """Lower-case text against it is all unknown: the word error rate stays at 1."""
    start = opened(make(tmp_path / "upper", letters=UPPER))
    assert start.case == "upper"
    ids = base.labels("don't go", start)
    assert [UPPER[i] for i in ids] == list("DON'T|GO")
    assert text_of(start, ids) == "don't go"
    assert base.labels("café", start) is None


@pytest.mark.parametrize(
    ("letters", "profile", "case", "text"),
    [
        (["I", "\u0130", "K"], "tr", "upper", "k\u0131i"),
        (["i", "\u0131", "k"], "tr", "lower", "k\u0131i"),
        (["a", "B"], "raw", "as_is", "aB"),
        (["a", "b"], "raw", "lower", "aB"),
        (["\u0628", "\u062a"], "ar", "as_is", "\u0628\u062a"),
    ],
)
def test_case_follows_the_vocabulary(tmp_path, letters, profile, case, text):
    start = opened(make(tmp_path / "m", letters=[*LOWER[:5], *letters]), normalisation=profile)
    assert start.case == case
    ids = base.labels(text, start)
    assert ids is not None and ids.dtype == np.int64 and len(ids) == len(text)
    if case != "lower":
        assert text_of(start, ids) == text


def test_labels_never_hold_the_blank_or_special_tokens(zoo, headless):
    for start in (opened(zoo["hubert"]), opened(headless, [*TEXTS, "<pads|>"])):
        for text in ("<pad>", "|", "<unk>", "a|b", "</s>"):
            ids = base.labels(text, start)
            assert ids is None or not {0, 1, 2, 3, start.vocab["|"]} & set(ids.tolist())
    assert base.labels("", start).shape == (0,)


def test_the_longest_token_wins(tmp_path):
    letters = [*LOWER[:5], "c", "h", "ch", "cht", "t"]
    start = opened(make(tmp_path / "m", letters=letters))
    assert [letters[i] for i in base.labels("chcht tch", start)] == ["ch", "cht", "|", "t", "ch"]


def test_the_pad_token_must_be_the_blank(zoo, tmp_path):
    folder = copied(zoo["wav2vec2-layer"], tmp_path)
    change(folder / "config.json", pad_token_id=3)
    with pytest.raises(TrainingError, match="'<pad>' in column 0.*column 3"):
        opened(folder)
    assert opened(folder, TEXTS, vocabulary="train").model.config.pad_token_id == 0


def test_a_vocabulary_needs_a_head_or_texts(headless, zoo):
    with pytest.raises(TrainingError, match="no vocabulary to reuse"):
        opened(headless, TEXTS, vocabulary="reuse")
    with pytest.raises(TrainingError, match="new vocabulary"):
        opened(headless)
    with pytest.raises(TrainingError, match="no character"):
        opened(headless, ["", " "])
    assert opened(zoo["hubert"], (None for _ in range(1))).vocab["z"] == 31, "texts are left alone"


def test_fingerprints_tell_bases_and_vocabularies_apart(zoo, headless):
    marks = [opened(zoo["hubert"]), opened(zoo["wavlm"]), opened(headless, ["ab"]), opened(headless, ["abc"])]
    assert len({s.fingerprint for s in marks}) == 4
    assert opened(headless, ["ba"]).fingerprint == marks[2].fingerprint


@EVERY
def test_frames_are_those_of_the_model(zoo, family):
    start = opened(zoo[family])
    for samples in (400, 8000, 12345):
        assert base.frames(samples, start.model.config) == logits_of(start.model, torch.zeros(1, samples)).shape[1]


def test_frames_needed_counts_repeats():
    assert spelling.frames_needed(np.array([5, 5, 6, 5])) == 5
    assert spelling.frames_needed(np.zeros(0, dtype=np.int64)) == 0


# --- what trains, and regularisation ----------------------------------------------------------------------------------


@EVERY
def test_dropout_reaches_the_attention_of_every_family(zoo, family):
    model = opened(zoo[family]).model.train()
    regularise = lambda rate: base.regularise(model, dataclasses.replace(modes.OFF, dropout=rate))  # noqa: E731
    regularise(0.0)
    assert torch.equal(model(wave()).logits, model(wave()).logits), "nothing is random with everything off"
    regularise(0.4)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and family != "conformer":  # what is left are numbers
            module.p = 0.0
    assert not torch.equal(model(wave()).logits, model(wave()).logits)
    regularise(0.0)
    assert torch.equal(model(wave()).logits, model(wave()).logits)


@EVERY
@pytest.mark.parametrize("mask", ["mask_time_prob", "mask_feature_prob"])
def test_spec_augment_is_switched_by_one_function(zoo, family, mask):
    model = opened(zoo[family]).model.train()
    masks = dataclasses.replace(modes.OFF, mask_feature_length=4, **{mask: 0.5})
    base.regularise(model, masks)
    assert not torch.equal(model(wave()).logits, model(wave()).logits)
    base.regularise(model, modes.OFF)
    assert torch.equal(model(wave()).logits, model(wave()).logits)


def test_masks_that_cannot_fit_are_refused(zoo):
    with pytest.raises(TrainingError, match="mask_time_length is 30 frames.*has 14"):
        opened(zoo["hubert"], regularisation={"mask_time_prob": 0.1, "mask_time_length": 30})
    with pytest.raises(TrainingError, match="mask_feature_length is 40"):
        opened(zoo["hubert"], regularisation={"mask_feature_prob": 0.1, "mask_feature_length": 40})


def test_regularisation_waits_for_its_start(zoo):
    r = {"start": 0.5, "dropout": 0.3, "mask_time_prob": 0.3}
    start = opened(zoo["hubert"], regularisation=r)
    model = start.model.train()
    assert torch.equal(model(wave()).logits, model(wave()).logits)
    base.regularise(model, start.recipe.regularisation)
    assert not torch.equal(model(wave()).logits, model(wave()).logits)


def can(family, mode):
    return mode != "adapter" or family in ("wav2vec2-layer", "hubert")


@EVERY
@pytest.mark.parametrize("mode", sorted(MODES))
def test_what_trains_gets_a_gradient_and_nothing_else_moves(zoo, family, mode):
    if mode == "lora":
        pytest.importorskip("peft")
    if not can(family, mode):
        with pytest.raises(TrainingError, match="no place for attention adapters"):
            opened(zoo[family], mode=mode)
        return
    model = opened(zoo[family], mode=mode, optimiser={"frozen_convolutions": 2}).model
    assert step(model) == []
    trained = {n for n, w in model.named_parameters() if w.requires_grad}
    assert trained == {n for n, w in model.named_parameters() if w.grad is not None}
    assert {"lm_head.weight", "lm_head.bias"} <= trained
    if mode == "head":
        assert len(trained) == 2
    if mode in ("adapter", "lora"):
        mark = {"adapter": "adapter_layer", "lora": "lora_"}[mode]
        assert all(mark in n or n.startswith("lm_head") for n in trained) and len(trained) > 4
    if mode == "full":
        frozen = {
            n.split("conv_layers.")[1][0]
            for n, w in model.named_parameters()
            if not w.requires_grad and "conv_layers" in n
        }
        assert frozen == {"0", "1"}


@pytest.mark.parametrize(("count", "frozen"), [(-1, 7), (3, 3), (0, 0)])
def test_frozen_convolutions(zoo, count, frozen):
    model = opened(zoo["wav2vec2-group"], optimiser={"frozen_convolutions": count}).model
    layers = model.wav2vec2.feature_extractor.conv_layers
    assert sum(not any(w.requires_grad for w in layer.parameters()) for layer in layers) == frozen
    graph = []
    layers[0].register_forward_hook(lambda module, given, out: graph.append(out.requires_grad))
    assert step(model) == []
    assert graph == [count == 0], "nothing is computed for what stays as it is"


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mms(tmp_path_factory):
    """As MMS publishes: one model, an adapter and a vocabulary a language."""
    folder = make(tmp_path_factory.mktemp("mms") / "mms", adapter_attn_dim=4)
    turkish = [*LOWER[:5], *"abc\u0131"]
    torch.manual_seed(5)
    model = AutoModelForCTC.from_pretrained(folder)
    model.lm_head = torch.nn.Linear(32, len(turkish))
    for name, weights in (("eng", AutoModelForCTC.from_pretrained(folder)), ("tur", model)):
        found = {n: w.detach().clone().contiguous() for n, w in weights._get_adapters().items()}
        save_file(found, folder / f"adapter.{name}.safetensors", metadata={"format": "pt"})
    nested = {"eng": {t: i for i, t in enumerate(LOWER)}, "tur": {t: i for i, t in enumerate(turkish)}}
    (folder / "vocab.json").write_text(json.dumps(nested))
    change(folder / "tokenizer_config.json", target_lang="eng")
    return folder


def test_mms_starts_with_the_language_of_the_registry(mms):
    known = Registry({"mms": CheckpointSpec("mms", "MMS", "tr", "tr", path=mms, adapter="tur")})
    start = base.open_base(recipe("mms", mode="adapter", normalisation="tr"), None, known)
    assert start.adapter == "tur" and len(start.vocab) == 9 and start.new_weights == ()
    head = load_file(mms / "adapter.tur.safetensors")["lm_head.weight"]
    torch.testing.assert_close(start.model.lm_head.weight.detach(), head)


def test_a_new_language_gets_new_adapters_and_leaves_the_rest(mms, tmp_path):
    start = opened(mms, TEXTS, mode="adapter", vocabulary="train", language="fr")
    assert {n.split(".")[-2] for n in start.new_weights} == {"linear_1", "linear_2", "norm", "lm_head"}
    english = load_file(mms / "adapter.eng.safetensors")["wav2vec2.encoder.layers.1.adapter_layer.linear_1.weight"]
    ours = start.model.wav2vec2.encoder.layers[1].adapter_layer
    assert not torch.allclose(ours.linear_1.weight, english) and ours.linear_2.weight.std() < 0.05
    with torch.no_grad():
        for weight in start.model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    export.export(start.model, start, tmp_path / "out")
    expected = logits_of(start.model, wave())
    torch.testing.assert_close(logits_of(AutoModelForCTC.from_pretrained(tmp_path / "out"), wave()), expected)
    shutil.copy(tmp_path / "out" / "adapter.fr.safetensors", copied(mms, tmp_path))
    by_adapter = AutoModelForCTC.from_pretrained(
        tmp_path / "copy", target_lang="fr", ignore_mismatched_sizes=True, dtype=torch.float32
    )
    torch.testing.assert_close(logits_of(by_adapter, wave()), expected)


def test_a_base_without_adapters_gets_them(zoo, tmp_path):
    start = opened(zoo["wav2vec2-layer"], mode="adapter")
    assert start.model.config.adapter_attn_dim == 16
    assert start.new_weights and all("adapter_layer" in n for n in start.new_weights)
    export.export(start.model, start, tmp_path / "out")
    reloaded = AutoModelForCTC.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits_of(reloaded, wave()), logits_of(start.model, wave()))


def test_adapters_that_are_missing_in_full_training_are_refused(zoo, tmp_path):
    folder = copied(zoo["wav2vec2-layer"], tmp_path)
    change(folder / "config.json", adapter_attn_dim=4)
    with pytest.raises(TrainingError, match="adapter_layer"):
        opened(folder)


# --- low rank ---------------------------------------------------------------------------------------------------------


@EVERY
def test_low_rank_changes_what_is_heard_and_merges(zoo, family, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    start = opened(zoo[family], mode="lora", lora={"rank": 2, "alpha": 8.0, "dropout": 0.0})
    before = logits_of(start.model, wave())
    torch.testing.assert_close(before, logits_of(AutoModelForCTC.from_pretrained(zoo[family]), wave()))
    with torch.no_grad():
        for name, weight in start.model.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.2)
    after = logits_of(start.model, wave())
    assert not torch.allclose(before, after, atol=1e-3), "the adapters must be in use"
    export.export(start.model, start, tmp_path / "out")
    assert not any("lora" in name or "base_layer" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    monkeypatch.setitem(sys.modules, "peft", None)
    merged = logits_of(AutoModelForCTC.from_pretrained(tmp_path / "out"), wave())
    torch.testing.assert_close(merged, after, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(logits_of(start.model, wave()), after, msg="the model itself stays as it is")


def test_low_rank_keeps_its_own_dropout(zoo):
    pytest.importorskip("peft")
    start = opened(zoo["hubert"], mode="lora", lora={"dropout": 0.25}, regularisation={"dropout": 0.0})
    rates = {m.p for n, m in start.model.named_modules() if n.endswith("lora_dropout.default")}
    assert rates == {0.25}


def test_low_rank_without_peft_says_what_to_install(zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrainingError, match="pip install peft"):
        opened(zoo["hubert"], mode="lora")


# --- export -----------------------------------------------------------------------------------------------------------


def heard_by_transformers(folder, audio):
    model, processor = (
        AutoModelForCTC.from_pretrained(folder, dtype=torch.float32),
        AutoProcessor.from_pretrained(folder),
    )
    inputs = processor(audio=audio, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits
    return logits, processor.batch_decode(logits.argmax(-1))[0], inputs


@EVERY
def test_everybody_hears_the_same_of_an_export(zoo, family, tmp_path):
    start = opened(zoo[family])
    export.export(start.model, start, tmp_path / "out")
    audio = wave(3, 1.0)[0].numpy() * 0.1
    logits, text, inputs = heard_by_transformers(tmp_path / "out", audio)
    assert ("attention_mask" in inputs) == start.masks
    torch.testing.assert_close(logits, logits_of(start.model, inputs["input_values"]))
    before, text_before, _ = heard_by_transformers(zoo[family], audio)
    assert text == text_before and text
    spec = CheckpointSpec("out", "Out", "en", "en", path=tmp_path / "out")
    ours = loading.load(spec, "cpu", "fp32")
    heard = ours.emissions([Clip(audio)])[0].log_probs
    np.testing.assert_allclose(heard, torch.log_softmax(logits[0], -1).numpy(), atol=2e-3)
    again = opened(tmp_path / "out")
    assert again.vocab == start.vocab and again.kind == "tiny"


def test_an_export_says_nothing_about_this_machine(zoo, tmp_path):
    start = opened(zoo["hubert"])
    export.export(start.model, start, tmp_path / "out")
    for path in (tmp_path / "out").glob("*.json"):
        assert str(zoo["hubert"].parent) not in path.read_text() and str(tmp_path) not in path.read_text()


def test_vocabularies_of_others_survive(tmp_path):
    """As in the well-known tutorial: the blank is last and is called [PAD], there are no <s> and </s>."""
    letters = [*"ABC", "|", "[UNK]", "[PAD]"]
    folder = make(tmp_path / "theirs", letters=letters, pad_token_id=5)
    for path in folder.glob("*token*.json"):
        path.unlink()
    settings = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": None, "eos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "Wav2Vec2CTCTokenizer"}))
    start = opened(folder)
    assert start.alphabet.blank == 5 and base.labels("cab", start).tolist() == [2, 0, 1]
    export.export(start.model, start, tmp_path / "out")
    processor = AutoProcessor.from_pretrained(tmp_path / "out")
    assert processor.tokenizer.pad_token_id == 5 and len(processor.tokenizer) == 6
    assert processor.tokenizer.decode([2, 2, 5, 2, 3, 0]) == "CC A"
    assert opened(tmp_path / "out").vocab == start.vocab


def test_half_precision_is_what_its_configuration_says(zoo, tmp_path):
    start = opened(zoo["wav2vec2-layer"])
    export.export(start.model, start, tmp_path / "out", torch.float16)
    assert {w.dtype for w in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float16"
    assert start.model.dtype == torch.float32


def test_numbers_that_are_none_are_not_exported(zoo, tmp_path):
    start = opened(zoo["wav2vec2-layer"])
    export.export(start.model, start, tmp_path / "out")
    kept = (tmp_path / "out" / "model.safetensors").read_bytes()
    with torch.no_grad():
        start.model.lm_head.bias[0] = 1e6  # beyond half precision
    with pytest.raises(TrainingError, match=r"not finite numbers in float16 \(lm_head.bias"):
        export.export(start.model, start, tmp_path / "out", torch.float16)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == kept, "what was there stays"
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "nothing half-written is left"


def test_an_export_replaces_another(zoo, tmp_path):
    adapted = opened(zoo["wav2vec2-layer"], mode="adapter")
    export.export(adapted.model, adapted, tmp_path / "out")
    assert (tmp_path / "out" / "adapter.en.safetensors").is_file()
    plain = opened(zoo["wav2vec2-layer"])
    export.export(plain.model, plain, tmp_path / "out")
    assert not (tmp_path / "out" / "adapter.en.safetensors").exists()
    torch.testing.assert_close(
        logits_of(AutoModelForCTC.from_pretrained(tmp_path / "out"), wave()), logits_of(plain.model, wave())
    )


def test_the_best_weights_of_a_run_in_half_precision(zoo, tmp_path):
    start, run = opened(zoo["hubert"]), tmp_path / "run"
    with pytest.raises(TrainingError, match="no best checkpoint yet"):
        export.export_best(run, tmp_path / "out")
    export.export(start.model, start, run / "best")
    (run / "best.json").write_text(json.dumps({"step": 3}))
    assert export.export_best(run, tmp_path / "out") == {"step": 3}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in (run / "best").iterdir()}
    audio = wave(3, 1.0)[0].numpy()
    assert heard_by_transformers(tmp_path / "out", audio)[1] == heard_by_transformers(run / "best", audio)[1]
