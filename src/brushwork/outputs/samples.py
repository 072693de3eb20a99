"""Samples of a generator as pictures: single, in strips and sheets, as a film; and curves of losses."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from brushwork.encode import to_array

GAP = 1  # samples' pixels between them
ZOOM = 4  # of a strip
FILM_ZOOM = 10


def png(levels: NDArray[np.uint8]) -> bytes:
    """Grey (h, w) or RGB (h, w, 3) levels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def stretched(sample: Tensor) -> bytes:
    """A sample (1, h, w) as Keras's ``array_to_img`` saves it: from its own minimum to its own maximum."""
    values = sample - sample.min()
    return png(to_array((values / values.max().clamp(min=1e-12))[None], rounding="truncate")[..., 0])


def strip(pictures: Tensor) -> bytes:
    """Samples (N, 1, h, w) in a row in matplotlib's Greys: 0 is white, 1 black."""
    from matplotlib import colormaps

    row = sheet(pictures, columns=len(pictures), paper=0.0)[0]
    colours: Any = colormaps["Greys"](row.numpy(), bytes=True)
    return png(np.ascontiguousarray(_zoomed(colours[..., :3], ZOOM)))


def sheet(pictures: Tensor, *, columns: int, paper: float = 1.0) -> Tensor:
    """Samples (N, 1, h, w) in rows, (1, H, W)."""
    height, width = pictures.shape[-2:]
    rows = -(-len(pictures) // columns)
    page = torch.full((1, rows * (height + GAP) + GAP, columns * (width + GAP) + GAP), paper)
    for i, picture in enumerate(pictures.cpu()):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        page[:, top : top + height, left : left + width] = picture
    return page


def sheet_png(pictures: Tensor, *, columns: int, zoom: int) -> bytes:
    """``sheet`` as a grey PNG, each pixel a square of ``zoom``."""
    return png(_zoomed(to_array(sheet(pictures, columns=columns)[None])[..., 0], zoom))


def _zoomed(levels: NDArray[Any], zoom: int) -> NDArray[Any]:
    return levels.repeat(zoom, 0).repeat(zoom, 1)


def film(frames: Sequence[Tensor], *, zoom: int = FILM_ZOOM) -> bytes:
    """Frames (1, h, w), uint8, as an MP4 with squares for pixels."""
    from brushwork.outputs.film import Film

    height, width = (side * zoom for side in frames[0].shape[-2:])
    made = Film(width, height, len(frames))
    for number, frame in enumerate(frames):
        large = frame.repeat_interleave(zoom, -1).repeat_interleave(zoom, -2)
        made.add(large.float().div(255).expand(1, 3, -1, -1), number)
    return made.finish()


def curves(losses: NDArray[np.float64], names: Sequence[str]) -> bytes:
    """Losses (steps, names) over the steps as a PNG: each step's thin, their running mean thick."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes: Any = figure.add_subplot()
    window = max(1, len(losses) // 50)
    for column, (name, colour) in enumerate(
        zip(names, cycle(("#1f6f8b", "#c1440e", "#8a9a5b", "#222222", "#7a5195")), strict=False)
    ):
        values = losses[:, column]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=0.5, alpha=0.35)
        smooth = np.convolve(values, np.ones(window) / window, "valid")
        axes.plot(np.arange(window, len(values) + 1), smooth, color=colour, linewidth=1.8, label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "brushwork"})
    return buffer.getvalue()
