"""Colour profiles: from whatever a file was tagged with to sRGB."""

import functools
import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

Space = Literal["L", "RGB", "CMYK"]

_SIGNATURES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
_LCMS_NAMES = {"L": "gray", "RGB": "rgb", "CMYK": "cmyk"}


@functools.cache
def srgb_profile() -> bytes:
    """Return the sRGB profile that pictures are tagged with: 588 bytes, the same on every day."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Little CMS stamps the time of day into the header; equal jobs shall give equal files.
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


def to_srgb(colours: NDArray[Any], space: Space, profile: bytes | None) -> NDArray[np.float32]:
    """Turn the colours of a file into sRGB.

    ``colours`` is (H, W, C) uint8 or uint16 with C = 1 for L, 3 for RGB, 4 for CMYK (0 = no ink); the result
    is (H, W, 3) float32, 0..1. A profile that is damaged or for another colour space is left aside, as
    browsers do. The intent is relative colorimetric with black point compensation.
    """
    profile_space = _SIGNATURES.get(profile[16:20]) if profile else None
    if space == "L" and profile_space == "RGB":
        colours, space = np.repeat(colours, 3, axis=2), "RGB"
    if profile is None or profile_space != space:
        return _untagged(colours, space)
    try:
        # Most tagged files are sRGB already: leaving those alone keeps them exact to the last bit.
        if space != "CMYK" and _is_srgb(profile, space):
            return _untagged(colours, space)
        return _unit(_transform(colours, space, profile))
    except (RuntimeError, ValueError):
        return _untagged(colours, space)


def _unit(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Levels (H, W, C) as 0..1: colour after colour in memory, as they are wanted, which saves a copy."""
    planes = np.empty((levels.shape[2], *levels.shape[:2]), np.float32)
    np.divide(np.moveaxis(levels, 2, 0), np.float32(np.iinfo(levels.dtype).max), out=planes)
    return np.moveaxis(planes, 0, 2)


def _untagged(colours: NDArray[Any], space: Space) -> NDArray[np.float32]:
    values = _unit(colours)
    if space == "CMYK":
        return (1 - values[..., :3]) * (1 - values[..., 3:])
    return np.repeat(values, 3, axis=2) if space == "L" else values


def _transform(colours: NDArray[Any], space: Space, profile: bytes) -> NDArray[np.uint16]:
    import imagecodecs

    flags = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION
    if colours.dtype == np.uint16:
        # The tables that Little CMS precomputes for 16 bits were seen 17 levels of 255 off in dark corners of
        # AdobeRGB. Without them it is right, and five times slower.
        flags |= imagecodecs.CMS.FLAGS.NOOPTIMIZE
    # 16 bits out even for 8 in: a gamma change in 8 bits would leave gaps that show as bands.
    return imagecodecs.cms_transform(
        np.ascontiguousarray(colours if space != "L" else colours[..., 0]),
        profile,
        srgb_profile(),
        colorspace=_LCMS_NAMES[space],
        outcolorspace="rgb",
        outdtype="u2",
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
    )


@functools.lru_cache(maxsize=32)
def _is_srgb(profile: bytes, space: Space) -> bool:
    # The many sRGB profiles differ in name and bytes, so probe what one does: within a level is sRGB.
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    axes = 1 if space == "L" else 3
    probe = np.stack(np.meshgrid(*[steps] * axes), axis=-1).reshape(1, -1, axes)
    change = _unit(_transform(probe, space, profile)) - _untagged(probe, space)
    return bool(np.abs(change).max() <= 1 / 255)
