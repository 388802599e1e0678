"""A transcript as HTML. Pure functions; whatever comes from a file or a visitor is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from asrdemo.types import Hypothesis, Transcript, Word
from asrdemo.ui.differences import differences

UNSURE_BELOW = 0.6  # words at least this certain are never marked
UNSURE_SHARE = 0.15  # of the words at most are marked: too many marks help nobody

_WAVE = "M2 16h10l5-9 7 18 7-22 8 24 7-16 5 9 6-12 7 16 6-10 5 6 6-9 6 9 5-4h10"
EMPTY = (
    f'<div class="empty"><svg viewBox="0 0 120 32" aria-hidden="true"><path d="{_WAVE}"/></svg>'
    "<p>Your text will appear here.</p><p>Choose an example, record yourself, or drop a file.</p></div>"
)

_HINT_MARKS = (
    '<p class="hint"><span class="unsure" aria-hidden="true">dotted</span> marks the few words the model is least sure '
    "of; words without a mark can be wrong too. Click a word to hear the clip from there.</p>"
)
_HINT_WORDS = '<p class="hint">Click a word to hear the clip from there.</p>'
_NO_WORDS = (
    '<p class="said none">No words were recognised in this clip.</p>'
    '<p class="hint">It may be silent, very short or not speech. Try another clip, or speak closer.</p>'
)
_HOW = "Transcript. Arrow keys move between words, Enter plays from a word."


def unsure(words: Sequence[Word]) -> set[int]:
    """Indices of the words to mark: the least certain below UNSURE_BELOW, at most UNSURE_SHARE of all, or one."""
    doubtful = [i for i, word in enumerate(words) if word.confidence < UNSURE_BELOW]
    doubtful.sort(key=lambda i: words[i].confidence)
    return set(doubtful[: max(1, int(len(words) * UNSURE_SHARE))])


def clock(seconds: float) -> str:
    """Seconds as a reader says them: `4.2 s`, `3:07`, `1:02:45`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def words_html(words: Sequence[Word]) -> str:
    """Each word a button that plays the clip from there. One is in the tab order; arrow keys reach the others."""
    marked = unsure(words)
    return " ".join(_word(word, i in marked, first=i == 0) for i, word in enumerate(words))


def _word(word: Word, doubt: bool, first: bool) -> str:
    percent = f"{100 * word.confidence:.0f} %"
    title = f"{'Uncertain: confidence' if doubt else 'Confidence'} {percent}, {word.start:.2f} to {word.end:.2f} s"
    says = f' aria-label="{escape(word.text)}, uncertain, {percent}"' if doubt else ""
    return (
        f'<button type="button" class="w{" unsure" if doubt else ""}" tabindex="{0 if first else -1}" '
        f'data-start="{word.start:.3f}" data-end="{word.end:.3f}" title="{title}"{says}>{escape(word.text)}</button>'
    )


def result_html(
    transcript: Transcript, title: str, language: str = "", reference: str = "", lm_title: str = "", voice: str = ""
) -> str:
    """The card of one clip: text, what the marks mean, the script if there is one, and where the time went.

    title, lm_title: the checkpoint's and the language model's, for people. language: BCP 47 code of the text.
    reference: what was read, if known, written as the checkpoint writes. voice: who speaks, if known.
    """
    best = transcript.best
    lang = f' lang="{escape(language)}"' if language else ""
    if best.text:
        said = f'<div class="said" dir="auto"{lang} role="group" data-size="{_size(best.text)}" aria-label="{_HOW}">'
        body = f"{said}{words_html(best.words)}</div>{_HINT_MARKS if unsure(best.words) else _HINT_WORDS}"
    else:
        body = _NO_WORDS
    script = ""
    if reference:
        marked = marked_html(reference, best.text, "in the script, not in the text", "in the text, not in the script")
        script = f'<p class="script" dir="auto"{lang}><span class="label">Script that was read</span> {marked}</p>'
    about = " · ".join(p for p in (voice, clock(transcript.duration), title, _decoder(transcript, lm_title)) if p)
    return (
        f'<article class="result" data-duration="{transcript.duration:.3f}">'
        f"<header><h2>{escape(transcript.clip)}</h2><p>{escape(about)}</p></header>"
        f'{body}<p class="sr-only" role="status">{escape(best.text)}</p>{script}{timing_html(transcript)}</article>'
    )


def marked_html(before: str, after: str, only_before: str, only_after: str) -> str:
    """`after` with what it lacks of `before` struck through and what it adds underlined, each with a sign.

    only_before, only_after: what a screen reader and the tooltip say of a removed and an added run.
    """
    shown = {"same": escape, "delete": _tagged("del", only_before), "insert": _tagged("ins", only_after)}
    return " ".join(shown[mark](run) for mark, run in differences(before, after))


def _tagged(tag: str, says: str) -> Callable[[str], str]:
    return lambda run: f'<{tag} title="{says}"><span class="sr-only">{says}: </span>{escape(run)}</{tag}>'


def timing_html(transcript: Transcript) -> str:
    """Where the time went, in one line."""
    t = transcript.timings
    rtfx = f"{transcript.rtfx:,.0f}" if transcript.rtfx >= 10 else f"{transcript.rtfx:.1f}"
    cells = [
        ("load", _seconds(t.load) if t.load >= 0.0005 else "in memory", "Reading the checkpoint into memory"),
        ("acoustic", _seconds(t.acoustic) if t.acoustic else "kept", "Running the model; kept: it had heard the clip"),
        ("decode", _seconds(t.decode), "Finding the text in what the model heard"),
        ("RTFx", rtfx if t.acoustic else "-", "Audio seconds for each second of acoustic and decoding work"),
        ("", transcript.precision, "Precision of the model"),
        ("", transcript.device, "Device"),
        ("", transcript.engine, "Decoding engine"),
    ]
    items = "".join(
        f'<div title="{title}"><dt{"" if name else " class=sr-only"}>{name or title}</dt><dd>{escape(value)}</dd></div>'
        for name, value, title in cells
    )
    return f'<dl class="timing">{items}</dl>'


def n_best_html(hypotheses: Sequence[Hypothesis]) -> str:
    """Readings, best first, with what differs from the best marked, and the scores that ranked them."""
    if len(hypotheses) < 2:
        return '<p class="hint">Greedy decoding gives one reading. Choose beam search to see others.</p>'
    rows = "".join(_reading(rank, h, hypotheses[0].text) for rank, h in enumerate(hypotheses, 1))
    heads = "".join(f'<th scope="col" class="n">{name}</th>' for name in ("Acoustic", "Language", "Sum"))
    return (
        '<div class="scroll"><table class="readings"><thead><tr><th scope="col">#</th><th scope="col">Reading</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="hint">Natural-log scores. Language: language model, word bonus and hotwords. The sum ranks.</p>'
    )


def _reading(rank: int, h: Hypothesis, best: str) -> str:
    text = escape(h.text) if rank == 1 else marked_html(best, h.text, "only in the first", "only here")
    scores = (("Acoustic", f"{h.acoustic_score:.2f}"), ("Language", f"{h.lm_score:+.2f}"), ("Sum", f"{h.score:.2f}"))
    cells = "".join(f'<td class="n" data-label="{name}">{value}</td>' for name, value in scores)
    return f'<tr><th scope="row">{rank}</th><td dir="auto">{text or "(nothing)"}</td>{cells}</tr>'


def beside_html(greedy: str, beam: str) -> str:
    """Greedy beside beam search, with what each has alone marked in its own column."""
    changed = sum(mark != "same" for mark, _ in differences(greedy, beam))
    verdict = (
        f"{changed} {'mark' if changed == 1 else 'marks'}: − is only in greedy, + only in beam search."
        if changed
        else "Both agree on every word."
    )
    return (
        f'<div class="beside"><section><h3>Greedy</h3><p dir="auto">{_side(greedy, beam, "delete")}</p></section>'
        f'<section><h3>Beam search</h3><p dir="auto">{_side(greedy, beam, "insert")}</p></section></div>'
        f'<p class="hint">{verdict}</p>'
    )


def _side(greedy: str, beam: str, own: str) -> str:
    """One of the two texts, whole, with its own words marked."""
    mark = _tagged("del", "only in greedy") if own == "delete" else _tagged("ins", "only in beam search")
    runs = [(kind, run) for kind, run in differences(greedy, beam) if kind in ("same", own)]
    return (
        " ".join(mark(run) if kind == own else escape(run) for kind, run in runs) or '<span class="none">nothing</span>'
    )


def _decoder(transcript: Transcript, lm_title: str) -> str:
    options = transcript.decoder
    if options.kind == "greedy":
        return "greedy"
    text = "beam search" + (f" with {lm_title or options.lm}" if options.lm else ", no language model")
    count = len(options.hotwords)
    return f"{text}, {count} hotword{'s' if count > 1 else ''}" if count else text


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def _size(text: str) -> str:
    return "large" if len(text) < 160 else "medium" if len(text) < 700 else "small"
