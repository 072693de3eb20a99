"""The server: the page behind its guard, and the pictures."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from brushwork.errors import InputError
from brushwork.studio import stubs
from brushwork.studio.desk import Desk
from brushwork.studio.guard import USER, Guard

LOCAL = {"127.0.0.1", "localhost", "[::1]"}
PAGE_FIRST = 3.0  # seconds: beside the loading of torch the page is drawn in 2.4 s, alone in 1.5
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # another version has another address


def application(desk: Desk, users: dict[str, str], *, hosts: set[str]) -> Guard:
    """The whole studio as an ASGI application; it paints from its start to its end."""
    os.environ["GRADIO_TEMP_DIR"] = str(desk.folder.incoming)  # read when Gradio is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    stubs.leave_out()
    import gradio as gr

    from brushwork.studio.page import CSS, THEME, build

    @asynccontextmanager
    async def painting(app: FastAPI) -> AsyncGenerator[None]:
        Thread(target=_warm, args=(desk,), name="warming", daemon=True).start()
        yield
        desk.queue.close()

    app = FastAPI(lifespan=painting, docs_url=None, redoc_url=None, openapi_url=None)
    _serve_pictures(app, desk)
    gr.set_static_paths([desk.folder.shown])
    blocks = build(desk)
    blocks.queue(default_concurrency_limit=8, max_size=1000)
    page: Any = gr.mount_gradio_app(
        app,
        blocks,
        "/",
        auth_dependency=lambda request: request.scope[USER],
        max_file_size=desk.options.max_upload * 1_000_000,
        show_error=True,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        theme=THEME,
        css=CSS,
    )
    return Guard(page, users=users, hosts=hosts, max_bytes=desk.options.max_upload * 1_000_000)


def _warm(desk: Desk) -> None:
    """Load what takes seconds, once a page is drawn or nobody asks for one, and begin to paint."""
    desk.is_seen.wait(PAGE_FIRST)
    from brushwork.context import keep_freed_memory
    from brushwork.feedforward import shelf

    keep_freed_memory()
    desk.queue.start()
    desk.folder.sweep()
    shelf.predictor()
    shelf.plain(shelf.ARBITRARY)


def _serve_pictures(app: FastAPI, desk: Desk) -> None:
    """The pictures' addresses; each answers only to the owner, a first impression's to who knows its id."""

    def owner(request: Request) -> str:
        return request.scope[USER]

    @app.get("/studio/sketch/{id}.webp")
    def sketch(id: str) -> Response:
        found = desk.sketches.picture(id)
        return Response(found, media_type="image/webp", headers=FOREVER) if found else _missing()

    @app.get("/studio/photo/{id}.webp")
    def photo(id: str, request: Request) -> Response:
        return _file(lambda: desk.folder.thumbnail(desk.folder.upload(id, owner(request)).id))

    @app.get("/studio/job/{id}/picture")
    def picture(id: str, request: Request) -> Response:
        return _file(lambda: desk.shown(desk.folder.ticket(id, owner(request))))

    @app.get("/studio/job/{id}/curves")
    def curves(id: str, request: Request) -> Response:
        return _file(lambda: desk.folder.curves(desk.folder.ticket(id, owner(request)).id))

    @app.get("/studio/job/{id}/network.safetensors")
    def network(id: str, request: Request) -> Response:
        def find() -> Path:
            ticket = desk.folder.ticket(id, owner(request))
            return desk.folder.upload_file(desk.folder.upload(ticket.id, ticket.owner))

        return _file(find, "network.safetensors")

    @app.get("/studio/job/{id}/picture.png")
    def download(id: str, request: Request) -> Response:
        return _file(lambda: desk.folder.picture(desk.folder.ticket(id, owner(request)).id), "brushwork.png")


def _file(find: Callable[[], Path], name: str | None = None) -> Response:
    try:
        place = find()
    except InputError:
        return _missing()
    if not place.is_file():
        return _missing()
    return FileResponse(place, filename=name, headers={} if name else FOREVER)


def _missing() -> Response:
    return Response("it is not there any more", status_code=404, media_type="text/plain")
