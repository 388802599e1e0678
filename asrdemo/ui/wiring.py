"""Between plain handlers and Gradio: errors, progress, and which events share the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from asrdemo.errors import AsrDemoError
from asrdemo.types import Progress

PLAIN: dict[str, Any] = {"apply_default_css": False}
"""For gr.HTML: our own style sheet only, without Gradio's for running text."""

P = ParamSpec("P")
R = TypeVar("R")

MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""For every event that loads or runs a checkpoint, decodes, or builds a language model: one at a time."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


def told(handler: Callable[P, R]) -> Callable[P, R]:
    """Show our own errors on the page, as text. Any other error is a fault: Gradio logs it with its traceback."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except AsrDemoError as error:
            # Gradio shows messages as HTML, and ours quote file names and pasted text
            text = escape(str(error), quote=False)
            raise gr.Error(text, duration=20, title="That did not work", print_exception=False) from error

    return wrapper


def forgiving(slider: gr.Slider) -> gr.Slider:
    """A number typed beyond an end counts as that end, which is what the field shows a moment later; an emptied field
    counts as the value the page began with. Gradio would answer both with an exception.

    Not a subclass: for every one of those Gradio writes a .pyi file beside the module.
    """
    low, high, first = slider.minimum, slider.maximum, slider.value

    def preprocess(payload: float | None) -> float:
        return min(max(first if payload is None else payload, low), high)

    slider.preprocess = preprocess  # type: ignore[method-assign]
    return slider


def reporter(progress: gr.Progress) -> Progress:
    """Gradio's progress bar as the plain callable that the core knows."""

    def report(done: int, total: int, note: str) -> None:
        progress((done, total) if total else None, desc=note[:1].upper() + note[1:])

    return report
