"""Where a checkpoint's files come from: a local folder, or the Hugging Face Hub through its cache.

Only data files are ever fetched, by name: configuration, vocabulary and safetensors. A repository that offers its
weights as a pickle only is refused before anything is downloaded.
"""

from __future__ import annotations

import json
import os
import socket
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from asrdemo.errors import CheckpointError, NeedsNetworkError
from asrdemo.registry import CheckpointSpec
from asrdemo.types import Progress

_SETTINGS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
_INDEX = "model.safetensors.index.json"
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
_PROBE_SECONDS = 1.0  # how long to wait for the Hub to answer a knock on the door
_PROBE_AGAIN = 60.0  # how long its answer is believed

State = Literal["ready", "needs the network", "missing"]


class Availability(NamedTuple):
    """state: see `availability`; reason: one sentence for the page."""

    state: State
    reason: str


def availability(spec: CheckpointSpec) -> State:
    """Whether the checkpoint can be loaded now, found out without loading it.

    `ready`: its files are here, or the Hub can be reached. `needs the network`: they are neither. `missing`: its
    local folder has gone since the start.
    """
    return look(spec).state


def look(spec: CheckpointSpec) -> Availability:
    """`availability` with the reason for it."""
    if spec.path is not None:
        if (spec.path / "config.json").is_file():
            return Availability("ready", "in a local folder")
        return Availability("missing", f"its folder {spec.path.name} has no config.json any more")
    if _cached(spec) is not None:
        return Availability("ready", "downloaded before")
    if _hub_answers():
        return Availability("ready", f"will be downloaded from {spec.hub} at first use")
    return Availability("needs the network", f"{spec.hub} is not on this machine, and the Hub cannot be reached")


def fetch(spec: CheckpointSpec, progress: Progress | None = None) -> Path:
    """The folder with the checkpoint's files, downloaded if need be.

    progress: told in MB. Raises NeedsNetworkError when files are missing and the Hub cannot be reached, and
    CheckpointError when the repository, the revision or safetensors weights are not there, or a download breaks off.
    """
    if spec.path is not None:
        if not (spec.path / "config.json").is_file():
            raise CheckpointError(
                f"The checkpoint folder of {spec.id!r} has no config.json; put its files back or change models.yaml."
            )
        return spec.path
    return _cached(spec) or _download(spec, progress)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder. Raises CheckpointError where there are none."""
    found = sorted(p for p in folder.iterdir() if any(fnmatch(p.name, pattern) for pattern in _WEIGHTS))
    if not found:
        raise CheckpointError(_no_safetensors(folder.name, [p.name for p in folder.iterdir()]))
    return found


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a checkpoint; {} where it has no such file. Raises CheckpointError for anything else."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{name} of the checkpoint cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{name} of the checkpoint must hold a JSON object, got {type(data).__name__}.")
    return data


def _no_safetensors(name: str, files: list[str]) -> str:
    pickles = [f for f in files if f.endswith((".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5"))]
    carried = f"it has {', '.join(sorted(pickles)[:3])}" if pickles else "it has no weights at all"
    return (
        f"{name} has no model.safetensors ({carried}). Only safetensors are loaded, because other formats can run "
        "code. For a repository on the Hub, name a revision that has been converted (see "
        "https://huggingface.co/spaces/safetensors/convert)."
    )


def _wanted(spec: CheckpointSpec, files: list[str]) -> list[str]:
    """The files to fetch, settings first and weights last: when the weights are here, so is everything else."""
    settings = [f for f in _SETTINGS if f in files]
    weights = [f for f in sorted(files) if any(fnmatch(f, pattern) for pattern in _WEIGHTS)]
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    index = [_INDEX] if _INDEX in files and weights != ["model.safetensors"] else []
    if not weights:
        raise CheckpointError(_no_safetensors(f"{spec.hub} at revision {spec.revision}", files))
    if "config.json" not in files:
        raise CheckpointError(f"{spec.hub} has no config.json, so it is not a checkpoint of transformers.")
    adapter = []
    if spec.adapter is not None:
        adapter = [f"adapter.{spec.adapter}.safetensors"]
        if adapter[0] not in files:
            known = sorted(f.split(".")[1] for f in files if fnmatch(f, "adapter.*.safetensors"))
            raise CheckpointError(
                f"{spec.hub} has no adapter {spec.adapter!r} as safetensors; it has {len(known)}: "
                f"{', '.join(known[:12]) or 'none'}"
            )
    return [*settings, *index, *adapter, *weights]


def _cached(spec: CheckpointSpec) -> Path | None:
    """The folder of a complete earlier download, without asking the network."""
    from huggingface_hub import try_to_load_from_cache

    def here(name: str) -> Path | None:
        found = try_to_load_from_cache(str(spec.hub), name, revision=spec.revision)
        return Path(found) if isinstance(found, str) else None

    config, index = here("config.json"), here(_INDEX)
    needed = ["model.safetensors"]
    if index is not None and here("model.safetensors") is None:
        needed = sorted(set(read_json(index.parent, index.name).get("weight_map", {}).values()))
    if spec.adapter is not None:
        needed.append(f"adapter.{spec.adapter}.safetensors")
    if config is None or any(here(name) is None for name in needed):
        return None
    return config.parent


class _Meter:
    """Stands in for the progress bar of huggingface_hub: counts bytes of one file into the caller's progress."""

    def __init__(self, report: Progress | None, done: int, total: int, note: str) -> None:
        self.report, self.bytes, self.total, self.note, self.told = report, done, total, note, 0.0

    def add(self, count: float) -> None:
        self.bytes += int(count)
        if self.report is not None and time.monotonic() - self.told > 0.2:
            self.told = time.monotonic()
            self.report(min(self.bytes, self.total) // 10**6, max(1, self.total // 10**6), self.note)

    def bar(self) -> type:
        """A class with the part of tqdm's interface that a download uses."""
        meter = self

        class Bar:
            def __init__(self, *args: object, **kwargs: object) -> None:
                self.n = 0
                meter.add(float(kwargs.get("initial") or 0))  # type: ignore[arg-type]

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def update(self, n: float | None = 1) -> None:
                meter.add(n or 0)

            def __getattr__(self, name: str) -> object:
                if name.startswith(("set_", "close", "refresh", "reset", "clear")):
                    return lambda *args, **kwargs: None
                raise AttributeError(name)

        return Bar


def _download(spec: CheckpointSpec, progress: Progress | None) -> Path:
    from huggingface_hub import HfApi, errors, hf_hub_download

    hub, revision = str(spec.hub), str(spec.revision)
    try:
        info = HfApi().model_info(hub, revision=revision, files_metadata=True)
        sizes = {s.rfilename: s.size or 0 for s in info.siblings or []}
        names = _wanted(spec, list(sizes))
        total, done, folder = sum(sizes[n] for n in names), 0, Path()
        for name in names:
            meter = _Meter(progress, done, total, f"downloading {hub}")
            # By the name of the revision, not its commit: so the cache also learns what the name stands for.
            path = hf_hub_download(hub, name, revision=revision, tqdm_class=meter.bar())  # type: ignore[arg-type]
            done += sizes[name]
            folder = Path(path).parent
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise CheckpointError(
            f"The Hub has no public repository {hub}: it is misspelt, private, gated or gone. Correct `hub` of "
            f"{spec.id!r} in models.yaml, or set HF_TOKEN to a token that may read it."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{hub} has no revision {revision!r}; correct `revision` of {spec.id!r}.") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise _needs_network(spec) from error
    except errors.HfHubHTTPError as error:
        raise NeedsNetworkError(
            f"{spec.title} needs the network: the Hub answered with an error ({error.response.status_code}). Try later."
        ) from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # HTTPError: of the client library
        if type(error).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError"):
            raise _needs_network(spec) from error
        raise CheckpointError(
            f"The download of {hub} broke off ({type(error).__name__}: {error}). Try again: what has arrived is kept."
        ) from error
    return folder


def _needs_network(spec: CheckpointSpec) -> NeedsNetworkError:
    off = " (HF_HUB_OFFLINE is set)" if _offline() else ""
    return NeedsNetworkError(
        f"{spec.title} needs the network: {spec.hub} is not on this machine, and the Hub cannot be reached{off}."
    )


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


_answers: dict[tuple[str, int], tuple[float, bool]] = {}


def _hub_answers() -> bool:
    """Whether a connection to the Hub (or to the proxy on the way) can be opened. Believed for a minute."""
    if _offline():
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    url = urlsplit(getproxies().get(urlsplit(endpoint).scheme, endpoint))
    address = (url.hostname or "huggingface.co", url.port or (443 if url.scheme == "https" else 80))
    when, answer = _answers.get(address, (-_PROBE_AGAIN, False))
    if time.monotonic() - when > _PROBE_AGAIN:
        try:
            socket.create_connection(address, timeout=_PROBE_SECONDS).close()
            answer = True
        except OSError:
            answer = False
        _answers[address] = (time.monotonic(), answer)
    return answer
