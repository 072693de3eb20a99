"""Pictures to begin with: photos that ship with scikit-image, paintings that Brushwork paints itself."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from brushwork.errors import InputError
from brushwork.studio.folder import EVERYONE, Folder, Upload, draw_id

# Names to read, and scikit-image's. The cat and the coffee are CC0, the astronaut is NASA's: public domain.
PHOTOS = {"Cat": "chelsea", "Coffee": "coffee", "Astronaut": "astronaut"}
PAINTINGS = {"Swirls": "swirls", "Knife": "strokes", "Tiles": "tiles"}
_lock = Lock()


def sample(folder: Folder, name: str) -> Upload:
    """A sample as everyone's upload; it is made when it is asked for first. Raises InputError."""
    if name not in PHOTOS | PAINTINGS:
        raise InputError(f"no sample {name!r}: choose from {', '.join(PHOTOS | PAINTINGS)}")
    with _lock:
        made = folder.everyones()
        return made[name] if name in made else _make(folder, name)


def _make(folder: Folder, name: str) -> Upload:
    from PIL import Image

    image = Image.fromarray(_pixels(name))
    id = draw_id()
    file, small = (Path(folder.incoming / f"{id}.{suffix}") for suffix in ("png", "webp"))
    image.save(file)
    image.save(small, quality=88)
    width, height = image.size
    upload = Upload(
        id=id, owner=EVERYONE, name=f"{name.lower()}.png", suffix=".png", width=width, height=height
    )
    folder.add_upload(upload, file, small)
    return upload


def _pixels(name: str) -> Any:
    if name in PAINTINGS:
        from brushwork.painter import paint

        return paint(PAINTINGS[name], size=512)
    from skimage import data

    return getattr(data, PHOTOS[name])()
