"""ArtFID: how far a whole set of results is from its photos and from the paintings as a set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.errors import InputError


@dataclass(frozen=True)
class ArtFid:
    """Of one set of ``pictures``: ``lpips`` to their photos on average, ``fid`` to the paintings."""

    lpips: float
    fid: float
    pictures: int

    @property
    def artfid(self) -> float:
        """(1 + LPIPS)·(1 + FID), arXiv 2207.12280: 1 at best; photos have 1 + FID, paintings 1 + LPIPS."""
        return (1 + self.lpips) * (1 + self.fid)


@torch.no_grad()
def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Squared Fréchet distance of the Gaussians of two sets of features, (N, C) and (M, C).

    ‖μ − μ'‖² + tr(Σ + Σ' − 2(ΣΣ')^½) with unbiased covariances: FID (arXiv 1706.08500) when the features
    are Inception's. Of few samples it is too large on average. Raises InputError for N or M below 2.
    """
    if min(len(one), len(other)) < 2:
        raise InputError("a set of one picture has no spread: FID needs two on each side at least")
    means = (one.double().mean(0) - other.double().mean(0)).square().sum()
    mine, theirs = _factor(one), _factor(other)
    # With Σ = AᵀA and Σ' = BᵀB, tr(ΣΣ')^½ is the sum of ABᵀ's singular values: no root is taken of a
    # covariance, which few samples leave singular, and sets of hundreds cost milliseconds.
    cross = torch.linalg.svdvals(mine @ theirs.mT).sum()
    return max(0.0, float(means + mine.square().sum() + theirs.square().sum() - 2 * cross))


def _factor(features: Tensor) -> Tensor:
    """A matrix A of min(N, C) rows whose AᵀA is the covariance of features (N, C), in float64."""
    centred = (features.double() - features.double().mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred
