"""One pass of a network that was trained from pairs of pictures: a photo and a job to events."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path

import torch

from brushwork import colour
from brushwork.context import Context
from brushwork.errors import InputError
from brushwork.events import Event, Finished, Losses, Started
from brushwork.feedforward.plan import BASE, PICTURES, too_large
from brushwork.feedforward.unet import UNetSettings, is_unet, read_unet
from brushwork.fields import flag
from brushwork.images import Sources, like_the_photo, resize
from brushwork.jobs import Stylize
from brushwork.optimize.scales import Scale, result_size
from brushwork.styles import BUILTIN, is_network

PLANES = 15.0  # feature maps of the width that live at once, at full size: 13.4 to 14.5 were measured
NOTHING = Losses(math.nan, math.nan, math.nan, math.nan)


def translates(job: Stylize) -> bool:
    """Whether a job's style is such a network."""
    path = job.styles[0].path
    return is_network(path) and not BUILTIN.fullmatch(path) and is_unet(Path(path))


def check(job: Stylize, settings: UNetSettings, size: tuple[int, int], context: Context) -> float:
    """Bytes that a pass needs. Raises InputError for more than there are, and for what it cannot follow."""
    asked = {"stroke_size": job.stroke_size != 100, "tile": job.tile, "backend": job.backend == "onnxruntime"}
    for name in filter(asked.get, asked):
        raise InputError(
            f"{flag(name)}: a network from pairs paints in one piece, as it learnt: leave that out"
        )
    need = BASE + size[0] * size[1] * (PICTURES + PLANES * 4 * settings.width)
    limit = job.memory or context.memory_limit()
    if limit is not None and need > limit:
        raise too_large(size, need, limit)
    return need


def paint(job: Stylize, sources: Sources, context: Context) -> Generator[Event]:
    """Paint a picture in one pass; yields Started and Finished.

    Such a network knows no strength, so that the photo shows through instead, and no other stroke size.
    Raises WeightsError for a network that cannot be read, InputError for more than one.
    """
    path = job.styles[0].path
    if len(job.styles) > 1:
        raise InputError(f"--style {path} is a network of its own and cannot be blended: give it alone")
    network = read_unet(Path(path)).to(context.device)
    height, width = result_size(job, sources.content.size)
    check(job, network.settings, (height, width), context)
    prepared = colour.prepare(job, resize(sources.content.pixels, height, width, job.resize), [], [])
    photo = prepared.photo
    yield Started(
        width, height, 0, str(context.device), context.precision, path, photo, [Scale(height, width, 1)]
    )
    with torch.no_grad(), torch.autocast(context.device.type, context.dtype, context.dtype != torch.float32):
        painted = network(photo.to(context.device)).float().cpu()
    restored = prepared.restore(photo.lerp(painted, job.strength))
    yield Finished(like_the_photo(restored, sources.content), NOTHING, 0)
