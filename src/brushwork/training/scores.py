"""How near samples are to real pictures, by features of both: Fréchet distance, precision, recall."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 3  # as in the paper


@dataclass(frozen=True)
class SampleScores:
    """``fid``: 0 for equal distributions. ``precision``: the share of samples that look like real pictures;
    ``recall``: the share of real pictures that the samples come near to.
    """

    fid: float
    precision: float
    recall: float


def compare(real: Tensor, made: Tensor) -> SampleScores:
    """Score features (M, F) of samples against features (N, F) of real pictures."""
    return SampleScores(frechet(real, made), coverage(real, made), coverage(made, real))


def frechet(one: Tensor, two: Tensor) -> float:
    """Distance of the Gaussians around two sets of features: |μ−ν|² + tr(Σ + Γ − 2(Σ^½ Γ Σ^½)^½).

    The FID (arXiv 1706.08500), with other features than Inception's.
    """
    (mean, cov), (other_mean, other_cov) = (_gaussian(each) for each in (one, two))
    root = _root(cov)
    cross = torch.linalg.eigvalsh(root @ other_cov @ root).clamp(min=0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + cov.trace() + other_cov.trace() - 2 * cross
    return max(0.0, float(distance))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.double()  # the distance is a small difference of large sums
    return features.mean(0), torch.cov(features.T)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def coverage(support: Tensor, points: Tensor) -> float:
    """The share of points (M, F) within reach of the support (N, F).

    A point of the support reaches as far as its third neighbour (arXiv 1904.06991).
    """
    # The nearest of all is the point itself.
    reach = torch.cdist(support, support).kthvalue(NEIGHBOURS + 1, dim=1).values
    hits = [(torch.cdist(part, support) <= reach).any(1) for part in points.split(1000)]
    return float(torch.cat(hits).float().mean())
