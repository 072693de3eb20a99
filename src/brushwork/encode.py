"""Pictures as files: PNG, JPEG, WebP, TIFF, AVIF and HEIF, with the job that made them inside."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from brushwork.decode import kind_of, open_header, reading
from brushwork.errors import InputError, MissingExtraError
from brushwork.images import Picture
from brushwork.inputs import opened
from brushwork.profiles import srgb_profile
from brushwork.samples import exif_of
from brushwork.strips import LEVEL, chunk, halved, png, rows_of

Rounding = Literal["round", "truncate"]

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_536, "HEIF": 16_384}
LONGEST_EXIF = 65_533  # bytes, in a JPEG
LARGE = 20_000_000  # pixels above which a PNG is written in strips, a TIFF in tiles and with its halves
TILE = 256
_PROGRAM = "brushwork"  # the PNG keyword, and EXIF's and TIFF's Software, by which a job is known as ours


class RecordTooLongError(InputError):
    """A format has no room for a picture's job."""


def format_of(path: Path) -> str:
    """Return the format that the suffix of ``path`` stands for; InputError for one we do not write."""
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        reason = f"cannot write {suffix} files" if suffix else "the suffix is missing"
        raise InputError(f"{path}: {reason}; use {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def check_format(path: Path, height: int, width: int) -> str:
    """Return the format of a picture of this size at ``path``, asked before the work that makes it.

    Raises InputError for a suffix that we do not write and for a size that the format cannot hold, and
    MissingExtraError for HEIF without its extra.
    """
    format = format_of(path)
    _check_size(format, height, width)
    if format == "HEIF":
        _heif_library()
    return format


def _check_size(format: str, height: int, width: int) -> None:
    longest = max(height, width)
    if longest > LONGEST.get(format, longest):
        raise InputError(f"{longest} pixels a side; {format} holds {LONGEST[format]:,}, write a PNG or TIFF")


def to_array(pixels: Tensor, *, bits: int = 8, rounding: Rounding = "round") -> NDArray[Any]:
    """Turn (1, C, H, W) pixels into (H, W, C) uint8, or uint16 when ``bits`` is 16.

    Values are clipped to 0..1; ``truncate`` rounds down, as casting to uint8 does in the published recipes,
    except that a value meant as a whole level stays on it. NaN raises InputError.
    """
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        raise InputError(f"pixels of shape {tuple(pixels.shape)}; give (1, C, H, W)")
    _, channels, height, width = pixels.shape
    result = np.empty((height, width, channels), np.uint16 if bits == 16 else np.uint8)
    rows = rows_of(width, channels, 32)  # a large picture's floats are not there a second time
    for first in range(0, height, rows):
        result[first : first + rows] = _rounded(pixels[0, :, first : first + rows], bits, rounding)
    return result


def _rounded(pixels: Tensor, bits: int, rounding: Rounding) -> NDArray[np.float32]:
    """Whole levels (h, W, C) of (C, h, W) pixels."""
    values = pixels.detach().to("cpu", torch.float32).numpy()
    if np.isnan(values.max(initial=0)):
        raise InputError("the pixels hold NaN; lower the learning rate or the weights")
    top = 65535 if bits == 16 else 255
    # k/top*top may come out a hair below k in float32; 2^-23 lifts it back.
    shift = 0.5 if rounding == "round" else top * 2.0**-23
    # By numpy: torch's threads have to wait for each other at each of these, which beside other work took
    # longer than a network's pass.
    levels = np.clip(values, 0, 1)
    levels *= np.float32(top)
    levels += np.float32(shift)
    np.minimum(levels, np.float32(top), out=levels)
    return np.moveaxis(levels, 0, 2)  # storing them as integers rounds down


def to_image(pixels: Tensor, alpha: Tensor | None = None, *, rounding: Rounding = "round") -> Image.Image:
    """Turn (1, 3, H, W) pixels, 0..1, and a (1, 1, H, W) alpha into an 8-bit RGB or RGBA image."""
    return Image.fromarray(_levels(Picture(pixels, alpha), 8, rounding))


def encode_picture(
    picture: Picture,
    format: str,
    *,
    job: str | None = None,
    quality: int = 95,
    rounding: Rounding = "round",
) -> bytes:
    """Encode a picture as the bytes of a file, tagged as sRGB, with its dpi and alpha where they can be kept.

    16-bit pictures stay so in PNG and TIFF and become 8 bit elsewhere. ``job`` (a JSON text) is embedded
    for ``read_job``. ``quality``, 1..100, is for JPEG, WebP, AVIF and HEIF. Equal input gives equal bytes.
    Raises InputError for an unknown format, a picture too large for it or a job too long for it, and
    MissingExtraError for HEIF without its extra.
    """
    stream = io.BytesIO()
    save_picture(picture, format, stream, job=job, quality=quality, rounding=rounding)
    return stream.getvalue()


def save_picture(
    picture: Picture,
    format: str,
    stream: IO[bytes],
    *,
    job: str | None = None,
    quality: int = 95,
    rounding: Rounding = "round",
) -> None:
    """Write what ``encode_picture`` gives to a file that is open; large PNGs and TIFFs piece by piece.

    Raises what ``encode_picture`` does, and OSError when the file cannot be written.
    """
    if format not in _WRITERS:
        raise InputError(f"cannot write {format}; use one of {', '.join(_WRITERS)}")
    if not 1 <= quality <= 100:
        raise InputError(f"quality {quality}; give 1 to 100")
    height, width = picture.size
    _check_size(format, height, width)
    if format in _LARGE_WRITERS and height * width > LARGE:
        _LARGE_WRITERS[format](picture, stream, job, rounding)
    else:
        stream.write(_WRITERS[format](picture, job, quality, rounding))


def read_job(path: Path) -> str:
    """Return the job that ``encode_picture`` embedded in a file; InputError when there is none."""
    with opened(path) as stream:
        kind = kind_of(stream, str(path))
        with reading(str(path)):
            job = _JOBS.get(kind, _exif_job)(open_header(stream, kind))
    if not job:
        raise InputError(f"{path}: carries no job; give a picture that brushwork wrote with its metadata")
    return job


def _levels(picture: Picture, bits: int, rounding: Rounding) -> NDArray[Any]:
    """(H, W, 3), or (H, W, 4) with alpha; alpha is always rounded, lest opaque become nearly so."""
    colours = to_array(picture.pixels, bits=bits, rounding=rounding)
    if picture.alpha is None:
        return colours
    return np.concatenate([colours, to_array(picture.alpha, bits=bits)], axis=2)


# ------------------------------------------------------------------------------------------------- writers


def _png(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    import imagecodecs  # Pillow cannot write 16-bit colour

    data = bytes(imagecodecs.png_encode(_levels(picture, picture.bits, rounding), level=LEVEL))
    return data[:33] + _png_extras(picture, job) + data[33:]  # 33: the signature and IHDR, which come first


def _png_extras(picture: Picture, job: str | None) -> bytes:
    extras = chunk(b"sRGB", b"\1")  # relative colorimetric
    if picture.dpi:
        per_metre = (round(dots / 0.0254) for dots in picture.dpi)
        extras += chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if job:
        extras += chunk(b"iTXt", _PROGRAM.encode() + b"\0\0\0\0\0" + job.encode())
    return extras


def _large_png(picture: Picture, stream: IO[bytes], job: str | None, rounding: Rounding) -> None:
    height, width = picture.size
    channels = 3 if picture.alpha is None else 4
    rows = rows_of(width, channels, 32)
    windows = (_window(picture, slice(top, top + rows), slice(None)) for top in range(0, height, rows))
    strips = (_levels(window, picture.bits, rounding) for window in windows)
    extras = _png_extras(picture, job)
    for part in png(strips, height, width, channels, picture.bits, extras):
        stream.write(part)


def _tiff(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    levels = _levels(picture, picture.bits, rounding)
    tifffile.imwrite(buffer, levels, **_tiff_tags(picture), **_tiff_about(picture, job))
    return buffer.getvalue()


def _tiff_tags(picture: Picture) -> dict[str, Any]:
    """What all pictures in a file have in common."""
    return {
        "photometric": "rgb",
        "extrasamples": None if picture.alpha is None else ["unassalpha"],
        "compression": "zlib",
        "compressionargs": {"level": LEVEL},
        "predictor": True,
        "metadata": None,
    }


def _tiff_about(picture: Picture, job: str | None) -> dict[str, Any]:
    return {
        "iccprofile": srgb_profile(),
        "resolution": picture.dpi,
        "resolutionunit": "inch" if picture.dpi else None,
        "description": job.encode() if job else None,
        "software": _PROGRAM if job else False,
    }


def _large_tiff(picture: Picture, stream: IO[bytes], job: str | None, rounding: Rounding) -> None:
    """A picture in tiles and its halves, down to one tile: what a viewer shows of it from afar."""
    import tifffile

    height, width = picture.size
    halvings = 0
    while max(height, width) >> halvings > TILE and min(height, width) >> halvings > 1:
        halvings += 1
    # Without a size of its own a quarter of a gigabyte of tiles would be collected before it is compressed.
    shared: dict[str, Any] = _tiff_tags(picture) | {"tile": (TILE, TILE), "buffersize": 2**22}
    with tifffile.TiffWriter(stream, bigtiff=height * width * picture.bits > 2**32) as file:
        channels, dtype = (3 if picture.alpha is None else 4), np.dtype(f"uint{picture.bits}")
        file.write(
            _tiles(picture, rounding), shape=(height, width, channels), dtype=dtype, subifds=halvings,
            **shared, **_tiff_about(picture, job),
        )  # fmt: skip
        levels: NDArray[Any] | None = None
        for _ in range(halvings):
            levels = _first_half(picture, rounding) if levels is None else halved(levels)
            file.write(levels, subfiletype=1, **shared)


def _tiles(picture: Picture, rounding: Rounding) -> Iterator[NDArray[Any]]:
    """The levels of a picture tile by tile, so that they are never there as a whole."""
    height, width = picture.size
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            window = _window(picture, slice(top, top + TILE), slice(left, left + TILE))
            yield _levels(window, picture.bits, rounding)


def _first_half(picture: Picture, rounding: Rounding) -> NDArray[Any]:
    """The levels at half the size; an odd last row or column is left out."""
    height, width = (side // 2 for side in picture.size)
    channels = 3 if picture.alpha is None else 4
    result = np.empty((height, width, channels), f"uint{picture.bits}")
    for top in range(0, height, rows := rows_of(width, channels, 32)):
        window = _window(picture, slice(2 * top, 2 * min(top + rows, height)), slice(2 * width))
        alpha = None if window.alpha is None else avg_pool2d(window.alpha, 2)
        half = Picture(avg_pool2d(window.pixels, 2), alpha)
        result[top : top + rows] = _levels(half, picture.bits, rounding)
    return result


def _window(picture: Picture, rows: slice, columns: slice) -> Picture:
    """A part of a picture; a view."""
    alpha = None if picture.alpha is None else picture.alpha[..., rows, columns]
    return replace(picture, pixels=picture.pixels[..., rows, columns], alpha=alpha)


def _jpeg(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    # The pixels already lie over white, so leaving the alpha out is compositing.
    image = to_image(picture.pixels, rounding=rounding)
    exif = _exif(picture, job)
    if len(exif) > LONGEST_EXIF:
        raise RecordTooLongError(f"a job of {len(job or ''):,} characters exceeds JPEG's 64 kB; write a PNG")
    options = {"dpi": picture.dpi} if picture.dpi else {}
    # Full chroma: halved, it frays the edges of saturated brush strokes.
    return _saved(image, "JPEG", quality=quality, subsampling=0, exif=exif, **options)


def _webp(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    image = to_image(picture.pixels, picture.alpha, rounding=rounding)
    return _saved(image, "WEBP", quality=quality, exif=_exif(picture, job))


def _avif(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    image = to_image(picture.pixels, picture.alpha, rounding=rounding)
    return _saved(image, "AVIF", quality=quality, subsampling="4:4:4", exif=_exif(picture, job))


def _heif(picture: Picture, job: str | None, quality: int, rounding: Rounding) -> bytes:
    image = to_image(picture.pixels, picture.alpha, rounding=rounding)
    image.info["icc_profile"] = srgb_profile()
    buffer = io.BytesIO()
    exif = _exif(picture, job) or None  # it takes empty ones for damaged ones
    _heif_library().from_pillow(image).save(buffer, quality=quality, chroma=444, exif=exif)
    return buffer.getvalue()


def _heif_library() -> Any:
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingExtraError("HEIC pictures need an extra: pip install 'brushwork[heif]'") from error
    return pillow_heif


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, icc_profile=srgb_profile(), **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"this picture cannot be written as {format} ({error}); write a PNG") from error
    return buffer.getvalue()


_WRITERS: dict[str, Callable[[Picture, str | None, int, Rounding], bytes]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _avif,
    "HEIF": _heif,
}
_LARGE_WRITERS: dict[str, Callable[[Picture, IO[bytes], str | None, Rounding], None]] = {
    "PNG": _large_png,
    "TIFF": _large_tiff,
}


# ----------------------------------------------------------------------------------------------------- jobs


def _exif(picture: Picture, job: str | None) -> bytes:
    exif = Image.Exif()
    if picture.dpi:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = picture.dpi
        exif[ExifTags.Base.ResolutionUnit] = 2  # inches
    if job:
        exif[ExifTags.Base.Software] = _PROGRAM
        # EXIF knows plain ASCII and UTF-16; the shorter one leaves more room under JPEG's 64 kB.
        comment = b"ASCII\0\0\0" + job.encode() if job.isascii() else b"UNICODE\0" + job.encode("utf-16-le")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes() if len(exif) else b""


def _exif_job(image: Image.Image) -> str | None:
    exif = exif_of(image)
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if exif.get(ExifTags.Base.Software) != _PROGRAM or not isinstance(comment, bytes):
        return None
    code, text = comment[:8], comment[8:]
    return text.decode("utf-16-le" if code.startswith(b"UNICODE") else "ascii")


def _png_job(image: Image.Image) -> str | None:
    text = image.info.get(_PROGRAM)
    return str(text) if text else None


def _tiff_job(image: Image.Image) -> str | None:
    tags = image.getexif()
    if tags.get(ExifTags.Base.Software) != _PROGRAM:
        return None
    # Pillow takes TIFF text for Latin-1, which loses nothing; ours is UTF-8.
    return str(tags.get(ExifTags.Base.ImageDescription, "")).encode("latin-1").decode()


_JOBS: dict[str, Callable[[Image.Image], str | None]] = {"PNG": _png_job, "TIFF": _tiff_job}
