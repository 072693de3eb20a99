"""Pictures as tensors: read from anything, resized by any of the usual methods."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from brushwork.decode import Samples, check_size, decode, image_samples, reading
from brushwork.errors import InputError
from brushwork.inputs import opened
from brushwork.profiles import to_srgb

MAX_PIXELS = 250_000_000

Method = Literal["nearest", "bilinear", "lanczos", "lanczos8", "bicubic", "area"]


@dataclass(frozen=True)
class Picture:
    """A picture, upright, over white where it is transparent."""

    pixels: Tensor  # float32 (1, 3, H, W), RGB, sRGB-encoded, 0..1
    alpha: Tensor | None = None  # float32 (1, 1, H, W), 0..1; None when opaque
    bits: int = 8  # 8 or 16, the depth of the source
    dpi: tuple[float, float] | None = None  # across, down

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


@dataclass(frozen=True)
class Sources:
    """The pictures of a job."""

    content: Picture
    styles: Sequence[Picture]
    init: Picture | None = None  # the start, when ``job.init`` is a file


Source = str | Path | bytes | Image.Image | NDArray[Any] | Tensor | Picture


def read_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from a path, the bytes of a file, a Pillow image, an array or a tensor, or take one.

    Files may be JPEG, PNG, WebP, TIFF, GIF (of animations the first frame), AVIF, BMP and HEIC; EXIF
    rotation and colour profiles are applied, and 16 bits stay 16. Arrays are (H, W) or (H, W, 1, 3 or 4),
    tensors (C, H, W) or (1, C, H, W); integers span their type, floats 0..1.

    Raises InputError, in one line with the remedy, for whatever cannot be read or has more than
    ``max_pixels`` pixels, and MissingExtraError for HEIC without its extra.
    """
    match source:
        case str() | Path():
            with opened(source) as stream:
                samples = decode(stream, str(source), max_pixels)
            return _picture(samples)
        case bytes():
            return _picture(decode(io.BytesIO(source), "the given bytes", max_pixels))
        case Image.Image():
            return _from_image(source, max_pixels)
        case np.ndarray():
            return _from_array(source, max_pixels)
        case Tensor():
            return _from_tensor(source, max_pixels)
        case Picture():
            return source
        case _:
            raise InputError(f"no picture in a {type(source).__name__}; give a path, an image or an array")


def resize(pixels: Tensor, height: int, width: int, method: Method) -> Tensor:
    """Resize (N, C, H, W) pixels, 0..1, to ``height`` x ``width``; the same size returns the input itself.

    ``bilinear`` is TensorFlow 2's: half-pixel centres, no antialiasing. The others are Pillow's filters, in
    float so that 16 bits survive (``area`` is its BOX), with overshoot clipped to 0..1; ``lanczos8`` is what
    Pillow makes of 8-bit pixels, rounded after each axis.
    """
    if method not in get_args(Method):
        raise InputError(f"resize method {method!r}; give one of {', '.join(get_args(Method))}")
    if height < 1 or width < 1:
        raise InputError(f"a size of {width} x {height} pixels; both sides must be at least 1")
    if pixels.shape[-2:] == (height, width):
        return pixels
    if method == "bilinear":
        return functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
    found = _resized(pixels.detach().to("cpu", torch.float32).contiguous(), height, width, method)
    return found.clamp_(0, 1).to(pixels)


def _resized(pixels: Tensor, height: int, width: int, method: Method) -> Tensor:
    """By torch where it has the filter, which is 2 to 4 times as fast and within 1e-5 of Pillow."""
    if method in _OF_TORCH and width > 1:  # one column comes out wrong (torch 2.13)
        return functional.interpolate(
            pixels, (height, width), mode=method, antialias=True, align_corners=False
        )
    planes = pixels.flatten(0, 1)
    if method == "lanczos8":
        planes = planes.mul(255).round_().clamp_(0, 255).byte()
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), _FILTERS[method]))
        for plane in planes.numpy()
    ]
    result = torch.from_numpy(np.stack(resized))
    result = result.float().div_(255) if method == "lanczos8" else result
    return result.unflatten(0, pixels.shape[:2])


_OF_TORCH = ("bicubic", "lanczos") if hasattr(torch.ops.aten, "_upsample_lanczos2d_aa") else ("bicubic",)
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "lanczos8": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def like_the_photo(pixels: Tensor, content: Picture) -> Picture:
    """Pixels (1, 3, H, W) in 0..1 with the photo's alpha, depth and resolution."""
    alpha = content.alpha
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[-2], pixels.shape[-1], "lanczos")
    return Picture(pixels, alpha, content.bits, content.dpi)


# -------------------------------------------------------------------------------------------- from samples

# EXIF orientation: whether rows and columns are swapped, then which axes are mirrored.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    1: (False, ()),
    2: (False, (-1,)),
    3: (False, (-2, -1)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-2, -1)),
    8: (True, (-2,)),
}


def _picture(samples: Samples) -> Picture:
    top = np.iinfo(samples.colours.dtype).max
    swapped, mirrored = _TURNS[samples.orientation]

    def upright(planes: NDArray[np.float32]) -> Tensor:
        # (H, W, C) to (1, C, H, W)
        tensor = torch.from_numpy(planes).permute(2, 0, 1)[None]
        turned = tensor.mT if swapped else tensor
        return turned.flip(mirrored) if mirrored else turned  # without axes flip copies all the same

    colours = upright(to_srgb(samples.colours, samples.space, samples.profile))
    alpha = (
        None
        if samples.alpha is None
        else upright(samples.alpha[..., None].astype(np.float32) / np.float32(top))
    )
    dpi = (samples.dpi[1], samples.dpi[0]) if samples.dpi and swapped else samples.dpi
    return composited(colours, alpha, bits=8 if top == 255 else 16, dpi=dpi)


def composited(
    colours: Tensor, alpha: Tensor | None, *, bits: int = 8, dpi: tuple[float, float] | None = None
) -> Picture:
    """A picture of colours (1, 3, H, W) over white, 0..1, and their alpha (1, 1, H, W), which it keeps."""
    if alpha is None or bool((alpha == 1).all()):
        return Picture(colours.contiguous(), None, bits, dpi)
    # Over white: what lies under full transparency is rubbish and must not reach the style or the content.
    return Picture((colours * alpha + (1 - alpha)).contiguous(), alpha.contiguous(), bits, dpi)


# ----------------------------------------------------------------------------- from images, arrays, tensors


def _from_image(image: Image.Image, max_pixels: int) -> Picture:
    name = str(getattr(image, "filename", "")) or "the given image"
    check_size(image.size, name, max_pixels)
    with reading(name):
        return _picture(image_samples(image, name))


def _from_array(array: NDArray[Any], max_pixels: int) -> Picture:
    planes = array if array.ndim == 3 else array[..., None]
    if planes.ndim != 3 or planes.shape[2] not in (1, 3, 4):
        raise InputError(f"an array of shape {array.shape}; give (H, W) or (H, W, 1, 3 or 4)")
    check_size((planes.shape[1], planes.shape[0]), "the given array", max_pixels)
    tops = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
    top = tops.get(array.dtype.name)
    if top is None:
        raise InputError(f"an array of {array.dtype.name}; give uint8, uint16 or float 0..1")
    values = np.ascontiguousarray(np.moveaxis(planes, 2, 0), dtype=np.float32) / np.float32(top)
    return _from_planes(torch.from_numpy(values)[None], "array", bits=16 if top == 65535 else 8)


def _from_tensor(tensor: Tensor, max_pixels: int) -> Picture:
    planes = tensor[None] if tensor.ndim == 3 else tensor
    if planes.ndim != 4 or planes.shape[0] != 1 or planes.shape[1] not in (1, 3, 4):
        raise InputError(f"a tensor of shape {tuple(tensor.shape)}; give (3, H, W) or (1, 3, H, W)")
    check_size((planes.shape[3], planes.shape[2]), "the given tensor", max_pixels)
    if not tensor.is_floating_point() and tensor.dtype != torch.uint8:
        raise InputError(f"a tensor of {tensor.dtype}; give uint8 or float 0..1")
    values = planes.detach().to("cpu", torch.float32, copy=True)
    return _from_planes(values / 255 if tensor.dtype == torch.uint8 else values, "tensor", bits=8)


def _from_planes(planes: Tensor, name: str, *, bits: int) -> Picture:
    """Make a picture of (1, 1, 3 or 4, H, W) float planes; floats count as 8 bit, what most came from."""
    low, high = planes.aminmax()
    # Written so that NaN fails too; the slack is for sums like 0.1 + 0.9 in half precision.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise InputError(f"values {float(low):g}..{float(high):g} in the given {name}; scale floats to 0..1")
    planes = planes.clamp(0, 1)
    colours = planes[:, :3].expand(-1, 3, -1, -1)
    return composited(colours, planes[:, 3:] if planes.shape[1] == 4 else None, bits=bits)
