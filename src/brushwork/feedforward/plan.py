"""How a pass is done: at which sizes, in one piece or in tiles, by which backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from brushwork.context import Context
from brushwork.errors import InputError
from brushwork.feedforward import pace
from brushwork.feedforward.folded import LATTICE
from brushwork.feedforward.stylenet import StyleNetSettings
from brushwork.jobs import Stylize

KNOWN: Final = (0.5, 2.0)  # stroke sizes that a network has learnt which takes them as an input
NEAR: Final = math.sqrt(2)  # within this factor of its natural size a picture is painted as it is
SMALL: Final = 1_100_000  # pixels up to which onnxruntime paints where nothing was measured: it is steadier
TILES: Final = (4096, 2048, 1024, 512, 256)
PIECE: Final = 5.0  # feature maps of the widest stage that live at once
PICTURES: Final = 64  # bytes a pixel of photo, result and what is made of them on the way to a file
BASE: Final = 450_000_000  # bytes of the process with torch and a network


@dataclass(frozen=True)
class Step:
    """One pass: the size painted at, and the tiles' side in pixels, None for one piece."""

    height: int
    width: int
    tile: int | None


@dataclass(frozen=True)
class Plan:
    """All passes, from small to large, and what runs them."""

    steps: Sequence[Step]
    backend: str

    def __str__(self) -> str:
        """In words, what is not the usual."""
        parts = [f"{len(self.steps)} passes from {max(self.steps[0].height, self.steps[0].width)} px"]
        tile = self.steps[-1].tile
        told = parts[: len(self.steps) > 1] + ([f"in tiles of {tile}"] if tile else [])
        return ", ".join([*told, self.backend])


def make_plan(job: Stylize, settings: StyleNetSettings, size: tuple[int, int], context: Context) -> Plan:
    """The plan for a result of (height, width). Raises InputError when the memory does not suffice."""
    sizes = ladder(job, size, settings)
    limit = job.memory or context.memory_limit()
    steps = [Step(*each, _tile(job, settings, each, limit)) for each in sizes]
    return Plan(steps, _backend(job, steps, context))


def ladder(job: Stylize, size: tuple[int, int], settings: StyleNetSettings) -> list[tuple[int, int]]:
    """Heights and widths to paint at, the last of them at least as large as the strokes ask for.

    A network's strokes are so many pixels wide. For broader ones the photo is painted small, enlarged, mixed
    with the photo and painted again, each time up to twice as large; for finer ones it is painted larger than
    it is wanted.
    """
    ratio = strokes(job, size, settings)
    if "stroke_size" in settings.conditions:
        ratio /= learnt(ratio)
    if 1 / NEAR <= ratio <= NEAR:
        return [size]
    if ratio < 1:
        return [_scaled(size, 1 / ratio)]
    count = max(1, round(math.log2(ratio)))
    return [_scaled(size, ratio ** (index / count - 1)) for index in range(count)] + [size]


def strokes(job: Stylize, size: tuple[int, int], settings: StyleNetSettings) -> float:
    """The size of the strokes that a result of (height, width) wants, over a network's natural one."""
    return max(size) * job.stroke_size / 100 / settings.natural


def learnt(ratio: float) -> float:
    """Of this ratio what a network can be told that takes the stroke size as an input."""
    return min(max(ratio, KNOWN[0]), KNOWN[1])


def opacity(strength: float) -> float:
    """How much of its picture is taken of a network that takes the strength as an input.

    The photo shows through where the strength is low: its colours do not pass the normalisations, so that no
    network gives them back.
    """
    return 1 - (1 - strength) ** 2


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(16, round(size[0] * factor)), max(16, round(size[1] * factor))


def _tile(job: Stylize, settings: StyleNetSettings, size: tuple[int, int], limit: int | None) -> int | None:
    """The side of the tiles that a pass at this size is done in: the job's, or what fits into memory."""
    if job.tile:
        return job.tile if job.tile < max(size) else None
    if limit is None or need(settings, size, None) <= limit:
        return None
    for tile in TILES:
        if tile < max(size) and need(settings, size, tile) <= limit:
            return tile
    least = need(settings, size, TILES[-1])
    raise too_large(size, least, limit)


def too_large(size: tuple[int, int], need: float, limit: int) -> InputError:
    """What says that a result of (height, width) needs more bytes than may be used."""
    return InputError(
        f"{size[1]}×{size[0]} needs {need / 1e9:.1f} GB of memory and {limit / 1e9:.1f} GB may be used: "
        "lower --size or raise --memory"
    )


def need(settings: StyleNetSettings, size: tuple[int, int], tile: int | None) -> float:
    """Bytes at most, of the whole process, of a pass in one piece or in tiles."""
    pixels = size[0] * size[1]
    # Channels at full size: those of a half and of a quarter count a fourth and a sixteenth.
    widest = max(
        settings.down[0], settings.down[1] / 4, settings.up[0] / 4, settings.up[1], settings.down[2] / 4
    )
    piece = PIECE * 4 * widest
    if tile is None:
        return BASE + pixels * (PICTURES + piece)
    kept = 3 * 4 * settings.down[2] / LATTICE**2
    return BASE + pixels * (PICTURES + kept) + min(tile + 24, max(size)) ** 2 * piece


def _hindrance(steps: Sequence[Step], context: Context) -> str:
    """What onnxruntime would need and these steps lack, in words; empty when it can paint them."""
    if context.device.type != "cpu" or context.precision != "float32":
        return "in float32 on the processor"
    return "in one piece, not in tiles" if any(step.tile is not None for step in steps) else ""


def _backend(job: Stylize, steps: Sequence[Step], context: Context) -> str:
    hindrance = _hindrance(steps, context)
    if job.backend == "onnxruntime" and hindrance:
        raise InputError(f"--backend onnxruntime paints {hindrance}: use --backend torch")
    if job.backend != "auto":
        return job.backend
    if hindrance:
        return "torch"
    measured = pace.known(torch.get_num_threads())
    limit = SMALL if measured is None else measured.limit
    return "onnxruntime" if steps[-1].height * steps[-1].width <= limit else "torch"
