"""How a scale's work is fitted into memory: in one piece or in tiles, and what waits on disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

from brushwork.encoders.vgg19 import LAYERS, channels, smallest_side
from brushwork.errors import InputError
from brushwork.jobs import Settings, Stylize
from brushwork.losses.sliced import DIRECTIONS
from brushwork.optimize.scales import Scale
from brushwork.optimize.tiles import coverage
from brushwork.optimize.variants import variant_sizes

BASE, MATRICES = 487_000_000, 72_500_000
"""Bytes of torch and of the weights as read; numbers of VGG19's kernels and Winograd's matrices.

So that runs stay below: with 475 MB one for which 938 were foretold took 937 to 950 from run to run.
"""
VECTOR = 12  # bytes a pixel of one picture, gradient or step
VECTORS = 9  # photo, picture and gradient, those accepted last, the step and what it is made of
WHOLE = 1.7  # what the backward pass of one piece adds to the features in memory: 0.7 of them
RECOMPUTED = 0.85  # of a tile's memory when the backward pass computes the features anew
SIDES = (2048, 1536, 1024, 768, 640, 512, 448, 384, 320, 256, 192, 128)
SECOND_PASS = 1.5  # a tile is looked at twice, the first time without a gradient
SMALL, NEAR = 512, 0.87  # pixels of a tile's side up to which the cache makes it so much faster
BUSY = 512**2  # pixels below which a tile takes a GPU no less time: assumed
REDONE, ON_DISK = 1.33, 1.05  # what recomputing and reading from disk multiply the time by


class Freed(NamedTuple):
    """What becomes of freed memory between the layers of a tile, measured with sides of 192 to 1024."""

    above: int  # bytes: larger blocks are given back; the system clears every page that it gives anew
    holes: int  # bytes between blocks of many sizes
    transient: int  # bytes a pixel that the backward pass adds to the features
    time: float


KEPT = Freed(2**30, 520_000_000, 830, 1.0)
LARGE_GIVEN_BACK = Freed(2**23, 400_000_000, 180, 1.25)
GIVEN_BACK = Freed(2**20, 0, 640, 2.1)


@dataclass(frozen=True)
class Plan:
    """How one scale is worked on, and the peak of memory that this is expected to take, in bytes."""

    tile: int | None = None  # own pixels of a tile's side; None for one piece
    on_disk: bool = False  # the photo's features and the steps that L-BFGS remembers
    recompute: bool = False  # the backward pass computes features anew
    freed: Freed = KEPT
    at_once: int = 1  # tiles that are looked at at the same time
    bytes: int = 0
    cost: float = 1.0  # time relative to one piece

    @property
    def given_back(self) -> int | None:
        """What a ``TiledObjective`` is told of freed memory: only where some is kept and some is not."""
        return self.freed.above if self.freed is LARGE_GIVEN_BACK else None

    def __str__(self) -> str:
        """In words; empty for one piece."""
        if self.tile is None:
            return ""
        parts = [f"tiles of {self.tile} px"]
        parts += [f"{self.at_once} at once"] if self.at_once > 1 else []
        parts += ["features computed twice"] if self.recompute else []
        parts += ["freed memory given back"] if self.freed is GIVEN_BACK else []
        parts += ["the rest on disk"] if self.on_disk else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Hands:
    """How many tiles are looked at at the same time."""

    count: int = 1
    apart: bool = False  # each has memory and speed of its own, as GPUs have

    def share(self, tiles: int) -> float:
        """Time of so many tiles relative to one after another; in the last round some may have none."""
        full = 1 / self.count if self.apart else 1.0
        return full * math.ceil(tiles / self.count) * self.count / tiles


@dataclass(frozen=True)
class Sizes:
    """What a plan is made for: a scale, the sizes (height, width) of the pictures as read, who does it."""

    scale: Scale
    photo: Sequence[int]
    paintings: Sequence[Sequence[int]]
    hands: Hands = field(default_factory=Hands)
    itemsize: int = 4  # bytes of a number in the features

    @property
    def pixels(self) -> int:
        """Of the picture that is worked on."""
        return self.scale.height * self.scale.width


def make_plan(job: Stylize, sizes: Sizes, limit: int | None) -> Plan:
    """The fastest way of working on a scale that stays within ``limit`` bytes.

    Raises InputError, with the largest size that would fit, when there is none.
    """
    whole = Plan(bytes=_whole(job, sizes))
    several = sizes.hands.apart and sizes.hands.count > 1
    if job.tile is None and not several and (limit is None or whole.bytes <= limit):
        return whole  # nothing is faster; reckoning the 84 others takes 23 to 90 ms a scale
    plans = list(_plans(job, sizes))
    fitting = [plan for plan in plans if limit is None or plan.bytes <= limit]
    if fitting:
        return min(fitting, key=lambda plan: plan.cost)
    assert limit is not None
    least = min(plans, key=lambda plan: plan.bytes)
    where = f"--memory allows {_gigabytes(limit)}" if job.memory else f"{_gigabytes(limit)} are free"
    remedy = _largest(job, sizes, limit)
    raise InputError(
        f"{sizes.scale.width}×{sizes.scale.height} pixels need at least {_gigabytes(least.bytes)} of memory "
        f"and {where}: {remedy}"
    )


def lesser_plan(job: Stylize, sizes: Sizes, limit: int, plan: Plan) -> Plan | None:
    """The fastest way within ``limit`` bytes, or else the one of fewest; None when that is ``plan``."""
    plans = [each for each in _plans(job, sizes) if each.bytes < plan.bytes]
    fitting = [each for each in plans if each.bytes <= limit]
    if fitting:
        return min(fitting, key=lambda each: each.cost)
    return min(plans, key=lambda each: each.bytes, default=None)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2g} GB"


def _largest(job: Stylize, sizes: Sizes, limit: int) -> str:
    """What to do when nothing fits: the largest size that would, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        fits = min(plan.bytes for plan in _plans(job, _shrunk(sizes, middle))) <= limit
        low, high = (middle, high) if fits else (low, middle)
    side = math.floor(sizes.scale.long_side * low)
    more = "give more memory" if job.memory else "close other programs"
    return f"give --size {side} or smaller, or {more}" if side >= 16 else more


def _shrunk(sizes: Sizes, factor: float) -> Sizes:
    height, width = (max(16, round(side * factor)) for side in (sizes.scale.height, sizes.scale.width))
    return replace(sizes, scale=replace(sizes.scale, height=height, width=width))


def _plans(job: Stylize, sizes: Sizes) -> Iterator[Plan]:
    """All ways of working on a scale."""
    if job.tile is None:
        yield Plan(bytes=_whole(job, sizes))
    sides = SIDES if job.tile is None else (job.tile,)
    # Computing features twice saves too little where freed memory is kept: smaller tiles are faster.
    ways = [(KEPT, False), (LARGE_GIVEN_BACK, False), (GIVEN_BACK, False), (GIVEN_BACK, True)]
    for side, on_disk, (freed, again) in product(sides, (False, True), ways):
        if freed is not KEPT or side >= SMALL:  # below, few blocks are large
            yield _tiled(job, sizes, Plan(side, on_disk, again, freed, sizes.hands.count))


def _whole(job: Stylize, sizes: Sizes) -> int:
    painting = sum(
        height * width for size in sizes.paintings for height, width in variant_sizes(job, size, sizes.scale)
    )
    # Of paintings there is no backward pass, but all of them are measured before they are blended.
    stored = _stored(job, sizes.itemsize)
    features = max(sizes.pixels * WHOLE * stored, painting * stored)
    return round(_base(sizes) + _pictures(sizes) + _remembered(job, sizes) + features)


def _tiled(job: Stylize, sizes: Sizes, plan: Plan) -> Plan:
    assert plan.tile is not None
    layers = [*job.content_layers, *job.style_layers]
    height, width = sizes.scale.height, sizes.scale.width
    tiles, area, looked_at = coverage(height, width, plan.tile, layers, wrap=job.tileable)
    paintings = [each for size in sizes.paintings for each in variant_sizes(job, size, sizes.scale)]
    # They are looked at in tiles of the same size.
    area = max(area, *(coverage(*each, plan.tile, layers)[1] for each in paintings))
    transient = plan.freed.transient * sizes.itemsize / 4
    a_pixel = (_stored(job, sizes.itemsize) + transient) * (RECOMPUTED if plan.recompute else 1)
    looked_at = max(looked_at, tiles * BUSY if sizes.hands.apart else 0)
    a_pixel += 2 * VECTOR if plan.at_once > 1 else 0  # gradients that wait for their turn
    together = 1 if sizes.hands.apart else plan.at_once
    total = _base(sizes) + _pictures(sizes) + together * area * a_pixel + plan.freed.holes
    if not plan.on_disk:
        total += _remembered(job, sizes) + sizes.pixels * _kept(job)
    cost = _slower(plan) * looked_at / sizes.pixels * sizes.hands.share(tiles)
    return replace(plan, bytes=round(total), cost=cost)


def _slower(plan: Plan) -> float:
    """Time of a pixel in tiles relative to one in one piece."""
    near = NEAR if plan.tile and plan.tile <= SMALL else 1
    redone, kept = REDONE if plan.recompute else 1, ON_DISK if plan.on_disk else 1
    return SECOND_PASS * near * redone * kept * plan.freed.time


def _base(sizes: Sizes) -> int:
    """Bytes that a picture of any size takes."""
    return BASE + MATRICES * sizes.itemsize


def _pictures(sizes: Sizes) -> int:
    """Bytes of the pictures as they were read and of those that are worked with."""
    read = sum(height * width for height, width in [sizes.photo, *sizes.paintings])
    return VECTOR * (read + VECTORS * sizes.pixels)


def _remembered(job: Settings, sizes: Sizes) -> int:
    """Bytes of what the optimiser remembers of earlier steps, of which a scale may have few."""
    vectors = {"lbfgs": 2 * min(job.history, sizes.scale.steps), "adam": 2, "sgd": 0}[job.optimizer]
    return VECTOR * vectors * sizes.pixels


def _stored(settings: Settings, itemsize: int) -> float:
    """Bytes a pixel of all features up to the last layer, with where the maxima were."""
    wanted = [*settings.content_layers, *settings.style_layers]
    last = max(map(LAYERS.index, wanted))
    pooled = itemsize + (0 if settings.pooling == "avg" else 8)
    return sum(
        channels(name) / smallest_side([name]) ** 2 * (pooled if name.endswith("pool") else itemsize)
        for name in LAYERS[: last + 1]
    )


def _kept(settings: Settings) -> float:
    """Bytes a pixel of the photo's features, and of the projections of "sliced"."""
    content = sum(channels(name) / smallest_side([name]) ** 2 for name in settings.content_layers)
    if settings.style_loss != "sliced":
        return 4 * content
    return 4 * (content + 2 * sum(DIRECTIONS / smallest_side([name]) ** 2 for name in settings.style_layers))
