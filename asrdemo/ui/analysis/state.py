"""What the Error analysis page shows, as the page's address says it. The address is all the state there is.

    ?tab=analysis&results=demo-en-beam&results=demo-en-greedy     which results, the first one looked at closely
    &accents=Scottish+English&seconds.min=2                       the filter, as evals.filters reads it
    &view=clips&sort=longest&leaf=3&open=clip.mp3                 what is looked at; see View

The browser keeps it (static/analysis.js), every event sends it, and the server remembers nothing of a visitor: a copied
address, a reload and a restart of the app all lead to the same page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from evals import filters
from evals.clips import ORDERS
from evals.filters import Condition

VIEWS = {"where": "Where it fails", "errors": "Which errors", "clips": "Clips", "run": "Run an evaluation"}
MOST_RESULTS = 6
_LISTS = ("results", "by")
_TEXTS = ("tab", "view", "heat", "unit", "said", "heard", "sort", "leaf", "open", "mark", "what", "__theme")
_FOREIGN = re.compile(r"utm_\w+|fbclid|gclid|msclkid|igshid|mc_[ce]id|ref_src")


@dataclass(frozen=True)
class View:
    """results: names, () for the page's choice. query: the filter. by: columns charted besides the usual ones.

    heat: two columns, `accents*gender`. unit: words or characters. said, heard: the pair looked at, None for nothing
    on that side; pair: whether there is one. sort: one of evals.clips.ORDERS; page: of the clips, from 1, `leaf` in the
    address, where Gradio keeps `page` for itself. open: a clip.
    mark, what: what an event asks for: a mark for the open clip, a table to save.
    """

    results: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    view: str = "where"
    by: tuple[str, ...] = ()
    heat: str = ""
    unit: str = "words"
    pair: bool = False
    said: str | None = None
    heard: str | None = None
    sort: str = "worst"
    page: int = 1
    open: str = ""
    mark: str = ""
    what: str = ""

    @property
    def query(self) -> str:
        """The filter as evals.filters writes it."""
        return filters.query(self.conditions)


def read(address: str) -> View:
    """The address's query -> View; what it says wrongly of the view, and what others put behind links that are passed
    on, is as if it were not said.

    Raises ConfigError for a filter that evals.filters cannot read.
    """
    address = address.encode("utf-8", "replace").decode()  # halves of letters are in no text
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    texts: dict[str, str] = {}
    rest = []
    for key, value in parse_qsl(address.removeprefix("?"), keep_blank_values=True):
        if key in lists:
            lists[key].append(value)
        elif key in _TEXTS:
            texts[key] = value
        elif not _FOREIGN.fullmatch(key):
            rest.append((key, value))
    page = texts.get("leaf", "")
    return View(
        results=tuple(dict.fromkeys(filter(None, lists["results"])))[:MOST_RESULTS],
        conditions=filters.parse(urlencode(rest)),
        view=_one(texts.get("view"), tuple(VIEWS)),
        by=tuple(dict.fromkeys(filter(None, lists["by"]))),
        heat=texts.get("heat", ""),
        unit=_one(texts.get("unit"), ("words", "characters")),
        pair="said" in texts or "heard" in texts,
        said=texts.get("said"),
        heard=texts.get("heard"),
        sort=_one(texts.get("sort"), tuple(ORDERS)),
        page=max(1, int(page)) if page.isdecimal() and len(page) < 9 else 1,
        open=texts.get("open", ""),
        mark=texts.get("mark", ""),
        what=texts.get("what", ""),
    )


def _one(given: str | None, allowed: Sequence[str]) -> str:
    return given if given is not None and given in allowed else allowed[0]
