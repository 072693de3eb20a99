"""A painting's finest detail, laid over a picture that was enlarged and has none of it.

After Freeman, Jones and Pasztor, "Example-based super-resolution" (IEEE CG&A 2002), and Hertzmann et al.,
"Image analogies" (SIGGRAPH 2001): what a patch lacks is what the most similar patch of a painting loses when
that is shrunk and enlarged as the picture was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from brushwork.images import resize

PATCH, STRIDE = 16, 8  # pixels; with patches of 8 hatching comes out shorter, 32 are no better
EXAMPLES = 4096  # of all paintings: what is looked up grows with the picture alone
AT_ONCE = 2048  # patches that are looked up at once: 34 MB
AMOUNTS = (0.0, 0.5, 1.0)  # that are tried
FAINTEST = 1 / 255  # contrast that makes no difference


class Examples(NamedTuple):
    """Patches of paintings, (n, 3·PATCH²) each: without their finest detail, and that detail."""

    plain: Tensor
    detail: Tensor


def missing_detail(
    image: Tensor, paintings: Sequence[Tensor], weights: Sequence[float], ratio: float, *, wrap: bool = False
) -> Tensor:
    """What to add to an enlarged picture (1, 3, H, W) in 0..1, of its shape; 0 where nothing is known.

    ``ratio`` is the size that it was enlarged from, below 1 of its own. ``paintings`` (1, 3, h, w) are of
    the size whose strokes it is to have; each gives examples by its weight. ``wrap`` makes opposite sides
    meet, when these are multiples of ``STRIDE``.
    """
    height, width = image.shape[-2:]
    shares = [EXAMPLES * weight / sum(weights) for weight in weights]
    found = [examples_of(p, ratio, share) for p, share in zip(paintings, shares, strict=True) if share >= 1]
    examples = Examples(*(torch.cat(each) for each in zip(*found, strict=True)))
    if not len(examples.plain):
        return torch.zeros_like(image)
    down, across = (math.ceil(side / STRIDE) + 1 for side in (height, width))  # patches
    beyond = (STRIDE, STRIDE * across - width, STRIDE, STRIDE * down - height)
    padded = F.pad(image, beyond, mode="circular" if wrap else "replicate")
    result, step = torch.zeros_like(padded), max(1, AT_ONCE // across)
    for first in range(0, down, step):
        rows = slice(STRIDE * first, STRIDE * (min(first + step, down) + 1))
        result[..., rows, :] += _laid(padded[..., rows, :], examples)
    return result[..., STRIDE : STRIDE + height, STRIDE : STRIDE + width].contiguous()


def examples_of(painting: Tensor, ratio: float, count: float) -> Examples:
    """Some ``count`` patches of a painting (1, 3, h, w), spread evenly; none when it is smaller than one."""
    height, width = painting.shape[-2:]
    if min(height, width) < PATCH:
        none = painting.new_zeros(0, 3 * PATCH**2)
        return Examples(none, none)
    small = resize(painting, max(1, round(height * ratio)), max(1, round(width * ratio)), "bicubic")
    plain = resize(small, height, width, "bicubic")
    stride = max(STRIDE, math.ceil(math.sqrt(height * width / count)))
    before, after = (F.unfold(each, PATCH, stride=stride)[0].T for each in (painting, plain))
    return Examples(after, before - after)


def best_amount(none: float, half: float, whole: float) -> float:
    """How much of a detail to add, 0..1, by the losses with each of ``AMOUNTS``.

    Detail that lies anywhere moves sums of squares, so it is the square of its amount that a loss bends
    along: the lowest point of the parabola in that. 0 when a loss is no number.
    """
    rise, end = 16 * (half - none), whole - none
    slope = (rise - end) / 3
    bend = end - slope
    if not math.isfinite(bend):
        return 0.0
    if bend <= 0:
        return float(end < 0)
    return math.sqrt(min(1.0, max(0.0, -slope / (2 * bend))))


def _laid(strip: Tensor, examples: Examples) -> Tensor:
    """The detail of a strip's patches, each faded out towards its edges so that they add up to one."""
    patches = F.unfold(strip, PATCH, stride=STRIDE)[0].T
    nearest = (patches @ examples.plain.T).sub_(examples.plain.square().sum(1) / 2).argmax(1)
    amount = _contrast(patches).div_(_contrast(examples.plain)[nearest]).clamp_(max=1)
    fade = torch.hann_window(PATCH, periodic=True, device=strip.device)
    fade = torch.outer(fade, fade).flatten().repeat(3)
    detail = examples.detail[nearest] * amount[:, None] * fade
    return F.fold(detail.T[None], strip.shape[-2:], PATCH, stride=STRIDE)


def _contrast(patches: Tensor) -> Tensor:
    """Deviation of patches (n, 3·PATCH²) from their own colours, one number each."""
    return patches.unflatten(1, (3, -1)).var(2, correction=0).mean(1).sqrt_().add_(FAINTEST)
