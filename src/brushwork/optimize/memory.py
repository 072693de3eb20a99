"""What a job needs of memory, asked before the work starts."""

from __future__ import annotations

import math

from brushwork.errors import InputError
from brushwork.jobs import Settings
from brushwork.optimize.scales import Scale

BASE = 690_000_000
"""Bytes of torch and of VGG19's weights with Winograd's matrices."""
PER_PIXEL = 3050
"""Bytes of features and gradients a pixel; measured on a CPU in float32 at 256², 512² and 768²."""
VECTOR = 12  # bytes a pixel of one picture, gradient or step


def needed(settings: Settings, pixels: int) -> int:
    """Bytes that the largest scale takes, an upper bound for shallower layers than block 5."""
    vectors = {"lbfgs": 2 * settings.history, "adam": 2, "sgd": 0}[settings.optimizer]
    return BASE + pixels * (PER_PIXEL + vectors * VECTOR)


def check_memory(settings: Settings, scale: Scale, free: int | None) -> None:
    """Raise InputError, with the largest size that would fit, when ``free`` bytes are too few."""
    pixels = scale.height * scale.width
    if free is None or needed(settings, pixels) <= free:
        return
    a_pixel = (needed(settings, pixels) - BASE) / pixels
    fits = math.floor(scale.long_side * math.sqrt(max(free - BASE, 0) / a_pixel / pixels))
    gigabytes = [round(bytes / 1e9, 1) for bytes in (needed(settings, pixels), free)]
    raise InputError(
        f"{scale.width}×{scale.height} pixels need about {gigabytes[0]} GB of memory and {gigabytes[1]} GB "
        f"are free: give --size {fits} or smaller, or close other programs"
    )
