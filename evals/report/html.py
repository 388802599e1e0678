"""Findings -> one HTML file that needs nothing else: no network, no script. Prints well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from evals.report import charts, diff, provenance
from evals.report.findings import TOP, Findings
from evals.report.style import STYLE
from evals.walks import by_character
from evals.wording import between, count, percent, plain

if TYPE_CHECKING:
    import pandas as pd

    from evals.adjusted import Adjusted

FEW_SPEAKERS = 10
_PERCENT = re.compile(r"(\d) %")
_FIGURES = (
    *("result", "WER", "95 % interval", "CER", "PER", "wrong", "missing", "added"),
    *("WER as written", "RTFx"),
)
_COMPARED = (
    *("slice", "result", "WER", "against", "difference", "95 % interval", "p", "MAPSSWE p"),
    *("words fixed", "words broken"),
)
_TWICE = ((0, "raw"), (1, "adjusted"))
_BY = {
    "accents": "accent",
    "gender": "gender",
    "age": "age",
    "seconds": "clip length",
    "speaking_rate": "speaking rate",
    "snr": "signal-to-noise ratio",
    "sentence_domain": "sentence domain",
}


def html(findings: Findings) -> str:
    """The whole report."""
    sections = [
        _headline(findings),
        _comparison(findings),
        _slices(findings),
        _worst(findings),
        _adjusted(findings),
        _errors(findings),
        _phonemes(findings),
        _formatting(findings),
        _clips(findings),
        provenance.section(findings),
    ]
    title = _question(findings)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1>{_lead(findings)}</header>"
        f"{''.join(sections)}</main></body></html>"
    )
    return _PERCENT.sub("\\1\u00a0%", page)  # never parted at the end of a line


def _question(f: Findings) -> str:
    pins = f.scored.results[0].info["pins"]
    corpus = f"{pins['corpus']['name']} ({pins['corpus']['split']})"
    names = list(dict.fromkeys(r.info["pins"].get("checkpoint", {}).get("id", r.name) for r in f.scored.results))
    return f"How well {'does' if len(names) == 1 else 'do'} {_listed(names)} hear {corpus}?"


def _lead(f: Findings) -> str:
    """The answer in a sentence for each run."""
    sentences = []
    for row in _rows(f.headline):
        if row["status"] != "ok":
            sentences.append(f"<p><b>{escape(row['run'])}</b>: too little to say, {escape(row['reason'])}.</p>")
            continue
        sentences.append(
            f"<p><b>{escape(row['run'])}</b> gets <b>{percent(row['wer'])}</b> of the words wrong "
            f"({between(row['low'], row['high'])}).</p>"
        )
    row = next(iter(_rows(f.headline)))
    support = f"{count(row['clips'], 'clip')}, {count(row['speakers'], 'speaker')}, {row['hours']:.1f} hours"
    caveat = f"<p><b>{escape(f.scored.caveat)}</b></p>" if f.scored.caveat else ""
    return f"{''.join(sentences)}<p class='note'>{support}. Clips: {escape(plain(f.chosen))}.</p>{caveat}"


def _headline(f: Findings) -> str:
    rows = []
    for at, (row, result) in enumerate(zip(_rows(f.headline), f.scored.results, strict=True)):
        speed = result.info.get("rtfx")
        rows.append(
            [
                f'<span class="name">{_mark(at)} {escape(row["run"])}</span>',
                _rate(row["wer"]),
                f"{_rate(row['low'])} – {_rate(row['high'])}" if row["high"] == row["high"] else "–",
                _rate(row["cer"]),
                _rate(f.phonemes[at].interval.rate if f.phonemes else None),
                *(_rate(row[kind]) for kind in ("substitutions", "deletions", "insertions")),
                _rate(f.as_written[at]),
                "–" if speed is None else f"{speed:,.0f}",
            ]
        )
    note = (
        "Word error rate: wrong, missing and added words (substitutions, deletions, insertions: their shares of the "
        "errors) over the words that were said. WER as written counts capitals and punctuation as errors. RTFx: "
        "seconds of audio a second, over the whole result."
    )
    return _section("The figures", _table(_FIGURES, rows, numbers=range(1, 10)) + f'<p class="note">{note}</p>')


def _comparison(f: Findings) -> str:
    if f.comparison is None or f.churn is None:
        return ""
    several = len(f.scored.runs) > 2
    changed = {(r["by"], r["slice"], r["run"]): r for r in _rows(f.churn)}
    rows = []
    for row in _rows(f.comparison):
        if row["status"] != "ok":
            continue
        churned = changed[(row["by"], row["slice"], row["run"])]
        sure = row["p_bh"] <= 0.05
        rows.append(
            [
                escape(plain(row["slice"])),
                *([f'<span class="name">{escape(row["run"])}</span>'] if several else []),
                _rate(row["wer"]),
                _rate(row["base_wer"]),
                f"{'<b>' if sure else ''}{100 * row['difference']:+.1f}{'</b>' if sure else ''}",
                f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
                *(_p(row[name]) for name in ("p_bh", "mapsswe_bh")),
                f"{churned['words_fixed']:,}",
                f"{churned['words_broken']:,}",
            ]
        )
    heads = [name for name in _COMPARED if several or name != "result"]
    compared = "Each result" if several else escape(f.scored.runs[1])
    note = (
        f"{compared} against {escape(f.scored.runs[0])}, clip by clip, in points of WER (below 0: better). Interval "
        "and p: speakers are resampled, both results with the same draws. Both p: corrected for all rows of this table "
        "(Benjamini & Hochberg); in bold where at most 5 % of such differences are expected to be chance. MAPSSWE: "
        "matched pairs of segments."
    )
    return _section(
        "Is it better?", _table(heads, rows, numbers=range(1 + several, len(heads))) + f'<p class="note">{note}</p>'
    )


def _slices(f: Findings) -> str:
    """A chart for each grouping."""
    overall = [row["wer"] for row in _rows(f.headline) if row["status"] == "ok"]
    parts = []
    for by in f.by:
        rows = list(_rows(f.slices[f.slices["by"] == by]))
        if not rows:
            continue
        title = f"By {' and '.join(_BY.get(each.split(':')[0], each) for each in by.split('*'))}"
        parts.append(f"<figure>{charts.dots(title, _lines(rows, f.scored.runs, by), overall, f.scored.runs)}</figure>")
    few = any(0 < row["speakers"] < FEW_SPEAKERS and row["status"] == "ok" for row in _rows(f.slices))
    note = "Dashed: all clips together. Intervals: speakers are resampled (bootstrap), not clips."
    if few:
        note += f" * Fewer than {FEW_SPEAKERS} speakers: the interval is a rough guide, and rather too narrow."
    return _section("For whom, and when?", "".join(parts) + f'<p class="note">{note}</p>')


def _lines(rows: Sequence[dict[str, Any]], runs: Sequence[str], by: str) -> list[charts.Line]:
    """Values by their WER, worst first; bins in their order."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["slice"], []).append(row)
    lines = []
    for label, each in grouped.items():
        dots = tuple(
            charts.Dot(row["wer"], row["low"], row["high"], runs.index(row["run"]))
            for row in each
            if row["status"] == "ok"
        )
        first = each[0]
        few = "*" if dots and first["speakers"] < FEW_SPEAKERS else ""
        support = f"{count(first['clips'], 'clip')}, {count(first['speakers'], 'speaker')}{few}"
        lines.append(charts.Line(plain(label), support, dots, first["reason"]))
    if any(name in by for name in ("accents", "gender", "age", "domain")):
        lines.sort(key=lambda line: -line.dots[0].value if line.dots else 1.0)
    return lines


def _worst(f: Findings) -> str:
    answers = list(_rows(f.worst.answers))
    sentences = "".join(f"<li>{escape(plain(row['sentence']))}</li>" for row in answers)
    found = (
        f"<ol>{sentences}</ol>" if answers else "<p>No slice stood out on speakers that the search had not seen.</p>"
    )
    return _section("Where is it worst?", f'{found}<p class="note">{escape(f.worst.note)}</p>')


def _adjusted(f: Findings) -> str:
    """What is left of each column's gaps, in a sentence and a chart."""
    parts = []
    for found in f.adjusted:
        names = _twice(found)
        lines = []
        for row in _rows(found.table):
            ok = row["status"] == "ok"
            dots = [charts.Dot(row[name], row[f"{name}_low"], row[f"{name}_high"], run) for run, name in _TWICE if ok]
            lines.append(charts.Line(plain(row["value"]), row["verdict"] if ok else "", tuple(dots), row["reason"]))
        parts.append(
            f"<h3>By {escape(_BY.get(found.column, found.column))}</h3><p>{escape(plain(found.summary))}</p>"
            f"<figure>{charts.ratios(f'WER to that of {plain(found.reference)}', lines, names)}</figure>"
        )
    if not parts:
        return ""
    names = _twice(f.adjusted[0])
    key = "".join(f'<span class="entry">{_mark(i)} {name}</span>' for i, name in enumerate(names))
    notes = "".join(f"<p>{escape(_BY.get(a.column, a.column).capitalize())}: {escape(a.note)}</p>" for a in f.adjusted)
    how = f'<details class="note"><summary>How it was measured</summary>{notes}</details>'
    return _section("Does the gap survive?", f'<p class="note">{key}</p>{"".join(parts)}{how}')


def _twice(found: Adjusted) -> tuple[str, str]:
    """What the two figures of a gap are called."""
    return "as it is", f"with {found.covariates or 'nothing else'} alike"


def _errors(f: Findings) -> str:
    run = escape(f.scored.runs[0])
    pairs = _table(
        ["said", "heard", "times"],
        [[_words(r["reference"]), _words(r["hypothesis"]), f"{r['count']:,}"] for r in _rows(f.confused)],
        numbers=(2,),
    )
    return _section(
        "Which words?",
        f'<p class="note">{run}; the {TOP} most frequent of each.</p>'
        f'<div class="columns"><div><h3>Taken for another</h3>{pairs}</div>{_one_sided(f.deleted, f.inserted)}</div>',
    )


def _phonemes(f: Findings) -> str:
    if not f.phonemes:
        return _section("Misheard, or only misspelt?", f'<p class="note">{escape(f.no_phonemes)}</p>')
    said = "".join(
        f"<p><b>{escape(each.run)}</b> gets <b>{percent(each.interval.rate)}</b> of the phonemes wrong "
        f"({between(each.interval.low, each.interval.high)}).</p>"
        for each in f.phonemes
    )
    first = f.phonemes[0]
    pairs = [[_words(r["reference"]), _words(r["hypothesis"]), f"{r['count']:,}"] for r in _rows(first.confused)]
    note = (
        f"Phonemes as espeak-ng's voice {escape(first.voice)} reads both texts, so that two spellings of one sound are "
        f"no error. Tables: {escape(first.run)}."
    )
    return _section(
        "Misheard, or only misspelt?",
        f'{said}<p class="note">{note}</p><div class="columns"><div><h3>Taken for another</h3>'
        f"{_table(['said', 'heard', 'times'], pairs, numbers=(2,))}</div>"
        f"{_one_sided(first.deleted, first.inserted)}</div>",
    )


def _one_sided(deleted: pd.DataFrame, inserted: pd.DataFrame) -> str:
    return "".join(
        f"<div><h3>{title}</h3>"
        + _table(["", "times"], [[_words(r[side]), f"{r['count']:,}"] for r in _rows(table)], numbers=(1,))
        + "</div>"
        for title, table, side in (("Left out", deleted, "reference"), ("Added", inserted, "hypothesis"))
    )


def _formatting(f: Findings) -> str:
    found = f.formatting
    steps = [[escape(r["step"]), _rate(r["wer"]), f"{r['removed']:,}"] for r in _rows(found.steps)]
    left = [[escape(r["kind"]), f"{r['errors']:,}", _rate(r["share"])] for r in _rows(found.left)]
    lead = f"<p>As written {percent(found.raw_wer)} of the words differ, normalised {percent(found.wer)}.</p>"
    return _section(
        "Heard wrongly, or only written differently?",
        f'{lead}<div class="columns"><div>{_table(["step", "WER", "errors removed"], steps, numbers=(1, 2))}</div>'
        f"<div>{_table(['what is left', 'errors', 'share'], left, numbers=(1, 2))}</div></div>",
    )


def _clips(f: Findings) -> str:
    joined = by_character(f.scored)
    rows = [
        [
            f"{100 * row['wer']:.0f} %",
            f'<div dir="{diff.direction(row["reference"])}" class="clip{" joined" if joined else ""}">'
            f"{diff.marked(row['reference'], row['hypothesis'], row['ops'], joined)}</div>",
            escape(plain(", ".join(str(row[name]) for name in ("accents", "gender", "age") if row[name]))),
            f"{row['seconds']:.1f} s",
            f"<code>{escape(row['clip'])}</code>",
        ]
        for row in _rows(f.clips)
    ]
    note = f"{escape(f.scored.runs[0])}. <del>Said</del> and not heard so; <ins>heard</ins> and not said so."
    table = _table(["WER", "clip", "speaker", "length", "file"], rows, numbers=(0, 3))
    return _section("The worst clips", f'<p class="note">{note}</p>{table}')


def _mark(run: int) -> str:
    """A run's mark in the charts."""
    return f'<svg viewBox="-8 -8 16 16" class="key">{charts.shape(run, 0, 0)}</svg>'


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Cells are HTML already."""
    if not rows:
        return "<p>None.</p>"
    right = dict.fromkeys(numbers, ' class="number"')
    kinds = [right.get(i, "") for i in range(len(heads))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, heads, strict=True))
    lines = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _words(text: str) -> str:
    return f'<bdi dir="auto">{escape(text)}</bdi>'


def _rate(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def _p(value: float) -> str:
    return "–" if value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
