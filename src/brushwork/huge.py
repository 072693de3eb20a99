"""Pictures too large to be held whole: read shrunk, strip by strip, by libvips."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brushwork.decode import kind_of, open_header, reading
from brushwork.errors import BrushworkError, InputError, MissingExtraError
from brushwork.images import Picture, composited
from brushwork.inputs import opened
from brushwork.samples import dpi_of, exif_of

LARGE = 100_000_000  # pixels above which a picture is read shrunk, if no more than a part of it is needed
SPARE = 2  # a picture is read at this many times the size that is needed: the job's own filter does the rest


def _dpi(path: str | Path) -> tuple[float, float] | None:
    """The dots per inch, which libvips makes up where a file does not tell."""
    with opened(path) as stream, reading(str(path)):
        image = open_header(stream, kind_of(stream, str(path)))
        return dpi_of(image.info, exif_of(image))


def pixels_of(path: str | Path) -> int:
    """The pixels of a picture file, by its header alone; 0 for a file that whoever reads it will refuse."""
    try:
        with opened(path) as stream, reading(str(path)):
            kind = kind_of(stream, str(path))
            width, height = (0, 0) if kind == "HEIF" else open_header(stream, kind).size
    except BrushworkError:
        return 0
    return width * height


def is_huge(path: str | Path, needed: int | None) -> bool:
    """Whether a picture of which ``needed`` pixels of its long side are enough should be read shrunk."""
    return needed is not None and pixels_of(path) > max(LARGE, (SPARE * needed) ** 2)


def read_shrunk(path: str | Path, needed: int) -> Picture:
    """Read a picture with a long side of ``SPARE`` times ``needed``, upright, in sRGB, 8 bits.

    Strips are decoded, shrunk and dropped: a gigapixel takes some 300 MB. Raises InputError for a file that
    cannot be read and MissingExtraError without libvips.
    """
    try:
        vips: Any = import_module("pyvips")
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"{path}: {pixels_of(path) / 1e6:,.0f} megapixels are read in strips, which needs an extra: "
            "pip install 'brushwork[large]'"
        ) from error
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # what it warns of is raised below
    side = SPARE * needed
    try:
        image = vips.Image.thumbnail(
            str(path), side, height=side, size="down", export_profile="srgb", fail_on="truncated"
        )
        image = image.colourspace("srgb")
        levels: NDArray[np.uint8] = image.numpy()
    except vips.Error as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: cannot be read ({reason}); copy or download it again") from error
    planes = torch.from_numpy(levels.copy()).permute(2, 0, 1)[None].float() / 255
    alpha = planes[:, 3:] if planes.shape[1] == 4 else None
    return composited(planes[:, :3].expand(-1, 3, -1, -1), alpha, dpi=_dpi(path))
