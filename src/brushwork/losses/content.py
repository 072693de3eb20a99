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
    energy = float(target.square().sum()) if form == "relative" else 0.0
    return content_distance(features, target, content_scale(form, target.numel(), energy))


def content_distance(features: Tensor, target: Tensor, scale: float) -> Tensor:
    """``scale``·Σ(F−P)², a scalar, for whoever has the target's ``content_scale`` already."""
    return (features - target).square().sum() * scale


def content_scale(form: ContentForm, elements: int, energy: float) -> float:
    """What Σ(F−P)² over a whole picture, or its parts, is multiplied by.

    ``elements`` is the number of P's values and ``energy`` ΣP², of the whole picture.
    """
    if form == "mean":
        return 1 / max(elements, 1)
    if form == "sum":
        return 1.0
    if form == "half-sum":
        return 0.5
    if form == "relative":
        return 1 / max(energy, 1e-30)  # a dead layer has no content
    raise InputError(f"content_loss form {form!r}: choose mean, sum, half-sum or relative")
