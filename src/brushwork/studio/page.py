"""The page: its parts, and which of the desk's answers each one shows."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from brushwork.errors import BrushworkError, InputError
from brushwork.studio import samples, stage
from brushwork.studio.controls import ADVANCED, MAIN, asked, control, shown
from brushwork.studio.desk import Desk, Status
from brushwork.studio.folder import draw_id
from brushwork.studio.guard import EVERYBODY
from brushwork.studio.orders import usual
from brushwork.studio.queue import OPEN

CSS = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
THEME = gr.themes.Base(
    primary_hue="stone", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["monospace"]
)
NAMES = (*MAIN, *ADVANCED)
ID = re.compile(r"([0-9a-f]{32})\.webp")
TICK = 1.0  # seconds between two looks at a job


def build(desk: Desk) -> gr.Blocks:
    """The page as Gradio's Blocks."""
    with gr.Blocks(title="Brushwork", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML('<header class="bw-head"><h1>Brushwork</h1><p>Your photo, in the manner of any painting.</p></header>')
        with gr.Tabs():
            with gr.Tab("Paint"):
                Easel(desk).build(blocks)
    return blocks


class Easel:
    """The tab in which one picture is made."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def build(self, blocks: gr.Blocks) -> None:
        """Lay out the tab and wire it."""
        self.kept = gr.BrowserState({}, storage_key="brushwork", secret="brushwork")
        self.job, self.seen = gr.State(""), gr.State(0)
        with gr.Row(elem_classes="bw-paint"):
            with gr.Column(scale=2, min_width=320):
                self._lay_out_materials()
            with gr.Column(scale=5, min_width=320):
                self._lay_out_picture()
        self.clock = gr.Timer(TICK, active=False)
        self._wire(blocks)

    def _lay_out_materials(self) -> None:
        self.photo = gr.Image(
            label="Photo", sources=["upload", "clipboard"], type="filepath", height=210, buttons=[],
            elem_id="photo", placeholder="Drop a photo here, or click to choose",
        )  # fmt: skip
        self.photo_samples = _samples("Or a sample photo", samples.PHOTOS)
        self.paintings = gr.Gallery(
            label="Paintings, one or several", interactive=True, file_types=["image"], columns=3, height=210,
            buttons=[], elem_id="paintings", allow_preview=False, sources=["upload", "clipboard"],
        )  # fmt: skip
        self.painting_samples = _samples("Or a sample painting", samples.PAINTINGS)
        self.controls = [control(name) for name in MAIN]
        with gr.Accordion("Advanced", open=False):
            self.controls += [control(name) for name in ADVANCED]

    def _lay_out_picture(self) -> None:
        self.stage = gr.HTML(stage.EMPTY, elem_id="stage")
        self.news = gr.HTML("", elem_id="news")
        with gr.Row(elem_classes="bw-actions"):
            self.paint = gr.Button("Paint", variant="primary", elem_id="paint")
            self.stop = gr.Button("Stop", visible=False, elem_id="stop")
            self.go_on = gr.Button("Go on", visible=False, elem_id="go-on")
            self.download = gr.Button("Download", visible=False, elem_id="download", link="#")

    # --------------------------------------------------------------------------------------------- wiring

    def _wire(self, blocks: gr.Blocks) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
        materials = {self.photo, self.paintings, *self.controls}
        sketch: dict[str, Any] = {
            "fn": self._sketch, "inputs": {*materials, self.job}, "outputs": [self.stage, self.news], **quiet
        }  # fmt: skip
        pictures = (
            (self.photo, self._take_photo, self.photo_samples, self._sample_photo),
            (self.paintings, self._take_paintings, self.painting_samples, self._sample_painting),
        )
        for place, take, offered, choose in pictures:
            place.upload(take, place, place, **quiet).success(**sketch)
            offered.input(choose, offered, place, **quiet).success(**sketch)
        self.controls[NAMES.index("recipe")].input(self._recipe, {*self.controls}, self.controls, **quiet)
        for part in self.controls:
            event = part.release if isinstance(part, gr.Slider) else part.input
            event(**sketch, trigger_mode="always_last")
        shows = [self.job, self.seen, self.stage, self.news, self.stop, self.go_on, self.download, self.clock]
        self.paint.click(self._paint, {*materials, self.kept}, [self.kept, *shows], **quiet)
        self.stop.click(self._stop, self.job, self.news, **quiet)
        self.go_on.click(self._go_on, self.job, shows, **quiet)
        self.clock.tick(self._look, {self.job, self.seen, self.photo}, shows, **quiet)

    # ----------------------------------------------------------------------------------------- the answers

    def _take_photo(self, sent: Any, request: gr.Request) -> str:
        return self._take(sent, request)

    def _take_paintings(self, sent: Any, request: gr.Request) -> list[str]:
        taken: list[str] = []
        for item in sent or []:
            try:
                taken.append(self._take(item["image"], request))
            except gr.Error as error:  # the others are still good
                gr.Warning(error.message)
        return taken

    def _take(self, sent: Any, request: gr.Request) -> str:
        """Take in a picture that the browser has sent, unless it is one of ours; its small version's path."""
        if id := _id_of(sent):
            return self._small(id)
        with telling():
            upload = self.desk.upload(Path(sent["path"]), sent.get("orig_name") or "", owner(request))
        return self._small(upload.id)

    def _small(self, id: str) -> str:
        return str(self.desk.folder.thumbnail(id))

    def _sample_photo(self, name: str) -> str:
        with telling():
            return self._small(self.desk.sample(name).id)

    def _sample_painting(self, name: str) -> list[str]:
        with telling():
            return [self._small(self.desk.sample(name).id)]

    def _recipe(self, values: dict[Component, Any]) -> list[Any]:
        """Show what a recipe says."""
        recipe = values[self.controls[NAMES.index("recipe")]]
        with telling():
            same = usual(recipe)
        return [recipe if name == "recipe" else shown(name, same[name]) for name in NAMES]

    def _asked(self, values: dict[Component, Any]) -> tuple[str, list[str], dict[str, Any]]:
        """The pictures' ids, and the options that differ from the recipe's."""
        content = _id_of(values[self.photo])
        styles = [id for item in values[self.paintings] or [] if (id := _id_of(item["image"]))]
        if not content:
            raise InputError("drop a photo first")
        if not styles:
            raise InputError("drop a painting first")
        controls = {name: values[part] for name, part in zip(NAMES, self.controls, strict=True)}
        return content, styles, asked(controls)

    def _sketch(self, values: dict[Component, Any], request: gr.Request) -> Iterator[Any]:
        """The first picture, and then what the painting will take."""
        if not (values[self.photo] and values[self.paintings]) or self._is_painting(values[self.job], request):
            yield gr.skip(), gr.skip()
            return
        with telling():
            content, styles, options = self._asked(values)
            whose = {"owner": owner(request), "session": ""}
            _, job = self.desk.ticket(content, styles, options, **whose)
            id = self.desk.sketches.draw(job)
        yield stage.picture(f"studio/sketch/{id}.webp", "a first impression"), stage.words(
            "A first impression. Paint makes the real picture."
        )
        with telling():
            took = self.desk.sketches.foretell(job)
        yield gr.skip(), stage.words(f"A first impression. Paint makes the real picture: {took}.")

    def _is_painting(self, id: str, request: gr.Request) -> bool:
        return bool(id) and self.desk.status(id, owner(request)).state in OPEN

    def _paint(self, values: dict[Component, Any], request: gr.Request) -> list[Any]:
        kept = dict(values[self.kept] or {})
        kept.setdefault("session", draw_id())
        with telling():
            content, styles, options = self._asked(values)
            ticket = self.desk.paint(content, styles, options, owner=owner(request), session=kept["session"])
        return [kept | {"job": ticket.id}, *self._shows(ticket.id, 0, content, request)]

    def _stop(self, id: str, request: gr.Request) -> str:
        with telling():
            self.desk.stop(id, owner(request))
        return stage.words("Stopping …")

    def _go_on(self, id: str, request: gr.Request) -> list[Any]:
        with telling():
            self.desk.go_on(id, owner(request))
        return self._shows(id, 0, None, request)

    def _look(self, values: dict[Component, Any], request: gr.Request) -> list[Any]:
        """What has happened since the last look."""
        content = _id_of(values[self.photo])
        return self._shows(values[self.job], values[self.seen], content, request)

    def _shows(self, id: str, seen: int, content: str | None, request: gr.Request) -> list[Any]:
        with telling():
            status = self.desk.status(id, owner(request))
        is_open = status.state in OPEN
        return [
            id,
            status.version,
            self._picture(status, seen, content),
            stage.news(status),
            gr.update(visible=is_open),
            gr.update(visible=status.state == "stopped"),
            gr.update(visible=not is_open and status.version > 0, link=f"studio/job/{id}/picture.png"),
            gr.Timer(TICK, active=is_open),
        ]

    def _picture(self, status: Status, seen: int, content: str | None) -> Any:
        if status.version == 0 or (status.version == seen and status.state in OPEN):
            return gr.skip()
        now, before = (f"studio/job/{status.id}/picture?v={version}" for version in (status.version, seen))
        if status.state == "done" and content:
            return stage.compared(f"studio/photo/{content}.webp", now, ("Photo", "Painting"))
        return stage.picture(now, "the picture so far", behind=before if seen else "")


def _samples(label: str, names: dict[str, str]) -> gr.Radio:
    return gr.Radio(list(names), label=label, container=False)


def _id_of(sent: Any) -> str | None:
    """The id of one of our pictures, as the browser sends it back."""
    found = ID.fullmatch(Path(sent["path"]).name) if sent and sent.get("path") else None
    return found[1] if found else None


def owner(request: gr.Request) -> str:
    """Whose browser it is."""
    return request.username or EVERYBODY


@contextmanager
def telling() -> Generator[None]:
    """Show a mistake in the page, in its own words."""
    try:
        yield
    except BrushworkError as error:
        text = str(error)
        raise gr.Error(text[:1].upper() + text[1:], print_exception=False, title="") from error
