"""The page: its tabs, and what one does for another."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr
from gradio.themes import Base

from brushwork.studio import calls
from brushwork.studio.desk import Desk
from brushwork.studio.easel import Easel
from brushwork.studio.telling import QUIET
from brushwork.studio.wall import Wall

CSS = files("brushwork.studio").joinpath("page.css").read_text(encoding="utf-8")
# Fonts of the system: Gradio's own would be fetched from elsewhere.
THEME = Base(
    primary_hue="amber", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["monospace"]
)
HEAD = "<header class='bw-head'><h1>Brushwork</h1><p>Your photo, in the manner of any painting.</p></header>"


def build(desk: Desk) -> gr.Blocks:
    """The page as Gradio's Blocks."""
    with gr.Blocks(title="Brushwork", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(HEAD)
        easel, wall = Easel(desk), Wall(desk)
        with gr.Tabs() as tabs:
            with gr.Tab("Paint", id="paint"):
                easel.build(blocks)
            with gr.Tab("Gallery", id="gallery") as gallery:
                wall.build()
        taken_up = [tabs, *easel.materials, *easel.shows]
        gallery.select(wall.hang, None, wall.lists, **QUIET)
        wall.change.click(easel.take_up, wall.chosen, taken_up, **QUIET)
        wall.repeat.click(easel.repeat, [wall.chosen, easel.kept], [easel.kept, *taken_up], **QUIET)
        calls.offer(desk)
    return blocks
