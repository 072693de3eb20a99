"""The margin of a scanned painting is found and cut off, and nothing of the painting with it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brushwork.api import stylize
from brushwork.images import read_picture
from brushwork.margins import margins, without_margin


def canvas(height: int, width: int, seed: int = 0) -> Tensor:
    """Patches of many colours, none of them near to the margins' of the tests."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 0.3 + 0.5 * torch.rand(1, 3, 1 + height // 6, 1 + width // 6, generator=generator)
    return F.interpolate(coarse, (height, width))


def framed(painting: Tensor, sides: tuple[int, int, int, int], colour: float) -> Tensor:
    top, bottom, left, right = sides
    return F.pad(painting, (left, right, top, bottom), value=colour)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 4), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 99))
def test_a_margin_is_found_on_each_side(sides: tuple[int, int, int, int], colour: float, seed: int) -> None:
    """To the pixel, and up to one more, where scans have the painting's own edge."""
    found = margins(framed(canvas(90, 110, seed), sides, colour))
    assert all(side <= cut <= side + 1 for side, cut in zip(sides, found, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_painting_without_a_margin_is_left_alone(height: int, width: int, seed: int) -> None:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    assert without_margin(noise).shape[-2:] == (height, width)


def test_a_flat_picture_and_wide_grounds_are_no_margins() -> None:
    assert margins(torch.full((1, 3, 40, 50), 0.2)) == (0, 0, 0, 0)
    assert margins(framed(canvas(60, 60), (20, 20, 20, 20), 0.9)) == (0, 0, 0, 0)  # a vignette on paper


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(-2.0, 2.0))
def test_a_frame_askew_and_of_two_colours_is_cut_off(seed: int, askew: float) -> None:
    """Only beyond where it reaches furthest into the picture, and no more than two rows of a hundred."""
    whole = canvas(200, 300, seed)
    columns, rows = torch.arange(300), torch.arange(200)[:, None]
    reach = 8 + askew * (columns / 299 - 0.5)
    shade = torch.where(columns < 150, 0.1, 1.0)
    frame = rows < reach
    whole = torch.where(frame, shade.expand(200, 300), whole)
    top, *others = margins(whole)
    assert 8 + abs(askew) / 2 <= top <= 12
    assert others == [0, 0, 0]


def test_a_broken_edge_is_the_paintings_own() -> None:
    """A table along half of a side, a horizon further inside than a frame is wide."""
    half, horizon = canvas(200, 300), canvas(200, 300)
    half[..., -10:, :150] = 0.0
    horizon[..., 160:, :] *= 0.2
    assert margins(half) == (0, 0, 0, 0)
    assert margins(horizon) == (0, 0, 0, 0)


def test_margins_of_a_large_picture_are_in_its_own_pixels() -> None:
    top, bottom, left, right = margins(framed(canvas(1200, 1800), (40, 50, 60, 70), 0.0))
    assert [round(side, -1) for side in (top - 6, bottom - 6, left - 10, right - 10)] == [40, 50, 60, 70]


def test_the_default_recipe_does_not_see_the_margin(photo: Tensor, painting: Tensor) -> None:
    margin = framed(painting, (3, 3, 3, 3), 0.0)
    inner = without_margin(margin)
    options = {"size": 48, "steps": 3, "threads": 1}
    whole, kept = (stylize(photo, margin, style_margin=s, **options) for s in ("crop", "keep"))
    assert torch.equal(stylize(photo, margin, **options).picture.pixels, whole.picture.pixels)
    cut = stylize(photo, inner, style_margin="keep", **options)
    assert torch.equal(cut.picture.pixels, whole.picture.pixels)
    assert not torch.equal(kept.picture.pixels, whole.picture.pixels)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("met_436947_manet_boating.webp", "top bottom left right"),
        ("met_439344_dahl_two_men_before_a_waterfall_at_sunset.webp", "top bottom left right"),
        ("red_chalk_woman_in_peasant_dress.jpg", "top bottom left right"),  # mounted on paper
        ("van_gogh_starry_night_google.jpg", "right"),  # bare canvas
        ("turner_shipwreck_of_the_minotaur.jpg", ""),  # dark at two sides
        ("posada_calavera_oaxaquena.jpeg", ""),  # figures that begin in a line
        ("sakai_hoitsu_plum.jpg", ""),  # on a plain ground
    ],
)
def test_real_scans(shared_data: Path, name: str, expected: str) -> None:
    found = margins(read_picture(shared_data / "paintings" / name).pixels)
    sides = [side for side, cut in zip(("top", "bottom", "left", "right"), found, strict=True) if cut]
    assert sides == expected.split()
