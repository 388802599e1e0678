"""Alpha, beta and beam width tried over kept emissions: the WER of every setting, and which is best.

Settings are tuned on a development split. Tuned on the test split, they would fit what they are to be judged by.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from asrdemo import decoding
from asrdemo.errors import ConfigError, ResultError
from asrdemo.registry import LanguageModelSpec
from asrdemo.text import normalise_all
from asrdemo.types import DecoderOptions, Progress
from evals import emissions_store, pins, worker
from evals.rescore import Kept
from evals.results import Result, open_result, partial, write_json
from evals.score import words

SPLITS = ("dev", "validation", "valid")
MOST_SETTINGS = 10_000
AXES = ("alpha", "beta", "beam_width")


@dataclass(frozen=True)
class Grid:
    """Values to try, ascending; every combination is a setting."""

    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    beam_width: tuple[int, ...]

    def settings(self, base: DecoderOptions) -> list[DecoderOptions]:
        """The options with each combination in turn. Raises DecodingError for values out of range, ConfigError."""
        count = len(self.alpha) * len(self.beta) * len(self.beam_width)
        if not 0 < count <= MOST_SETTINGS:
            raise ConfigError(f"The grid has {count:,} settings; expected 1 to {MOST_SETTINGS:,}.")
        made = [
            replace(base, kind="beam", n_best=1, alpha=a, beta=b, beam_width=w)
            for w, a, b in itertools.product(self.beam_width, self.alpha, self.beta)
        ]
        for options in made:
            decoding.validate(options)
        return made


@dataclass(frozen=True)
class Point:
    """A setting and its pooled word errors."""

    alpha: float
    beta: float
    beam_width: int
    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def wer(self) -> float:
        """Errors over words of the references; NaN without words."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.words if self.words else math.nan

    @property
    def setting(self) -> tuple[float, float, int]:
        """(alpha, beta, beam_width)."""
        return self.alpha, self.beta, self.beam_width


@dataclass(frozen=True)
class Sweep:
    """The surface. points: in the order of the grid. folder: where surface.csv and surface.html lie."""

    folder: Path
    points: tuple[Point, ...]
    options: DecoderOptions

    @property
    def best(self) -> Point:
        """The least WER; of equals the narrowest beam, then the smallest weights."""
        return min(self.points, key=lambda p: (p.wer, p.beam_width, p.alpha, abs(p.beta)))

    @property
    def best_options(self) -> DecoderOptions:
        """Decoder options with the best setting."""
        b = self.best
        return replace(self.options, kind="beam", alpha=b.alpha, beta=b.beta, beam_width=b.beam_width)

    @property
    def at_edge(self) -> list[str]:
        """Axes on whose first or last value the best lies, so that a better one may lie beyond."""
        values = {axis: sorted({getattr(p, axis) for p in self.points}) for axis in AXES}
        return [a for a, v in values.items() if len(v) > 1 and getattr(self.best, a) in (v[0], v[-1])]


def values(text: str) -> tuple[float, ...]:
    """`0:1.5:0.25` (first : last : step, both ends included) or `0,0.5,1` -> ascending numbers. Raises ConfigError."""
    try:
        if ":" not in text:
            return tuple(sorted({float(part) for part in text.split(",")}))
        first, last, step = map(float, text.split(":"))
        count = math.floor((last - first) / step + 1e-9) + 1
        if step <= 0 or not 1 <= count <= MOST_SETTINGS:
            raise ValueError
        return tuple(round(first + i * step, 9) for i in range(count))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ConfigError(f"{text!r} is no range; expected FIRST:LAST:STEP or numbers separated by commas.") from None


def sweep(
    result: Result,
    grid: Grid,
    options: DecoderOptions,
    lm: LanguageModelSpec | None,
    workers: int | None = None,
    progress: Progress | None = None,
    any_split: bool = False,
) -> Sweep:
    """Try every setting of the grid on the kept emissions of a result, side by side.

    Written into the result's folder under `sweep/`: surface.csv, surface.html, and sweep.json, from which a later call
    takes the settings that it finds there. any_split: also on a split that is not for development.
    Raises ResultError for another split or where nothing was kept, DecodingError, LanguageModelError.
    """
    split = result.info["pins"]["corpus"]["split"]
    if split not in SPLITS and not any_split:
        raise ResultError(
            f"Result {result.name!r} is of the split {split!r}; decoder settings are tuned on {' or '.join(SPLITS)}. "
            "On a test split they would be fitted to what they are judged by; --any-split does it all the same."
        )
    settings = grid.settings(options)
    kept = Kept.of(result, ["clip", "reference"])
    profile = result.info["pins"]["normaliser"]["profile"]
    folder = result.folder / "sweep"
    with worker.pool(workers or worker.default_workers(spare=0)) as pool:
        base = worker.Job(settings[0], lm, pins.calibrations(result.info["pins"]), profile)
        engine, lm_print = pool.submit(worker.describe, base, kept.any_emissions()).result()
        fixed = {k: v for k, v in pins.of_decoder(settings[0]).items() if k not in AXES}
        about = {"decoder": fixed | {"engine": engine, "lm_fingerprint": lm_print}, "software": pins.of_software()}
        done = _known(folder, about)
        tasks = {
            pool.submit(measure, result.folder, replace(base, options=s)): s
            for s in settings
            if (s.alpha, s.beta, s.beam_width) not in done
        }
        for count, task in enumerate(as_completed(tasks), len(settings) - len(tasks) + 1):
            point = task.result()
            done[point.setting] = point
            folder.mkdir(exist_ok=True)
            write_json(folder / "sweep.json", {**about, "points": [asdict(p) for p in done.values()]})
            if progress:
                progress(count, len(settings), "settings")
    found = Sweep(folder, tuple(done[s.alpha, s.beta, s.beam_width] for s in settings), options)
    _write(found, result)
    return found


def measure(folder: Path, job: worker.Job) -> Point:
    """One setting over all kept emissions of a result; runs in a worker. Raises DecodingError, ResultError."""
    references, heard = _references(folder), []
    lm = decoding.open_language_model(job.lm) if job.lm else None
    for file in emissions_store.windows(folder):
        heard += [decoding.decode(e, job.options, lm, job.calibrations)[0].text for _, e in emissions_store.read(file)]
    found = words(references, normalise_all(heard, job.profile))
    o = job.options
    return Point(o.alpha, o.beta, o.beam_width, found.reference, found.substitutions, found.deletions, found.insertions)


@lru_cache(maxsize=1)
def _references(folder: Path) -> Sequence[str]:
    """Normalised, in the order of the emissions."""
    return open_result(folder).read(["reference"]).column("reference").to_pylist()


def _known(folder: Path, about: dict[str, Any]) -> dict[tuple[float, float, int], Point]:
    """Points that an earlier sweep of the same kind has found."""
    try:
        data = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        points = [Point(**p) for p in data.pop("points")]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {p.setting: p for p in points} if data == about else {}


def _write(found: Sweep, result: Result) -> None:
    table = found.folder / "surface.csv"
    with partial(table).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow([*Point.__dataclass_fields__, "wer"])
        out.writerows([*asdict(p).values(), f"{p.wer:.6f}"] for p in found.points)
    partial(table).replace(table)
    page = found.folder / "surface.html"
    partial(page).write_text(_plot(found, result), encoding="utf-8")
    partial(page).replace(page)


def _plot(found: Sweep, result: Result) -> str:
    """A self-contained page: WER over alpha and beta, a panel for each beam width, the best setting marked."""
    from plotly.graph_objects import Heatmap, Scatter
    from plotly.subplots import make_subplots

    widths = sorted({p.beam_width for p in found.points})
    alphas, betas = (sorted({getattr(p, axis) for p in found.points}) for axis in AXES[:2])
    by_setting = {p.setting: 100 * p.wer for p in found.points}
    least, most = min(by_setting.values()), max(by_setting.values())
    figure = make_subplots(cols=len(widths), rows=1, subplot_titles=[f"beam width {w}" for w in widths])
    for column, width in enumerate(widths, 1):
        z = [[by_setting[a, b, width] for a in alphas] for b in betas]
        surface = Heatmap(
            x=alphas, y=betas, z=z, zmin=least, zmax=most, colorscale="Viridis_r", colorbar_title="WER %",
            showscale=column == len(widths), texttemplate="%{z:.2f}",
            hovertemplate="alpha %{x}, beta %{y}: %{z:.2f} %<extra></extra>",
        )  # fmt: skip
        figure.add_trace(surface, 1, column)
        figure.update_xaxes(title="alpha", row=1, col=column)
        figure.update_yaxes(title="beta", row=1, col=column)
    b = found.best
    mark = Scatter(x=[b.alpha], y=[b.beta], mode="markers", name="best", showlegend=False,
                   marker={"symbol": "circle-open", "size": 28, "color": "crimson", "line": {"width": 3}})  # fmt: skip
    figure.add_trace(mark, 1, widths.index(b.beam_width) + 1)
    p = result.info["pins"]
    what = f"{p['checkpoint']['id']} on {p['corpus']['name']} {p['corpus']['split']}"
    where = f"alpha {b.alpha:g}, beta {b.beta:g}, beam width {b.beam_width}"
    figure.update_layout(title=f"{what}: best {100 * b.wer:.2f} % WER at {where}")
    return str(figure.to_html(include_plotlyjs=True, full_html=True))
