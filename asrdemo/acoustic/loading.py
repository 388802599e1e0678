"""Checkpoint files -> AcousticModel. Whatever cannot be a speech recogniser is refused with what to do about it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from asrdemo.acoustic import network, precision, store, vocabulary
from asrdemo.acoustic.engines import OneByOne
from asrdemo.acoustic.lanes import lanes_for
from asrdemo.acoustic.model import CUDA_ROWS, AcousticModel, Geometry
from asrdemo.errors import CheckpointError
from asrdemo.registry import CheckpointSpec
from asrdemo.types import SAMPLE_RATE, Progress, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_STEPS = 4
HEADS = ("lm_head.", "ctc_head.")  # how the names of an output layer's weights begin
SPARE = "masked_spec_embed"  # used in training only; some published checkpoints lack it

_building = threading.Lock()  # while transformers builds a model it replaces functions of torch.nn.init for all threads
_chosen: dict[tuple[str, str], str] = {}  # (fingerprint, device) -> precision, for the life of the process
_chosen_lock = threading.Lock()


def load(
    spec: CheckpointSpec, device: str = "auto", precision: str = "auto", progress: Progress | None = None
) -> AcousticModel:
    """The checkpoint, ready to use.

    device: `auto`, `cpu` or `cuda`. precision: `auto` (chosen by timing), `fp32`, `bf16` or `int8`.
    progress: told in MB while downloading, then in steps. Raises CheckpointError, NeedsNetworkError.
    """
    began = time.perf_counter()
    place = resolve(device)
    folder = store.fetch(spec, progress)
    tell = progress or (lambda done, total, note: None)
    tell(0, _STEPS, f"reading {spec.title}")
    config = read_config(folder)
    files = store.weight_files(folder)
    _check_head(files, config.model_type)
    normalise = normalises(folder)
    tell(1, _STEPS, f"loading {spec.title}")
    model = _model(folder, spec)
    columns = int(model.config.vocab_size)
    words = vocabulary.read(folder, spec.profile, columns, model.config.pad_token_id, spec.adapter)
    frames = geometry(model)
    mark = fingerprint(folder, files, spec.adapter, words)
    engine: Any = (network.Network if network.supports(model) else OneByOne)(model).to(place)
    lanes = lanes_for(engine, place)
    tell(2, _STEPS, "choosing the precision")
    engine, report = next(lanes.map(lambda e: _precise(e, place, precision, mark), [engine]))
    tell(_STEPS, _STEPS, "ready")
    seconds = time.perf_counter() - began
    return AcousticModel(spec, engine, lanes, words, frames, normalise, place, report, mark, seconds)


def resolve(device: str) -> torch.device:
    """`auto`, `cpu` or `cuda` -> the device to use. Raises CheckpointError where there is no such device."""
    if device not in ("auto", "cpu", "cuda"):
        raise CheckpointError(f"There is no device {device!r}; allowed: auto, cpu, cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("The device is set to cuda, but torch sees no CUDA device; use auto or cpu.")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _precise(
    engine: precision.Engine, place: torch.device, wanted: str, fingerprint: str
) -> tuple[precision.Engine, precision.PrecisionReport]:
    """The engine in its precision; a choice made earlier in this process is kept."""
    rows = CUDA_ROWS if place.type == "cuda" else None
    key = (fingerprint, str(place))
    with _chosen_lock:
        if wanted == "auto" and key in _chosen:
            engine, report = precision.choose(engine, place, _chosen[key])
            notes = ("chosen earlier in this process",)
            return engine, precision.PrecisionReport(report.chosen, False, notes=notes)
        engine, report = precision.choose(engine, place, wanted, rows)
        if wanted == "auto":
            _chosen[key] = report.chosen
    return engine, report


def read_config(folder: Path) -> PreTrainedConfig:
    """config.json of a checkpoint. Raises CheckpointError where it is broken or of no CTC model."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise CheckpointError(f"config.json of the checkpoint cannot be read: {error}") from error
    if kind not in MODEL_FOR_CTC_MAPPING_NAMES:
        raise CheckpointError(
            f"The checkpoint is a {kind!r}; only CTC speech recognition is supported: "
            f"{', '.join(sorted(MODEL_FOR_CTC_MAPPING_NAMES))}."
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"config.json of the checkpoint cannot be read: {error}") from error


def weight_names(files: list[Path]) -> set[str]:
    """Names of the weights in safetensors files, which are not read. Raises CheckpointError for a broken file."""
    names: set[str] = set()
    for path in files:
        try:
            with safe_open(path, framework="numpy") as weights:
                names |= set(weights.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path.name} is broken ({error}). Delete it and load again to fetch it anew."
            ) from error
    return names


def _check_head(files: list[Path], kind: str) -> None:
    """Find missing heads before gigabytes are read."""
    if not any(name.startswith(HEADS) for name in weight_names(files)):
        raise CheckpointError(_no_head(kind))


def _no_head(kind: str) -> str:
    return (
        f"The checkpoint is a pre-trained {kind} without an output layer for text (no lm_head among its weights): it "
        "can be fine-tuned, but not listened with. Fine-tune it first, or choose a fine-tuned checkpoint."
    )


def _model(folder: Path, spec: CheckpointSpec) -> PreTrainedModel:
    model, info = build(folder, spec.title, spec.adapter)
    _check_complete(model.config.model_type, info)
    return model.eval()


def build(
    folder: Path, title: str, adapter: str | None = None, config: PreTrainedConfig | None = None, family: Any = None
) -> tuple[Any, dict[str, Any]]:
    """(model in float32, transformers' account of weights missing, unexpected and of the wrong shape).

    adapter: MMS language to switch to. config: in place of the folder's. family: transformers class, AutoModelForCTC
    by default. Raises CheckpointError.
    """
    from transformers import AutoModelForCTC
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with _building:
            model, info = (family or AutoModelForCTC).from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        if adapter is not None:
            model.load_adapter(adapter, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{title} cannot be loaded ({type(error).__name__}): {error}") from error
    finally:
        if bar:
            logging.enable_progress_bar()
    return model, info


def _check_complete(kind: str, info: dict[str, Any]) -> None:
    """Refuse a model of which transformers made up a part, which it only warns about."""
    missing, mismatched = made_up(info)
    if any(name.startswith(HEADS) for name in missing):
        raise CheckpointError(_no_head(kind))
    if missing or mismatched:
        wrong = sorted(set(missing) | set(mismatched))
        raise CheckpointError(
            f"{len(wrong)} weights of the checkpoint are missing or of the wrong shape for its config.json "
            f"({', '.join(wrong[:3])}, ...); config.json and model.safetensors do not belong together."
        )


def made_up(info: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of weights that the files lack and of those they have in another shape, from `build`'s account."""
    mismatched = [str(item[0] if isinstance(item, tuple) else item) for item in info["mismatched_keys"]]
    return sorted(name for name in info["missing_keys"] if not name.endswith(SPARE)), sorted(mismatched)


def geometry(model: PreTrainedModel) -> Geometry:
    """What a frame covers. Raises CheckpointError for models that do not hear waveforms."""
    config = model.config
    if model.main_input_name != "input_values" or config.model_type in ("sew", "sew-d"):
        raise CheckpointError(
            f"A {config.model_type} hears spectrograms or squeezes its frames; supported are wav2vec2 and its kin: "
            "wav2vec2, wav2vec2-conformer, hubert, wavlm, data2vec-audio, unispeech, unispeech-sat."
        )
    g = Geometry.of(config.conv_kernel, config.conv_stride)
    if getattr(config, "add_adapter", False):  # a further down-sampling after the encoder
        g = Geometry(g.stride * config.adapter_stride**config.num_adapter_layers, g.receptive)
    return g


def normalises(folder: Path) -> bool:
    """Whether the checkpoint expects zero mean and unit variance; checks its sample rate on the way."""
    settings: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not settings:
            data = store.read_json(folder, name)
            settings = data.get("feature_extractor", data)
    rate = settings.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise CheckpointError(f"The checkpoint hears {rate} Hz; only {SAMPLE_RATE} Hz is supported.")
    return bool(settings.get("do_normalize", True))


def fingerprint(folder: Path, files: list[Path], adapter: str | None, words: Vocabulary) -> str:
    """Short SHA-256 over everything that decides what the model hears, and how it is written."""
    whole = hashlib.sha256(repr((words.tokens, words.blank, sorted(words.special))).encode())
    extra = [folder / name for name in ("config.json", "preprocessor_config.json", "processor_config.json")]
    if adapter is not None:
        extra.append(folder / f"adapter.{adapter}.safetensors")
    for path in [*extra, *files]:
        if path.is_file():
            whole.update(f"{path.name} {_digest(path)} ".encode())
    whole.update((adapter or "").encode())
    return whole.hexdigest()[:16]


def _digest(path: Path) -> str:
    """SHA-256 of a file. The Hub's cache names large files by it, which spares reading gigabytes again."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
