"""Total variation, and the edge pictures that show what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from brushwork.errors import InputError

VariationForm = Literal["l1", "keras", "mean"]


def total_variation(image: Tensor, *, form: VariationForm = "l1", wrap: bool = False) -> Tensor:
    """Roughness of a picture (1, C, H, W), a scalar ≥ 0, in the units of its values.

    With dx and dy the forward differences: "l1" Σ|dx| + Σ|dy| (tf.image.total_variation), "keras"
    Σ(dx² + dy²)^1.25 over the (H−1)×(W−1) interior (the Keras example), "mean" mean(dx²) + mean(dy²).
    ``wrap`` adds the differences from the last row and column to the first.
    Raises InputError for an unknown form.
    """
    window = pad(image, (0, 1, 0, 1), mode="circular") if wrap else image
    return window_variation(window, image.shape, form=form, wrap=wrap)


def window_variation(
    window: Tensor,
    picture: Sequence[int],
    *,
    core: tuple[int, int] | None = None,
    form: VariationForm = "l1",
    wrap: bool = False,
) -> Tensor:
    """A window's share of the ``total_variation`` of a picture of shape (1, C, H, W).

    ``window`` (1, C, h, w) holds ``core`` = (rows, columns) pixels of its own (all of the picture when not
    given) and behind them, unless the picture ends there, one more row and column, which the next window
    owns. Windows whose cores cover the picture add up to the whole.
    """
    rows, columns = core or (picture[-2], picture[-1])
    dx = window[..., :rows, 1:] - window[..., :rows, :-1]
    dy = window[..., 1:, :columns] - window[..., :-1, :columns]
    if form == "l1":
        return dx.abs().sum() + dy.abs().sum()
    if form == "keras":
        height, width = dy.shape[-2], dx.shape[-1]
        return (dx[..., :height, :].square() + dy[..., :width].square()).pow(1.25).sum()
    if form == "mean":
        channels, height, width = picture[-3], picture[-2], picture[-1]
        across = channels * height * (width if wrap else width - 1)
        down = channels * width * (height if wrap else height - 1)
        return dx.square().sum() / max(across, 1) + dy.square().sum() / max(down, 1)
    raise InputError(f"total_variation form {form!r}: choose l1, keras or mean")


def high_pass(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical forward differences of (1, C, H, W), zero in the last column and row."""
    dx, dy = torch.zeros_like(image), torch.zeros_like(image)
    dx[..., :, :-1] = image[..., :, 1:] - image[..., :, :-1]
    dy[..., :-1, :] = image[..., 1:, :] - image[..., :-1, :]
    return dx, dy
