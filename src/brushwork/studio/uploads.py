"""Takes files in: decoded in a process of its own first, kept under an id, or gone."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from brushwork.errors import InputError
from brushwork.studio.folder import Folder, Upload, draw_id

PATIENCE = 60  # seconds for one file
AT_ONCE = BoundedSemaphore(2)  # decoding processes: each may take the memory of a whole picture


def receive(folder: Folder, file: Path, name: str, *, owner: str, max_bytes: int, max_pixels: int) -> Upload:
    """Take in a file that lies in the folder ``incoming``; nothing is left of one that is no picture.

    Raises InputError, in words about ``name``, for what cannot be decoded or is too large.
    """
    inside = file.resolve()
    if folder.incoming not in inside.parents or not inside.is_file():
        raise InputError("the upload did not arrive: try again")
    thumbnail = folder.incoming / f"{draw_id()}.webp"
    try:
        if inside.stat().st_size > max_bytes:
            raise InputError(
                f"{_short(name)} has more than {max_bytes // 1_000_000} MB: make it smaller first"
            )
        found = _decoded(inside, thumbnail, _short(name), max_pixels)
        upload = Upload(id=draw_id(), owner=owner, name=_short(name), **found)
        folder.add_upload(upload, inside, thumbnail)
    finally:
        thumbnail.unlink(missing_ok=True)
        _remove(inside, folder.incoming)
    return upload


def _decoded(file: Path, thumbnail: Path, name: str, max_pixels: int) -> dict[str, Any]:
    """What the decoding process says of a file."""
    # -P: without it modules of the folder that the studio was started in come first.
    program = [sys.executable, "-P", "-m", "brushwork.studio.decoding"]
    command = [*program, str(file), str(thumbnail), str(max_pixels)]
    with AT_ONCE:
        try:
            ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{name} takes too long to read: export it again") from error
    try:
        found: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        logging.getLogger(__name__).warning("decoding ended so: %s", ended.stderr.decode(errors="replace"))
        raise InputError(f"{name} cannot be read: export it again, as PNG or JPEG") from error
    if "error" in found:
        raise InputError(found["error"].replace("this file", name).partition(", or allow")[0])
    return found


def _remove(file: Path, incoming: Path) -> None:
    """Remove a file and, when it was the last there, the folder that it came in: equal files share one."""
    file.unlink(missing_ok=True)
    if file.parent != incoming:
        with contextlib.suppress(OSError):
            file.parent.rmdir()


def _short(name: str) -> str:
    """A file's name as text to show: its last part, printable, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(sign for sign in last if sign.isprintable())[:80] or "picture"
