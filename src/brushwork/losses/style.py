"""Style losses: distances between the moments of a picture's features and a painting's."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brushwork.errors import InputError
from brushwork.losses.statistics import Moments

StyleForm = Literal["gram", "gatys", "keras", "relative", "covariance", "w2"]


def style_loss(
    features: Tensor | Moments,
    target: Tensor | Moments,
    *,
    form: StyleForm = "gram",
    pixels: int | None = None,
) -> Tensor:
    """Distance of one layer's style to a painting's, a scalar ≥ 0.

    ``features`` and ``target`` are feature maps (1, C, h, w) or their ``Moments``. With G and A the Gram
    matrices, N the channels and M the positions of ``features``:

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
    mine = features if isinstance(features, Moments) else Moments.of(features)
    theirs = target if isinstance(target, Moments) else Moments.of(target)
    if mine.second.shape != theirs.second.shape:
        raise InputError(f"style of {theirs.first.numel()} channels for features of {mine.first.numel()}")
    if form in ("covariance", "w2"):
        return _gaussian_distance(mine, theirs, form)
    squares = (mine.gram - theirs.gram).square()
    if form == "gram":
        return squares.mean()
    if form == "gatys":
        return squares.mean() / 4
    if form == "relative":
        # A flat painting has no style at a layer: the smallest normal number keeps 0/0 from being NaN.
        return squares.sum() / theirs.gram.square().sum().clamp(min=1e-30)
    if form == "keras" and pixels:
        return squares.sum() * (mine.weight / pixels) ** 2 / (4 * 3**2)
    raise InputError(
        f"style_loss form {form!r}: choose gram, gatys, relative, covariance, w2, or keras with pixels="
    )


RIDGE = 1e-6
"""Added to both covariances, times the target's mean variance: fewer positions than channels leave zeros."""


def _gaussian_distance(mine: Moments, theirs: Moments, form: StyleForm) -> Tensor:
    """Distance of two Gaussians over the second's mean square feature."""
    means = (mine.mean - theirs.mean).square().sum()
    size = theirs.gram.trace().clamp(min=1e-12)
    if form == "w2":
        return (means + _bures(mine.covariance, theirs.covariance)) / size
    return (torch.linalg.vector_norm(mine.covariance - theirs.covariance) + means) / size


def _bures(covariance: Tensor, target: Tensor) -> Tensor:
    """tr(Σ + Σ' − 2(Σ'^½ΣΣ'^½)^½) of two (C, C) covariances."""
    ridge = RIDGE * (target.trace() / len(target)).clamp(min=1e-12)
    eye = ridge * torch.eye(len(target), dtype=target.dtype, device=target.device)
    mine, theirs = covariance + eye, target + eye
    cross: Any = _RootTrace.apply(mine, theirs, ridge)
    return mine.trace() + theirs.trace() - 2 * cross


class _RootTrace(torch.autograd.Function):
    """tr (RΣR)^½ with R = Σ'^½; its gradient ½R(RΣR)^−½R in closed form, from one eigendecomposition."""

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, target: Tensor, ridge: Tensor) -> Tensor:
        root = _square_root(target)
        values, vectors = torch.linalg.eigh(root @ covariance @ root)
        roots = values.clamp(min=float(ridge) ** 2).sqrt()  # what the ridges leave at least
        ctx.save_for_backward(root @ vectors, roots)
        return roots.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore
        turned, roots = ctx.saved_tensors
        return gradient * (turned / (2 * roots)) @ turned.mT, None, None


def _square_root(matrix: Tensor) -> Tensor:
    """The root of a symmetric positive (C, C) matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
