"""The recipe ``default`` on bad input, and what it promises: one job, the same picture at any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from brushwork.api import stylize
from brushwork.errors import InputError
from brushwork.images import resize
from brushwork.recipes import names

QUICK = {"steps": 6, "threads": 1, "coarsest": 24}
FLAT, BLACK = torch.full((1, 3, 64, 64), 0.6), torch.zeros(1, 3, 48, 64)


def painted(photo: Tensor, *paintings: Tensor, **options: Any) -> Tensor:
    result = stylize(photo, list(paintings), **({"size": 48} | QUICK | options)).picture.pixels
    assert result.isfinite().all()
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    return result


@pytest.mark.parametrize("form", ["covariance", "relative", "w2", "sliced", "nearest"])
@pytest.mark.parametrize("case", ["flat style", "black photo", "both", "its own style", "style twice"])
def test_odd_pictures_give_a_picture(case: str, form: str, photo: Tensor, painting: Tensor) -> None:
    pictures = {
        "flat style": (photo, FLAT),
        "black photo": (BLACK, painting),
        "both": (BLACK, FLAT),
        "its own style": (photo, photo),
        "style twice": (photo, painting, painting),
    }[case]
    painted(*pictures, style_loss=form)


@pytest.mark.parametrize("name", ["content_weight", "style_weight", "tv_weight"])
def test_weights_of_0_give_a_picture(name: str, photo: Tensor, painting: Tensor) -> None:
    painted(photo, painting, **{name: 0})


def test_no_weight_at_all_leaves_the_start(photo: Tensor, painting: Tensor) -> None:
    options = {"content_weight": 0, "style_weight": 0, "tv_weight": 0, "init": "content"}
    found = painted(photo, painting, scales={"1": 1}, **options)
    assert torch.allclose(found, resize(photo, 36, 48, "lanczos"), atol=1e-6)


def test_strength_runs_from_the_photo_to_the_painting(photo: Tensor, painting: Tensor) -> None:
    """At 0 the photo itself; the farther, the less of it."""
    original = resize(photo, 36, 48, "lanczos")
    results = [painted(photo, painting, strength=s, steps=20) for s in (0, 0.2, 0.5, 1)]
    far = [float((result - original).abs().mean()) for result in results]
    assert far[0] < 1e-6
    assert far == sorted(far)


@pytest.mark.parametrize("size", [32, 33, 50])
def test_small_sizes(size: int, photo: Tensor, painting: Tensor) -> None:
    assert painted(photo, painting, size=size).shape[-1] == size


def test_a_size_beyond_the_memory_is_one_line(photo: Tensor, painting: Tensor) -> None:
    with pytest.raises(InputError, match=r"GB of memory and .* free: give --size"):
        painted(photo, painting, size=60000)


@pytest.mark.parametrize("recipe", [name for name in names() if name not in ("keras-example", "course")])
def test_every_recipe_paints(recipe: str, photo: Tensor, painting: Tensor) -> None:
    assert painted(photo, painting, recipe=recipe, size=64).std() > 0.01


@pytest.mark.slow
def test_one_job_is_the_same_picture_at_two_sizes(photo: Tensor, painting: Tensor) -> None:
    """Half of the large one is nearer to the small one than either is to the photo."""
    small, large = (painted(photo, painting, size=s, steps=40, coarsest=32) for s in (64, 128))
    original = resize(photo, 48, 64, "lanczos")
    shrunk = resize(large, 48, 64, "area")
    assert (shrunk - small).abs().mean() < 0.6 * (original - small).abs().mean()
