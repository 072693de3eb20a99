"""Samples: the colours of a picture as deep as it has them, with what the metadata says of them."""

import contextlib
import threading
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from brushwork.errors import InputError
from brushwork.profiles import Space

MOST_DPI = 1e6  # a tag that says more is damaged; PNG holds a hundred times that


@dataclass(frozen=True)
class Samples:
    """What a file holds, before colour management, rotation and compositing."""

    colours: NDArray[Any]  # (H, W, C) uint8 or uint16; C = 1 for L, 3 for RGB, 4 for CMYK (0 = no ink)
    space: Space
    alpha: NDArray[Any] | None = None  # (H, W), of the dtype of ``colours``
    profile: bytes | None = None
    orientation: int = 1  # as in EXIF, 1..8
    dpi: tuple[float, float] | None = None


def image_samples(image: Image.Image, name: str) -> Samples:
    """Take the samples out of a Pillow image of any mode, decoding it if that is still to do."""
    image.load()
    samples = _MODES.get(image.mode, _rgb)(_plain(image), name)
    exif = exif_of(image)
    profile = None if image.mode == "LAB" else image.info.get("icc_profile") or None
    orientation, dpi = orientation_of(exif), dpi_of(image.info, exif)
    return replace(samples, profile=profile, orientation=orientation, dpi=dpi)


# ------------------------------------------------------------------------------------------------ metadata

_warnings_lock = threading.Lock()


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence Pillow's warnings of odd headers, which we read all the same or refuse in words of our own."""
    # The lock keeps two threads from restoring each other's filters; only headers are read under it.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF of a Pillow image, empty when there is none or it is damaged."""
    try:
        with quiet():
            exif = image.getexif()
            exif.get_ifd(ExifTags.IFD.Exif)
            return exif
    except Exception:
        return Image.Exif()  # a photo is worth reading without its camera data


def orientation_of(exif: Image.Exif) -> int:
    """Return the EXIF orientation, 1..8, and 1 (upright) for anything else."""
    value = exif.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def dpi_of(info: dict[Any, Any], exif: Image.Exif) -> tuple[float, float] | None:
    """Return the dots per inch across and down, of a Pillow image's info or else its EXIF."""
    # Pillow makes up 72 dpi for a JPEG with EXIF but no resolution.
    made_up = "exif" in info and not info.get("jfif_unit") and info.get("dpi") == (72, 72)
    value = _exif_dpi(exif) if made_up else info.get("dpi") or _exif_dpi(exif)
    try:
        across, down = (float(part) for part in cast(tuple[Any, ...], value))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across <= MOST_DPI and 0 < down <= MOST_DPI else None


def _exif_dpi(exif: Image.Exif) -> tuple[Any, Any] | None:
    across, down = exif.get(ExifTags.Base.XResolution), exif.get(ExifTags.Base.YResolution)
    unit = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
    return (across * unit, down * unit) if across and down and unit else None


# -------------------------------------------------------------------------------------------- Pillow modes

# What converts without loss to a mode handled below.
_SIMPLER = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
_KEYED = {"1", "L", "P", "RGB"}


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in _KEYED and image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert(_SIMPLER[image.mode]) if image.mode in _SIMPLER else image


def _rgb(image: Image.Image, name: str) -> Samples:
    # Also where the palette, YCbCr and HSV arrive, and keyed transparency, which became RGBA.
    if image.mode in ("LA", "RGBA"):
        return split(np.asarray(image))
    if image.mode == "L":
        return Samples(np.asarray(image)[..., None], "L")
    image = image if image.mode == "RGB" else image.convert("RGB")  # which would copy
    return Samples(np.asarray(image), "RGB")


def _cmyk(image: Image.Image, name: str) -> Samples:
    # Adobe's JPEGs hold inverted inks; Pillow has turned them round already, as every viewer does.
    return Samples(np.asarray(image), "CMYK")


def _lab(image: Image.Image, name: str) -> Samples:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    image = cast(Image.Image, ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB"))
    return Samples(np.asarray(image), "RGB")


def _wide(image: Image.Image, name: str) -> Samples:
    """Modes I;16 and I, whose values go to 65535."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"{name}: grey values {values.min()}..{values.max()}; scale them to 0..65535")
    return Samples(values.astype(np.uint16)[..., None], "L")


def _float(image: Image.Image, name: str) -> Samples:
    """Mode F: 0..1, or 0..255 as Pillow's own conversions make it."""
    values = np.asarray(image)
    scale = 1.0 if not values.max() > 1 else 255.0
    return Samples(sixteen(values / np.float32(scale), 32, name)[..., None], "L")


_MODES: dict[str, Callable[[Image.Image, str], Samples]] = {
    "CMYK": _cmyk,
    "LAB": _lab,
    "I": _wide,
    "I;16": _wide,
    "I;16B": _wide,
    "I;16L": _wide,
    "I;16N": _wide,
    "F": _float,
}


def split(levels: NDArray[Any]) -> Samples:
    """Samples of (H, W), (H, W, 1..4) grey or RGB levels whose second or fourth channel is alpha."""
    levels = levels if levels.ndim == 3 else levels[..., None]
    channels = levels.shape[2]
    alpha = levels[..., -1] if channels in (2, 4) else None
    return Samples(levels[..., :1], "L", alpha) if channels < 3 else Samples(levels[..., :3], "RGB", alpha)


def sixteen(values: NDArray[Any], bits: int, name: str) -> NDArray[np.uint16]:
    """Bring unsigned values of ``bits`` bits, or floats 0..1, to 0..65535."""
    if values.dtype == np.uint16 and bits == 16:
        return values
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):
            raise InputError(f"{name}: float values {values.min():g}..{values.max():g}; scale them to 0..1")
        # Half floats end at 65504.
        return np.rint(values.astype(np.float32, copy=False) * 65535.0).astype(np.uint16)
    if values.dtype.kind != "u":
        raise InputError(f"{name}: {values.dtype} values; export it with 8 or 16 bits a channel")
    return np.rint(values * (65535 / (2**bits - 1))).astype(np.uint16)
