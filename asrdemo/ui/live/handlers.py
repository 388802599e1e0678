"""Live captions: what the page's microphone script asks of the server. Values in, values out; JSON both ways.

The script records, keeps what it could not send yet, and asks again only when the last answer is there: no block is
lost or overtakes another, and a slow machine gets larger blocks instead of a growing queue.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any

import numpy as np

from asrdemo.errors import AsrDemoError, AudioError, NotFoundError
from asrdemo.ui.services import LIVE_SESSIONS, LiveEntry, Services

MAX_BLOCK_BYTES = 8 * 2**20  # of 16-bit samples: over a minute at 48 kHz
MAX_BLOCK_S = 60.0  # the script sends at most 20 s
_FULL = f"{LIVE_SESSIONS} people are using live captions now; try again in a few minutes."


def start(services: Services, checkpoint: str, kind: str) -> str:
    """Begin a session and return its id. kind: `greedy` or `beam`. Raises NotFoundError when too many are open."""
    from asrdemo.live import LiveSession

    if len(services.live) >= LIVE_SESSIONS:
        raise NotFoundError(_FULL)
    options = services.transcriber.defaults(checkpoint, "beam" if kind == "beam" else "greedy")
    session = LiveSession(services.transcriber, checkpoint, options)
    id_ = secrets.token_urlsafe(16)
    if not services.live.offer(id_, LiveEntry(session)):  # others came while the checkpoint was loading
        raise NotFoundError(_FULL)
    return id_


def push(services: Services, id_: str, rate: int, data: str, turn: int | None = None) -> dict[str, Any]:
    """Hear a block. data: base64 of little-endian 16-bit mono samples at `rate` Hz. The text so far, see LiveText.

    turn: number of the block; one that comes again, because its answer got lost, is not heard twice. While another
    block of the session is being heard, the answer is `busy` and nothing is heard: no request waits for another.
    """
    entry = _entry(services, id_)
    if not entry.lock.acquire(blocking=False):
        return {"busy": True}
    try:
        if turn is None or turn != entry.turn:
            entry.answer, entry.turn = _heard(services, entry, rate, samples(data)), turn
        return entry.answer
    finally:
        entry.lock.release()


def _heard(services: Services, entry: LiveEntry, rate: int, block: np.ndarray) -> dict[str, Any]:
    seconds, limit = len(block) / rate, services.settings.max_duration_s
    if seconds > MAX_BLOCK_S:
        raise AudioError(f"Got a block of {seconds:.0f} s; expected at most {MAX_BLOCK_S:.0f} s.")
    if entry.session.text().audio_seconds + seconds > limit:
        raise AudioError(f"This recording has reached the limit of {limit / 60:g} minutes; stop and begin a new one.")
    text = entry.session.push((rate, block))
    return {
        "stable": text.stable,
        "tentative": text.tentative,
        "audio": text.audio_seconds,
        "compute": text.compute_seconds,
    }


def finish(services: Services, id_: str) -> dict[str, Any]:
    """End a session: its whole text, and what it took."""
    entry = _entry(services, id_)
    services.live.pop(id_)
    with entry.lock:
        transcript = entry.session.finish()
    t = transcript.timings
    return {"stable": transcript.text, "tentative": "", "audio": transcript.duration, "compute": t.acoustic + t.decode}


def samples(data: str) -> np.ndarray:
    """16-bit samples from base64, shape = (n,). Raises AudioError for anything else."""
    if len(data) > MAX_BLOCK_BYTES * 4 // 3 + 4:
        raise AudioError(f"Got a block of {len(data)} characters; expected at most {MAX_BLOCK_BYTES * 4 // 3}.")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AudioError("A block of the recording did not arrive whole; expected base64.") from error
    if len(raw) % 2:
        raise AudioError(f"A block of the recording has {len(raw)} bytes; expected 16-bit samples.")
    return np.frombuffer(raw, dtype="<i2")


def answer(services: Services, request: object) -> dict[str, Any]:
    """Serve one request of the script: `{do: start|push|finish, ...}`. What went wrong comes back as `problem`.

    Only our own errors do; any other is a fault of ours, is logged by the server and reaches the script as a
    failed request.
    """
    if not isinstance(request, dict):
        return {"problem": "Got a request that is not an object."}
    do, text = request.get("do"), {k: str(request.get(k, "")) for k in ("id", "checkpoint", "kind", "data")}
    try:
        if do == "start":
            return {"id": start(services, text["checkpoint"], text["kind"])}
        if do == "push":
            turn = request.get("turn")
            number = turn if isinstance(turn, int) else None
            return push(services, text["id"], _rate(request.get("rate")), text["data"], number)
        if do == "finish":
            return finish(services, text["id"])
    except AsrDemoError as error:
        return {"problem": str(error)}
    return {"problem": f"Got the request {do!r}; expected start, push or finish."}


def _rate(value: object) -> int:
    if not isinstance(value, (int, float)) or not 1000 <= value <= 384_000:
        raise AudioError(f"The microphone says it records at {value!r} Hz; expected 1000 to 384000.")
    return int(value)


def _entry(services: Services, id_: str) -> LiveEntry:
    entry = services.live.get(id_)
    if entry is None:
        raise NotFoundError("This live session has ended (two minutes without sound, or a restart). Start again.")
    return entry
