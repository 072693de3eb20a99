"""The page: its tabs, and what one does for another."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr
from gradio.themes import Base

from brushwork.studio import calls
from brushwork.studio.desk import Desk
from brushwork.studio.easel import Easel
from brushwork.studio.school import School
from brushwork.studio.telling import QUIET, SILENT
from brushwork.studio.wall import Wall

CSS = files("brushwork.studio").joinpath("page.css").read_text(encoding="utf-8")
# Fonts of the system: Gradio's own would be fetched from elsewhere.
INK, DIM, DIM_DARK = "#9c3d1c", "#5f5a55", "#b5afa9"  # burnt sienna; greys that can be read
THEME = Base(
    primary_hue="orange", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["monospace"]
).set(
    button_primary_background_fill=INK,
    button_primary_background_fill_dark=INK,
    button_primary_background_fill_hover="#7f3016",
    button_primary_background_fill_hover_dark="#b44a24",
    slider_color=INK,
    color_accent=INK,
    body_text_color_subdued=DIM,
    body_text_color_subdued_dark=DIM_DARK,
    block_label_text_color=DIM,
    block_label_text_color_dark=DIM_DARK,
    block_info_text_color=DIM,
    block_info_text_color_dark=DIM_DARK,
    block_title_text_color="*body_text_color",
)
HEAD = "<header class='bw-head'><h1>Brushwork</h1><p>Your photo, in the manner of any painting.</p></header>"


def build(desk: Desk) -> gr.Blocks:
    """The page as Gradio's Blocks."""
    with gr.Blocks(title="Brushwork", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(HEAD)
        easel, wall, school = Easel(desk), Wall(desk), School(desk)
        with gr.Tabs() as tabs:
            with gr.Tab("Paint", id="paint"):
                easel.build(blocks)
            with gr.Tab("Gallery", id="gallery") as gallery:
                wall.build()
            with gr.Tab("Train", id="train") as training:
                school.build(training)
        taken_up = [tabs, *easel.materials, *easel.shows]
        gallery.select(wall.hang, None, wall.lists, **SILENT)
        wall.change.click(easel.take_up, wall.chosen, taken_up, **QUIET)
        wall.repeat.click(easel.repeat, [wall.chosen, easel.own], [easel.own, *taken_up], **QUIET)
        chosen = school.use.click(
            easel.paint_with, school.job, [tabs, easel.paintings, *easel.controls], **QUIET
        )
        easel.changed(chosen.success)
        calls.offer(desk)
    return blocks
