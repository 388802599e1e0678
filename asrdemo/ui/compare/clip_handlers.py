"""One clip through several lanes: which clip, which lanes, and what each heard. Values in, values out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrdemo.errors import AsrDemoError, NotFoundError
from asrdemo.text import for_language, normalise_all
from asrdemo.types import DecoderOptions, Progress, Transcript
from asrdemo.ui.examples import Example
from asrdemo.ui.services import Services, availability, first_checkpoint
from asrdemo.ui.shelves import Shelf

if TYPE_CHECKING:
    from evals.score import Score
    from evals.side_by_side import Column

LEAST, MOST = 2, 6
LETTERS = "ABCDEF"
TIMED = 1000  # clips times checkpoints whose acoustic time is remembered
SIZED = 100  # checkpoints whose size in memory is remembered
LONGEST = 4000  # words of a text up to which texts are laid side by side, which takes time by its square
LETTERS_EACH = 5  # letters of a word, on average
_BEAM = "beam:"


@dataclass(frozen=True)
class Lane:
    """A checkpoint and how its text is found: `greedy`, `beam`, or `beam:` and the id of a language model."""

    checkpoint: str
    reading: str = "greedy"

    def options(self, services: Services) -> DecoderOptions:
        """What that means to the decoder. Raises NotFoundError for ids that are not there."""
        if self.reading == "greedy":
            return services.transcriber.defaults(self.checkpoint, "greedy")
        lm = self.reading.removeprefix(_BEAM) if self.reading.startswith(_BEAM) else None
        return services.transcriber.defaults(self.checkpoint, "beam", lm)


@dataclass(frozen=True)
class Costs:
    """What the lanes of all visitors took. seconds: of the acoustic model, by clip and checkpoint; memory: bytes, by
    checkpoint, for few stay loaded while the lanes of a page go on."""

    seconds: Shelf[float] = field(default_factory=lambda: Shelf(TIMED))
    memory: Shelf[int] = field(default_factory=lambda: Shelf(SIZED))


@dataclass(frozen=True)
class Take:
    """The clip that all lanes hear. reference: what was read, "" where nobody knows. own: it is the visitor's."""

    path: str
    name: str
    reference: str = ""
    language: str = ""
    own: bool = False


@dataclass(frozen=True)
class Heard:
    """What became of a lane: a transcript, a problem in words, or neither while it waits.

    acoustic: seconds that the model took for this clip, also where another lane or visitor paid them; None if nobody
    timed it. memory: bytes of the checkpoint as it was loaded, None where that was before this process could see it.
    """

    lane: Lane
    transcript: Transcript | None = None
    problem: str = ""
    acoustic: float | None = None
    memory: int | None = None

    @property
    def speed(self) -> float | None:
        """Audio seconds for each second of work, None where the model was not timed."""
        if self.transcript is None or self.acoustic is None:
            return None
        return self.transcript.duration / max(self.acoustic + self.transcript.timings.decode, 1e-9)

    @property
    def confidence(self) -> float | None:
        """Mean of the words', None without words."""
        words = self.transcript.best.words if self.transcript else ()
        return sum(word.confidence for word in words) / len(words) if words else None


@dataclass(frozen=True)
class Comparison:
    """A visitor's last comparison. Small: texts and paths, no samples. serial: random, of this one."""

    take: Take | None = None
    lanes: tuple[Heard, ...] = ()
    serial: str = ""

    @property
    def done(self) -> bool:
        """Whether no lane waits any more."""
        return all(lane.transcript or lane.problem for lane in self.lanes)


@dataclass(frozen=True)
class Laid:
    """The texts that were found, side by side, as scoring writes them.

    lanes: which of the comparison's have a text. columns: the reference first if there is one, then those lanes.
    scores: of each of them, none without a reference. joined: whether words are written without spaces between.
    """

    lanes: tuple[int, ...]
    columns: tuple[Column, ...]
    scores: tuple[Score, ...]
    reference: str
    joined: bool


def readings(models: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Titles and values of the ways to find the text. models: titles and ids of language models."""
    beams = [(f"Beam search + {title}", _BEAM + id_) for title, id_ in models]
    return [("Greedy", "greedy"), ("Beam search, no language model", "beam"), *beams]


def titles(services: Services, lane: Lane) -> tuple[str, str]:
    """The checkpoint and how its text is found, for people. The id of a visitor's language model is shown to nobody."""
    checkpoint = services.registry.checkpoints.get(lane.checkpoint)
    lm = lane.reading.removeprefix(_BEAM)
    model = services.registry.language_models.get(lm) or services.registry.unlisted.get(lm)
    named = {value: title for title, value in readings([(model.title, model.id)] if model else [])}
    return checkpoint.title if checkpoint else lane.checkpoint, named.get(lane.reading, "A language model that is gone")


def preset(services: Services) -> list[Lane]:
    """As many lanes as there may be: the first checkpoint greedy and with its language model, then what else is
    here, then the others."""
    first = first_checkpoint(services.registry)
    own = services.transcriber.defaults(first, "beam").lm
    wanted = [Lane(first), Lane(first, _BEAM + own if own else "beam"), Lane(first, "beam")]
    wanted += [Lane(s.id) for s in services.registry.checkpoints.values() if availability(s)[0]]
    wanted += [Lane(s.id) for s in services.registry.checkpoints.values()]
    unlike = list(dict.fromkeys(wanted))
    return (unlike + [Lane(first)] * MOST)[:MOST]


def chosen(values: Sequence[Any], count: int) -> list[Lane]:
    """The first `count` lanes of the panel. values: checkpoint and reading in turn."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return [Lane(str(checkpoint), str(reading)) for checkpoint, reading in pairs][:count]


def take_of(example: Example) -> Take:
    """An example or a clip of a corpus, with what was read in it."""
    return Take(str(example.path), example.voice or example.path.name, example.sentence, example.language)


def begin(services: Services, take: Take, lanes: Sequence[Lane]) -> Comparison:
    """All lanes waiting. Raises AudioError, NotFoundError for a clip that cannot be read."""
    services.clip(take.path, take.name)
    return Comparison(take, tuple(Heard(lane) for lane in lanes), secrets.token_hex(8))


class Overtaken(Exception):
    """The visitor wants something else by now."""


def compare(
    services: Services,
    start: Comparison,
    costs: Costs,
    progress: Progress | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> Iterator[Comparison]:
    """Lane after lane; what there is after each. The model hears the clip once for each checkpoint; a lane that fails
    says why, and the others go on. Ends at once when it is not wanted any more."""
    if start.take is None:
        return

    def check(done: int, total: int, note: str) -> None:
        if not wanted():
            raise Overtaken

    now = start
    for at, waiting in enumerate(start.lanes):
        if progress:
            progress(at, len(start.lanes), f"lane {LETTERS[at]}")
        try:
            check(at, len(start.lanes), "")
            heard = _hear(services, start.take, waiting.lane, costs, check)
            check(at, len(start.lanes), "")
        except Overtaken:
            return
        now = replace(now, lanes=(*now.lanes[:at], heard, *now.lanes[at + 1 :]))
        yield now


def _hear(services: Services, take: Take, lane: Lane, costs: Costs, progress: Progress) -> Heard:
    key = f"{take.path}\n{lane.checkpoint}"
    try:
        clip = services.clip(take.path, take.name)
        [transcript] = services.transcriber.transcribe([clip], lane.checkpoint, lane.options(services), progress)
        if lane.checkpoint in services.transcriber.cache.loaded():
            costs.memory.put(lane.checkpoint, services.transcriber.model(lane.checkpoint).bytes)
    except AsrDemoError as error:
        return Heard(lane, problem=str(error))
    except MemoryError:
        return Heard(
            lane, problem="This machine has not enough memory for it. Choose a shorter clip or a smaller model."
        )
    if transcript.timings.acoustic:
        costs.seconds.put(key, transcript.timings.acoustic)
    return Heard(lane, transcript, acoustic=costs.seconds.get(key), memory=costs.memory.get(lane.checkpoint))


def laid(services: Services, now: Comparison) -> Laid | None:
    """The texts side by side and scored; None while lanes wait, where there is no text, and for very long ones."""
    from evals.score import score, spelled
    from evals.side_by_side import side_by_side

    found = [(at, lane.transcript) for at, lane in enumerate(now.lanes) if lane.transcript]
    if now.take is None or not found or not now.done:
        return None
    language = now.take.language or services.registry.checkpoint(found[0][1].checkpoint).language
    profile = for_language(language)
    texts = normalise_all([transcript.text for _, transcript in found], profile)
    [reference] = normalise_all([now.take.reference], profile)
    if any(len(t.split()) > LONGEST or len(t) > LONGEST * LETTERS_EACH for t in (reference, *texts)):
        return None
    scores = [score(now.take.reference, transcript.text, profile) for _, transcript in found] if reference else []
    columns = side_by_side([reference, *texts] if reference else texts)
    joined = spelled(["a b"], profile) != ["a b"]
    return Laid(tuple(at for at, _ in found), tuple(columns), tuple(scores), reference, joined)


@dataclass(frozen=True)
class Sentences:
    """Clips of one split of a corpus, to search for words. rows: as asrdemo.corpus.Corpus.load gives them."""

    language: str
    rows: Any


def sentences(services: Services, corpus: str) -> Sentences:
    """The clips of a corpus of the registry that a page may play: its test split, else its first."""
    from asrdemo.corpus import open_corpus

    spec = services.registry.corpus(corpus)
    opened = open_corpus(spec.path)
    if not opened.splits:
        raise NotFoundError(f"Corpus {corpus!r} has no split to choose clips from.")
    split = "test" if "test" in opened.splits else opened.splits[0]
    return Sentences(spec.language, opened.load(split).rows)


def find(known: Sentences, words: str, count: int, seed: int) -> list[Example]:
    """Up to `count` clips whose sentence contains these words, any clips for none; another seed gives others."""
    rows = known.rows
    if words.strip():
        rows = rows[rows["reference_raw"].astype(str).str.contains(words.strip(), case=False, regex=False)]
    picked = rows.sample(min(count, len(rows)), random_state=seed)
    return [
        Example(Path(row.file), row.reference_raw, _voice(row), float(row.seconds or 0), known.language)
        for row in picked.itertuples()
    ]


def _voice(row: Any) -> str:
    words = {"female_feminine": "woman", "male_masculine": "man"}
    accent = str(row.accents or "").split(" (")[0].split(" | ")[0].removesuffix(" English")
    return ", ".join(part for part in (accent, words.get(str(row.gender), "")) if part)
