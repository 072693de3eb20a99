"""Nearest-neighbour style loss: every position takes after the painting's most similar one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.losses.statistics import flatten

MOST = 4096  # positions kept of the paintings
CHUNK = 8192  # positions matched at a time: 134 MB of similarities


@dataclass(frozen=True)
class Patches:
    """Feature vectors of paintings, among which each position of a picture finds its neighbour."""

    vectors: Tensor  # (P, C)
    unit: Tensor  # (P, C): centred and of length 1

    @staticmethod
    def of(paintings: Sequence[Tensor], weights: Sequence[float], *, seed: int = 0) -> Patches:
        """Draw at most ``MOST`` positions of paintings' feature maps (1, C, h, w), by their weights."""
        matrices = [flatten(features).mT for features in paintings]
        chosen = draw([len(matrix) for matrix in matrices], weights, seed)
        return Patches.from_vectors(
            torch.cat([matrix[at.to(matrix.device)] for matrix, at in zip(matrices, chosen, strict=True)])
        )

    @staticmethod
    def from_vectors(vectors: Tensor) -> Patches:
        """Of feature vectors (P, C) that have been drawn."""
        return Patches(vectors, _unit(vectors - vectors.mean(0)))


def draw(positions: Sequence[int], weights: Sequence[float], seed: int) -> list[Tensor]:
    """Which positions of each painting are kept, ``MOST`` in all at most, by their weights."""
    generator = torch.Generator().manual_seed(seed)
    shares = [weight / sum(weights) for weight in weights]
    # No more than the scarcest has of its share: else small paintings would all count alike.
    most = min(MOST, *(count / share for count, share in zip(positions, shares, strict=True)))
    return [
        torch.randperm(count, generator=generator)[: max(1, round(most * share))]
        for count, share in zip(positions, shares, strict=True)
    ]


def nearest_loss(features: Tensor, target: Patches, *, mean: Tensor | None = None) -> Tensor:
    """Mean squared distance of each position to its neighbour, over the paintings' mean square.

    The neighbour is the painting's vector of largest cosine after both are centred (NNST, arXiv
    2203.13215); matches are found anew at each call and carry no gradient. ``features`` are (1, C, h, w);
    a scalar ≥ 0. When they are a part of a picture, ``mean`` (C,) is the whole picture's.
    Raises InputError for another number of channels.
    """
    matrix = flatten(features).mT
    if matrix.shape[1] != target.vectors.shape[1]:
        raise InputError(f"style of {target.vectors.shape[1]} channels for features of {matrix.shape[1]}")
    centre = matrix.detach().mean(0) if mean is None else mean
    neighbours = target.vectors[_match(matrix.detach(), target, centre)]
    size = target.vectors.square().sum(1).mean().clamp(min=1e-30)
    return (matrix - neighbours).square().sum(1).mean() / size


@torch.no_grad()
def _match(matrix: Tensor, target: Patches, mean: Tensor) -> Tensor:
    """For each row of (N, C) the index of its most similar patch, (N,)."""
    centred = _unit(matrix - mean)
    return torch.cat([(part @ target.unit.mT).argmax(1) for part in centred.split(CHUNK)])


def _unit(matrix: Tensor) -> Tensor:
    return matrix / matrix.norm(dim=1, keepdim=True).clamp(min=1e-12)
