"""Tiles at any size: pixels looked at, arithmetic, time a megapixel, memory of one evaluation.

    python benchmarks/scale.py --megapixels 4 12 48.8 --tile 448 --threads 2

The picture is a photo of scikit-image's enlarged to the size of a 48.8-megapixel camera's (3:4), the painting
one of Brushwork's own. Each size is evaluated in a process of its own, so that its peak is its own.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from skimage import data
from torch import Tensor

from brushwork.context import context_for, give_back_freed_memory
from brushwork.encoders import VGG19
from brushwork.fields import build
from brushwork.images import read_picture, resize
from brushwork.jobs import Stylize
from brushwork.optimize.crew import Crew
from brushwork.optimize.plan import GIVEN_BACK, KEPT, LARGE_GIVEN_BACK, Plan
from brushwork.optimize.tiled import TiledObjective, make_tiled_target
from brushwork.optimize.tiles import coverage
from brushwork.optimize.vault import Vault, scratch
from brushwork.painter import paint

FULL = (8064, 6048)
PUBLISHED = ((512 + 2 * 256) / 512) ** 2  # arXiv 2212.13459: inner tiles of 512 with an overlap of 256


FREED = {"none": KEPT, "large": LARGE_GIVEN_BACK, "all": GIVEN_BACK}


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[4.0, 12.0])
    parser.add_argument("--tile", type=int, default=448)
    parser.add_argument("--recompute", action="store_true", help="features are computed anew")
    parser.add_argument("--freed", choices=FREED, default="large", help="which freed memory is given back")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--pairs",
        type=int,
        default=0,
        help="compare one tile at a time with a tile for each thread, so often",
    )
    parser.add_argument("--files", action="store_true", help="read and write pictures of up to a gigapixel")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a size in its own process
    return parser.parse_args()


def size_of(megapixels: float) -> tuple[int, int]:
    """Height and width of a 3:4 picture."""
    factor = math.sqrt(megapixels * 1e6 / (FULL[0] * FULL[1]))
    return round(FULL[0] * factor), round(FULL[1] * factor)


def show_coverage(job: Stylize) -> None:
    """Pixels of the gradient pass over those of the picture, and the whole arithmetic, at 48.8 megapixels."""
    layers = [*job.content_layers, *job.style_layers]
    pixels = FULL[0] * FULL[1]
    print(f"{FULL[1]}×{FULL[0]}: pixels in the gradient pass, and arithmetic of both passes over one piece's")
    for side in (448, 512, 768, 1024, 2048):
        _, _, seen = coverage(*FULL, side, layers)
        # One piece: forward and backward, the latter as much again since weights have no gradients.
        print(f"  tiles of {side}: {seen / pixels:.2f}, {3 * seen / (2 * pixels):.2f}")
    print(f"  published (SPST's own settings): {PUBLISHED:.2f}, {3 * PUBLISHED / 2:.2f}")


def evaluate_one(job: Stylize, given: argparse.Namespace) -> None:
    """One evaluation of the first size; prints its figures as JSON."""
    give_back_freed_memory(FREED[given.freed].above)
    context = context_for(job)
    height, width = size_of(given.megapixels[0])
    photo = resize(read_picture(data.coffee()).pixels, height, width, "bicubic")
    art = torch.from_numpy(paint("tiles", size=1024)).permute(2, 0, 1)[None].float() / 255
    encoder, vault = VGG19.load(dtype=context.dtype), Vault(on_disk=True)
    crew = Crew([encoder])
    target, tiles = make_tiled_target(crew, job, photo, [art], [1.0], given.tile, vault)
    plan = Plan(given.tile, freed=FREED[given.freed])
    objective = TiledObjective(crew, target, job, tiles, vault, given.recompute, plan.given_back)
    if given.pairs:
        compare(objective, photo, given)
        return
    began = time.perf_counter()
    objective.evaluate(photo)
    seconds = time.perf_counter() - began
    own = 2 * photo.numel() * photo.element_size()  # the picture and its gradient
    found = {"width": width, "height": height, "tiles": len(tiles), "seconds": round(seconds, 2)}
    print(json.dumps(found | {"peak": context.peak_memory(), "own": own}))


def compare(objective: TiledObjective, photo: Tensor, given: argparse.Namespace) -> None:
    """Evaluations one tile at a time, with all threads, and a tile for each thread, in turn."""
    (encoder,) = objective.crew.encoders
    together = replace(objective, crew=Crew([encoder] * given.threads))
    ratios: list[float] = []
    for number in range(given.pairs + 1):  # the first pair prepares kernels
        seconds: list[float] = []
        gradients: list[Tensor] = []
        for each in (objective, together) if number % 2 else (together, objective):
            began = time.perf_counter()
            gradients.append(each.evaluate(photo).gradient)
            seconds.append(time.perf_counter() - began)
        alone, both = seconds if number % 2 else reversed(seconds)
        ratios += [both / alone] if number else []
        differ = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
        print(
            f"{alone:.2f} s, {both:.2f} s: {both / alone:.3f}; gradients differ by {differ:.1e}", flush=True
        )
    print(
        f"{given.threads} tiles at once take {median(ratios):.3f} of the time, {len(objective.tiles)} tiles"
    )


MEASURED = """
import resource, sys, time
from pathlib import Path
import torch
from brushwork.context import Context
from brushwork.encode import save_picture
from brushwork.huge import read_shrunk
from brushwork.images import Picture
what, path = sys.argv[1], Path(sys.argv[2])
picture = Picture(torch.rand(1, 3, 64, 64).repeat(1, 1, 126, 95)) if what == "write" else None
context = Context(torch.device("cpu"), torch.float32)
before, began = context.peak_memory(), time.perf_counter()
if picture:
    with path.open("wb") as file:
        save_picture(picture, {".png": "PNG", ".tif": "TIFF"}[path.suffix], file)
else:
    read_shrunk(path, 1024)
seconds, more = time.perf_counter() - began, context.peak_memory() - before
print(f"{seconds:.1f} s, {more / 1e6:.0f} MB more than before")
"""
"""One file in a process of its own."""


def show_files() -> None:
    """Time and memory of reading files of 400 and 1000 megapixels, and of writing 49."""
    vips: Any = import_module("pyvips")
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        colours = vips.Image.xyz(36000, 28000).linear([0.007, 0.009], 0).cast("uchar")
        noise = vips.Image.gaussnoise(36000, 28000, sigma=8, mean=128).cast("uchar")
        gigapixel = colours.bandjoin(noise).copy(interpretation="srgb")
        jobs: list[tuple[str, str, Any]] = [
            ("read", "1008-megapixels.tif", gigapixel),
            ("read", "400-megapixels.png", gigapixel.crop(0, 0, 20000, 20000)),
            ("write", "49-megapixels.png", None),
            ("write", "49-megapixels.tif", None),
        ]
        for what, name, image in jobs:
            path = Path(folder) / name
            if image is not None:
                options = (
                    {"tile": True, "compression": "deflate"} if path.suffix == ".tif" else {"compression": 1}
                )
                image.write_to_file(str(path), **options)
            line = [sys.executable, "-c", MEASURED, what, str(path)]
            told = subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()
            print(f"{what} {name} ({path.stat().st_size / 1e6:.0f} MB): {told}", flush=True)
            path.unlink()


def main() -> None:
    """Run it."""
    given = options()
    job = build(Stylize, {"content": "photo", "styles": "art", "threads": given.threads})
    if given.files:
        show_files()
        return
    if given.one or given.pairs:
        evaluate_one(job, given)
        return
    show_coverage(job)
    for megapixels in given.megapixels:
        line = [sys.executable, str(Path(__file__)), "--one", "--megapixels", str(megapixels)]
        line += ["--tile", str(given.tile), "--threads", str(given.threads)]
        line += ["--freed", given.freed, *(["--recompute"] if given.recompute else [])]
        found = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
        area = found["width"] * found["height"] / 1e6
        beyond = (found["peak"] - found["own"]) / 1e9
        print(
            f"{found['width']}×{found['height']}, {found['tiles']} tiles: {found['seconds']:.1f} s, "
            f"{found['seconds'] / area:.2f} s a megapixel; peak {found['peak'] / 1e9:.2f} GB, "
            f"{beyond:.2f} beyond picture and gradient",
            flush=True,
        )


if __name__ == "__main__":
    main()
