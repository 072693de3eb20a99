"""How a painted batch is judged while a network learns: by VGG19's features, content and style balanced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.images import resize
from brushwork.losses import Gaussian, Moments, content_loss, style_loss

CONTENT = "block3_conv3"
STYLE = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1")
STROKES = (0.5, 0.5**0.5, 1.0, 2**0.5, 2.0)
"""Stroke sizes a network learns, relative to the painting's."""
SMALLEST = 32  # pixels of a painting's short side: below there are no strokes to learn

Features = Mapping[str, Tensor]
StyleLoss = Literal["covariance", "relative", "w2"]
Target = Moments | Gaussian


@dataclass(frozen=True)
class Balance:
    """What the losses are multiplied by."""

    content: float
    style: Mapping[str, float]  # by layer


@dataclass(frozen=True)
class Criterion:
    """Content and style losses of painted pictures; a style at each of the stroke sizes."""

    encoder: VGG19
    form: StyleLoss
    targets: Sequence[Mapping[str, Target]]  # for each of ``STROKES``
    balance: Balance

    def features(self, pictures: Tensor) -> Features:
        """What the losses look at, of pictures (N, 3, H, W), 0..1; float32 whatever the loop computes in."""
        with torch.autocast(pictures.device.type, enabled=False):
            return self.encoder.features(pictures.float(), [CONTENT, *STYLE], padding="repeat")

    @torch.no_grad()
    def of_photos(self, photos: Tensor) -> Tensor:
        """The content of photos (N, 3, H, W)."""
        with torch.autocast(photos.device.type, enabled=False):
            return self.encoder.features(photos.float(), [CONTENT], padding="repeat")[CONTENT].float()

    def content(self, painted: Features, photos: Tensor) -> Tensor:
        """How far each picture is from its photo's content, (N,): 0 is the photo's own."""
        pairs = zip(painted[CONTENT].float().split(1), photos.split(1), strict=True)
        return torch.stack([content_loss(mine, theirs, form="relative") for mine, theirs in pairs])

    def style(self, painted: Features, stroke: int) -> Tensor:
        """How far each picture is from the painting at each layer, (N, layers)."""
        targets = self.targets[stroke]
        rows = [
            torch.stack([style_loss(mine[name], targets[name], form=self.form) for name in STYLE])
            for mine in _singly(painted)
        ]
        return torch.stack(rows)

    def weighted(self, style: Tensor) -> Tensor:
        """The weighted sum over layers, (N,), of what ``style`` gave."""
        return style @ style.new_tensor([self.balance.style[name] for name in STYLE])


def _singly(features: Features) -> list[dict[str, Tensor]]:
    """Moments are those of one picture, not of a batch: else one could be pale where another is dark."""
    layers = [features[name].split(1) for name in STYLE]  # whose gradients are put together at once
    return [dict(zip(STYLE, maps, strict=True)) for maps in zip(*layers, strict=True)]


def make_criterion(encoder: VGG19, painting: Tensor, long_side: int, form: StyleLoss) -> Criterion:
    """Measure a painting (1, 3, H, W) at each stroke size; at 1 its long side has so many pixels.

    It is never enlarged beyond its own size. Raises InputError for one too small to have strokes.
    """
    if min(painting.shape[-2:]) < SMALLEST:
        height, width = painting.shape[-2:]
        raise InputError(f"the painting has {width}×{height} pixels: give one of {SMALLEST} at least")
    targets = [_measured(encoder, painting, long_side * stroke, form) for stroke in STROKES]
    return Criterion(encoder, form, targets, Balance(1.0, dict.fromkeys(STYLE, 1.0)))


@torch.no_grad()
def _measured(encoder: VGG19, painting: Tensor, long_side: float, form: StyleLoss) -> dict[str, Target]:
    height, width = painting.shape[-2:]
    factor = min(1.0, long_side / max(height, width))
    sized = resize(painting, *_at_least(height * factor, width * factor), "lanczos")
    found = encoder.features(sized, STYLE, padding="repeat")
    moments = {name: Moments.of(features).normalised() for name, features in found.items()}
    return {name: Gaussian.of(one) for name, one in moments.items()} if form == "w2" else dict(moments)


def _at_least(height: float, width: float) -> tuple[int, int]:
    return max(SMALLEST, round(height)), max(SMALLEST, round(width))


def calibrated(criterion: Criterion, photos: Tensor, painted: Tensor) -> Criterion:
    """The criterion balanced by the gradients at pictures (N, 3, H, W) painted from photos as they should be.

    Where content and style hold each other, their gradients have one length: so the style's weight is the
    ratio of the two at what the optimise engine painted, and each layer has an equal part of it. Defaults
    then suit any painting, at any size and for any network's scale.
    """
    gradients = [_gradients(criterion, *pair) for pair in zip(photos.split(1), painted.split(1), strict=True)]
    lengths = torch.stack([torch.stack([g.norm() for g in each]) for each in gradients]).mean(0)
    shares = 1 / lengths[1:].clamp(min=1e-12)  # each layer's gradient to length 1
    together = torch.stack([_summed(each[1:], shares).norm() for each in gradients]).mean()
    weights = shares * (lengths[0] / together.clamp(min=1e-12))
    balance = Balance(1.0, dict(zip(STYLE, weights.tolist(), strict=True)))
    return replace(criterion, balance=balance)


def _summed(gradients: Sequence[Tensor], weights: Tensor) -> Tensor:
    return torch.stack([weight * each for weight, each in zip(weights, gradients, strict=True)]).sum(0)


def _gradients(criterion: Criterion, photo: Tensor, painted: Tensor) -> list[Tensor]:
    """At one picture: the content's gradient, then each style layer's."""
    x = painted.detach().requires_grad_()
    features = criterion.features(x)
    content = criterion.content(features, criterion.of_photos(photo))[0]
    style = criterion.style(features, STROKES.index(1.0))[0]
    return [torch.autograd.grad(term, x, retain_graph=True)[0] for term in (content, *style)]
