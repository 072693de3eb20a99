"""Decodes one file in a process of its own: what a bomb or a damaged file does, it does there.

``python -m brushwork.studio.decoding FILE THUMBNAIL MAX_PIXELS`` prints a JSON object: the picture's width,
height and suffix, or what is wrong with it. Its memory is limited by the system.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from brushwork.decode import decode, kind_of
from brushwork.errors import BrushworkError
from brushwork.profiles import to_srgb
from brushwork.samples import Samples

SUFFIXES = {"JPEG": ".jpg", "HEIF": ".heic"}  # others are called as they are
SMALL = 1024  # pixels of the thumbnail's long side
BYTES_A_PIXEL, REST = 64, 2_000_000_000  # of address space: 16-bit CMYK takes the most


def limit_memory(max_pixels: int) -> None:
    """Have the system refuse this process more memory than a picture of so many pixels may need."""
    limit = REST + BYTES_A_PIXEL * max_pixels
    # Windows has no such limit; another system may have set a lower one itself.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def look(file: str, thumbnail: str, max_pixels: int) -> dict[str, Any]:
    """Decode a file and write its small version; returns what is to be told."""
    try:
        with Path(file).open("rb") as stream:
            kind = kind_of(stream, "this file")
            stream.seek(0)
            image = _small(decode(stream, "this file", max_pixels))
    except BrushworkError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "this file needs too much memory: make it smaller first"}
    width, height = image.info["full"]
    image.save(thumbnail, "WEBP", quality=88)
    return {"width": width, "height": height, "suffix": SUFFIXES.get(kind, f".{kind.lower()}")}


def _small(samples: Samples) -> Image.Image:
    """The picture upright, in sRGB, over white, no side above ``SMALL``; ``info`` has its full size."""
    height, width = samples.colours.shape[:2]
    step = max(1, max(height, width) // (2 * SMALL))  # colour management of every pixel would take seconds
    thin = np.ascontiguousarray(samples.colours[::step, ::step])
    colours = to_srgb(thin, samples.space, samples.profile)
    if samples.alpha is not None:
        top = np.iinfo(samples.alpha.dtype).max
        alpha = samples.alpha[::step, ::step, None].astype(np.float32) / np.float32(top)
        colours = colours * alpha + (1 - alpha)
    levels = np.rint(np.broadcast_to(colours, (*colours.shape[:2], 3)).clip(0, 1) * 255)
    image = Image.fromarray(levels.astype(np.uint8))
    image.getexif()[274] = samples.orientation
    image = ImageOps.exif_transpose(image)
    image.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    image.info = {"full": (height, width) if samples.orientation > 4 else (width, height)}
    return image


if __name__ == "__main__":
    limit_memory(int(sys.argv[3]))
    json.dump(look(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
