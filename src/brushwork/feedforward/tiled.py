"""A pass over a picture in tiles, with the same result as in one piece: there are no seams to hide.

What ties a tile to the rest is the normalisation, whose mean and variance are the whole picture's. They are
sums, so they are added up over tiles, a stage at a time. Only the features in the middle of the network, a
quarter of the picture's sides, are kept whole; what comes before and after is computed anew for each stage
that has to be measured, tile by tile with the margin that its kernels see.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from brushwork.feedforward.folded import LATTICE, Affine, FoldedNet, FoldedStage, run
from brushwork.feedforward.stylenet import Moments
from brushwork.feedforward.sums import Sums

# Cells that a tile must see beyond its own on each side, at a quarter of the picture's sides: the encoder's
# kernels reach 7 pixels, the decoder's 2 folded and 1 half pixel and 1 quarter pixel.
ENCODER_MARGIN, DECODER_MARGIN = 2, 3
# Cells of each stage's output along a side for one at a quarter.
ENCODER_CELLS, DECODER_CELLS = (2, 2, 1), (1, 2, 2)

Range = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A tile along rows or columns, in cells of a quarter of the picture's sides: [first, last)."""

    own: Range
    seen: Range

    def pixels(self) -> slice:
        """What it sees of the picture."""
        return slice(LATTICE * self.seen[0], LATTICE * self.seen[1])

    def cells(self) -> slice:
        """What it sees of features at a quarter."""
        return slice(*self.seen)

    def inner(self, scale: int) -> slice:
        """Its own part of what was computed from what it sees, ``scale`` cells to each."""
        first = scale * (self.own[0] - self.seen[0])
        return slice(first, first + scale * (self.own[1] - self.own[0]))


Tile = tuple[Window, Window]  # rows, columns


def tiles(height: int, width: int, side: int, margin: int) -> list[Tile]:
    """Tiles of at most ``side`` cells that cover ``height`` × ``width`` once; they see ``margin`` more."""

    def windows(size: int) -> Iterator[Window]:
        count = -(-size // side)
        ends = [size * index // count for index in range(count + 1)]
        for first, last in pairwise(ends):
            yield Window((first, last), (max(0, first - margin), min(size, last + margin)))

    return [(rows, columns) for rows in windows(height) for columns in windows(width)]


def steps(network: FoldedNet, height: int, width: int, side: int) -> int:
    """How often ``paint`` yields for a picture of that size."""
    measured = [stage for stage in (*network.encoder, *network.decoder) if stage.norm is not None]
    grid = tiles(height // LATTICE, width // LATTICE, max(1, side // LATTICE), 0)
    return (len(measured) + 2) * len(grid) + 2 * len(network.blocks)


@torch.no_grad()
def paint(
    network: FoldedNet, image: Tensor, affines: Mapping[str, Affine], side: int
) -> Generator[None, None, Tensor]:
    """A picture (1, 3, H, W), its sides multiples of ``LATTICE``, painted in tiles of ``side`` pixels.

    Yields after each tile of each pass and each stage of the blocks; returns the picture, on the CPU.
    """
    height, width = (size // LATTICE for size in image.shape[-2:])
    cells = max(1, side // LATTICE)
    measured: dict[str, Moments] = {}

    grid = tiles(height, width, cells, ENCODER_MARGIN)
    seen = [image[..., rows.pixels(), columns.pixels()] for rows, columns in grid]
    yield from _measure(network, network.encoder, ENCODER_CELLS, grid, seen, affines, measured)
    x = _map(network, network.settings.down[-1], height, width)
    for (rows, columns), part in zip(grid, seen, strict=True):
        painted = network.encode(part, affines, measured)
        x[..., slice(*rows.own), slice(*columns.own)] = painted[..., rows.inner(1), columns.inner(1)]
        yield
    yield from _transform(network, x, affines, cells)

    grid = tiles(height, width, cells, DECODER_MARGIN)
    seen = [x[..., rows.cells(), columns.cells()] for rows, columns in grid]
    yield from _measure(network, network.decoder, DECODER_CELLS, grid, seen, affines, measured)
    result = torch.empty_like(image, device="cpu")
    for (rows, columns), part in zip(grid, seen, strict=True):
        painted = network.decode(part, affines, measured)[..., rows.inner(LATTICE), columns.inner(LATTICE)]
        place = [slice(LATTICE * window.own[0], LATTICE * window.own[1]) for window in (rows, columns)]
        result[..., place[0], place[1]] = painted
        yield
    return result


def _map(network: FoldedNet, channels: int, height: int, width: int) -> Tensor:
    """Room for features at a quarter."""
    empty = torch.empty(1, channels, height, width, device=network.device, dtype=network.dtype)
    return empty.to(memory_format=torch.channels_last)


def _measure(
    network: FoldedNet,
    stages: Sequence[FoldedStage],
    scales: Sequence[int],
    grid: Sequence[Tile],
    seen: Sequence[Tensor],
    affines: Mapping[str, Affine],
    measured: dict[str, Moments],
) -> Generator[None]:
    """Add the moments of these stages to ``measured``, each with those before it settled."""
    for index, (stage, scale) in enumerate(zip(stages, scales, strict=True)):
        if stage.norm is None:
            continue
        sums = Sums()
        for (rows, columns), part in zip(grid, seen, strict=True):
            before = run(stages[:index], part.to(network.device, network.dtype), affines, measured)
            sums.add(
                stage.convolve(before)[..., rows.inner(scale), columns.inner(scale)], folded=stage.folded
            )
            yield
        measured[stage.name] = sums.moments(network.dtype)


def _transform(network: FoldedNet, x: Tensor, affines: Mapping[str, Affine], side: int) -> Generator[None]:
    """The blocks, in place, a stage at a time: two more maps, however many tiles."""
    _, channels, height, width = x.shape
    grid = tiles(height, width, side, 1)
    inner, outer = (_map(network, channels, height, width) for _ in range(2))
    for first, second in network.blocks:
        _stage(first, x, inner, grid, affines)
        yield
        _stage(second, inner, outer, grid, affines)
        x += outer
        yield


def _stage(
    stage: FoldedStage, x: Tensor, out: Tensor, grid: Sequence[Tile], affines: Mapping[str, Affine]
) -> None:
    """One stage of a block on a whole map, into another."""
    sums = Sums()
    for rows, columns in grid:
        features = stage.convolve(x[..., rows.cells(), columns.cells()])
        own = features[..., rows.inner(1), columns.inner(1)]
        sums.add(own, folded=stage.folded)
        out[..., slice(*rows.own), slice(*columns.own)] = own
    moments = sums.moments(x.dtype)
    for rows, columns in grid:
        part = out[..., slice(*rows.own), slice(*columns.own)]
        part.copy_(stage.finish(part, affines[stage.name], moments))
