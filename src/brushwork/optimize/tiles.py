"""Tiles: which part of a picture each one owns, and how much more it must see to be exact.

An evaluation of a tile is exact for the cells it owns when it sees all pixels that those cells see; what it
computes beyond them is wrong and thrown away. The gradient of its own cells' loss falls on all pixels that it
sees, and the tiles' gradients are added up. So the margin is the network's forward reach alone (70 pixels
for block5_conv1), where methods that keep only a tile's inner gradient need twice that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from brushwork.encoders.vgg19 import reach, smallest_side

Range = tuple[int, int]


@dataclass(frozen=True)
class Span:
    """A tile along one axis; ranges are [first, last) in pixels of the picture."""

    size: int  # of the picture
    core: Range  # what it owns
    seen: Range  # what it reads; outside [0, size) only where the picture wraps around

    def cells(self, layer: str) -> Range:
        """The cells of a layer that it owns, counted from the picture's first."""
        stride = smallest_side([layer])
        # The last tile's core ends where the picture does; pooling drops what is not a whole cell.
        return self.core[0] // stride, self.core[1] // stride

    def own(self, layer: str) -> slice:
        """The same cells in the feature map of what the tile sees."""
        first, last = self.cells(layer)
        shift = self.seen[0] // smallest_side([layer])
        return slice(first - shift, last - shift)

    def pixels(self, device: torch.device) -> Tensor:
        """What it reads as indices into the picture."""
        return torch.arange(*self.seen, device=device) % self.size

    def window(self) -> slice:
        """Its own pixels and one more, if there is one, within what it reads."""
        return slice(self.core[0] - self.seen[0], min(self.core[1] + 1, self.seen[1]) - self.seen[0])


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    def read(self, picture: Tensor) -> Tensor:
        """What it sees of a picture (1, C, H, W)."""
        if self._inside():
            return picture[..., slice(*self.rows.seen), slice(*self.columns.seen)]
        down, across = self.rows.pixels(picture.device), self.columns.pixels(picture.device)
        return picture.index_select(-2, down).index_select(-1, across)

    def add(self, picture: Tensor, part: Tensor) -> None:
        """Add what falls on the pixels that it sees to a picture (1, C, H, W), in place."""
        if self._inside():
            picture[..., slice(*self.rows.seen), slice(*self.columns.seen)] += part
            return
        folded = part.new_zeros(*part.shape[:-1], picture.shape[-1])
        folded.index_add_(-1, self.columns.pixels(part.device), part)
        picture.index_add_(-2, self.rows.pixels(part.device), folded)

    def own(self, features: Tensor, layer: str) -> Tensor:
        """The cells it owns of a layer's features (1, C, h, w) of what it sees."""
        return features[..., self.rows.own(layer), self.columns.own(layer)]

    def window(self, seen: Tensor) -> Tensor:
        """Its own pixels with one more row and column, where there are such, of what it sees."""
        return seen[..., self.rows.window(), self.columns.window()]

    @property
    def core(self) -> tuple[int, int]:
        """Rows and columns of its own pixels."""
        return self.rows.core[1] - self.rows.core[0], self.columns.core[1] - self.columns.core[0]

    @property
    def area(self) -> int:
        """Pixels that it sees."""
        return (self.rows.seen[1] - self.rows.seen[0]) * (self.columns.seen[1] - self.columns.seen[0])

    def _inside(self) -> bool:
        return all(span.seen[0] >= 0 and span.seen[1] <= span.size for span in (self.rows, self.columns))


def tiling(height: int, width: int, side: int, layers: Sequence[str], *, wrap: bool = False) -> list[Tile]:
    """Tiles of at most ``side`` own pixels a side (rounded up to a cell of the deepest layer), row by row.

    Their own pixels cover the picture once. With ``wrap`` the picture goes on beyond its edges.
    """
    rows, columns = (list(_spans(size, side, layers, wrap)) for size in (height, width))
    return [Tile(down, across) for down in rows for across in columns]


def coverage(
    height: int, width: int, side: int, layers: Sequence[str], *, wrap: bool = False
) -> tuple[int, int, int]:
    """The number of tiles of a ``tiling``, the pixels that the largest sees, and that all of them see."""
    seen = [
        [span.seen[1] - span.seen[0] for span in _spans(size, side, layers, wrap)] for size in (height, width)
    ]
    return len(seen[0]) * len(seen[1]), max(seen[0]) * max(seen[1]), sum(seen[0]) * sum(seen[1])


def _spans(size: int, side: int, layers: Sequence[str], wrap: bool) -> Iterator[Span]:
    lattice = smallest_side(layers)  # a tile begins with a whole cell of every layer
    units = math.ceil(size / lattice)
    count = math.ceil(units / max(1, math.ceil(side / lattice)))
    ends = [lattice * (units * i // count) for i in range(count)] + [size]
    for first, last in pairwise(ends):
        yield Span(size, (first, last), _seen(first, last, size, layers, wrap))


def _seen(first: int, last: int, size: int, layers: Sequence[str], wrap: bool) -> Range:
    """The pixels that the cells beginning in [first, last) see at any of the layers, and one more."""
    lattice, ranges = smallest_side(layers), [(first, last + 1)]
    for layer in layers:
        stride = smallest_side([layer])
        ranges.append(reach(layer, first // stride, math.ceil(last / stride)))
    begin = min(begin for begin, _ in ranges) // lattice * lattice
    end = max(end for _, end in ranges)
    return (begin, end) if wrap else (max(begin, 0), min(end, size))
