"""The studio for other programs: Gradio's named endpoints (``gradio_client``), over the same desk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from brushwork.errors import InputError
from brushwork.studio.desk import Desk
from brushwork.studio.telling import owner, telling


def offer(desk: Desk) -> None:
    """Add the endpoints to the Blocks that are being built."""
    _offer_work(desk)
    _offer_jobs(desk)


def _offer_work(desk: Desk) -> None:
    def upload(file: dict[str, Any], request: gr.Request) -> str:
        """Take in a picture; returns its id."""
        with telling():
            if not isinstance(file.get("path"), str):
                raise InputError("send a file: handle_file(PATH)")
            return desk.upload(Path(file["path"]), str(file.get("orig_name") or ""), owner(request)).id

    def paint(photo: str, paintings: list[str], options: dict[str, Any], request: gr.Request) -> str:
        """Accept a job of an upload and others; options are those of `brushwork stylize`. Returns its id."""
        with telling():
            _check(list, paintings=paintings)
            _check(dict, options=options)
            session = f"client {request.session_hash or ''}"
            return desk.paint(photo, paintings, options, owner=owner(request), session=session).id

    def train(painting: str, photos: list[str], options: dict[str, Any], request: gr.Request) -> str:
        """Accept the training of a network; options are those of `brushwork train stylenet`.

        Takes the ids of an upload and of the photos to learn from (none: the studio's own). Returns the id of
        the job, and of the network to paint with when it is done.
        """
        with telling():
            _check(list, photos=photos)
            _check(dict, options=options)
            session = f"client {request.session_hash or ''}"
            return desk.train(painting, photos, options, owner=owner(request), session=session).id

    for call in (upload, paint, train):
        api(call, api_name=call.__name__, concurrency_limit=8)


def _check(kind: type, **given: object) -> None:
    """Raise InputError for what a program sent that is of another kind."""
    for name, value in given.items():
        if not isinstance(value, kind):
            raise InputError(f"{name} should be a {kind.__name__}, not {type(value).__name__}")


def _offer_jobs(desk: Desk) -> None:
    def status(job: str, request: gr.Request) -> dict[str, Any]:
        """How far a job is: state, fraction, seconds left, jobs ahead of it."""
        with telling():
            return asdict(desk.status(job, owner(request)))

    def stop(job: str, request: gr.Request) -> bool:
        """Stop a job; the picture so far is kept."""
        with telling():
            desk.stop(job, owner(request))
        return True

    def go_on(job: str, request: gr.Request) -> bool:
        """Go on with a job that was stopped."""
        with telling():
            desk.go_on(job, owner(request))
        return True

    def delete(job: str, request: gr.Request) -> bool:
        """Delete a job and its picture."""
        with telling():
            desk.delete(job, owner(request))
        return True

    def results(request: gr.Request) -> list[dict[str, Any]]:
        """The jobs that there are, the newest first."""
        return [ticket.model_dump() for ticket in desk.folder.tickets(owner(request))]

    for call in (status, stop, go_on, delete, results):
        api(call, api_name=call.__name__, concurrency_limit=8)
