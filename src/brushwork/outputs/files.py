"""Files that are whole or absent: checked before the work, written under a temporary name, renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from brushwork.errors import OutputError


def check_place(path: Path, *, overwrite: bool, need: int = 0) -> None:
    """Raise OutputError when ``path`` exists, its folder cannot be written to or lacks ``need`` bytes."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file name")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: give another name or --overwrite")
    check_folder(path.parent, need)


def check_folder(folder: Path, need: int = 0) -> None:
    """Raise OutputError when a folder is missing, cannot be written to or lacks ``need`` bytes."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}: choose a folder that can be written to") from error
    if free < need:
        raise OutputError(
            f"{folder}: {free / 1e6:.0f} MB free and {need / 1e6:.0f} MB needed: free some space"
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises OutputError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}: choose another folder") from error


def write(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` is either the old file or the whole new one.

    Raises OutputError when it cannot be written; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}: nothing was written there") from error


def write_or_rescue(path: Path, content: bytes) -> Path:
    """Write a result; when its place fails after all the work, put it in the temporary folder instead.

    Returns where it is when that is ``path``; raises OutputError that names the rescued file otherwise.
    """
    try:
        write(path, content)
    except OutputError as error:
        rescue = Path(tempfile.gettempdir()) / f"brushwork-{os.getpid()}-{path.name}"
        write(rescue, content)
        raise OutputError(f"{error}; the picture was saved as {rescue}") from error
    return path
