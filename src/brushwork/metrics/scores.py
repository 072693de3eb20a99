"""Scores of a result against its photo and painting, with the identity and style-copy rows in mind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.images import resize
from brushwork.losses import total_variation
from brushwork.metrics.judge import SMALLEST, TAPS, Judge

DIRECTIONS = 128  # random directions a layer
QUANTILES = 512  # levels at which sorted projections of different lengths are compared


@dataclass(frozen=True)
class Scores:
    """``content``: LPIPS to the photo (photo 0, painting 1). ``style``: distance to the painting (photo 1,
    painting 0). ``roughness``: total variation over the photo's, and over the painting's.
    """

    content: float
    style: float
    roughness_photo: float
    roughness_painting: float


def score(judge: Judge, result: Tensor, photo: Tensor, painting: Tensor, *, seed: int = 0) -> Scores:
    """Score a result against its photo and painting, all (1, 3, H, W), 0..1.

    Photo and painting are brought to the result's size (the painting keeps its aspect). Raises InputError
    for pictures below 32 pixels, or a photo and painting that are the same.
    """
    height, width = result.shape[-2:]
    if min(height, width) < SMALLEST:
        raise InputError(f"{width}×{height} is too small to score: the short side needs {SMALLEST} pixels")
    photo = resize(photo, height, width, "lanczos")
    factor = (height * width / (painting.shape[-2] * painting.shape[-1])) ** 0.5
    size = [max(SMALLEST, round(side * factor)) for side in painting.shape[-2:]]
    painting = resize(painting, size[0], size[1], "lanczos")
    seen = {name: judge.features(image) for name, image in (("result", result), ("photo", photo))}
    copy = judge.features(cover(painting, height, width))
    style = judge.features(painting)
    return Scores(
        _ratio(perceptual(judge, seen["result"], seen["photo"]), perceptual(judge, copy, seen["photo"])),
        _ratio(
            style_distance(seen["result"], style, seed=seed), style_distance(seen["photo"], style, seed=seed)
        ),
        _ratio(_roughness(result), _roughness(photo)),
        _ratio(_roughness(result), _roughness(painting)),
    )


def cover(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture (1, 3, h, w), scaled to cover ``height`` × ``width`` without stretching."""
    factor = max(height / picture.shape[-2], width / picture.shape[-1])
    tall, wide = (max(1, math.ceil(side * factor)) for side in picture.shape[-2:])
    top, left = (max(tall, height) - height) // 2, (max(wide, width) - width) // 2
    whole = resize(picture, max(tall, height), max(wide, width), "lanczos")
    return whole[..., top : top + height, left : left + width]


def _ratio(value: float, reference: float) -> float:
    if reference < 1e-9:
        raise InputError("photo and painting are the same to the judge: scores need two different pictures")
    return value / reference


def _roughness(image: Tensor) -> float:
    return float(total_variation(image, form="l1")) / image.numel()


@torch.no_grad()
def perceptual(judge: Judge, features: dict[str, Tensor], target: dict[str, Tensor]) -> float:
    """LPIPS (arXiv 1801.03924) between two pictures' features: 0 for equal pictures.

    Features are scaled to unit length at each position; squared differences are weighted by channel,
    averaged over positions and added over the five depths.
    """
    total = 0.0
    for tap in TAPS:
        difference = _unit(features[tap]) - _unit(target[tap])
        total += float((difference.square() * judge.channel_weights[tap]).sum(1).mean())
    return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


@torch.no_grad()
def style_distance(features: dict[str, Tensor], target: dict[str, Tensor], *, seed: int = 0) -> float:
    """Sliced Wasserstein distance of feature distributions (after arXiv 2006.07229), over their size.

    Each layer's features are projected on random directions and compared by quantiles; the root mean square
    difference is divided by the target's root mean square feature, so that every depth counts.
    """
    total = 0.0
    for depth, tap in enumerate(TAPS):
        mine, theirs = features[tap][0].flatten(1), target[tap][0].flatten(1)
        generator = torch.Generator().manual_seed(seed * len(TAPS) + depth)
        directions = torch.randn(DIRECTIONS, mine.shape[0], generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        difference = _quantiles(directions @ mine) - _quantiles(directions @ theirs)
        size = (directions @ theirs).square().mean().clamp(min=1e-12)
        total += float((difference.square().mean() / size).sqrt())
    return total / len(TAPS)


def _quantiles(projections: Tensor) -> Tensor:
    """Rows (K, N) sorted and read at ``QUANTILES`` even levels, (K, QUANTILES), whatever N is."""
    ordered = projections.sort(dim=1).values
    at = (torch.arange(QUANTILES) + 0.5) / QUANTILES * ordered.shape[1] - 0.5
    low = at.floor().clamp(0, ordered.shape[1] - 1).long()
    high = (low + 1).clamp(max=ordered.shape[1] - 1)
    return torch.lerp(ordered[:, low], ordered[:, high], (at - low).clamp(0, 1))
