"""Sheets whose pictures have words under them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from brushwork.encode import to_image
from brushwork.outputs.sheets import GAP

INK, PAPER = "#202020", "#ffffff"
Font = ImageFont.FreeTypeFont


class Cell(NamedTuple):
    """A picture (1, 3, h, w) and the lines under it."""

    picture: Tensor
    lines: tuple[str, ...]


def labelled(rows: Sequence[Sequence[Cell]], *, cell: int = 240) -> Tensor:
    """Rows of pictures, each fitted into a square of ``cell`` pixels above its lines; (1, 3, H, W)."""
    strips = [_strip(row, cell) for row in rows]
    width = max(strip.width for strip in strips)
    page = Image.new("RGB", (width, sum(strip.height for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return pixels_of(page)


def pixels_of(page: Image.Image) -> Tensor:
    """A drawn page as a picture (1, 3, H, W)."""
    return torch.from_numpy(np.asarray(page, np.float32) / 255).permute(2, 0, 1)[None]


def _strip(row: Sequence[Cell], cell: int) -> Image.Image:
    face = font(max(9, cell // 18))
    leading = round(1.3 * face.size)
    thumbnails = [_thumbnail(each.picture, cell) for each in row]
    tall = max(thumbnail.height for thumbnail in thumbnails)
    words = leading * max(len(each.lines) for each in row)
    strip = Image.new("RGB", (GAP + len(row) * (cell + GAP), GAP + tall + words + GAP), PAPER)
    pen = ImageDraw.Draw(strip)
    for column, (each, thumbnail) in enumerate(zip(row, thumbnails, strict=True)):
        left = GAP + column * (cell + GAP)
        strip.paste(thumbnail, (left, GAP + tall - thumbnail.height))
        for number, line in enumerate(each.lines):
            place = (left, GAP + tall + 2 + number * leading)
            pen.text(place, shortened(line, face, cell), fill=INK, font=face)
    return strip


def _thumbnail(picture: Tensor, cell: int) -> Image.Image:
    image = to_image(picture.clamp(0, 1), None)
    factor = cell / max(image.size)
    return image.resize([max(1, round(side * factor)) for side in image.size], Image.Resampling.LANCZOS)


@cache
def font(size: int) -> Font:
    """The letters of a sheet, so many pixels high."""
    import matplotlib  # its font has every sign that we write; Pillow's own is a small subset

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def shortened(line: str, face: Font, width: int) -> str:
    """As much of a line as fits, with an ellipsis in its middle: names differ at both ends."""
    if face.getlength(line) <= width:
        return line
    for kept in range(len(line) - 1, 1, -1):
        short = f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"
        if face.getlength(short) <= width:
            return short
    return "…"
