"""What happens on an event, without Gradio and without a model."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fake_speech import MENDED, SAID, FakeTranscriber, registry

from asrdemo import decoding
from asrdemo.errors import AsrDemoError, LanguageModelError, NeedsNetworkError, NotFoundError
from asrdemo.live import LiveText
from asrdemo.settings import Settings
from asrdemo.types import DecoderOptions, Timings
from asrdemo.ui import decoder_panel, models_tab
from asrdemo.ui.api import api_choice
from asrdemo.ui.examples import Example, examples
from asrdemo.ui.live import handlers as live_handlers
from asrdemo.ui.services import LIVE_SESSIONS, LiveEntry, Services, first_checkpoint
from asrdemo.ui.shelves import Shelf
from asrdemo.ui.transcribe import handlers, language_model_handlers
from asrdemo.ui.transcribe.handlers import Choice, Source, Work

ROOT = Path(__file__).resolve().parent.parent
GREEDY, BEAM = Choice("tiny"), Choice("tiny", "beam", "tiny-lm")


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for i, seconds in enumerate((2.0, 3.0)):
        paths.append(tmp_path / f"take {i}.wav")
        soundfile.write(paths[-1], 0.1 * rng.standard_normal(int(16_000 * seconds)).astype(np.float32), 16_000)
    return paths


@pytest.fixture
def services(tmp_path: Path) -> Services:
    settings = Settings(home=tmp_path / "home")
    return Services(FakeTranscriber(registry(), settings), settings)  # type: ignore[arg-type]


@pytest.fixture
def fake(services: Services) -> FakeTranscriber:
    return services.transcriber  # type: ignore[return-value]


def test_one_file_becomes_text_player_and_subtitles(services: Services, clips: list[Path]) -> None:
    work = handlers.transcribe(services, handlers.uploaded([str(clips[0])]), GREEDY)
    page = handlers.view(services, work)
    assert "take 0.wav" in page.result and page.has_text and page.waveform
    assert isinstance(page.audio, bytes) and page.audio[:4] == b"RIFF"
    assert [s["text"] for s in page.subtitles] == SAID.split()
    assert all(0 <= s["timestamp"][0] < s["timestamp"][1] <= 2.0 for s in page.subtitles)
    assert page.files == ""


def test_new_settings_decode_again_without_hearing_again(
    services: Services, fake: FakeTranscriber, clips: list[Path]
) -> None:
    work = handlers.transcribe(services, [Source(str(clips[0]), "a")], GREEDY)
    heard = list(fake.heard)
    again = handlers.decode_again(services, work, Choice("tiny", "beam", "tiny-lm", alpha=1.25, hotwords="nine, Nina"))
    assert fake.heard == heard == ["a"]
    assert again.item and again.item.transcript and again.item.transcript.text == MENDED
    options = again.item.transcript.decoder
    assert (options.alpha, options.lm, options.hotwords) == (1.25, "tiny-lm", ("nine", "Nina"))
    assert again.item.other == SAID, "greedy stands beside beam"
    assert work.item and work.item.transcript and work.item.transcript.text == SAID, "the old work is untouched"


def test_greedy_takes_no_language_model_even_when_one_is_chosen() -> None:
    options = Choice("tiny", "greedy", "tiny-lm", hotwords="x").options()
    assert (options.kind, options.lm, options.hotwords) == ("greedy", None, ())


def test_choice_and_options_are_the_same_thing_twice() -> None:
    options = DecoderOptions("beam", "tiny-lm", 50, 0.7, -2.0, -20.0, -8.0, -4.0, ("new york", "nine"), 5.0)
    assert Choice.of("tiny", options).options() == options


def test_of_several_files_a_bad_one_spoils_nothing(services: Services, clips: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not audio at all")
    work = handlers.transcribe(services, handlers.uploaded([str(broken), *map(str, clips)]), GREEDY)
    assert [bool(item.problem) for item in work.items] == [True, False, False]
    assert work.selected == 1
    page = handlers.view(services, work)
    assert "2 of 3 files transcribed" in page.files and "broken.wav" in page.files
    shown = handlers.view(services, handlers.select(services, work, 0))
    assert "Not read." in shown.result and not shown.has_text and shown.audio is None
    other = handlers.select(services, work, 2)
    assert other.item and other.item.other == MENDED, "the comparison is made for the file that is looked at"
    with pytest.raises(NotFoundError, match="no result 4; there are 3"):
        handlers.select(services, work, 3)


def test_a_single_bad_file_says_so_where_its_text_would_be(services: Services, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not audio at all")
    for source in (Source(str(broken), "broken.wav"), Source(str(tmp_path / "gone.wav"), "gone")):
        work = handlers.transcribe(services, [source], GREEDY)
        page = handlers.view(services, work)
        assert "Not read." in page.result and not page.has_text and page.audio is None
        assert handlers.is_current(services, work, BEAM), "no other setting can help it"
    name = handlers.view(services, handlers.transcribe(services, handlers.uploaded([str(broken)]), GREEDY)).result
    assert name.count("broken.wav") == 1 and "It is not audio" in name, "the name stands above already"


def test_how_many_files(services: Services) -> None:
    for count, said in ((0, "No file"), (51, "51 files")):
        work = handlers.transcribe(services, handlers.uploaded(["x"] * count), GREEDY)
        page = handlers.view(services, work)
        assert said in page.result and not page.has_text and not work.items


def test_a_checkpoint_that_needs_the_network_keeps_the_clips(
    services: Services, fake: FakeTranscriber, clips: list[Path], monkeypatch
) -> None:
    work = handlers.transcribe(services, handlers.uploaded([str(clips[0])]), GREEDY)
    hear = FakeTranscriber.transcribe

    def transcribe(self: FakeTranscriber, clips, checkpoint, *rest):
        if checkpoint == "far":
            raise NeedsNetworkError("Far Turkish needs the network.")
        return hear(self, clips, checkpoint, *rest)

    monkeypatch.setattr(FakeTranscriber, "transcribe", transcribe)
    failed = handlers.decode_again(services, work, Choice("far"))
    page = handlers.view(services, failed)
    assert "Not transcribed." in page.result and "needs the network" in page.result and "take 0.wav" in page.result
    assert SAID not in page.result and not page.has_text, "the text of another checkpoint must not stand there"
    assert not handlers.is_current(services, failed, GREEDY)
    mended = handlers.decode_again(services, failed, GREEDY)
    assert mended.item and mended.item.transcript and mended.item.transcript.text == SAID and not mended.problem
    fresh = handlers.transcribe(services, handlers.uploaded([str(clips[0])]), Choice("far"))
    assert fresh.problem and handlers.decode_again(services, fresh, GREEDY).item.transcript  # type: ignore[union-attr]


def test_what_has_not_changed_is_not_decoded_again(services: Services, clips: list[Path]) -> None:
    assert handlers.is_current(services, Work(), GREEDY), "nothing to decode"
    work = handlers.transcribe(services, [Source(str(clips[0]), "a")], BEAM)
    assert handlers.is_current(services, work, BEAM)
    assert not handlers.is_current(services, work, GREEDY)
    assert not handlers.is_current(services, work, Choice("tiny", "beam", "tiny-lm", alpha=1.0))
    assert not handlers.is_current(services, work, Choice("gone"))


def test_downloads_of_an_example_are_named_after_its_file(services: Services, clips: list[Path]) -> None:
    source = handlers.example(Example(clips[0], "Please call the doctor.", "Scottish, man"))
    work = handlers.transcribe(services, [source], GREEDY)
    file = handlers.download(work, "ctm")
    assert file["name"] == "take 0.ctm" and base64.b64decode(file["data"]).decode().startswith("take_0 1 ")
    result = handlers.view(services, work).result
    assert "<h2>take 0.wav</h2>" in result and "Scottish, man · 2.0 s" in result


def test_the_script_is_compared_as_the_checkpoint_writes(services: Services, clips: list[Path]) -> None:
    source = Source(str(clips[0]), "a", "Please call the doctor, at nine!")
    page = handlers.view(services, handlers.transcribe(services, [source], BEAM))
    assert "Script that was read" in page.result and "<del" not in page.result and "<ins" not in page.result


def test_long_clips_skip_what_would_be_slow(services: Services, clips: list[Path], monkeypatch) -> None:
    monkeypatch.setattr(handlers, "LONG_COMPARE_S", 1.0)
    monkeypatch.setattr(handlers, "PLAYER_WAV_S", 1.0)
    monkeypatch.setattr(handlers, "WAVEFORM_S", 1.0)
    page = handlers.view(services, handlers.transcribe(services, [Source(str(clips[0]), "a")], BEAM))
    assert page.audio == str(clips[0]) and not page.waveform and "Left out" in page.beside


@pytest.mark.parametrize("format", handlers.FORMATS)
def test_every_format_downloads_from_one_result(services: Services, clips: list[Path], format: str) -> None:
    work = handlers.transcribe(services, [Source(str(clips[0]), "Şehir/../etc <x>.wav")], GREEDY)
    file = handlers.download(work, format)
    content = base64.b64decode(file["data"]).decode()
    assert "doctor" in content
    assert "/" not in file["name"] and "\\" not in file["name"] and ".." not in file["name"]
    assert handlers.download(work, format) != file, "the script is told of changes only, and may be asked twice"
    if format == "json":
        assert json.loads(content)["text"] == SAID


def test_downloads_need_a_result_and_a_known_format(services: Services, clips: list[Path]) -> None:
    with pytest.raises(AsrDemoError, match="Transcribe something first"):
        handlers.download(Work(), "txt")
    work = handlers.transcribe(services, [Source(str(clips[0]), "a")], GREEDY)
    with pytest.raises(NotFoundError, match="available: txt, srt"):
        handlers.download(work, "docx")


def test_several_clips_download_as_one_zip(services: Services, clips: list[Path]) -> None:
    sources = [Source(str(clips[0]), "one.wav"), Source(str(clips[0]), "one.wav"), Source("nowhere.wav", "gone.wav")]
    file = handlers.download(handlers.transcribe(services, sources, GREEDY), "srt")
    assert file["name"].endswith(".zip") and file["type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(file["data"]))) as archive:
        assert archive.namelist() == ["one.srt", "one-2.srt"]


@pytest.mark.parametrize("data", [None, {}, {"pick": "1"}, {"pick": True}, {"pick": 1.5}, [1]])
def test_a_click_must_carry_a_number(data: object) -> None:
    with pytest.raises(NotFoundError, match="expected a number"):
        handlers.number(data)


def test_examples_vary_and_survive_quotes(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "clips").mkdir(parents=True)
    rows = ["client_id\tpath\tsentence\tgender\taccents"]
    for i in range(9):
        accent = ["England English", "Scottish English", "India and South Asia (India, Pakistan, Sri Lanka)"][i // 3]
        rows.append(f'c{i}\t{i}.mp3\tSay "{i} now\t{"female_feminine" if i % 2 else "male_masculine"}\t{accent}')
        (corpus / "clips" / f"{i}.mp3").write_bytes(b"")
    (corpus / "test.tsv").write_text("\n".join(rows) + "\n")
    lengths = "\n".join(f"{i}.mp3\t{3000 + i}" for i in range(8))
    (corpus / "clip_durations.tsv").write_text(f"clip\tduration[ms]\n{lengths}\n")
    found = examples(registry(corpus), 4)
    assert len(found) == 4 and len({e.voice for e in found}) == 4
    assert all(e.sentence.startswith('Say "') for e in found)
    assert "India and South Asia, man" in {e.voice for e in examples(registry(corpus), 9)}
    (corpus / "examples.txt").write_text("path\n7.mp3\ngone.mp3\n0.mp3\n")
    assert [e.path.name for e in examples(registry(corpus))] == ["7.mp3", "0.mp3"], "a list in the corpus decides"
    assert examples(registry(tmp_path / "nowhere")) == [] == examples(registry())
    assert handlers.picked(found, {"pick": 2}) is found[2]
    with pytest.raises(NotFoundError, match="no example 5"):
        handlers.picked(found, {"pick": 4})


def test_lists_say_what_needs_the_network(services: Services, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert decoder_panel.checkpoints(services) == [("Tiny English", "tiny"), ("Far Turkish (needs the network)", "far")]
    assert first_checkpoint(services.registry) == "tiny"


def test_settings_of_the_browser_are_taken_as_far_as_they_make_sense(services: Services) -> None:
    start = decoder_panel.restored(services, None)
    assert (start.checkpoint, start.kind, start.lm, start.alpha) == ("tiny", "greedy", "tiny-lm", 0.7)
    kept = decoder_panel.restored(
        services, {"checkpoint": "tiny", "kind": "beam", "lm": "", "alpha": 2, "hotwords": "x"}
    )
    assert (kept.kind, kept.lm, kept.alpha, kept.hotwords) == ("beam", "", 2, "x")
    for nonsense in (
        {"checkpoint": "gone"},
        {"checkpoint": "tiny", "lm": "yours-gone"},
        {"checkpoint": "tiny", "kind": 3},
    ):
        assert decoder_panel.restored(services, nonsense) == start
    odd = {"checkpoint": "tiny", "hotwords": 5, "alpha": "many", "beam_width": None}
    assert decoder_panel.restored(services, odd) == start


def test_api_choice(services: Services) -> None:
    none = {"alpha": None}
    assert api_choice(services, "tiny", "default", "default", "", none).kind == "greedy"
    beam = api_choice(services, "tiny", "beam", "default", "a,b", {"alpha": 1.5, "beam_width": None})
    assert (beam.lm, beam.alpha, beam.beta, beam.hotwords) == ("tiny-lm", 1.5, 2.0, "a,b")
    assert api_choice(services, "tiny", "beam", "none", "", none).lm == ""
    for wrong in (("gone", "beam", "none"), ("tiny", "best", "none"), ("tiny", "beam", "gone")):
        with pytest.raises(NotFoundError, match="available"):
            api_choice(services, *wrong, "", none)


def test_language_model_from_text_belongs_to_its_visitor(services: Services) -> None:
    text = "Please call the doctor at nine.\nCall the doctor now.\nThe doctor is in at nine.\n" * 3
    built = language_model_handlers.build(services, text, None, " My  <b>words</b> ", 2, "tiny")
    assert built.title == "My <b>words</b>, 48 words" and "&lt;b&gt;" in built.report and "<b>" not in built.report
    spec = services.registry.language_model(built.id)
    assert spec.path and spec.path.is_file()
    assert decoder_panel.language_models(services) == [decoder_panel.NO_LM, ("Tiny 3-gram", "tiny-lm")]
    assert built.id not in models_tab.tables_html(services)
    with pytest.raises(NotFoundError) as refused:
        api_choice(services, "tiny", "beam", "gone", "", {})
    assert built.id not in str(refused.value), "an error must not tell one visitor another's id"
    mine = decoder_panel.language_models(services, [(built.title, built.id)])
    assert mine[1] == ("My <b>words</b>, 48 words (yours)", built.id)


def test_a_small_text_says_what_it_costs_and_changes_no_weight(services: Services) -> None:
    now = language_model_handlers.before(services, "beam", "tiny-lm")
    assert now.title == "Tiny 3-gram"
    assert language_model_handlers.before(services, "greedy", "tiny-lm").title == "greedy decoding"
    assert "without a language model" in language_model_handlers.before(services, "beam", "").title
    text = "call the doctor at nine\n"
    built = language_model_handlers.build(services, text, None, "", 2, "tiny", (0.3, -1.0), now.title)
    assert "in place of Tiny 3-gram" in built.report
    assert "Built from 5 words" in built.report and "hard to recognise" in built.report
    spec = services.registry.language_model(built.id)
    assert (spec.alpha, spec.beta) == (0.3, -1.0), "chosen again later, it comes with the weights it was built with"
    pages = language_model_handlers.build(services, text * 200, None, "", 2, "tiny", (0.3, -1.0))
    assert "hard to recognise" not in pages.report
    assert "Tiny 3-gram again" in language_model_handlers.back_html(now)


def test_language_models_of_visitors_are_bounded(services: Services, monkeypatch) -> None:
    monkeypatch.setattr(services._models, "_limit", 1)
    text = "one two three\nthree two one\n"
    first = language_model_handlers.build(services, text, None, "", 1, "tiny")
    folder = services.registry.language_model(first.id).path.parent  # type: ignore[union-attr]
    second = language_model_handlers.build(services, text, None, "", 1, "tiny")
    assert list(services.registry.unlisted) == [second.id]
    assert not folder.exists()


def test_language_models_of_visitors_are_bounded_in_bytes(services: Services, monkeypatch) -> None:
    monkeypatch.setattr("asrdemo.ui.services.VISITOR_MODEL_BYTES", 100)
    built = [language_model_handlers.build(services, "one two\ntwo one\n", None, "", 1, "tiny") for _ in range(2)]
    assert list(services.registry.unlisted) == [built[1].id]


def test_a_restart_removes_what_visitors_left(services: Services) -> None:
    text = "one two three\nthree two one\n"
    language_model_handlers.build(services, text, None, "", 1, "tiny")
    mine = services.models_folder()
    code = (
        "import os, sys; from pathlib import Path; from asrdemo.ui.scratch import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1])); folder = scratch.folder(); (folder / 'model.arpa').write_text('x')\n"
        "print(folder, flush=True); os._exit(1)  # as if it were killed"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(mine.parent)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    left = Path(done.stdout.strip())
    assert (left / "model.arpa").is_file() and left.parent == mine.parent
    Services(services.transcriber, services.settings)
    assert not left.exists() and list(mine.glob("*/*.arpa")), "left over folders go, those in use stay"


@pytest.mark.parametrize("text", ["", "   \n", "\0\1\2"])
def test_bad_text_leaves_nothing_behind(services: Services, text: str) -> None:
    with pytest.raises(LanguageModelError):
        language_model_handlers.build(services, text, None, "", 3, "tiny")
    assert [file.name for file in services.models_folder().iterdir()] == ["lock"]


def test_a_full_disk_leaves_nothing_behind(services: Services, monkeypatch) -> None:
    def full(text: str, order: int, out: Path, *_: object) -> None:
        out.write_text("half a model")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoding, "build_language_model", full)
    with pytest.raises(OSError, match="No space"):
        language_model_handlers.build(services, "one two\n", None, "", 3, "tiny")
    assert [file.name for file in services.models_folder().iterdir()] == ["lock"]


class Session:
    """Live captions that count what they hear."""

    def __init__(self) -> None:
        self.heard = 0

    def push(self, audio: tuple[int, np.ndarray]) -> LiveText:
        self.heard += len(audio[1]) * 16_000 // audio[0]
        return self.text()

    def text(self) -> LiveText:
        return LiveText("one two", "thr", self.heard / 16_000, 0.25)

    def finish(self) -> SimpleNamespace:
        return SimpleNamespace(text="one two three", duration=self.heard / 16_000, timings=Timings(1.0, 0.2, 0.1))


def block(samples: int) -> str:
    return base64.b64encode(np.zeros(samples, "<i2").tobytes()).decode()


def test_live_session_from_start_to_end(services: Services) -> None:
    services.live.put("mine", LiveEntry(Session()))  # type: ignore[arg-type]
    ask = live_handlers.answer
    first = ask(services, {"do": "push", "id": "mine", "rate": 16000, "data": block(8000)})
    assert first == {"stable": "one two", "tentative": "thr", "audio": 0.5, "compute": 0.25}
    last = ask(services, {"do": "finish", "id": "mine"})
    assert last["stable"] == "one two three" and last["tentative"] == "" and last["compute"] == pytest.approx(0.3)
    assert "has ended" in ask(services, {"do": "push", "id": "mine", "rate": 16000, "data": block(1)})["problem"]


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (None, "not an object"),
        ({}, "expected start, push or finish"),
        ({"do": "start", "checkpoint": "gone"}, "no checkpoint 'gone'"),
        ({"do": "push", "id": "nobody", "rate": 16000, "data": ""}, "has ended"),
        ({"do": "push", "id": "mine", "rate": "fast", "data": ""}, "'fast' Hz"),
        ({"do": "push", "id": "mine", "rate": 16000, "data": "AAA"}, "base64"),
        ({"do": "push", "id": "mine", "rate": 16000, "data": "AAAA"}, "3 bytes"),
        ({"do": "push", "id": "mine", "rate": 16000, "data": "A" * 12_000_000}, "at most"),
        ({"do": "push", "id": "mine", "rate": 1000, "data": block(61_000)}, "expected at most 60 s"),
    ],
)
def test_odd_live_requests_are_answered(services: Services, request_: object, problem: str) -> None:
    services.live.put("mine", LiveEntry(Session()))  # type: ignore[arg-type]
    assert problem in live_handlers.answer(services, request_)["problem"]


def test_live_sessions_are_bounded_in_number_and_length(services: Services, monkeypatch) -> None:
    object.__setattr__(services.settings, "max_duration_s", 60)
    session = Session()
    services.live.put("mine", LiveEntry(session))  # type: ignore[arg-type]
    for _ in range(5):
        said = live_handlers.answer(services, {"do": "push", "id": "mine", "rate": 16000, "data": block(16_000 * 16)})
    assert "limit of 1 minutes" in said["problem"]
    assert session.heard == 16_000 * 48, "what is refused is not heard either"
    for i in range(LIVE_SESSIONS):
        services.live.put(str(i), LiveEntry(Session()))  # type: ignore[arg-type]
    assert "try again" in live_handlers.answer(services, {"do": "start", "checkpoint": "tiny"})["problem"]


def test_the_last_free_place_for_live_captions_is_given_once(services: Services, monkeypatch) -> None:
    """Those who were let in stay, however many ask while a checkpoint is loading."""

    def loading(*_: object) -> Session:
        services.live.put("quicker", LiveEntry(Session()))  # type: ignore[arg-type]
        return Session()

    monkeypatch.setattr("asrdemo.live.LiveSession", loading)
    for i in range(LIVE_SESSIONS - 1):
        services.live.put(str(i), LiveEntry(Session()))  # type: ignore[arg-type]
    assert "try again" in live_handlers.answer(services, {"do": "start", "checkpoint": "tiny"})["problem"]
    assert all(services.live.get(id_) for id_ in ("0", "quicker"))


def test_a_block_that_comes_again_is_not_heard_twice(services: Services) -> None:
    session = Session()
    entry = LiveEntry(session)  # type: ignore[arg-type]
    services.live.put("mine", entry)
    asked = {"do": "push", "id": "mine", "rate": 16000, "data": block(8000), "turn": 0}
    first = live_handlers.answer(services, asked)
    assert live_handlers.answer(services, asked) == first and session.heard == 8000
    live_handlers.answer(services, {**asked, "turn": 1})
    assert session.heard == 16_000
    with entry.lock:
        assert live_handlers.answer(services, {**asked, "turn": 2}) == {"busy": True}
    assert session.heard == 16_000


def test_files_that_are_too_long_together_are_left_out(services: Services, clips: list[Path]) -> None:
    object.__setattr__(services.settings, "max_duration_s", 4)  # 2 s and 3 s
    work = handlers.transcribe(services, handlers.uploaded([str(clip) for clip in clips]), GREEDY)
    assert work.items[0].transcript and "together" in work.items[1].problem


def test_shelf_forgets_the_least_recently_used_and_the_old() -> None:
    now, gone = [0.0], []
    shelf: Shelf[int] = Shelf(10, seconds=5, size=float, on_drop=lambda key, _: gone.append(key), clock=lambda: now[0])
    shelf.put("a", 4)
    shelf.put("b", 4)
    assert shelf.get("a") == 4
    shelf.put("c", 4)
    assert gone == ["b"] and shelf.get("b") is None and len(shelf) == 2
    shelf.put("a", 5)
    assert gone == ["b"], "replacing is not dropping"
    now[0] = 6.0
    assert shelf.get("a") is None and len(shelf) == 0 and sorted(gone) == ["a", "b", "c"]
    shelf.put("huge", 99)
    assert shelf.get("huge") == 99 and shelf.pop("huge") == 99 and shelf.pop("huge") is None
