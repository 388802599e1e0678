"""models.yaml: what it may say, and what it says when it is wrong."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrdemo import registry
from asrdemo.errors import ConfigError, NotFoundError
from asrdemo.registry import LanguageModelSpec
from asrdemo.types import DecoderOptions

ROOT = Path(__file__).resolve().parent.parent

GOOD = """
checkpoints:
  - {id: one, title: One, language: en, profile: en, path: ckpt, decoder: {kind: beam, lm: words, alpha: 0.8}}
  - {id: two, title: Two, language: tr, hub: team/two, revision: main, adapter: tur, note: later}
language_models:
  - {id: words, title: Words, language: en, path: lm.arpa, unigrams: lm.txt, alpha: 1.2, beta: -1}
  - {id: far, title: Far, language: en, hub: team/lm, revision: v1, file: lm/x.arpa, unigrams: lm/x.txt}
corpora:
  - {id: talk, title: Talk, language: en, profile: en, path: corpus}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the files GOOD names."""
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "config.json").write_text("{}")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "lm.arpa").write_text("")
    (tmp_path / "lm.txt").write_text("")
    return tmp_path


def read(place: Path, text: str = GOOD) -> registry.Registry:
    path = place / "models.yaml"
    path.write_text(text)
    return registry.read(path, place / "home")


def test_reads_what_it_says(place: Path) -> None:
    r = read(place)
    assert list(r.checkpoints) == ["one", "two"]
    one, two = r.checkpoint("one"), r.checkpoint("two")
    assert one.path == place / "ckpt" and one.hub is None
    assert one.decoder == DecoderOptions(kind="beam", lm="words", alpha=0.8)
    assert (two.hub, two.revision, two.adapter, two.profile, two.path) == ("team/two", "main", "tur", "default", None)
    lm = r.language_model("words")
    assert (lm.path, lm.unigrams, lm.alpha, lm.beta) == (place / "lm.arpa", place / "lm.txt", 1.2, -1.0)
    assert r.language_model("far").file == "lm/x.arpa" and r.language_model("far").unigrams == "lm/x.txt"
    assert r.corpus("talk").path == place / "corpus"
    assert len({one, two}) == 2, "specs are hashable: caches are keyed by them"


def test_unknown_ids_name_what_there_is(place: Path) -> None:
    r = read(place)
    for find, known in ((r.checkpoint, "one, two"), (r.language_model, "words, far"), (r.corpus, "talk")):
        with pytest.raises(NotFoundError, match=f"'nine'; available: {known}"):
            find("nine")


def test_a_language_model_built_in_a_session_joins(place: Path) -> None:
    r = read(place)
    more = r.with_language_model(LanguageModelSpec("mine", "Mine", "en", path=place / "lm.arpa"))
    assert list(more.language_models) == ["words", "far", "mine"] and "mine" not in r.language_models
    with pytest.raises(ConfigError, match="already"):
        more.with_language_model(LanguageModelSpec("mine", "Mine", "en"))


def test_an_unlisted_language_model_is_found_by_its_id_and_named_nowhere(place: Path) -> None:
    more = read(place).with_language_model(LanguageModelSpec("secret", "Mine", "en"), listed=False)
    assert more.language_model("secret").title == "Mine" and "secret" not in more.language_models
    with pytest.raises(NotFoundError, match="available: words, far[.]$"):
        more.language_model("nine")
    with pytest.raises(ConfigError, match="already"):
        more.with_language_model(LanguageModelSpec("secret", "Mine", "en"))
    with pytest.raises(NotFoundError):
        more.without_unlisted("secret").language_model("secret")


BAD = {
    "unknown key": ("path: ckpt,", "path: ckpt, hubb: x/y,", r"checkpoints\[0\] 'one': unknown key 'hubb'; allowed"),
    "unknown section": ("corpora:", "corpuses:", "models.yaml: unknown key 'corpuses'; allowed: checkpoints"),
    "unknown decoder key": ("alpha: 0.8", "alfa: 0.8", r"'one': decoder: unknown key 'alfa'; allowed: kind, lm"),
    "pruning": ("alpha: 0.8", "beam_prune: 0", "beam_prune is 0; expected a number below 0"),
    "key that is a list": ("alpha: 0.8", "? [a] : 1", "not valid YAML of plain data: .*a key must be plain text"),
    "range": ("alpha: 0.8", "alpha: 80", "alpha is 80; expected a number from 0 to 5"),
    "type": ("alpha: 0.8", "alpha: yes", "alpha is True; expected a number"),
    "choice": ("kind: beam", "kind: beams", "kind is 'beams'; allowed: greedy, beam"),
    "profile": ("profile: en, path: ckpt", "profile: klingon, path: ckpt", "'klingon'; allowed: default, en"),
    "language model": ("lm: words,", "lm: word,", "lm is 'word'; listed language models: words, far"),
    "duplicate id": ("id: two", "id: one", r"checkpoints\[1\] 'one': id 'one' is already taken by checkpoints\[0\]"),
    "duplicate key": ("{id: two,", "{id: two, id: two,", "given twice"),
    "missing folder": ("path: ckpt", "path: nowhere", "path: there is no folder .*nowhere"),
    "not a checkpoint": ("path: ckpt", "path: corpus", "no config.json"),
    "missing file": ("path: lm.arpa", "path: gone.arpa", "path: there is no file .*gone.arpa"),
    "missing unigrams": ("unigrams: lm.txt", "unigrams: gone.txt", "unigrams: there is no file"),
    "missing key": ("title: One, ", "", r"'one': key 'title' is missing"),
    "both sources": ("path: ckpt", "path: ckpt, hub: a/b", "either path .* or hub"),
    "no revision": ("hub: team/two, revision: main", "hub: team/two", "'revision' is missing"),
    "revision of a folder": ("path: ckpt", "path: ckpt, revision: main", "revision belongs to hub"),
    "url as hub": ("hub: team/two", "hub: 'https://evil/x'", "hub is 'https://evil/x'; it must match"),
    "climbing hub": ("hub: team/two", "hub: ../two", "it must match"),
    "climbing path": ("path: corpus", "path: ../..", "leaves .*; use an absolute path"),
    "climbing file": ("file: lm/x.arpa", "file: ../x.arpa", "expected a file inside the repository"),
    "file with a path": ("path: lm.arpa", "path: lm.arpa, file: x", "file names the model inside a hub repository"),
    "number as text": ("title: Two", "title: 2", "title must be text"),
    "bad id": ("id: two", "id: 'two words'", "id is 'two words'"),
    "code": ("note: later", "note: !!python/object/apply:os.getcwd []", "not valid YAML of plain data"),
    "not a list": ("corpora:\n  - ", "corpora:\n   ", "corpora must be a list"),
    "no mapping": ("  - {id: two", "  - 7\n  - {id: two", r"checkpoints\[1\]: expected a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(place: Path, case: str) -> None:
    old, new, message = BAD[case]
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        read(place, GOOD.replace(old, new, 1))


@pytest.mark.parametrize("text, message", [("", "expected a mapping"), ("[1]", "expected a mapping"), ("a: [", "YAML"),
                                            ("checkpoints: []", "at least one checkpoint")])  # fmt: skip
def test_files_that_are_no_registry(place: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(place, text)


def test_missing_registry(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no registry .*ASRDEMO_REGISTRY"):
        registry.read(tmp_path / "models.yaml")


def test_absolute_paths_are_the_operators_word(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert read(place, GOOD.replace("path: corpus", f"path: {elsewhere}")).corpus("talk").path == elsewhere


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_our_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        registry.read(path)


def test_our_own_models_yaml_asks_for_commits_or_says_why() -> None:
    """Without the files it names (some are made by `make demo` or by training), its Hub entries must hold."""
    import yaml

    data = yaml.safe_load((ROOT / "models.yaml").read_text())
    entries = [c for c in data["checkpoints"] if "hub" in c]
    assert len(entries) >= 8
    for entry in entries:
        revision = entry["revision"]
        pinned = len(revision) == 40 or revision.startswith("refs/pr/")
        assert pinned or "not verified" in entry["note"], entry["id"]


def test_a_corpus_may_be_a_downloaded_archive(place: Path) -> None:
    for name, mode in (("release.tar.gz", "w:gz"), ("release.tar", "w")):
        with tarfile.open(place / name, mode) as archive:
            archive.addfile(tarfile.TarInfo("cv/en/test.tsv"))
        assert read(place, GOOD.replace("path: corpus", f"path: {name}")).corpus("talk").path == place / name
    (place / "release.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"there is no folder or tar archive .*release[.]zip"):
        read(place, GOOD.replace("path: corpus", "path: release.zip"))
    with pytest.raises(ConfigError, match="there is no folder or tar archive"):
        read(place, GOOD.replace("path: corpus", "path: gone.tar.gz"))
    with pytest.raises(ConfigError, match="which leaves"):
        read(place, GOOD.replace("path: corpus", "path: ../release.tar.gz"))
