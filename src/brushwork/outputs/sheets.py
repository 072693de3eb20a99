"""Sheets: several pictures on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from brushwork.images import resize
from brushwork.losses import high_pass

GAP = 8  # pixels between the pictures of a sheet
MAX_CELLS = 50
CELL = 320  # pixels, a cell's long side
PAPER = 1.0


def grid(pictures: Sequence[Tensor], *, columns: int | None = None) -> Tensor:
    """Pictures (1, 3, h, w) in rows of equal cells, at most ``MAX_CELLS``, evenly chosen; (1, 3, H, W)."""
    chosen = _evenly([picture.clamp(0, 1) for picture in pictures], MAX_CELLS)
    sizes = [_fit(picture.shape[-2:], CELL) for picture in chosen]
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    cells = [_within(picture, height, width) for picture in chosen]
    across = columns or _columns(len(cells))
    rows = [cells[i : i + across] for i in range(0, len(cells), across)]
    return _stack([_row(row, across) for row in rows])


def small(picture: Tensor) -> Tensor:
    """A picture (1, 3, h, w) no larger than a cell of the ``grid``: what need be kept of it until then."""
    if max(picture.shape[-2:]) <= CELL:
        return picture
    return resize(picture, *_fit(picture.shape[-2:], CELL), "area")


def _evenly(pictures: Sequence[Tensor], most: int) -> list[Tensor]:
    if len(pictures) <= most:
        return list(pictures)
    return [pictures[round(i * (len(pictures) - 1) / (most - 1))] for i in range(most)]


def _columns(count: int) -> int:
    """Twice as many columns as rows at least: ten snapshots make the blog post's 2×5."""
    return min(count, math.ceil(math.sqrt(2 * count)))


def _fit(size: Sequence[int], long_side: int) -> tuple[int, int]:
    factor = long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _row(cells: Sequence[Tensor], across: int) -> Tensor:
    blank = torch.full_like(cells[0], PAPER)
    padded = [*cells, *[blank] * (across - len(cells))]
    gap = torch.full_like(cells[0][..., :GAP], PAPER)[..., :1].expand(-1, -1, -1, GAP)
    parts = [part for cell in padded for part in (gap, cell)]
    return torch.cat([*parts, gap], dim=-1)


def _stack(rows: Sequence[Tensor]) -> Tensor:
    gap = torch.full_like(rows[0][..., :1, :], PAPER).expand(-1, -1, GAP, -1)
    parts = [part for row in rows for part in (gap, row)]
    return torch.cat([*parts, gap], dim=-2)


def comparison(photo: Tensor, painting: Tensor, result: Tensor) -> Tensor:
    """Photo and painting side by side above the result (the blog post's last figure); (1, 3, H, W)."""
    height, width = result.shape[-2:]
    half = max(1, (width - GAP) // 2)
    pair = [_within(picture, max(1, height // 2), half) for picture in (photo, painting)]
    row = _row(pair, 2)
    below = _row([result.clamp(0, 1)], 1)
    return _stack([row, _widen(below, row.shape[-1])])


def comparison_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the ``comparison`` of a result of this size, or a pixel more."""
    return height + max(1, height // 2) + 3 * GAP, max(width, GAP + 2) + 2 * GAP


def _within(picture: Tensor, height: int, width: int) -> Tensor:
    """A picture scaled to fit a cell, centred on paper."""
    factor = min(height / picture.shape[-2], width / picture.shape[-1])
    h, w = (max(1, int(side * factor)) for side in picture.shape[-2:])
    cell = torch.full((1, 3, height, width), PAPER)
    top, left = (height - h) // 2, (width - w) // 2
    cell[..., top : top + h, left : left + w] = resize(picture.cpu(), h, w, "area")
    return cell


def _widen(row: Tensor, width: int) -> Tensor:
    missing = width - row.shape[-1]
    if missing <= 0:
        return row[..., :width]
    return torch.nn.functional.pad(row, (missing // 2, missing - missing // 2), value=PAPER)


def edges(photo: Tensor, result: Tensor) -> Tensor:
    """High-pass pictures: horizontal and vertical differences of the photo, and below of the result.

    Grey is no edge; ±¼ of the range is black or white, as in the TensorFlow tutorial. (1, 3, H, W).
    """
    before = resize(photo.cpu(), result.shape[-2], result.shape[-1], "lanczos")
    rows = [_row([(2 * d + 0.5).clamp(0, 1) for d in high_pass(picture)], 2) for picture in (before, result)]
    return _stack(rows)


def edges_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the ``edges`` of a result of this size."""
    return 2 * height + 3 * GAP, 2 * width + 3 * GAP
