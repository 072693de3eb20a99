"""A painting at several scales and rotations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.jobs import Settings
from brushwork.losses import Moments
from brushwork.optimize.objective import make_target
from brushwork.optimize.scales import Scale
from brushwork.optimize.variants import turned, turned_size, variant_sizes, variants
from brushwork.weights import Weights
from commands import Desk

SCALE = Scale(48, 48, 1)
LAYER = "block1_conv1"


def settings_of(**options: Any) -> Settings:
    return build(Settings, {"style_layers": [LAYER], "content_layers": [LAYER], **options})


@pytest.fixture(scope="module")
def stripes() -> Tensor:
    """Horizontal ones, (1, 3, 48, 64)."""
    rows = (torch.arange(48) // 3 % 2).float()
    return rows.view(1, 1, 48, 1).repeat(1, 3, 1, 64)


def test_one_variant_is_the_painting_itself(stripes: Tensor) -> None:
    (only,) = variants(settings_of(), stripes, Scale(48, 64, 1))
    assert only.equal(stripes)


def test_every_scale_is_turned_every_way(stripes: Tensor) -> None:
    settings = settings_of(style_scales=[1, 0.5], style_rotations=["0", "90", "-30"], stroke_size=50)
    found = variants(settings, stripes, SCALE)
    sizes = [(each.shape[-2], each.shape[-1]) for each in found]
    assert sizes == variant_sizes(settings, (48, 64), SCALE)
    assert sizes[0] == (18, 24)
    assert sizes[1] == (24, 18)
    assert sizes[3] == (9, 12)


@pytest.mark.parametrize("degrees", [90, 180, 270, -90, 360])
def test_quarter_turns_are_exact(stripes: Tensor, degrees: float) -> None:
    assert turned(turned(stripes, degrees), -degrees).equal(stripes)
    assert turned(stripes, degrees).shape[-2:] == torch.Size(turned_size((48, 64), degrees))


@pytest.mark.parametrize("degrees", [1, 20, 45, 60, 89, 135, -10, 200, 300])
@pytest.mark.parametrize("size", [(60, 60), (40, 90), (120, 30)])
def test_nothing_from_outside_is_seen(degrees: float, size: tuple[int, int]) -> None:
    inside = turned(torch.ones(1, 3, *size), degrees)
    assert inside.shape[-2:] == torch.Size(turned_size(size, degrees))
    assert float(inside.min()) > 0.999
    assert inside.shape[-2] * inside.shape[-1] > 0.1 * size[0] * size[1]


def test_a_small_turn_keeps_nearly_all() -> None:
    assert turned_size((1000, 1000), 1) > (960, 960)


def test_turning_counterclockwise() -> None:
    """The right edge comes to the top."""
    picture = torch.zeros(1, 3, 60, 60)
    picture[..., 30:] = 1
    for degrees in (90, 75):
        found = turned(picture, degrees)
        assert float(found[..., 5, :].mean()) > 0.9
        assert float(found[..., -5, :].mean()) < 0.1


def test_stripes_with_a_quarter_turn_have_the_moments_of_both(weights: Weights, stripes: Tensor) -> None:
    encoder = VGG19(weights)
    settings = settings_of(style_rotations=[0, 90])
    both = variants(settings, stripes, SCALE)
    target = make_target(encoder, settings, stripes, both, [0.5, 0.5]).style[LAYER]
    lying, standing = (Moments.of(encoder.features(each, [LAYER])[LAYER]) for each in both)
    assert isinstance(target, Moments)
    torch.testing.assert_close(target.gram, (lying.gram + standing.gram) / 2)
    assert (lying.gram - standing.gram).norm() > 0.1 * lying.gram.norm()


@pytest.mark.parametrize(
    ("option", "value", "limit"),
    [
        ("style_scales", "0.01", "0.1"),
        ("style_scales", "11", "10"),
        ("style_rotations", "400", "360"),
        ("style_rotations", "left", "number"),
    ],
)
def test_a_bad_value_is_one_line(desk: Desk, option: str, value: str, limit: str) -> None:
    complaint = desk.stylize(**{option: [value]}).complaint
    assert value in complaint
    assert limit in complaint


def test_a_variant_too_small_for_a_layer_is_one_line(desk: Desk) -> None:
    complaint = desk.stylize(style_scales=["0.1"], style_layers=["block3_conv1"], size=32).complaint
    assert "3×3 pixels are too small for block3_conv1: the short side needs 4" in complaint


def test_no_variants_is_an_error() -> None:
    with pytest.raises(InputError, match="--style-scales"):
        settings_of(style_scales=[])
