"""Pictures too large to be held whole: read in strips, written in tiles."""

from __future__ import annotations

import sys
import tracemalloc
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor

from brushwork import encode, huge, strips
from brushwork.encode import Rounding, encode_picture, read_job, save_picture, to_array, to_image
from brushwork.errors import InputError, MissingExtraError
from brushwork.huge import is_huge, pixels_of, read_shrunk
from brushwork.images import Picture, read_picture, resize
from commands import Desk


@pytest.fixture
def large_file(tmp_path: Path, photo: Tensor) -> Path:
    to_image(resize(photo, 480, 640, "bicubic")).save(path := tmp_path / "large.png")
    return path


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "LARGE", 10_000)


@pytest.mark.usefixtures("small_limit")
def test_a_huge_picture_is_read_at_twice_the_size_that_is_needed(large_file: Path) -> None:
    assert pixels_of(large_file) == 640 * 480
    assert is_huge(large_file, 64)
    assert not is_huge(large_file, None)  # all of it is needed
    assert not is_huge(large_file, 400)
    found = read_shrunk(large_file, 64).pixels
    assert found.shape == (1, 3, 96, 128)
    expected = resize(read_picture(large_file).pixels, 96, 128, "area")
    assert (found - expected).abs().mean() < 0.005


@pytest.mark.usefixtures("small_limit")
def test_it_is_upright_and_over_white(tmp_path: Path, photo: Tensor) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned a quarter
    to_image(resize(photo, 480, 640, "bicubic")).save(tmp_path / "turned.jpg", exif=exif)
    assert read_shrunk(tmp_path / "turned.jpg", 64).pixels.shape == (1, 3, 128, 96)
    clear = Image.new("RGBA", (300, 200), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png", dpi=(300, 300))
    found = read_shrunk(tmp_path / "clear.png", 30)
    assert found.dpi == pytest.approx((300, 300), abs=0.1)
    assert read_shrunk(tmp_path / "turned.jpg", 64).dpi is None
    assert found.alpha is not None and float(found.alpha.max()) == 0
    assert float(found.pixels.min()) == 1
    Image.new("L", (300, 200), 128).save(tmp_path / "grey.png")
    assert read_shrunk(tmp_path / "grey.png", 30).pixels.shape == (1, 3, 40, 60)


@pytest.mark.usefixtures("small_limit")
def test_stylize_reads_it_so(desk: Desk, large_file: Path) -> None:
    outcome = desk.stylize(content=large_file.name, max_pixels=200_000)
    assert (outcome.json["width"], outcome.json["height"]) == (48, 36)
    assert (
        "over the limit"
        in desk.stylize(content=large_file.name, max_pixels=200_000, size="original", json=None).complaint
    )


@pytest.mark.usefixtures("small_limit")
def test_damage_and_a_missing_extra_are_one_line(large_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = large_file.read_bytes()
    large_file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_shrunk(large_file, 64)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(MissingExtraError, match=r"megapixels .* 'brushwork\[large\]'"):
        read_shrunk(large_file, 64)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_large_tiff_is_a_pyramid(
    bits: int, with_alpha: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(encode, "LARGE", 100_000)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(1, 3, 500, 700, generator=generator)
    alpha = torch.rand(1, 1, 500, 700, generator=generator) if with_alpha else None
    data = encode_picture(Picture(pixels, alpha, bits), "TIFF", job='{"a": "ä"}')
    with tifffile.TiffFile(BytesIO(data)) as file:
        levels = file.series[0].levels
        assert [level.shape[:2] for level in levels] == [(500, 700), (250, 350), (125, 175)]
        assert getattr(file.pages[0], "is_tiled")  # noqa: B009
        found = levels[0].asarray()
        assert np.array_equal(found[..., :3], to_array(pixels, bits=bits))
        half = to_array(resize(pixels, 250, 350, "area"), bits=bits)
        assert np.abs(levels[1].asarray()[..., :3].astype(int) - half).max() <= 1
        quarter = to_array(resize(pixels, 125, 175, "area"), bits=bits)
        assert np.abs(levels[2].asarray()[..., :3].astype(int) - quarter).max() <= 1
        if alpha is not None:
            for level, (height, width) in zip(levels, [(500, 700), (250, 350), (125, 175)], strict=True):
                clear = to_array(resize(alpha, height, width, "area"), bits=bits)
                assert np.abs(level.asarray()[..., 3:].astype(int) - clear).max() <= 1
    (tmp_path / "large.tif").write_bytes(data)
    assert read_job(tmp_path / "large.tif") == '{"a": "ä"}'
    again = read_picture(tmp_path / "large.tif")
    assert again.bits == bits
    assert (again.alpha is not None) == with_alpha


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_large_picture_is_truncated_where_that_is_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each strip, tile and half."""
    monkeypatch.setattr(encode, "LARGE", 1000)
    grey = Picture(torch.full((1, 3, 600, 300), 100.7 / 255))
    wanted: dict[Rounding, int] = {"round": 101, "truncate": 100}
    for rounding, level in wanted.items():
        data = encode_picture(grey, kind, rounding=rounding)
        assert (to_array(read_picture(data).pixels) == level).all()
        if kind == "TIFF":
            with tifffile.TiffFile(BytesIO(data)) as file:
                pyramid = file.series[0].levels
                assert len(pyramid) == 3
                assert all((each.asarray() == level).all() for each in pyramid)


@pytest.mark.parametrize(("side", "bits", "big"), [(23_000, 8, False), (17_000, 16, True), (24_000, 8, True)])
def test_a_tiff_beyond_four_gigabytes_has_wider_offsets(
    side: int, bits: int, big: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its levels may take as much; asked of the writer, which is not let write."""
    asked: list[bool] = []

    class Stopped(Exception):
        pass

    def writer(stream: BytesIO, *, bigtiff: bool) -> None:
        asked.append(bigtiff)
        raise Stopped

    monkeypatch.setattr(tifffile, "TiffWriter", writer)
    pixels = torch.zeros(1, 3, 1, 1).expand(1, 3, side, side)
    with pytest.raises(Stopped):
        save_picture(Picture(pixels, bits=bits), "TIFF", BytesIO())
    assert asked == [big]


# ------------------------------------------------------------------------------------- PNG by strips


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_large_png_is_what_a_small_one_is(
    bits: int, with_alpha: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: Tensor
) -> None:
    """In strips of a few rows: the same pixels, job, resolution and colour space."""
    generator = torch.Generator().manual_seed(1)
    alpha = torch.rand(1, 1, 150, 211, generator=generator) if with_alpha else None
    large = resize(photo, 150, 211, "bicubic")
    large[..., 70:] = torch.rand(1, 3, 150, 141, generator=generator)
    picture = Picture(large, alpha, bits, (300.0, 150.0))
    small = encode_picture(picture, "PNG", job='{"a": "ä"}')
    monkeypatch.setattr(encode, "LARGE", 1000)
    monkeypatch.setattr(strips, "STRIP", 20_000)
    (path := tmp_path / "large.png").write_bytes(encode_picture(picture, "PNG", job='{"a": "ä"}'))
    assert path.read_bytes().count(b"IDAT") > 2
    assert np.array_equal(imagecodecs.png_decode(path.read_bytes()), imagecodecs.png_decode(small))
    assert read_job(path) == '{"a": "ä"}'
    with Image.open(path) as image, Image.open(BytesIO(small)) as other:
        image.load()
        other.load()
        assert image.info == other.info
        assert np.array_equal(np.asarray(image), np.asarray(other))
    again = read_picture(path)
    assert (again.bits, again.dpi, again.alpha is not None) == (
        bits,
        pytest.approx((300, 150), 1e-3),
        with_alpha,
    )


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]), st.sampled_from([8, 16]), st.data())
@settings(max_examples=60, deadline=None)
def test_any_png_comes_back(height: int, width: int, channels: int, bits: int, data: st.DataObject) -> None:
    dtype = np.dtype(f"uint{bits}")
    values = data.draw(arrays(dtype, (height, width, channels), elements=st.integers(0, 2**bits - 1)))
    cut = data.draw(st.integers(1, height))
    file = b"".join(
        strips.png([values[:cut], values[cut:]][: 1 + (cut < height)], height, width, channels, bits, b"")
    )
    assert np.array_equal(imagecodecs.png_decode(file).reshape(values.shape), values)


def test_a_large_png_is_about_as_small(photo: Tensor) -> None:
    """The filters are chosen as libpng chooses them."""
    picture = Picture(resize(photo, 300, 400, "bicubic"))
    levels = to_array(picture.pixels)
    found = b"".join(strips.png([levels], 300, 400, 3, 8, b""))
    assert len(found) < 1.05 * len(imagecodecs.png_encode(levels, level=strips.LEVEL))


def test_a_long_strip_has_few_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "LARGE", 100)
    with tifffile.TiffFile(BytesIO(encode_picture(Picture(torch.rand(1, 3, 3, 2000)), "TIFF"))) as file:
        assert [level.shape[:2] for level in file.series[0].levels] == [(3, 2000), (1, 1000)]


def test_half_the_size_is_the_mean_of_four() -> None:
    levels = np.array([[[0], [1], [9]], [[1], [1], [9]], [[7], [7], [7]]], np.uint8)
    assert strips.halved(levels).tolist() == [[[1]]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_writing_a_large_picture_takes_little_memory(kind: str, tmp_path: Path) -> None:
    """Beyond the picture itself: PNG a few strips, TIFF a quarter of its levels for the halves."""
    pixels = torch.rand(1, 3, 64, 64).repeat(1, 1, 72, 72)  # 21 megapixels, 63 MB of levels, 255 MB of floats
    tracemalloc.start()
    try:
        with (tmp_path / "large").open("wb") as file:
            save_picture(Picture(pixels), kind, file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < {"PNG": 15e6, "TIFF": 60e6}[kind]
