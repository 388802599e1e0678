"""The Transcribe page's events as plain functions: services and values in, values out."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo.errors import AsrDemoError, AudioError, NotFoundError
from asrdemo.text import normalise
from asrdemo.types import DecoderOptions, Progress, Transcript
from asrdemo.ui import page_html, result_html
from asrdemo.ui.examples import Example
from asrdemo.ui.services import Services

if TYPE_CHECKING:
    from asrdemo.types import Clip, Hypothesis

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "textgrid", "ctm")
PLAYER_WAV_S = 600.0  # longer clips are played from the file itself
WAVEFORM_S = 900.0  # longer clips get a plain player: drawing a waveform decodes all of it in the browser
LONG_COMPARE_S = 180.0  # longer clips are not decoded a second time for the comparison
MAX_FILES = 50


@dataclass(frozen=True)
class Choice:
    """The values of the checkpoint list and the decoder panel, in the order of its components."""

    checkpoint: str
    kind: str = "greedy"
    lm: str = ""
    alpha: float = 0.5
    beta: float = 1.5
    hotwords: str = ""
    hotword_weight: float = 10.0
    beam_width: int = 100
    unk_offset: float = -10.0
    beam_prune: float = -10.0
    token_prune: float = -5.0

    def options(self, base: DecoderOptions | None = None) -> DecoderOptions:
        """What they mean to the decoder; a greedy decoder takes no language model and no hotwords."""
        base = base or DecoderOptions()
        if self.kind != "beam":
            return replace(base, kind="greedy", lm=None, hotwords=())
        return replace(
            base,
            kind="beam",
            lm=self.lm or None,
            alpha=float(self.alpha),
            beta=float(self.beta),
            hotwords=hotwords(self.hotwords),
            hotword_weight=float(self.hotword_weight),
            beam_width=int(self.beam_width),
            unk_offset=float(self.unk_offset),
            beam_prune=float(self.beam_prune),
            token_prune=float(self.token_prune),
        )

    @classmethod
    def of(cls, checkpoint: str, options: DecoderOptions) -> Choice:
        """The panel's values for these options."""
        return cls(
            checkpoint,
            options.kind,
            options.lm or "",
            options.alpha,
            options.beta,
            ", ".join(options.hotwords),
            options.hotword_weight,
            options.beam_width,
            options.unk_offset,
            options.beam_prune,
            options.token_prune,
        )


@dataclass(frozen=True)
class Source:
    """A file to transcribe. name: what to call it; reference, voice: what was read in it and by whom, if known."""

    path: str
    name: str
    reference: str = ""
    voice: str = ""


@dataclass(frozen=True)
class Item:
    """A source and what became of it: a transcript, or the problem in words. other: the other decoder's best text."""

    source: Source
    transcript: Transcript | None = None
    problem: str = ""
    other: str | None = None


@dataclass(frozen=True)
class Work:
    """One visitor's last result. Small: texts, words and paths, no samples.

    problem: why there is no result, in words; the clips stay, so that another checkpoint or setting can try them.
    """

    items: tuple[Item, ...] = ()
    selected: int = 0
    problem: str = ""

    @property
    def item(self) -> Item | None:
        """The one shown in detail."""
        return self.items[self.selected] if self.items else None


@dataclass(frozen=True)
class View:
    """What the page shows of a Work. audio: WAV bytes or a path for the player; subtitles: as gr.Audio takes them."""

    result: str
    files: str
    readings: str
    beside: str
    audio: bytes | str | None
    subtitles: list[dict[str, Any]]
    waveform: bool
    has_text: bool


def hotwords(text: str) -> tuple[str, ...]:
    """Words or phrases, separated by commas or lines; each once.

    >>> hotwords("Ankara, Kadıköy,, Ankara")
    ('Ankara', 'Kadıköy')
    """
    return tuple(dict.fromkeys(" ".join(w.split()) for w in text.replace("\n", ",").split(",") if w.strip()))


def uploaded(paths: Sequence[str]) -> list[Source]:
    """Sources of uploaded files under their own names."""
    return [Source(path, Path(path).name) for path in paths]


def example(chosen: Example) -> Source:
    """An example under the name of its file, by which downloads find their reference again."""
    return Source(str(chosen.path), chosen.path.name, chosen.sentence, chosen.voice)


def number(data: object) -> int:
    """The number that a script sent with a click. Raises NotFoundError for anything else."""
    pick = data.get("pick") if isinstance(data, dict) else None
    if not isinstance(pick, int) or isinstance(pick, bool):
        raise NotFoundError(f"Got {pick!r} as a choice; expected a number.")
    return pick


def picked(examples: Sequence[Example], data: object) -> Example:
    """The example that was clicked. Raises NotFoundError for one there is not."""
    pick = number(data)
    if not 0 <= pick < len(examples):
        raise NotFoundError(f"There is no example {pick + 1}; there are {len(examples)}.")
    return examples[pick]


def transcribe(services: Services, sources: Sequence[Source], choice: Choice, progress: Progress | None = None) -> Work:
    """Transcribe the sources. A bad one does not spoil the others. What goes wrong is said in the result."""
    if not sources:
        return Work(problem="No file was given; choose at least one audio file.")
    if len(sources) > MAX_FILES:
        return Work(problem=f"{len(sources)} files were given; expected at most {MAX_FILES} at once.")
    if progress:
        progress(0, 1, "reading audio")
    items: list[Item] = []
    seconds = 0.0
    for source in sources:
        try:
            seconds += _length_that_fits(services, source, seconds)
            items.append(Item(source))
        except AsrDemoError as error:
            items.append(Item(source, problem=str(error)))
    selected = next((i for i, item in enumerate(items) if not item.problem), 0)
    return decode_again(services, Work(tuple(items), selected), choice, progress)


def _length_that_fits(services: Services, source: Source, before: float) -> float:
    """Seconds of this file. Raises AudioError when it is too long after `before` seconds of other files: all are held
    in memory together, and everybody else waits meanwhile."""
    limit = services.settings.max_duration_s
    duration = services.clip(source.path, source.name).duration
    if before and before + duration > limit:
        raise AudioError(f"The files together are longer than {limit / 60:g} minutes; give this one on its own.")
    return duration


def decode_again(services: Services, work: Work, choice: Choice, progress: Progress | None = None) -> Work:
    """The same clips with these settings. From kept emissions where the checkpoint has heard them already.

    When that fails, the clips with the reason: a checkpoint that needs the network, say, while there is none.
    """
    good = [i for i, item in enumerate(work.items) if not item.problem]
    if not good:
        return work
    items = list(work.items)
    try:
        options = choice.options(services.registry.checkpoint(choice.checkpoint).decoder)
        clips = [services.clip(items[i].source.path, items[i].source.name) for i in good]
        transcripts = services.transcriber.transcribe(clips, choice.checkpoint, options, progress)
        for i, transcript in zip(good, transcripts, strict=True):
            items[i] = Item(items[i].source, transcript)
        return select(services, Work(tuple(items)), work.selected)
    except AsrDemoError as error:
        return replace(work, problem=str(error))


def is_current(services: Services, work: Work, choice: Choice) -> bool:
    """Whether the work is what this choice would give again: leaving a field unchanged is no reason to decode."""
    if work.problem or choice.checkpoint not in services.registry.checkpoints:
        return False
    wanted = choice.checkpoint, choice.options(services.registry.checkpoint(choice.checkpoint).decoder)
    return all(item.problem or (t := item.transcript) and (t.checkpoint, t.decoder) == wanted for item in work.items)


def select(services: Services, work: Work, index: int) -> Work:
    """Show this item in detail, with the other decoder's text beside it where that is quick to find."""
    if not 0 <= index < len(work.items):
        raise NotFoundError(f"There is no result {index + 1}; there are {len(work.items)}.")
    item = work.items[index]
    transcript = item.transcript
    if transcript and item.other is None and transcript.duration <= LONG_COMPARE_S:
        clip = services.clip(item.source.path, item.source.name)
        item = replace(item, other=_other_text(services, clip, transcript))
    items = (*work.items[:index], item, *work.items[index + 1 :])
    return Work(items, index)


def _other_text(services: Services, clip: Clip, transcript: Transcript) -> str:
    """What the decoder that was not chosen reads: greedy for beam, the checkpoint's usual beam search for greedy."""
    if transcript.decoder.kind == "beam":
        options = replace(transcript.decoder, kind="greedy", lm=None, hotwords=())
    else:
        options = services.transcriber.defaults(transcript.checkpoint, "beam")
    return services.transcriber.transcribe([clip], transcript.checkpoint, options)[0].text


def view(services: Services, work: Work) -> View:
    """What the page shows of this work."""
    item = work.item
    if work.problem:
        name = work.items[0].source.name if len(work.items) == 1 else ""
        return View(page_html.problem_html(name, work.problem, bool(work.items)), "", "", "", None, [], True, False)
    files = page_html.files_html(work.items, work.selected)
    if item is None or item.transcript is None:
        problem = page_html.problem_html(item.source.name, item.problem) if item else result_html.EMPTY
        return View(problem, files, "", "", None, [], True, False)
    transcript = item.transcript
    spec = services.registry.checkpoint(transcript.checkpoint)
    beam = transcript.decoder.kind == "beam"
    if item.other is None:
        beside = '<p class="hint">Left out for clips over three minutes. Switch the decoder to compare.</p>'
    else:
        pair = (item.other, transcript.text) if beam else (transcript.text, item.other)
        beside = result_html.beside_html(*pair)
    script = normalise(item.source.reference, spec.profile)  # as the checkpoint writes, or case would count
    lm = _lm_title(services, transcript)
    return View(
        result_html.result_html(transcript, spec.title, spec.language, script, lm, item.source.voice),
        files,
        result_html.n_best_html(transcript.hypotheses),
        beside,
        player_audio(services, item.source, transcript.duration),
        subtitles(transcript.best),
        transcript.duration <= WAVEFORM_S,
        True,
    )


def _lm_title(services: Services, transcript: Transcript) -> str:
    listed, unlisted, id_ = services.registry.language_models, services.registry.unlisted, transcript.decoder.lm or ""
    lm = listed.get(id_) or unlisted.get(id_)  # neither, once a visitor's has been dropped
    return lm.title if lm else ""


def player_audio(services: Services, source: Source, duration: float) -> bytes | str:
    """What the player plays: the very samples the model heard, or the file itself when it is long."""
    if duration > PLAYER_WAV_S:
        return source.path
    from asrdemo.audio import encode_wav

    return encode_wav(services.clip(source.path, source.name))


def subtitles(hypothesis: Hypothesis) -> list[dict[str, Any]]:
    """One subtitle a word, as gr.Audio takes them."""
    return [{"text": w.text, "timestamp": [round(w.start, 3), round(w.end, 3)]} for w in hypothesis.words]


def download(work: Work, format: str) -> dict[str, str]:
    """The transcript as a file for the browser, or those of several clips as one zip: `name`, `type`, `data` (base64).

    Nothing is written to disk. `serial` differs each time: the script is told of new values only, and the same file may
    be wanted twice.
    """
    from asrdemo.export import export_many

    name, content = export_many([item.transcript for item in work.items if item.transcript], format)
    kind = {"zip": "application/zip", "json": "application/json", "vtt": "text/vtt"}.get(name.rpartition(".")[2])
    data, serial = base64.b64encode(content).decode("ascii"), secrets.token_hex(8)
    return {"name": name, "type": kind or "text/plain;charset=utf-8", "data": data, "serial": serial}


def as_json(transcript: Transcript) -> dict[str, Any]:
    """The JSON export as a value, for the API."""
    import json

    from asrdemo.export import export

    return json.loads(export(transcript, "json"))
