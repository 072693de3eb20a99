"""``brushwork studio``: the page, from the command line."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from brushwork.errors import InputError, MissingExtraError
from brushwork.studio.options import Options
from brushwork.surfaces.terminal import say
from brushwork.training.jobs import HUGGING_FACE

VARIABLE = "BRUSHWORK_STUDIO_AUTH"
BACKLOG = 2048  # uvicorn's own


def serve(options: Options) -> None:
    """Answer until Ctrl-C. Raises InputError, OutputError, MissingExtraError."""
    users = read_users(options.auth_file, os.environ.get(VARIABLE))
    if options.listen and not users:
        raise InputError(
            f"--listen lets other machines in: name who may with --auth-file FILE (NAME:PASSWORD a line) or "
            f"{VARIABLE}"
        )
    if (photos := options.photos) and not photos.startswith(HUGGING_FACE) and not Path(photos).exists():
        raise InputError(f"--photos {options.photos}: there is no such folder: check the spelling")
    if not find_spec("gradio"):
        raise MissingExtraError("the studio needs an extra: pip install 'brushwork[studio]'")
    import uvicorn

    from brushwork.studio.desk import Desk
    from brushwork.studio.server import LOCAL, application

    listener = _listen("0.0.0.0" if options.listen else "127.0.0.1", options.port)
    desk = Desk(options)
    app = application(desk, users, hosts=set() if options.listen else LOCAL)
    # Headers that name another sender are anybody's: each would have ten more passwords to try.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False)
    with alone(desk.folder.root):
        say(f"the studio is at http://127.0.0.1:{listener.getsockname()[1]} (Ctrl-C ends it)")
        uvicorn.Server(config).run([listener])


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Hold a folder as long as a studio works in it. Raises InputError when another one does."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"--folder {folder}: another studio works in it: give a folder of its own"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """A socket that is bound. Raises InputError when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # bound alone, another studio's would be bound beside it
    except OSError as error:
        listener.close()
        raise InputError(f"--port {port}: {error.strerror}: choose another, or 0 for any") from error
    return listener


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--auth-file {file}: cannot be read: give a text file") from error


def read_users(file: str | None, variable: str | None) -> dict[str, str]:
    """Names and passwords, one NAME:PASSWORD a line. Raises InputError for what is none."""
    texts = [text for text in (variable, file and _text(file)) if text]
    users: dict[str, str] = {}
    for number, line in enumerate("\n".join(texts).splitlines(), 1):
        name, colon, password = line.strip().partition(":")
        if not line.strip():
            continue
        if not (name and colon and len(password) >= 8) or "*" in name:  # the line itself is a secret
            raise InputError(f"line {number} of the passwords: write NAME:PASSWORD, 8 characters or more")
        users[name.strip()] = password
    if file and not users:
        raise InputError(f"--auth-file {file}: names nobody: write NAME:PASSWORD, one a line")
    return users
