"""Live captions: microphone blocks -> text that stays, and text that may still change.

The recording is cut exactly where a file would be cut (asrdemo.acoustic.segments), so what a session commits is
what decoding the whole recording as a file gives. Between two cuts lie at most a few seconds, and only those are
heard again while they grow: the cost of a second of audio does not depend on how long one has been speaking.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from asrdemo.errors import AudioError
from asrdemo.transcribe import Transcriber
from asrdemo.types import SAMPLE_RATE, DecoderOptions, Emissions, Hypothesis, Progress, Timings, Transcript

if TYPE_CHECKING:
    from asrdemo.acoustic.level import Level
    from asrdemo.acoustic.segments import Window

TENTATIVE_SECONDS = 0.8  # new audio before tentative text is brought up to date
AGAIN_SECONDS = 1.0  # the end of what was heard for it had nothing after it, and is heard again ...
CONTEXT_SECONDS = 2.0  # ... with that much before it
LONGEST_WORD_SECONDS = 60.0  # a stretch without any word boundary is committed at this length
TENTATIVE_SHARE = 1 / 3  # at most this share of real time goes into tentative text on a slow machine

Audio = np.ndarray | tuple[int, np.ndarray]


@dataclass(frozen=True)
class LiveText:
    """What a session knows so far.

    stable: never changes again, only grows at its end. tentative: the current guess at what follows it.
    audio_seconds: received so far; compute_seconds: wall seconds spent on hearing and decoding them.
    """

    stable: str
    tentative: str
    audio_seconds: float
    compute_seconds: float


class Intake:
    """Blocks of one recording at any rate and in any integer or float type -> mono float32 at 16 kHz.

    What comes out does not depend on how the recording was cut into blocks, and equals resampling it in one go.
    """

    def __init__(self) -> None:
        self._rate = SAMPLE_RATE
        self._resampler = None

    def push(self, audio: Audio) -> np.ndarray:
        """The samples that are final by now, shape = (n,). A change of rate ends the old rate's stream.

        audio: shape (n,) or (n, channels), at 16 kHz, or a pair of rate in Hz and such an array. Raises AudioError.
        """
        rate, samples = audio if isinstance(audio, tuple) else (SAMPLE_RATE, audio)
        if not 1000 <= rate <= 384_000:
            raise AudioError(f"The microphone says it records at {rate} Hz; expected 1000 to 384000.")
        ended = self.finish() if rate != self._rate else np.zeros(0, np.float32)
        self._rate = rate
        samples = _mono(np.asarray(samples))
        if rate != SAMPLE_RATE:
            samples = self._stream().resample_chunk(samples)
        return np.concatenate([ended, samples]) if len(ended) else samples

    def finish(self) -> np.ndarray:
        """What the resampler still held."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        rest: np.ndarray = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._resampler = None
        return rest

    def _stream(self):
        if self._resampler is None:
            import soxr

            self._resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32")
        return self._resampler


def _mono(samples: np.ndarray) -> np.ndarray:
    """A block of any integer or float type, shape (n,) or (n, channels), as mono float32."""
    from asrdemo.audio import as_float32

    if samples.ndim not in (1, 2):
        raise AudioError(f"Got a block of {samples.ndim} dimensions; expected samples or samples x channels.")
    samples = as_float32(samples)
    if samples.ndim == 2:
        samples = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise AudioError("The recording holds samples that are not numbers (NaN or infinite).")
    return samples


class _Tape:
    """The samples of a recording that may still be heard. Positions count from its beginning."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self._parts: list[np.ndarray] = []

    def append(self, samples: np.ndarray) -> None:
        self._parts.append(samples)
        self.end += len(samples)

    def between(self, start: int, end: int) -> np.ndarray:
        if len(self._parts) != 1:  # joined when needed only: a block may be much smaller than what is held
            self._parts = [np.concatenate([np.zeros(0, np.float32), *self._parts])]
        return self._parts[0][start - self.start : end - self.start]

    def forget(self, before: int) -> None:
        if before > self.start:
            self._parts, self.start = [self.between(before, self.end).copy()], before


class LiveSession:
    """Captions for one recording. Not thread-safe: one session belongs to one microphone.

    options: how utterances are decoded once they are complete; tentative text is always greedy. progress: told about
    the loading of the checkpoint, which happens here. Raises NotFoundError, CheckpointError.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        checkpoint: str,
        options: DecoderOptions | None = None,
        name: str = "live",
        progress: Progress | None = None,
    ) -> None:
        from asrdemo.acoustic import segments
        from asrdemo.acoustic.level import Level

        began = time.perf_counter()
        model = transcriber.model(checkpoint, progress)
        self._load = time.perf_counter() - began
        self.transcriber, self.checkpoint, self.name = transcriber, checkpoint, name
        self.options = options or transcriber.defaults(checkpoint)
        self._greedy = replace(self.options, kind="greedy", lm=None, hotwords=())
        self._intake, self._windows = Intake(), segments.Windows(model.geometry.stride, model.geometry.receptive)
        self._vocabulary, self._seconds_per_frame = model.vocabulary, model.seconds_per_frame
        self._is_silent = segments.is_silent
        self._tape = _Tape()
        self._stride = model.geometry.stride
        self._level, self._levelled_to = Level(), 0  # what was committed, and up to which sample
        self._draft: list[np.ndarray] = []  # log-probabilities behind the tentative text, from the next frame on
        self._pending: list[np.ndarray] = []  # log-probabilities heard for good but not decoded for good ...
        self._pending_from = 0  # ... and their first frame
        self._hypotheses: list[Hypothesis] = []
        self._stable = self._tentative = ""
        self._engine = "greedy"
        self._guessed_to = 0  # sample up to which the tentative text was heard
        self._acoustic = self._decode = self._last_pass = 0.0
        self._final: Transcript | None = None

    def push(self, audio: Audio) -> LiveText:
        """Hear another block: float or integer samples at 16 kHz, or (rate, samples). Raises AudioError."""
        if self._final is not None:
            raise AudioError("This recording has ended; begin a new session for another one.")
        self._take(self._intake.push(audio))
        self._guess()
        return self.text()

    def text(self) -> LiveText:
        """What is known so far."""
        return LiveText(self._stable, self._tentative, self._tape.end / SAMPLE_RATE, self._acoustic + self._decode)

    def finish(self) -> Transcript:
        """Commit what is left and return the whole. Its one hypothesis sums the scores of the utterances."""
        if self._final is None:
            self._take(self._intake.finish())
            rest = self._windows.finish()
            for window in rest:
                self._commit(window, self._tape.end if window is rest[-1] else window.end)
            self._tape.forget(self._tape.end)
            self._tentative = ""
            self._final = self._transcript()
        return self._final

    def _transcript(self) -> Transcript:
        identity = self.transcriber.identity(self.checkpoint)
        assert identity is not None, "the session loaded it"
        parts = self._hypotheses
        whole = Hypothesis(
            self._stable,
            tuple(word for h in parts for word in h.words),
            sum(h.acoustic_score for h in parts),
            sum(h.lm_score for h in parts),
        )
        return Transcript(
            self.name,
            self._tape.end / SAMPLE_RATE,
            (whole,),
            self.checkpoint,
            self.options,
            Timings(self._load, self._acoustic, self._decode),
            identity.device,
            identity.precision,
            self._engine,
        )

    def _take(self, samples: np.ndarray) -> None:
        """Cut the recording further, commit what is complete, and forget what no pass will hear again."""
        for at in range(0, len(samples), SAMPLE_RATE):  # a long block is no reason to hold a long recording
            block = samples[at : at + SAMPLE_RATE]
            self._tape.append(block)
            for window in self._windows.push(block):
                self._commit(window, window.end)
            self._tape.forget(self._windows.needed_from)

    def _commit(self, window: Window, until: int) -> None:
        """Hear a complete stretch for the last time and decode it for good, up to the last certain word boundary.

        until: sample up to which the recording counts for its level; the same as when a file is heard.
        """
        self._tentative, self._draft, self._guessed_to = "", [], min(self._tape.end, window.last * self._stride)
        samples = self._tape.between(window.start, window.end)
        fresh, self._levelled_to = self._tape.between(self._levelled_to, until), until
        if not self._is_silent(samples):
            self._level = self._level.after(fresh)
            heard = self._hear(samples, self._level)[window.skip : window.skip + window.last - window.first]
            self._pending_from = self._pending_from if self._pending else window.first
            self._pending.append(heard)
        if not self._pending:
            return
        log_probs = np.concatenate(self._pending)
        keep_from = len(log_probs) if window.pause else self._boundary(log_probs)
        if keep_from:
            hypothesis = self._decoded(log_probs[:keep_from], self.options)
            offset = self._pending_from * self._seconds_per_frame
            words = tuple(replace(w, start=w.start + offset, end=w.end + offset) for w in hypothesis.words)
            if hypothesis.text:
                self._hypotheses.append(replace(hypothesis, words=words))
                self._stable = f"{self._stable} {hypothesis.text}".lstrip()
        self._pending = [log_probs[keep_from:]] if keep_from < len(log_probs) else []
        self._pending_from += keep_from

    def _boundary(self, log_probs: np.ndarray) -> int:
        """The frame before the last word, which may go on behind a cut that is no pause; 0 to wait for more."""
        words = self._decoded(log_probs, self.options).words
        if len(words) > 1:
            return round((words[-2].end + words[-1].start) / 2 / self._seconds_per_frame)
        return len(log_probs) if len(log_probs) * self._seconds_per_frame > LONGEST_WORD_SECONDS else 0

    def _guess(self) -> None:
        """Hear what is not committed again, if enough of it is new and the machine keeps up."""
        before, now = self._guessed_to, self._tape.end
        if now - before < max(TENTATIVE_SECONDS, self._last_pass / TENTATIVE_SHARE) * SAMPLE_RATE:
            return
        self._guessed_to = now
        if self._is_silent(self._tape.between(before, now)):
            return
        spent = self._acoustic + self._decode
        draft = np.concatenate(self._draft) if self._draft else np.zeros((0, len(self._vocabulary)), np.float32)
        draft = draft[: max(0, len(draft) - self._frames(AGAIN_SECONDS))]
        fresh = self._windows.next_first + len(draft)  # the first frame to be heard, or heard better
        start = max(self._windows.needed_from, (fresh - self._frames(CONTEXT_SECONDS)) * self._stride)
        level = self._level.after(self._tape.between(self._levelled_to, now))
        heard = self._hear(self._tape.between(start, now), level)[fresh - start // self._stride :]
        self._draft = [draft, heard]
        self._tentative = self._decoded(np.concatenate([*self._pending, draft, heard]), self._greedy).text
        self._last_pass = self._acoustic + self._decode - spent

    def _frames(self, seconds: float) -> int:
        return round(seconds / self._seconds_per_frame)

    def _hear(self, samples: np.ndarray, level: Level) -> np.ndarray:
        """One pass of the model: log-probabilities, shape = (frames, vocabulary)."""
        model = self.transcriber.model(self.checkpoint)  # asked for each time, so that it stays recently used
        began = time.perf_counter()
        log_probs = model.hear(samples, level)
        self._acoustic += time.perf_counter() - began
        return log_probs

    def _decoded(self, log_probs: np.ndarray, options: DecoderOptions) -> Hypothesis:
        began = time.perf_counter()
        duration = len(log_probs) * self._seconds_per_frame
        emissions = Emissions(log_probs, self._vocabulary, self._seconds_per_frame, duration)
        hypotheses, engine = self.transcriber.decode(emissions, self.checkpoint, options)
        if options is self.options:
            self._engine = engine
        self._decode += time.perf_counter() - began
        return hypotheses[0]
