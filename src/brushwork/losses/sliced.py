"""Sliced Wasserstein style loss: whole feature distributions compared along random directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.losses.statistics import flatten, levels

DIRECTIONS = 64  # a layer; more only slow the sort, which rules the time
LEVELS = 16384  # quantiles kept of a painting


@dataclass(frozen=True)
class Projections:
    """A painting's features along K random unit directions, sorted."""

    directions: Tensor  # (K, C)
    quantiles: Tensor  # (K, LEVELS at most), ascending

    @staticmethod
    def of(paintings: Sequence[Tensor], weights: Sequence[float], *, seed: int = 0) -> Projections:
        """Project the feature maps (1, C, h, w) of one or several paintings.

        Several are one distribution, in which each has its weight. The directions depend on ``seed`` and C
        only, so that pictures of any size can be compared.
        """
        directions = directions_of(flatten(paintings[0]), seed)
        return Projections.from_values(
            [directions @ flatten(each) for each in paintings], weights, directions
        )

    @staticmethod
    def from_values(values: Sequence[Tensor], weights: Sequence[float], directions: Tensor) -> Projections:
        """Of what paintings' features are along the directions, (K, N) each, in any order."""
        count = min(LEVELS, max(each.shape[1] for each in values))
        shares = [max(1, round(count * weight / sum(weights))) for weight in weights]
        parts = [levels(each.sort(dim=1).values, share) for each, share in zip(values, shares, strict=True)]
        return Projections(directions, torch.cat(parts, dim=1).sort(dim=1).values)


def sliced_loss(features: Tensor, target: Projections) -> Tensor:
    """Squared sliced Wasserstein distance over the painting's mean square (Heitz, arXiv 2006.07229).

    ``features`` (1, C, h, w) are projected on the target's directions, sorted, and compared rank by rank;
    a scalar ≥ 0. The directions stay the same, as L-BFGS needs one function to descend.
    Raises InputError for another number of channels.
    """
    matrix = flatten(features)
    if matrix.shape[0] != target.directions.shape[1]:
        raise InputError(f"style of {target.directions.shape[1]} channels for features of {matrix.shape[0]}")
    mine = (target.directions @ matrix).sort(dim=1).values
    theirs = levels(target.quantiles, mine.shape[1])
    return (mine - theirs).square().mean() / target.quantiles.square().mean().clamp(min=1e-30)


def rank_differences(values: Tensor, quantiles: Tensor) -> Tensor:
    """Each value less the painting's at its rank, (N,), for one direction's values (N,) in any order.

    The mean of their squares over all directions, over the painting's mean square, is ``sliced_loss``.
    """
    ordered, places = values.sort()
    ordered -= levels(quantiles[None], len(values))[0]
    return torch.empty_like(values).scatter_(0, places, ordered)


def directions_of(matrix: Tensor, seed: int) -> Tensor:
    """Random unit directions (K, C) for features (C, N), the same for a seed and C."""
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on every device
    drawn = torch.randn(DIRECTIONS, matrix.shape[0], generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm(dim=1, keepdim=True)).to(matrix)
