"""Content losses: squared differences of feature maps."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from brushwork.errors import InputError

ContentForm = Literal["mean", "sum", "half-sum", "relative"]


def content_loss(features: Tensor, target: Tensor, *, form: ContentForm = "mean") -> Tensor:
    """Distance of one layer's features F to the photo's P, both (1, C, h, w); a scalar ≥ 0.

    "mean" mean(F−P)² (the TensorFlow tutorials), "sum" Σ(F−P)² (the Keras example), "half-sum" ½Σ(F−P)²
    (Gatys et al., arXiv 1508.06576, eq. 1), "relative" Σ(F−P)²/ΣP², the same at every size and for every
    network. Raises InputError when the shapes differ.
    """
    if features.shape != target.shape:
        raise InputError(f"content features {tuple(features.shape)} against {tuple(target.shape)}")
    squares = (features - target).square()
    if form == "mean":
        return squares.mean()
    if form == "sum":
        return squares.sum()
    if form == "half-sum":
        return squares.sum() / 2
    if form == "relative":
        return squares.sum() / target.square().sum().clamp(min=1e-30)  # a dead layer has no content
    raise InputError(f"content_loss form {form!r}: choose mean, sum, half-sum or relative")
