"""What the tabs share in which something is made: three columns, and the course of one job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gradio as gr

from brushwork.studio import stage
from brushwork.studio.desk import Desk
from brushwork.studio.materials import Materials
from brushwork.studio.telling import QUIET, SILENT, owner, telling

TICK = 1.0  # seconds between two looks at a job
RAW: dict[str, Any] = {**QUIET, "preprocess": False}


class Bench(ABC):
    """A tab with materials, what becomes of them, and controls."""

    job: gr.State  # the id of the job that is looked at
    seen: gr.State  # the version of it that the page shows
    news: gr.HTML
    stop: gr.Button
    go_on: gr.Button
    clock: gr.Timer
    shows: list[Any]  # the components of ``_shows``

    def __init__(self, desk: Desk) -> None:
        self.desk, self.taken = desk, Materials(desk)

    def _lay_out(self) -> None:
        self.job, self.seen = gr.State(""), gr.State(0)
        with gr.Row(elem_classes="bw-easel"):
            with gr.Column(min_width=0, elem_classes="bw-materials"):
                self._lay_out_materials()
            with gr.Column(min_width=0, elem_classes="bw-picture"):
                self._lay_out_picture()
            with gr.Column(min_width=0, elem_classes="bw-controls"):
                self._lay_out_controls()
        self.clock = gr.Timer(TICK, active=False)

    def _wire_job(self) -> None:
        self.stop.click(self._stop, self.job, self.news, **RAW)
        self.go_on.click(self._go_on, self.job, self.shows, **RAW)
        self.clock.tick(self._look, [self.job, self.seen], self.shows, **SILENT)

    @abstractmethod
    def _lay_out_materials(self) -> None: ...

    @abstractmethod
    def _lay_out_picture(self) -> None: ...

    @abstractmethod
    def _lay_out_controls(self) -> None: ...

    @abstractmethod
    def _shows(self, id: str, seen: int, request: gr.Request) -> list[Any]:
        """A job as it is now. Raises gr.Error when there is none of that id."""

    def _shows_or_skips(self, id: str, request: gr.Request) -> list[Any]:
        try:
            return self._shows(id, 0, request)
        except gr.Error:
            return [gr.skip()] * len(self.shows)

    def _stop(self, id: str, request: gr.Request) -> str:
        with telling():
            self.desk.stop(id, owner(request))
        return stage.words("Stopping …")

    def _go_on(self, id: str, request: gr.Request) -> list[Any]:
        with telling():
            self.desk.go_on(id, owner(request))
        return self._shows(id, 0, request)

    def _look(self, id: str, seen: int, request: gr.Request) -> list[Any]:
        """What has happened since the last look; a job that was deleted elsewhere is let go."""
        try:
            return self._shows(id, seen, request) if id else [gr.skip()] * len(self.shows)
        except gr.Error as error:
            gone = {
                self.job: "",
                self.news: stage.words(str(error.message)),
                self.clock: gr.Timer(active=False),
                self.stop: gr.update(visible=False),
                self.go_on: gr.update(visible=False),
            }
            return [gone.get(part, gr.skip()) for part in self.shows]
