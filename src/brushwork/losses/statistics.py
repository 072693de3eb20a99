"""Statistics of feature maps as additive raw sums: tiles add, masks weight, styles blend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brushwork.errors import InputError


class _Sums(torch.autograd.Function):
    """ΣF and F·Fᵀ whose backward is one product: (D + Dᵀ)·F + d, where autograd would make four passes."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.set_materialize_grads(False)
        return features.sum(1), features @ features.mT

    @staticmethod
    def backward(ctx: Any, first: Tensor | None, second: Tensor | None) -> Tensor | None:  # pyright: ignore
        (features,) = ctx.saved_tensors
        return _pull(features, first, second)


def _sums(features: Tensor) -> tuple[Tensor, Tensor]:
    return _Sums.apply(features)  # pyright: ignore[reportReturnType]


def _pull(features: Tensor, first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """The gradient (C, N) at features F (C, N) by those at ΣF (C,) and F·Fᵀ (C, C); None is zero."""
    if second is None:
        return None if first is None else first.to(features)[:, None].expand_as(features)
    # Written as (N, C) and turned, the result is channels-last like the features: adding it to the
    # gradient that comes from deeper layers is then one pass over memory.
    twice = (second + second.mT).to(features.dtype)
    pulled = features.mT @ twice if first is None else torch.addmm(first.to(twice), features.mT, twice)
    return pulled.mT


class _Fork(torch.autograd.Function):
    """``_Sums`` of features that also go on to the next layer: adds to the gradient that comes from there.

    At 512² that saves making and adding 67 MB in block 1, two fifths of this backward pass's time there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        if x.dtype == torch.bfloat16 and not exact:
            return *_sums_in_parts(_matrix(x).mT), x.detach()
        matrix = flatten(x)
        return matrix.sum(1), matrix @ matrix.mT, x.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:  # pyright: ignore
        (x,), (first, second, onward) = ctx.saved_tensors, gradients
        matrix = _matrix(x)
        if onward is not None and second is not None and _is_as(onward, matrix):
            rows = _matrix(onward).mT
            if first is not None:
                rows += first.to(rows)
            rows.addmm_(matrix.mT, (second + second.mT).to(rows))
            return onward, None
        found = _pull(matrix, first, second)
        if found is None or onward is None:
            return onward if found is None else found.reshape(x.shape), None
        return onward.add_(found.reshape(x.shape)), None


PARTS = 16  # of the positions


def _sums_in_parts(rows: Tensor) -> tuple[Tensor, Tensor]:
    """ΣF (C,) and FᵀF (C, C) in float32 of bfloat16 features F (N, C).

    A product is rounded to bfloat16. Of parts' products the errors average out: 5e-4 instead of 2e-3, in a
    third of the time of float32's copies and product.
    """
    whole = len(rows) // PARTS * PARTS
    parts, rest = rows[:whole].reshape(PARTS, -1, rows.shape[1]), rows[whole:].float()
    ones = parts.new_ones(PARTS, 1, parts.shape[1])
    first, second = (torch.bmm(left, parts).float().sum(0) for left in (ones, parts.mT))
    return first[0].add_(rest.sum(0)), second.addmm_(rest.mT, rest)


def _is_as(gradient: Tensor, matrix: Tensor) -> bool:
    """Whether a gradient (1, C, h, w), flattened like its features' matrix, is the same memory."""
    return gradient.dtype == matrix.dtype and gradient.is_contiguous(memory_format=torch.channels_last)


def flatten(features: Tensor) -> Tensor:
    """Feature maps (1, C, h, w) or (C, h, w) as a matrix F (C, N), N = h·w positions, at least float32."""
    matrix = _matrix(features)
    return matrix if matrix.dtype == torch.float64 else matrix.float()


def _matrix(features: Tensor) -> Tensor:
    """``flatten`` in the features' own type."""
    if features.ndim == 4 and features.shape[0] != 1:
        raise InputError(f"features of {features.shape[0]} pictures: give one picture's, (1, C, h, w)")
    if features.ndim not in (3, 4):
        raise InputError(f"features of shape {tuple(features.shape)}: need (1, C, h, w) or (C, h, w)")
    return features.reshape(features.shape[-3], -1)


def in_float64(tensor: Tensor, home: torch.device | None = None) -> Tensor:
    """In float64, on its own device or ``home``; on the processor for Apple's GPUs, which have none."""
    device = tensor.device if home is None else home
    return tensor.to("cpu" if device.type == "mps" else device).double()


@dataclass(frozen=True)
class Moments:
    """Raw sums over positions: ``weight`` N, ``first`` ΣF (C,), ``second`` ΣFFᵀ (C, C).

    Sums add, where means and covariances do not, so one mechanism serves tiles (add them), several
    styles (add their normalised ones by weight) and masks.
    """

    weight: float
    first: Tensor
    second: Tensor

    @staticmethod
    def of(features: Tensor) -> Moments:
        """The moments of feature maps (1, C, h, w) or (C, h, w); gradients flow back to them."""
        matrix = flatten(features)
        return Moments(float(matrix.shape[1]), *_sums(matrix))

    @staticmethod
    def fork(features: Tensor, *, exact: bool = True) -> tuple[Moments, Tensor]:
        """``of``, and the same features for a network's next layer, which must make its gradient itself.

        The moments' gradient is added to that one in place. Of bfloat16 features moments that need not be
        ``exact``, to 5e-4, are had faster.
        """
        first, second, onward = cast("tuple[Tensor, Tensor, Tensor]", _Fork.apply(features, exact))
        return Moments(float(features.shape[-2] * features.shape[-1]), first, second), onward

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.weight + other.weight, self.first + other.first, self.second + other.second)

    def __rmul__(self, factor: float) -> Moments:
        return Moments(factor * self.weight, factor * self.first, factor * self.second)

    def normalised(self) -> Moments:
        """Moments of weight 1: the mean, and the Gram matrix per position."""
        return (1 / self.weight) * self

    @property
    def mean(self) -> Tensor:
        """Mean feature μ, (C,)."""
        return self.first / self.weight

    @property
    def gram(self) -> Tensor:
        """Gram matrix per position G/N, (C, C)."""
        return self.second / self.weight

    @property
    def covariance(self) -> Tensor:
        """Covariance Σ = G/N − μμᵀ, (C, C)."""
        return self.gram - torch.outer(self.mean, self.mean)


def blend(moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Several styles as one: the weighted mean of their normalised moments, of weight 1."""
    total = sum(weights)
    parts = [(weight / total) * m.normalised() for m, weight in zip(moments, weights, strict=True)]
    return sum(parts[1:], start=parts[0])


def gram_matrix(
    features: Tensor, *, normalize: Literal["none", "positions", "elements"] = "positions"
) -> Tensor:
    """Gram matrix G = F·Fᵀ (C, C) of feature maps (1, C, h, w) or (C, h, w).

    ``normalize``: "none" leaves the sum (Gatys et al., arXiv 1508.06576; the Keras example), "positions"
    divides by N = h·w (the TensorFlow tutorials), "elements" by C·N (neural-style).
    Raises InputError for another shape.
    """
    matrix = flatten(features)
    divisor = {"none": 1, "positions": matrix.shape[1], "elements": matrix.numel()}
    if normalize not in divisor:
        raise InputError(f"normalize={normalize!r}: choose none, positions or elements")
    return _sums(matrix)[1] / divisor[normalize]


def levels(ordered: Tensor, count: int) -> Tensor:
    """Rows (K, N) in ascending order, read at ``count`` even levels of their distribution, (K, count)."""
    size = ordered.shape[1]
    if count == size:
        return ordered
    # The place (i + ½) / count · size − ½ in whole numbers over twice the count: no GPU's float32 errs there.
    at = (2 * torch.arange(count, device=ordered.device) + 1) * size - count
    low = at.div(2 * count, rounding_mode="floor").clamp(0, size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = (at - 2 * count * low).to(ordered.dtype) / (2 * count)
    return torch.lerp(ordered[:, low], ordered[:, high], share.clamp(0, 1))
