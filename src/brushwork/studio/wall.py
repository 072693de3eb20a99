"""The tab with the results: look, compare, repeat, change, download, delete, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from brushwork.studio import orders, stage
from brushwork.studio.controls import label
from brushwork.studio.desk import Desk
from brushwork.studio.folder import Ticket
from brushwork.studio.queue import OPEN
from brushwork.studio.telling import QUIET, SILENT, owner, telling
from brushwork.styles import BUILTIN

NOTHING = "What you paint is kept here."


class Wall:
    """The gallery; ``take_up`` shows a job in the tab where pictures are made."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def build(self) -> None:
        """Lay out the tab and wire its own parts."""
        self.ids, self.chosen = gr.State(list[str]()), gr.State("")
        with gr.Row(elem_classes="bw-wall"):
            with gr.Column(scale=3, min_width=320):
                self.pictures = gr.Gallery(
                    label="Pictures", columns=3, height="auto", allow_preview=False, buttons=[],
                    object_fit="cover", elem_id="wall",
                )  # fmt: skip
            with gr.Column(scale=4, min_width=320, elem_classes="bw-side"):
                self.stage = gr.HTML(stage.words(NOTHING), elem_id="wall-stage")
                with gr.Column(visible=False) as self.about:
                    self._lay_out_about()
        self._wire()

    def _lay_out_about(self) -> None:
        with gr.Row(elem_classes="bw-actions"):
            self.change = gr.Button("Change something", variant="primary", elem_id="change")
            self.repeat = gr.Button("Paint again", elem_id="repeat")
            self.download = gr.Button("Download", elem_id="wall-download", link="#")
            self.delete = gr.Button("Delete", elem_id="delete")
            self.sure = gr.Button("Yes, delete it", variant="stop", visible=False, elem_id="sure")
        self.compare = gr.Checkbox(
            label="Compare: the next picture that you choose lies over this one", elem_id="compare"
        )
        self.command = gr.Textbox(
            label="As a command line", buttons=["copy"], interactive=False, lines=2, elem_id="command"
        )
        self.program = gr.Textbox(
            label="As Python", buttons=["copy"], interactive=False, lines=4, elem_id="program"
        )

    def _wire(self) -> None:
        shows = [
            self.chosen,
            self.stage,
            self.about,
            self.download,
            self.command,
            self.program,
            self.compare,
            self.sure,
        ]
        self.lists = [self.ids, self.pictures]
        self.pictures.select(self._choose, [self.ids, self.chosen, self.compare], shows, **QUIET)
        self.delete.click(lambda: gr.update(visible=True), None, self.sure, **SILENT)
        self.sure.click(self._delete, self.chosen, shows, **QUIET).then(self.hang, None, self.lists, **SILENT)

    def hang(self, request: gr.Request) -> tuple[list[str], list[tuple[str, str]]]:
        """The results that there are, the newest first; where nothing came of a job, its photo."""
        folder = self.desk.folder
        tickets = folder.tickets(owner(request), "picture")
        tickets = [t for t in tickets if folder.thumbnail(t.id).is_file() or t.state not in OPEN]
        return [t.id for t in tickets], [(str(self._small(t)), self._name(t)) for t in tickets]

    def _small(self, ticket: Ticket) -> Path:
        result = self.desk.folder.thumbnail(ticket.id)
        return result if result.is_file() else self.desk.folder.thumbnail(ticket.options["content"])

    def _name(self, ticket: Ticket) -> str:
        """Photo and painting, by their files' names."""
        ids = [ticket.options["content"], *ticket.options["styles"]]
        with telling():
            names = [
                id if BUILTIN.fullmatch(id) else self.desk.folder.upload(id, ticket.owner).title for id in ids
            ]
        return " × ".join(names)

    def _choose(
        self, ids: list[str], before: str, compare: bool, event: gr.SelectData, request: gr.Request
    ) -> list[Any]:
        with telling():
            ticket = self.desk.folder.ticket(ids[event.index], owner(request))
            name = self._name(ticket)
            now = f"studio/job/{ticket.id}/picture?v={self.desk.version(ticket)}"
            ratio = self.desk.ratio(ticket.options["content"], owner(request))
            if compare and before and before != ticket.id:
                other = self.desk.folder.ticket(before, owner(request))
                behind = f"studio/job/{before}/picture?v={self.desk.version(other)}"
                seen = stage.compared(behind, now, (self._said(other), self._said(ticket)), ratio)
            else:
                photo = f"studio/photo/{ticket.options['content']}.webp"
                if self.desk.version(ticket):
                    seen = stage.compared(photo, now, ("Photo", name), ratio)
                    seen += stage.words(self._said(ticket))
                else:
                    seen = stage.picture(photo, "the photo", ratio)
                    seen += stage.news(self.desk.status(ticket.id, ticket.owner))
            command, program = (
                orders.as_command(ticket, self.desk.folder),
                orders.as_python(ticket, self.desk.folder),
            )
        has_file = self.desk.folder.picture(ticket.id).is_file()
        link = gr.update(visible=has_file, link=f"studio/job/{ticket.id}/picture.png")
        return [
            ticket.id,
            seen,
            gr.update(visible=True),
            link,
            command,
            program,
            False,
            gr.update(visible=False),
        ]

    def _said(self, ticket: Ticket) -> str:
        """What was asked for besides the pictures."""
        asked = {name: value for name, value in ticket.options.items() if name not in ("content", "styles")}
        return (
            ", ".join(f"{label(name).lower()} {value}" for name, value in asked.items())
            or "as the recipe says"
        )

    def _delete(self, id: str, request: gr.Request) -> list[Any]:
        with telling():
            self.desk.delete(id, owner(request))
        gone = gr.update(visible=False)
        return ["", stage.words("Deleted."), gone, gr.skip(), "", "", False, gone]
