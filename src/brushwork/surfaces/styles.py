"""What `brushwork styles` and `brushwork export` do: the styles of the one-pass engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from brushwork.encode import encode_picture, format_of
from brushwork.errors import OutputError
from brushwork.events import finished
from brushwork.feedforward.embedded import STYLES
from brushwork.fields import build
from brushwork.images import Picture, read_picture
from brushwork.jobs import Export, Stylize
from brushwork.outputs import files
from brushwork.outputs.labels import Cell, labelled
from brushwork.outputs.places import apart
from brushwork.runner import run, sources_of
from brushwork.surfaces.terminal import say, table

COLUMNS, SIDE = 7, 256  # of the sheet


def list_styles() -> None:
    """The kinds of styles, on standard output."""
    table(
        [
            (
                "PAINTING.jpg",
                "any painting, whose style a network tells (Magenta's arbitrary stylization)",
            ),
            (f"builtin:0 … builtin:{STYLES - 1}", "styles of one trained network; they can be blended"),
            ("NET.safetensors", "a network of one's own, by `brushwork train stylenet`"),
            ("NET.pth", "a network of PyTorch's example fast_neural_style"),
        ]
    )


def draw_styles(photo: str | None, output: str, *, overwrite: bool, quiet: bool) -> None:
    """A sheet of a photo in all built-in styles. Raises InputError, OutputError."""
    place = Path(output)
    kind = format_of(place)
    files.check_place(place, overwrite=overwrite)
    apart([place], [photo] if photo else [])
    picture = read_picture(photo) if photo else _example()
    names = [f"builtin:{number}" for number in range(STYLES)]
    cells = [Cell(picture.pixels, ("the photo",)), *(Cell(_painted(picture, n), (n,)) for n in names)]
    rows = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    files.write(place, encode_picture(Picture(labelled(rows, cell=SIDE)), kind))
    if not quiet:
        say(f"wrote {place}")


def _example() -> Picture:
    from skimage import data

    return read_picture(data.chelsea())


def _painted(picture: Picture, style: str) -> Tensor:
    # Painted as at the usual size, for these styles' strokes, and shown smaller.
    job = build(Stylize, {"content": "-", "styles": [style], "engine": "feedforward"})
    return finished(run(job, sources_of(job, picture.pixels, [style]))).picture.pixels


def write_export(job: Export, *, as_json: bool) -> None:
    """Write a style as an ONNX file and tell how far it is from PyTorch's pictures."""
    from brushwork.feedforward.export import export

    place = Path(job.output) if job.output else _default_place(job)
    if place.suffix.lower() != ".onnx":
        raise OutputError(f"-o {place}: the file is an ONNX model: give a name that ends with .onnx")
    files.check_place(place, overwrite=job.overwrite)
    made = export(job)
    files.write(place, made.data)
    told = {"output": str(place), "numbers": job.numbers, "bytes": len(made.data)}
    _tell(told | {"mean_difference": made.mean, "largest_difference": made.largest}, as_json=as_json)


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        files.write_standard_output(json.dumps(told).encode() + b"\n")
        return
    say(f"wrote {told['output']}, {told['bytes'] / 1e3:.0f} kB, {told['numbers']}")
    gaps = (told["mean_difference"], told["largest_difference"])
    say(f"differs from PyTorch's pictures by {gaps[0]:.2g} on average, {gaps[1]:.2g} at most, of 1")


def _default_place(job: Export) -> Path:
    return Path(job.styles[0].path.replace(":", "")).with_suffix(".onnx")
