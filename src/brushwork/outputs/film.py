"""The film of an optimisation."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from torch import Tensor

from brushwork.encode import to_array
from brushwork.images import resize

MOST_FRAMES = 600  # a longer run shows every second evaluation, or third …
FRAMES_PER_SECOND = 25


class Film:
    """An H.264 film (MPEG-4 where the build has no x264) of pictures at one size, kept in memory.

    25 frames a second; a long optimisation makes some 10 MB.
    """

    def __init__(self, width: int, height: int, evaluations: int) -> None:
        import av

        self._every = -(-evaluations // MOST_FRAMES)
        self._skipped: Tensor | None = None  # the latest, when its turn had not come
        self._size = (height, width)
        self._buffer = io.BytesIO()
        self._container: Any = av.open(self._buffer, "w", format="mp4")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream: Any = self._container.add_stream(codec, rate=FRAMES_PER_SECOND)
        # Chroma is stored at half size, so odd sides get one more row or column.
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "18"}

    def add(self, image: Tensor, evaluation: int) -> None:
        """Add a picture (1, 3, h, w) of any scale, if its turn has come; the last one is always shown."""
        self._skipped = image if evaluation % self._every else None
        if self._skipped is None:
            self._show(image)

    def _show(self, image: Tensor) -> None:
        import av

        height, width = self._size
        pixels = to_array(resize(image.detach().cpu().clamp(0, 1), height, width, "bicubic"))
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._mux(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))

    def finish(self) -> bytes:
        """The whole film as an MP4 file."""
        if self._skipped is not None:
            self._show(self._skipped)
        self._mux(None)
        self._container.close()
        return self._buffer.getvalue()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
