"""A run -> its model card: README.md as the Hugging Face Hub reads it, front matter and text.

Everything in it is taken from the run directory, so the card can be written again at any time and anywhere. Paths of
this machine are left out: a card is made to be published. The license is left to whoever publishes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asrdemo.finetune import card_scores, contents, journal, provenance, records, runs
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.card_scores import GREEDY, SEARCHED, Line, md, percent, points, table
from asrdemo.finetune.precheck_report import length, number
from asrdemo.finetune.recipe import DevCorpus, Recipe, TrainCorpus
from asrdemo.process import read_json
from asrdemo.registry import Registry
from asrdemo.text import profile

FILE = "README.md"
SCRATCH = "random weights"
_HEARD = {GREEDY: "decoded greedily", SEARCHED: "with the language model"}
_AUDIT = ("test set", "same clips", "speakers", "sentences")  # rows of the precheck about leaks
_NOTHING = "–"


@dataclass(frozen=True)
class _Run:
    """What a card is made of."""

    folder: Path
    recipe: Recipe
    known: Registry
    lines: list[Line]
    data: dict[str, Any]
    facts: dict[str, Any]
    record: dict[str, Any]
    status: dict[str, Any]

    @property
    def base(self) -> str:
        """What it began with, for people."""
        if self.recipe.base is None:
            return SCRATCH
        name = self.recipe.base.checkpoint
        return self.known.checkpoints[name].title if name in self.known.checkpoints else _public(name)

    @property
    def hub_base(self) -> str | None:
        """The base's repository on the Hub, if it has one."""
        if self.recipe.base is None:
            return None
        name = self.recipe.base.checkpoint
        listed = self.known.checkpoints.get(name)
        return listed.hub if listed else name.removeprefix("hub:") if name.startswith("hub:") else None

    @property
    def title(self) -> str:
        return self.recipe.publish.title or self.recipe.name

    @property
    def tests(self) -> list[str]:
        """Ids of the sets: those for testing first."""
        return list(dict.fromkeys(c.id for c in (*self.recipe.test, *self.recipe.dev)))


def write(folder: Path, known: Registry) -> str:
    """Write the card into the run directory, and return it. Raises TrainingError, ConfigError for a damaged run."""
    text = make(folder, known)
    journal.write_text(folder / FILE, text)
    return text


def make(folder: Path, known: Registry) -> str:
    """The card of a run directory as text. known: for the titles of checkpoints and corpora."""
    recipe = runs.recipe_of(folder)
    run = _Run(
        folder, recipe, known, card_scores.lines(folder, recipe.evaluation.slices), contents.read(folder),
        read_json(folder / provenance.FILE), read_json(folder / "run.json"), read_json(folder / "status.json"),
    )  # fmt: skip
    parts = (
        _front_matter(run), f"# {md(run.title)}", _summary(run), _use(run), _results(run), _data(run), _audit(run),
        _training(run), _limits(run), _recipe(run),
    )  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def data_line(folder: Path, recipe: Recipe, known: Registry) -> str:
    """What a run was trained on, in a few words: `38 minutes of Demo corpus (Scottish English)`."""
    told = contents.read(folder).get("train", {})
    hours = sum(float(said.get("hours", 0)) for said in told.values() if isinstance(said, dict))
    titles = dict.fromkeys(_corpus_title(source.folder, known) for source in recipe.train)
    accents = dict.fromkeys(accent for source in recipe.train for accent in source.accents)
    which = f" ({', '.join(accents)}{' and others' if any(not s.accents for s in recipe.train) else ''})"
    return f"{length(3600 * hours)} of {', '.join(titles)}{which if accents else ''}"


def _front_matter(run: _Run) -> str:
    """Metadata in YAML between two lines; the Hub checks it again when it is pushed."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="automatic-speech-recognition",
            task_name="Automatic Speech Recognition",
            dataset_type=_slug(_corpus_id(source.folder, run.known)),
            dataset_name=_corpus_title(source.folder, run.known),
            dataset_config=source.id,
            dataset_split=source.split,
            metric_type=measure.lower(),
            metric_name=f"{measure} on {source.id} (%, greedy)",
            metric_value=round(100 * line.after.value, 2),
        )
        for source in (*run.recipe.test, *run.recipe.dev)
        for line in run.lines
        if line.set == source.id and not line.column and line.after
        for measure in ("WER", "CER")
        if line.measure == measure
    ]
    data = ModelCardData(
        language=run.recipe.language.split("-")[0],
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["ctc", "speech"],
        base_model=run.hub_base,
        datasets=list(dict.fromkeys(_slug(_corpus_id(c.folder, run.known)) for c in run.recipe.train)),
        metrics=["wer", "cer"],
        model_name=run.title,
        eval_results=results or None,
    )
    license_ = "# license: yours to choose; the base's and the corpora's licenses bind it"
    return f"---\n{data.to_yaml(line_break=chr(10)).strip()}\n{license_}\n---"


def _summary(run: _Run) -> str:
    trained = data_line(run.folder, run.recipe, run.known)
    begun = "a CTC speech recogniser trained from random weights" if run.recipe.base is None else (
        f"{md(run.base)}, fine-tuned"
    )  # fmt: skip
    hub = f" ([{run.hub_base}](https://huggingface.co/{run.hub_base}))" if run.hub_base else ""
    said = [
        f"This is {begun}{hub} on {md(trained)}. Language `{run.recipe.language}`, texts normalised as "
        f"`{run.recipe.normalisation}`."
    ]
    for name in run.tests[:1]:
        line = next((x for x in run.lines if (x.set, x.column, x.measure) == (name, "", "WER")), None)
        if line and line.after and line.change:
            said.append(
                f"On {md(name)} ({number(line.clips, 'clip')}, {number(line.speakers, 'speaker')}) the word error "
                f"rate, decoded greedily, went from {percent(line.before)} to {percent(line.after)}: "
                f"{points(line.change)} points."
            )
    fingerprint = run.facts.get("base", {}).get("fingerprint")
    if fingerprint:
        said.append(f"Fingerprint of what it began with (files and vocabulary): `{fingerprint}`.")
    return " ".join(said)


def _use(run: _Run) -> str:
    return f"""## Use

```python
import soundfile, torch
from transformers import AutoModelForCTC, AutoProcessor

folder = {json.dumps(run.recipe.publish.hub or "path/to/this/folder")}
processor, model = AutoProcessor.from_pretrained(folder), AutoModelForCTC.from_pretrained(folder)
samples, rate = soundfile.read("clip.wav", dtype="float32")  # one channel, {16_000} Hz
inputs = processor(samples, sampling_rate=rate, return_tensors="pt")
with torch.inference_mode():
    print(processor.batch_decode(model(**inputs).logits.argmax(-1))[0])
```"""


def _results(run: _Run) -> str:
    if not run.lines:
        return "## Results\n\nThe run was not scored: it ended before that, or it is pre-training."
    lm = run.recipe.evaluation.language_model
    said = [
        "## Results",
        "Rates with 95 % intervals, changes in points. Speakers vary, clips of one speaker much less, so the intervals "
        "are those of the speakers; there is none where they are effectively fewer than three. Texts were normalised "
        f"as `{run.recipe.normalisation}` before they were compared{_words(run)}. Best weights were chosen on dev, "
        "which flatters its rates; test was scored once before and once after."
        + (f" Language model: {md(lm)}, with the weights it is listed with." if lm else " Decoded greedily."),
    ]
    order = {name: i for i, name in enumerate(run.tests)}
    whole = sorted((x for x in run.lines if not x.column), key=lambda x: order.get(x.set, len(order)))
    rows = [
        (
            x.set,
            x.measure,
            f"{x.clips:,}",
            x.speakers or _NOTHING,
            percent(x.before),
            percent(x.after),
            points(x.change),
        )
        for x in whole
    ]
    said.append(table(("Set", "Measure", "Clips", "Speakers", "Before", "After", "Change"), rows))
    slices = sorted((x for x in run.lines if x.column), key=lambda x: order.get(x.set, len(order)))
    for measure, title in ((GREEDY, "By slice, decoded greedily"), (SEARCHED, "By slice, with the language model")):
        said += _by_slice([x for x in slices if x.measure == measure], title)
    return "\n\n".join(said)


def _by_slice(slices: Sequence[Line], title: str) -> list[str]:
    parts = [
        (x.set, x.column, x.value or "not stated", f"{x.clips:,}", x.speakers or _NOTHING, percent(x.before),
         percent(x.after), points(x.change))
        for x in slices
    ]  # fmt: skip
    head = ("Set", "By", "Value", "Clips", "Speakers", "WER before", "WER after", "Change")
    return [f"### {title}", table(head, parts)] if parts else []


def _data(run: _Run) -> str:
    rows = []
    for use, sources in (("train", run.recipe.train), ("dev", run.recipe.dev), ("test", run.recipe.test)):
        for source in sources:
            said = run.data.get(use, {}).get(source.id, {})
            clips = said.get("clips") or next((x.clips for x in run.lines if x.set == source.id and not x.column), None)
            hours = said.get("hours")
            dropped = "; ".join(f"{contents.count(of):,} {why}" for why, of in said.get("dropped", {}).items())
            rows.append(
                (use, source.id, _corpus_title(source.folder, run.known), source.split, _filters(source),
                 f"{clips:,}" if clips else _NOTHING, length(3600 * hours) if hours else _NOTHING,
                 dropped or ("none" if use == "train" and said else _NOTHING))
            )  # fmt: skip
    said = ["## Data", table(("For", "Id", "Corpus", "Split", "Clips taken", "Clips", "Audio", "Left out"), rows)]
    left = [
        f"{number(contents.count(run.data.get(key)), 'clip')} {why}"
        for key, why in (
            ("infeasible", "had more labels than frames"),
            ("unwritable", "had a character out of vocabulary"),
        )
        if contents.count(run.data.get(key))
    ]
    if left:
        said.append(f"Of the training clips, {' and '.join(left)}; these were not trained on.")
    return "\n\n".join(said)


def _filters(source: TrainCorpus | DevCorpus) -> str:
    """Those that are on, in words."""
    plain = {f.name: f.default for f in dataclasses.fields(source)}
    told = ("id", "folder", "split", "selection_weight")
    on = {k: getattr(source, k) for k in plain if k not in told and getattr(source, k) != plain[k]}
    shown = (f"{k.replace('_', ' ')}: {', '.join(v) if isinstance(v, tuple) else v}" for k, v in on.items())
    return "; ".join(shown) or "all"


def _audit(run: _Run) -> str:
    report = read_json(run.folder / "precheck.json")
    rows = [row for row in report.get("rows", []) if isinstance(row, dict)]
    if not rows:
        return (
            "## Leak audit\n\nNo precheck is kept with this run, so nobody has looked whether clips, speakers or "
            "sentences of dev and test were trained on."
        )
    leaks = [row for row in rows if row.get("check") in _AUDIT]
    others = [row for row in rows if row.get("check") not in _AUDIT and row.get("state") != "ok"]
    said = ["## Leak audit", "Whether dev and test were heard in training, looked at before it began:"]
    said.append(_rows(leaks) if leaks else "nothing was found to compare.")
    if others:
        said += ["Other warnings before training:", _rows(others)]
    return "\n\n".join(said)


def _rows(rows: list[dict[str, Any]]) -> str:
    cells = [(str(row.get("check", "")), str(row.get("state", "")), str(row.get("sentence", ""))) for row in rows]
    return table(("What", "State", "Found"), cells)


def _training(run: _Run) -> str:
    facts, best = run.facts, read_json(run.folder / "best.json")
    measured = {key: value for row in records.last(run.folder / "metrics.jsonl") for key, value in row.items()}
    base, job = facts.get("base", {}), run.record.get("job", {})
    seconds, step, hours = measured.get("seconds"), measured.get("step"), measured.get("audio_hours")
    told: dict[str, object] = {
        "Began with": run.base,
        "Kind of base": base.get("kind"),
        "Mode": run.recipe.mode,
        "Parameters": f"{base['parameters']:,}, of these trained {base['trained']:,}" if "trained" in base else None,
        "New weights": _new_weights(base),
        "Steps": f"{step:,}; the best weights are of step {best.get('step', _NOTHING)}" if step else None,
        "Audio heard": f"{hours:.1f} h, augmented" if hours else None,
        "Time": length(float(seconds)) if seconds else None,
        "Hardware": facts.get("device"),
        "Processor": f"{facts['cpu']}, {facts.get('cores')} cores" if facts.get("cpu") else None,
        "Memory": f"{facts['memory_gib']} GiB" if facts.get("memory_gib") else None,
        "Precision": facts.get("precision"),
        "Processes": facts.get("processes"),
        "Where": f"Hugging Face Jobs, {job['flavour']}" if "flavour" in job else None,
        "Finished": _day(run.status.get("updated")),
        "Versions": ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items()) or None,
    }
    said = ["## Training", table(("", ""), [(k, v) for k, v in told.items() if v not in (None, "")])]
    alerts = records.last(run.folder / journal.ALERTS)
    if alerts:
        said += [
            "What the watchdog said:",
            "\n".join(f"- Step {a.get('step')}: {md(str(a.get('sentence')))}" for a in alerts),
        ]
    return "\n\n".join(said)


def _new_weights(base: dict[str, Any]) -> str | None:
    count = base.get("new_weights_count")
    if not count or base.get("kind") == "scratch":
        return None
    return f"{count} that the base did not have: {', '.join(base.get('new_weights', []))}"


def _day(moment: object) -> str | None:
    return (
        dt.datetime.fromtimestamp(float(moment), dt.UTC).date().isoformat() if isinstance(moment, int | float) else None
    )


def _limits(run: _Run) -> str:
    clips = run.recipe.clips
    said = [
        f"Trained on clips of {clips.min_seconds:g} to {clips.max_seconds:g} s; cut longer recordings at pauses.",
        _spelling(run),
        "The rates above hold for speech like that of these sets: other microphones, noise, spontaneous speech and "
        "accents that are not listed were not measured.",
    ]
    accents = dict.fromkeys(accent for source in run.recipe.train for accent in source.accents)
    if accents and all(source.accents for source in run.recipe.train):
        said.append(f"Only {md(', '.join(accents))} was heard in this training; others may have got worse.")
    worse = [x for x in run.lines if x.column and x.change and x.change.low is not None and x.change.low > 0]
    said += [
        f"Worse than before, beyond chance: {md(f'{x.set}, {x.value}')}, {points(x.change)} points {_HEARD[x.measure]}."
        for x in worse
    ]
    first = [x for x in run.lines if x.column and x.after and run.tests and x.set == run.tests[0]]
    first = [x for x in first if x.measure == GREEDY]
    if len(first) > 1:
        most, least = (pick(first, key=lambda x: x.after.value if x.after else 0) for pick in (max, min))
        said.append(
            f"It does not serve all alike: on {md(most.set)}, decoded greedily, WER is {percent(most.after)} for "
            f"{md(most.value or 'not stated')} and {percent(least.after)} for {md(least.value or 'not stated')}."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in said)


def _words(run: _Run) -> str:
    """What counts as a word, where that is not plain."""
    return ", and each character counts as a word" if profile(run.recipe.normalisation).by_character else ""


def _spelling(run: _Run) -> str:
    """What to expect of its texts."""
    p = profile(run.recipe.normalisation)
    if p.verbatim:
        return f"Trained on texts as they stand (`{p.name}`): it writes the punctuation and the case of its vocabulary."
    kept = "no punctuation and no spaces" if p.by_character else "no punctuation"
    return f"Trained on normalised texts (`{p.name}`): it writes {kept}, and all in one case."


def _recipe(run: _Run) -> str:
    """In full, as settled; folders by their last name."""
    data = recipes.as_dict(run.recipe)
    for source in (*data["train"], *data["dev"], *data["test"]):
        source["folder"] = _public(source["folder"])
    if data["base"]:
        data["base"]["checkpoint"] = _public(data["base"]["checkpoint"])
    text = yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True, width=110)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"## Recipe\n\n{fence}yaml\n{text}{fence}"


def _public(folder: str) -> str:
    """A folder without where it lies on this machine."""
    return Path(folder).name if Path(folder).is_absolute() else folder


def _corpus_id(folder: str, known: Registry) -> str:
    """The id of a corpus of the registry, by id or place; else the folder's own name."""
    if folder in known.corpora:
        return folder
    place = Path(folder).resolve()
    return next((c.id for c in known.corpora.values() if c.path.resolve() == place), Path(folder).name)


def _corpus_title(folder: str, known: Registry) -> str:
    id = _corpus_id(folder, known)
    return known.corpora[id].title if id in known.corpora else id


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "corpus"
