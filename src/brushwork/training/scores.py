"""How near samples are to real pictures, by features of both: Fréchet distance, precision, recall."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.metrics.artfid import frechet_distance

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
    """Score features (M, F) of samples against features (N, F) of real pictures.

    ``fid`` is the FID with other features than Inception's.
    """
    return SampleScores(frechet_distance(real, made), coverage(real, made), coverage(made, real))


def coverage(support: Tensor, points: Tensor) -> float:
    """The share of points (M, F) within reach of the support (N, F).

    A point of the support reaches as far as its third neighbour (arXiv 1904.06991).
    """
    # The nearest of all is the point itself.
    reach = torch.cdist(support, support).kthvalue(NEIGHBOURS + 1, dim=1).values
    hits = [(torch.cdist(part, support) <= reach).any(1) for part in points.split(1000)]
    return float(torch.cat(hits).float().mean())
