"""Means and variances over so many positions that float32 cannot add them up.

torch's quickest reduction for channels-last features adds in float32, one position after the other: over 18
million of them (a photo of 24 megapixels has more) means came out 4 % wrong, variances 1 %. Over strips it is
exact to 1e-4, in the same time.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from brushwork.feedforward.stylenet import Moments

STRIP: Final = 1 << 18  # positions that are added up in float32


class Sums:
    """Moments of features, added up over strips and tiles in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def add(self, x: Tensor, *, folded: bool = False) -> None:
        """Add those of features (1, C, h, w), of folded ones over their squares too."""
        for strip in x.split(max(1, STRIP // x.shape[-1]), dim=-2):
            count = strip.shape[-2] * strip.shape[-1]
            mean, variance = (part.double() for part in torch.batch_norm_update_stats(strip, None, None, 0.0))
            first, second = count * mean, count * (variance + mean.square())
            if folded:
                count, first, second = 4 * count, *(part.view(4, -1).sum(0) for part in (first, second))
            self._count += count
            self._first, self._second = self._first + first, self._second + second

    def moments(self, dtype: torch.dtype) -> Moments:
        """Mean and variance of all that was added."""
        mean = torch.as_tensor(self._first) / self._count
        variance = (torch.as_tensor(self._second) / self._count - mean.square()).clamp_(min=0)
        return Moments(mean.to(dtype), variance.to(dtype))
