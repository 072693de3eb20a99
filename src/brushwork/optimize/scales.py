"""Sizes: the result's, the coarse-to-fine ladder's, the paintings'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from brushwork.errors import InputError
from brushwork.jobs import Settings
from brushwork.seams import LATTICE


@dataclass(frozen=True)
class Scale:
    """One rung of the ladder: a size in pixels and the loss evaluations spent there."""

    height: int
    width: int
    steps: int

    @property
    def long_side(self) -> int:
        """The long side in pixels."""
        return max(self.height, self.width)


MAX_ASPECT = 20


def is_too_long(size: Sequence[int]) -> bool:
    """Whether a photo of (height, width) is refused; a rounded size may be when the photo's own is not."""
    return max(size) > MAX_ASPECT * min(size)


def result_size(settings: Settings, photo: Sequence[int]) -> tuple[int, int]:
    """Height and width of the result for a photo of (height, width).

    Raises InputError for a photo longer than 20:1.
    """
    height, width = _plain_size(settings, photo)
    return _snapped(settings, height), _snapped(settings, width)


def _snapped(settings: Settings, side: int) -> int:
    """A side as it is, or when the picture wraps around the next multiple of ``LATTICE``."""
    return math.ceil(side / LATTICE) * LATTICE if settings.tileable else side


def _plain_size(settings: Settings, photo: Sequence[int]) -> tuple[int, int]:
    height, width = photo
    if is_too_long(photo):
        raise InputError(f"the photo is {width}×{height}, longer than {MAX_ASPECT}:1: crop it first")
    whole = math.floor if settings.size_rounding == "floor" else round
    if settings.rows is not None:
        return settings.rows, max(1, whole(width * settings.rows / height))
    if settings.size == "original":
        return height, width
    # Multiplied first: 49 · (512/49) is a hair below 512, which "floor" would make 511.
    size, longest = settings.size, max(photo)
    return max(1, whole(height * size / longest)), max(1, whole(width * size / longest))


def ladder(
    settings: Settings, photo: Sequence[int], fits: Callable[[Scale], bool] = lambda scale: True
) -> list[Scale]:
    """The scales from coarse to fine; their steps add up to ``settings.evaluations``.

    Scales that do not fit or are below ``settings.coarsest`` are left out, and the others get their steps:
    a large picture has more scales and fewer evaluations at each. The last, of the size asked for, stays.
    """
    height, width = result_size(settings, photo)
    wanted = sorted(settings.scales.items())

    def part(side: int, fraction: float) -> int:
        return _snapped(settings, max(1, round(side * fraction)))

    sizes = {f: Scale(part(height, f), part(width, f), 0) for f, _ in wanted[:-1]}
    kept = {f: size for f, size in sizes.items() if size.long_side >= settings.coarsest and fits(size)}
    shares = [share for f, share in wanted[:-1] if f in kept] + [wanted[-1][1]]
    rungs = [*kept.values(), Scale(height, width, 0)]
    steps = settings.evaluations
    ends = [round(steps * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    ends = [*(min(end, steps - 1) for end in ends[:-1]), steps]  # one at least at the size asked for
    spent = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    return [replace(rung, steps=n) for rung, n in zip(rungs, spent, strict=True) if n]


def style_size(
    settings: Settings, scale: Scale, painting: Sequence[int], relative: float = 1
) -> tuple[int, int]:
    """Height and width at which a painting of (height, width) is measured for a scale.

    Its long side is the picture's times ``stroke_size``, so strokes keep their proportion at every size;
    ``relative`` is one of ``style_scales``. Enlarged ones teach that paint is soft: a job may do without.
    """
    factor = settings.stroke_size / 100 * relative
    if settings.style_shape == "photo":
        return max(1, round(scale.height * factor)), max(1, round(scale.width * factor))
    whole = math.floor if settings.size_rounding == "floor" else round
    size, longest = scale.long_side * factor, max(painting)
    if not settings.style_enlarge:
        size = min(size, longest)
    return max(1, whole(painting[0] * size / longest)), max(1, whole(painting[1] * size / longest))
