"""Files that are whole or absent: checked before the work, written under a temporary name, renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import IO

from brushwork.errors import OutputError

Content = bytes | Callable[[IO[bytes]], None]
"""A file's bytes, or what writes them to an open file: a large picture's are never all there."""


def check_place(path: Path, *, overwrite: bool, need: int = 0) -> None:
    """Raise OutputError when ``path`` exists, its folder cannot be written to or lacks ``need`` bytes."""
    try:
        path.lstat()  # unlike exists(), it also tells of a name that is too long
    except (FileNotFoundError, NotADirectoryError):
        check_folder(path.parent, need)
        return
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}: choose another name") from error
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file name")
    if not overwrite:
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
            f"{folder}: {free // 1000:,} kB free and {-(-need // 1000):,} kB needed: free some space"
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises OutputError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}: choose another folder") from error


def write(path: Path, content: Content) -> None:
    """Write ``content`` so that ``path`` is either the old file or the whole new one.

    Raises OutputError when it cannot be written; the old file is then untouched.
    """
    # Shortened, since names end at 255 bytes; two threads may write files whose names begin alike.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}-{get_ident()}.part")
    try:
        with temporary.open("wb") as file:
            _put(file, content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}: nothing was written there") from error
    finally:  # also after Ctrl-C
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_or_rescue(path: Path, content: Content) -> Path:
    """Write a result; when its place fails after all the work, put it in the temporary folder instead.

    Returns where it is when that is ``path``; raises OutputError that names the rescued file otherwise.
    """
    try:
        write(path, content)
    except OutputError as error:
        raise OutputError(f"{error}; {_rescue(path.name, content)}") from error
    return path


def _rescue(name: str, content: Content) -> str:
    """Write to the temporary folder; says how that went."""
    try:
        place = Path(tempfile.gettempdir()) / f"brushwork-{os.getpid()}-{name[-40:]}"
        write(place, content)
    except (OSError, OutputError):
        return "the temporary folder cannot take it either"
    return f"it was saved as {place}"


def _put(file: IO[bytes], content: Content) -> None:
    if isinstance(content, bytes):
        file.write(content)
    else:
        content(file)


def write_standard_output(content: Content) -> None:
    """Write to standard output, at once. Raises OutputError when it is closed or full."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed before we began
        raise OutputError("standard output is closed: try -o FILE")
    try:
        _put(sys.stdout.buffer, content)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}: not all was written; try -o FILE") from error
