"""A recipe and its check as HTML. Pure functions, all escaped; scripts read `data-fix` (a row of the report)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from asrdemo.finetune.recipe import Recipe
from asrdemo.ui import words
from asrdemo.ui.finetune import access
from asrdemo.ui.finetune.form import Form
from evals.report.charts import ceiling
from evals.wording import count

MOST_NAMES = 40
UNCHECKED = (
    '<section class="pane blank"><p><strong>Not checked yet.</strong> The check reads every clip, compares texts and '
    "vocabulary, looks for speakers that train and test share, and really runs the longest batch once. It takes about "
    "a minute for the demo, and what it prepares is kept for the run.</p></section>"
)
CHECKING = (
    '<section class="pane blank" role="status"><p><strong>Checking …</strong> Reading every clip, comparing texts and '
    "vocabulary, then running the longest batch once. The first time takes about a minute for the demo.</p></section>"
)
_MODES = {"full": "all weights", "head": "the output layer only", "adapter": "adapters (MMS)", "lora": "LoRA",
          "pretrain": "self-supervised, without texts"}  # fmt: skip
_STATES = {"ok": ("✓", "fine"), "warn": ("▲", "warning"), "block": ("✕", "must be mended")}
_PARTS = {"seconds": "clip length", "snr": "noise"}


def closed_html(why: str) -> str:
    """In place of the page, for those to whom it is closed."""
    return (
        '<section class="pane closed"><h3>Fine-tuning</h3><p>This page makes a better checkpoint from one that fails: '
        "it turns a bad slice of Error analysis into a recipe, checks it for what is known to go wrong, trains, shows "
        f"loss and word error rate as they fall, and offers the outcome in every tab.</p><p><strong>Closed here."
        f"</strong> {escape(why)}</p></section>"
    )


def verdict_wrong(problem: str) -> str:
    """Below a text that is no recipe."""
    return f'<p class="problem" role="alert"><strong>✕ Not a recipe yet:</strong> {escape(problem)}</p>'


def verdict(recipe: Recipe, limited: Recipe) -> str:
    """Below a recipe: what it does, in a sentence."""
    base = recipe.base.checkpoint if recipe.base else "random weights"
    b = limited.batches
    ends = [f"{b.max_minutes:g} minutes" * bool(b.max_minutes), count(b.max_steps, "step") * bool(b.max_steps)]
    said = f"Trains {_MODES[recipe.mode]} of {base} for at most {' or '.join(filter(None, ends))}."
    cut = "" if limited == recipe else f" This demo allows {b.max_minutes:g} minutes."
    return f'<p class="hint" role="status"><b>✓ A valid recipe.</b> {escape(said + cut)}</p>'


def slice_note(made: Form, left: Sequence[str], missing: Sequence[str]) -> str:
    """Above a recipe that was made from a slice of Error analysis."""
    values = [words.value(v) for v in (*made.accents, *made.genders, *made.ages)]
    often = f"with each clip of the others {made.keep:g} % as often"
    said = f"Filled in from Error analysis: learn {', '.join(values)}, {often}."
    if not values and missing:
        said = "Filled in from Error analysis, and it learns from all clips:"
    elif not values:
        said = (
            "Filled in from Error analysis. The slice says nothing of accent, gender or age that the clips could be "
            "chosen by: this learns from all of them."
        )
    if missing:
        said += f" The train split has no clip of {', '.join(map(words.value, missing))}."
    if left:
        said += f" Not part of a recipe: {', '.join(_PARTS.get(name, words.column(name)) for name in left)}."
    return f'<p class="note" role="status">{escape(said)}</p>'


def problem(message: str) -> str:
    """Why what was asked for did not work, "" for nothing."""
    if not message:
        return ""
    return f'<p class="problem" role="alert"><strong>That did not work:</strong> {escape(message)}</p>'


def form_note(plain: bool) -> str:
    """Above the form, where it says only a part."""
    if plain:
        return ""
    return (
        '<p class="hint">The clips of this recipe are chosen in ways the form does not know; see the YAML. Changing '
        "corpus, accents, genders, ages or the others' share here replaces its <code>train</code> and <code>dev</code>."
        "</p>"
    )


def report_html(report: Mapping[str, Any]) -> str:
    """A precheck: what is wrong first, then what it will take, then what is fine."""
    rows = list(enumerate(report["rows"]))
    bad = [each for state in ("block", "warn") for each in rows if each[1]["state"] == state]
    fine = [each for each in rows if each[1]["state"] == "ok"]
    blocks, warns = (sum(row["state"] == state for _, row in rows) for state in ("block", "warn"))
    title = "Ready to start"
    if blocks:
        title = f"{count(blocks, 'thing')} must be mended first"
    elif warns:
        title = f"Ready, with {count(warns, 'warning')}"
    listed = "".join(_row(at, row) for at, row in bad)
    good = "".join(_row(at, row) for at, row in fine)
    folded = f"<details><summary>{len(fine)} checks are fine</summary><ul class='checks'>{good}</ul></details>"
    return (
        f'<section class="pane report" aria-live="polite"><h3>{title}</h3>'
        f"{f'<ul class=checks>{listed}</ul>' if listed else ''}{_estimates(report.get('estimates'))}"
        f"{_histogram(report.get('histogram'))}{folded if fine else ''}</section>"
    )


def _row(at: int, row: Mapping[str, Any]) -> str:
    sign, word = _STATES[row["state"]]
    fix = f'<p class="fix">{escape(row["fix"])}</p>' if row["fix"] else ""
    if row.get("change"):
        fix += f'<button type="button" class="plain" data-fix="{at}">Mend it in the recipe</button>'
    return (
        f'<li class="{row["state"]}"><span class="state"><span aria-hidden="true">{sign}</span> {word}</span>'
        f"<div><p><b>{escape(row['check'])}:</b> {escape(row['sentence'])}</p>{fix}{_names(row['names'])}</div></li>"
    )


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    shown = escape(", ".join(names[:MOST_NAMES]))
    return f'<details><summary>Which ({len(names):,})</summary><p class="hint names">{shown}{more}</p></details>'


def _estimates(found: Mapping[str, Any] | None) -> str:
    """What the run will take, as figures with their units."""
    if not found:
        return ""
    memory, free = found["memory_gib"], found["available_gib"]
    minutes = "{:.0f} min" if (found["minutes"] or 0) >= 10 else "{:.1f} min"
    cards = [
        ("Time", _or(found["minutes"], minutes), "evaluation included"),
        ("Steps", _or(found["steps"], "{:,}"), _or(found["step_seconds"], "{:.2f} s each")),
        ("Passes over the clips", _or(found["passes"], "{:.1f}"), f"{found['steps_a_pass']:,} steps a pass"),
        ("Memory", _or(memory, "{:.1f} GiB"), _or(free, "of {:.1f} GiB free")),
        ("Disk", f"{found['disk_gib']:.1f} GiB", "of the run directory"),
    ]
    body = "".join(
        f'<div class="figure"><span class="label">{title}</span><span class="number">{number}</span>'
        f'<span class="note">{note}</span></div>'
        for title, number, note in cards
    )
    where = f"On {'the GPU' if found['device'] == 'cuda' else 'this CPU'}, {found['precision']}."
    if found["busy"]:
        where += " Other programs keep this machine at work: the time is what it takes once they are done."
    return (
        f'<p class="hint">What it takes. {where}</p><div class="figures">{body}</div>{_jobs(found.get("jobs") or ())}'
    )


def _or(value: float | None, shape: str) -> str:
    return "–" if value is None else shape.format(value)


def _jobs(offers: Sequence[Mapping[str, Any]]) -> str:
    if not offers:
        return ""
    fits = {True: "✓ fits", False: "✕ too small", None: "? not measured"}
    rows = "".join(
        f'<tr><th scope="row">{escape(o["flavour"])}</th><td class="n">{o["gpus"]}</td><td class="n">{o["memory_gb"]}'
        f'</td><td class="n">{o["dollars_an_hour"]:.2f}</td><td class="n">{_or(o["dollars"], "{:.2f}")}</td>'
        f"<td>{fits[o['fits']]}</td></tr>"
        for o in offers
    )
    return (
        '<details><summary>What it would cost on Hugging Face Jobs</summary><div class="scroll"><table><thead><tr>'
        '<th scope="col">Machine</th><th scope="col" class="n">GPUs</th><th scope="col" class="n">Memory, GB</th>'
        '<th scope="col" class="n">$ an hour</th><th scope="col" class="n">$ at most</th><th scope="col">Memory</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _histogram(found: Mapping[str, Any] | None) -> str:
    """Lengths of the training clips as bars, with the hours of each in words."""
    if not found or not sum(found["counts"]):
        return ""
    edges, counts, hours = found["edges"], found["counts"], found["hours"]
    top = ceiling([float(n) for n in counts]) or 1.0
    bars = "".join(
        f'<li title="{low:g} to {high:g} s: {count(n, "clip")}, {60 * h:.1f} minutes">'
        f'<i style="height:{100 * n / top:.1f}%"></i><span class="sr-only">{low:g} to {high:g} seconds: '
        f"{count(n, 'clip')}</span></li>"
        for low, high, n, h in zip(edges[:-1], edges[1:], counts, hours, strict=True)
    )
    return (
        f'<figure class="histogram"><figcaption>Length of the {sum(counts):,} training clips, '
        f"{words.hours(sum(hours))}, in seconds</figcaption><ol style='--top:\"{top:g} clips\"'>{bars}</ol>"
        f'<p class="axis" aria-hidden="true">{"".join(f"<span>{edge:g}</span>" for edge in edges)}</p></figure>'
    )


def sign_in_note() -> str:
    """What a Space without the sign-in lacks, for its owner."""
    if not access.space_owner() or access.can_sign_in():
        return ""
    return '<p class="hint">The owner: add <code>hf_oauth: true</code> to README.md, so that you can sign in.</p>'


def job_cost(said: str, small: bool, here_only: bool) -> str:
    """Above the button that starts a job: what it may cost. small: the check says that the machine is; here_only: the
    check says that this machine will not do."""
    notes = ["The check says that the longest batch does not fit there; take one that is marked ✓."] * small
    notes += ["What the check says of this machine's memory and disk does not count there."] * here_only
    more = "".join(f'<p class="hint">▲ {escape(note)}</p>' for note in notes)
    return f'<p class="cost" role="status">{escape(said)}</p>{more}'


def job_wrong(problem: str) -> str:
    """Why a recipe cannot be a job, as it is."""
    return f'<p class="problem" role="alert"><strong>✕ Cannot train there:</strong> {escape(problem)}</p>'
