"""What a large picture looks like when its normalisation is measured elsewhere than on all of it.

    python benchmarks/thumbnails.py PHOTO PAINTING [--size 2048] [--sheet FILE.png]

One pass of the embedded network, with the statistics of the whole picture in one piece, the same summed over
tiles of 512 (what Brushwork does), of thumbnails (URST, arXiv 2103.11784), and of each tile itself. Prints
how far each picture is from the first, in 0..1, and the seconds; the sheet shows them all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from brushwork.encode import encode_picture
from brushwork.events import drained
from brushwork.feedforward import shelf, tiled
from brushwork.feedforward.engine import predict
from brushwork.feedforward.folded import Affine, FoldedNet
from brushwork.feedforward.stylenet import Moments, Norm
from brushwork.images import Picture, read_picture, resize
from brushwork.outputs import files
from brushwork.outputs.labels import Cell, labelled

TILE = 512
THUMBNAILS = (256, 512, 1024)
SHOWN = 640  # pixels of the long side of a picture in the sheet


def moments_of(photo: Tensor, condition: Tensor) -> dict[str, Moments]:
    """What each normalisation measures on a photo (1, 3, H, W), as the folded network takes it."""
    found: dict[str, Moments] = {}
    network = shelf.plain(shelf.ARBITRARY)

    def listen(name: str) -> Callable[[Any, Any], None]:
        def keep(_: Any, arguments: tuple[Tensor, Tensor, Moments]) -> None:
            fill = (
                4 - len(arguments[2].mean.flatten()) if name == "last" else 0
            )  # its picture has four channels
            found[name] = Moments(*(pad(part.flatten(), (0, fill)) for part in arguments[2]))

        return keep

    named = [(name, module) for name, module in network.named_modules() if isinstance(module, Norm)]
    hooks = [norm.register_forward_pre_hook(listen(name.removesuffix(".norm"))) for name, norm in named]
    network(photo, condition[None])
    for hook in hooks:
        hook.remove()
    return found


def in_tiles(network: FoldedNet, photo: Tensor, affines: dict[str, Affine]) -> Tensor:
    """The picture as Brushwork paints it in tiles."""
    return drained(tiled.paint(network, photo, affines, TILE))


def apart(network: FoldedNet, photo: Tensor, affines: dict[str, Affine]) -> Tensor:
    """Each tile painted as if it were a picture."""
    painted = torch.empty_like(photo)
    for y in range(0, photo.shape[-2], TILE):
        for x in range(0, photo.shape[-1], TILE):
            place = (..., slice(y, y + TILE), slice(x, x + TILE))
            painted[place] = network.paint(photo[place].contiguous(), affines)
    return painted


def sized(photo: Tensor, side: int) -> Tensor:
    """A photo with that long side, its sides multiples of 4."""
    factor = side / max(photo.shape[-2:])
    rows, columns = (max(16, 4 * round(each * factor / 4)) for each in photo.shape[-2:])
    return resize(photo, rows, columns, "area" if factor < 1 else "lanczos")


@torch.no_grad()
def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo")
    parser.add_argument("painting")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    photo = sized(read_picture(options.photo).pixels, options.size)
    condition = predict(read_picture(options.painting).pixels)
    network = shelf.folded(shelf.ARBITRARY, torch.device("cpu"), torch.float32)
    affines = network.affines(condition)

    def thumbnail(side: int) -> Callable[[], Tensor]:
        return lambda: network.paint(photo, affines, moments_of(sized(photo, side), condition))

    ways: dict[str, Callable[[], Tensor]] = {
        "whole": lambda: network.paint(photo, affines),
        f"tiles of {TILE}": lambda: in_tiles(network, photo, affines),
        **{f"thumbnail of {side}": thumbnail(side) for side in THUMBNAILS},
        "each tile its own": lambda: apart(network, photo, affines),
    }
    pictures: dict[str, Tensor] = {}
    for name, paint in ways.items():
        began = time.perf_counter()
        pictures[name] = paint()
        gap = (pictures[name] - pictures["whole"]).abs()
        told = f"mean {float(gap.mean()):.4f}, most {float(gap.max()):.4f}"
        print(f"{name:20} {told}   {time.perf_counter() - began:.1f} s")
    if options.sheet:
        cells = [Cell(pixels, (name,)) for name, pixels in pictures.items()]
        sheet = Picture(labelled([cells[:3], cells[3:]], cell=SHOWN))
        files.write(options.sheet, encode_picture(sheet, "PNG"))


if __name__ == "__main__":
    main()
