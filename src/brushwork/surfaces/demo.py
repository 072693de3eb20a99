"""The demonstration: pictures that ship with scikit-image, in styles that Brushwork paints itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brushwork.encode import encode_picture
from brushwork.fields import build
from brushwork.images import Picture, read_picture
from brushwork.jobs import Stylize
from brushwork.outputs import files, sheets
from brushwork.painter import paint as paint_style
from brushwork.surfaces.painting import paint
from brushwork.surfaces.terminal import say
from brushwork.wanted import Wanted

# Photo (scikit-image's name), style (the painter's name), size. The cat and the coffee are CC0, the
# astronaut is NASA's and public domain.
SCENES = (("chelsea", "swirls", 512), ("coffee", "tiles", 384), ("astronaut", "strokes", 384))


def paint_demo(folder: Path, *, overwrite: bool, quiet: bool) -> int:
    """Write photos, styles, results and a sheet of all into ``folder``; returns the exit status."""
    files.make_folder(folder)
    files.check_place(folder / "demo.png", overwrite=overwrite)
    shown: list[Picture] = []
    for photo, style, size in SCENES:
        names = [folder / f"{name}.png" for name in (photo, style, f"{photo}-{style}")]
        _write(names[0], _photo(photo), overwrite)
        _write(names[1], paint_style(style, size=512), overwrite)
        job = build(Stylize, {"content": str(names[0]), "styles": [str(names[1])], "size": size})
        status = paint(job, Wanted(output=str(names[2]), overwrite=overwrite), as_json=False, quiet=quiet)
        if status:
            return status
        shown += [read_picture(name) for name in names]
    sheet = sheets.grid([picture.pixels for picture in shown], columns=3)
    files.write(folder / "demo.png", encode_picture(Picture(sheet), "PNG"))
    if not quiet:
        say(f"all together: {folder / 'demo.png'}")
    return 0


def _photo(name: str) -> Any:
    from skimage import data

    return getattr(data, name)()


def _write(path: Path, pixels: Any, overwrite: bool) -> None:
    files.check_place(path, overwrite=overwrite)
    files.write(path, encode_picture(read_picture(pixels), "PNG"))
