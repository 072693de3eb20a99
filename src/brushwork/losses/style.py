"""Style losses: distances between the moments of a picture's features and a painting's."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from brushwork.errors import InputError
from brushwork.losses.statistics import Moments

StyleForm = Literal["gram", "gatys", "keras", "relative"]


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
    - "relative": Σ(G/M − A/M')² / Σ(A/M')², the same at every size and for every network.

    A is scaled from the painting's M' positions to M, so that "gatys" and "keras" do not depend on the
    painting's size; for paintings of the photo's size this is the published formula itself.
    Raises InputError for other shapes or an unknown form.
    """
    mine = features if isinstance(features, Moments) else Moments.of(features)
    theirs = target if isinstance(target, Moments) else Moments.of(target)
    if mine.second.shape != theirs.second.shape:
        raise InputError(f"style of {theirs.first.numel()} channels for features of {mine.first.numel()}")
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
    raise InputError(f"style_loss form {form!r}: choose gram, gatys, relative, or keras with pixels=")
