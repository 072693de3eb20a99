"""Style losses: distances between the moments of a picture's features and a painting's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brushwork.errors import InputError
from brushwork.losses.statistics import Moments, in_float64

StyleForm = Literal["gram", "gatys", "keras", "relative", "covariance", "w2"]

RIDGE = 1e-4
"""Added to covariances, times the target's mean variance: fewer positions than channels leave zeros."""


@dataclass(frozen=True)
class Gaussian:
    """A painting's moments with the root of its covariance, which is costly and the same for every "w2"."""

    moments: Moments
    ridge: Tensor  # scalar
    root: Tensor  # (C, C), of the covariance with the ridge

    @staticmethod
    def of(moments: Moments) -> Gaussian:
        """From one or several paintings' moments."""
        covariance = moments.covariance
        ridge = RIDGE * (covariance.trace() / len(covariance)).clamp(min=1e-12)
        values, vectors = torch.linalg.eigh(in_float64(_ridged(covariance, ridge)))
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
        return Gaussian(moments, ridge, root.to(covariance))


def style_loss(
    features: Tensor | Moments,
    target: Tensor | Moments | Gaussian,
    *,
    form: StyleForm = "gram",
    pixels: int | None = None,
) -> Tensor:
    """Distance of one layer's style to a painting's, a scalar ≥ 0.

    ``features`` and ``target`` are feature maps (1, C, h, w) or their ``Moments``; for "w2" a ``Gaussian``
    made once saves time. With G and A the Gram matrices, N the channels and M the positions of ``features``:

    - "gram": mean((G/M − A/M')²), the TensorFlow tutorials';
    - "gatys": Σ(G − A)² / (4N²M²), E_l of arXiv 1508.06576, eq. 4;
    - "keras": Σ(G − A)² / (4·3²·pixels²), the Keras example's, ``pixels`` the picture's rows × columns;
    - "relative": Σ(G/M − A/M')² / Σ(A/M')², the same at every size and for every network;
    - "covariance": (‖Σ − Σ'‖ + ‖μ − μ'‖²) / tr(A/M'), covariances by their Frobenius distance and means;
      like "w2" it is quadratic in the features where Gram matrices squared are quartic, so that a few
      strong channels do not rule, at the price of one subtraction;
    - "w2": (‖μ − μ'‖² + tr(Σ + Σ' − 2(Σ'^½ΣΣ'^½)^½)) / tr(A/M'), the squared Wasserstein distance of the
      two Gaussians (Bures; Olkin & Pukelsheim 1982).

    A is scaled from the painting's M' positions to M, so that "gatys" and "keras" do not depend on the
    painting's size; for paintings of the photo's size this is the published formula itself.
    Raises InputError for other shapes or an unknown form.
    """
    mine, theirs = _moments(features), _moments(target)
    if mine.second.shape != theirs.second.shape:
        raise InputError(f"style of {theirs.first.numel()} channels for features of {mine.first.numel()}")
    if form == "covariance":
        return _covariance_distance(mine, theirs)
    if form == "w2":
        return _wasserstein(mine, target if isinstance(target, Gaussian) else Gaussian.of(theirs))
    if form in ("gram", "gatys", "keras", "relative"):
        return _gram_distance(mine, theirs, form, pixels)
    raise InputError(f"style_loss form {form!r}: choose gram, gatys, keras, relative, covariance or w2")


def _moments(style: Tensor | Moments | Gaussian) -> Moments:
    if isinstance(style, Gaussian):
        return style.moments
    return style if isinstance(style, Moments) else Moments.of(style)


def _gram_distance(mine: Moments, theirs: Moments, form: StyleForm, pixels: int | None) -> Tensor:
    squares = (mine.gram - theirs.gram).square()
    if form == "relative":
        # A flat painting has no style at a layer: the smallest normal number keeps 0/0 from being NaN.
        return squares.sum() / theirs.gram.square().sum().clamp(min=1e-30)
    if form == "keras":
        if not pixels:
            raise InputError("style_loss form 'keras' is told the picture's rows × columns: give pixels=")
        return squares.sum() * (mine.weight / pixels) ** 2 / (4 * 3**2)
    return squares.mean() / (4 if form == "gatys" else 1)


def _covariance_distance(mine: Moments, theirs: Moments) -> Tensor:
    means = (mine.mean - theirs.mean).square().sum()
    return (torch.linalg.vector_norm(mine.covariance - theirs.covariance) + means) / _size(theirs)


def _wasserstein(mine: Moments, theirs: Gaussian) -> Tensor:
    means = (mine.mean - theirs.moments.mean).square().sum()
    covariances = [_ridged(m.covariance, theirs.ridge) for m in (mine, theirs.moments)]
    cross: Any = _RootTrace.apply(covariances[0], theirs.root, theirs.ridge)
    traces = covariances[0].trace() + covariances[1].trace() - 2 * cross
    # A difference of large sums: of equal pictures rounding may leave it below 0.
    return (means + traces - traces.clamp(max=0).detach()) / _size(theirs.moments)


def _size(moments: Moments) -> Tensor:
    """The mean square of a painting's features, summed over channels."""
    return moments.gram.trace().clamp(min=1e-12)


def _ridged(covariance: Tensor, ridge: Tensor) -> Tensor:
    return covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)


class _RootTrace(torch.autograd.Function):
    """tr (RΣR)^½ with R = Σ'^½; its gradient ½R(RΣR)^−½R in closed form, from one eigendecomposition."""

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, root: Tensor, ridge: Tensor) -> Tensor:
        # In float64, which takes 40 ms a step at 512 channels: the small eigenvalues rule the gradient.
        exact = in_float64(root)
        values, vectors = torch.linalg.eigh(exact @ in_float64(covariance) @ exact)
        roots = values.clamp(min=float(ridge) ** 2).sqrt()  # what the ridges leave at least
        ctx.save_for_backward((exact @ vectors).to(root), roots.to(root))
        return roots.sum().to(root)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore
        turned, roots = ctx.saved_tensors
        return gradient * (turned / (2 * roots)) @ turned.mT, None, None
