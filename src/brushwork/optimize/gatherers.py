"""Paintings measured tile by tile: what each layer's style loss compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from brushwork.encoders import VGG19
from brushwork.encoders.vgg19 import smallest_side
from brushwork.jobs import Settings
from brushwork.losses import Gaussian, Moments, Patches, Projections
from brushwork.losses.nearest import draw
from brushwork.losses.sliced import directions_of
from brushwork.losses.statistics import blend, flatten, in_float64
from brushwork.optimize.crew import Copies, Crew
from brushwork.optimize.objective import StyleTarget
from brushwork.optimize.tiles import Tile, tiling
from brushwork.optimize.vault import Vault


@torch.no_grad()
def measure_paintings(
    crew: Crew,
    settings: Settings,
    layers: Sequence[str],
    paintings: Sequence[Tensor],
    weights: Sequence[float],
    side: int,
    vault: Vault,
) -> dict[str, StyleTarget]:
    """What each layer's style loss compares with, of paintings (1, 3, H, W) in tiles of ``side`` pixels."""
    gathered = {name: _gatherers(settings, name, paintings, weights, vault) for name in layers}
    for number, painting in enumerate(paintings if layers else ()):
        these = {name: gathered[name][number] for name in layers}
        look = partial(_look, settings, painting, these)
        for measured in crew.each(look, tiling(painting.shape[-2], painting.shape[-1], side, layers)):
            for name, part in measured.items():
                these[name].add(part)
    return {name: _target(gathered[name], weights, settings) for name in layers}


@torch.no_grad()
def _look(
    settings: Settings, painting: Tensor, gatherers: dict[str, Gatherer], encoder: VGG19, tile: Tile
) -> dict[str, Any]:
    seen = tile.read(painting).to(encoder.device)
    features = encoder.features(seen, list(gatherers), padding=settings.padding)
    return {
        name: gatherer.measure(tile, tile.own(features[name], name)) for name, gatherer in gatherers.items()
    }


def _gatherers(
    settings: Settings, layer: str, paintings: Sequence[Tensor], weights: Sequence[float], vault: Vault
) -> list[Gatherer]:
    """One for each painting."""
    if settings.style_loss == "sliced":
        return [_Projected(settings.seed, vault, painting.device) for painting in paintings]
    if settings.style_loss != "nearest":
        return [_Summed(painting.device) for painting in paintings]
    stride = smallest_side([layer])
    cells = [(painting.shape[-2] // stride, painting.shape[-1] // stride) for painting in paintings]
    chosen = draw([height * width for height, width in cells], weights, settings.seed)
    return [
        _Drawn(layer, width, at, painting.device)
        for (_, width), at, painting in zip(cells, chosen, paintings, strict=True)
    ]


def _target(found: Sequence[Gatherer], weights: Sequence[float], settings: Settings) -> StyleTarget:
    results = [gatherer.result() for gatherer in found]
    if settings.style_loss == "sliced":
        directions = cast("_Projected", found[0]).directions
        assert directions is not None
        return Projections.from_values(cast("list[Tensor]", results), weights, directions.tensor)
    if settings.style_loss == "nearest":
        return Patches.from_vectors(torch.cat(cast("list[Tensor]", results)))
    moments = blend(cast("list[Moments]", results), weights)
    return Gaussian.of(moments) if settings.style_loss == "w2" else moments


class Gatherer(Protocol):
    """Collects what is needed of one painting's layer; several threads may ``measure`` at the same time."""

    def measure(self, tile: Tile, own: Tensor) -> Any:
        """What is to be added of a tile's own features, on the painting's device."""
        ...

    def add(self, part: Any) -> None:
        """Take what was measured of the next tile, in the order of the tiles."""
        ...

    def result(self) -> Moments | Tensor:
        """All of them together."""
        ...


@dataclass
class _Summed:
    """Moments, summed in float64 and given in the features' own precision."""

    home: torch.device
    sums: Moments | None = None

    def measure(self, tile: Tile, own: Tensor) -> Moments:
        return Moments.of(own)

    def add(self, part: Moments) -> None:
        self.dtype = part.first.dtype
        first, second = (in_float64(each, self.home) for each in (part.first, part.second))
        found = Moments(part.weight, first, second)
        self.sums = found if self.sums is None else self.sums + found

    def result(self) -> Moments:
        assert self.sums is not None
        first, second = (each.to(self.home, self.dtype) for each in (self.sums.first, self.sums.second))
        return Moments(self.sums.weight, first, second)


@dataclass
class _Projected:
    """Projections of all positions, (K, N)."""

    seed: int
    vault: Vault
    home: torch.device
    directions: Copies | None = None
    parts: list[Tensor] = field(default_factory=list[Tensor])

    def measure(self, tile: Tile, own: Tensor) -> Tensor:
        matrix = flatten(own)
        if self.directions is None:  # whoever comes first: all would draw the same
            self.directions = Copies(directions_of(matrix, self.seed).to(self.home))
        return (self.directions.on(matrix.device) @ matrix).to(self.home)

    def add(self, part: Tensor) -> None:
        self.parts.append(self.vault.keep(part))

    def result(self) -> Tensor:
        return torch.cat(self.parts, dim=1)


@dataclass
class _Drawn:
    """The feature vectors of chosen positions, (P, C), in the order of the draw."""

    layer: str
    width: int  # of the whole painting's layer
    chosen: Tensor  # (P,) row-major positions
    home: torch.device
    vectors: Tensor | None = None

    def measure(self, tile: Tile, own: Tensor) -> tuple[Tensor, Tensor]:
        (top, bottom), (left, right) = tile.rows.cells(self.layer), tile.columns.cells(self.layer)
        row, column = self.chosen // self.width, self.chosen % self.width
        here = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        matrix = flatten(own).mT
        at = (row[here] - top) * (right - left) + column[here] - left
        return here.to(self.home), matrix[at.to(matrix.device)].to(self.home)

    def add(self, part: tuple[Tensor, Tensor]) -> None:
        here, found = part
        if self.vectors is None:
            self.vectors = found.new_zeros(len(self.chosen), found.shape[1])
        self.vectors[here] = found

    def result(self) -> Tensor:
        assert self.vectors is not None
        return self.vectors
