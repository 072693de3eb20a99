"""The margin around a scanned painting: the ground that it lay on, a frame, bare canvas at its edge.

It is a few percent of the picture but has its sharpest edge, straight and along the sides: as part of the
style it frames results in black, draws streaks along their sides and hardens every contrast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brushwork.images import resize

MOST = 0.1  # of a side: what is wider is the painting's ground
NEAR = 0.05  # of the range: as far as a margin's pixels are from its colour
SHARE = 0.5  # of a line's pixels: scans are often a little askew
SEEN = 512  # pixels of the long side at which margins are looked for: grain and noise are averaged
SLACK = 0.005  # of a side: the painting's own edge, blurred and in the shadow

# An edge along a side: in most pieces of the side a step of colour, more or less in one line.
PIECES, AGREEING = 8, 6
DEEPEST = 0.08  # of a side
STEP = 0.05  # of the range, and
STEEPER = 2.5  # times what nine tenths of the painting's own steps reach
ASKEW = 0.012  # of a side: as far as pieces are from their median
SMALLEST = 64  # pixels a side, below which pieces have too few


def without_margin(painting: Tensor) -> Tensor:
    """A painting (1, 3, H, W), 0..1, without the margin that :func:`margins` finds; a view."""
    top, bottom, left, right = margins(painting)
    height, width = painting.shape[-2:]
    return painting[..., top : height - bottom, left : width - right]


def margins(painting: Tensor) -> tuple[int, int, int, int]:
    """Rows above and below, columns left and right, of a painting (1, 3, H, W) that are its margin.

    First the ground: a line belongs to it when half of its pixels have the colour that is the median of the
    whole rim, and so do all lines outside of it; where that goes on for more than a tenth of a side there is
    none. Then, of what remains, whatever lies outside of an edge along a side: a frame, bare canvas, what a
    scan askew has left of the ground. Of the 46 scans that this was made with, 17 have such a side.
    """
    height, width = painting.shape[-2:]
    factor = min(1.0, SEEN / max(height, width))
    seen = resize(painting, max(1, round(height * factor)), max(1, round(width * factor)), "area")[0]
    lines = (seen.shape[1], seen.shape[1], seen.shape[2], seen.shape[2])
    ground = _ground(seen)
    begun = [math.ceil(count + SLACK * n) if count else 0 for count, n in zip(ground, lines, strict=True)]
    edges = _edges(_cut(seen, begun))
    outside = [b + e if e else g for g, b, e in zip(ground, begun, edges, strict=True)]
    parts = [count / n + SLACK if count else 0.0 for count, n in zip(outside, lines, strict=True)]
    sides = (height, height, width, width)
    top, bottom, left, right = (round(part * side) for part, side in zip(parts, sides, strict=True))
    return top, bottom, left, right


def _cut(seen: Tensor, lines: list[int]) -> Tensor:
    top, bottom, left, right = lines
    return seen[:, top : seen.shape[1] - bottom, left : seen.shape[2] - right]


def _ground(seen: Tensor) -> list[int]:
    """Lines of (3, H, W) at each side that have the rim's colour."""
    rim = torch.cat([seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1]], dim=1)
    colour = rim.median(dim=1).values.view(3, 1, 1)
    alike = ((seen - colour).abs().amax(0) < NEAR).float()
    rows, columns = alike.mean(1), alike.mean(0)
    return [_run(lines) for lines in (rows, rows.flip(0), columns, columns.flip(0))]


def _run(shares: Tensor) -> int:
    """How many lines are margin, from the share of like pixels in each from outside to inside."""
    count = int((shares >= SHARE).int().cumprod(0).sum())
    return 0 if count > MOST * len(shares) else count


def _edges(seen: Tensor) -> list[int]:
    """Lines of (3, H, W) at each side that lie outside of an edge along it."""
    if min(seen.shape[1:]) < SMALLEST:
        return [0, 0, 0, 0]
    across = seen.transpose(1, 2)
    return [_edge(view) for view in (seen, seen.flip(1), across, across.flip(1))]


def _edge(seen: Tensor) -> int:
    """Rows of (3, H, W) above the edge along the first ones."""
    height = seen.shape[1]
    places = [place for piece in seen.tensor_split(PIECES, dim=2) if (place := _step(piece.mean(2)))]
    middle = sorted(places)[len(places) // 2] if places else 0
    near = [place for place in places if abs(place - middle) <= max(2, ASKEW * height)]
    return max(near) if len(near) >= AGREEING else 0


def _step(rows: Tensor) -> int:
    """Rows above the largest step of colour in the first ones of (3, H); 0 where it is an ordinary one."""
    height = rows.shape[1]
    pairs = (rows[:, 1:] + rows[:, :-1]) / 2  # scans are blurred: two rows are compared with the next two
    steps = torch.linalg.vector_norm(pairs[:, 2:] - pairs[:, :-2], dim=0)
    outer, inner = steps[: int(DEEPEST * height)], steps[int(DEEPEST * height) : height // 2]
    usual = STEEPER * float(inner.quantile(0.9))
    return int(outer.argmax()) + 3 if float(outer.max()) > max(STEP, usual) else 0
