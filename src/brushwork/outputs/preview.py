"""The picture so far, for a viewer that reads its file anew when it changes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from brushwork.encode import encode_picture, format_of
from brushwork.images import Picture, resize
from brushwork.outputs import files
from brushwork.outputs.pace import Pace

EVERY = 2.0  # seconds
LONGEST = 1024  # pixels: a PNG of this size takes a quarter of a second, one of 4096 four seconds


class Preview:
    """A file that always holds a whole picture.

    It has the result's size at every scale, so that a viewer keeps its place, but no side above 1024 px.
    """

    def __init__(self, path: Path, height: int, width: int) -> None:
        factor = min(1, LONGEST / max(height, width))
        self._size = max(1, round(height * factor)), max(1, round(width * factor))
        self._path, self._pace = path, Pace(EVERY, at_once=True)

    def show(self, image: Tensor, *, now: bool = False) -> None:
        """Write a picture (1, 3, h, w) if it is time. Raises OutputError when that fails."""
        if not (now or self._pace.due):
            return
        with self._pace.timed():
            pixels = resize(image.detach().cpu().clamp(0, 1), *self._size, "bicubic")
            files.write(self._path, encode_picture(Picture(pixels), format_of(self._path)))
