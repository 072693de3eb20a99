"""What an engine reports while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `brushwork recipes` does without torch, which takes seconds
    from torch import Tensor

    from brushwork.images import Picture


@dataclass(frozen=True)
class Losses:
    """The weighted terms; they add up to ``total``."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Started:
    """The work begins: final size in pixels, evaluations planned, what computes it."""

    width: int
    height: int
    evaluations: int
    device: str
    precision: str
    weights: str
    start: Tensor  # (1, 3, h, w) the picture before the first step, at the first scale


@dataclass(frozen=True)
class Progress:
    """One loss evaluation and the step that it led to."""

    evaluation: int  # from 1, over all scales
    evaluations: int
    scale: int  # long side in pixels
    step: int  # from 1, within the scale
    losses: Losses  # before the step
    gradient_norm: float
    image: Tensor  # (1, 3, h, w) after the step, RGB, nominally 0..1, in the result's colours


@dataclass(frozen=True)
class Finished:
    """The result."""

    picture: Picture
    losses: Losses
    evaluations: int


Event = Started | Progress | Finished
