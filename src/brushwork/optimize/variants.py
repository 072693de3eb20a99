"""A painting's variants: the same painting at several sizes and turned several ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from brushwork.encoders.vgg19 import check_size
from brushwork.images import Picture, resize
from brushwork.jobs import Settings
from brushwork.optimize.scales import Scale, style_size


def fit(settings: Settings, pixels: Tensor, height: int, width: int) -> Tensor:
    """A photo or painting at the size at which it is measured, by the job's filter.

    Where that picks single pixels the coarse scales average them: see ``picks``.
    """
    return resize(pixels, height, width, "area" if picks(settings) else settings.resize)


def shrunk(settings: Settings, picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture of the size (height, width) that the finest scale needs, by the job's filter."""
    if picture.size == size:
        return picture
    return replace(picture, pixels=resize(picture.pixels, *size, settings.resize))


def size_kept(settings: Settings, needed: tuple[int, int], picture: tuple[int, int]) -> tuple[int, int]:
    """Height and width at which a picture of such is kept: no larger than what the finest scale needs.

    A filter that picks pixels enlarges here too, so that the finest objective is the recipe's.
    """
    return needed if picks(settings) or math.prod(needed) < math.prod(picture) else picture


def painting_kept(settings: Settings, finest: Scale, painting: tuple[int, int]) -> tuple[int, int]:
    """``size_kept`` of a painting; sizes at coarser scales follow from it, a pixel off the painting's own."""
    return size_kept(settings, style_size(settings, finest, painting, max(settings.style_scales)), painting)


def picks(settings: Settings) -> bool:
    """Whether a ladder's filter picks single pixels, which would alias on the coarse scales.

    The finest scale is then picked first, so that its objective is the recipe's, and the others are
    averages of it.
    """
    return settings.resize in ("nearest", "bilinear") and len(settings.scales) > 1


def variants(settings: Settings, painting: Tensor, scale: Scale) -> list[Tensor]:
    """The painting (1, 3, H, W) as it is measured for a scale: each of ``style_scales``, each turned.

    Their statistics are blended with equal weights. Raises InputError when one is too small for a layer.
    """
    found: list[Tensor] = []
    for relative in settings.style_scales:
        height, width = style_size(settings, scale, painting.shape[-2:], relative)
        resized = fit(settings, painting, height, width)
        for degrees in settings.style_rotations:
            check_size(*turned_size((height, width), degrees), settings.style_layers)
            found.append(turned(resized, degrees))
    return found


def variant_sizes(settings: Settings, painting: Sequence[int], scale: Scale) -> list[tuple[int, int]]:
    """Heights and widths of ``variants`` of a painting of (height, width)."""
    sizes = [style_size(settings, scale, painting, relative) for relative in settings.style_scales]
    return [turned_size(size, degrees) for size in sizes for degrees in settings.style_rotations]


def turned(picture: Tensor, degrees: float) -> Tensor:
    """A picture (1, C, H, W) turned counterclockwise; nothing of what lies outside it is seen.

    Quarter turns are exact; of others the largest upright rectangle inside the turned picture is kept.
    """
    if degrees % 90 == 0:
        return picture.rot90(round(degrees / 90), (-2, -1))
    height, width = turned_size(picture.shape[-2:], degrees)
    planes = picture[0].detach().to("cpu", torch.float32).numpy()
    images = [
        Image.fromarray(plane).rotate(degrees, Image.Resampling.BICUBIC, expand=True) for plane in planes
    ]
    left, top = (images[0].width - width) // 2, (images[0].height - height) // 2
    cropped = [np.asarray(image.crop((left, top, left + width, top + height))) for image in images]
    return torch.from_numpy(np.stack(cropped))[None].clamp(0, 1).to(picture)


def turned_size(size: Sequence[int], degrees: float) -> tuple[int, int]:
    """Height and width of a picture of (height, width) after ``turned``, at least 1."""
    height, width = size
    if degrees % 90 == 0:
        return (width, height) if degrees % 180 else (height, width)
    sine, cosine = (abs(f(math.radians(degrees))) for f in (math.sin, math.cos))
    short, long = sorted((height, width))
    if short <= 2 * sine * cosine * long:
        # Two corners of the rectangle lie on the long sides, the others touch nothing.
        half = short / 2
        inner = (half / cosine, half / sine) if width >= height else (half / sine, half / cosine)
    else:
        double = cosine**2 - sine**2
        inner = (height * cosine - width * sine) / double, (width * cosine - height * sine) / double
    # A pixel less on each side: what the filter mixed with the outside.
    return max(1, math.floor(inner[0]) - 2), max(1, math.floor(inner[1]) - 2)
