"""Pictures: everything that can be read, everything that cannot, sizes, and files written and read back."""

import io
import json
import math
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any, get_args

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from brushwork import decode, images, samples
from brushwork.encode import Rounding, encode_picture, format_of, read_job, to_array, to_image
from brushwork.errors import InputError, MissingExtraError
from brushwork.images import Method, Picture, read_picture, resize
from brushwork.profiles import srgb_profile, to_srgb

FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"]


def ramp(height: int = 48, width: int = 64, dtype: type = np.uint8) -> NDArray[Any]:
    """A smooth (H, W, 3) picture whose channels and corners all differ."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    values = np.stack([0.1 + 0.8 * x, 0.9 - 0.6 * y, 0.5 * (x + y)], axis=-1)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def noise(height: int, width: int, channels: int, bits: int, seed: int = 0) -> torch.Tensor:
    top = 2**bits - 1
    levels = np.random.default_rng(seed).integers(0, top + 1, (1, channels, height, width))
    return torch.from_numpy(levels.astype(np.float32) / np.float32(top))


def levels(picture: Picture) -> NDArray[Any]:
    return to_array(picture.pixels, bits=picture.bits).astype(int)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(buffer, array, **settings)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(array: NDArray[Any], *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A 16-bit PNG with chunks put in behind IHDR and before IEND."""
    data = bytes(imagecodecs.png_encode(array))
    return data[:33] + before + data[33:-12] + after + data[-12:]


def linear_profile() -> bytes:
    primaries = (0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1)
    return imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.329, 1), primaries=primaries, gamma=1.0)


def cmyk_profile() -> bytes:
    """A small printer profile: a lut8 table over the 16 corners of the ink cube, to Lab."""
    clut = b""
    for corner in range(16):
        cyan, magenta, yellow, black = (corner >> shift & 1 for shift in (3, 2, 1, 0))
        light = 255 - 70 * cyan - 80 * magenta - 20 * yellow
        lab = (light // (1 + 4 * black), 128 - 30 * cyan + 50 * magenta, 128 - 30 * cyan + 60 * yellow)
        clut += bytes(max(0, min(255, value)) for value in lab)
    matrix = b"".join(struct.pack(">i", 65536 * (i % 4 == 0)) for i in range(9))
    line = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + line * 4 + clut + line * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0test\0\0\0\0"
    tags, offset, body = b"", 128 + 4 + 4 * 12, b""
    for name, content in ((b"desc", text), (b"cprt", text), (b"wtpt", white), (b"A2B0", lut)):
        tags += name + struct.pack(">II", offset + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s", offset + len(body), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ",
                         struct.pack(">6H", 2000, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 4) + tags + body


# ------------------------------------------------------------------------------------------ kinds of file


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "JPEG", "WEBP", "GIF", "AVIF"])
def test_reads_every_format_from_path_text_and_bytes(tmp_path: Path, format: str):
    path = tmp_path / "picture.any"  # the suffix does not matter
    options: dict[str, Any] = {"quality": 95} if format in ("JPEG", "WEBP", "AVIF") else {}
    path.write_bytes(saved(Image.fromarray(ramp()), format, **options))
    picture = read_picture(path)
    assert picture.pixels.shape == (1, 3, 48, 64)
    assert picture.pixels.dtype == torch.float32
    assert (picture.alpha, picture.bits) == (None, 8)
    tolerance = {"PNG": 0, "TIFF": 0, "BMP": 0, "GIF": 40}.get(format, 12)
    assert np.abs(levels(picture) - ramp()).max() <= tolerance
    for source in (str(path), path.read_bytes()):
        assert torch.equal(read_picture(source).pixels, picture.pixels)


def test_reads_and_writes_heic(tmp_path: Path):
    pytest.importorskip("pillow_heif")
    path = tmp_path / "photo.heic"
    picture = Picture(torch.from_numpy(ramp() / np.float32(255)).permute(2, 0, 1)[None], dpi=(300, 300))
    path.write_bytes(encode_picture(picture, format_of(path), job='{"é": 1}'))
    again = read_picture(path)
    assert float((again.pixels - picture.pixels).abs().max()) < 0.06
    assert again.dpi == (300, 300)
    assert read_job(path) == '{"é": 1}'


def test_heic_without_its_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    for module in ("pillow_heif", "pillow_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'brushwork\[heif\]'"):
        read_picture(heic)
    with pytest.raises(MissingExtraError, match=r"pip install 'brushwork\[heif\]'"):
        encode_picture(Picture(torch.zeros(1, 3, 8, 8)), "HEIF")


def test_animation_gives_its_first_frame():
    first, second = Image.new("RGB", (9, 7), (255, 0, 0)), Image.new("RGB", (9, 7), (0, 0, 255))
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(first, format, save_all=True, append_images=[second], **options)
        assert levels(read_picture(data))[3, 3].tolist() == [255, 0, 0], format


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_every_pillow_mode_keeps_its_colours(mode: str):
    source = Image.new("RGB", (6, 5), (200, 40, 90))
    palette = source.quantize(4)  # convert("P") would take the web's palette
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    special = {
        "1": Image.new("1", (6, 5), 1),
        "P": palette,
        "PA": palette.convert("PA"),
        "LAB": ImageCms.profileToProfile(source, srgb, lab, outputMode="LAB"),
    }
    image = special[mode] if mode in special else source.convert(mode)
    assert image is not None
    expected = {"1": [255] * 3, "L": [94] * 3, "LA": [94] * 3}.get(mode, [200, 40, 90])
    tolerance = {"YCbCr": 2, "HSV": 3, "LAB": 5}.get(mode, 1)
    assert np.abs(levels(read_picture(image))[2, 2] - expected).max() <= tolerance


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_pillow_modes_are_sixteen_bit(mode: str):
    values = np.linspace(0, 65535, 30).reshape(5, 6)
    array = {
        "I;16": values.astype(np.uint16),
        "I": values.astype(np.int32),
        "F": (values / 65535).astype("f4"),
    }
    picture = read_picture(Image.fromarray(array[mode]))
    assert picture.bits == 16
    assert np.abs(levels(picture)[..., 1] - values).max() <= 1


def test_mode_f_may_go_to_255_and_no_further():
    grey = Image.fromarray(np.array([[0, 51, 255]], "f4"))
    assert read_picture(grey).pixels[0, 0, 0].tolist() == pytest.approx([0, 0.2, 1], abs=1e-4)
    bad = [np.array([[0, 3000]], "f4"), np.array([[0, np.nan]], "f4"), np.array([[-1, 5]], "i4")]
    for values in (*bad, np.array([[0, 70000]], "i4")):
        with pytest.raises(InputError, match="scale them to"):
            read_picture(Image.fromarray(values))


# ------------------------------------------------------------------------------------- 16 bits, orientation


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_and_tiff_come_at_full_depth(channels: int):
    array = np.random.default_rng(1).integers(0, 65536, (7, 9, channels), dtype=np.uint16)
    has_alpha = channels in (2, 4)
    photometric = "rgb" if channels > 2 else "minisblack"
    extra = ["unassalpha"] if has_alpha else None
    planar: dict[str, Any] = {"planarconfig": "separate", "compression": "lzw"}
    variants = [png16(array.squeeze()), tiff(array.squeeze(), photometric=photometric, extrasamples=extra)]
    if channels > 2:
        variants.append(tiff(np.moveaxis(array, 2, 0), extrasamples=extra, **planar))
    colours = array[..., : channels - has_alpha] / 65535
    expected = np.broadcast_to(colours, (7, 9, 3))
    if has_alpha:
        share = array[..., -1:] / 65535
        expected = expected * share + (1 - share)
    for data in variants:
        picture = read_picture(data)
        assert picture.bits == 16
        assert np.abs(picture.pixels[0].permute(1, 2, 0).numpy() - expected).max() < 1e-6
        assert (picture.alpha is not None) == has_alpha
        if picture.alpha is not None:
            assert (to_array(picture.alpha, bits=16)[..., 0] == array[..., -1]).all()


def test_other_deep_tiffs():
    grey = np.array([[0, 1000, 65535]], np.uint16)
    inverted = read_picture(tiff(grey, photometric="miniswhite"))
    assert levels(inverted)[0, :, 0].tolist() == [65535, 64535, 0]
    for kind in ("f2", "f4", "f8"):
        floats = read_picture(tiff((ramp() / 255).astype(kind)))
        assert (to_array(floats.pixels) == ramp()).all(), kind
        assert floats.bits == 16
    ink = read_picture(tiff(np.array([[[0, 0, 0, 0], [65535, 0, 0, 0]]], np.uint16), photometric="separated"))
    assert levels(ink)[0].tolist() == [[65535] * 3, [0, 65535, 65535]]
    associated = np.array([[[20000, 0, 0, 40000]]], np.uint16)
    straight = read_picture(tiff(associated, extrasamples=["assocalpha"]))
    assert straight.pixels[0, :, 0, 0].tolist() == pytest.approx(
        [(20000 + 25535) / 65535, *[25535 / 65535] * 2], abs=1e-4
    )


def test_a_raw_files_thumbnail_is_not_taken_for_the_photo():
    with pytest.raises(InputError, match=r"raw file \(DNG\); develop it"):
        read_picture(tiff(ramp(), extratags=[(50706, 1, 4, (1, 4, 0, 0))]))


@pytest.mark.parametrize(
    ("unit", "resolution", "dpi"),
    [("centimeter", (40, 20), (101.6, 50.8)), ("inch", (300, 150), (300, 150)), ("none", (4, 3), None)],
)
def test_a_deep_tiffs_resolution_is_told_in_inches(
    unit: str, resolution: tuple[int, int], dpi: tuple[float, float] | None
):
    picture = read_picture(tiff(ramp(dtype=np.uint16), resolution=resolution, resolutionunit=unit))
    assert picture.bits == 16
    assert picture.dpi == (dpi and pytest.approx(dpi))


@pytest.mark.parametrize("array", [np.full((4, 4, 3), 7.5, "f4"), np.zeros((4, 4, 3), "i2")])
def test_tiff_values_without_a_range_are_refused(array: NDArray[Any]):
    with pytest.raises(InputError, match=r"scale them to 0\.\.1|8 or 16 bits"):
        read_picture(tiff(array))


def test_sixteen_bit_png_with_a_transparent_colour():
    array = np.array([[[1, 2, 3], [60000, 500, 9]]], np.uint16)
    keyed = png16(array, before=png_chunk(b"tRNS", struct.pack(">3H", 60000, 500, 9)))
    picture = read_picture(keyed)
    assert picture.alpha is not None
    assert picture.alpha.flatten().tolist() == [1, 0]
    assert picture.pixels[0, :, 0, 1].tolist() == [1, 1, 1]


def turned(orientation: int) -> Image.Image:
    """The picture as a camera held that way stores it."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(ramp())
    return image.transpose(undo[orientation]) if orientation > 1 else image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_come_upright(orientation: int):
    stored, exif = turned(orientation), Image.Exif()
    exif[274] = orientation
    for format in ("PNG", "TIFF", "JPEG", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0}
        data = saved(stored, format, exif=exif.tobytes(), **options)
        assert np.abs(levels(read_picture(data)) - ramp()).max() <= 4 * (format == "JPEG"), format
    deep = np.asarray(stored).astype(np.uint16) * 257
    exif_chunk = png_chunk(b"eXIf", exif.tobytes()[6:])
    tagged = tiff(deep, extratags=[(274, 3, 1, orientation)], resolution=(100, 200), resolutionunit="inch")
    for data in (png16(deep, before=exif_chunk), png16(deep, after=exif_chunk), tagged):
        assert (levels(read_picture(data)) == ramp().astype(int) * 257).all()
    assert read_picture(tagged).dpi == ((100, 200) if orientation < 5 else (200, 100))


def test_nonsense_orientation_and_damaged_exif_are_ignored():
    exif = Image.Exif()
    exif[274] = 99
    image = Image.fromarray(ramp())
    for block in (exif.tobytes(), b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 20, b"Exif\0\0nonsense"):
        assert (levels(read_picture(saved(image, "PNG", exif=block))) == ramp()).all()


# ---------------------------------------------------------------------------------------- colour profiles


@pytest.mark.parametrize("profile", ["adobergb", "gamma"])
def test_rgb_profiles_are_converted_in_8_and_16_bit(profile: str):
    icc = imagecodecs.cms_profile("adobergb") if profile == "adobergb" else linear_profile()
    image = Image.fromarray(ramp())
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(
        image, source, target, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    deep = ramp().astype(np.uint16) * 257
    iccp = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(icc))
    encoded = [saved(image, "PNG", icc_profile=icc), saved(image, "TIFF", icc_profile=icc)]
    for data in (*encoded, png16(deep, before=iccp), tiff(deep, iccprofile=icc)):
        result = to_array(read_picture(data).pixels).astype(int)
        assert np.abs(result - np.asarray(expected)).max() <= 1
        assert np.abs(result - ramp()).max() > 10


def test_srgb_profiles_leave_every_level_alone():
    for dtype in (np.uint8, np.uint16):
        colours = np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, (8, 8, 3), dtype)
        assert (to_srgb(colours, "RGB", srgb_profile()) == to_srgb(colours, "RGB", None)).all()


def test_grey_profiles():
    grey = Image.fromarray(ramp()[..., 0])
    linear = read_picture(saved(grey, "PNG", icc_profile=imagecodecs.cms_profile("gray", gamma=1.0)))
    value = ramp()[0, 0, 0] / 255
    assert float(linear.pixels[0, 1, 0, 0]) == pytest.approx(1.055 * value ** (1 / 2.4) - 0.055, abs=0.01)
    wide = read_picture(saved(grey, "PNG", icc_profile=linear_profile()))
    assert float((wide.pixels - linear.pixels).abs().max()) < 0.01


@pytest.mark.parametrize("icc", [b"rubbish", b"\0" * 200, cmyk_profile(), cmyk_profile()[:300]])
def test_profiles_that_do_not_fit_are_left_aside(icc: bytes):
    assert (levels(read_picture(saved(Image.fromarray(ramp()), "TIFF", icc_profile=icc))) == ramp()).all()
    broken_rgb = bytearray(imagecodecs.cms_profile("adobergb")[:200])
    assert (
        levels(read_picture(saved(Image.fromarray(ramp()), "TIFF", icc_profile=bytes(broken_rgb)))) == ramp()
    ).all()


def test_cmyk_with_its_profile():
    inks = np.random.default_rng(3).integers(0, 256, (9, 9, 4), np.uint8)
    inks[0, 0] = 0
    image = Image.fromarray(inks, "CMYK")
    icc = cmyk_profile()
    expected = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    result = levels(read_picture(saved(image, "TIFF", icc_profile=icc)))
    assert np.abs(result - np.asarray(expected)).max() <= 2
    assert result[0, 0].min() >= 253  # paper
    deep = read_picture(tiff(inks.astype(np.uint16) * 257, photometric="separated", iccprofile=icc))
    # In 8 bits Little CMS interpolates between the points of a coarse table of its own.
    assert np.abs(to_array(deep.pixels).astype(int) - result).max() <= 4


def test_cmyk_without_profile_multiplies_the_inks():
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 51))
    for format in ("TIFF", "JPEG"):  # Pillow writes JPEG inverted, as Adobe does
        assert np.abs(levels(read_picture(saved(inks, format)))[4, 4] - [0, 204, 204]).max() <= 2


# -------------------------------------------------------------------------------------------------- alpha


def test_transparent_pixels_lie_over_white():
    rgba = np.dstack([ramp(), np.linspace(0, 255, 48 * 64).astype(np.uint8).reshape(48, 64)])
    for format in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        picture = read_picture(saved(Image.fromarray(rgba), format, **options))
        share = rgba[..., 3:] / 255
        expected = rgba[..., :3] / 255 * share + 1 - share
        assert np.abs(picture.pixels[0].permute(1, 2, 0).numpy() - expected).max() < 1e-5
        assert picture.alpha is not None
        assert (to_array(picture.alpha)[..., 0] == rgba[..., 3]).all()


def test_keyed_transparency_of_palettes_grey_and_rgb():
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8))
    palette = image.quantize(2)
    keyed = palette.getpixel((0, 0))
    grey = Image.fromarray(np.array([[10, 200]], np.uint8))
    for data in (
        saved(palette, "PNG", transparency=keyed),
        saved(palette, "GIF", transparency=keyed),
        saved(image, "PNG", transparency=(255, 0, 0)),
        saved(grey, "PNG", transparency=10),
    ):
        picture = read_picture(data)
        assert picture.alpha is not None
        assert picture.alpha.flatten().tolist() == [0, 1]
        assert picture.pixels[0, :, 0, 0].tolist() == [1, 1, 1]


def test_full_alpha_is_no_alpha():
    assert read_picture(Image.fromarray(ramp()).convert("RGBA")).alpha is None


# ------------------------------------------------------------------------------------- arrays and tensors


def test_arrays_of_every_layout_and_type():
    base = ramp()
    for array in (base, base.astype(np.uint16) * 257, base / 255, base.astype("f4") / np.float32(255)):
        picture = read_picture(array)
        assert picture.bits == (16 if array.dtype == np.uint16 else 8)
        assert (to_array(picture.pixels) == base).all()
    for grey in (base[..., 0], base[..., :1]):
        assert (levels(read_picture(grey)) == base[..., :1]).all()
    assert read_picture(np.dstack([base, base[..., 0]])).alpha is not None
    assert (levels(read_picture(base[::-1, ::2])) == base[::-1, ::2]).all()


def test_tensors():
    base = torch.from_numpy(ramp()).permute(2, 0, 1)
    for tensor in (base, base[None], base / 255, (base / 255).double()[None].requires_grad_()):
        picture = read_picture(tensor)
        assert (levels(picture) == ramp()).all()
        assert not picture.pixels.requires_grad
    floats = base / 255
    read_picture(floats).pixels.zero_()
    assert float(floats.sum()) > 0


def test_values_a_hair_out_of_range_are_brought_into_it():
    values = np.array([[[-5e-4, 0.5, 1 + 5e-4, 1 + 5e-4]]], np.float32)
    for source in (values, torch.from_numpy(values).permute(2, 0, 1)):
        picture = read_picture(source)
        assert picture.pixels.flatten().tolist() == [0, 0.5, 1]
        assert picture.alpha is None  # opaque


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.int64),
        np.full((4, 4, 3), 2.0),
        np.full((4, 4, 3), -0.5),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), np.inf),
        torch.zeros(4, 4),
        torch.zeros(2, 3, 4, 4),
        torch.zeros(5, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.int64),
        torch.full((3, 4, 4), math.nan),
        torch.full((3, 4, 4), 255.0),
        torch.zeros(3, 0, 4),
        42,
        None,
    ],
)
def test_bad_arrays_and_tensors_are_refused_in_one_line(source: Any):
    with pytest.raises(InputError) as caught:
        read_picture(source)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------- what cannot be read


def refused(source: Any, *words: str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_picture(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(source) if isinstance(source, str | Path) else "the given")
    assert all(word in message for word in words), message
    return caught.value


def test_paths_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(refused(tmp_path / "missing.jpg", "no such file").__cause__, FileNotFoundError)
    refused(tmp_path, "a folder")
    refused("nul\0byte.png", "cannot be read")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty")

    def denied(self: Path, mode: str = "r") -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refused(tmp_path / "empty.png", "no permission")


@pytest.mark.parametrize(
    ("content", "likeness"),
    [
        (b"Dear diary, today I took no photo.", "plain text"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"PK\x03\x04" + bytes(40), "zip"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "a film"),
        (bytes(range(128, 192)), "no format known"),
        (b"x", "plain text"),
    ],
)
def test_what_is_not_a_picture_is_named(tmp_path: Path, content: bytes, likeness: str):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    refused(path, "not a picture", likeness, "JPEG")


def whole_files() -> dict[str, bytes]:
    opaque, deep = Picture(noise(24, 31, 3, 8)), Picture(noise(24, 31, 3, 16), noise(24, 31, 1, 16), bits=16)
    files = {format: encode_picture(opaque, format) for format in FORMATS}
    files |= {"PNG 16": encode_picture(deep, "PNG"), "TIFF 16": encode_picture(deep, "TIFF")}
    image = to_image(opaque.pixels)
    return files | {"GIF": saved(image, "GIF"), "BMP": saved(image, "BMP"), "TIFF raw": saved(image, "TIFF")}


def test_truncated_files_are_refused():
    for name, data in whole_files().items():
        read_picture(data)
        for share in (0.05, 0.3, 0.6, 0.9, 0.98):
            error = refused(data[: int(len(data) * share)])
            assert error.__cause__ is not None or "IEND" in str(error) or len(data) * share < 64, name


def test_a_png_without_its_end_is_refused():
    for bits in (8, 16):
        refused(encode_picture(Picture(noise(9, 9, 3, bits), bits=bits), "PNG")[:-12], "cut short")


def test_damaged_files_never_raise_anything_else():
    rng = np.random.default_rng(5)
    for data in whole_files().values():
        for _ in range(25):
            damaged = bytearray(data)
            for place in rng.integers(0, min(len(data), int(rng.choice([50, 400, len(data)]))), 3):
                damaged[place] = int(rng.integers(256))
            try:
                read_picture(bytes(damaged))
            except InputError as error:
                assert "\n" not in str(error)


def test_the_size_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch):
    def decoded(*_: Any, **__: Any) -> Any:
        raise AssertionError("decoded before the size was checked")

    files = whole_files()
    monkeypatch.setattr(decode, "image_samples", decoded)
    monkeypatch.setattr(imagecodecs, "png_decode", decoded)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", decoded)
    for data in files.values():
        refused(data, "31 x 24 is 744 pixels", "limit of 743", max_pixels=743)


@pytest.mark.parametrize("side", [12_000, 15_000, 60_000])
def test_pillows_own_limit_is_neither_met_nor_moved(side: int):
    # 144 MP would warn and 225 MP raise in Image.open; ours lets both by, and they fail for want of data.
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    limit = Image.MAX_IMAGE_PIXELS
    refused(bomb, "over the limit of" if side == 60_000 else "cut short")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_images_arrays_and_tensors_obey_the_limit_too():
    for source in (Image.new("L", (20, 20)), np.zeros((20, 20), np.uint8), torch.zeros(3, 20, 20)):
        refused(source, "over the limit", max_pixels=399)


def test_no_pixels_is_refused():
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0))
    refused(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IEND", b""))
    refused(Image.new("RGB", (0, 5)), "0 x 5")


def test_pillows_warnings_stay_inside_and_the_filters_as_they_were():
    filters = list(warnings.filters)
    broken = saved(
        Image.fromarray(ramp()), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"\x12\x01\x03\0" * 9
    )
    assert read_picture(broken).pixels.shape == (1, 3, 48, 64)
    assert list(warnings.filters) == filters


# ------------------------------------------------------------------------------------------------- resize

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
SIZES = st.tuples(*[st.integers(1, 60)] * 4)


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_nearest_is_pillows_to_the_bit(sizes: tuple[int, int, int, int]):
    height, width, new_height, new_width = sizes
    pixels = noise(height, width, 3, 8)
    expected = to_image(pixels).resize((new_width, new_height), Image.Resampling.NEAREST)
    assert (to_array(resize(pixels, new_height, new_width, "nearest")) == np.asarray(expected)).all()


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "area"])
@pytest.mark.parametrize("size", [(30, 41), (90, 20), (1, 1), (200, 130)])
def test_filters_agree_with_pillows_8_bit_ones(method: Method, size: tuple[int, int]):
    image = Image.fromarray(ramp())
    expected = np.asarray(image.resize((size[1], size[0]), FILTERS[method])).astype(int)
    result = resize(read_picture(image).pixels, *size, method)
    assert result.shape == (1, 3, *size)
    assert np.abs(to_array(result) - expected).max() <= 1
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(["lanczos", "bicubic"]))
@example((33, 1, 60, 1), "lanczos")  # torch's own is wrong for a result one pixel wide
def test_filters_are_pillows_in_float(sizes: tuple[int, int, int, int], method: Method):
    height, width, new_height, new_width = sizes
    pixels = noise(height, width, 3, 8)
    plane = Image.fromarray(pixels[0, 1].numpy()).resize((new_width, new_height), FILTERS[method])
    found = resize(pixels, new_height, new_width, method)[0, 1].numpy()
    np.testing.assert_allclose(found, np.clip(np.asarray(plane), 0, 1), atol=2e-5)


@pytest.mark.parametrize("size", [(30, 41), (90, 20), (1, 1), (200, 130)])
def test_lanczos8_is_pillows_8_bit_one(size: tuple[int, int]):
    image = Image.fromarray(ramp())
    expected = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(to_array(resize(read_picture(image).pixels, *size, "lanczos8")), expected)


def test_bilinear_is_tensorflows():
    # Half-pixel centres as in tf.image.resize; shrinking mixes two neighbours and does not filter.
    row = torch.tensor([0, 0.5, 1]).view(1, 1, 1, 3)
    assert resize(row, 1, 5, "bilinear").flatten().tolist() == pytest.approx([0, 0.2, 0.5, 0.8, 1])
    wide = torch.arange(8.0).view(1, 1, 1, 8) / 7
    assert resize(wide, 1, 2, "bilinear").flatten().tolist() == pytest.approx([1.5 / 7, 5.5 / 7])


def test_resize_keeps_sixteen_bits_and_the_overshoot_out():
    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 1
    for method in ("lanczos", "bicubic"):
        result = resize(step, 50, 50, method)
        assert (float(result.min()), float(result.max())) == (0, 1)
    fine = torch.full((1, 1, 8, 8), 12345 / 65535)
    assert to_array(resize(fine, 5, 5, "area"), bits=16).ravel().tolist() == [12345] * 25


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.booleans(), st.sampled_from(get_args(Method)))
def test_extreme_aspects(ratio: int, tall: bool, method: Method):
    height, width = (4 * ratio, 4) if tall else (4, 4 * ratio)
    pixels = noise(height, width, 3, 8)
    picture = read_picture(encode_picture(Picture(pixels), "PNG"))
    assert picture.pixels.shape == pixels.shape
    assert resize(pixels, width, height, method).shape == (1, 3, width, height)
    assert resize(pixels, height, width, method) is pixels
    assert resize(pixels, 1, 1, method).shape == (1, 3, 1, 1)


def test_bad_sizes_and_methods_are_refused():
    pixels: Any = torch.zeros(1, 3, 4, 4)
    name: Any = "sinc"
    with pytest.raises(InputError, match="at least 1"):
        resize(pixels, 0, 5, "area")
    with pytest.raises(InputError, match="nearest, bilinear"):
        resize(pixels, 5, 5, name)


# ------------------------------------------------------------------------------------------------ writing


def test_to_array_clips_rounds_and_truncates():
    pixels = torch.tensor([-1, 0, 0.5, 0.9999, 1, 2]).view(1, 1, 1, 6)
    assert to_array(pixels).ravel().tolist() == [0, 0, 128, 255, 255, 255]
    assert to_array(pixels, rounding="truncate").ravel().tolist() == [0, 0, 127, 254, 255, 255]
    assert to_array(pixels, bits=16).dtype == np.uint16
    with pytest.raises(InputError, match="NaN"):
        to_array(torch.full((1, 3, 2, 2), math.nan))
    with pytest.raises(InputError, match="shape"):
        to_array(torch.zeros(3, 2, 2))


@pytest.mark.parametrize("bits", [8, 16])
def test_truncating_leaves_whole_levels_alone(bits: int):
    values = torch.arange(2**bits).float().div(2**bits - 1).view(1, 1, 1, -1)
    assert (to_array(values, bits=bits, rounding="truncate").ravel() == np.arange(2**bits)).all()


@pytest.mark.parametrize("format", [*FORMATS, "HEIF"])
def test_every_format_rounds_as_it_is_told(format: str):
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    grey = Picture(torch.full((1, 3, 16, 16), 100.7 / 255))
    rounded, truncated = (
        levels(read_picture(encode_picture(grey, format, quality=100, rounding=rounding)))
        for rounding in get_args(Rounding)
    )
    assert (rounded == 101).all()
    assert (truncated == 100).all()


def test_a_truncated_picture_keeps_its_alpha():
    """Rounded as ever: what is opaque would become nearly so."""
    picture = Picture(torch.full((1, 3, 8, 8), 0.999), torch.full((1, 1, 8, 8), 0.999))
    for format in ("PNG", "TIFF"):
        with Image.open(io.BytesIO(encode_picture(picture, format, rounding="truncate"))) as image:
            assert image.getpixel((0, 0)) == (254, 254, 254, 255), format


def test_to_image():
    pixels = torch.from_numpy(ramp()).permute(2, 0, 1)[None] / 255
    assert (np.asarray(to_image(pixels)) == ramp()).all()
    assert to_image(pixels, torch.ones(1, 1, 48, 64)).mode == "RGBA"


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([8, 16]),
    st.sampled_from(["PNG", "TIFF"]),
    st.integers(0, 99),
)
def test_lossless_formats_are_exact(height: int, width: int, bits: int, format: str, seed: int):
    pixels = noise(height, width, 3, bits, seed)
    alpha = noise(height, width, 1, bits, seed + 1) if seed % 2 else None
    again = read_picture(encode_picture(Picture(pixels, bits=bits), format, job="{}"))
    assert torch.equal(again.pixels, pixels)
    assert again.bits == bits
    if alpha is not None:
        masked = read_picture(encode_picture(Picture(pixels, alpha, bits), format))
        if float(alpha.min()) < 1:
            assert masked.alpha is not None
            assert torch.equal(masked.alpha, alpha)


@pytest.mark.parametrize("format", FORMATS)
def test_written_files_are_srgb_keep_dpi_and_repeat(format: str):
    picture = Picture(noise(20, 30, 3, 8), noise(20, 30, 1, 8), dpi=(300, 150))
    data = encode_picture(picture, format)
    assert data == encode_picture(picture, format)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == format
        tag = image.info.get("icc_profile")
        assert image.info.get("srgb") == 1 if format == "PNG" else tag == srgb_profile()
    again = read_picture(data)
    assert again.dpi == pytest.approx((300, 150), abs=0.02)
    assert (again.alpha is None) == (format == "JPEG")


def test_without_dpi_and_deep_to_eight_bit():
    picture = Picture(torch.from_numpy(ramp()).permute(2, 0, 1)[None] / 255, bits=16)
    for format in FORMATS:
        again = read_picture(encode_picture(picture, format))
        assert again.dpi is None
        assert again.bits == (16 if format in ("PNG", "TIFF") else 8)
        assert float((again.pixels - picture.pixels).abs().max()) < 0.06


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_quality_makes_files_larger(format: str):
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    picture = Picture(noise(64, 64, 3, 8))
    high, low = (len(encode_picture(picture, format, quality=quality)) for quality in (95, 30))
    assert high > 1.5 * low


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "HEIF"])
def test_thin_strokes_keep_their_colour(format: str):
    """Columns of one pixel, red and blue: with chroma at half the size all would be purple."""
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[:, 0, :, ::2] = stripes[:, 2, :, 1::2] = 1
    found = read_picture(encode_picture(Picture(stripes), format, quality=95)).pixels
    assert float((found - stripes).abs().mean()) < 0.05


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("format", FORMATS)
def test_the_job_comes_back(tmp_path: Path, format: str, bits: int):
    path = tmp_path / "out"
    long = json.dumps({"prompt": "x" * 30_000})
    for job in ('{"size": 512}', '{"style": "Señor 猫 🎨"}', long, long.replace("xxx", "xxé")):
        path.write_bytes(encode_picture(Picture(noise(8, 8, 3, 8), bits=bits), format, job=job))
        assert read_job(path) == job


def test_no_job_to_read(tmp_path: Path):
    path = tmp_path / "out.png"
    comment = Image.Exif()
    comment.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0shot on film"
    foreign = saved(Image.fromarray(ramp()), "JPEG", exif=comment)
    others = [tiff(ramp(), description='{"shape": 1}'), foreign]
    for data in (*(encode_picture(Picture(noise(8, 8, 3, 8)), format) for format in FORMATS), *others):
        path.write_bytes(data)
        with pytest.raises(InputError, match="carries no job; give"):
            read_job(path)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match="not a picture"):
        read_job(path)
    with pytest.raises(InputError, match="no such file"):
        read_job(tmp_path / "missing.png")


def test_what_cannot_be_written_is_refused():
    picture = Picture(noise(8, 8, 3, 8))
    with pytest.raises(InputError, match="write a PNG"):
        encode_picture(picture, "JPEG", job="x" * 66_000)
    with pytest.raises(InputError, match="16,383"):
        encode_picture(Picture(torch.zeros(1, 3, 1, 16_384)), "WEBP")
    with pytest.raises(InputError, match="1 to 100"):
        encode_picture(picture, "JPEG", quality=0)
    with pytest.raises(InputError, match="PNG, JPEG"):
        encode_picture(picture, "XPM")


def test_formats_by_suffix():
    names = {
        "a.png": "PNG",
        "a.JPG": "JPEG",
        "a.jpeg": "JPEG",
        "a.webp": "WEBP",
        "a.tif": "TIFF",
        "a.TIFF": "TIFF",
    }
    assert {name: format_of(Path(name)) for name in names} == names
    for bad in ("a.xyz", "a", "a.gif"):
        with pytest.raises(InputError, match=r"use \.png, \.jpg"):
            format_of(Path(bad))


def test_modules_stay_light():
    assert images.MAX_PIXELS == 250_000_000
    assert not hasattr(samples, "imagecodecs")
    assert not hasattr(decode, "tifffile")
