"""A Transcript as the files other programs read. All of them UTF-8 without a byte order mark.

    txt        the text, one line
    srt, vtt   subtitles: cues of two lines of 42 columns and 7 s at most, cut at pauses
    tsv        the same cues as `start<TAB>end<TAB>text` in whole milliseconds, as Whisper writes it
    json       everything: words, confidences, N-best with scores, settings, timings (schema below)
    textgrid   Praat, long format: one interval tier `words` that covers 0 to the duration, empty between words
    ctm        NIST / sclite: `<file> 1 <start> <duration> <word> <confidence>`, one line a word

Every format but txt and json shows the words on one timeline: whole milliseconds, in the order of the text, none
overlapping, each at least a millisecond long. What a decoder says about a word of no length, or of two words at
once, is bent to fit; json keeps it as it was, rounded to milliseconds.
"""

from __future__ import annotations

import io
import json
import math
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real

from asrdemo.errors import AsrDemoError, NotFoundError
from asrdemo.types import Hypothesis, Transcript, Word

LINE_COLUMNS = 42  # a full-width character (Chinese, Japanese, Korean) takes two
CUE_LINES = 2
CUE_MS = 7_000
CUE_LEAST_MS = 1_000  # a subtitle shown for less cannot be read; it stays a little where nothing follows
PAUSE_MS = 500  # a silence this long ends a cue
_FOREVER = 1e7  # s
_TIMES = {"start", "end", "duration"}  # keys of the JSON that hold seconds of the clip
_ARROW = "\u2192"
_BASE_NAME_BYTES = 120
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))}


@dataclass(frozen=True)
class _Timed:
    """A word on the common timeline. start, end: whole milliseconds, start < end; confidence: 0 to 1."""

    text: str
    start: int
    end: int
    confidence: float


def _plain(text: str) -> str:
    """On one line, with single spaces and nothing that a text file cannot hold."""
    return " ".join("".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs")).split())


def _milliseconds(seconds: float, otherwise: int) -> int:
    return round(min(max(0.0, seconds), _FOREVER) * 1000) if math.isfinite(seconds) else otherwise


def _confidence(word: Word) -> float:
    return min(1.0, max(0.0, word.confidence)) if math.isfinite(word.confidence) else 0.0


def _timeline(transcript: Transcript) -> list[_Timed]:
    """The words of the best hypothesis, mended: in order, apart, 1 ms or longer, within the duration if they fit."""
    words = [(text, word) for word in transcript.best.words if (text := _plain(word.text))]
    spans: list[tuple[int, int]] = []
    last = 0
    for _, word in words:
        start = max(last, _milliseconds(word.start, last))
        last = max(start + 1, _milliseconds(word.end, start + 1))
        spans.append((start, last))
    limit = max(_milliseconds(transcript.duration, 0), len(words))
    for i in reversed(range(len(spans))):
        end = min(spans[i][1], limit)
        limit = min(spans[i][0], end - 1)
        spans[i] = (limit, end)
    return [
        _Timed(text, start, end, _confidence(word)) for (text, word), (start, end) in zip(words, spans, strict=True)
    ]


# Subtitles


def _columns(text: str) -> int:
    """Width of a text in columns: combining marks take none, full-width characters two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pieces(word: _Timed) -> list[_Timed]:
    """A word wider than a line, as scripts without spaces have them, cut into lines that share its time evenly."""
    if _columns(word.text) <= LINE_COLUMNS:
        return [word]
    parts = [""]
    for c in word.text:
        if _columns(parts[-1] + c) > LINE_COLUMNS and not unicodedata.combining(c):
            parts.append("")
        parts[-1] += c
    length = word.end - word.start
    if length < len(parts):  # no time to share: keep it whole
        return [word]
    edges = [word.start + length * i // len(parts) for i in range(len(parts) + 1)]
    return [_Timed(part, edges[i], edges[i + 1], word.confidence) for i, part in enumerate(parts)]


def _lines(words: Sequence[_Timed]) -> list[str] | None:
    """The words on one line, or on two of like width; None if they do not fit."""
    texts = [word.text for word in words]
    whole = " ".join(texts)
    if _columns(whole) <= LINE_COLUMNS or len(texts) == 1:
        return [whole]
    if _columns(whole) > LINE_COLUMNS * CUE_LINES + 1:
        return None
    splits = [(" ".join(texts[:i]), " ".join(texts[i:])) for i in range(1, len(texts))]
    widths = [max(_columns(a), _columns(b)) for a, b in splits]
    best = widths.index(min(widths))
    return list(splits[best]) if widths[best] <= LINE_COLUMNS else None


def _fits(words: Sequence[_Timed]) -> bool:
    return len(words) == 1 or (words[-1].end - words[0].start <= CUE_MS and _lines(words) is not None)


def _split(words: Sequence[_Timed]) -> list[Sequence[_Timed]]:
    """Words without a long pause as cues that fit: cut near the middle, where the pause is longest."""
    if _fits(words):
        return [words]
    first, last = max(1, len(words) // 3), max(2, len(words) - len(words) // 3)
    middle = len(words) / 2
    cut = max(range(first, last), key=lambda i: (words[i].start - words[i - 1].end, -abs(i - middle)))
    return _split(words[:cut]) + _split(words[cut:])


def _cues(words: Sequence[_Timed]) -> list[Sequence[_Timed]]:
    """Words grouped into cues of readable size."""
    pieces = [piece for word in words for piece in _pieces(word)]
    groups: list[list[_Timed]] = []
    for piece in pieces:
        if not groups or piece.start - groups[-1][-1].end >= PAUSE_MS:
            groups.append([])
        groups[-1].append(piece)
    return [cue for group in groups for cue in _split(group)]


def _shown(cues: Sequence[Sequence[_Timed]], duration: float) -> list[tuple[int, int, str]]:
    """(start, end, text in lines) of each subtitle; short ones stay on as long as the next one and the end allow."""
    if not cues:
        return []
    ends = [cue[0].start for cue in cues[1:]] + [max(_milliseconds(duration, 0), cues[-1][-1].end)]
    return [
        (
            cue[0].start,
            max(cue[-1].end, min(cue[0].start + CUE_LEAST_MS, latest)),
            "\n".join(_lines(cue) or [word.text for word in cue]),
        )
        for cue, latest in zip(cues, ends, strict=True)
    ]


def _clock(milliseconds: int, comma: str) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{comma}{ms:03d}"


def _srt(transcript: Transcript) -> str:
    """SubRip has no escapes: an arrow inside the text, which some readers take for a time line, becomes a real one."""
    cues = _shown(_cues(_timeline(transcript)), transcript.duration)
    return "".join(
        f"{i}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.replace('-->', _ARROW)}\n\n"
        for i, (start, end, text) in enumerate(cues, 1)
    )


def _vtt(transcript: Transcript) -> str:
    """WebVTT; `&`, `<` and `>` in the text are escaped, so that nothing in it is a tag or an arrow."""
    cues = _shown(_cues(_timeline(transcript)), transcript.duration)
    escaped = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return "WEBVTT\n\n" + "".join(
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text.translate(escaped)}\n\n" for start, end, text in cues
    )


def _tsv(transcript: Transcript) -> str:
    """Whisper's columns. Not quoted (read with quoting off); text has no tabs. Ends are the words' own."""
    rows = [
        f"{cue[0].start}\t{cue[-1].end}\t{' '.join(word.text for word in cue)}\n"
        for cue in _cues(_timeline(transcript))
    ]
    return "start\tend\ttext\n" + "".join(rows)


# Data


def _txt(transcript: Transcript) -> str:
    text = _plain(transcript.text)
    return f"{text}\n" if text else ""


def _tidy(value: object, digits: int = 6) -> object:
    """Numbers as JSON can hold them and people read them, at any depth: times of the clip in whole milliseconds, others
    without the noise behind the sixth digit; JSON has no NaN and no infinity, they become null."""
    if isinstance(value, Real) and not isinstance(value, Integral):  # numpy's floats too
        return round(float(value), digits) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _tidy(inner, 3 if key in _TIMES else 6) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tidy(inner) for inner in value]
    return value


def _hypothesis(hypothesis: Hypothesis) -> dict[str, object]:
    scores = {"acoustic": hypothesis.acoustic_score, "lm": hypothesis.lm_score, "total": hypothesis.score}
    return {"text": hypothesis.text, "scores": scores, "words": [asdict(word) for word in hypothesis.words]}


def _json(transcript: Transcript) -> str:
    """Seconds everywhere; `hypotheses` best first, `text` and `words` those of the first; scores are natural logs."""
    content = {
        "format": "asrdemo.transcript",
        "version": 1,
        "clip": transcript.clip,
        "duration": transcript.duration,
        "text": transcript.text,
        "words": [asdict(word) for word in transcript.best.words],
        "hypotheses": [_hypothesis(hypothesis) for hypothesis in transcript.hypotheses],
        "checkpoint": transcript.checkpoint,
        "decoder": asdict(transcript.decoder),
        "engine": transcript.engine,
        "device": transcript.device,
        "precision": transcript.precision,
        "timings": {**asdict(transcript.timings), "rtfx": transcript.rtfx},
    }
    return json.dumps(_tidy(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _textgrid(transcript: Transcript) -> str:
    words = _timeline(transcript)
    end = float(transcript.duration) if math.isfinite(transcript.duration) else 0.0
    end = max(end, words[-1].end / 1000 if words else 0.001)  # Praat refuses a tier of no length
    intervals: list[tuple[float, float, str]] = []
    last = 0.0
    for word in words:
        if word.start / 1000 > last:
            intervals.append((last, word.start / 1000, ""))
        last = word.end / 1000
        intervals.append((word.start / 1000, last, word.text))
    if last < end:
        intervals.append((last, end, ""))
    rows = [
        f"        intervals [{i}]:\n            xmin = {start!r} \n            xmax = {stop!r} \n"
        f'            text = "{text.replace(chr(34), chr(34) * 2)}" \n'
        for i, (start, stop, text) in enumerate(intervals, 1)
    ]
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0 \nxmax = {end!r} \ntiers? <exists> \nsize = 1 \nitem []: \n"
        f'    item [1]:\n        class = "IntervalTier" \n        name = "words" \n'
        f"        xmin = 0 \n        xmax = {end!r} \n        intervals: size = {len(intervals)} \n" + "".join(rows)
    )


def _ctm(transcript: Transcript) -> str:
    """Fields are parted by spaces and `;;` starts a comment, so spaces in names become `_`."""
    file = "_".join(_base_name(transcript.clip).split()).lstrip(";") or "transcript"
    rows = []
    for word in _timeline(transcript):
        text = word.text.replace(" ", "_")
        start, length = word.start / 1000, (word.end - word.start) / 1000
        rows.append(f"{file} 1 {start:.3f} {length:.3f} {text} {word.confidence:.4f}\n")
    return "".join(rows)


_WRITERS: dict[str, tuple[str, Callable[[Transcript], str]]] = {  # format -> (file ending, writer)
    "txt": ("txt", _txt),
    "srt": ("srt", _srt),
    "vtt": ("vtt", _vtt),
    "tsv": ("tsv", _tsv),
    "json": ("json", _json),
    "textgrid": ("TextGrid", _textgrid),
    "ctm": ("ctm", _ctm),
}
FORMATS = tuple(_WRITERS)


def _writer(format: str) -> tuple[str, Callable[[Transcript], str]]:
    if format.lower() not in _WRITERS:
        raise NotFoundError(f"There is no export format {format!r}; available: {', '.join(FORMATS)}.")
    return _WRITERS[format.lower()]


def export(transcript: Transcript, format: str) -> bytes:
    """The transcript as the content of a file. Raises NotFoundError for a format that is not in FORMATS."""
    return _writer(format)[1](transcript).encode("utf-8", "replace")


# Names


def _base_name(clip: str) -> str:
    """A clip's name without folders and ending, safe on Linux, macOS and Windows, of bounded length."""
    last = clip.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, _, ending = last.rpartition(".")
    if not stem or not (ending.isalnum() and len(ending) <= 5 and not ending.isdecimal()):
        stem = last  # `talk v1.2` has no ending
    kept = "".join("_" if c in '<>:"|?*' or not (c.isprintable() or c.isspace()) else c for c in stem)
    kept = " ".join(kept.split()).encode("utf-8", "replace")[:_BASE_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    return f"{kept}_" if kept.lower() in _RESERVED else kept or "transcript"


def file_name(transcript: Transcript, format: str) -> str:
    """What to call the exported file: the clip's base name with the format's ending, never a path."""
    return f"{_base_name(transcript.clip)}.{_writer(format)[0]}"


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with -2, -3 ... after those that were there before (case set aside, as some file systems do)."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        candidate, n = name, 1
        while candidate.casefold() in taken:
            n += 1
            candidate = f"{name}-{n}"
        taken.add(candidate.casefold())
        distinct.append(candidate)
    return distinct


def export_many(transcripts: Sequence[Transcript], format: str) -> tuple[str, bytes]:
    """(file name, content): the file itself for one transcript, a zip of files with distinct names for several.

    Raises NotFoundError for an unknown format, AsrDemoError if there is nothing to export.
    """
    if not transcripts:
        raise AsrDemoError("There is no transcript to export yet. Transcribe something first.")
    ending, _ = _writer(format)
    if len(transcripts) == 1:
        return file_name(transcripts[0], format), export(transcripts[0], format)
    names = _distinct([_base_name(transcript.clip) for transcript in transcripts])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, transcript in zip(names, transcripts, strict=True):
            # the ending guards a dot in the name; the same name inside the file keeps a merged ctm apart
            named = replace(transcript, clip=f"{name}.{ending}") if format.lower() == "ctm" else transcript
            archive.writestr(zipfile.ZipInfo(f"{name}.{ending}"), export(named, format))  # a fixed date: same bytes
    return f"transcripts-{format.lower()}.zip", out.getvalue()
