"""Scores of a result against its photo and painting, with the identity and style-copy rows in mind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.images import resize
from brushwork.losses import total_variation
from brushwork.losses.statistics import levels
from brushwork.margins import without_margin
from brushwork.metrics.judge import SMALLEST, TAPS, Judge

DIRECTIONS = 128  # random directions a layer
POSITIONS = 16384  # of a layer at most, drawn at random: sorting took longer than the network
SMOOTH = 1e-3  # the least total variation that others are divided by: a flat picture has none
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


class Yardstick:
    """A photo and a painting at one size, and their features: what results of that size are scored by."""

    def __init__(
        self, judge: Judge, photo: Tensor, painting: Tensor, size: Sequence[int], *, seed: int = 0
    ) -> None:
        """Bring both (1, 3, h, w), 0..1, to results of ``size`` = (H, W); the painting keeps its aspect.

        What a scan shows around the painting is cut off: it rewarded results for a black frame.
        Raises InputError for a short side below 32 pixels, or a photo and painting that are the same.
        """
        height, width = size
        if min(height, width) < SMALLEST:
            raise InputError(
                f"{width}×{height} is too small to score: the short side needs {SMALLEST} pixels"
            )
        self.size = (height, width)
        painting = without_margin(painting)
        self.photo, self.copy = resize(photo, height, width, "lanczos"), cover(painting, height, width)
        self._judge = judge
        self._photo = judge.features(self.photo)
        painting = _of_area(painting, height * width)
        self._seed = seed
        self._style = self._sketches(painting)
        self.lpips = perceptual(judge, judge.features(self.copy), self._photo)  # what content 1 is
        reference = self._distances(self.photo, self._photo)
        # Each depth counts by what it says of the photo, not by its size: the deepest is four times as far
        # from the painting as the others, and comes nearer to it by any damage to the photo, also by dots.
        self._shares = 1 / (reference + 0.1)
        self._swd = float(self._shares @ reference)
        self._variation = (_roughness(self.photo), _roughness(painting))
        if min(self.lpips, self._swd) < 1e-9:
            raise InputError(
                "photo and painting are the same to the judge: scores need two different pictures"
            )

    def score(self, result: Tensor) -> Scores:
        """Score a result (1, 3, H, W), 0..1, of this size."""
        features = self._judge.features(result)
        rough = _roughness(result)
        return Scores(
            perceptual(self._judge, features, self._photo) / self.lpips,
            float(self._shares @ self._distances(result, features)) / self._swd,
            *(rough / max(variation, SMOOTH) for variation in self._variation),
        )

    def _sketches(
        self, picture: Tensor, features: dict[str, Tensor] | None = None
    ) -> list[dict[str, Tensor]]:
        """At full and at half size, where a dotted grain looks nothing like strokes."""
        half = resize(picture, picture.shape[-2] // 2, picture.shape[-1] // 2, "area")
        both = (features or self._judge.features(picture), self._judge.features(half))
        return [sketch(seen, seed=self._seed) for seen in both]

    def _distances(self, picture: Tensor, features: dict[str, Tensor]) -> Tensor:
        """To the painting at five depths and two sizes, (10,)."""
        sketches = zip(self._sketches(picture, features), self._style, strict=True)
        return torch.cat([style_distances(mine, theirs) for mine, theirs in sketches])


def _of_area(painting: Tensor, area: int) -> Tensor:
    factor = (area / (painting.shape[-2] * painting.shape[-1])) ** 0.5
    height, width = (max(SMALLEST, round(side * factor)) for side in painting.shape[-2:])
    return resize(painting, height, width, "lanczos")


def cover(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture (1, 3, h, w), scaled to cover ``height`` × ``width`` without stretching."""
    factor = max(height / picture.shape[-2], width / picture.shape[-1])
    tall, wide = (max(1, math.ceil(side * factor)) for side in picture.shape[-2:])
    top, left = (max(tall, height) - height) // 2, (max(wide, width) - width) // 2
    whole = resize(picture, max(tall, height), max(wide, width), "lanczos")
    return whole[..., top : top + height, left : left + width]


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
def sketch(features: dict[str, Tensor], *, seed: int = 0) -> dict[str, Tensor]:
    """What the style score keeps of a picture: {tap: (DIRECTIONS, QUANTILES)}.

    Each depth's features are projected on fixed random directions and sorted; where they stand in the
    picture is forgotten.
    """
    kept: dict[str, Tensor] = {}
    for depth, tap in enumerate(TAPS):
        values = features[tap][0].flatten(1)  # (C, h·w)
        generator = torch.Generator().manual_seed(seed * len(TAPS) + depth)
        directions = torch.randn(DIRECTIONS, values.shape[0], generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        if values.shape[1] > POSITIONS:
            # Drawn and not strided: a stride would see only one phase of a dotted grain.
            values = values[:, torch.randperm(values.shape[1], generator=generator)[:POSITIONS]]
        kept[tap] = levels((directions @ values).sort(dim=1).values, QUANTILES)
    return kept


def style_distances(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> Tensor:
    """Sliced Wasserstein distance of feature distributions (after arXiv 2006.07229) at each depth, (5,).

    From two sketches: the root mean square difference of quantiles, over that of the target's quantiles.
    """
    pairs = [(mine[tap], target) for tap, target in theirs.items()]
    differences = torch.stack([(one - target).square().mean() for one, target in pairs])
    sizes = torch.stack([target.square().mean().clamp(min=1e-12) for _, target in pairs])
    return (differences / sizes).sqrt()
