"""The objective: what is compared (the target), and a picture's loss and gradient against it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from brushwork.encoders import VGG19
from brushwork.encoders.convolution import Padding, fork
from brushwork.encoders.vgg19 import Taker
from brushwork.events import Losses
from brushwork.jobs import Settings
from brushwork.losses import (
    Gaussian,
    Moments,
    Patches,
    Projections,
    nearest_loss,
    sliced_loss,
    style_loss,
    total_variation,
)
from brushwork.losses.content import content_distance, content_scale
from brushwork.losses.statistics import blend
from brushwork.optimize.recorded import Recorded

StyleTarget = Moments | Gaussian | Projections | Patches
"""What a style loss compares with: moments, sorted projections or single feature vectors."""


@dataclass(frozen=True)
class Target:
    """What the picture is to match, a layer each: the photo's features and the paintings' statistics."""

    content: dict[str, Tensor]
    scale: dict[str, float]  # what each content layer's Σ(F−P)² is multiplied by
    style: dict[str, StyleTarget]
    unit: dict[str, float]  # what each layer's style loss is divided by


@dataclass(frozen=True)
class Evaluation:
    """A picture's losses and the gradient of their total, (1, 3, H, W)."""

    losses: Losses
    gradient: Tensor


@dataclass(frozen=True)
class Objective:
    """The loss of a job at one size."""

    encoder: VGG19
    target: Target
    settings: Settings
    _recorded: Recorded = field(default_factory=Recorded, init=False, repr=False, compare=False)

    def evaluate(self, image: Tensor) -> Evaluation:
        """Losses and gradient at a picture (1, 3, H, W), RGB, nominally 0..1."""
        gradient, terms = self._recorded(self.measure, image) if self._is_steady else self.measure(image)
        return Evaluation(Losses(*terms.tolist()), gradient)

    def losses(self, image: Tensor) -> Losses:
        """The losses alone, in half the time of ``evaluate``; what is recorded is replayed whole."""
        if self._is_steady:
            return self.evaluate(image).losses
        with torch.no_grad():
            terms = [float(term) for term in self.terms(image)]
        return Losses(sum(terms), *terms)

    def measure(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient and (total, content, style, variation) as a tensor, so that nothing waits for it."""
        x = image.detach().requires_grad_()
        content, style, variation = self.terms(x)
        total = content + style + variation
        gradient = torch.zeros_like(x)
        if total.requires_grad:  # not when every weight is 0
            (gradient,) = torch.autograd.grad(total, x)
        return gradient, torch.stack([total, content, style, variation]).detach()

    @property
    def _is_steady(self) -> bool:
        """Whether it can be recorded: the other style losses wait for numbers in their middle."""
        moments = all(isinstance(target, Moments) for target in self.target.style.values())
        return moments and self.encoder.device.type == "cuda"

    def sweep(
        self, image: Tensor, begun: dict[str, Any] | None = None
    ) -> Generator[dict[str, Any], None, Evaluation]:
        """``evaluate`` as a generator, as a ``TiledObjective`` has it: here all is one step."""
        yield from ()
        return self.evaluate(image)

    @property
    def steps(self) -> int:
        """What ``sweep`` yields up to."""
        return 1

    def terms(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weighted content, style and total variation terms, scalars."""
        settings, (w_content, w_style) = self.settings, balance(self.settings)
        takers: dict[str, Taker[Tensor | Moments]] = dict.fromkeys(self.target.content, fork)
        for name, target in self.target.style.items():
            is_summed = isinstance(target, Moments | Gaussian)
            # The gradient of "w2" looks at a covariance's smallest eigenvalues.
            summed = partial(Moments.fork, exact=isinstance(target, Gaussian))
            takers.setdefault(name, summed if is_summed else fork)
        found = self.encoder.taken(image, takers, padding=beyond(settings))
        zero = image.new_zeros(())
        content = style = variation = zero
        for name, target in self.target.content.items():
            features = cast("Tensor", found[name]).to(target.dtype)
            loss = content_distance(features, target, self.target.scale[name])
            content = content + settings.content_layers[name] * loss
        pixels = image.shape[-2] * image.shape[-1]
        for name, target in self.target.style.items():
            loss = _style_loss(found[name], target, settings, pixels) / self.target.unit[name]
            style = style + settings.style_layers[name] * loss
        if weight := variation_weight(settings):
            variation = weight * _roughness(image, settings)
        return w_content * content, w_style * style, variation


def balance(settings: Settings) -> tuple[float, float]:
    """The weights of content and style at this ``strength``; at 0.5 they are the recipe's own.

    The ratio runs from all content at 0 to all style at 1, cubed so that the dial's whole length is
    useful: Gatys et al. walk it over four decades.
    """
    photo, painting = 2 * (1 - settings.strength), 2 * settings.strength
    return settings.content_weight * photo**3, settings.style_weight * painting**3


def layers_that_count(settings: Settings) -> tuple[list[str], list[str]]:
    """The layers of content and of style whose weight is not 0."""
    w_content, w_style = balance(settings)
    content = [name for name, weight in settings.content_layers.items() if weight * w_content]
    return content, [name for name, weight in settings.style_layers.items() if weight * w_style]


def variation_weight(settings: Settings) -> float:
    """The weight of total variation at this ``strength``.

    Towards the photo less is smoothed, and at strength 0 nothing: the photo stays as it is.
    """
    return settings.tv_weight * min(1.0, 2 * settings.strength)


def beyond(settings: Settings) -> Padding:
    """What the network sees beyond the picture's edges."""
    return "wrap" if settings.tileable else settings.padding


@torch.no_grad()
def make_target(
    encoder: VGG19, settings: Settings, photo: Tensor, paintings: Sequence[Tensor], weights: Sequence[float]
) -> Target:
    """Measure a photo and the paintings, each (1, 3, H, W); layers whose weight is 0 are left out."""
    content, style = layers_that_count(settings)
    kept = torch.promote_types(encoder.dtype, torch.float32)
    targets = _style_targets(encoder, settings, style, paintings, weights)
    features = encoder.features(photo, [*content, *style], padding=beyond(settings))
    unit = dict.fromkeys(style, 1.0)
    if settings.style_unit == "photo":
        pixels = photo.shape[-2] * photo.shape[-1]
        found = {n: float(_style_loss(features[n], targets[n], settings, pixels)) for n in style}
        unit = {name: max(value, LEAST_UNIT) for name, value in found.items()}
    photos = {name: features[name].to(kept) for name in content}
    scale = {name: _content_scale(settings, each) for name, each in photos.items()}
    return Target(photos, scale, targets, unit)


def _content_scale(settings: Settings, target: Tensor) -> float:
    return content_scale(settings.content_loss, target.numel(), float(target.square().sum()))


def _style_targets(
    encoder: VGG19,
    settings: Settings,
    layers: list[str],
    paintings: Sequence[Tensor],
    weights: Sequence[float],
) -> dict[str, StyleTarget]:
    """What each layer's style loss compares with; paintings do not wrap."""
    measured = [encoder.features(painting, layers, padding=settings.padding) for painting in paintings]
    return {name: _measure([found[name] for found in measured], weights, settings) for name in layers}


LEAST_UNIT = 1e-3
"""The least that a layer's style loss is divided by: a photo in the painting's own style leaves little."""


def _measure(features: Sequence[Tensor], weights: Sequence[float], settings: Settings) -> StyleTarget:
    """One layer's style target, of the features of one or several paintings."""
    if settings.style_loss == "sliced":
        return Projections.of(features, weights, seed=settings.seed)
    if settings.style_loss == "nearest":
        return Patches.of(features, weights, seed=settings.seed)
    moments = blend([Moments.of(each) for each in features], weights)
    return Gaussian.of(moments) if settings.style_loss == "w2" else moments


def _roughness(image: Tensor, settings: Settings) -> Tensor:
    return total_variation(image * settings.units, form=settings.tv_loss, wrap=settings.tileable)


def _style_loss(found: Tensor | Moments, target: StyleTarget, settings: Settings, pixels: int) -> Tensor:
    if isinstance(target, Projections):
        return sliced_loss(cast("Tensor", found), target)
    if isinstance(target, Patches):
        return nearest_loss(cast("Tensor", found), target)
    assert settings.style_loss not in ("sliced", "nearest")
    return style_loss(found, target, form=settings.style_loss, pixels=pixels)
