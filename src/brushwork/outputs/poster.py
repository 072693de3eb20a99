"""A poster: variations in labelled rows and columns, with photo and paintings above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from PIL import Image, ImageDraw
from torch import Tensor

from brushwork.encode import to_image
from brushwork.images import resize
from brushwork.outputs.labels import font, pixels_of, shortened

PAPER, INK, PENCIL, BLANK = "#fdfcf9", "#262422", "#8b867e", "#efece5"
MARGIN, GAP = 36, 14  # pixels around everything, and between the cells


@dataclass(frozen=True)
class Labels:
    """The words on a poster; a heading is an option's name and its value."""

    title: str
    subtitle: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Tile:
    """One cell: its picture, or the word that stands there instead."""

    number: int
    row: int
    column: int
    picture: Tensor | None
    word: str = "not painted"


def poster(
    labels: Labels, originals: Sequence[Tensor], tiles: Sequence[Tile], cell: tuple[int, int]
) -> Tensor:
    """Draw it, (1, 3, H, W); ``cell`` is the height and width of a picture, ``originals`` stand on top."""
    height, width = cell
    small, plain = font(13), font(17)
    gutter = max((ceil(max(small.getlength(n), plain.getlength(v))) for n, v in labels.rows), default=0)
    left = MARGIN + (gutter + GAP if gutter else 0)
    strip = min(112, height)
    top = MARGIN + strip + 2 * GAP + (48 if labels.columns else GAP)
    across, down = (1 + max(place) for place in ([t.column for t in tiles], [t.row for t in tiles]))
    grid_width = across * width + (across - 1) * GAP
    size = (
        max(left + grid_width, _header_width(labels, originals, strip)) + MARGIN,
        top + down * height + (down - 1) * GAP + MARGIN,
    )
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    _header(page, draw, labels, originals, strip)
    for column, heading in enumerate(labels.columns):
        _heading(draw, heading, (left + column * (width + GAP) + width // 2, top - 28), "ms", width)
    for row, heading in enumerate(labels.rows):
        _heading(draw, heading, (left - GAP, top + row * (height + GAP) + height // 2 - 4), "rs", gutter)
    for tile in tiles:
        corner = (left + tile.column * (width + GAP), top + tile.row * (height + GAP))
        _tile(page, draw, tile, corner, cell)
    return pixels_of(page)


def _header_width(labels: Labels, originals: Sequence[Tensor], strip: int) -> int:
    """Where the header's words may end: up to 440 pixels of them are shown whole."""
    pictures = sum(_scaled_width(picture, strip) + GAP for picture in originals)
    words = max(font(24).getlength(labels.title), font(13).getlength(labels.subtitle))
    return MARGIN + pictures + GAP + min(440, int(words) + 1)


def _scaled_width(picture: Tensor, height: int) -> int:
    return max(1, round(picture.shape[-1] * height / picture.shape[-2]))


def _header(
    page: Image.Image, draw: ImageDraw.ImageDraw, labels: Labels, originals: Sequence[Tensor], strip: int
) -> None:
    x = MARGIN
    for picture in originals:
        thumbnail = to_image(resize(picture.cpu(), strip, _scaled_width(picture, strip), "area"))
        page.paste(thumbnail, (x, MARGIN))
        x += thumbnail.width + GAP
    space = page.width - MARGIN - (x := x + GAP)
    for text, size, colour, y in ((labels.title, 24, INK, 36), (labels.subtitle, 13, PENCIL, 62)):
        face = font(size)
        draw.text((x, MARGIN + y), shortened(text, face, space), fill=colour, font=face, anchor="ls")


def _heading(
    draw: ImageDraw.ImageDraw, heading: tuple[str, str], place: tuple[int, int], anchor: str, space: int
) -> None:
    """The option's name in pencil, its value in ink below."""
    for text, size, colour, drop in ((heading[0], 13, PENCIL, 0), (heading[1], 17, INK, 20)):
        face, (x, y) = font(size), place
        draw.text((x, y + drop), shortened(text, face, space), fill=colour, font=face, anchor=anchor)


def _tile(
    page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], cell: tuple[int, int]
) -> None:
    (x, y), (height, width) = corner, cell
    if tile.picture is None:
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=BLANK)
        middle = (x + width // 2, y + height // 2)
        draw.text(middle, tile.word, fill=PENCIL, font=font(13), anchor="mm")
    else:
        image = to_image(tile.picture)
        page.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
    # The number stands on a notch of paper cut out of the picture's corner.
    face, number = font(14), str(tile.number)
    notch = (x, y + height - 20, x + int(face.getlength(number)) + 10, y + height)
    draw.rectangle(notch, fill=PAPER)
    draw.text((x + 2, y + height - 3), number, fill=INK, font=face, anchor="ls")
