"""The tab in which a painting becomes a network: start a training, watch it, paint with what it learnt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.components import Component

from brushwork.errors import InputError
from brushwork.studio import lessons, samples, stage
from brushwork.studio.bench import RAW, TICK, Bench
from brushwork.studio.controls import Control, asked_lesson, lesson_control
from brushwork.studio.desk import Status
from brushwork.studio.folder import Ticket, draw_id
from brushwork.studio.materials import id_of, ids_of, offer
from brushwork.studio.queue import OPEN
from brushwork.studio.telling import QUIET, SILENT, owner, telling

MAIN = ("steps", "crop", "style_size", "adjustable")
NAMES = (*MAIN, *(name for name in lessons.OFFERED if name not in MAIN))
EMPTY = (
    '<div class="bw-stage bw-empty"><p>A painting becomes a network that paints any photo in a moment.<br>'
    "Drop the painting, and photos to learn from.</p></div>"
)
PHOTOS = "Photos to learn from: hundreds, of all kinds"


class School(Bench):
    """The tab in which networks are trained."""

    def build(self, tab: gr.Tab) -> None:
        """Lay out the tab and wire it; what it shows is asked for when the tab is chosen, not before."""
        self.kept = gr.BrowserState({}, storage_key="brushwork-training", secret="brushwork")
        self.ids = gr.State(list[str]())
        self._lay_out()
        self._wire(tab)

    def _lay_out_materials(self) -> None:
        self.painting = gr.Image(
            label="Painting", sources=["upload", "clipboard"], type="filepath", height=210, buttons=[],
            elem_id="train-painting", placeholder="Drop a painting here, or click to choose",
        )  # fmt: skip
        self.painting_samples = offer("or a sample", samples.PAINTINGS)
        host = " [or the studio's own]" if self.desk.options.photos else ""
        self.photos = gr.Gallery(
            label=PHOTOS + host, interactive=True, file_types=["image"], columns=5, height=210, buttons=[],
            elem_id="train-photos", allow_preview=False, sources=["upload"],
        )  # fmt: skip

    def _lay_out_controls(self) -> None:
        self.controls: list[Control] = [lesson_control(name) for name in MAIN]
        with gr.Accordion("Advanced", open=False):
            self.controls += [lesson_control(name) for name in NAMES if name not in MAIN]

    def _lay_out_picture(self) -> None:
        self.stage = gr.HTML(EMPTY, elem_id="train-stage")
        self.news = gr.HTML("", elem_id="train-news")
        with gr.Row(elem_classes="bw-actions"):
            self.train = gr.Button("Train", variant="primary", elem_id="train")
            self.stop = gr.Button("Stop", visible=False, elem_id="train-stop")
            self.go_on = gr.Button("Go on", visible=False, elem_id="train-go-on")
            self.use = gr.Button("Paint with it", visible=False, elem_id="use")
            self.download = gr.Button("Download", visible=False, elem_id="train-download", link="#")
            self.delete = gr.Button("Delete", visible=False, elem_id="train-delete")
            self.sure = gr.Button("Yes, delete it", variant="stop", visible=False, elem_id="train-sure")
        self.command = gr.Textbox(
            label="As a command line", buttons=["copy"], interactive=False, lines=2, visible=False,
            elem_id="train-command",
        )  # fmt: skip
        self.networks = gr.Gallery(
            label="Trainings", columns=6, height="auto", allow_preview=False, buttons=[], visible=False,
            object_fit="cover", elem_id="networks",
        )  # fmt: skip

    # --------------------------------------------------------------------------------------------- wiring

    def _wire(self, tab: gr.Tab) -> None:
        self.materials = [self.painting, self.photos, *self.controls]
        buttons = [self.stop, self.go_on, self.use, self.download, self.delete, self.sure]
        self.shows = [self.job, self.seen, self.stage, self.news, *buttons, self.command, self.clock]
        self.lists = [self.ids, self.networks]
        self.painting.upload(self.taken.take, self.painting, self.painting, **RAW)
        self.painting_samples.input(self.taken.sample, self.painting_samples, self.painting, **SILENT)
        self.photos.upload(self._take_photos, self.photos, [self.photos, self.news], **RAW)
        started = self.train.click(self._train, {*self.materials, self.kept}, [self.kept, *self.shows], **RAW)
        started.success(self.hang, None, self.lists, **SILENT)
        self.delete.click(lambda: gr.update(visible=True), None, self.sure, **SILENT)
        self.sure.click(self._delete, self.job, self.shows, **RAW).success(
            self.hang, None, self.lists, **SILENT
        )
        self.networks.select(self._choose, self.ids, self.shows, **QUIET)
        self._wire_job()
        tab.select(self._return, [self.job, self.kept], self.shows, **SILENT)
        tab.select(self.hang, None, self.lists, **SILENT)

    # ----------------------------------------------------------------------------------------- the answers

    def _take_photos(self, sent: Any, request: gr.Request) -> Iterator[Any]:
        """Take in what was dropped, telling how many there are; what is no picture is left out."""
        taken: list[str] = []
        left: list[str] = []
        sent = sent or []
        for number, item in enumerate(sent, 1):
            try:
                taken.append(self.taken.take(item["image"], request))
            except gr.Error as error:
                left.append(error.message)
            if number % 5 == 0:
                yield gr.skip(), stage.progress(number / len(sent), f"Taking in {number} of {len(sent)} …")
        told = f"{len(taken)} photos." + (f" Left out: {'; '.join(left[:3])}" if left else "")
        yield taken, stage.words(told, trouble=bool(left))

    def _train(self, values: dict[Component, Any], request: gr.Request) -> list[Any]:
        kept = {"session": draw_id()} | (values[self.kept] or {})
        with telling():
            style = id_of(values[self.painting])
            if not style:
                raise InputError("drop a painting first")
            options = asked_lesson(
                {name: values[part] for name, part in zip(NAMES, self.controls, strict=True)}
            )
            whose = {"owner": owner(request), "session": kept["session"]}
            ticket = self.desk.train(style, ids_of(values[self.photos]), options, **whose)
        return [kept | {"job": ticket.id}, *self._shows(ticket.id, 0, request)]

    def hang(self, request: gr.Request) -> list[Any]:
        """The trainings that there are, the newest first."""
        tickets = self.desk.folder.tickets(owner(request), "network")
        shown = [(self.taken.small(ticket.options["style"]), self._named(ticket)) for ticket in tickets]
        return [[ticket.id for ticket in tickets], gr.update(value=shown, visible=bool(shown))]

    def _named(self, ticket: Ticket) -> str:
        """A training by its painting."""
        with telling():
            return self.desk.folder.upload(ticket.options["style"], ticket.owner).title

    def _choose(self, ids: list[str], event: gr.SelectData, request: gr.Request) -> list[Any]:
        return self._shows(ids[event.index], 0, request)

    def _return(self, id: str, kept: dict[str, Any] | None, request: gr.Request) -> list[Any]:
        """The training that is looked at, or else what this browser began last."""
        return self._shows_or_skips(id or (kept or {}).get("job") or "", request)

    def _delete(self, id: str, request: gr.Request) -> list[Any]:
        with telling():
            self.desk.delete(id, owner(request))
        gone = gr.update(visible=False)
        return ["", 0, EMPTY, stage.words("Deleted."), *[gone] * 6, gone, gr.Timer(TICK, active=False)]

    def _shows(self, id: str, seen: int, request: gr.Request) -> list[Any]:
        with telling():
            status = self.desk.status(id, owner(request))
            ticket = self.desk.folder.ticket(id, owner(request))
            command = lessons.as_command(ticket, self.desk.folder)
        is_open, version = status.state in OPEN, status.version + self.desk.curves(id)
        has_network = not is_open and self.taken.known(id, request) is not None
        return [
            id,
            version,
            gr.skip() if version == seen else self._picture(status),
            stage.news(status),
            gr.update(visible=is_open),
            gr.update(visible=status.state in ("stopped", "failed")),
            gr.update(visible=has_network),
            gr.update(visible=has_network, link=f"studio/job/{id}/network.safetensors"),
            gr.update(visible=not is_open),
            gr.update(visible=False),
            gr.update(value=command, visible=True),
            gr.Timer(TICK, active=is_open),
        ]

    def _picture(self, status: Status) -> str:
        if not status.version:
            return EMPTY
        curves = self.desk.curves(status.id)
        return stage.lesson(
            f"studio/job/{status.id}/picture?v={status.version}",
            f"studio/job/{status.id}/curves?v={curves}" if curves else "",
        )
