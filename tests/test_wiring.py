"""The wiring, as a program meets it: through gradio_client and plain HTTP against a served page."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from fake_speech import MENDED, SAID, FakeTranscriber, registry
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from asrdemo.settings import Settings
from asrdemo.ui.build import build_ui, launch_options

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Served:
    client: Client
    page: gr.Blocks
    fake: FakeTranscriber
    url: str
    folder: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    settings = Settings(home=folder / "home", max_upload_mb=1)
    fake = FakeTranscriber(registry(), settings)
    page = build_ui(fake, settings)  # type: ignore[arg-type]
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    client = Client(url, verbose=False)
    try:
        yield Served(client, page, fake, url, folder)
    finally:
        client.close()
        page.close()


@pytest.fixture(scope="module")
def clip(served: Served) -> str:
    path = served.folder / "my clip.wav"
    noise = np.random.default_rng(1).standard_normal(32_000).astype(np.float32)
    soundfile.write(path, 0.1 * noise, 16_000)
    return str(path)


def test_transcribe_is_the_only_public_endpoint(served: Served) -> None:
    described = served.client.view_api(return_format="dict")
    assert list(described["named_endpoints"]) == ["/transcribe"] and not described["unnamed_endpoints"]
    names = [p["parameter_name"] for p in described["named_endpoints"]["/transcribe"]["parameters"]]
    assert names == [
        "file", "checkpoint", "decoder", "language_model", "alpha", "beta", "beam_width", "hotwords", "hotword_weight",
    ]  # fmt: skip


def test_a_file_is_all_it_needs(served: Served, clip: str) -> None:
    text, result = served.client.predict(file=handle_file(clip), api_name="/transcribe")
    assert text == SAID and result["text"] == SAID
    assert served.fake.calls[-1][0] == ["my clip.wav"]


def test_every_setting_arrives_in_its_place(served: Served, clip: str) -> None:
    text, _ = served.client.predict(
        handle_file(clip), "tiny", "beam", "tiny-lm", 1.25, -0.5, 42, "nine, new york", 3.5, api_name="/transcribe"
    )
    assert text == MENDED
    _, checkpoint, options = next(c for c in reversed(served.fake.calls) if c[2].kind == "beam")
    assert checkpoint == "tiny"
    assert (options.lm, options.alpha, options.beta, options.beam_width) == ("tiny-lm", 1.25, -0.5, 42)
    assert (options.hotwords, options.hotword_weight) == (("nine", "new york"), 3.5)


def test_our_errors_arrive_as_their_message(served: Served, clip: str) -> None:
    with pytest.raises(AppError, match="no checkpoint 'gone'; available: tiny, far"):
        served.client.predict(handle_file(clip), "gone", api_name="/transcribe")
    broken = served.folder / "broken.wav"
    broken.write_bytes(b"RIFF....nothing here")
    with pytest.raises(AppError) as caught:
        served.client.predict(file=handle_file(str(broken)), api_name="/transcribe")
    assert "Traceback" not in str(caught.value)


def test_a_file_of_the_server_is_out_of_reach(served: Served) -> None:
    stolen = {"path": str(ROOT / "models.yaml"), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError):
        served.client.predict(file=stolen, api_name="/transcribe")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served.url}gradio_api/file={ROOT / 'models.yaml'}", timeout=10)
    assert caught.value.code in (403, 404)


def test_uploads_are_limited(served: Served) -> None:
    large = served.folder / "large.wav"
    soundfile.write(large, np.zeros(1_000_000, np.int16), 16_000)
    with pytest.raises(Exception, match="(?i)size|large|413"):
        served.client.predict(file=handle_file(str(large)), api_name="/transcribe")


def test_live_captions_answer_over_http(served: Served) -> None:
    ids = [id_ for id_, b in served.page.blocks.items() if getattr(b, "elem_id", None) == "live"]
    asked = {
        "component_id": ids[0],
        "fn_name": "answer",
        "session_hash": "s",
        "data": {"do": "start", "checkpoint": "?"},
    }
    answer = post(f"{served.url}gradio_api/component_server/", asked)
    assert "no checkpoint '?'" in answer["problem"]
    data = base64.b64encode(bytes(200)).decode()
    asked["data"] = {"do": "push", "id": "x", "rate": 16000, "data": data}
    assert "has ended" in post(f"{served.url}gradio_api/component_server/", asked)["problem"]


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def dependencies(served: Served) -> list[dict[str, Any]]:
    return [d for d in served.page.config["dependencies"] if d["backend_fn"]]


def test_events_that_touch_the_model_wait_for_one_another(served: Served) -> None:
    """Found by what they set: whatever shows a result or chooses a built language model goes through the model."""
    by_elem = {getattr(b, "elem_id", None): id_ for id_, b in served.page.blocks.items()}
    touching = [d for d in dependencies(served) if {by_elem["result"], by_elem["lm"]} & set(d["outputs"])]
    assert len(touching) >= 8
    for d in touching:
        fn = served.page.fns[d["id"]]
        only_fills_the_panel = fn.name in ("restore", "adopt", "back")
        assert only_fills_the_panel or (fn.concurrency_id, fn.concurrency_limit) == ("model", 1), fn.name
    assert (
        served.page.fns[next(d["id"] for d in dependencies(served) if d["api_name"] == "transcribe")].concurrency_id
        == "model"
    )


def test_handlers_take_as_many_values_as_are_wired(served: Served) -> None:
    """The panel's components are the fields of a Choice, in their order, wherever all of them are inputs."""
    from asrdemo.ui.decoder_panel import NAMES

    labels = {
        "checkpoint": "Checkpoint", "kind": "Decoder", "lm": "Language model", "alpha": "Language model weight (alpha)",
        "beta": "Bonus for each word (beta)", "hotwords": "Hotwords", "hotword_weight": "Hotword weight",
        "beam_width": "Beam width", "unk_offset": "Offset for unknown words",
        "beam_prune": "Drop readings this far below the best", "token_prune": "Skip letters below this log-probability",
    }  # fmt: skip
    wired = 0
    for d in served.page.config["dependencies"]:
        found = [served.page.blocks[i].label for i in d["inputs"] if getattr(served.page.blocks[i], "label", None)]
        if "Beam width" in found:
            assert found[-len(NAMES) :] == [labels[n] for n in NAMES], d["id"]
            wired += 1
    assert wired >= 6


def test_a_new_language_model_is_used_with_its_own_weights(served: Served) -> None:
    """Whatever decodes again after the list was changed waits for the weights that this change brings."""
    by_elem = {getattr(b, "elem_id", None): id_ for id_, b in served.page.blocks.items()}
    first = [d for d in served.page.config["dependencies"] if any(t[0] == by_elem["lm"] for t in d["targets"])]
    assert {served.page.fns[d["id"]].name for d in first if d["backend_fn"]} == {"weights"}
    weights = next(d["id"] for d in first if d["backend_fn"])
    after = [d for d in dependencies(served) if d["trigger_after"] == weights]
    assert "again" in {served.page.fns[d["id"]].name for d in after}


def test_a_number_beyond_its_slider_is_brought_back(served: Served) -> None:
    """Gradio would answer what is typed into the number field with an exception, and log its traceback."""
    names = ["alpha", "Beam width", "Order", "Drop readings"]
    sliders = [b for b in served.page.blocks.values() if isinstance(b, gr.Slider) and any(n in b.label for n in names)]
    assert len(sliders) >= 4
    for slider in sliders:
        assert slider.preprocess(99_999) == slider.maximum and slider.preprocess(-99_999) == slider.minimum
        assert slider.preprocess(slider.minimum) == slider.minimum
        assert slider.preprocess(None) == slider.value, "an emptied field"  # type: ignore[arg-type]


def test_the_queue_is_bounded_and_the_page_private_by_default(served: Served, monkeypatch) -> None:
    assert served.page._queue.max_size == 32
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    assert launch_options(Settings())["server_name"] == "127.0.0.1"
    monkeypatch.setenv("SPACE_ID", "someone/somewhere")
    assert launch_options(Settings())["server_name"] == "0.0.0.0"


def test_the_page_asks_nothing_of_other_hosts(served: Served) -> None:
    html = urllib.request.urlopen(served.url, timeout=60).read().decode()
    theme = urllib.request.urlopen(f"{served.url}theme.css", timeout=60).read().decode()
    assert "fonts.googleapis" not in html + theme
    assert "url('static/fonts/IBMPlexSans" in theme
    assert served.page.config["analytics_enabled"] is False


def test_a_bad_registry_stops_the_start_in_one_line(tmp_path: Path, monkeypatch) -> None:
    import app

    monkeypatch.setenv("ASRDEMO_REGISTRY", str(tmp_path / "models.yaml"))
    (tmp_path / "models.yaml").write_text("checkpoint: []\n")
    with pytest.raises(SystemExit, match="^error: models.yaml: unknown key 'checkpoint'; allowed: checkpoints"):
        app.main()


def test_app_is_short_and_light() -> None:
    """Nothing heavy is imported before the first page is up."""
    assert len((ROOT / "app.py").read_text().splitlines()) <= 40
    code = (
        "import sys, app\n"
        "heavy = {'torch', 'transformers', 'datasets', 'plotly', 'scipy', 'pyctcdecode', 'kenlm', 'accelerate'}\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, 'tests')\n"
        "from fake_speech import FakeTranscriber, registry\n"
        "from asrdemo.settings import Settings\n"
        "app.build_ui(FakeTranscriber(registry()), Settings())\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=240, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
