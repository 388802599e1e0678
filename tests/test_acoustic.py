"""Loading checkpoints and hearing with them: refusals, exactness, precision, long audio, the cache."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
from safetensors.numpy import load_file, save_file

from asrdemo.acoustic import ModelCache, availability, load, loading, look, network, precision
from asrdemo.acoustic.model import AcousticModel
from asrdemo.errors import Cancelled, CheckpointError
from asrdemo.registry import CheckpointSpec
from asrdemo.types import SAMPLE_RATE, Clip, Emissions

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo" / "checkpoints" / "demo-en"


@pytest.fixture(scope="session")
def spoken(real_clips: list[Path]) -> list[Clip]:
    """Real recordings of different lengths, two of them equally long."""
    clips = []
    for path in real_clips[:10]:
        samples, rate = sf.read(path, dtype="float32")
        clips.append(Clip(samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE), path.stem))
    return [*clips, Clip(clips[0].samples[::-1].copy(), "as long as the first")]


@pytest.fixture(params=["layer", "group"])
def tiny(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"tiny_checkpoint_{request.param}")
    return path


def spec_of(path: Path, **more: object) -> CheckpointSpec:
    return CheckpointSpec("tiny", "Tiny", "en", "en", path=path, **more)  # type: ignore[arg-type]


def text(emissions: Emissions) -> str:
    best = emissions.log_probs.argmax(1)
    kept = best[np.r_[True, best[1:] != best[:-1]]] if len(best) else best
    return "".join(emissions.vocabulary.tokens[i] for i in kept)


@pytest.fixture
def copied(tiny_checkpoint_layer: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the tiny checkpoint, without or with other files: copied(drop=[...], config={...}, vocab=fn)."""

    def make(drop: tuple[str, ...] = (), **config: object) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(tiny_checkpoint_layer, folder)
        for name in drop:
            (folder / name).unlink()
        data = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(data | config))
        return folder

    return make


def refused(folder: Path, message: str, **more: object) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(spec_of(folder, **more), "cpu", "fp32")


# --- the promise: a clip's text does not depend on the others ---------------------------------------------------------


@pytest.mark.parametrize("rows", [None, 2048], ids=["one by one", "packed"])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_same_text_alone_in_a_batch_and_reversed(tiny: Path, spoken: list[Clip], kind: str, rows: int | None) -> None:
    """`packed` is how a GPU runs: several clips to a pass of a fixed size."""
    model = load(spec_of(tiny), "cpu", kind)
    model.rows = rows
    alone = [model.emissions([clip])[0] for clip in spoken]
    together = model.emissions(spoken)
    reverse = model.emissions(spoken[::-1])[::-1]
    assert len({text(e) for e in alone}) > 5, "the clips must differ for this to prove anything"
    for one, two, three in zip(alone, together, reverse, strict=True):
        assert text(one) == text(two) == text(three)
        assert np.array_equal(one.log_probs, two.log_probs) and np.array_equal(one.log_probs, three.log_probs)


@pytest.mark.skipif(not (DEMO / "model.safetensors").is_file(), reason="demo-en has not been trained here")
def test_demo_checkpoint_keeps_the_promise(spoken: list[Clip]) -> None:
    model = load(CheckpointSpec("demo-en", "Demo", "en", "en", path=DEMO), "cpu", "bf16")
    alone = [text(model.emissions([clip])[0]) for clip in spoken[:5]]
    for rows in (None, 1500):
        model.rows = rows
        here = [text(model.emissions([clip])[0]) for clip in spoken[:5]]
        assert [text(e) for e in model.emissions(spoken[:5])] == here
        assert [text(e) for e in model.emissions(spoken[4::-1])][::-1] == here
        assert rows is not None or here == alone


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory\nTraceback"), MemoryError()]
)
def test_memory_that_runs_out_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    model = load(spec_of(tiny), "cpu", "fp32")

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(model, "_engine", full)
    clip = Clip(np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32), "a")
    with pytest.raises(CheckpointError, match=r"memory\. Choose a smaller checkpoint"):
        model.emissions([clip])


def test_weights_laid_out_beforehand_change_no_bit(
    tiny: Path, spoken: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not network._packs():
        pytest.skip("this CPU has no bfloat16 products")
    model = load(spec_of(tiny), "cpu", "bf16")
    assert any(isinstance(module, network._Packed) for module in model._engine.modules())
    packed = model.emissions(spoken)
    monkeypatch.setattr(network, "_packs", lambda: False)
    for one, other in zip(packed, load(spec_of(tiny), "cpu", "bf16").emissions(spoken), strict=True):
        assert np.array_equal(one.log_probs, other.log_probs)


def test_group_norm_and_layer_norm_agree_with_transformers(tiny: Path, spoken: list[Clip]) -> None:
    from transformers import AutoFeatureExtractor, AutoModelForCTC

    reference = AutoModelForCTC.from_pretrained(tiny, dtype=torch.float32).eval()
    extractor = AutoFeatureExtractor.from_pretrained(tiny)
    model = load(spec_of(tiny), "cpu", "fp32")
    for clip, heard in zip(spoken[:4], model.emissions(spoken[:4]), strict=True):
        inputs = extractor(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = torch.log_softmax(reference(inputs).logits[0], -1).numpy()
        assert heard.log_probs.shape == expected.shape
        assert np.abs(heard.log_probs - expected).max() < 1e-3
        np.testing.assert_allclose(np.exp(heard.log_probs).sum(1), 1, rtol=1e-4)


@pytest.mark.parametrize("norm, stable", [("group", False), ("layer", True), ("layer", False), ("group", True)])
@pytest.mark.parametrize("adapter", [None, 8])
def test_network_computes_what_transformers_does(norm: str, stable: bool, adapter: int | None) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(1)
    config = Wav2Vec2Config(
        vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        conv_dim=(24, 16, 16), conv_kernel=(10, 3, 2), conv_stride=(5, 2, 2), num_feat_extract_layers=3,
        feat_extract_norm=norm, do_stable_layer_norm=stable, conv_bias=stable, num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=4, adapter_attn_dim=adapter,
    )  # fmt: skip
    model = Wav2Vec2ForCTC(config).eval()
    for name, weight in model.named_parameters():  # norms and biases begin as 1 and 0, which would hide a mix-up
        if "norm" in name or "bias" in name:
            weight.data += 0.3 * torch.randn_like(weight)
    waves = [torch.randn(n) for n in (60, 3000, 4001)]
    with torch.inference_mode():
        expected = [torch.log_softmax(model(w[None]).logits[0], -1) for w in waves]
        ours = network.Network(model)
        for heard in (ours(waves), ours(waves, rows=512)):
            for one, other in zip(expected, heard, strict=True):
                torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Hubert", "WavLM", "Data2VecAudio", "UniSpeechSat", "Wav2Vec2Conformer"])
def test_other_architectures_run_too(
    tmp_path: Path, tiny_checkpoint_layer: Path, tone: np.ndarray, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """In every precision that `auto` may try: here bf16 never wins, so that int8 is tried wherever it can be had."""
    import transformers

    folder = tmp_path / "other"
    shutil.copytree(tiny_checkpoint_layer, folder)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=32, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0,
        **({"conv_pos_kernel_size": 5} if kind == "Data2VecAudio" else {}),
    )  # fmt: skip
    reference = getattr(transformers, f"{kind}ForCTC")(config).eval()
    reference.save_pretrained(folder)
    clips = [Clip(tone), Clip(tone[:9000] * np.linspace(0, 1, 9000, dtype=np.float32))]
    waves = [torch.from_numpy((c.samples - c.samples.mean()) / np.sqrt(c.samples.var() + 1e-7)) for c in clips]
    with torch.inference_mode():
        expected = [torch.log_softmax(reference(wave[None]).logits[0], -1).numpy() for wave in waves]
    monkeypatch.setattr(precision, "PLENTY", np.inf)
    for wanted, slack in (("fp32", 1e-4), ("bf16", 0.1), ("auto", 0.1)):
        heard = load(spec_of(folder), "cpu", wanted).emissions(clips)
        for one, other in zip(heard, expected, strict=True):
            assert one.log_probs.dtype == np.float32
            np.testing.assert_allclose(one.log_probs, other, atol=slack)


# --- emissions --------------------------------------------------------------------------------------------------------


def test_edges(tiny: Path, tone: np.ndarray) -> None:
    model = load(spec_of(tiny), "cpu", "fp32")
    assert model.emissions([]) == []
    short, empty, shortest, normal = model.emissions(
        [Clip(tone[:399]), Clip(tone[:0]), Clip(tone[:400]), Clip(tone[:719])]
    )
    assert short.log_probs.shape == empty.log_probs.shape == (0, 32)
    assert shortest.log_probs.shape == normal.log_probs.shape == (1, 32)
    assert model.seconds_per_frame == 0.02 and normal.duration == pytest.approx(719 / 16000)


def test_silence_is_blank_without_asking_the_model(tiny: Path) -> None:
    model = load(spec_of(tiny), "cpu", "fp32")
    heard = model.emissions([Clip(np.zeros(SAMPLE_RATE, np.float32))])[0]
    assert text(heard) == "" and (heard.log_probs.argmax(1) == heard.vocabulary.blank).all()


def test_long_audio_is_cut_at_pauses_and_stays_aligned(tiny: Path, spoken: list[Clip]) -> None:
    model = load(spec_of(tiny), "cpu", "fp32")
    pause = np.zeros(int(1.2 * SAMPLE_RATE), np.float32)
    whole = Clip(np.concatenate([piece for clip in spoken for piece in (clip.samples, pause)]))
    told: list[tuple[int, int, str]] = []
    heard = model.emissions([whole], lambda *args: told.append(args))[0]
    assert len(heard.log_probs) == (len(whole.samples) - 400) // 320 + 1
    assert len(heard.cuts) >= 3 and list(heard.cuts) == sorted(set(heard.cuts))
    assert heard.cuts[0] > 0 and heard.cuts[-1] < len(heard.log_probs)
    for cut in heard.cuts:
        around = whole.samples[cut * 320 - 1600 : cut * 320 + 1600]
        assert np.abs(around).max() < 0.05, "a cut lies in a pause"
    np.testing.assert_allclose(np.exp(heard.log_probs).sum(1), 1, rtol=1e-4)
    assert told[0][0] == 0 and told[-1][0] == told[-1][1]


def test_without_pauses_windows_join_without_a_seam(tiny_checkpoint_layer: Path) -> None:
    """Noise without a pause: frames well inside a window must be those of hearing the stretch around them."""
    model = load(spec_of(tiny_checkpoint_layer), "cpu", "fp32")
    samples = (0.1 * np.random.default_rng(0).standard_normal(50 * SAMPLE_RATE)).astype(np.float32)
    heard = model.emissions([Clip(samples)])[0]
    assert heard.cuts == () and len(heard.log_probs) == (len(samples) - 400) // 320 + 1
    at = 15 * 50  # 15 s: inside the first window, which reaches to at least 18 s
    part = model.emissions([Clip(samples[: 20 * SAMPLE_RATE])])[0]
    assert (part.log_probs[at - 200 : at].argmax(1) == heard.log_probs[at - 200 : at].argmax(1)).mean() > 0.9


def test_progress_may_stop_the_work(tiny: Path, tone: np.ndarray) -> None:
    def stop(done: int, total: int, note: str) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        load(spec_of(tiny), "cpu", "fp32").emissions([Clip(tone)], stop)


# --- precision --------------------------------------------------------------------------------------------------------


class Fake:
    """An engine of a given speed. Its output is 1 frame that says which token is best."""

    def __init__(self, seconds: dict[str, float], clock: list[float], kind: str = "fp32", token: int = 0) -> None:
        self.seconds, self.clock, self.kind, self.token = seconds, clock, kind, token

    def __call__(self, waves: list[torch.Tensor], rows: int | None = None) -> list[torch.Tensor]:
        self.clock[0] += self.seconds[self.kind]
        return [torch.nn.functional.one_hot(torch.tensor([self.token]), 3).float()]

    def cast(self, dtype: torch.dtype) -> Fake:
        return Fake(self.seconds, self.clock, "bf16")

    def to(self, device: torch.device) -> Fake:
        return self

    int8 = True


@pytest.mark.parametrize(
    "fp32, bf16, int8, keeps, chosen",
    [
        (1.0, 0.3, 0.1, True, "bf16"),  # plenty: int8 is not even tried
        (1.0, 0.95, 2.0, True, "fp32"),  # not worth it
        (1.0, 5.0, 0.5, True, "int8"),  # no bfloat16 units
        (1.0, 5.0, 0.5, False, "fp32"),  # int8 changes the text
        (1.0, 0.8, 0.78, True, "bf16"),  # int8 does not win clearly
    ],
)
def test_precision_is_chosen_by_timing(
    monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, int8: float, keeps: bool, chosen: str
) -> None:
    clock = [0.0]
    seconds = {"fp32": fp32, "bf16": bf16, "int8": int8}
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(precision, "_quantised", lambda engine: Fake(seconds, clock, "int8", 0 if keeps else 1))
    engine, report = precision.choose(Fake(seconds, clock), torch.device("cpu"))
    assert report.chosen == chosen and not report.forced and report.notes
    assert engine.kind == chosen  # type: ignore[attr-defined]
    assert report.seconds["fp32"] == pytest.approx(fp32) and report.seconds["bf16"] == pytest.approx(bf16)
    assert ("int8" in report.seconds) == (fp32 / bf16 < precision.PLENTY)


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_precision_can_be_forced(tiny_checkpoint_layer: Path, spoken: list[Clip], kind: str) -> None:
    model = load(spec_of(tiny_checkpoint_layer), "cpu", kind)
    assert model.precision == kind and model.precision_report.forced
    plain = load(spec_of(tiny_checkpoint_layer), "cpu", "fp32")
    heard, expected = model.emissions(spoken[:2]), plain.emissions(spoken[:2])
    for one, other in zip(heard, expected, strict=True):
        assert (one.log_probs.argmax(1) == other.log_probs.argmax(1)).mean() > (0.8 if kind == "int8" else 0.9)
    if kind != "fp32":
        assert not np.array_equal(heard[0].log_probs, expected[0].log_probs), "it must really run in another precision"


def test_precision_is_kept_for_the_life_of_the_process(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(spec_of(tiny), "cpu")
    assert first.precision in ("fp32", "bf16", "int8") and first.precision_report.seconds
    monkeypatch.setattr(precision, "_timed", lambda *args: pytest.fail("timed again"))
    again = load(spec_of(tiny), "cpu")
    assert again.precision == first.precision and again.fingerprint == first.fingerprint


def test_impossible_wishes_are_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no precision 'fp8'; allowed: auto, fp32"):
        load(spec_of(tiny), "cpu", "fp8")
    with pytest.raises(CheckpointError, match="no device 'tpu'"):
        load(spec_of(tiny), "tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CheckpointError, match="no CUDA device"):
        load(spec_of(tiny), "cuda")
    monkeypatch.setattr(precision, "_quantised", lambda engine: None)
    with pytest.raises(CheckpointError, match="int8 needs"):
        load(spec_of(tiny), "cpu", "int8")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_only_safetensors(copied: Callable[..., Path]) -> None:
    folder = copied(drop=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"boom")
    refused(folder, r"no model.safetensors \(it has pytorch_model.bin\)")


def test_broken_weights(copied: Callable[..., Path]) -> None:
    folder = copied()
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(folder, "model.safetensors is broken .* Delete it")


def test_not_a_recogniser(copied: Callable[..., Path]) -> None:
    refused(copied(model_type="bert"), "is a 'bert'; only CTC speech recognition is supported: .*wav2vec2")


@pytest.mark.parametrize("what", ["lm_head.weight", "lm_head.bias", "wav2vec2.encoder.layer_norm.weight"])
def test_made_up_weights_are_refused(copied: Callable[..., Path], what: str) -> None:
    """transformers would fill them with random numbers and only warn."""
    folder = copied()
    weights = load_file(folder / "model.safetensors")
    names = [n for n in weights if n == what or (what == "lm_head.weight" and n.startswith("lm_head"))]
    for name in names:
        del weights[name]
    assert names
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "ine-tune it first" if "lm_head" in what else "1 weights of the checkpoint are missing")


def test_published_names_of_weight_norm_load(copied: Callable[..., Path], spoken: list[Clip]) -> None:
    """Checkpoints on the Hub spell it weight_g and weight_v, and some lack the embedding used in training only."""
    folder = copied()
    before = load(spec_of(folder), "cpu", "fp32").emissions(spoken[:1])[0]
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = load_file(folder / "model.safetensors")
    weights.pop("wav2vec2.masked_spec_embed", None)
    for name in list(weights):
        for new_style, old_style in old.items():
            if name.endswith(new_style):
                weights[name.replace(new_style, old_style)] = weights.pop(name)
    assert any(name.endswith("weight_g") for name in weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = load(spec_of(folder), "cpu", "fp32").emissions(spoken[:1])[0]
    assert np.array_equal(before.log_probs, after.log_probs)


def test_wrong_shapes(copied: Callable[..., Path]) -> None:
    refused(copied(intermediate_size=48), "cannot be loaded|wrong shape")


def test_sample_rate(copied: Callable[..., Path]) -> None:
    folder = copied()
    for path in folder.glob("*processor_config.json"):
        path.write_text(path.read_text().replace("16000", "8000"))
    refused(folder, "hears 8000 Hz; only 16000 Hz")


# --- vocabulary -------------------------------------------------------------------------------------------------------


def revoke(folder: Path, change: Callable[[dict[str, int]], dict[str, int] | dict[str, dict[str, int]]]) -> Path:
    path = folder / "vocab.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    (folder / "tokenizer_config.json").unlink(missing_ok=True)
    return folder


def test_vocabulary(tiny: Path) -> None:
    v = load(spec_of(tiny), "cpu", "fp32").vocabulary
    assert v.blank == 0 and v.tokens[0] == "" and v.tokens[4] == " " and v.tokens[5:9] == ("'", "a", "b", "c")
    assert v.special == {1, 2, 3} and len(v) == 32


@pytest.mark.parametrize("profile, letter, dotless", [("en", "a", "i"), ("tr", "a", "\u0131"), ("raw", "A", "I")])
def test_capitals_follow_the_profile(copied: Callable[..., Path], profile: str, letter: str, dotless: str) -> None:
    folder = revoke(copied(), lambda v: {t.upper() if len(t) == 1 else t: i for t, i in v.items()})
    spec = CheckpointSpec("tiny", "Tiny", "en", profile, path=folder)
    v = load(spec, "cpu", "fp32").vocabulary
    assert v.tokens[6] == letter and v.tokens[6 + 8] == dotless
    assert v.tokens[1] == "<s>"


def test_fingerprint_tells_apart_what_is_written_differently(copied: Callable[..., Path]) -> None:
    """Emissions carry their vocabulary and are kept by fingerprint: two entries over one folder must not share them."""
    folder = revoke(copied(), lambda v: {t.upper() if len(t) == 1 else t: i for t, i in v.items()})
    found = {
        load(CheckpointSpec("tiny", "Tiny", "en", profile, path=folder), "cpu", "fp32").fingerprint
        for profile in ("en", "tr", "raw", "default")
    }
    assert len(found) == 3, "en and default write the same"


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_broken_settings(copied: Callable[..., Path], name: str) -> None:
    folder = copied(drop=tuple(n for n in ("preprocessor_config.json",) if n != name))
    (folder / name).write_text("{")
    refused(folder, f"{name} of the checkpoint cannot be read as JSON")


def test_mixed_case_is_left_alone(copied: Callable[..., Path]) -> None:
    folder = revoke(copied(), lambda v: {"A" if t == "a" else t: i for t, i in v.items()})
    assert load(spec_of(folder), "cpu", "fp32").vocabulary.tokens[6:8] == ("A", "b")


def test_bracketed_specials_and_spare_tokens_without_a_column(copied: Callable[..., Path]) -> None:
    names = {"<pad>": "[PAD]", "<unk>": "[UNK]"}
    folder = revoke(copied(), lambda v: {names.get(t, t): i for t, i in v.items()} | {"<extra>": 32})
    v = load(spec_of(folder), "cpu", "fp32").vocabulary
    assert v.tokens[0] == "" and v.blank == 0 and 3 in v.special and len(v) == 32


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: {t: i for t, i in v.items() if t != "q"}, "no token for column 22"),
        (lambda v: v | {"\u00e9": 32}, "no column for '\u00e9'"),
        (lambda v: {"\u2581the" if t == "q" else t: i for t, i in v.items()}, "sub-words"),
        (lambda v: {"eng": v, "tur": v}, "2 languages .* but not None; set `adapter`"),
    ],
)
def test_vocabulary_that_does_not_fit(copied: Callable[..., Path], change: Callable, message: str) -> None:
    refused(revoke(copied(), change), message)


def test_no_vocabulary(copied: Callable[..., Path]) -> None:
    refused(copied(drop=("vocab.json",)), "no vocab.json")


# --- MMS adapters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mms(copied: Callable[..., Path]) -> Path:
    """A tiny checkpoint in the manner of MMS: one adapter and one vocabulary a language."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    folder = revoke(copied(), lambda v: {"eng": v, "tur": {t: i for t, i in v.items() if i < 30}})
    config = Wav2Vec2Config.from_pretrained(folder, adapter_attn_dim=4)
    torch.manual_seed(3)
    model = Wav2Vec2ForCTC(config)
    model.save_pretrained(folder)
    for language, size in (("eng", 32), ("tur", 30)):
        weights = {n: w.detach().clone() + 0.1 for n, w in model._get_adapters().items()}
        weights |= {"lm_head.weight": torch.randn(size, 32), "lm_head.bias": torch.randn(size)}
        save_file({n: w.numpy() for n, w in weights.items()}, folder / f"adapter.{language}.safetensors")
    return folder


def test_adapters_change_vocabulary_and_text(mms: Path, spoken: list[Clip]) -> None:
    turkish = load(spec_of(mms, adapter="tur"), "cpu", "fp32")
    english = load(spec_of(mms, adapter="eng"), "cpu", "fp32")
    assert len(turkish.vocabulary) == 30 and len(english.vocabulary) == 32
    assert turkish.fingerprint != english.fingerprint
    assert turkish.emissions(spoken[:1])[0].log_probs.shape[1] == 30
    reference = loading._model(mms, spec_of(mms, adapter="tur"))
    wave = torch.randn(8000)
    with torch.inference_mode():
        expected = torch.log_softmax(reference(wave[None]).logits[0], -1)
        torch.testing.assert_close(network.Network(reference)([wave])[0], expected, atol=2e-4, rtol=0)


def test_missing_adapter(mms: Path) -> None:
    refused(mms, "cannot be loaded.*adapter.fra.safetensors", adapter="fra")


# --- where it stands, and the cache -----------------------------------------------------------------------------------


def test_availability_of_local_folders(tiny: Path, tmp_path: Path) -> None:
    assert availability(spec_of(tiny)) == "ready"
    assert look(spec_of(tmp_path)) == ("missing", f"its folder {tmp_path.name} has no config.json any more")
    with pytest.raises(CheckpointError, match="no config.json"):
        load(spec_of(tmp_path), "cpu", "fp32")


def test_availability_of_the_hub_offline() -> None:
    spec = CheckpointSpec("far", "Far", "en", "en", hub="team/far", revision="main")
    assert availability(spec) == "needs the network"  # conftest sets HF_HUB_OFFLINE


def numbered(path: Path, count: int) -> list[CheckpointSpec]:
    return [CheckpointSpec(f"n{i}", f"N{i}", "en", "en", path=path) for i in range(count)]


def test_the_size_in_memory_follows_the_precision(tiny_checkpoint_layer: Path) -> None:
    """Also where weights are laid out for the processor: such tensors are not parameters any more."""
    from transformers import AutoModelForCTC

    count = sum(p.numel() for p in AutoModelForCTC.from_pretrained(tiny_checkpoint_layer).parameters())
    whole, half = (load(spec_of(tiny_checkpoint_layer), "cpu", kind).bytes for kind in ("fp32", "bf16"))
    assert whole == pytest.approx(4 * count, rel=0.05), "all but what only training needs"
    assert 0.48 < half / whole < 0.6, "the first layer stays in float32"
    if torch.backends.quantized.engine != "none":
        assert half * 0.5 < load(spec_of(tiny_checkpoint_layer), "cpu", "int8").bytes < whole


def test_cache_lets_the_least_recently_used_go(tiny_checkpoint_layer: Path) -> None:
    import gc
    import weakref

    a, b, c = numbered(tiny_checkpoint_layer, 3)
    cache = ModelCache(2, "cpu", "fp32")
    gone = weakref.ref(cache.get(b))
    cache.get(a)
    assert cache.get(a) is cache.get(a) and cache.loaded() == ["n1", "n0"]
    cache.get(c)
    assert cache.loaded() == ["n0", "n2"]
    gc.collect()
    assert gone() is None, "an evicted checkpoint gives its memory back"


def test_cache_loads_once_however_many_ask(tiny_checkpoint_layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = numbered(tiny_checkpoint_layer, 2)
    calls: list[str] = []
    real = loading.load

    def counted(spec: CheckpointSpec, *args: object) -> AcousticModel:
        calls.append(spec.id)
        return real(spec, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "load", counted)
    cache = ModelCache(2, "cpu", "fp32")
    found: list[AcousticModel] = []
    threads = [threading.Thread(target=lambda s=s: found.append(cache.get(s))) for s in specs * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(calls) == ["n0", "n1"] and len(found) == 8 and len(set(map(id, found))) == 2


def test_a_failed_load_is_tried_again(copied: Callable[..., Path]) -> None:
    folder = copied()
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"")
    cache = ModelCache(1, "cpu", "fp32")
    with pytest.raises(CheckpointError):
        cache.get(spec_of(folder))
    (folder / "model.safetensors").write_bytes(weights)
    assert cache.get(spec_of(folder)).precision == "fp32"


def test_importing_the_package_is_light() -> None:
    import subprocess
    import sys

    heavy = ("torch", "transformers", "huggingface_hub")
    code = f"import sys, asrdemo.acoustic; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
