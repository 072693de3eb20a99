"""What the first pass over tiles collects of a layer's style, and what the second pass pushes back.

A style loss depends on a picture through sums over all its positions. Once these are known the loss and its
gradient by them are too, and each tile's share of the gradient needs that tile alone (arXiv 2212.13459).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from brushwork.jobs import Settings
from brushwork.losses import Gaussian, Moments, Patches, Projections, nearest_loss, style_loss
from brushwork.losses.sliced import rank_differences
from brushwork.losses.statistics import flatten, in_float64
from brushwork.optimize.crew import Copies
from brushwork.optimize.vault import Vault

Pull = Callable[[int, Tensor], tuple[float, Tensor]]
"""Takes a tile's number and its own features (1, C, h, w); gives its part of the loss, if ``close`` did not
have it yet, and the gradient of the whole loss by these features."""


class Tally(Protocol):
    """Collects one layer's features tile by tile.

    Several threads, and devices, may ``measure`` and pull at the same time; the rest is one thread's.
    """

    def measure(self, features: Tensor) -> Any:
        """What is to be added of a tile's own features, (1, C, h, w)."""
        ...

    def add(self, part: Any) -> None:
        """Take what was measured of the next tile, in the order of the tiles."""
        ...

    def state(self) -> dict[str, Any] | None:
        """What it has collected, as plain data and tensors; None when that is too much to be stored."""
        ...

    def go_on(self, state: dict[str, Any]) -> None:
        """Take up what another one had collected."""
        ...

    def close(self) -> tuple[float, Pull]:
        """The layer's loss as far as it is known without a second look, and its pull."""
        ...


def make_tally(
    target: Moments | Gaussian | Projections | Patches,
    settings: Settings,
    pixels: int,
    factor: float,
    vault: Vault,
) -> Tally:
    """The tally that goes with a style target; the loss is multiplied by ``factor``."""
    if isinstance(target, Projections):
        return SlicedTally(target, factor, vault)
    if isinstance(target, Patches):
        return NearestTally(target, factor)
    return MomentsTally(target, settings, pixels, factor)


@dataclass
class MomentsTally:
    """Sums N, ΣF and ΣFFᵀ, in float64: millions of positions are added up."""

    target: Moments | Gaussian
    settings: Settings
    pixels: int
    factor: float
    sums: Moments | None = None

    def measure(self, features: Tensor) -> Moments:
        """The sums over a tile's own features, (1, C, h, w)."""
        found, home = Moments.of(features), self._known.first.device
        return Moments(found.weight, in_float64(found.first, home), in_float64(found.second, home))

    def add(self, part: Moments) -> None:
        """Take what was measured of the next tile, in the order of the tiles."""
        self.sums = part if self.sums is None else self.sums + part

    @property
    def _known(self) -> Moments:
        return self.target.moments if isinstance(self.target, Gaussian) else self.target

    def state(self) -> dict[str, Any] | None:
        """N, ΣF and ΣFFᵀ."""
        return None if self.sums is None else vars(self.sums)

    def go_on(self, state: dict[str, Any]) -> None:
        """Take up what another one had collected."""
        home = self._known.first.device
        first, second = (in_float64(state[name], home) for name in ("first", "second"))
        self.sums = Moments(state["weight"], first, second)

    def close(self) -> tuple[float, Pull]:
        """The loss, and a pull that is linear in a tile's features: (D + Dᵀ)·F + d."""
        assert self.sums is not None and self.settings.style_loss not in ("sliced", "nearest")
        known = self._known
        first = self.sums.first.to(known.first).requires_grad_()
        second = self.sums.second.to(known.second).requires_grad_()
        with torch.enable_grad():
            moments = Moments(self.sums.weight, first, second)
            loss = self.factor * style_loss(
                moments, self.target, form=self.settings.style_loss, pixels=self.pixels
            )
            # The Gram forms do not look at means.
            gradients = torch.autograd.grad(loss, (first, second), materialize_grads=True)
        by_first, both = Copies(gradients[0]), Copies(gradients[1] + gradients[1].mT)

        def pull(number: int, features: Tensor) -> tuple[float, Tensor]:
            here = features.device
            gradient = torch.addmm(by_first.on(here), flatten(features).mT, both.on(here))
            return 0.0, gradient.mT.view(features.shape)

        return float(loss.detach()), pull


@dataclass
class NearestTally:
    """The mean feature, by which positions are centred before each finds its neighbour."""

    target: Patches
    factor: float
    weight: int = 0
    total: Tensor | None = None

    def measure(self, features: Tensor) -> tuple[int, Tensor]:
        """N and ΣF of a tile's own features, (1, C, h, w)."""
        matrix = flatten(features)
        return matrix.shape[1], in_float64(matrix.sum(1), self.target.vectors.device)

    def add(self, part: tuple[int, Tensor]) -> None:
        """Take what was measured of the next tile, in the order of the tiles."""
        weight, total = part
        self.weight += weight
        self.total = total if self.total is None else self.total + total

    def state(self) -> dict[str, Any] | None:
        """N and ΣF."""
        return {"weight": self.weight, "total": self.total}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take up what another one had collected."""
        self.weight = state["weight"]
        self.total = in_float64(state["total"], self.target.vectors.device)

    def close(self) -> tuple[float, Pull]:
        """Nothing is known yet; the pull matches a tile's positions."""
        assert self.total is not None
        mean = Copies((self.total / self.weight).to(self.target.vectors))
        vectors, unit = Copies(self.target.vectors), Copies(self.target.unit)

        def pull(number: int, features: Tensor) -> tuple[float, Tensor]:
            leaf = features.detach().requires_grad_()
            if not leaf.numel():
                return 0.0, leaf.detach()
            here = leaf.device
            with torch.enable_grad():
                share = self.factor * leaf[0, 0].numel() / self.weight
                target = Patches(vectors.on(here), unit.on(here))
                loss = share * nearest_loss(leaf, target, mean=mean.on(here))
                (gradient,) = torch.autograd.grad(loss, leaf)
            return float(loss.detach()), gradient

        return 0.0, pull


@dataclass
class SlicedTally:
    """Every position's projections: their ranks are the whole picture's. 256 bytes a position."""

    target: Projections
    factor: float
    vault: Vault
    parts: list[Tensor] = field(default_factory=list[Tensor])
    directions: Copies = field(init=False)

    def __post_init__(self) -> None:
        self.directions = Copies(self.target.directions)

    def measure(self, features: Tensor) -> Tensor:
        """The projections (K, N) of a tile's own features, (1, C, h, w)."""
        projected = self.directions.on(features.device) @ flatten(features)
        return projected.to(self.target.directions.device)

    def add(self, part: Tensor) -> None:
        """Take what was measured of the next tile, in the order of the tiles."""
        self.parts.append(self.vault.keep(part))

    def state(self) -> dict[str, Any] | None:
        """Nothing: it would be hundreds of bytes a pixel."""
        return None

    def go_on(self, state: dict[str, Any]) -> None:
        """Never asked for, as there is no state."""

    def close(self) -> tuple[float, Pull]:
        """The loss; each projection is replaced by its difference to the painting's of the same rank."""
        rows, total = len(self.target.directions), 0.0
        sizes = [part.shape[1] for part in self.parts]
        differences = [self.vault.empty((rows, size), self.target.quantiles.dtype) for size in sizes]
        for row in range(rows):
            values = torch.cat([part[row] for part in self.parts]).to(self.target.quantiles.device)
            found = rank_differences(values, self.target.quantiles[row])
            total += float(in_float64(found).square().sum())
            for part, piece in zip(differences, found.split(sizes), strict=True):
                part[row] = piece
        self.vault.release(*self.parts, *differences)
        energy = float(self.target.quantiles.square().mean().clamp(min=1e-30))
        scale = self.factor / (rows * sum(sizes) * energy)

        def pull(number: int, features: Tensor) -> tuple[float, Tensor]:
            here = features.device
            gradient = (2 * scale) * (differences[number].to(here).mT @ self.directions.on(here))
            self.vault.release(differences[number])
            return 0.0, gradient.mT.view(features.shape)

        return scale * total, pull
