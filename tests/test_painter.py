"""The painter: the same picture for a seed at any size, and rich enough to be a style."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from brushwork.errors import InputError
from brushwork.painter import PAINTINGS, paint

Real = NDArray[np.float64]

every_painting = pytest.mark.parametrize("name", PAINTINGS)


@cache
def _painted(name: str, size: int = 256, seed: int = 0) -> NDArray[np.uint8]:
    return paint(name, size=size, seed=seed)


def _halved(picture: NDArray[np.uint8] | Real) -> Real:
    half = len(picture) // 2
    return picture.reshape(half, 2, half, 2, 3).astype(float).mean(axis=(1, 3))


def _same(a: Real, b: Real) -> float:
    """The correlation of two pictures."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize(("name", "size"), [("swirls", 256), ("strokes", 101), ("tiles", 64)])
def test_shape_and_type(name: str, size: int) -> None:
    picture = _painted(name, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


@every_painting
def test_same_seed_same_picture(name: str) -> None:
    assert np.array_equal(_painted(name), paint(name, size=256))


@every_painting
def test_another_seed_another_picture(name: str) -> None:
    other = _painted(name, seed=1)
    assert np.abs(_painted(name).astype(float) - other).mean() > 10


@every_painting
def test_same_picture_at_another_size(name: str) -> None:
    """Painted with twice the pixels, the same strokes lie in the same places."""
    assert _same(_halved(_painted(name, 512)), _painted(name, 256).astype(float)) > 0.95


@every_painting
def test_contrast_in_every_frequency_band(name: str) -> None:
    """Each octave of detail, down to single pixels, keeps contrast that a style can be learnt from."""
    level, contrasts = _painted(name).astype(float), list[float]()
    for _ in range(6):
        coarser = _halved(level)
        contrasts.append(float((level - coarser.repeat(2, axis=0).repeat(2, axis=1)).std()))
        level = coarser
    assert min(contrasts) > 5, contrasts


@every_painting
def test_uses_a_full_palette(name: str) -> None:
    picture = _painted(name).astype(float)
    value = picture.mean(axis=2)
    low, high = np.percentile(value, [2, 98])
    assert high - low > 120
    blue_over_red = picture[..., 2] - picture[..., 0]
    assert (blue_over_red > 40).mean() > 0.05  # cool
    assert (blue_over_red < -40).mean() > 0.05  # and warm
    bins = np.unique((picture // 32).reshape(-1, 3), axis=0)
    assert len(bins) > 100


@every_painting
def test_little_is_burnt_out(name: str) -> None:
    picture = _painted(name)
    assert (picture.min(axis=2) == 255).mean() < 0.01
    assert (picture.max(axis=2) == 0).mean() < 0.01


def test_swirls_are_a_night_over_dark_land() -> None:
    picture = _painted("swirls").astype(float)
    sky, land = picture[:160], picture[215:]
    assert sky[..., 2].mean() > sky[..., 0].mean() + 40
    assert land.mean() < sky.mean() - 30


def test_tiles_have_a_warm_sun_in_a_cool_sky() -> None:
    picture = _painted("tiles").astype(float)
    sun, corner = picture[70:105, 137:170], picture[:40, :40]
    assert sun[..., 0].mean() > sun[..., 2].mean() + 80
    assert corner[..., 2].mean() > corner[..., 0].mean() + 40


def test_unknown_painting_is_refused() -> None:
    with pytest.raises(InputError, match=r"'dots' is unknown; choose one of swirls, strokes, tiles"):
        paint("dots")


@pytest.mark.parametrize("size", [0, 63, 4097])
def test_size_outside_limits_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=rf"size {size} is outside 64\.\.4096"):
        paint("tiles", size=size)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed -1 is below 0"):
        paint("tiles", seed=-1)
