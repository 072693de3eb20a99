"""The margin around a scanned painting: the black ground that it lay on, or a frame of one colour.

It is a few percent of the picture but has its sharpest edge, straight and along the sides: as part of the
style it frames results in black, draws streaks along their sides and hardens every contrast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brushwork.images import resize

MOST = 0.1  # of a side: what is wider is the painting's ground
NEAR = 0.05  # of the range: as far as a margin's pixels are from its colour
SHARE = 0.5  # of a line's pixels: scans are often a little askew
SEEN = 512  # pixels of the long side at which margins are looked for: grain and noise are averaged
SLACK = 0.005  # of a side: the painting's own edge, blurred and in the shadow


def without_margin(painting: Tensor) -> Tensor:
    """A painting (1, 3, H, W), 0..1, without the margin that :func:`margins` finds; a view."""
    top, bottom, left, right = margins(painting)
    height, width = painting.shape[-2:]
    return painting[..., top : height - bottom, left : width - right]


def margins(painting: Tensor) -> tuple[int, int, int, int]:
    """Rows above and below, columns left and right, of a painting (1, 3, H, W) that are its margin.

    A line belongs to it when half of its pixels have the colour that is the median of the whole rim, and so
    do all lines outside of it. Where that goes on for more than a tenth of a side there is no margin.
    """
    height, width = painting.shape[-2:]
    factor = min(1.0, SEEN / max(height, width))
    seen = resize(painting, max(1, round(height * factor)), max(1, round(width * factor)), "area")[0]
    rim = torch.cat([seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1]], dim=1)
    colour = rim.median(dim=1).values.view(3, 1, 1)
    alike = ((seen - colour).abs().amax(0) < NEAR).float()
    rows, columns = alike.mean(1), alike.mean(0)
    parts = [_part(lines) for lines in (rows, rows.flip(0), columns, columns.flip(0))]
    top, bottom, left, right = (
        round(part * side) for part, side in zip(parts, (height, height, width, width), strict=True)
    )
    return top, bottom, left, right


def _part(shares: Tensor) -> float:
    """How much of a side is margin, from the share of like pixels in each line from outside to inside."""
    count = int((shares >= SHARE).int().cumprod(0).sum())
    return 0.0 if not count or count > MOST * len(shares) else count / len(shares) + SLACK
