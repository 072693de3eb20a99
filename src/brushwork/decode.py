"""Picture files, decoded: what kind a file is, how large, and its samples at full depth."""

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from brushwork.errors import BrushworkError, InputError, MissingExtraError
from brushwork.profiles import Space
from brushwork.samples import Samples, dpi_of, image_samples, orientation_of, quiet, sixteen, split

READABLE = "JPEG, PNG, WebP, TIFF, GIF, AVIF, BMP or HEIC"


def decode(stream: IO[bytes], name: str, max_pixels: int) -> Samples:
    """Decode the picture in ``stream`` at its full depth; ``name`` stands for it in messages.

    Raises InputError when it is not a picture, is damaged or cut short, or has more than ``max_pixels``
    pixels (which the header tells, before anything is decoded), and MissingExtraError for HEIC without
    its extra.
    """
    kind = kind_of(stream, name)
    with reading(name):
        if kind == "TIFF" and (samples := _deep_tiff(stream, name, max_pixels)):
            return samples
        image = open_header(stream, kind)
        check_size(image.size, name, max_pixels)
        if kind == "TIFF" and _DNG_VERSION in cast("TiffImagePlugin.TiffImageFile", image).tag_v2:
            raise InputError(f"{name}: a camera's raw file (DNG); develop it and export it as TIFF or JPEG")
        if kind != "PNG":
            return image_samples(image, name)
        return _png(image, stream, name)


# --------------------------------------------------------------------------------------- what kind of file

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_OTHERS = (
    (b"%pdf", "a PDF"),
    (b"8bps", "a Photoshop document"),
    (b"pk\x03\x04", "a zip archive or office document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer whose file was not fetched"),
    (b"\x1a\x45\xdf\xa3", "a film"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL picture"),
)


def kind_of(stream: IO[bytes], name: str) -> str:
    """Tell the format from the first bytes, whatever the suffix says; InputError when it is none we read."""
    head = stream.read(64)
    stream.seek(0)
    if not head:
        raise InputError(f"{name}: empty (0 bytes); copy or download it again")
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None) or _boxed(head)
    if kind is None:
        raise InputError(f"{name}: not a picture but {_likeness(head)}; give a {READABLE} file")
    return kind


def _boxed(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] != b"ftyp":
        return None
    # AVIF often calls itself mif1 first and avif among the compatible brands, so look at them all.
    brands = {head[i : i + 4] for i in range(8, min(int.from_bytes(head[:4], "big"), len(head)), 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _likeness(head: bytes) -> str:
    start = head.lstrip().lower()
    for magic, likeness in _OTHERS:
        if start.startswith(magic):
            return likeness
    if head[4:8] == b"ftyp":
        return "a film"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "plain text" if printable > 0.9 * len(head) else "bytes of no format known here"


# ------------------------------------------------------------------------------------- guards and headers


@contextlib.contextmanager
def reading(name: str) -> Generator[None]:
    """Turn whatever a decoder raises on a damaged file into one InputError about ``name``."""
    try:
        yield
    except MissingExtraError as error:
        raise MissingExtraError(f"{name}: {error}") from error
    except (BrushworkError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: more pixels than Pillow decodes; make it smaller first") from error
    except Exception as error:
        # Decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and kinds of their own.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name}: damaged or cut short ({reason}); copy or export it again") from error


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Refuse a picture of (width, height) without pixels or with more than ``max_pixels``."""
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{name}: {width} x {height} pixels, nothing to see; export it again")
    if width * height > max_pixels:
        raise InputError(
            f"{name}: {width} x {height} is {width * height:,} pixels, over the limit of {max_pixels:,}; "
            "make it smaller, or allow more with --max-pixels"
        )


def open_header(stream: IO[bytes], kind: str) -> ImageFile.ImageFile:
    """Read the header of a file of that kind: size, mode and metadata, no pixels yet.

    The plugins are called directly: ``Image.open`` has a size limit of its own, which is global state.
    """
    with quiet():
        return _HEADERS[kind](stream, "")


def _heif(stream: IO[bytes], _filename: str) -> ImageFile.ImageFile:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise MissingExtraError("HEIC pictures need an extra: pip install 'brushwork[heif]'") from error
    return HeifImageFile(stream)


_HEADERS: dict[str, Callable[[IO[bytes], str], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "HEIF": _heif,
}


# --------------------------------------------------------------------------------------- 16-bit PNG, TIFF


def _png(image: ImageFile.ImageFile, stream: IO[bytes], name: str) -> Samples:
    stream.seek(0)
    data = stream.read()
    # Pillow and libpng are content without the end chunk; a file that lacks it was cut short.
    if _png_chunk(data, b"IEND") is None:
        raise InputError(f"{name}: damaged or cut short (no IEND chunk); copy or export it again")
    if data[24] < 16:
        return image_samples(image, name)
    import imagecodecs  # Pillow reads 16-bit colour as 8 bit, without a word

    exif = Image.Exif()
    with contextlib.suppress(Exception), quiet():
        exif.load(_png_chunk(data, b"eXIf") or b"")
    return replace(
        split(imagecodecs.png_decode(data)),
        profile=image.info.get("icc_profile"),
        orientation=orientation_of(exif),
        dpi=dpi_of(image.info, exif),
    )


def _png_chunk(data: bytes, kind: bytes) -> bytes | None:
    """Return the content of the first chunk of that kind; cameras put eXIf after the pixels."""
    start = 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] == kind:
            return data[start + 8 : end]
        start = end + 4
    return None


_DNG_VERSION = 50706  # the tag of files whose first picture is a thumbnail
_TIFF_SPACES: dict[int, tuple[Space, int]] = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 5: ("CMYK", 4)}


def _deep_tiff(stream: IO[bytes], name: str, max_pixels: int) -> Samples | None:
    """Read a TIFF of more than 8 bits a channel; None (and the file rewound) when it is of 8."""
    import tifffile

    _hush(tifffile.logger())
    with tifffile.TiffFile(cast(Any, stream)) as file:
        page = file.pages.first
        if page.bitspersample <= 8:
            stream.seek(0)
            return None
        check_size((page.imagewidth, page.imagelength), name, max_pixels)
        samples = _tiff_samples(page, name)
        orientation = page.tags.get("Orientation")
        return replace(
            samples,
            profile=page.iccprofile,
            orientation=orientation.value if orientation and orientation.value in range(1, 9) else 1,
            dpi=_tiff_dpi(page),
        )


def _tiff_samples(page: Any, name: str) -> Samples:
    photometric = int(page.photometric)
    if photometric not in _TIFF_SPACES or page.axes not in ("YX", "YXS", "SYX"):
        raise InputError(f"{name}: a TIFF of an unusual kind (photometric {photometric}, axes {page.axes}); "
                         "export it as RGB")  # fmt: skip
    levels = sixteen(page.asarray(), page.bitspersample, name)
    levels = np.moveaxis(levels, 0, -1) if page.axes == "SYX" else levels
    levels = levels if levels.ndim == 3 else levels[..., None]
    space, channels = _TIFF_SPACES[photometric]
    colours = 65535 - levels[..., :1] if photometric == 0 else levels[..., :channels]
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra == 0:  # unspecified: not alpha
        return Samples(colours, space)
    alpha = levels[..., channels]
    return Samples(_straight(colours, alpha) if extra == 1 else colours, space, alpha)


def _straight(colours: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Undo TIFF's associated alpha (colours times alpha), which a profile could not be applied to."""
    share = np.maximum(alpha, 1)[..., None] / 65535
    return np.rint(np.minimum(colours / share, 65535)).astype(np.uint16)


def _tiff_dpi(page: Any) -> tuple[float, float] | None:
    if int(page.resolutionunit) not in (2, 3):
        return None
    return dpi_of({"dpi": page.get_resolution("INCH")}, Image.Exif())


def _hush(logger: logging.Logger) -> None:
    # Unconfigured, logging would print tifffile's remarks on damaged tags beside our one-line error.
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
