"""Small versions of results, for the gallery."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from brushwork.decode import open_header
from brushwork.outputs import files

SIDE = 512  # pixels


def shrink(picture: Path, place: Path) -> None:
    """Write a picture's small version. Raises OutputError when that fails."""
    with picture.open("rb") as stream:  # Image.open has a limit, which our own pictures may exceed
        small = open_header(stream, "PNG").convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small.save(stream := io.BytesIO(), "WEBP", quality=85)
    files.write(place, stream.getvalue())
