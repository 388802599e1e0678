"""models.yaml -> what may be loaded: checkpoints, language models, corpora.

The file is data only: no tags, no code, no keys beyond those below. Everything wrong in it is found when it is read,
with the file, the place, the key and what is allowed. Visitors choose from these ids; they never name a repository.

Checkpoints that were trained here come after it: each is a folder `<home>/checkpoints/<id>/` with its weights and
ENTRY, which has the keys of a checkpoint in models.yaml but for id and path, which the folder gives. `revision` is
theirs too: it tells weights from others that had the id before.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar

from asrdemo import entries, settings
from asrdemo.entries import Entry
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.text import PROFILES
from asrdemo.types import DECODER_RANGES, DecoderOptions

TUNED = "decoder-defaults.yaml"  # under the app's home: decoders that `python -m evals sweep` found best
REGISTERED, ENTRY = "checkpoints", "checkpoint.yaml"  # under the app's home, and in each folder there
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[0-9A-Za-z][\w./-]{0,120}")
_ADAPTER = re.compile(r"[a-z]{3}(-[A-Za-z0-9_]+)*")  # MMS writes ISO 639-3, some with a script: uzb-script_cyrillic


@dataclass(frozen=True)
class CheckpointSpec:
    """A speech recognition checkpoint: a local folder (`path`) or a repository on the Hugging Face Hub (`hub`).

    language: BCP 47 code. profile: normalisation profile of asrdemo.text.
    revision: commit, tag or `refs/pr/N` of the repository; of a checkpoint that was trained here, its weights' hash.
    adapter: MMS adapter language (ISO 639-3), or None. decoder: the options that suit the checkpoint.
    """

    id: str
    title: str
    language: str
    profile: str
    path: Path | None = None
    hub: str | None = None
    revision: str | None = None
    adapter: str | None = None
    decoder: DecoderOptions = DecoderOptions()
    note: str = ""


@dataclass(frozen=True)
class LanguageModelSpec:
    """A KenLM model: a local file (`path`) or `file` in a repository on the Hub.

    unigrams: the word list, one a line: a local path, or a file name in the same repository.
    alpha, beta: the weights that suit it, see DecoderOptions.
    """

    id: str
    title: str
    language: str
    path: Path | None = None
    hub: str | None = None
    revision: str | None = None
    file: str | None = None
    unigrams: Path | str | None = None
    alpha: float = 0.5
    beta: float = 1.5
    note: str = ""


@dataclass(frozen=True)
class CorpusSpec:
    """A folder in Common Voice layout, or a downloaded archive. profile: how its sentences are normalised."""

    id: str
    title: str
    language: str
    profile: str
    path: Path
    note: str = ""


_Spec = TypeVar("_Spec", CheckpointSpec, LanguageModelSpec, CorpusSpec)


@dataclass(frozen=True)
class Registry:
    """What models.yaml lists, by id, in its order. The first checkpoint is the one the page opens with.

    unlisted: language models that visitors built. Whoever knows the id may use one; no list and no message names it.
    """

    checkpoints: Mapping[str, CheckpointSpec]
    language_models: Mapping[str, LanguageModelSpec] = dataclasses.field(default_factory=dict)
    corpora: Mapping[str, CorpusSpec] = dataclasses.field(default_factory=dict)
    unlisted: Mapping[str, LanguageModelSpec] = dataclasses.field(default_factory=dict)

    def checkpoint(self, id: str) -> CheckpointSpec:
        """The checkpoint of that id. Raises NotFoundError with the ids there are."""
        return _find(self.checkpoints, "checkpoint", id)

    def language_model(self, id: str) -> LanguageModelSpec:
        """The language model of that id, listed or not. Raises NotFoundError with the listed ids."""
        if id in self.unlisted:
            return self.unlisted[id]
        return _find(self.language_models, "language model", id)

    def corpus(self, id: str) -> CorpusSpec:
        """The corpus of that id. Raises NotFoundError with the ids there are."""
        return _find(self.corpora, "corpus", id)

    def with_language_model(self, spec: LanguageModelSpec, listed: bool = True) -> Registry:
        """A registry that also has this language model. Raises ConfigError if the id is taken."""
        if spec.id in self.language_models or spec.id in self.unlisted:
            raise ConfigError(f"There already is a language model {spec.id!r}; choose another id.")
        models = MappingProxyType({**(self.language_models if listed else self.unlisted), spec.id: spec})
        return (
            dataclasses.replace(self, language_models=models) if listed else dataclasses.replace(self, unlisted=models)
        )

    def without_unlisted(self, id: str) -> Registry:
        """A registry that no longer has this unlisted language model; the same one if it never had."""
        left = {other: spec for other, spec in self.unlisted.items() if other != id}
        return dataclasses.replace(self, unlisted=MappingProxyType(left))


def is_id(text: str) -> bool:
    """Whether this can be the id of something listed."""
    return _ID.fullmatch(text) is not None


def _find(specs: Mapping[str, _Spec], kind: str, id: str) -> _Spec:
    if id not in specs:
        raise NotFoundError(f"There is no {kind} {id!r}; available: {', '.join(specs) or 'none'}.")
    return specs[id]


_CHECKPOINT_KEYS = ("id", "title", "language", "profile", "path", "hub", "revision", "adapter", "decoder", "note")
_OWN_KEYS = ("title", "language", "profile", "revision", "adapter", "decoder", "note")
_LM_KEYS = ("id", "title", "language", "path", "hub", "revision", "file", "unigrams", "alpha", "beta", "note")
_CORPUS_KEYS = ("id", "title", "language", "profile", "path", "note")
_SECTIONS = ("checkpoints", "language_models", "corpora")
_DECODER_KEYS = tuple(f.name for f in dataclasses.fields(DecoderOptions))


def _decoder(data: object, entry: Entry) -> DecoderOptions:
    e = Entry(data, f"{entry.where}: decoder", entry.folder, _DECODER_KEYS)
    d = DecoderOptions()
    hotwords = e.data.get("hotwords", [])
    if not isinstance(hotwords, list) or not all(isinstance(w, str) and w.strip() for w in hotwords):
        e.fail(f"hotwords must be a list of words, got {hotwords!r}")
    return DecoderOptions(
        kind=e.choice("kind", d.kind, ("greedy", "beam")),  # type: ignore[arg-type]
        lm=e.optional("lm", _ID),
        beam_width=e.whole("beam_width", d.beam_width, *DECODER_RANGES["beam_width"]),
        alpha=e.number("alpha", d.alpha, *DECODER_RANGES["alpha"]),
        beta=e.number("beta", d.beta, *DECODER_RANGES["beta"]),
        unk_offset=e.number("unk_offset", d.unk_offset, *DECODER_RANGES["unk_offset"]),
        beam_prune=e.below_zero("beam_prune", d.beam_prune),
        token_prune=e.below_zero("token_prune", d.token_prune),
        hotwords=tuple(w.strip() for w in hotwords),
        hotword_weight=e.number("hotword_weight", d.hotword_weight, *DECODER_RANGES["hotword_weight"]),
        n_best=e.whole("n_best", d.n_best, *DECODER_RANGES["n_best"]),
        engine=e.choice("engine", d.engine, ("auto", "pyctcdecode", "ctc-beam-decoder")),  # type: ignore[arg-type]
    )


def _source(e: Entry, directory: bool) -> tuple[Path | None, str | None, str | None]:
    """(path, hub, revision): exactly one of path and hub; revision belongs to hub and is required there."""
    if ("path" in e.data) == ("hub" in e.data):
        e.fail("give either path (local) or hub (owner/name on the Hugging Face Hub)")
    if "path" in e.data:
        if "revision" in e.data:
            e.fail("revision belongs to hub, not to path")
        return e.path("path", directory), None, None
    if "revision" not in e.data:
        e.fail("key 'revision' is missing: name the commit (or tag) of the repository")
    return None, e.text("hub", pattern=_HUB), e.text("revision", pattern=_REVISION)


def _checkpoint(e: Entry) -> CheckpointSpec:
    path, hub, revision = _source(e, directory=True)
    if path is not None and not (path / "config.json").is_file():
        e.fail(f"path: {path} has no config.json, so it is not a checkpoint folder")
    return CheckpointSpec(
        id=e.text("id"),
        title=e.text("title"),
        language=e.text("language"),
        profile=e.choice("profile", "default", tuple(PROFILES)),
        path=path,
        hub=hub,
        revision=revision,
        adapter=e.optional("adapter", _ADAPTER),
        decoder=_decoder(e.data.get("decoder", {}), e),
        note=e.text("note", ""),
    )


def _own(folder: Path) -> CheckpointSpec | None:
    """The checkpoint in a folder under REGISTERED; None where there is none, or where it has just been taken away."""
    try:
        data = entries.load(folder / ENTRY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    e = Entry(data, f"{REGISTERED}/{folder.name}/{ENTRY}", folder, _OWN_KEYS)
    if not is_id(folder.name):
        e.fail(f"the folder is no id; it must match {_ID.pattern}")
    return CheckpointSpec(
        id=folder.name,
        title=e.text("title"),
        language=e.text("language"),
        profile=e.choice("profile", "default", tuple(PROFILES)),
        path=folder,
        revision=e.optional("revision", _REVISION),
        adapter=e.optional("adapter", _ADAPTER),
        decoder=_decoder(e.data.get("decoder", {}), e),
        note=e.text("note", ""),
    )


def as_entry(spec: CheckpointSpec) -> dict[str, Any]:
    """What a file says for this checkpoint: the keys that say something; `path` is left to the caller."""
    plain, decoder = DecoderOptions(), dataclasses.asdict(spec.decoder)
    chosen = {k: list(v) if isinstance(v, tuple) else v for k, v in decoder.items() if v != getattr(plain, k)}
    entry = {key: getattr(spec, key) for key in _CHECKPOINT_KEYS if key not in ("path", "decoder")}
    return {key: value for key, value in (entry | {"decoder": chosen}).items() if value}


def _language_model(e: Entry) -> LanguageModelSpec:
    path, hub, revision = _source(e, directory=False)
    if (hub is None) == ("file" in e.data):
        e.fail("file names the model inside a hub repository: it is required with hub and not allowed with path")
    unigrams: Path | str | None = None
    if "unigrams" in e.data:
        unigrams = e.path("unigrams", directory=False) if hub is None else _inside(e, "unigrams")
    return LanguageModelSpec(
        id=e.text("id"),
        title=e.text("title"),
        language=e.text("language"),
        path=path,
        hub=hub,
        revision=revision,
        file=None if hub is None else _inside(e, "file"),
        unigrams=unigrams,
        alpha=e.number("alpha", 0.5, *DECODER_RANGES["alpha"]),
        beta=e.number("beta", 1.5, *DECODER_RANGES["beta"]),
        note=e.text("note", ""),
    )


def _inside(e: Entry, key: str) -> str:
    """A file name inside a repository."""
    name = e.text(key)
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        e.fail(f"{key} is {name!r}; expected a file inside the repository")
    return name


def _corpus(e: Entry) -> CorpusSpec:
    return CorpusSpec(
        id=e.text("id"),
        title=e.text("title"),
        language=e.text("language"),
        profile=e.choice("profile", "default", tuple(PROFILES)),
        path=e.path("path", directory=True, archive=True),
        note=e.text("note", ""),
    )


def _section(
    data: Mapping[str, Any], name: str, path: Path, keys: tuple[str, ...], build: Callable[[Entry], _Spec]
) -> Mapping[str, _Spec]:
    entries = data.get(name)
    entries = [] if entries is None else entries
    if not isinstance(entries, list):
        raise ConfigError(f"{path.name}: {name} must be a list, got {type(entries).__name__}")
    specs: dict[str, _Spec] = {}
    for index, item in enumerate(entries):
        label = f" {item['id']!r}" if isinstance(item, dict) and isinstance(item.get("id"), str) else ""
        entry = Entry(item, f"{path.name}: {name}[{index}]{label}", path.parent, keys)
        entry.text("id", pattern=_ID)
        spec = build(entry)
        if spec.id in specs:
            entry.fail(f"id {spec.id!r} is already taken by {name}[{list(specs).index(spec.id)}]")
        specs[spec.id] = spec
    return MappingProxyType(specs)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = entries.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no registry {path}; set ASRDEMO_REGISTRY to the models.yaml to use.") from error
    except OSError as error:
        raise ConfigError(f"The registry {path} cannot be read: {error.strerror}.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name}: expected a mapping with {', '.join(_SECTIONS)}, got {type(data).__name__}")
    for key in data:
        if key not in _SECTIONS:
            raise ConfigError(f"{path.name}: unknown key {key!r}; allowed: {', '.join(_SECTIONS)}")
    return data


def _tuned(path: Path, known: Mapping[str, CheckpointSpec]) -> Mapping[str, CheckpointSpec]:
    """The checkpoints with the decoders that TUNED gives; entries of checkpoints that are no longer listed are idle."""
    data = _parse(path) if path.is_file() else {}
    listed = [e for e in data.get("checkpoints") or [] if not isinstance(e, dict) or e.get("id") in known]
    tuned = _section(
        {"checkpoints": listed},
        "checkpoints",
        path,
        ("id", "decoder", "note"),
        lambda e: dataclasses.replace(known[e.text("id")], decoder=_decoder(e.data.get("decoder"), e)),
    )
    return MappingProxyType({**known, **tuned})


def state(home: Path) -> tuple[Any, ...]:
    """Changes whenever a checkpoint comes to those trained here, or goes. Costs some microseconds."""
    folder = home / REGISTERED
    try:
        return folder.stat().st_mtime_ns, *sorted(path.name for path in folder.iterdir())
    except OSError:
        return ()


def with_registered(known: Registry, home: Path) -> Registry:
    """The registry with the checkpoints that are registered under `home` now, after its own. One whose id is taken by
    models.yaml is idle; one whose language model is no longer listed decodes without. Raises ConfigError."""
    folder = home / REGISTERED
    listed = {id: spec for id, spec in known.checkpoints.items() if spec.path is None or spec.path.parent != folder}
    found = [spec for name in state(home)[1:] if not name.startswith(".") and (spec := _own(folder / name))]
    own = {spec.id: spec for spec in found if spec.id not in listed}
    tuned = _tuned(home / TUNED, own)
    for id, spec in tuned.items():
        lm = spec.decoder.lm if spec.decoder.lm in known.language_models else None
        listed[id] = dataclasses.replace(spec, decoder=dataclasses.replace(spec.decoder, lm=lm))
    return dataclasses.replace(known, checkpoints=MappingProxyType(listed))


def read(path: Path | None = None, home: Path | None = None) -> Registry:
    """The registry in `path`, with the tuned decoders and the checkpoints that lie under `home`.

    By default, both are as the settings say.

    Raises ConfigError for anything that is not as described above: unknown keys, wrong types, numbers out of range,
    duplicate ids, files that are not there, a decoder that names a language model that is not listed.
    """
    path = settings.read().registry if path is None else Path(path)
    home = settings.read().home if home is None else home
    data = _parse(path)
    registry = Registry(
        checkpoints=_tuned(home / TUNED, _section(data, "checkpoints", path, _CHECKPOINT_KEYS, _checkpoint)),
        language_models=_section(data, "language_models", path, _LM_KEYS, _language_model),
        corpora=_section(data, "corpora", path, _CORPUS_KEYS, _corpus),
    )
    if not registry.checkpoints:
        raise ConfigError(f"{path.name}: checkpoints must list at least one checkpoint")
    for spec in registry.checkpoints.values():
        if spec.decoder.lm is not None and spec.decoder.lm not in registry.language_models:
            raise ConfigError(
                f"{path.name} or {TUNED}: checkpoint {spec.id!r}: decoder: lm is {spec.decoder.lm!r}; "
                f"listed language models: {', '.join(registry.language_models) or 'none'}"
            )
    return with_registered(registry, home)
