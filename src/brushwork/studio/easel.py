"""The tab in which one picture is made: what it shows, and which of the desk's answers."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from brushwork.errors import BrushworkError, InputError
from brushwork.jobs import Stylize
from brushwork.recipes import read_recipe
from brushwork.studio import samples, stage
from brushwork.studio.bench import RAW, TICK, Bench
from brushwork.studio.controls import ADVANCED, MAIN, Control, asked, control, shown
from brushwork.studio.desk import Status
from brushwork.studio.folder import draw_id
from brushwork.studio.materials import id_of, ids_of, offer
from brushwork.studio.orders import usual
from brushwork.studio.queue import OPEN
from brushwork.studio.telling import SILENT, owner, sentence, telling

NAMES = (*MAIN, *ADVANCED)
KEPT = {"size", "strength", "seed", "stroke_size", "engine", "color_amount"}
"""What stays when another recipe is chosen that does not say it: one compares looks of one size."""

IMPRESSION = "A first impression. Paint makes the real picture"

Found = tuple[str | None, str] | None
"""What a page is to show before it paints: a picture, and words about it."""


class Easel(Bench):
    """The tab in which one picture is made."""

    def build(self, blocks: gr.Blocks) -> None:
        """Lay out the tab and wire it."""
        # Two, so that an answer about the one never puts back an older state of the other.
        self.kept = gr.BrowserState({}, storage_key="brushwork", secret="brushwork")
        self.own = gr.BrowserState({}, storage_key="brushwork-job", secret="brushwork")
        self._lay_out()
        self._wire(blocks)

    def _lay_out_materials(self) -> None:
        self.photo = gr.Image(
            label="Photo", sources=["upload", "clipboard"], type="filepath", height=210, buttons=[],
            elem_id="photo", placeholder="Drop a photo here, or click to choose",
        )  # fmt: skip
        self.photo_samples = offer("or a sample", samples.PHOTOS)
        self.paintings = gr.Gallery(
            label="Paintings, one or several", interactive=True, file_types=["image"], columns=3, height=210,
            buttons=[], elem_id="paintings", allow_preview=False, sources=["upload", "clipboard"],
        )  # fmt: skip
        self.painting_samples = offer("or a sample", samples.PAINTINGS)

    def _lay_out_controls(self) -> None:
        self.controls: list[Control] = [control(name) for name in MAIN]
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
        self.materials = [self.photo, self.paintings, *self.controls]
        self.shows = [
            self.job,
            self.seen,
            self.stage,
            self.news,
            self.stop,
            self.go_on,
            self.download,
            self.clock,
        ]
        pictures = (
            (self.photo, self.taken.take, self.photo_samples, self.taken.sample),
            (self.paintings, self._take_paintings, self.painting_samples, self._sample_painting),
        )
        for place, take, offered, choose in pictures:
            self.changed(place.upload(take, place, place, **RAW).success)
            self.changed(offered.input(choose, offered, place, **SILENT).success)
        self.controls[NAMES.index("recipe")].input(self._recipe, {*self.controls}, self.controls, **SILENT)
        for part in self.controls:
            self.changed(_edited(part))
        self.paint.click(self._paint, {*self.materials, self.own}, [self.kept, self.own, *self.shows], **RAW)
        self._wire_job()
        blocks.load(
            self._restore,
            [self.kept, self.own],
            [self.kept, self.own, *self.materials, *self.shows],
            **SILENT,
        )

    def changed(self, event: Any) -> None:
        """After this event: remember what the page asks for, and show a first picture of it."""
        last: dict[str, Any] = {**SILENT, "trigger_mode": "always_last"}
        before, found = gr.State(), gr.State()
        now = [self.job, self.seen]
        step = event(self._remember_at, {*self.materials, *now}, [self.kept, before], **last)
        for answer in (self._sketch, self._foretell):
            step = step.success(answer, {*self.materials, self.job}, found, **last)
            step = step.success(self._lay, [found, before, *now], [self.stage, self.news], **last)

    # ----------------------------------------------------------------------------------------- the answers

    def _take_paintings(self, sent: Any, request: gr.Request) -> list[str]:
        taken: list[str] = []
        for item in sent or []:
            try:
                taken.append(self.taken.take(item["image"], request))
            except gr.Error as error:  # the others are still good
                gr.Warning(error.message)
        return taken

    def _sample_painting(self, name: str) -> list[str]:
        return [self.taken.sample(name)]

    def _recipe(self, values: dict[Component, Any]) -> list[Any]:
        """Show what a recipe says; what it says nothing of, as size and seed, stays."""
        now = {name: values[part] for name, part in zip(NAMES, self.controls, strict=True)}
        with telling():
            said = read_recipe(now["recipe"]).settings
            same = usual(now["recipe"])
        kept = {"recipe", *(KEPT - said.keys())}
        return [now[name] if name in kept else shown(name, same[name]) for name in NAMES]

    def _asked(self, values: dict[Component, Any]) -> tuple[str, list[str], dict[str, Any]]:
        """The pictures' ids, and the options that differ from the recipe's."""
        content = id_of(values[self.photo])
        styles = ids_of(values[self.paintings])
        if not content:
            raise InputError("drop a photo first")
        if not styles:
            raise InputError("drop a painting first")
        controls = {name: values[part] for name, part in zip(NAMES, self.controls, strict=True)}
        if self.desk.has_network(styles):  # it can do nothing else
            controls["engine"] = "feedforward"
        return content, styles, asked(controls)

    def _remember_at(self, values: dict[Component, Any]) -> list[Any]:
        """With the painting that the page shows at this time."""
        return [self._remember(values), [values[self.job], values[self.seen]]]

    def _sketch(self, values: dict[Component, Any], request: gr.Request) -> Found:
        """The first picture."""
        try:
            if not (job := self._meant(values, request)):
                return None
            id = self.desk.sketches.draw(job)
            ratio = self.desk.ratio(id_of(values[self.photo]) or "", owner(request))
        except BrushworkError as error:
            return None, stage.words(sentence(error), trouble=True)
        picture = stage.picture(f"studio/sketch/{id}.webp", "a first impression", ratio)
        return picture, stage.words(IMPRESSION + ".")

    def _foretell(self, values: dict[Component, Any], request: gr.Request) -> Found:
        """What the painting will take."""
        try:
            if not (job := self._meant(values, request)):
                return None
            return None, stage.words(f"{IMPRESSION}: {self.desk.sketches.foretell(job)}.")
        except BrushworkError as error:
            return None, stage.words(sentence(error), trouble=True)

    def _lay(self, found: Found, before: list[Any], job: str, seen: int) -> list[Any]:
        """Show what was found, unless another painting was begun or shown meanwhile."""
        if not found or before != [job, seen]:
            return [gr.skip(), gr.skip()]
        picture, words = found
        return [picture or gr.skip(), words]

    def _meant(self, values: dict[Component, Any], request: gr.Request) -> Stylize | None:
        """The job that the page asks for; None while pictures are missing or one is being painted."""
        if not (id_of(values[self.photo]) and ids_of(values[self.paintings])):
            return None
        if self._is_open(values[self.job], request):
            return None
        content, styles, options = self._asked(values)
        _, job = self.desk.ticket(content, styles, options, owner=owner(request), session="")
        return job

    def _is_open(self, id: str, request: gr.Request) -> bool:
        """Whether a job waits or is being painted; one that was deleted is not."""
        try:
            return bool(id) and self.desk.status(id, owner(request)).state in OPEN
        except InputError:
            return False

    def _paint(self, values: dict[Component, Any], request: gr.Request) -> list[Any]:
        own = {"session": draw_id()} | (values[self.own] or {})
        with telling():
            content, styles, options = self._asked(values)
            ticket = self.desk.paint(content, styles, options, owner=owner(request), session=own["session"])
        own["job"] = ticket.id
        return [self._remember(values), own, *self._shows(ticket.id, 0, request)]

    def _remember(self, values: dict[Component, Any]) -> dict[str, Any]:
        """What a reload brings back: it is kept in the browser."""
        photo, paintings = id_of(values[self.photo]), ids_of(values[self.paintings])
        return {
            "photo": photo, "paintings": paintings, "values": [values[part] for part in self.controls]
        }  # fmt: skip

    def _restore(
        self, kept: dict[str, Any] | None, own: dict[str, Any] | None, request: gr.Request
    ) -> list[Any]:
        """The page as it was; what is not there any more is left out."""
        self.desk.is_seen.set()
        kept, own = kept or {}, {"session": draw_id()} | (own or {})
        photo = self.taken.known(kept.get("photo"), request)
        paintings = [known for id in kept.get("paintings") or [] if (known := self.taken.known(id, request))]
        values = kept.get("values") or []
        if len(values) != len(NAMES):  # kept by another version
            values = [gr.skip()] * len(NAMES)
        shows = self._shows_or_skips(own.get("job") or "", request)
        # What there is nothing of is left alone: someone may have been quick.
        return [kept, own, photo or gr.skip(), paintings or gr.skip(), *values, *shows]

    def take_up(self, id: str, request: gr.Request) -> list[Any]:
        """Show a job's pictures and settings, to change something."""
        with telling():
            options = dict(self.desk.folder.ticket(id, owner(request)).options)
        content, styles = options.pop("content"), options.pop("styles")
        same = usual(str(options.get("recipe", "default")), str(options.get("engine", "optimize"))) | options
        paintings = [self.taken.known(style, request) for style in styles]
        values = [shown(name, same[name]) for name in NAMES]
        shows = self._shows(id, 0, request)
        return [
            gr.Tabs(selected="paint"),
            self.taken.known(content, request),
            [p for p in paintings if p],
            *values,
            *shows,
        ]

    def repeat(self, id: str, own: dict[str, Any] | None, request: gr.Request) -> list[Any]:
        """Paint a job once more, as it is."""
        own = {"session": draw_id()} | (own or {})
        with telling():
            options = dict(self.desk.folder.ticket(id, owner(request)).options)
            content, styles = options.pop("content"), options.pop("styles")
            whose = {"owner": owner(request), "session": own["session"]}
            ticket = self.desk.paint(content, styles, options, **whose)
        return [own | {"job": ticket.id}, *self.take_up(ticket.id, request)]

    def paint_with(self, network: str, request: gr.Request) -> list[Any]:
        """Take a trained network in place of paintings, at its full strength."""
        with telling():
            upload = self.desk.folder.upload(network, owner(request))
        values = [1.0 if name == "strength" else gr.skip() for name in NAMES]
        return [gr.Tabs(selected="paint"), [(self.taken.small(upload.id), "network")], *values]

    def _shows(self, id: str, seen: int, request: gr.Request) -> list[Any]:
        with telling():
            status = self.desk.status(id, owner(request))
        is_open = status.state in OPEN
        return [
            id,
            status.version,
            self._picture(status, seen),
            stage.news(status),
            gr.update(visible=is_open),
            gr.update(visible=status.state in ("stopped", "failed")),
            gr.update(
                visible=not is_open and self.desk.folder.picture(id).is_file(),
                link=f"studio/job/{id}/picture.png",
            ),
            gr.Timer(TICK, active=is_open),
        ]

    def _picture(self, status: Status, seen: int) -> Any:
        if status.version == 0 or (status.version == seen and status.state in OPEN):
            return gr.skip()
        now, before = (f"studio/job/{status.id}/picture?v={version}" for version in (status.version, seen))
        if status.state in OPEN:
            return stage.picture(now, "the picture so far", status.ratio, behind=before if seen else "")
        photo = f"studio/photo/{status.photo}.webp"
        return stage.compared(photo, now, ("Photo", "Painting"), status.ratio)


def _edited(part: Control) -> Any:
    """The event by which someone has finished to change a control."""
    if isinstance(part, gr.Slider):
        return part.release
    return part.blur if isinstance(part, gr.Textbox) else part.input
