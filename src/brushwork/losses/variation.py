"""Total variation, and the edge pictures that show what it does."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from brushwork.errors import InputError

VariationForm = Literal["l1", "keras", "mean"]


def total_variation(image: Tensor, *, form: VariationForm = "l1", wrap: bool = False) -> Tensor:
    """Roughness of a picture (1, C, H, W), a scalar ≥ 0, in the units of its values.

    With dx and dy the forward differences: "l1" Σ|dx| + Σ|dy| (tf.image.total_variation), "keras"
    Σ(dx² + dy²)^1.25 over the (H−1)×(W−1) interior (the Keras example), "mean" mean(dx²) + mean(dy²).
    ``wrap`` adds the differences from the last row and column to the first.
    Raises InputError for an unknown form.
    """
    if wrap:
        dx, dy = image.roll(-1, -1) - image, image.roll(-1, -2) - image
    else:
        dx, dy = image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]
    if form == "l1":
        return dx.abs().sum() + dy.abs().sum()
    if form == "keras":
        squares = dx.square() + dy.square() if wrap else dx[..., :-1, :].square() + dy[..., :, :-1].square()
        return squares.pow(1.25).sum()
    if form == "mean":
        return dx.square().sum() / max(dx.numel(), 1) + dy.square().sum() / max(dy.numel(), 1)
    raise InputError(f"total_variation form {form!r}: choose l1, keras or mean")


def high_pass(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical forward differences of (1, C, H, W), zero in the last column and row."""
    dx, dy = torch.zeros_like(image), torch.zeros_like(image)
    dx[..., :, :-1] = image[..., :, 1:] - image[..., :, :-1]
    dy[..., :-1, :] = image[..., 1:, :] - image[..., :-1, :]
    return dx, dy
