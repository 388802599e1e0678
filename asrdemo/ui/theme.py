"""Colours and type, light and dark. Fonts come with Gradio: the page asks nothing of other hosts.

(Of IBM Plex Sans, Gradio ships whole Regular and Bold files, but a SemiBold of a few letters only.)

Blue and orange are the Okabe-Ito pair, apart for every common kind of colour vision; no meaning rests on colour alone.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color
from gradio.themes.utils.fonts import LocalFont

STATIC = Path(__file__).parent / "static"

BLUE = Color(
    name="blue", c50="#eef5fb", c100="#d9e9f6", c200="#b5d3ec", c300="#86b7de", c400="#4f95cc", c500="#2a78b5",
    c600="#1a6199", c700="#154e7c", c800="#134266", c900="#123853", c950="#0c2438",
)  # fmt: skip
SLATE = Color(
    name="slate", c50="#f7f8f9", c100="#eef0f2", c200="#dfe3e7", c300="#c5ccd3", c400="#929da8", c500="#66727e",
    c600="#4c5762", c700="#39424b", c800="#232a31", c900="#181d23", c950="#10141a",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """The theme of the whole page."""
    base = gr.themes.Base(
        primary_hue=BLUE,
        secondary_hue=BLUE,
        neutral_hue=SLATE,
        radius_size=gr.themes.sizes.radius_lg,
        text_size=gr.themes.sizes.text_md,
        font=[LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"],
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        color_accent="*primary_600",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="700",
        block_shadow="none",
        block_shadow_dark="none",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        table_even_background_fill="transparent",
        table_odd_background_fill="transparent",
        loader_color="*primary_600",
    )


def script(name: str) -> str:
    """A script of the static folder."""
    return (STATIC / name).read_text(encoding="utf-8")
